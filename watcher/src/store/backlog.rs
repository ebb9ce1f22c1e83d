//! What could not be written yet, in memory. It is bounded: what a host does for days on a full disk must not take its
//! memory too.
//!
//! Beyond the bound changes, touches and the like are counted and let go. What the state of the next run follows from is
//! kept: deployments, captures, and findings, of which one that opened and healed meanwhile is let go as a whole. Of how an
//! open finding moved on the last is kept, within the bound too.

use std::collections::BTreeSet;

use super::write::{Batch, Work};
use crate::model::{Entry, Finding, FindingId, FindingState, What};

/// How many entries are kept; some 10 MB.
pub(super) const MOST: usize = 16_384;

/// Work that waits to be written, in its order.
#[derive(Default)]
pub(super) struct Backlog {
    /// The work.
    pub(super) work: Vec<Work>,
    /// How many entries are in it.
    entries: usize,
    /// How many entries were let go since it was last written.
    pub(super) dropped: u64,
}

impl Backlog {
    /// Takes more work.
    pub(super) fn push(&mut self, mut work: Work) {
        if let Work::Record(batch) = &mut work {
            self.forget_moved(&batch.moved);
            if self.entries + batch.entries.len() > MOST {
                self.thin(batch);
            }
            self.entries += batch.entries.len();
        }
        if !is_empty(&work) {
            self.work.push(work);
        }
    }

    /// Lets go how findings moved on that moved on again.
    fn forget_moved(&mut self, again: &[Finding]) {
        if again.is_empty() {
            return;
        }
        let again: BTreeSet<&str> = again.iter().map(|finding| &*finding.finding.0).collect();
        self.work.retain_mut(|work| {
            if let Work::Record(batch) = work {
                batch.moved.retain(|finding| !again.contains(&*finding.finding.0));
            }
            !is_empty(work)
        });
    }

    /// All of it is written, or lost.
    pub(super) fn clear(&mut self) {
        *self = Backlog::default();
    }

    fn thin(&mut self, batch: &mut Batch) {
        let before = batch.entries.len();
        batch.entries.retain(|entry| needed(&entry.what));
        self.dropped += (before - batch.entries.len()) as u64;
        let healed = |entry: &Entry| match &entry.what {
            What::Finding(finding) if finding.state == FindingState::Healed => Some(finding.finding.clone()),
            _ => None,
        };
        for id in batch.entries.iter().filter_map(healed).collect::<Vec<_>>() {
            if self.opened_in_here(&id) {
                self.dropped += 1 + self.forget_finding(&id);
                batch.entries.retain(|entry| healed(entry).as_ref() != Some(&id));
                batch.moved.retain(|finding| finding.finding != id);
            }
        }
    }

    /// Whether the opening of a finding is in here: one whose mute ended is told as opened once more, and was written long
    /// before.
    fn opened_in_here(&self, id: &FindingId) -> bool {
        let is_opening = |entry: &Entry| match &entry.what {
            What::Finding(finding) => {
                finding.finding == *id
                    && finding.state == FindingState::Opened
                    && finding.opened == entry.time
            }
            _ => false,
        };
        self.work
            .iter()
            .any(|work| matches!(work, Work::Record(batch) if batch.entries.iter().any(is_opening)))
    }

    /// Lets a finding go; gives how many entries told of it.
    fn forget_finding(&mut self, id: &FindingId) -> u64 {
        let before = self.entries;
        let entries = &mut self.entries;
        self.work.retain_mut(|work| {
            if let Work::Record(batch) = work {
                let kept = batch.entries.len();
                batch
                    .entries
                    .retain(|entry| !matches!(&entry.what, What::Finding(finding) if finding.finding == *id));
                *entries -= kept - batch.entries.len();
                batch.moved.retain(|finding| finding.finding != *id);
            }
            !is_empty(work)
        });
        (before - self.entries) as u64
    }
}

fn is_empty(work: &Work) -> bool {
    matches!(work, Work::Record(batch) if batch.is_empty())
}

/// Whether the state of the next run follows from it.
fn needed(what: &What) -> bool {
    match what {
        What::Start(_) | What::Deployment(_) | What::Verdict(_) | What::Finding(_) | What::Remedy(_) => true,
        What::Change(_) | What::Touch(_) | What::Loss(_) | What::Sweep(_) | What::Ignored(_) => false,
    }
}
