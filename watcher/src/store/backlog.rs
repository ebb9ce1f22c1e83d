//! What could not be written yet, in memory. It is bounded: what a host does for days on a full disk must not take its
//! memory too.
//!
//! Beyond the bound changes, touches and the like are counted and let go. What the state of the next run follows from is
//! kept: deployments, captures, and findings, of which one that opened and healed meanwhile is let go as a whole.

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
            if self.entries + batch.entries.len() > MOST {
                self.thin(batch);
            }
            self.entries += batch.entries.len();
        }
        self.work.push(work);
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
            if self.forget_opened(&id) {
                batch.entries.retain(|entry| healed(entry).as_ref() != Some(&id));
                batch.moved.retain(|finding| finding.finding != id);
                self.dropped += 2;
            }
        }
    }

    /// Whether a finding opened in here; then no longer.
    fn forget_opened(&mut self, id: &FindingId) -> bool {
        let is = |finding: &Finding| finding.finding == *id;
        let mut found = false;
        for work in &mut self.work {
            let Work::Record(batch) = work else { continue };
            let before = batch.entries.len();
            batch.entries.retain(|entry| !matches!(&entry.what, What::Finding(finding) if is(finding)));
            found |= batch.entries.len() < before;
            self.entries -= before - batch.entries.len();
            if found {
                batch.moved.retain(|finding| !is(finding));
            }
        }
        found
    }
}

/// Whether the state of the next run follows from it.
fn needed(what: &What) -> bool {
    match what {
        What::Start(_) | What::Deployment(_) | What::Verdict(_) | What::Finding(_) => true,
        What::Change(_) | What::Touch(_) | What::Loss(_) | What::Sweep(_) | What::Ignored(_) => false,
    }
}
