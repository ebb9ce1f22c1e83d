//! The baseline moves: other rules are judged from now on, and what stays declared keeps its state.

use std::sync::Arc;

use super::{
    Watch,
    tracked::{Check, Known},
};
use crate::{
    declared::inline,
    deploys::Pin,
    judge::State,
    kernel::is_slow,
    model::{Deployment, DeploymentId, Expectation, Healing, IfAbsent, Key, Now, Pattern, Rule, SweepReason},
    probes::Interest,
    sources::Declared,
};

/// What was read anew, or why it could not be.
pub type Reread = Result<Box<Declared>, String>;

/// What who reads what is declared wants to know of the loop.
pub struct InForce {
    /// The deployments in force, one for each application, the last delivered last.
    pub deployments: Vec<Deployment>,
    /// Whether what was read anew was taken since this was asked last: a retry and what is refused take nothing.
    pub taken: bool,
}

impl Watch {
    pub(super) fn in_force(&mut self) -> InForce {
        let taken = std::mem::take(&mut self.taken);
        InForce { deployments: self.ledger.all_in_force().to_vec(), taken }
    }

    /// The configuration was read again.
    pub(super) fn reread(&mut self, reread: Reread, now: Now) {
        if self.take_baseline(reread, None, now) {
            self.begin_anew(false);
            self.sweep(SweepReason::Reload, now);
        }
    }

    /// Takes what was read anew for the baseline. One that is broken leaves the baseline there was, which is remembered
    /// for the verdicts and the status. Whether it was taken. Where it came with a deployment, what changed in the window of
    /// that is of its doing.
    pub(super) fn take_baseline(
        &mut self,
        reread: Reread,
        deployment: Option<&DeploymentId>,
        now: Now,
    ) -> bool {
        match reread {
            Ok(mut declared) => {
                self.taken = true;
                self.status.broken = declared.broken.take();
                declared.then(inline(self.ledger.declaring()));
                declared.warn();
                self.declare(declared.rules.clone(), deployment, now);
                self.follow(*declared);
                self.look_at_mutes(now);
                true
            }
            Err(why) => {
                self.status.broken = Some(why);
                false
            }
        }
    }

    /// Keeps what is needed to look again which keys the patterns of sources mean; nothing where there are none.
    pub(super) fn follow(&mut self, declared: Declared) {
        self.declared = declared.follows().then(|| declared.forget());
    }

    /// Looks again which keys the patterns of sources mean; gives the places of what is new.
    pub(super) fn look_at_sources(&mut self, now: Now) -> Vec<usize> {
        let Some(rules) = self.followed() else { return Vec::new() };
        if rules == self.rules {
            return Vec::new();
        }
        let late = self.status.last_sweep.is_some();
        let new = self.declare(rules, None, now);
        for at in &new {
            if let Some(tracked) = self.keys.get_mut(*at) {
                tracked.late |= late;
            }
        }
        new
    }

    fn followed(&mut self) -> Option<Vec<Rule>> {
        self.declared.as_mut()?.follow(inline(self.ledger.declaring()))
    }

    /// Judges by other rules from now on. A rule of the same name on the same key goes on: its finding stays open, what
    /// it captured stays expected. Where it expects something else now, the key is read again. What no rule declares any
    /// more is over. Gives the places of the keys that were not declared before; they are to be read.
    fn declare(&mut self, rules: Vec<Rule>, deployment: Option<&DeploymentId>, now: Now) -> Vec<usize> {
        let adopted = self.adopted();
        let old_rules = std::mem::replace(&mut self.rules, rules);
        let mut old: Vec<Vec<Check>> =
            self.keys.iter_mut().map(|tracked| std::mem::take(&mut tracked.checks)).collect();
        let known = self.keys.len();
        let mut new = Vec::new();
        let rules = std::mem::take(&mut self.rules);
        self.patterns.clear();
        for (number, rule) in rules.iter().enumerate() {
            self.patterns.extend(rule.patterns.iter().map(|pattern| (number, pattern.clone())));
            let if_absent = rule.if_absent.unwrap_or(IfAbsent::Drift);
            for key in &rule.keys {
                let is_new = !self.by_key.contains_key(key);
                self.track(key);
                let Some(at) = self.by_key.get(key).copied() else { continue };
                // A free place may have been taken: what it held before is not this key's.
                let before = match is_new {
                    true => None,
                    false => old.get_mut(at).and_then(|checks| of_name(checks, &old_rules, rule)),
                };
                if is_new {
                    new.push(at);
                }
                self.depend(at, &rule.expectation);
                let check =
                    Check { if_absent, by_pattern: false, ..carried(before, number, rule, &old_rules) };
                self.go_on(at, check, deployment);
            }
        }
        // What patterns mean was taken up one by one, and goes on where the pattern does.
        for (at, checks) in old.iter_mut().enumerate() {
            let Some(key) = self.keys.get(at).map(|tracked| tracked.key.clone()) else { continue };
            for check in checks.extract_if(.., |check| check.by_pattern).collect::<Vec<_>>() {
                let name = old_rules.get(check.rule).map(|rule| &rule.name);
                match rules.iter().position(|rule| Some(&rule.name) == name && rule.means(&key)) {
                    Some(number) if !self.has_rule(at, &rules, number) => {
                        let Some(rule) = rules.get(number) else { continue };
                        let if_absent = rule.if_absent.unwrap_or(IfAbsent::Ignore);
                        let check = carried(Some(check), number, rule, &old_rules);
                        self.go_on(at, Check { if_absent, ..check }, deployment);
                    }
                    _ => checks.push(check),
                }
            }
        }
        self.rules = rules;
        for (at, checks) in old.into_iter().enumerate().take(known) {
            self.end(at, checks, now);
        }
        for (rule, key) in adopted {
            if self.check_of(&rule, &key).is_none_or(|check| check.adopted.is_none()) {
                self.batch.unadopted.push((rule, key));
            }
        }
        self.status.watching.keys = self.keys.len() - self.free.len();
        self.interest_moved = true;
        new
    }

