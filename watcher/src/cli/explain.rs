//! `driftd explain KEY`: all that is declared for a key, what is in force, and who changed it last. It needs no daemon.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::Arc,
};

use serde::Serialize;

use super::{exit, or_empty, seconds};
use crate::{
    alerts::{Output, clean, line, value},
    config::Config,
    declared::{Committed, Declaration, inline},
    judge::{Judgement, described, judge_adopted, settled},
    kernel::Reader,
    model::{Cause, Expectation, Finding, IfAbsent, Key, Kind, Revision, Rule, Source, Value},
    sources::{Declared, Repositories, SourceErrors, Wanted},
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
    /// The commit of its file, or that it came with.
    declared_commit: Option<Revision>,
    /// Whether something after it says otherwise, or a rule does.
    overridden: bool,
}

/// What one rule expects.
#[derive(Serialize)]
struct Judged {
    rule: Arc<str>,
    expected: String,
    /// The live value that was adopted, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    adopted: Option<Value>,
    declared_by: Source,
    /// The commit of its file, or that it came with.
    declared_commit: Option<Revision>,
    in_sync: Option<bool>,
}

/// Explains a key, and says whether it is as declared.
pub(super) fn run(mut config: Config, key: &Key, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some((mut declared, _)) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
    let store = store::Reader::open(&config.state)?;
    declared.then(delivered(&config, store.as_ref())?);
    let explained = explain(key, &declared, store.as_ref(), Path::new("/"))?;
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&explained)?)?,
        Output::Text => write!(out, "{}", text(&explained))?,
    }
    let departs = explained.judged.iter().any(|judged| judged.in_sync == Some(false));
    Ok(if departs { exit::DRIFT } else { exit::IN_SYNC })
}

/// What is declared, and what of it stands in repositories; `None` where files of values have mistakes, and every one was
/// shown.
pub(super) fn read(wanted: &Arc<Wanted>, state: &Path) -> anyhow::Result<Option<(Declared, Vec<Committed>)>> {
    let (committed, amiss) = committed(wanted, state)?;
    match amiss.or(Declared::read(wanted, &committed, Path::new("/"))) {
        Ok(declared) => Ok(Some((declared, committed))),
        Err(errors) if errors.are_mistakes() => {
            eprintln!("{}", errors.render(std::io::stderr().is_terminal()));
            Ok(None)
        }
        Err(errors) => Err(errors.into()),
    }
}

/// What repositories declare, what the daemon took last, or else what their heads do; nothing of one that cannot be read, and
/// why those cannot.
fn committed(wanted: &Wanted, state: &Path) -> std::io::Result<(Vec<Committed>, SourceErrors)> {
    let (mut committed, mut amiss) = (Vec::new(), SourceErrors::default());
    if wanted.repositories().next().is_none() {
        return Ok((committed, amiss));
    }
    let (runtime, repositories) = (super::runtime()?, Repositories::new(state));
    for git in wanted.repositories() {
        committed.push(runtime.block_on(repositories.read_known(git)).unwrap_or_else(|error| {
            amiss.push(error);
            Committed::default()
        }));
    }
    Ok((committed, amiss))
}

/// What came with deployments in force, where the configuration lets a sender say it.
pub(super) fn delivered(config: &Config, store: Option<&store::Reader>) -> anyhow::Result<Vec<Declaration>> {
    let Some(store) = store.filter(|_| config.may_declare()) else { return Ok(Vec::new()) };
    Ok(inline(store.in_force()?.iter()))
}

