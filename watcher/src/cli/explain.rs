//! `driftd explain KEY`: all that is declared for a key, what is in force, and who changed it last. It needs no daemon.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use super::exit;
use crate::{
    alerts::{Output, line},
    config::Config,
    judge::{Judgement, described, judge},
    kernel::Reader,
    model::{Finding, IfAbsent, Key, Kind, Rule, Source, Value},
    sources::{Declared, SourceError, Wanted},
    store::{self, Filter, Row},
};

/// What is known of a key.
#[derive(Serialize)]
struct Explained {
    key: Key,
    /// What is in force; nothing where the key does not exist.
    actual: Option<Value>,
    /// What sources declare, in the order in which they are applied.
    declared: Vec<Said>,
    /// The rules that judge it.
    judged: Vec<Judged>,
    /// What is open, as the store knows it.
    findings: Vec<Finding>,
    /// Its last change, as it was recorded.
    last_change: Option<Row>,
}

/// What one source says.
#[derive(Serialize)]
struct Said {
    expected: String,
    declared_by: Source,
    /// Whether something after it says otherwise, or a rule does.
    overridden: bool,
}

/// What one rule expects.
#[derive(Serialize)]
struct Judged {
    rule: Arc<str>,
    expected: String,
    declared_by: Source,
    in_sync: Option<bool>,
}

/// Explains a key, and says whether it is as declared.
pub(super) fn run(mut config: Config, key: &Key, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let wanted = Arc::new(Wanted::take(&mut config));
    let declared = match read(&wanted)? {
        Some(declared) => declared,
        None => return Ok(exit::USAGE),
    };
    let store = store::Reader::open(&config.state)?;
    let explained = explain(key, &declared, store.as_ref(), Path::new("/"))?;
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&explained)?)?,
        Output::Text => write!(out, "{}", text(&explained))?,
    }
    let departs = explained.judged.iter().any(|judged| judged.in_sync == Some(false));
    Ok(if departs { exit::DRIFT } else { exit::IN_SYNC })
}

