//! What was counted since the start: one place that looks at every entry, so that no other has to.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Act, DeploymentStatus, FindingState, Outcome, SeenBy, Severity, Surface, SweepReason, TouchReason,
    VerdictStatus, What,
};

/// What was counted since the start. A label that never came has no count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Changes, by where and how they were noticed.
    pub changes: BTreeMap<(Surface, SeenBy), u64>,
    /// Writes that changed nothing.
    pub touches: BTreeMap<TouchReason, u64>,
    /// Findings that opened.
    pub opened: BTreeMap<Severity, u64>,
    /// Findings that healed.
    pub healed: u64,
    /// Remedies, by what was to be done and what became of it.
    pub remedies: BTreeMap<(Act, Outcome), u64>,
    /// Phases of deployments.
    pub deployments: BTreeMap<DeploymentStatus, u64>,
    /// Verdicts.
    pub verdicts: BTreeMap<VerdictStatus, u64>,
    /// Sweeps, told or not.
    pub sweeps: BTreeMap<SweepReason, u64>,
    /// How long all of them took.
    pub swept_for: Duration,
}

impl Counters {
    /// Counts what is told. Sweeps are not told each: see [`Counters::sweep`].
    pub fn count(&mut self, what: &What) {
        match what {
            What::Change(change) => add(&mut self.changes, (change.key.surface(), change.seen_by), 1),
            What::Touch(touch) => add(&mut self.touches, touch.reason, touch.writes),
            What::Finding(finding) => match finding.state {
                FindingState::Opened => add(&mut self.opened, finding.severity, 1),
                FindingState::Healed => self.healed += 1,
            },
            What::Remedy(remedied) => add(&mut self.remedies, (remedied.remedy, remedied.outcome), 1),
            What::Deployment(news) => add(&mut self.deployments, news.status, 1),
            What::Verdict(verdict) => add(&mut self.verdicts, verdict.status, 1),
            // What is ignored is counted at the webhook, as all that comes there.
            What::Start(_) | What::Loss(_) | What::Sweep(_) | What::Ignored(_) => {}
        }
    }

    /// Counts a sweep.
    pub fn sweep(&mut self, reason: SweepReason, took: Duration) {
        add(&mut self.sweeps, reason, 1);
        self.swept_for += took;
    }
}

fn add<L: Ord>(counts: &mut BTreeMap<L, u64>, label: L, more: u64) {
    *counts.entry(label).or_default() += more;
}
