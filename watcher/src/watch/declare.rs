//! The baseline moves: other rules are judged from now on, and what stays declared keeps its state.

use super::{
    Watch,
    tracked::{Check, Known},
};
use crate::{
    judge::State,
    kernel::is_slow,
    model::{Expectation, IfAbsent, Key, Now, Rule, SweepReason},
    probes::Interest,
    sources::Declared,
};

/// What was read anew, or why it could not be.
pub type Reread = Result<Box<Declared>, String>;

impl Watch {
    /// The configuration was read again.
    pub(super) fn reread(&mut self, reread: Reread, now: Now) {
        if self.take_baseline(reread, now) {
            self.sweep(SweepReason::Reload, now);
        }
    }

    /// Takes what was read anew for the baseline. One that is broken leaves the baseline there was, which is remembered
    /// for the verdicts and the status. Whether it was taken.
    pub(super) fn take_baseline(&mut self, reread: Reread, now: Now) -> bool {
        match reread {
            Ok(declared) => {
                self.status.broken = None;
                self.declare(declared.rules.clone(), now);
                self.follow(*declared);
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
        let Some(rules) = self.declared.as_ref().and_then(Declared::follow) else { return Vec::new() };
        if rules == self.rules {
            return Vec::new();
        }
        let late = self.status.last_sweep.is_some();
        let new = self.declare(rules, now);
        for at in &new {
            if let Some(tracked) = self.keys.get_mut(*at) {
                tracked.late |= late;
            }
        }
        new
    }

    /// Judges by other rules from now on. A rule of the same name on the same key goes on: its finding stays open, what
    /// it captured stays expected. Where it expects something else now, the key is read again. What no rule declares any
    /// more is over. Gives the places of the keys that were not declared before; they are to be read.
    fn declare(&mut self, rules: Vec<Rule>, now: Now) -> Vec<usize> {
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
                self.go_on(
                    at,
                    Check { if_absent, by_pattern: false, ..carried(before, number, rule, &old_rules) },
                );
            }
        }
        // What patterns mean was taken up one by one, and goes on where the pattern does.
        for (at, checks) in old.iter_mut().enumerate() {
            let Some(key) = self.keys.get(at).map(|tracked| tracked.key.clone()) else { continue };
            for check in checks.extract_if(.., |check| check.by_pattern).collect::<Vec<_>>() {
                let name = old_rules.get(check.rule).map(|rule| &rule.name);
                match rules.iter().position(|rule| Some(&rule.name) == name && means(rule, &key)) {
                    Some(number) if !self.has_rule(at, &rules, number) => {
                        let Some(rule) = rules.get(number) else { continue };
                        let if_absent = rule.if_absent.unwrap_or(IfAbsent::Ignore);
                        let check = carried(Some(check), number, rule, &old_rules);
                        self.go_on(at, Check { if_absent, ..check });
                    }
                    _ => checks.push(check),
                }
            }
        }
        self.rules = rules;
        for (at, checks) in old.into_iter().enumerate().take(known) {
            self.end(at, checks, now);
        }
        self.status.watching.keys = self.keys.len() - self.free.len();
        self.interest_moved = true;
        new
    }

    fn go_on(&mut self, at: usize, check: Check) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
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
            self.tell_healed(*finding, value, now);
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
    for key in rules.iter().flat_map(|rule| &rule.keys) {
        match key {
            Key::Sysctl { name, .. } => drop(interest.sysctls.insert(name.clone())),
            Key::Link { interface } => drop(interest.interfaces.insert(interface.clone())),
            _ => {}
        }
    }
    interest
}

/// Whether a pattern of a rule means a key.
fn means(rule: &Rule, key: &Key) -> bool {
    let path = key.path();
    rule.patterns.iter().any(|pattern| pattern.matches(path.trim_start_matches('/')))
}

/// Takes out the check that an earlier rule of the same name had.
fn of_name(checks: &mut Vec<Check>, old_rules: &[Rule], rule: &Rule) -> Option<Check> {
    let name = |check: &Check| old_rules.get(check.rule).map(|rule| &rule.name);
    let at = checks.iter().position(|check| name(check) == Some(&rule.name))?;
    Some(checks.swap_remove(at))
}

/// What a rule takes over from the check that it had before, where there was one.
fn carried(before: Option<Check>, number: usize, rule: &Rule, old_rules: &[Rule]) -> Check {
    let fresh = Check::new(number, IfAbsent::Drift, true);
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
        from_the_start: same && before.from_the_start,
        captured: before.captured.filter(|_| captures),
        capturing: before.capturing.filter(|_| captures),
        finding: before.finding,
        by_pattern: before.by_pattern,
        ..fresh
    }
}
