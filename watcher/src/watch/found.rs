//! What is said of a finding: its cause, its words, who did it; when it opens, when its rule is another, and when it is over.

use uuid::Uuid;

use super::{
    Watch, moving, mute,
    tracked::{Check, Circumstance, Tracked},
};
use crate::{
    deploys::Pin,
    judge::{Judgement, described_adopted, judge, wanted},
    model::{
        Capture, Cause, Expectation, Finding, FindingId, FindingState, Healing, Key, Now, Revision, Rule,
        Value, What,
    },
};

impl Watch {
    /// The finding that opens.
    pub(super) fn finding(
        &self,
        at: usize,
        check: &Check,
        value: Option<&Value>,
        pin: &Pin,
        now: Now,
    ) -> Option<Finding> {
        let (tracked, rule) = (self.keys.get(at)?, self.rules.get(check.rule)?);
        let shown = shown(&tracked.key);
        let change = tracked.last_change.as_deref().filter(|_| !check.expects_anew).cloned();
        let pin = change.as_ref().map_or(pin, |change| &change.pin).clone();
        let cause = self.cause(tracked, change.as_ref(), check, &pin);
        let moved_by = change.as_ref().and_then(|change| change.mover.as_ref()).map(|mover| mover.detail());
        let (previous, requested, writer, seen_by) = match change {
            Some(change) => (change.previous, change.requested, change.writer, change.seen_by),
            None => (None, None, None, moving::seen_by(tracked)),
        };
        let expected = expected_of(&tracked.key, rule, check);
        Some(Finding {
            finding: FindingId(Uuid::now_v7().to_string().into()),
            state: FindingState::Opened,
            key: tracked.key.clone(),
            rule: rule.name.clone(),
            severity: rule.severity,
            expected,
            wanted: wanted_of(&tracked.key, rule, check),
            actual: value.cloned().map(shown),
            detail: moved_by.or_else(|| self.reader.detail(&tracked.key)),
            previous: previous.map(shown),
            requested: requested.map(shown),
            commit: pin.commit,
            declared_commit: declared_commit(rule, check.captured.as_deref()),
            declared_by: rule.source.clone(),
            cause,
            writer,
            seen_by,
            deployment: pin.deployment,
            opened: now.wall,
            healed: None,
            healing: None,
            muted: mute::active(rule, now).cloned(),
            hushed: false,
        })
    }

    /// Gives open findings of a key the words of their rules as they are now: the configuration may have changed.
    /// The severity it keeps: whoever heard that it opened hears that it healed.
    pub(super) fn redeclare(&mut self, key: &Key) {
        let Some(tracked) = self.by_key.get(key).and_then(|at| self.keys.get_mut(*at)) else { return };
        for check in &mut tracked.checks {
            let Some(rule) = self.rules.get(check.rule) else { continue };
            let (expected, wanted) = (expected_of(key, rule, check), wanted_of(key, rule, check));
            let Some(finding) = &mut check.finding else { continue };
            let before = Finding::clone(finding);
            finding.expected = expected;
            finding.wanted = wanted;
            finding.declared_by = rule.source.clone();
            finding.declared_commit = declared_commit(rule, check.captured.as_deref());
            if **finding != before {
                self.batch.moved.push(Finding::clone(finding));
            }
        }
    }

    /// Why a key departs that is a finding from now on.
    fn cause(&self, tracked: &Tracked, change: Option<&Circumstance>, check: &Check, pin: &Pin) -> Cause {
        match change {
            // What came up wrong by itself: nobody wrote it, or only what it came from.
            None if tracked.late && !check.expects_anew => Cause::AppearedLate,
            Some(change) if tracked.late && change.previous.is_none() && change.writer.is_none() => {
                Cause::AppearedLate
            }
            Some(change) if change.mover.is_some() => Cause::CoupledKey,
            Some(change) if self.is_clamped(tracked, change, check) => Cause::KernelClamped,
            // A change in a deploy's window belongs to the deploy, and so does a wrong value it left.
            Some(change) if change.pin.in_window => Cause::DeployDidNotApply,
            Some(_) if pin.deployment.is_some() => Cause::ChangedAfterDeploy,
            Some(_) => Cause::Unknown,
            None if self.verdicts.is_pending() => Cause::DeployDidNotApply,
            None if check.from_the_start => Cause::NeverInForce,
            None => Cause::Unknown,
        }
    }

    /// Whether what a rule expects was written, and something else is in force.
    fn is_clamped(&self, tracked: &Tracked, change: &Circumstance, check: &Check) -> bool {
        let Some(rule) = self.rules.get(check.rule) else { return false };
        let captured = check.captured.as_deref().map(|capture| &capture.value);
        change.requested.as_ref().is_some_and(|asked| {
            judge(&tracked.key, &rule.expectation, captured, Some(asked)) == Judgement::InSync
        })
    }

    pub(super) fn tell_healed(&mut self, finding: Finding, value: Option<Value>, why: Healing, now: Now) {
        // What it was in between is written after the entries, and would open it again.
        self.batch.moved.retain(|moved| moved.finding != finding.finding);
        let actual = if finding.key.is_secret() { value.map(|_| Value::secret()) } else { value };
        let healed = Finding {
            state: FindingState::Healed,
            healed: Some(now.wall),
            healing: Some(why),
            hushed: false,
            actual,
            ..finding
        };
        self.tell(now, What::Finding(Box::new(healed)));
    }
}

/// The commit whose baseline declared what a rule expects; of what the host's own files say that is not known.
pub(super) fn declared_commit(rule: &Rule, captured: Option<&Capture>) -> Option<Revision> {
    match rule.expectation {
        Expectation::Captured(_) => captured.map(|capture| capture.commit.clone()),
        _ => rule.commit.clone(),
    }
}

/// The value that puts a key right under a rule, where there is one.
fn wanted_of(key: &Key, rule: &Rule, check: &Check) -> Option<Value> {
    match &check.adopted {
        Some(value) => Some(Value::clone(value)),
        None => wanted(key, &rule.expectation, check.captured.as_ref().map(|capture| &capture.value)),
    }
}

/// What a rule expects of a key now, in words.
pub(super) fn expected_of(key: &Key, rule: &Rule, check: &Check) -> String {
    let captured = check.captured.as_ref().map(|capture| &capture.value);
    described_adopted(key, &rule.expectation, captured, check.adopted.as_deref())
}

/// How a value of this key is shown: a secret never is.
pub(super) fn shown(key: &Key) -> impl Fn(Value) -> Value + Copy + use<> {
    let secret = key.is_secret();
    move |value| if secret { Value::secret() } else { value }
}
