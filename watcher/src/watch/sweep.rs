//! Reading keys: one that is dirty, or all that are declared.

use super::Watch;
use crate::{
    deploys::Pin,
    kernel::{ReadError, is_slow},
    model::{Boottime, Now, Sweep, SweepReason, Value, What},
};

/// A sweep that waits for keys whose reading may block.
pub struct RunningSweep {
    reason: SweepReason,
    started: Boottime,
    /// How many keys had another value than was known.
    pub changed: usize,
}

impl Watch {
    /// Reads the key at a place, or asks for it where that may block; what it shows is pinned to this.
    pub(super) fn read(&mut self, at: usize, pin: &Pin, now: Now) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        tracked.dirty = false;
        if tracked.checks.is_empty() {
            return;
        }
        if is_slow(&tracked.key) {
            if self.slow.ask(&tracked.key, now.boot) {
                tracked.asked_under = Some(pin.clone());
            }
            return;
        }
        // In doubt: it is read when the probes were heard.
        if tracked.asked_under.is_some() {
            return;
        }
        if let Some(value) = tracked.at_rest()
            && self.reader.still_has(&tracked.key, value)
        {
            return;
        }
        let read = self.reader.read(&tracked.key);
        self.observe(at, read, pin, now);
    }

    /// Takes the answer of the slow reader. It tells of the time when it was asked for; where a deployment moved
    /// since then, it is asked for again.
    pub(super) fn answered(&mut self, at: usize, read: Result<Option<Value>, ReadError>, now: Now) {
        let pin = self.ledger.pin();
        let asked = self.keys.get_mut(at).and_then(|tracked| tracked.asked_under.take());
        let asked = asked.unwrap_or_else(|| pin.clone());
        self.observe(at, read, &asked, now);
        if asked != pin {
            self.read(at, &pin, now);
        }
    }

    /// Reads every key.
    pub(super) fn sweep(&mut self, reason: SweepReason, now: Now) {
        self.sweep_under(&self.ledger.pin(), reason, now);
    }

    /// Reads every key; what has changed is pinned to this.
    pub(super) fn sweep_under(&mut self, pin: &Pin, reason: SweepReason, now: Now) {
        self.next_sweep = now.boot.after(self.sweep_every);
        // One that still waits for slow keys is overtaken: what it asked for is not asked for again.
        let changed = self.sweep.take().map_or(0, |running| running.changed);
        self.sweep = Some(RunningSweep { reason, started: now.boot, changed });
        self.look_around(now);
        (0..self.keys.len()).for_each(|at| self.read(at, pin, now));
        self.stalls_moved = true;
    }

    pub(super) fn end_sweep(&mut self, now: Now) {
        if self.slow.is_waited_for() {
            return;
        }
        let Some(sweep) = self.sweep.take() else { return };
        self.status.last_sweep = Some(now.wall);
        let took = crate::kernel::now().boot.since(sweep.started);
        self.counters.sweep(sweep.reason, took);
        // One a minute that found nothing is for `status`, not for a line.
        if sweep.reason == SweepReason::Timer && sweep.changed == 0 {
            return;
        }
        self.tell(
            now,
            What::Sweep(Sweep {
                reason: sweep.reason,
                keys: self.keys.len() - self.free.len(),
                changed: sweep.changed,
                micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            }),
        );
    }
}
