//! Somebody who is logged in changes the kernel through sudo, under a deployment that was delivered.

use crate::{
    Scenario,
    host::{deliver, sh, start_with},
    journal::Journal,
};

/// The claims.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "what_a_person_changes_through_sudo_is_in_the_journal_with_writer_login_unit_and_commit",
        run: sudo,
    },
    Scenario { claim: "journalctl_explains_an_entry_by_the_catalog", run: catalog },
];

/// What the host of these declares.
const RULES: &str = "drift_rules: { swappiness: { keys: vm.swappiness, expect: 60, severity: critical } }\n";

/// Types a line as somebody who has logged in: a session of its own, opened by PAM as login(1) opens it.
#[track_caller]
fn as_ada(line: &str) {
    sh("id -u ada >/dev/null 2>&1 || { useradd --create-home --shell /bin/bash ada; \
        echo 'ada ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ada; }");
    sh(&format!(
        "systemd-run --quiet --wait --pipe --uid=ada --property=PAMName=login --property=WorkingDirectory=~ -- {line}"
    ));
}

fn sudo() {
    start_with(RULES);
    let verdict = deliver("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334");
    assert_eq!(verdict["status"], "SYNCED", "{verdict}");
    let mut journal = Journal::of_driftd();
    as_ada("sudo sysctl -w vm.swappiness=61");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "opened")]);
    let said = sh(
        "journalctl -u driftd -o json DRIFTD_COMMIT=a1b2c3d4e5f60718293a4b5c6d7e8f9001122334 DRIFTD_KIND=finding",
    );
    let opened: serde_json::Value = serde_json::from_str(said.trim()).expect("one entry, as JSON");
    let ada = sh("id -u ada");
    for (name, wanted) in [
        ("KEY", "vm.swappiness"),
        ("EXPECTED", "60"),
        ("ACTUAL", "61"),
        ("WRITER_COMM", "sysctl"),
        ("WRITER_PARENT_COMM", "sudo"),
        ("WRITER_UID", "0"),
        ("WRITER_LOGINUID", ada.trim()),
        ("SEEN_BY", "kprobe"),
    ] {
        assert_eq!(opened[format!("DRIFTD_{name}")], wanted, "{name}: {opened}");
    }
    let unit = opened["DRIFTD_WRITER_UNIT"].as_str().unwrap_or_default();
    assert!(unit.starts_with("session-") && unit.ends_with(".scope"), "the session's: {opened}");
    assert_eq!(opened["PRIORITY"], "2", "{opened}");
    assert_eq!(opened["_SYSTEMD_UNIT"], "driftd.service", "{opened}");
    sh("sysctl -qw vm.swappiness=60");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "healed")]);
}

fn catalog() {
    sh("journalctl --update-catalog");
    start_with(RULES);
    let mut journal = Journal::of_driftd();
    sh("sysctl -qw vm.swappiness=61");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "opened")]);
    sh("sysctl -qw vm.swappiness=60");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "healed")]);
    let said = sh("journalctl -u driftd -x --no-pager -n 30");
    for wanted in
        ["vm.swappiness departs from what is declared", "It is 61, and ", "declares 60 (cause: unknown)."]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
