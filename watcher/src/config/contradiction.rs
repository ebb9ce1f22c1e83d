//! Rules of which no value of a key can be as both expect. Each of them is judged, so that one is always a finding: worth a
//! word, and no mistake.

use std::collections::HashMap;

use crate::{
    declared::agree,
    model::{Expectation, Key, Pattern, Rule},
};

/// How many are told one by one.
const TOLD: usize = 20;

/// With how many rules of one key each other one is compared: nobody has more, and ten thousand of them would take long.
const OF_ONE_KEY: usize = 16;

/// With how many patterns each key is compared, for the same reason.
const PATTERNS: usize = 100;

/// A warning for each pair of rules and each key about which they contradict each other; of many the first.
pub(super) fn contradictions(rules: &[Rule]) -> Vec<String> {
    let judged = |rule: &&Rule| !matches!(rule.expectation, Expectation::Captured(_));
    let mut of_key: HashMap<&Key, Vec<&Rule>> = HashMap::new();
    let mut patterned: Vec<(&Pattern, &Rule)> = Vec::new();
    for rule in rules.iter().filter(judged) {
        rule.keys.iter().for_each(|key| of_key.entry(key).or_default().push(rule));
        patterned.extend(rule.patterns.iter().map(|pattern| (pattern, rule)));
    }
    patterned.truncate(PATTERNS);
    let mut told = Told::default();
    for rule in rules.iter().filter(judged) {
        for key in &rule.keys {
            let of_same = of_key.get(key).into_iter().flatten().take(OF_ONE_KEY).copied();
            // Each pair once, at its second rule.
            let earlier = of_same.take_while(|other| !std::ptr::eq(*other, rule));
            earlier.for_each(|other| told.both(key, other, rule));
            let path = if patterned.is_empty() { String::new() } else { key.path() };
            let mean = patterned.iter().filter(|(pattern, other)| {
                !std::ptr::eq(*other, rule)
                    && pattern.matches(path.trim_start_matches('/'))
                    && pattern.means(key)
            });
            mean.for_each(|(_, other)| told.both(key, other, rule));
            let Some(counterpart) = key.counterpart() else { continue };
            let of_other = of_key.get(&counterpart).into_iter().flatten().take(OF_ONE_KEY);
            // Each pair once, at the one of the two keys that comes first by name.
            of_other
                .filter(|_| *key < counterpart)
                .for_each(|other| told.counterparts(key, rule, &counterpart, other));
        }
    }
    told.warnings()
}

#[derive(Default)]
struct Told {
    warnings: Vec<String>,
    more: usize,
}

impl Told {
    fn push(&mut self, warning: impl FnOnce() -> String) {
        match self.warnings.len() < TOLD {
            true => self.warnings.push(warning()),
            false => self.more += 1,
        }
    }

    /// Two rules of one key.
    fn both(&mut self, key: &Key, first: &Rule, second: &Rule) {
        if !agree(key, &first.expectation, &second.expectation) {
            self.push(|| {
                format!(
                    "rule `{}` ({}) and rule `{}` ({}) contradict each other: no value of `{key}` is right for both\n\
                     hint: one of the two is always a finding; change it, or take the key out of it",
                    first.name, first.source, second.name, second.source
                )
            });
        }
    }

    /// Two rules of two keys of which the kernel lets only one count.
    fn counterparts(&mut self, key: &Key, rule: &Rule, counterpart: &Key, other: &Rule) {
        let off = Expectation::Equal("0".into());
        let is_on = |key: &Key, rule: &Rule| !agree(key, &rule.expectation, &off);
        if is_on(key, rule) && is_on(counterpart, other) {
            self.push(|| {
                format!(
                    "rule `{}` ({}) and rule `{}` ({}) contradict each other: writing one of `{key}` and `{counterpart}` \
                     sets the other to 0\nhint: one of the two is always a finding; leave one of the keys out",
                    rule.name, rule.source, other.name, other.source
                )
            });
        }
    }

