//! The rules of a configuration and what sources declare, made one list of rules.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Baseline, Declaration, baseline::agree};
use crate::model::{Expectation, Key, Remedy, Rule, Severity, Source, Value};

/// The rule under which a key is judged that no rule of the configuration names. One name for all sources, so that a
/// finding stays what it is when another file comes to declare its key.
pub const DECLARED: &str = "declared";

/// What is judged, and which sources were not heeded.
#[derive(Debug, Default, PartialEq)]
pub struct Composed {
    /// The rules of the configuration, then those for what only sources declare.
    pub rules: Vec<Rule>,
    /// Rules and sources that disagree, each key once for each rule.
    pub overruled: Vec<Overruled>,
}

/// A rule and a source that disagree about a key: the rule holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Overruled {
    /// The rule.
    pub rule: Arc<str>,
    /// What it expects.
    pub expectation: Expectation,
    /// Where it stands.
    pub source: Source,
    /// What the source declares.
    pub declaration: Declaration,
}

/// Puts rules and sources together.
///
/// A rule that expects something of its own wins over any source. One that expects what the host had takes what is
/// declared in its place: the rule says how loud, for how long and how far, the source says the value. What no rule
/// names is a rule of its own, [`DECLARED`].
pub fn compose(rules: &[Rule], baseline: &Baseline) -> Composed {
    let mut composed = Composed { rules: rules.to_vec(), overruled: Vec::new() };
    // Rules may name ten thousand keys of which sources declare none: only what both name is kept to be looked up.
    let in_force: HashSet<&Key> = baseline.in_force().map(|declaration| &declaration.key).collect();
    let mut named: HashMap<&Key, Vec<usize>> = HashMap::new();
    for (place, rule) in rules.iter().enumerate() {
        let keys = rule.keys.iter().filter(|key| in_force.contains(key));
        keys.for_each(|key| named.entry(key).or_default().push(place));
    }
    let patterned: Vec<usize> = (0..rules.len())
        .filter(|place| rules.get(*place).is_some_and(|rule| !rule.patterns.is_empty()))
        .collect();
    let mut own: Vec<Rule> = Vec::new();
    let name: Arc<str> = DECLARED.into();
    let mut taken: HashSet<(usize, &Key)> = HashSet::new();
    // The keys that one line means are one rule.
    let mut of_line: HashMap<&Source, Vec<usize>> = HashMap::new();
    for declaration in baseline.in_force() {
        let key = &declaration.key;
        let mut of_rule = named.get(key).cloned().unwrap_or_default();
        of_rule
            .extend(patterned.iter().filter(|place| rules.get(**place).is_some_and(|rule| rule.means(key))));
        let mut is_named = false;
        for place in of_rule {
            let Some(rule) = rules.get(place).filter(|_| taken.insert((place, key))) else { continue };
            is_named = true;
            match &rule.expectation {
                Expectation::Captured(margin) => own.push(Rule {
                    expectation: near(declaration, margin.as_ref()),
                    source: declaration.source.clone(),
                    commit: declaration.commit.clone(),
                    if_absent: Some(rule.if_absent.unwrap_or(declaration.if_absent)),
                    keys: vec![key.clone()],
                    patterns: Vec::new(),
                    ..rule.clone()
                }),
                expectation if agree(key, expectation, &declaration.expectation) => {}
                expectation => composed.overruled.push(Overruled {
                    rule: rule.name.clone(),
                    expectation: expectation.clone(),
                    source: rule.source.clone(),
                    declaration: declaration.clone(),
                }),
            }
        }
        if is_named {
            continue;
        }
        let places = of_line.entry(&declaration.source).or_default();
        let like = |rule: &&mut Rule| {
            rule.expectation == declaration.expectation && rule.if_absent == Some(declaration.if_absent)
        };
        let at = places.iter().copied().find(|at| own.get_mut(*at).as_ref().is_some_and(like));
        match at.and_then(|at| own.get_mut(at)) {
            Some(rule) => rule.keys.push(key.clone()),
            None => {
                places.push(own.len());
                own.push(declared(&name, declaration));
            }
        }
    }
    // What a source says of a key of a rule that captures stands in a rule of the same name.
    for (place, rule) in composed.rules.iter_mut().enumerate() {
        if matches!(rule.expectation, Expectation::Captured(_)) {
            rule.keys.retain(|key| !taken.contains(&(place, key)));
        }
    }
    composed.rules.retain(|rule| !rule.keys.is_empty() || !rule.patterns.is_empty());
    composed.rules.extend(own);
    composed
}

/// The value that is declared, as far away as a rule allows.
fn near(declaration: &Declaration, margin: Option<&crate::model::Margin>) -> Expectation {
    let Declaration { key, expectation, .. } = declaration;
    let quantity = match expectation {
        Expectation::Equal(value) => Value::canonical(key, value).quantity(),
        _ => None,
    };
    match margin.zip(quantity) {
        Some((margin, quantity)) => Expectation::Near(quantity, margin.clone()),
        None => expectation.clone(),
    }
}

