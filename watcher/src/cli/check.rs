//! `driftd check`: what is in force against what is declared, once, without a daemon.
//!
//! `for:` and `settle:` need time and are not waited for: a departure of now is shown.

use std::{collections::BTreeSet, io::Write, path::Path, sync::Arc};

use serde::Serialize;

use super::{
    cleaned, counted, exit,
    explain::{expected_of, in_words, place, read},
};
use crate::{
    alerts::{Output, clean, value},
    config::Config,
    judge::{Judgement, judge_adopted, settled},
    kernel::{Reader, expand},
    model::{IfAbsent, Key, Revision, Rule, Severity, Source, Value, VerdictStatus},
    sources::Wanted,
    store::{self, Past},
};

/// What a check found.
#[derive(Serialize)]
pub(super) struct Checked {
    pub status: VerdictStatus,
    /// How many pairs of rule and key were compared.
    pub compared: usize,
    /// How many were not: nothing is declared for them before a deployment, or they move by themselves.
    pub unjudged: usize,
    pub findings: Vec<Departure>,
    pub unreadable: Vec<Unreadable>,
}

/// A key that is not as declared.
#[derive(Serialize)]
pub(super) struct Departure {
    pub key: Key,
    pub expected: String,
    /// The live value that was adopted, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Value>,
    pub actual: Option<Value>,
    pub rule: String,
    pub severity: Severity,
    pub declared_by: Source,
    /// The commit of its file; of what the host's own files say there is none.
    pub declared_commit: Option<Revision>,
}

/// A key that cannot be read.
#[derive(Serialize)]
pub(super) struct Unreadable {
    pub key: Key,
    pub error: String,
}

impl Checked {
    /// Nothing is checked yet.
    pub fn new() -> Checked {
        Checked {
            status: VerdictStatus::Synced,
            compared: 0,
            unjudged: 0,
            findings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Says how it went, once everything is checked.
    pub fn finish(&mut self) {
        if !self.findings.is_empty() || !self.unreadable.is_empty() {
            self.status = VerdictStatus::OutOfSync;
        }
    }

    /// How it went, in a line.
    pub fn summary(&self) -> String {
        format!(
            "{}: {} compared, {}, {} not judged",
            self.status.as_str(),
            self.compared,
            counted(self.findings.len(), "finding", "findings"),
            self.unjudged
        )
    }

    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match (self.unreadable.is_empty(), self.findings.is_empty()) {
            (false, _) => exit::UNREACHABLE,
            (true, false) => exit::DRIFT,
            (true, true) => exit::IN_SYNC,
        }
    }
}

impl Departure {
    /// A departure as it is shown: a secret is not.
    pub fn new(
        key: &Key,
        expected: String,
        actual: Option<Value>,
        rule: &str,
        declared_by: Source,
    ) -> Departure {
        let secret = key.is_secret();
        Departure {
            key: key.clone(),
            expected: if secret { Value::secret().to_string() } else { expected },
            adopted: None,
            actual: if secret { actual.map(|_| Value::secret()) } else { actual },
            rule: rule.to_owned(),
            severity: Severity::default(),
            declared_by,
            declared_commit: None,
        }
    }
}

/// Checks, shows what was found, and says how it went.
pub fn run(mut config: Config, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let past = match store::Reader::open(&config.state) {
        Ok(Some(reader)) => reader.past()?,
        Ok(None) => Past::default(),
        // Rules that capture are then not judged, which is said; of what was adopted nothing is known.
        Err(error) => {
            tracing::warn!("captured and adopted values are not known: {error}");
            Past::default()
        }
    };
    let root = Path::new("/");
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some((declared, _)) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
    declared.warn();
    let checked = check(&declared.rules, &past, root);
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&checked)?)?,
        Output::Text => write!(out, "{}", text(&checked))?,
    }
    Ok(checked.exit_code())
}