/// What is declared; `None` where a file of values has mistakes, and every one was shown.
pub(super) fn read(wanted: &Arc<Wanted>) -> anyhow::Result<Option<Declared>> {
    match Declared::read(wanted, Path::new("/")) {
        Ok(declared) => Ok(Some(declared)),
        Err(SourceError::Problems(problems)) => {
            eprintln!("{}", problems.render(std::io::stderr().is_terminal()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The rules that are for a key, and what the key's absence means to each.
pub(super) fn rules_of<'d>(declared: &'d Declared, key: &Key) -> Vec<(&'d Rule, IfAbsent)> {
    let path = key.path();
    let by_pattern = |rule: &Rule| rule.patterns.iter().any(|p| p.matches(path.trim_start_matches('/')));
    let written = declared.rules.iter().filter(|rule| rule.keys.contains(key));
    let mut rules: Vec<_> = written.map(|rule| (rule, rule.if_absent.unwrap_or(IfAbsent::Drift))).collect();
    for rule in declared.rules.iter().filter(|rule| by_pattern(rule)) {
        if !rules.iter().any(|(other, _)| other.name == rule.name) {
            rules.push((rule, rule.if_absent.unwrap_or(IfAbsent::Ignore)));
        }
    }
    rules
}

fn explain(
    key: &Key,
    declared: &Declared,
    store: Option<&store::Reader>,
    root: &Path,
) -> anyhow::Result<Explained> {
    let actual = Reader::new(root, 0).read(key)?;
    let past = store.map(store::Reader::past).transpose()?.unwrap_or_default();
    let changes = Filter { kinds: vec![Kind::Change], key: Some(key.clone()), ..Filter::default() };
    let last_change =
        store.map(|store| store.newest(&changes, 1)).transpose()?.and_then(|mut rows| rows.pop());
    let judged: Vec<Judged> = rules_of(declared, key)
        .into_iter()
        .map(|(rule, if_absent)| {
            let captured = past.captures.iter().find(|c| c.rule == rule.name && c.key == *key);
            let captured = captured.map(|capture| &capture.value);
            let judgement = match (&actual, if_absent) {
                (None, IfAbsent::Ignore | IfAbsent::Wait) => Judgement::Unjudged,
                _ => judge(key, &rule.expectation, captured, actual.as_ref()),
            };
            Judged {
                rule: rule.name.clone(),
                expected: described(key, &rule.expectation, captured),
                declared_by: rule.source.clone(),
                in_sync: match judgement {
                    Judgement::InSync => Some(true),
                    Judgement::Departs => Some(false),
                    Judgement::Unjudged => None,
                },
            }
        })
        .collect();
    let chain = declared.baseline.explain(key);
    let said = chain.iter().enumerate().map(|(index, declaration)| Said {
        expected: described(key, &declaration.expectation, None),
        declared_by: declaration.source.clone(),
        overridden: index + 1 < chain.len()
            || declared.overruled.iter().any(|overruled| overruled.declaration.key == *key),
    });
    Ok(Explained {
        key: key.clone(),
        actual: if key.is_secret() { actual.map(|_| Value::secret()) } else { actual },
        declared: said.collect(),
        judged,
        findings: past.findings.into_iter().filter(|finding| finding.key == *key).collect(),
        last_change,
    })
}

fn text(explained: &Explained) -> String {
    let Explained { key, actual, declared, judged, findings, last_change } = explained;
    let mut text = format!("{key} is {}\n", actual.as_ref().map_or("absent", Value::as_str));
    for Said { expected, declared_by, overridden } in declared {
        let how = if *overridden { ", overridden" } else { "" };
        text.push_str(&format!("  declared: {expected} ({declared_by}){how}\n"));
    }
    for Judged { rule, expected, declared_by, in_sync } in judged {
        let how = match in_sync {
            Some(true) => "in sync",
            Some(false) => "departs",
            None => "not judged",
        };
        text.push_str(&format!("  rule {rule}: {expected} ({declared_by}), {how}\n"));
    }
    if judged.is_empty() {
        text.push_str("  nothing declares it\n");
    }
    for finding in findings {
        let since: Timestamp = finding.opened;
        let since = since.strftime("%FT%TZ");
        text.push_str(&format!("  finding: since {since}, {}\n", finding.cause.as_str()));
    }
    match last_change {
        Some(row) => text.push_str(&format!("  last: {}\n", line(row, Output::Text))),
        None => text.push_str("  last: no change was recorded\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, test_host::host};

    #[test]
    fn the_whole_chain_is_shown_with_what_holds() {
        let root = host(&[
            ("proc/sys/vm/swappiness", "61\n"),
            ("etc/sysctl.d/10-a.conf", "vm.swappiness = 10\n"),
            ("etc/sysctl.d/20-b.conf", "\nvm.swappiness = 30\n"),
        ]);
        let explained = |config: &str, key: &str| {
            let mut config = config::parse("driftd.yaml", config).unwrap();
            let declared = Declared::read(&Arc::new(Wanted::take(&mut config)), root.path()).unwrap();
            text(&explain(&key.parse().unwrap(), &declared, None, root.path()).unwrap())
        };
        insta::assert_snapshot!(explained("", "vm.swappiness"), @r#"
        vm.swappiness is 61
          declared: 10 (/etc/sysctl.d/10-a.conf:1), overridden
          declared: 30 (/etc/sysctl.d/20-b.conf:2)
          rule declared: 30 (/etc/sysctl.d/20-b.conf:2), departs
          last: no change was recorded
        "#);
        let rule = "drift_rules:\n  a:\n    keys: vm.swap*\n    expect: 61\ndeclared_from: [sysctl.d]\n";
        insta::assert_snapshot!(explained(rule, "/proc/sys/vm/swappiness"), @r#"
        vm.swappiness is 61
          declared: 10 (/etc/sysctl.d/10-a.conf:1), overridden
          declared: 30 (/etc/sysctl.d/20-b.conf:2), overridden
          rule a: 61 (driftd.yaml:4), in sync
          last: no change was recorded
        "#);
        insta::assert_snapshot!(explained("", "vm.max_map_count"), @r#"
        vm.max_map_count is absent
          nothing declares it
          last: no change was recorded
        "#);
    }
}
