//! What was missed: told, counted, and followed by a sweep.

use std::time::Duration;

use super::{Counts, Watch};
use crate::model::{Boottime, Loss, Now, SweepReason, What};

/// How losses that follow each other closely are told and swept: the first at once, the others together.
const LOSS_PAUSE: Duration = Duration::from_secs(1);

/// Losses that were not told yet.
#[derive(Default)]
pub(super) struct Losses {
    pub(super) pending: Vec<(&'static str, u64)>,
    /// Until when further ones are gathered.
    pub(super) until: Option<Boottime>,
}

impl Watch {
    pub(super) fn tally(&mut self, counts: Counts, now: Now) {
        self.status.foreign += counts.foreign;
        self.status.undeclared += counts.join.undeclared;
        for (what, count) in [
            ("records that the ring had no room for", counts.lost),
            ("results of writes, which did not come within a second", counts.join.unreturned),
            // While we are blind, and have said so, this is how it must be.
            (
                "writes that the hook did not see",
                if self.status.blind.is_none() { counts.join.unseen } else { 0 },
            ),
            ("records that could not be read", counts.join.unreadable),
        ] {
            self.lost(what, count, now);
        }
    }

    /// Tells when the probes went blind, and when they see again; both times all is read.
    pub(super) fn sight(&mut self, blind: Option<String>, now: Now) {
        let before = std::mem::replace(&mut self.status.blind, blind.clone());
        let what = match (before, blind) {
            (None, Some(why)) => why,
            (Some(_), None) => {
                "the probes were blind, and see again: what was written meanwhile has no writer".into()
            }
            (Some(_), Some(_)) | (None, None) => return,
        };
        self.status.losses += 1;
        self.tell(now, What::Loss(Loss { what, count: None }));
        self.sweep(SweepReason::Loss, now);
    }

    /// Shows that nothing can be recorded, and tells it when it can be again: what is told is recorded first.
    pub(super) fn recording(&mut self, trouble: Option<String>, now: Now) {
        let before = std::mem::replace(&mut self.status.unrecorded, trouble);
        if let (Some(why), None) = (before, &self.status.unrecorded) {
            self.status.losses += 1;
            let what = format!("the store can be written again; before: {why}");
            self.tell(now, What::Loss(Loss { what, count: None }));
        }
    }

    pub(super) fn lost(&mut self, what: &'static str, count: u64, now: Now) {
        if count == 0 {
            return;
        }
        self.status.losses += count;
        match self.losses.pending.iter_mut().find(|(pending, _)| *pending == what) {
            Some((_, sum)) => *sum += count,
            None => self.losses.pending.push((what, count)),
        }
        self.losses.until.get_or_insert(now.boot);
    }

    /// Tells the losses that gathered, if there are any.
    pub(super) fn tell_losses(&mut self, now: Now) -> bool {
        let pending = std::mem::take(&mut self.losses.pending);
        let any = !pending.is_empty();
        for (what, count) in pending {
            self.tell(now, What::Loss(Loss { what: what.into(), count: Some(count) }));
        }
        any
    }

    /// Tells the losses that gathered, and reads everything, if it is time.
    pub(super) fn sweep_losses_if_due(&mut self, now: Now) {
        if self.losses.until.is_none_or(|until| until > now.boot) {
            return;
        }
        let any = self.tell_losses(now);
        self.losses.until = any.then(|| now.boot.after(LOSS_PAUSE));
        if any {
            self.sweep(SweepReason::Loss, now);
        }
    }
}
