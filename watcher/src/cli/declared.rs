//! `driftd check --declared`: what is in force against what files declare, without a configuration and a daemon.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    check::{Checked, Departure, Unreadable, unreadable},
    counted, exit, or_empty,
};
use crate::{
    alerts::{Output, clean, value},
    declared::{Conflict, Declaration, Kind, NotUnderstood, Request},
    judge::{Judgement, described, expected, judge},
    kernel::Reader,
    model::{IfAbsent, Key, Source},
    sources::{self, Loaded},
};

/// The arguments of a check against files.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Compare with what these files declare, the later one winning, instead of a configuration; without a FILE, with what
    /// the host's own sysctl.d declares
    #[arg(long, value_name = "FILE", num_args = 0.., conflicts_with = "config")]
    declared: Option<Vec<PathBuf>>,
    /// What the files are [default: by their names: `*.yaml` and `*.yml` are declared, `tuned*.conf` is tuned, all else
    /// sysctl.d]
    #[arg(long, value_enum, value_name = "KIND", requires = "declared", conflicts_with = "config")]
    source: Option<SourceKind>,
    /// The root of the host that is looked at [default: /]
    #[arg(long, value_name = "DIR", requires = "declared", conflicts_with = "config")]
    root: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SourceKind {
    /// Sysctls as systemd-sysctl applies them
    #[value(name = "sysctl.d")]
    SysctlD,
    /// Sysctls as `sysctl --system` and `sysctl -p` of procps apply them
    Procps,
    /// A profile of TuneD: its file or its name
    Tuned,
    /// A map of keys and values in YAML
    Declared,
}

impl From<SourceKind> for Kind {
    fn from(kind: SourceKind) -> Kind {
        match kind {
            SourceKind::SysctlD => Kind::SysctlD,
            SourceKind::Procps => Kind::Procps,
            SourceKind::Tuned => Kind::Tuned,
            SourceKind::Declared => Kind::Declared,
        }
    }
}

impl Arguments {
    /// Whether files are what is compared with.
    pub fn is_asked_for(&self) -> bool {
        self.declared.is_some()
    }

    /// The sources; `None` where no file is named for a kind that has no place of its own on a host.
    fn requests(&self) -> Option<Vec<Request>> {
        let files = self.declared.as_deref().unwrap_or_default();
        let kind = self.source.map(Kind::from);
        if files.is_empty() {
            return Some(vec![Request::Host(kind.unwrap_or(Kind::SysctlD).applier()?)]);
        }
        let request = |path: &PathBuf| Request::File {
            kind: kind.unwrap_or_else(|| kind_of(path)),
            path: path.clone(),
        };
        Some(files.iter().map(request).collect())
    }
}

/// What a file is, by its name.
fn kind_of(path: &Path) -> Kind {
    Kind::of_name(path.file_name().and_then(|name| name.to_str()).unwrap_or_default())
}

/// What a check against files found.
#[derive(Serialize)]
struct CheckedFiles {
    #[serde(flatten)]
    checked: Checked,
    conflicts: Vec<Disagreement>,
    not_understood: Vec<NotUnderstood>,
}

/// A key about which two sources disagree.
#[derive(Serialize)]
struct Disagreement {
    key: Key,
    /// What holds.
    #[serde(flatten)]
    declared: Said,
    /// What the sources before it say.
    against: Vec<Said>,
}

/// What a source says of a key.
#[derive(Serialize)]
struct Said {
    expected: String,
    declared_by: Source,
}

impl From<&Declaration> for Said {
    fn from(Declaration { key, expectation, source, .. }: &Declaration) -> Said {
        Said { expected: described(key, expectation, None), declared_by: source.clone() }
    }
}

/// Checks, shows what was found, and says how it went.
pub(super) fn run(arguments: &Arguments, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let Some(requests) = arguments.requests() else {
        eprintln!("error: found no FILE, wanted one to read for this `--source`\nhint: `--declared FILE`");
        return Ok(exit::USAGE);
    };
    let root = arguments.root.as_deref().unwrap_or(Path::new("/"));
    let loaded = match sources::load(&requests, root) {
        Ok(loaded) => loaded,
        Err(errors) if errors.are_mistakes() => {
            eprintln!("{}", errors.render(io::stderr().is_terminal()));
            return Ok(exit::USAGE);
        }
        Err(errors) => return Err(errors.into()),
    };
    let checked = check(loaded, root);
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&checked)?)?,
        Output::Text => write!(out, "{}", text(&checked))?,
    }
    Ok(checked.checked.exit_code())
}

fn check(loaded: Loaded, root: &Path) -> CheckedFiles {
    let mut reader = Reader::new(root, 0);
    let mut checked = Checked::new();
    for Declaration { key, expectation, if_absent, from, source, .. } in loaded.baseline.in_force() {
        let actual = match reader.read(key) {
            Ok(actual) => actual,
            Err(error) => {
                checked.unreadable.push(Unreadable { key: key.clone(), error: error.to_string() });
                continue;
            }
        };
        if actual.is_none() && *if_absent != IfAbsent::Drift {
            checked.unjudged += 1;
            continue;
        }
        match judge(key, expectation, None, actual.as_ref()) {
            Judgement::InSync => checked.compared += 1,
            Judgement::Unjudged => checked.unjudged += 1,
            Judgement::Departs => {
                checked.compared += 1;
                let expected = expected(key, expectation, None);
                checked.findings.push(Departure::new(key, expected, actual, from, source.clone()));
            }
        }
    }
    checked.finish();
    let disagreement = |Conflict { declared, against }: Conflict<'_>| Disagreement {
        key: declared.key.clone(),
        declared: declared.into(),
        against: against.into_iter().map(Said::from).collect(),
    };
    let conflicts = loaded.baseline.conflicts().into_iter().map(disagreement).collect();
    CheckedFiles { checked, conflicts, not_understood: loaded.not_understood }
}

