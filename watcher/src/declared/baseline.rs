//! All that is declared, every side remembered, and what two sources disagree about.

use std::collections::{BTreeMap, BTreeSet};

use super::Declaration;
use crate::model::{Expectation, Key, Margin, Quantity, Value};

/// All that is declared for each key, in the order in which it is applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    keys: BTreeMap<Key, Vec<Declaration>>,
    /// Keys that a later declaration of their counterpart sets to 0.
    undone: BTreeSet<Key>,
}

/// Two sources that disagree about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict<'b> {
    /// What holds: the last declaration.
    pub declared: &'b Declaration,
    /// What the other sources say, each by its last declaration, in the order in which they are applied. Never empty.
    pub against: Vec<&'b Declaration>,
}

impl Baseline {
    /// The baseline of these declarations, in the order in which they are applied: the later wins.
    pub fn new(declarations: impl IntoIterator<Item = Declaration>) -> Baseline {
        let mut baseline = Baseline::default();
        baseline.then(declarations);
        baseline
    }

    /// Lets these declarations come after all the others.
    pub fn then(&mut self, declarations: impl IntoIterator<Item = Declaration>) {
        for declaration in declarations {
            if let Some(other) = declaration.key.counterpart()
                && sets(&declaration)
            {
                self.undone.remove(&declaration.key);
                if self.in_force_of(&other).is_some_and(sets) {
                    self.undone.insert(other);
                }
            }
            self.keys.entry(declaration.key.clone()).or_default().push(declaration);
        }
    }

    /// What holds for each key. Of two keys of which the kernel lets only one count, as `vm.dirty_bytes` and
    /// `vm.dirty_ratio`, that is the one that is declared last: applying it sets the other to 0.
    pub fn in_force(&self) -> impl Iterator<Item = &Declaration> {
        let holds = |(key, _): &(&Key, &Vec<Declaration>)| !self.undone.contains(*key);
        self.keys.iter().filter(holds).filter_map(|(_, chain)| chain.last())
    }

    /// Whether what is declared for a key is undone by a later declaration of its counterpart.
    pub fn is_undone(&self, key: &Key) -> bool {
        self.undone.contains(key)
    }

    fn in_force_of(&self, key: &Key) -> Option<&Declaration> {
        self.keys.get(key)?.last()
    }

    /// Everything that is declared for a key: the last one holds, and overrides those before it. Empty where nothing is.
    pub fn explain(&self, key: &Key) -> &[Declaration] {
        self.keys.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// What two sources disagree about, each key once. That a source overrides itself, a file of the administrator one
    /// of the vendor, a profile the one it includes, is no conflict: that is what its order is for.
    pub fn conflicts(&self) -> Vec<Conflict<'_>> {
        self.keys.values().filter_map(|chain| conflict(chain)).collect()
    }
}

/// Whether a declaration gives one of two counterparts a value, so that the other has none.
fn sets(declaration: &Declaration) -> bool {
    matches!(&declaration.expectation, Expectation::Equal(value) if Value::canonical(&declaration.key, value).as_str() != "0")
}

fn conflict(chain: &[Declaration]) -> Option<Conflict<'_>> {
    let (declared, earlier) = chain.split_last()?;
    let mut against: Vec<&Declaration> = Vec::new();
    for declaration in earlier {
        against.retain(|before| before.from != declaration.from);
        against.push(declaration);
    }
    against.retain(|before| {
        before.from != declared.from && !agree(&declared.key, &declared.expectation, &before.expectation)
    });
    (!against.is_empty()).then_some(Conflict { declared, against })
}

/// Whether one value can be as both expect, as far as that can be told.
pub fn agree(key: &Key, a: &Expectation, b: &Expectation) -> bool {
    match (values(key, a), values(key, b), bounds(a), bounds(b)) {
        (Some(values), ..) => values.iter().any(|value| is_right(key, value, b)),
        (_, Some(values), ..) => values.iter().any(|value| is_right(key, value, a)),
        (_, _, Some((least, most)), Some((other_least, other_most))) => {
            least.max(other_least) <= most.min(other_most)
        }
        // What another key is then, what two expressions have in common, and what a host had, nobody can tell.
        _ => true,
    }
}