fn check(rules: &[Rule], past: &Past, root: &Path) -> Checked {
    let mut reader = Reader::new(root, 0);
    let mut checked = Checked::new();
    let keys = rules.iter().flat_map(|rule| {
        let drift = |key: &Key| (rule, key.clone(), rule.if_absent.unwrap_or(IfAbsent::Drift));
        let written: Vec<_> = rule.keys.iter().map(drift).collect();
        let meant: BTreeSet<Key> = rule.patterns.iter().flat_map(|pattern| expand(root, pattern).0).collect();
        let meant = meant.into_iter().filter(|key| !rule.keys.contains(key));
        let ignore = move |key| (rule, key, rule.if_absent.unwrap_or(IfAbsent::Ignore));
        written.into_iter().chain(meant.map(ignore))
    });
    for (rule, key, if_absent) in keys {
        let key = &key;
        let actual = match reader.read(key) {
            // One look cannot tell what was there before.
            Ok(None) if if_absent != IfAbsent::Drift => {
                checked.unjudged += 1;
                continue;
            }
            Ok(actual) => actual,
            Err(error) => {
                checked.unreadable.push(Unreadable { key: key.clone(), error: error.to_string() });
                continue;
            }
        };
        let adopted = past.adopted_value(&rule.name, key);
        let captured = past.captures.iter().find(|c| c.rule == rule.name && c.key == *key).map(|c| &c.value);
        let expectation = settled(&rule.expectation, |of| reader.read(of).ok().flatten());
        match judge_adopted(key, &expectation, captured, adopted, actual.as_ref()) {
            Judgement::InSync => checked.compared += 1,
            Judgement::Unjudged => checked.unjudged += 1,
            Judgement::Departs => {
                checked.compared += 1;
                let (expected, adopted) = expected_of(key, &rule.expectation, captured, adopted);
                let departure = Departure::new(key, expected, actual, &rule.name, rule.source.clone());
                checked.findings.push(Departure {
                    adopted,
                    severity: rule.severity,
                    declared_commit: rule.commit.clone(),
                    ..departure
                });
            }
        }
    }
    checked.finish();
    checked
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for Departure { key, expected, adopted, actual, rule, declared_by, declared_commit, .. } in
        &checked.findings
    {
        let (actual, expected) = (value(actual.as_ref()), in_words(expected, adopted.as_ref()));
        let place = place(declared_by, declared_commit.as_ref());
        text.push_str(&clean(&format!("{key} is {actual}, expected {expected} (rule {rule}, {place})")));
        text.push('\n');
    }
    text.push_str(&unreadable(&checked.unreadable));
    text.push_str(&format!("{}\n", checked.summary()));
    text
}

/// The keys that cannot be read, a line each.
pub(super) fn unreadable(unreadable: &[Unreadable]) -> String {
    unreadable.iter().map(|Unreadable { error, .. }| cleaned(error) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, model::Adopted, test_host::host};

    #[test]
    fn what_was_adopted_is_what_is_expected() {
        let root = host(&[("proc/sys/vm/swappiness", "61\n")]);
        let config =
            config::parse("driftd.yaml", "drift_rules:\n  a:\n    keys: vm.swappiness\n    expect: 10\n");
        let rules = config.unwrap().rules;
        let checked = |value: &str| {
            let key: Key = "vm.swappiness".parse().unwrap();
            let adopted = Adopted { rule: "a".into(), value: Value::canonical(&key, value), key };
            text(&check(&rules, &Past { adopted: vec![adopted], ..Past::default() }, root.path()))
        };
        insta::assert_snapshot!(checked("61"), @"SYNCED: 1 compared, 0 findings, 0 not judged");
        insta::assert_snapshot!(checked("62"), @"
        vm.swappiness is 61, expected 62, adopted (rule a, driftd.yaml:4)
        OUT_OF_SYNC: 1 compared, 1 finding, 0 not judged
        ");
    }

    #[test]
    fn what_would_move_the_cursor_is_an_escape_and_nothing_is_a_word() {
        let root =
            host(&[("proc/sys/kernel/hostname", "a\u{1b}[31mb\n"), ("proc/sys/kernel/domainname", "\n")]);
        let rule = |name, key, expected| format!("  {name}:\n    keys: {key}\n    expect: {expected}\n");
        let rules = [
            rule("a", "kernel.hostname", "\"\\e[1mc\""),
            rule("b", "kernel.domainname", "x"),
            rule("c", "kernel.hostname", "\"\""),
        ];
        let rules = format!("drift_rules:\n{}", rules.concat());
        let config = config::parse("\u{1b}d.yaml", &rules).unwrap();
        insta::assert_snapshot!(text(&check(&config.rules, &Past::default(), root.path())), @r#"
        kernel.hostname is a\u{1b}[31mb, expected \u{1b}[1mc (rule a, \u{1b}d.yaml:4)
        kernel.domainname is empty, expected x (rule b, \u{1b}d.yaml:7)
        kernel.hostname is a\u{1b}[31mb, expected empty (rule c, \u{1b}d.yaml:10)
        OUT_OF_SYNC: 3 compared, 3 findings, 0 not judged
        "#);
    }

    #[test]
    fn a_check_shows_each_departure_with_the_place_that_declares_it() {
        let root = host(&[("proc/sys/vm/swappiness", "61\n")]);
        let rules =
            "drift_rules:\n  a:\n    keys: vm.swappiness\n    expect: 10\n  b: vm.swappiness fs.file-max\n";
        let config = config::parse("driftd.yaml", rules).unwrap();
        insta::assert_snapshot!(text(&check(&config.rules, &Past::default(), root.path())), @"
        vm.swappiness is 61, expected 10 (rule a, driftd.yaml:4)
        OUT_OF_SYNC: 1 compared, 1 finding, 2 not judged
        ");
    }
}