fn text(found: &CheckedFiles) -> String {
    let CheckedFiles { checked, conflicts, not_understood } = found;
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&clean(&line));
        text.push('\n');
    };
    for Departure { key, expected, actual, declared_by, .. } in &checked.findings {
        let (actual, expected) = (value(actual.as_ref()), or_empty(expected));
        say(format!("{key} is {actual}, expected {expected} ({declared_by})"));
    }
    unreadable(&checked.unreadable).lines().for_each(|line| say(line.to_owned()));
    for Disagreement { key, declared, against } in conflicts {
        let said = |said: &Said| format!("{} ({})", or_empty(&said.expected), said.declared_by);
        let against: Vec<String> = against.iter().map(said).collect();
        say(format!(
            "{key} is declared {} and before that {}: the last holds",
            said(declared),
            against.join(", ")
        ));
    }
    not_understood.iter().for_each(|line| say(line.to_string()));
    say(format!(
        "{}, {}, {}",
        checked.summary(),
        counted(conflicts.len(), "conflict", "conflicts"),
        counted(not_understood.len(), "line not understood", "lines not understood")
    ));
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::test_host::host;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        config: super::super::ConfigFile,
        #[command(flatten)]
        arguments: Arguments,
    }

    #[track_caller]
    fn check_arguments(line: &str, wanted: Option<&[Request]>) {
        let line = Line::try_parse_from(line.split(' ')).map(|line| line.arguments.requests());
        assert_eq!(line.ok().flatten().as_deref(), wanted);
    }

    #[test]
    fn the_kind_of_a_file_is_named_or_told_by_its_name() {
        use crate::declared::sysctl::Applier;
        let file = |kind, path: &str| Request::File { kind, path: path.into() };
        check_arguments("check --declared", Some(&[Request::Host(Applier::Systemd)]));
        check_arguments("check --declared --source procps", Some(&[Request::Host(Applier::Procps)]));
        check_arguments("check --declared --source tuned", None);
        check_arguments("check --source tuned", None);
        for line in ["--declared a", "--root /r", "--source procps", "--root /r --source tuned"] {
            check_arguments(&format!("check --config y {line}"), None);
        }
        check_arguments("check --root /r", None);
        check_arguments(
            "check --declared a.conf b.yaml t/tuned.conf --root /r",
            Some(&[
                file(Kind::SysctlD, "a.conf"),
                file(Kind::Declared, "b.yaml"),
                file(Kind::Tuned, "t/tuned.conf"),
            ]),
        );
        check_arguments("check --declared a --source declared", Some(&[file(Kind::Declared, "a")]));
    }

    #[test]
    fn a_check_tells_departures_conflicts_and_what_was_not_understood() {
        let root = host(&[
            ("proc/sys/vm/swappiness", "61\n"),
            ("proc/sys/vm/max_map_count", "65530\n"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "1\n"),
            ("proc/sys/net/ipv4/conf/eth0/rp_filter", "2\n"),
            ("proc/sys/net/ipv6/conf/all/stable_secret", "2001:db8::1\n"),
            (
                "a.conf",
                "vm.swappiness = 10\nvm.swappiness\nnet.ipv4.conf.*.rp_filter = 1\n-kernel.absent = 1\n\
                 net.ipv6.conf.all.stable_secret = ::1\nkernel.absent2 = 1\n",
            ),
            ("proc/sys/kernel/hostname", "\n"),
            ("b.yaml", "vm.swappiness: 30\nvm.max_map_count: 65530\nkernel.hostname: \"\\e[1mb\"\n"),
        ]);
        let requests = ["a.conf", "b.yaml"]
            .map(|name| Request::File { kind: kind_of(name.as_ref()), path: root.path().join(name) });
        let checked = check(sources::load(&requests, root.path()).unwrap(), root.path());
        let shown = |text: String| text.replace(&format!("{}/", root.path().display()), "");
        insta::assert_snapshot!(shown(text(&checked)), @r"
        kernel.absent2 is absent, expected 1 (a.conf:6)
        kernel.hostname is empty, expected \u{1b}[1mb (b.yaml:3)
        net.ipv4.conf.eth0.rp_filter is 2, expected 1 (a.conf:3)
        net.ipv6.conf.all.stable_secret is (secret), expected (secret) (a.conf:5)
        vm.swappiness is 61, expected 30 (b.yaml:1)
        vm.swappiness is declared 30 (b.yaml:1) and before that 10 (a.conf:1): the last holds
        a.conf:2: `vm.swappiness` is not understood: wanted `key = value`
        OUT_OF_SYNC: 7 compared, 5 findings, 1 not judged, 1 conflict, 1 line not understood
        ");
        let json: serde_json::Value =
            serde_json::from_str(&shown(serde_json::to_string(&checked).unwrap())).unwrap();
        assert_eq!(json["status"], "OUT_OF_SYNC");
        let swappiness = json["findings"].as_array().unwrap().last().unwrap();
        insta::assert_snapshot!(swappiness, @r#"{"actual":"61","declared_by":{"file":"b.yaml","line":1},"declared_commit":null,"expected":"30","key":"vm.swappiness","rule":"b.yaml","severity":"warning"}"#);
        insta::assert_snapshot!(json["conflicts"], @r#"[{"against":[{"declared_by":{"file":"a.conf","line":1},"expected":"10"}],"declared_by":{"file":"b.yaml","line":1},"expected":"30","key":"vm.swappiness"}]"#);
        insta::assert_snapshot!(json["not_understood"], @r#"[{"source":{"file":"a.conf","line":2},"text":"vm.swappiness","why":"wanted `key = value`"}]"#);
    }
}