/// The rules that are for a key, and what the key's absence means to each.
pub(super) fn rules_of<'d>(declared: &'d Declared, key: &Key) -> Vec<(&'d Rule, IfAbsent)> {
    let written = declared.rules.iter().filter(|rule| rule.keys.contains(key));
    let mut rules: Vec<_> = written.map(|rule| (rule, rule.if_absent.unwrap_or(IfAbsent::Drift))).collect();
    for rule in declared.rules.iter().filter(|rule| rule.means(key)) {
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
    let mut reader = Reader::new(root, 0);
    let actual = reader.read(key)?;
    let past = store.map(store::Reader::past).transpose()?.unwrap_or_default();
    let changes = Filter { kinds: vec![Kind::Change], key: Some(key.clone()), ..Filter::default() };
    let last_change =
        store.map(|store| store.newest(&changes, 1)).transpose()?.and_then(|mut rows| rows.pop());
    let judged: Vec<Judged> = rules_of(declared, key)
        .into_iter()
        .map(|(rule, if_absent)| {
            let captured = past.captures.iter().find(|c| c.rule == rule.name && c.key == *key);
            let captured = captured.map(|capture| &capture.value);
            let adopted = past.adopted_value(&rule.name, key);
            let judgement = match (&actual, if_absent) {
                (None, IfAbsent::Ignore | IfAbsent::Wait) => Judgement::Unjudged,
                _ => {
                    let expectation = settled(&rule.expectation, |of| reader.read(of).ok().flatten());
                    judge_adopted(key, &expectation, captured, adopted, actual.as_ref())
                }
            };
            let (expected, adopted) = expected_of(key, &rule.expectation, captured, adopted);
            Judged {
                rule: rule.name.clone(),
                expected,
                adopted,
                declared_by: rule.source.clone(),
                declared_commit: rule.commit.clone(),
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
        declared_commit: declaration.commit.clone(),
        overridden: index + 1 < chain.len()
            || declared.baseline.is_undone(key)
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

/// What is expected of a key, and the live value that was adopted: where one value is expected, that is the one. Of a secret
/// nothing is shown.
pub(super) fn expected_of(
    key: &Key,
    expectation: &Expectation,
    captured: Option<&Value>,
    adopted: Option<&Value>,
) -> (String, Option<Value>) {
    let adopted = adopted.map(|value| if key.is_secret() { Value::secret() } else { value.clone() });
    let expected = match &adopted {
        Some(value) if expectation.is_one_value() => value.to_string(),
        _ => described(key, expectation, captured),
    };
    (expected, adopted)
}

/// The same as a person reads it.
pub(super) fn in_words(expected: &str, adopted: Option<&Value>) -> String {
    match adopted {
        None => or_empty(expected).to_owned(),
        Some(adopted) if adopted.as_str() == expected => format!("{}, adopted", or_empty(expected)),
        Some(adopted) => format!("{}, adopted, or {}", value(Some(adopted)), or_empty(expected)),
    }
}

/// Where something is declared, as a person reads it.
pub(super) fn place(source: &Source, commit: Option<&Revision>) -> String {
    match commit {
        Some(commit) => format!("{source} of commit {}", commit.short()),
        None => source.to_string(),
    }
}

fn text(explained: &Explained) -> String {
    let Explained { key, actual, declared, judged, findings, last_change } = explained;
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&clean(&line));
        text.push('\n');
    };
    say(format!("{key} is {}", value(actual.as_ref())));
    for Said { expected, declared_by, declared_commit, overridden } in declared {
        let how = if *overridden { ", overridden" } else { "" };
        let (expected, place) = (or_empty(expected), place(declared_by, declared_commit.as_ref()));
        say(format!("  declared: {expected} ({place}){how}"));
    }
    for Judged { rule, expected, adopted, declared_by, declared_commit, in_sync } in judged {
        let how = match in_sync {
            Some(true) => "in sync",
            Some(false) => "departs",
            None => "not judged",
        };
        let expected = in_words(expected, adopted.as_ref());
        let place = place(declared_by, declared_commit.as_ref());
        say(format!("  rule {rule}: {expected} ({place}), {how}"));
    }
    if judged.is_empty() {
        say("  nothing declares it".into());
    }
    for Finding { rule, opened, cause, detail, .. } in findings {
        let cause = match cause {
            Cause::Unknown => "cause unknown",
            cause => cause.as_str(),
        };
        let detail = detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
        say(format!("  finding: of rule {rule}, since {}, {cause}{detail}", seconds(*opened)));
    }
    match last_change {
        Some(row) => say(format!("  last: {}", line(row, Output::Text))),
        None => say("  last: no change was recorded".into()),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        model::{Deployment, DeploymentId},
        test_host::host,
    };

    #[test]
    fn the_whole_chain_is_shown_with_what_holds() {
        let root = host(&[
            ("proc/sys/vm/swappiness", "61\n"),
            ("etc/sysctl.d/10-a.conf", "vm.swappiness = 10\n"),
            ("etc/sysctl.d/20-b.conf", "\nvm.swappiness = 30\n"),
        ]);
        let explained = |config: &str, key: &str| {
            let mut config = config::parse("driftd.yaml", config).unwrap();
            let declared = Declared::read(&Arc::new(Wanted::take(&mut config)), &[], root.path()).unwrap();
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

    /// What is explained of a key that is adopted, with a finding, as text and as JSON.
    fn explained(actual: &str, expectation: &Expectation, adopted: &str) -> [String; 2] {
        let key: Key = "kernel.hostname".parse().unwrap();
        let (expected, adopted) =
            expected_of(&key, expectation, None, Some(&Value::canonical(&key, adopted)));
        let finding = r#"{"finding":"f","state":"opened","key":"kernel.hostname","rule":"name","severity":"critical",
            "expected":"a","actual":"b","previous":null,"requested":null,"commit":null,"declared_commit":null,
            "declared_by":{"file":"f","line":7},"cause":"unknown","writer":null,"seen_by":"sweep","deployment":null,
            "opened":"2026-08-01T10:20:00.5Z","healed":null}"#;
        let declared_by = Source { file: "f".into(), line: 7 };
        let explained = Explained {
            actual: Some(Value::canonical(&key, actual)),
            key,
            declared: Vec::new(),
            judged: vec![Judged {
                rule: "name".into(),
                expected,
                adopted,
                declared_by,
                declared_commit: None,
                in_sync: Some(true),
            }],
            findings: vec![serde_json::from_str(finding).unwrap()],
            last_change: None,
        };
        [text(&explained), serde_json::to_string(&explained.judged).unwrap()]
    }

    #[test]
    fn what_is_adopted_is_told_beside_what_is_expected_and_a_finding_with_its_rule() {
        let [text, json] = explained("a\u{1b}[2J", &Expectation::Equal("c".into()), "a\u{1b}[2J");
        insta::assert_snapshot!(text, @r#"
        kernel.hostname is a\u{1b}[2J
          rule name: a\u{1b}[2J, adopted (f:7), in sync
          finding: of rule name, since 2026-08-01T10:20:00Z, cause unknown
          last: no change was recorded
        "#);
        insta::assert_snapshot!(json, @r#"[{"rule":"name","expected":"a\u001b[2J","adopted":"a\u001b[2J","declared_by":{"file":"f","line":7},"declared_commit":null,"in_sync":true}]"#);
        let [text, json] = explained("", &Expectation::OneOf(vec!["c".into(), "d".into()]), "");
        insta::assert_snapshot!(text, @r#"
        kernel.hostname is empty
          rule name: empty, adopted, or one of c, d (f:7), in sync
          finding: of rule name, since 2026-08-01T10:20:00Z, cause unknown
          last: no change was recorded
        "#);
        insta::assert_snapshot!(json, @r#"[{"rule":"name","expected":"one of c, d","adopted":"","declared_by":{"file":"f","line":7},"declared_commit":null,"in_sync":true}]"#);
    }

    #[test]
    fn an_open_finding_says_what_its_value_does_not() {
        let finding = serde_json::json!({
            "finding": "f", "state": "opened", "key": "vm.swappiness", "rule": "r", "severity": "critical",
            "expected": "10", "actual": "61", "detail": "a writes 61, and b\u{1b} writes 10", "previous": null,
            "requested": null, "commit": null, "declared_commit": null,
            "declared_by": { "file": "driftd.yaml", "line": 7 }, "cause": "fight", "writer": null,
            "seen_by": "kprobe", "deployment": null, "opened": "2026-08-01T10:20:00Z", "healed": null,
        });
        let explained = Explained {
            key: "vm.swappiness".parse().unwrap(),
            actual: Some(Value::canonical(&"vm.swappiness".parse().unwrap(), "61")),
            declared: Vec::new(),
            judged: Vec::new(),
            findings: vec![serde_json::from_value(finding).unwrap()],
            last_change: None,
        };
        insta::assert_snapshot!(text(&explained), @r"
        vm.swappiness is 61
          nothing declares it
          finding: of rule r, since 2026-08-01T10:20:00Z, fight: a writes 61, and b\u{1b} writes 10
          last: no change was recorded
        ");
    }

    #[test]
    fn what_came_with_a_deployment_is_the_last_side_of_the_chain() {
        let root =
            host(&[("proc/sys/vm/swappiness", "61\n"), ("etc/sysctl.d/10-a.conf", "vm.swappiness = 10\n")]);
        let mut config = config::parse("driftd.yaml", "").unwrap();
        let mut declared = Declared::read(&Arc::new(Wanted::take(&mut config)), &[], root.path()).unwrap();
        let key: Key = "vm.swappiness".parse().unwrap();
        let deployment = Deployment {
            id: DeploymentId("d".into()),
            commit: "a1b2c3".parse().unwrap(),
            app: Some("web".into()),
            environment: Some("production".into()),
            undated: false,
            announced: false,
            repo: None,
            declared: [("vm.max_map_count".parse().unwrap(), "1".into()), (key.clone(), "61".into())].into(),
        };
        declared.then(inline([deployment].iter()));
        insta::assert_snapshot!(text(&explain(&key, &declared, None, root.path()).unwrap()), @"
        vm.swappiness is 61
          declared: 10 (/etc/sysctl.d/10-a.conf:1), overridden
          declared: 61 (webhook:web@production:2 of commit a1b2c3)
          rule declared: 61 (webhook:web@production:2 of commit a1b2c3), in sync
          last: no change was recorded
        ");
        insta::assert_snapshot!(declared.warnings(9).join("\n"), @"vm.swappiness is declared 61 (webhook:web@production:2) and before that 10 (/etc/sysctl.d/10-a.conf:1): the last holds");
    }
}
