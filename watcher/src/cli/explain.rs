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
    alerts::{Output, clean, line},
    config::Config,
    declared::{Committed, Declaration, inline},
    judge::{Judgement, described, described_adopted, judge_adopted, settled},
    kernel::Reader,
    model::{Finding, IfAbsent, Key, Kind, Revision, Rule, Source, Value},
    sources::{Declared, Repositories, SourceError, Wanted},
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
    declared_by: Source,
    /// The commit of its file, or that it came with.
    declared_commit: Option<Revision>,
    in_sync: Option<bool>,
}

/// Explains a key, and says whether it is as declared.
pub(super) fn run(mut config: Config, key: &Key, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some(mut declared) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
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

/// What is declared; `None` where a file of values has mistakes, and every one was shown.
pub(super) fn read(wanted: &Arc<Wanted>, state: &Path) -> anyhow::Result<Option<Declared>> {
    let declared =
        committed(wanted, state)?.and_then(|committed| Declared::read(wanted, &committed, Path::new("/")));
    match declared {
        Ok(declared) => Ok(Some(declared)),
        Err(SourceError::Problems(problems)) => {
            eprintln!("{}", problems.render(std::io::stderr().is_terminal()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What repositories declare: what the daemon took last, or else what their heads do.
pub(super) fn committed(
    wanted: &Wanted,
    state: &Path,
) -> std::io::Result<Result<Vec<Committed>, SourceError>> {
    let mut committed = Vec::new();
    if wanted.repositories().next().is_none() {
        return Ok(Ok(committed));
    }
    let (runtime, repositories) = (super::runtime()?, Repositories::new(state));
    for git in wanted.repositories() {
        match runtime.block_on(repositories.read_known(git)) {
            Ok(read) => committed.push(read),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(committed))
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
            Judged {
                rule: rule.name.clone(),
                expected: described_adopted(key, &rule.expectation, captured, adopted),
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

/// Where something is declared, as a person reads it.
pub(super) fn place(source: &Source, commit: Option<&Revision>) -> String {
    match commit {
        Some(commit) => format!("{source} of commit {}", commit.short()),
        None => source.to_string(),
    }
}

fn text(explained: &Explained) -> String {
    let Explained { key, actual, declared, judged, findings, last_change } = explained;
    let mut text = format!("{key} is {}\n", actual.as_ref().map_or("absent", Value::as_str));
    for Said { expected, declared_by, declared_commit, overridden } in declared {
        let how = if *overridden { ", overridden" } else { "" };
        text.push_str(&format!(
            "  declared: {expected} ({}){how}\n",
            place(declared_by, declared_commit.as_ref())
        ));
    }
    for Judged { rule, expected, declared_by, declared_commit, in_sync } in judged {
        let how = match in_sync {
            Some(true) => "in sync",
            Some(false) => "departs",
            None => "not judged",
        };
        text.push_str(&format!(
            "  rule {rule}: {expected} ({}), {how}\n",
            place(declared_by, declared_commit.as_ref())
        ));
    }
    if judged.is_empty() {
        text.push_str("  nothing declares it\n");
    }
    for finding in findings {
        let since: Timestamp = finding.opened;
        let since = since.strftime("%FT%TZ");
        let detail = finding.detail.as_ref().map_or(String::new(), |detail| format!(": {}", clean(detail)));
        text.push_str(&format!("  finding: since {since}, {}{detail}\n", finding.cause.as_str()));
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
          finding: since 2026-08-01T10:20:00Z, fight: a writes 61, and b\u{1b} writes 10
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
