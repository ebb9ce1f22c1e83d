//! The unit as it is packaged: how it starts, is reloaded, restarted and stopped, and what systemd itself says of it.

use std::{collections::BTreeSet, fs};

use driftd_tests::host::programs;

use crate::{
    Scenario,
    host::{both, configure, json, property, sh, start_with, typed},
    journal::Journal,
};

/// The claims. The first is about the boot.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { claim: "the_unit_is_started_by_the_boot_and_watches_by_kprobe", run: boot },
    Scenario { claim: "the_unit_is_ready_when_no_write_is_missed_any_more", run: ready },
    Scenario { claim: "systemd_finds_no_mistake_in_the_units", run: verify },
    Scenario { claim: "what_the_units_may_do_is_no_more_than_was_looked_at", run: security },
    Scenario { claim: "a_reload_takes_up_new_rules_without_a_restart", run: reload },
    Scenario {
        claim: "a_reload_of_a_configuration_with_mistakes_is_refused_with_all_of_them",
        run: reload_refused,
    },
    Scenario {
        claim: "a_start_with_a_configuration_with_mistakes_fails_once_with_all_of_them",
        run: start_refused,
    },
    Scenario { claim: "a_killed_daemon_is_started_again_and_tells_what_it_missed", run: killed },
    Scenario {
        claim: "the_unit_that_may_write_takes_the_place_of_the_one_that_watches_and_puts_back_what_departs",
        run: revert,
    },
    Scenario { claim: "a_stop_is_clean_and_leaves_no_program_behind", run: stop },
];

/// A rule that is easily broken.
const RULE: &str = "drift_rules: { swappiness: { keys: vm.swappiness, expect: 60 } }\n";

fn boot() {
    assert_eq!(sh("systemctl list-units --failed --plain --no-legend"), "", "units failed");
    assert_eq!(sh("systemctl is-enabled driftd && systemctl is-active driftd"), "enabled\nactive\n");
    assert_eq!(property("driftd", "NRestarts"), "0");
    let start = json("journalctl -u driftd -o json MESSAGE_ID=29b2ca9d4a084b8a91305018646f8403");
    let field = |name: &str| start[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (field("DRIFTD_SYSCTL"), field("DRIFTD_LINK")),
        ("kprobe".into(), "kprobe".into()),
        "the hardening takes nothing away: {start}"
    );
    assert_eq!(field("DRIFTD_REASONS"), "[]", "{start}");
    let status = json("driftd status --format json");
    assert_eq!(
        (status["status"].as_str(), status["findings"].as_array().map(Vec::len)),
        (Some("SYNCED"), Some(0))
    );
    assert_eq!(sh("systemctl show --property=After --value driftd | grep -c systemd-sysctl.service"), "1\n");
}

fn ready() {
    start_with(RULE);
    let mut journal = Journal::of_driftd();
    // As soon as systemd says so, and before driftd has time for anything.
    sh("systemctl restart driftd && sysctl -qw vm.swappiness=61");
    let opened = journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "opened")]);
    assert_eq!(opened["DRIFTD_SEEN_BY"], "kprobe", "{opened}");
    assert_eq!(opened["DRIFTD_WRITER_COMM"], "sysctl", "{opened}");
    sh("sysctl -qw vm.swappiness=60");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "healed")]);
}

fn verify() {
    for unit in ["driftd", "driftd-revert", "driftd-hub"] {
        let output = typed(&format!("systemd-analyze verify /usr/lib/systemd/system/{unit}.service"));
        assert_eq!((both(&output).as_str(), output.status.success()), ("", true), "{unit}");
    }
}

fn security() {
    // In tenths, as systemd 252 counts: what is left is in the units, with the reason.
    for (unit, most) in [("driftd", 41), ("driftd-revert", 41), ("driftd-hub", 12)] {
        let output = typed(&format!("systemd-analyze security --no-pager --threshold={most} {unit}"));
        assert!(output.status.success(), "{unit} may do more than it did: {}", both(&output));
    }
}

fn reload() {
    start_with(RULE);
    let mut journal = Journal::of_driftd();
    let before = property("driftd", "MainPID");
    configure("drift_rules: { swappiness: { keys: vm.swappiness, expect: 50 } }\n");
    sh("systemctl reload driftd");
    let opened = journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_KEY", "vm.swappiness")]);
    assert_eq!(
        (opened["DRIFTD_EXPECTED"].as_str(), opened["DRIFTD_ACTUAL"].as_str()),
        (Some("50"), Some("60")),
        "{opened}"
    );
    assert_eq!(property("driftd", "MainPID"), before, "it is the same process");
    assert_eq!(property("driftd", "ActiveState"), "active");
}

