//! From the lines of a source to the declarations of the keys there are, as the program that applies them would.

use std::collections::{HashMap, HashSet};

use super::{Declaration, Kind, Line, Only, Says, Target};
use crate::model::{IfAbsent, Key, Pattern};

/// The declarations that the lines of one kind make, in the order in which they are applied: of those for the same key
/// the last one holds, and those before it are what it overrides.
///
/// `matching` says which keys a pattern matches now. When an interface, a module or a device appears, resolve again.
pub fn resolve(
    kind: Kind,
    lines: &[Line],
    mut matching: impl FnMut(&Pattern, Only) -> Vec<Key>,
) -> Vec<Declaration> {
    match kind {
        Kind::SysctlD => systemd(lines, &mut matching),
        Kind::Procps | Kind::Declared => {
            // A key that is named anywhere is named by no pattern.
            let named: HashSet<&Key> = lines
                .iter()
                .filter_map(|line| match &line.target {
                    Target::Key(key) => Some(key),
                    Target::Pattern(..) => None,
                })
                .collect();
            in_order(lines, &named, &mut matching)
        }
        Kind::Tuned => in_order(lines, &HashSet::new(), &mut matching),
    }
}

/// Each line as it comes, patterns without the keys that are named.
fn in_order(
    lines: &[Line],
    named: &HashSet<&Key>,
    matching: &mut impl FnMut(&Pattern, Only) -> Vec<Key>,
) -> Vec<Declaration> {
    let mut declarations = Vec::new();
    for line in lines {
        match &line.target {
            Target::Key(key) => declarations.extend(line.declares(key.clone())),
            Target::Pattern(pattern, only) => {
                let keys = matching(pattern, *only).into_iter().filter(|key| !named.contains(key));
                declarations.extend(keys.filter_map(|key| line.declares(key)));
            }
        }
    }
    declarations
}

/// As systemd-sysctl does (`src/sysctl/sysctl.c`): it keeps one value for each name, a pattern being a name too. A name
/// that gets another value moves to the end; one that gets the same again stays where it is. A name without a value
/// is not applied, whatever it had before. A pattern passes over every key that is a name.
fn systemd(lines: &[Line], matching: &mut impl FnMut(&Pattern, Only) -> Vec<Key>) -> Vec<Declaration> {
    // The lines of each name, the last one in force; moved names leave an empty place.
    let mut places: Vec<Vec<&Line>> = Vec::new();
    let mut names: HashMap<&Target, usize> = HashMap::new();
    for line in lines {
        let place = names.get(&line.target).copied();
        let earlier = place.and_then(|place| places.get_mut(place));
        match earlier {
            Some(earlier) if earlier.last().is_some_and(|last| last.says == line.says) => earlier.push(line),
            earlier => {
                let mut all = earlier.map(std::mem::take).unwrap_or_default();
                all.push(line);
                names.insert(&line.target, places.len());
                places.push(all);
            }
        }
    }
    let mut declarations = Vec::new();
    for lines in &places {
        let Some(last) = lines.last().filter(|last| last.says != Says::Exclude) else { continue };
        let keys = match &last.target {
            Target::Key(key) => vec![key.clone()],
            Target::Pattern(pattern, only) => matching(pattern, *only)
                .into_iter()
                .filter(|key| !names.contains_key(&Target::Key(key.clone())))
                .collect(),
        };
        // One `-` is enough for all the lines that say the same.
        let same = lines.iter().rev().take_while(|line| line.says == last.says);
        let ignored = same.into_iter().any(|line| line.if_absent == IfAbsent::Ignore);
        for key in keys {
            let of_key = lines.iter().filter_map(|line| line.declares(key.clone()));
            declarations.extend(of_key.map(|declaration| Declaration {
                if_absent: if ignored { IfAbsent::Ignore } else { declaration.if_absent },
                ..declaration
            }));
        }
    }
    declarations
}

/// What holds in the end on a host that has these keys.
#[cfg(test)]
pub fn held(kind: Kind, lines: &[Line], keys: &[Key]) -> std::collections::BTreeMap<Key, String> {
    let matching =
        |pattern: &Pattern, _: Only| keys.iter().filter(|key| pattern.means(key)).cloned().collect();
    let value = |declaration: Declaration| match declaration.expectation {
        crate::model::Expectation::Equal(value) => (declaration.key, value.to_string()),
        other => panic!("{other:?}"),
    };
    resolve(kind, lines, matching).into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::sysctl::{self, Applier};

    const KEYS: [&str; 4] = ["net.a.all.x", "net.a.eth0.x", "net.a.eth1.x", "net.b.y"];

    /// What holds in the end, in one line.
    fn held(kind: Kind, text: &str) -> String {
        let applier = if kind == Kind::Procps { Applier::Procps } else { Applier::Systemd };
        let parsed = sysctl::parse(applier, &"s".into(), &"f".into(), text);
        let keys: Vec<Key> = KEYS.iter().map(|key| key.parse().unwrap()).collect();
        let held = super::held(kind, &parsed.lines, &keys);
        held.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(text: &str, systemd: &str, procps: &str) {
        assert_eq!(held(Kind::SysctlD, text), systemd, "systemd");
        assert_eq!(held(Kind::Procps, text), procps, "procps");
    }

    #[test]
    fn a_named_key_beats_any_pattern() {
        let wanted = "net.a.all.x=1 net.a.eth0.x=2 net.a.eth1.x=1";
        check("net.a.eth0.x = 2\nnet.a.*.x = 1\n", wanted, wanted);
        check("net.a.*.x = 1\nnet.a.eth0.x = 2\n", wanted, wanted);
    }

    #[test]
    fn an_excluded_key_is_matched_by_no_pattern() {
        let wanted = "net.a.eth0.x=1 net.a.eth1.x=1";
        check("net.a.*.x = 1\n-net.a.all.x\n", wanted, wanted);
    }

    #[test]
    fn an_exclusion_takes_a_key_back_for_systemd_alone() {
        check("net.b.y = 1\n-net.b.y\n", "", "net.b.y=1");
        check("-net.b.y\nnet.b.y = 1\n", "net.b.y=1", "net.b.y=1");
    }

    #[test]
    fn a_later_pattern_wins_unless_it_says_for_systemd_what_it_said_before() {
        let later = "net.a.all.x=1 net.a.eth0.x=2 net.a.eth1.x=2";
        check("net.a.*.x = 1\nnet.a.e*.x = 2\n", later, later);
        check(
            "net.a.*.x = 1\nnet.a.e*.x = 2\nnet.a.*.x = 1\n",
            later,
            "net.a.all.x=1 net.a.eth0.x=1 net.a.eth1.x=1",
        );
        let moved = "net.a.all.x=3 net.a.eth0.x=3 net.a.eth1.x=3";
        check("net.a.*.x = 1\nnet.a.e*.x = 2\nnet.a.*.x = 3\n", moved, moved);
    }

    #[test]
    fn a_key_that_is_not_there_is_declared_and_a_pattern_without_matches_declares_nothing() {
        check("net.c.z = 1\nnet.c*.z = 2\n", "net.c.z=1", "net.c.z=1");
    }
}