    fn warnings(mut self) -> Vec<String> {
        if self.more > 0 {
            self.warnings.push(format!("{} more contradictions like these", self.more));
        }
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs of rules that contradict each other, and about what.
    #[track_caller]
    fn check(rules: &str, wanted: &[&str]) {
        let config = super::super::parse("f", &format!("drift_rules:\n{rules}")).unwrap();
        let told: Vec<String> = contradictions(&config.rules);
        let told: Vec<&str> = told.iter().filter_map(|warning| warning.split('\n').next()).collect();
        assert_eq!(told, wanted);
        assert!(wanted.iter().all(|wanted| config.warnings.iter().any(|told| told.starts_with(wanted))));
    }

    #[test]
    fn rules_that_no_value_meets_both_of_are_told() {
        let both = "rule `a` (f:2) and rule `b` (f:3) contradict each other: no value of `vm.swappiness` is right for both";
        for (a, b) in [
            ("expect: 10", "expect: 20"),
            ("expect: 10", "one_of: [20, 30]"),
            ("expect: 10", "min: 11"),
            ("max: 10", "min: 11"),
            ("expect: 100, within: 5%", "max: 94"),
            ("expect: 10", "matches: \"2.\""),
        ] {
            check(
                &format!("  a: {{keys: vm.swappiness, {a}}}\n  b: {{keys: vm/swappiness, {b}}}\n"),
                &[both],
            );
            check(
                &format!("  a: {{keys: vm.swappiness, {b}}}\n  b: {{keys: vm/swappiness, {a}}}\n"),
                &[both],
            );
        }
        check(
            "  a: {keys: net.ipv4.conf.*.rp_filter, expect: 1}\n  b: {keys: net.ipv4.conf.hub0.rp_filter, expect: 2}\n",
            &[
                "rule `a` (f:2) and rule `b` (f:3) contradict each other: no value of `net.ipv4.conf.hub0.rp_filter` is right for both",
            ],
        );
    }

    #[test]
    fn rules_that_one_value_meets_or_of_which_one_expects_nothing_of_its_own_are_not() {
        for (a, b) in [
            ("expect: 10", "expect: 0xa"),
            ("expect: 10", "severity: critical"),
            ("expect: 10", "min: 10"),
            ("min: 5", "max: 5"),
            ("max: 5% of fs.file-max", "min: 11"),
            ("matches: a", "matches: b"),
        ] {
            check(&format!("  a: {{keys: vm.swappiness, {a}}}\n  b: {{keys: vm.swappiness, {b}}}\n"), &[]);
        }
    }

    #[test]
    fn of_two_keys_of_which_one_counts_not_both_can_be_set() {
        let both = |ratio: &str, bytes: &str| {
            format!("  a: {{keys: vm.dirty_ratio, {ratio}}}\n  b: {{keys: vm.dirty_bytes, {bytes}}}\n")
        };
        let told = "rule `b` (f:3) and rule `a` (f:2) contradict each other: writing one of `vm.dirty_bytes` and \
                    `vm.dirty_ratio` sets the other to 0";
        check(&both("expect: 20", "expect: 100000"), &[told]);
        check(&both("min: 1", "min: 1MiB"), &[told]);
        check(&both("expect: 20", "expect: 0"), &[]);
        check(&both("max: 20", "expect: 100000"), &[]);
    }

    #[test]
    fn of_many_contradictions_the_first_are_told_and_how_many_more() {
        let rules: String =
            (0..30).map(|n| format!("  r{n}: {{keys: vm.swappiness, expect: {n}}}\n")).collect();
        let config = super::super::parse("f", &format!("drift_rules:\n{rules}")).unwrap();
        let told = contradictions(&config.rules);
        assert_eq!(told.len(), TOLD + 1);
        assert!(told[TOLD].ends_with(" more contradictions like these"), "{}", told[TOLD]);
    }
}