/// The values that are right, where they are written out.
fn values(key: &Key, expectation: &Expectation) -> Option<Vec<Value>> {
    match expectation {
        Expectation::Equal(value) => Some(vec![Value::canonical(key, value)]),
        Expectation::OneOf(values) => Some(values.iter().map(|value| Value::canonical(key, value)).collect()),
        _ => None,
    }
}

fn is_right(key: &Key, value: &Value, expectation: &Expectation) -> bool {
    match expectation {
        Expectation::Equal(_) | Expectation::OneOf(_) => {
            values(key, expectation).is_some_and(|values| values.contains(value))
        }
        Expectation::Matches(pattern) => pattern.matches(value.as_str()),
        Expectation::Range { .. } | Expectation::Near(..) => bounds(expectation)
            .zip(value.quantity())
            .is_some_and(|((least, most), value)| (least..=most).contains(&value.thousandths())),
        Expectation::Share { .. } | Expectation::Captured(_) => true,
    }
}

/// The least and the most that is right, in thousandths, where that is a matter of numbers alone.
fn bounds(expectation: &Expectation) -> Option<(i128, i128)> {
    let thousandths = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::thousandths);
    match expectation {
        Expectation::Range { min, max } => {
            Some((thousandths(min).unwrap_or(i128::MIN), thousandths(max).unwrap_or(i128::MAX)))
        }
        Expectation::Near(anchor, margin) => {
            let anchor = anchor.thousandths();
            let margin = match margin {
                Margin::Absolute(most) => most.thousandths(),
                Margin::Percent(part) => anchor.saturating_abs().saturating_mul((*part).into()) / 100_000,
            };
            Some((anchor.saturating_sub(margin), anchor.saturating_add(margin)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IfAbsent, Source, TextPattern};

    fn declaration(from: &str, line: usize, expectation: Expectation) -> Declaration {
        Declaration {
            key: "vm.swappiness".parse().unwrap(),
            expectation,
            if_absent: IfAbsent::Drift,
            from: from.into(),
            source: Source { file: from.into(), line },
            commit: None,
        }
    }

    fn equal(from: &str, line: usize, value: &str) -> Declaration {
        declaration(from, line, Expectation::Equal(value.into()))
    }

    /// What holds, and against what, as `from:line`.
    #[track_caller]
    fn check(chain: &[Declaration], wanted: &[&str]) {
        let baseline = Baseline::new(chain.iter().cloned());
        let conflicts = baseline.conflicts();
        let told: Vec<String> = conflicts
            .iter()
            .flat_map(|conflict| std::iter::once(conflict.declared).chain(conflict.against.iter().copied()))
            .map(|declaration| declaration.source.to_string())
            .collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn the_last_holds_and_every_side_is_remembered() {
        let baseline = Baseline::new([equal("a", 1, "10"), equal("b", 2, "30")]);
        let key = "vm.swappiness".parse().unwrap();
        let lines = |declarations: Vec<&Declaration>| {
            declarations.iter().map(|declaration| declaration.source.line).collect::<Vec<_>>()
        };
        assert_eq!(lines(baseline.in_force().collect()), [2]);
        assert_eq!(lines(baseline.explain(&key).iter().collect()), [1, 2]);
        assert!(baseline.explain(&"vm.max_map_count".parse().unwrap()).is_empty());
    }

    #[test]
    fn of_two_counterparts_the_one_that_is_declared_last_holds() {
        let of = |line: usize, key: &str, value: &str| Declaration {
            key: key.parse().unwrap(),
            ..equal("a", line, value)
        };
        for (lines, wanted) in [
            (&[("vm.dirty_ratio", "20"), ("vm.dirty_bytes", "1048576")][..], "vm.dirty_bytes"),
            (&[("vm.dirty_bytes", "1048576"), ("vm.dirty_ratio", "20")], "vm.dirty_ratio"),
            (
                &[("vm.dirty_ratio", "20"), ("vm.dirty_bytes", "1"), ("vm.dirty_ratio", "30")],
                "vm.dirty_ratio",
            ),
            // That the other is 0 is what the kernel makes of it anyway.
            (&[("vm.dirty_ratio", "20"), ("vm.dirty_bytes", "0")], "vm.dirty_bytes vm.dirty_ratio"),
            (&[("vm.dirty_bytes", "0"), ("vm.dirty_ratio", "20")], "vm.dirty_bytes vm.dirty_ratio"),
            (
                &[("vm.dirty_ratio", "20"), ("vm.dirty_background_bytes", "1")],
                "vm.dirty_background_bytes vm.dirty_ratio",
            ),
        ] {
            let lines = lines.iter().enumerate().map(|(line, (key, value))| of(line, key, value));
            let baseline = Baseline::new(lines);
            let holds: Vec<String> =
                baseline.in_force().map(|declaration| declaration.key.to_string()).collect();
            assert_eq!(holds.join(" "), wanted);
        }
    }

    #[test]
    fn two_sources_that_disagree_are_one_conflict() {
        check(&[equal("a", 1, "10"), equal("b", 1, "30")], &["b:1", "a:1"]);
        check(&[equal("a", 1, "10"), equal("b", 1, "30"), equal("c", 1, "1")], &["c:1", "a:1", "b:1"]);
        check(&[equal("a", 1, "10"), equal("b", 1, "0xa")], &[]);
        check(&[equal("a", 1, "10"), equal("a", 2, "30")], &[]);
        check(&[equal("a", 1, "10"), equal("a", 2, "30"), equal("b", 1, "30")], &[]);
        check(&[equal("a", 1, "30"), equal("b", 1, "10"), equal("a", 2, "30")], &["a:2", "b:1"]);
    }

    #[test]
    fn a_bound_and_a_value_within_it_agree() {
        let least = |min: &str| Expectation::Range { min: Some(min.parse().unwrap()), max: None };
        let most = |max: &str| Expectation::Range { min: None, max: Some(max.parse().unwrap()) };
        check(&[equal("a", 1, "60"), declaration("b", 1, least("60"))], &[]);
        check(&[equal("a", 1, "60"), declaration("b", 1, least("61"))], &["b:1", "a:1"]);
        check(&[declaration("a", 1, least("1")), declaration("b", 1, most("2"))], &[]);
        check(&[declaration("a", 1, least("3")), declaration("b", 1, most("2"))], &["b:1", "a:1"]);
        let one_of = |values: &[&str]| Expectation::OneOf(values.iter().map(|v| (*v).into()).collect());
        check(&[equal("a", 1, "1"), declaration("b", 1, one_of(&["1", "2"]))], &[]);
        check(&[equal("a", 1, "3"), declaration("b", 1, one_of(&["1", "2"]))], &["b:1", "a:1"]);
        let near = |anchor: &str, part| Expectation::Near(anchor.parse().unwrap(), Margin::Percent(part));
        check(&[equal("a", 1, "95"), declaration("b", 1, near("100", 5_000))], &[]);
        check(&[equal("a", 1, "94"), declaration("b", 1, near("100", 5_000))], &["b:1", "a:1"]);
        check(&[declaration("a", 1, least("105")), declaration("b", 1, near("100", 5_000))], &[]);
        check(&[declaration("a", 1, least("106")), declaration("b", 1, near("100", 5_000))], &["b:1", "a:1"]);
        let matches = |text: &str| Expectation::Matches(TextPattern::parse(text).unwrap());
        check(&[equal("a", 1, "10"), declaration("b", 1, matches("[0-9]0"))], &[]);
        check(&[equal("a", 1, "11"), declaration("b", 1, matches("[0-9]0"))], &["b:1", "a:1"]);
        check(&[declaration("a", 1, matches("a")), declaration("b", 1, matches("b"))], &[]);
    }
}