/// The rule of what only a source declares.
fn declared(name: &Arc<str>, declaration: &Declaration) -> Rule {
    Rule {
        name: name.clone(),
        keys: vec![declaration.key.clone()],
        patterns: Vec::new(),
        if_absent: Some(declaration.if_absent),
        expectation: declaration.expectation.clone(),
        severity: Severity::default(),
        hold: std::time::Duration::ZERO,
        settle: Rule::DEFAULT_SETTLE,
        mute: None,
        // What a source declares comes from outside, and never with a remedy.
        remedy: Remedy::Notify,
        source: declaration.source.clone(),
        commit: declaration.commit.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IfAbsent, Margin, Pattern};

    fn baseline(lines: &[(&str, &str)]) -> Baseline {
        Baseline::new(lines.iter().enumerate().map(|(index, (key, value))| Declaration {
            key: key.parse().unwrap(),
            expectation: Expectation::Equal((*value).into()),
            if_absent: IfAbsent::Drift,
            from: "s".into(),
            source: Source { file: "s".into(), line: index + 1 },
            commit: None,
        }))
    }

    fn rule(keys: &str, expectation: Expectation) -> Rule {
        let (patterns, keys) = keys.split(' ').partition::<Vec<&str>, _>(|key| Pattern::is_one(key));
        Rule {
            name: "r".into(),
            keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
            patterns: patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            if_absent: None,
            expectation,
            severity: Severity::Critical,
            hold: std::time::Duration::ZERO,
            settle: Rule::DEFAULT_SETTLE,
            mute: None,
            remedy: Remedy::Notify,
            source: Source { file: "r".into(), line: 1 },
            commit: None,
        }
    }

    /// Each rule as `name place: keys expectation`, then what is overruled.
    #[track_caller]
    fn check(rules: &[Rule], lines: &[(&str, &str)], wanted: &[&str]) {
        let composed = compose(rules, &baseline(lines));
        let shown = |expectation: &Expectation| match expectation {
            Expectation::Equal(value) => format!("= {value}"),
            Expectation::Near(value, margin) => format!("= {value} by {margin}"),
            Expectation::Captured(_) => "as it was".into(),
            other => format!("{other:?}"),
        };
        let mut said: Vec<String> = Vec::new();
        for rule in &composed.rules {
            let keys = rule.keys.iter().map(ToString::to_string);
            let all: Vec<String> = keys.chain(rule.patterns.iter().map(ToString::to_string)).collect();
            said.push(format!(
                "{} {}: {} {}",
                rule.name,
                rule.source,
                all.join(" "),
                shown(&rule.expectation)
            ));
        }
        for Overruled { rule, source, declaration, .. } in &composed.overruled {
            said.push(format!("{rule} {source} against {} of {}", declaration.source, declaration.key));
        }
        assert_eq!(said, wanted);
    }

    #[test]
    fn what_no_rule_names_is_a_rule_of_its_own() {
        check(&[], &[("vm.swappiness", "10")], &["declared s:1: vm.swappiness = 10"]);
        let other = [rule("fs.file-max", Expectation::Equal("9".into()))];
        let wanted = ["r r:1: fs.file-max = 9", "declared s:1: vm.swappiness = 10"];
        check(&other, &[("vm.swappiness", "10")], &wanted);
    }

    #[test]
    fn a_rule_that_expects_something_wins_and_a_source_that_disagrees_is_told_once() {
        let equal = |value: &str| [rule("vm.swappiness", Expectation::Equal(value.into()))];
        let lines = [("vm.swappiness", "10")];
        check(&equal("10"), &lines, &["r r:1: vm.swappiness = 10"]);
        check(&equal("30"), &lines, &["r r:1: vm.swappiness = 30", "r r:1 against s:1 of vm.swappiness"]);
        let any = [rule("vm.swap*", Expectation::Equal("30".into()))];
        check(&any, &lines, &["r r:1: vm.swap* = 30", "r r:1 against s:1 of vm.swappiness"]);
    }

    #[test]
    fn a_rule_without_a_value_takes_the_one_that_is_declared() {
        let lines = [("vm.swappiness", "10")];
        let short = [rule("vm.swappiness fs.file-max", Expectation::Captured(None))];
        check(&short, &lines, &["r r:1: fs.file-max as it was", "r s:1: vm.swappiness = 10"]);
        let margin = Some(Margin::Percent(5000));
        let within = [rule("vm.swappiness", Expectation::Captured(margin))];
        check(&within, &lines, &["r s:1: vm.swappiness = 10 by 5%"]);
        let any = [rule("vm.swap*", Expectation::Captured(None))];
        check(&any, &lines, &["r r:1: vm.swap* as it was", "r s:1: vm.swappiness = 10"]);
    }

    #[test]
    fn the_keys_of_one_line_are_one_rule() {
        let mut declarations: Vec<Declaration> =
            baseline(&[("vm.a", "1"), ("vm.b", "1"), ("vm.c", "2")]).in_force().cloned().collect();
        declarations.iter_mut().for_each(|declaration| declaration.source.line = 7);
        let composed = compose(&[], &Baseline::new(declarations));
        assert_eq!(composed.rules.iter().map(|rule| rule.keys.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