    /// The rules and keys that a live value was adopted for.
    fn adopted(&self) -> Vec<(Arc<str>, Key)> {
        let checks =
            self.keys.iter().flat_map(|tracked| tracked.checks.iter().map(move |c| (&tracked.key, c)));
        checks
            .filter(|(_, check)| check.adopted.is_some())
            .filter_map(|(key, check)| Some((self.rules.get(check.rule)?.name.clone(), key.clone())))
            .collect()
    }

    fn go_on(&mut self, at: usize, mut check: Check, deployment: Option<&DeploymentId>) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        let is_of_the_deploy = |pin: &Pin| {
            pin.in_window
                && pin.deployment.as_ref().is_some_and(|id| deployment == Some(id) || self.ledger.is_open(id))
        };
        let by_the_deploy = tracked.last_change.as_ref().is_some_and(|change| is_of_the_deploy(&change.pin));
        // Of what was never read nothing was expected before.
        check.expects_anew &= tracked.known != Known::Nothing && !by_the_deploy;
        tracked.checks.push(check);
        super::mark(tracked, at, &mut self.dirty);
    }

    fn has_rule(&self, at: usize, rules: &[Rule], number: usize) -> bool {
        let name = rules.get(number).map(|rule| &rule.name);
        let mut checks = self.keys.get(at).into_iter().flat_map(|tracked| &tracked.checks);
        checks.any(|check| rules.get(check.rule).map(|rule| &rule.name) == name)
    }

    /// Ends what is declared no more, gives what goes on the words of its rule, and forgets a key without a rule.
    fn end(&mut self, at: usize, checks: Vec<Check>, now: Now) {
        let Some(tracked) = self.keys.get(at) else { return };
        let key = tracked.key.clone();
        if self.by_key.get(&key) != Some(&at) {
            return;
        }
        let is_over = tracked.checks.is_empty();
        let known = match &tracked.known {
            Known::Value(value) => value.clone(),
            Known::Nothing => None,
        };
        for finding in checks.into_iter().filter_map(|check| check.finding) {
            // What is over because it is gone was still there when it was last read.
            let value = match is_slow(&key) {
                true => known.clone(),
                false => self.reader.read(&key).unwrap_or_else(|_| known.clone()),
            };
            self.tell_healed(*finding, value, Healing::Undeclared, now);
        }
        match is_over {
            true => self.let_go(at),
            false => self.redeclare(&key),
        }
    }

    /// The declared keys as the probes name them, where they are others than the probes know.
    pub fn moved_interest(&mut self) -> Option<Interest> {
        std::mem::take(&mut self.interest_moved).then(|| interest(&self.rules))
    }
}

/// The declared keys of rules, as probes name them.
pub fn interest(rules: &[Rule]) -> Interest {
    let patterns = rules.iter().flat_map(|rule| rule.patterns.iter().cloned()).collect();
    let mut interest = Interest { patterns, ..Interest::default() };
    let movers = rules.iter().flat_map(|rule| &rule.patterns).flat_map(Pattern::movers);
    interest.sysctls.extend(movers.map(Into::into));
    interest.sysctls.extend(rules.iter().filter_map(|rule| rule.expectation.depends_on()).cloned());
    for key in rules.iter().flat_map(|rule| &rule.keys) {
        interest.sysctls.extend(key.movers().into_iter().map(Into::into));
        match key {
            Key::Sysctl { name, .. } => drop(interest.sysctls.insert(name.clone())),
            Key::Link { interface } => drop(interest.interfaces.insert(interface.clone())),
            _ => {}
        }
    }
    interest
}

/// Takes out the check that an earlier rule of the same name had.
fn of_name(checks: &mut Vec<Check>, old_rules: &[Rule], rule: &Rule) -> Option<Check> {
    let name = |check: &Check| old_rules.get(check.rule).map(|rule| &rule.name);
    let at = checks.iter().position(|check| name(check) == Some(&rule.name))?;
    Some(checks.swap_remove(at))
}

/// What a rule takes over from the check that it had before, where there was one.
fn carried(before: Option<Check>, number: usize, rule: &Rule, old_rules: &[Rule]) -> Check {
    let fresh = Check { expects_anew: true, ..Check::new(number, IfAbsent::Drift, true) };
    let Some(before) = before else { return fresh };
    let old = old_rules.get(before.rule);
    let same = old.is_some_and(|old| {
        (&old.expectation, old.hold, old.settle) == (&rule.expectation, rule.hold, rule.settle)
    });
    let captures = matches!(rule.expectation, Expectation::Captured(_));
    Check {
        rule: number,
        // A departure from something else has not begun yet.
        state: if same || before.state == State::Open { before.state } else { State::Quiet },
        judged: same && before.judged,
        expects_anew: before.expects_anew || old.is_none_or(|old| old.expectation != rule.expectation),
        from_the_start: same && before.from_the_start,
        captured: before.captured.filter(|_| captures),
        capturing: before.capturing.filter(|_| captures),
        // What was adopted departed from what was expected then.
        adopted: before.adopted.filter(|_| old.is_some_and(|old| old.expectation == rule.expectation)),
        finding: before.finding,
        by_pattern: before.by_pattern,
        ..fresh
    }
}
