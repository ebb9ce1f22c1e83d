//! Keys that a write of another key sets too: no probe tells of them, so they are read with it, and what they show is
//! its writer's.

use std::time::Duration;

use super::{
    Watch,
    hints::{PATIENCE, requested},
    mark,
};
use crate::model::{Boottime, Expectation, Hint, Key, Owner, Rule, SeenBy, Value, Write, Writer};

/// A write of another key, which may have set this one too.
#[derive(Clone, Debug, PartialEq)]
pub struct Mover {
    /// The key that was written.
    pub key: Key,
    /// Who wrote it.
    pub writer: Option<Writer>,
    /// How that was noticed.
    pub seen_by: SeenBy,
    /// What was asked for.
    requested: Option<Value>,
    /// Whether the probe saw that it was the host's and that the kernel took it.
    is_certain: bool,
    /// Until when a change is its, where the hint comes before the write; else the next reading shows all of it.
    until: Option<Boottime>,
}

impl Mover {
    /// Whether a change that is seen later may still be its.
    pub fn goes_on(&self, now: Boottime) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether it did set another key, as far as can be told now that the other has changed: another namespace's write,
    /// or a refused one, leaves the host's as it was.
    pub fn did(&self, read: impl FnOnce(&Key) -> Option<Value>) -> bool {
        self.is_certain || self.requested.is_some() && read(&self.key) == self.requested
    }

    /// What a finding says of it.
    pub fn detail(&self) -> String {
        format!("a write of {} sets it too", self.key)
    }
}

impl Watch {
    /// Lets a write of what rules take their bounds from be one for the keys at these places too.
    pub(super) fn depend(&mut self, at: usize, expectation: &Expectation) {
        let Some(name) = expectation.depends_on() else { return };
        let places = self.by_mover.entry((**name).into()).or_default();
        if !places.contains(&at) {
            places.push(at);
        }
    }

    /// A sysctl was written: what that sets too is read with it.
    pub(super) fn hinted_coupled(&mut self, hint: &Hint) {
        let Write::Sysctl(written) = &hint.write else { return };
        if hint.result.is_some_and(|result| result < 0) {
            return;
        }
        let Some(places) = self.by_mover.get(&**written) else { return };
        let Ok(key) = Key::sysctl(written) else { return };
        let is_early = hint.result.is_none();
        let mover = Mover {
            requested: requested(&key, hint),
            key,
            writer: hint.writer.clone(),
            seen_by: hint.seen_by,
            is_certain: !is_early && hint.owner == Owner::Host,
            until: is_early.then(|| hint.time.after(PATIENCE)),
        };
        for at in places {
            let Some(tracked) = self.keys.get_mut(*at) else { continue };
            // What only takes its bound from there is judged anew, and not set.
            if tracked.key.movers().iter().any(|name| *name == **written) {
                tracked.mover = Some(Box::new(mover.clone()));
            }
            tracked.written = Some(tracked.written.map_or(hint.time, |before| before.max(hint.time)));
            mark(tracked, *at, &mut self.dirty);
            if is_early {
                for pause in [Rule::DEFAULT_SETTLE, Duration::from_secs(1)] {
                    self.timers.insert((hint.time.after(pause), *at));
                }
            }
        }
    }
}