/// A configuration with two mistakes, and what is said of each.
const MISTAKES: &str =
    "drift_rules: { a: { keys: vm.swappiness, expct: 50 }, b: { keys: nokey, expect: 1 } }\n";
const SAID: [&str; 2] = ["found `expct`", "found `nokey`"];

fn reload_refused() {
    start_with(RULE);
    let before = property("driftd", "MainPID");
    configure(MISTAKES);
    let output = typed("systemctl reload driftd");
    assert!(!output.status.success(), "it is refused: {}", both(&output));
    let said = sh("journalctl -u driftd -o cat -n 40");
    assert!(SAID.iter().all(|mistake| said.contains(mistake)), "{said}");
    assert_eq!(
        (property("driftd", "ActiveState").as_str(), property("driftd", "MainPID")),
        ("active", before)
    );
    let status = json("driftd status --format json");
    assert_eq!(status["status"], "SYNCED", "it was never asked to read the mistakes: {status}");
}

fn start_refused() {
    sh("systemctl stop driftd");
    configure(MISTAKES);
    let output = typed("systemctl start driftd");
    assert!(!output.status.success(), "it is refused: {}", both(&output));
    let said = sh("journalctl -u driftd -o cat -n 40");
    assert!(SAID.iter().all(|mistake| said.contains(mistake)), "{said}");
    let how = ["ActiveState", "ExecMainStatus", "NRestarts"].map(|name| property("driftd", name));
    assert_eq!(how, ["failed", "2", "0"], "it is not tried again and again");
}

fn killed() {
    start_with(RULE);
    let mut journal = Journal::of_driftd();
    // Between its end and its next start a write is seen by nobody.
    sh("systemctl kill --kill-whom=main --signal=KILL driftd && sysctl -qw vm.swappiness=61");
    let opened = journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "opened")]);
    assert_eq!(opened["DRIFTD_ACTUAL"], "61", "{opened}");
    assert_eq!(property("driftd", "NRestarts"), "1");
    sh("sysctl -qw vm.swappiness=60");
    journal.wait_for(&[("DRIFTD_KIND", "finding"), ("DRIFTD_STATE", "healed")]);
}

fn revert() {
    const REVERTED: &str = "drift_rules: {
  swappiness: { keys: vm.swappiness, expect: 60, remedy: revert }, mtu: { keys: link.lo.mtu, expect: 65536, remedy: revert } }\n";
    start_with(REVERTED);
    let mut watching = Journal::of_driftd();
    sh("sysctl -qw vm.swappiness=61");
    let left = watching.wait_for(&[("DRIFTD_KIND", "remedy"), ("DRIFTD_KEY", "vm.swappiness")]);
    assert_eq!(sh("cat /proc/sys/vm/swappiness"), "61\n", "it only watches: {left}");
    let mut writing = Journal::of("driftd-revert");
    sh("systemctl start driftd-revert");
    assert_eq!(property("driftd", "ActiveState"), "inactive", "of the two, one runs");
    // What was open when it came is put right, and what comes then.
    writing.wait_for(&[
        ("DRIFTD_KIND", "finding"),
        ("DRIFTD_STATE", "healed"),
        ("DRIFTD_KEY", "vm.swappiness"),
    ]);
    assert_eq!(sh("cat /proc/sys/vm/swappiness"), "60\n");
    sh("ip link set lo mtu 65000");
    writing.wait_for(&[
        ("DRIFTD_KIND", "finding"),
        ("DRIFTD_STATE", "healed"),
        ("DRIFTD_KEY", "link.lo.mtu"),
    ]);
    assert_eq!(sh("cat /sys/class/net/lo/mtu"), "65536\n");
    let start = json("journalctl -u driftd-revert -o json MESSAGE_ID=29b2ca9d4a084b8a91305018646f8403");
    assert_eq!(
        (&start["DRIFTD_SYSCTL"], &start["DRIFTD_LINK"]),
        (&"kprobe".into(), &"kprobe".into()),
        "{start}"
    );
    sh("systemctl stop driftd-revert");
    assert_eq!(property("driftd-revert", "Result"), "success");
}

fn stop() {
    sh("systemctl stop driftd");
    let before = programs();
    start_with(RULE);
    let during: BTreeSet<u32> = programs().difference(&before).copied().collect();
    assert!(during.len() >= 4, "{during:?}");
    sh("systemctl stop driftd");
    // Not `timeout`, after which systemd would have killed it.
    assert_eq!(property("driftd", "Result"), "success");
    assert_eq!(property("driftd", "ExecMainStatus"), "0");
    let left: Vec<u32> = programs().intersection(&during).copied().collect();
    assert_eq!(left, [0_u32; 0], "programs are left behind");
    assert!(fs::metadata("/run/driftd").is_err(), "the directory of its socket is gone");
}
