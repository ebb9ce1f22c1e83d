//! Who may say what: what comes by webhook or from Git says which value is right, and brings no rule, no remedy and no program.

use std::{path::PathBuf, process::Command};

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, Sysctl},
    mode::Mode,
};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::{Needs, Scenario};

const KEY: &str = "vm.swappiness";
const PROGRAM: &str = "kernel.core_pattern";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_webhook_that_brings_a_rule_a_remedy_or_a_program_is_refused_and_told",
        modes: &[Mode::None],
        needs: Needs::Nothing,
        run: by_webhook,
    },
    Scenario {
        claim: "a_git_baseline_that_brings_a_rule_a_remedy_or_a_program_is_refused_and_told",
        modes: &[Mode::None],
        needs: Needs::Git,
        run: by_git,
    },
];

/// A dated message with an id of its own, and more in it.
fn message(id: &str, commit: &str, more: &str) -> String {
    let now = Timestamp::now();
    format!(r#"{{"commit":"{commit}","app":"web","id":"{id}","timestamp":"{now}"{more}}}"#)
}

/// Nothing but this was delivered, and no program's name was looked at, let alone written.
#[track_caller]
fn assert_untouched(driftd: &mut Daemon<'_>, commits: &[&str], program: &str) {
    let last = commits.last().copied().unwrap_or_default();
    driftd.wait_for("the last verdict", |line| line["kind"] == "verdict" && line["commit"] == last);
    let said = driftd.said();
    let delivered: Vec<_> = said
        .iter()
        .filter(|line| line["kind"] == "deployment" && line["status"] == "finished")
        .map(|line| line["commit"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(delivered, commits);
    let told = said.iter().find(|line| line["key"] == PROGRAM || line["kind"] == "remedy");
    assert_eq!(told, None);
    assert_eq!(host::read(&host::path(PROGRAM)), program);
}

fn by_webhook(mode: Mode) {
    let (swappiness, program) = (Sysctl::of(KEY), host::read(&host::path(PROGRAM)));
    let rules = [expect("swappiness", KEY, &swappiness.original)];
    let home = Home::new(mode, &Settings::rules(&rules));
    home.let_messages_declare();
    let mut driftd = home.start();
    for (id, more, _) in REFUSED {
        let answer = driftd.post("?wait=30", &message(id, "bad123", more));
        assert_eq!(answer.status, 400, "{more}: {answer:?}");
    }
    // What says a value alone counts, and is the only deployment there is.
    let value = format!(r#","declared":{{"{KEY}":"{}"}}"#, swappiness.original);
    let answer = driftd.post("?wait=30", &message("good", "a1b2c3", &value));
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("SYNCED")), "{answer:?}");
    assert_untouched(&mut driftd, &["a1b2c3"], &program);
    let log = driftd.log();
    for (_, more, told) in REFUSED {
        assert!(log.contains(told), "`{told}` of {more} is not in the log:\n{log}");
    }
}

/// What a message brings besides, and what of it is told.
const REFUSED: [(&str, &str, &str); 5] = [
    ("1", r#","remedy":"revert""#, "`remedy` came with the message"),
    (
        "2",
        r#","drift_rules":{"mine":{"keys":"vm.swappiness","expect":1,"remedy":"revert"}}"#,
        "`drift_rules` came with the message",
    ),
    (
        "3",
        r#","declared":{"vm.swappiness":{"expect":1,"remedy":"revert"}}"#,
        "neither a text nor a whole number",
    ),
    ("4", r#","declared":{"kernel.core_pattern":"|/tmp/evil"}"#, "kernel.core_pattern"),
    ("5", r#","declared":{"vm.swappiness":1,"/proc/sys/kernel/modprobe":"/tmp/evil"}"#, "names a program"),
];

/// A repository that declares.
struct Repository {
    directory: TempDir,
}

impl Repository {
    #[track_caller]
    fn new() -> Repository {
        let directory = tempfile::Builder::new().prefix("infra-").tempdir().expect("there is room");
        let repository = Repository { directory };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.path()).args(arguments);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        let output = git.output().expect("git can be started");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Commits what is declared; the commit.
    #[track_caller]
    fn commit(&self, text: &str) -> String {
        std::fs::write(self.path().join("kernel.yaml"), text).expect("a file can be written");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "m"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn by_git(mode: Mode) {
    let (swappiness, program) = (Sysctl::of(KEY), host::read(&host::path(PROGRAM)));
    let repository = Repository::new();
    let good = repository.commit(&format!("{KEY}: {}\n", swappiness.original));
    let source = format!(
        "declared_from:\n- git: {{ repository: {}, path: kernel.yaml, ref: main }}\n",
        repository.path().display()
    );
    let home = Home::new(mode, &Settings { sections: &source, ..Settings::rules(&[]) });
    let mut driftd = home.start();
    let mut number = 0;
    let mut deliver = |driftd: &Daemon<'_>, commit: &str| {
        number += 1;
        driftd.post("?wait=30", &message(&number.to_string(), commit, ""))
    };
    let answer = deliver(&driftd, &good);
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut delivered = vec![good.clone()];
    for (text, told) in [
        ("drift_rules:\n  mine: { keys: vm.swappiness, expect: 1, remedy: revert }\n", "drift_rules"),
        ("vm.swappiness: { expect: 1, remedy: revert }\n", "kernel.yaml:1:"),
        ("kernel.core_pattern: \"|/tmp/evil\"\n", "kernel.core_pattern, which names a program,"),
        // Of a pattern that means no other key nothing would be left.
        ("kernel.core_patt*: \"|/tmp/evil\"\n", "core_patt*, each of whose keys names a program,"),
    ] {
        let commit = repository.commit(text);
        let answer = deliver(&driftd, &commit);
        assert_eq!(answer.status, 409, "{text}: {answer:?}");
        let broken = answer.body["broken"].as_str().unwrap_or_default();
        assert!(broken.contains(told), "`{told}` of {text} is not in {broken}");
        delivered.push(commit);
    }
    // What was declared before still is: by the commit that declared it.
    let explained = home.command(&["explain", KEY]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains(good.get(..12).unwrap_or_default()), "{explained}");
    let delivered: Vec<&str> = delivered.iter().map(String::as_str).collect();
    assert_untouched(&mut driftd, &delivered, &program);
}
