//! Remedies: what departs is put back where a rule says so, is known for driftd's own doing, and nothing else is written.

use std::process::Output;

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, Link, MtuWay, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_sysctl_that_departs_is_put_back_and_the_change_is_told_as_driftds_own",
        modes: &Mode::ALL,
        needs: Needs::Root,
        run: put_back,
    },
    Scenario {
        claim: "an_mtu_that_departs_is_put_back",
        modes: &[Mode::Kprobe, Mode::Netlink, Mode::None],
        needs: Needs::Link,
        run: put_back_mtu,
    },
    Scenario {
        claim: "of_two_that_exclude_each_other_the_one_that_is_declared_is_put_back",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: pair,
    },
    Scenario {
        claim: "a_fight_ends_after_as_many_reverts_as_the_rule_allows_and_names_the_other",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: fight,
    },
    Scenario {
        claim: "a_dry_run_of_a_revert_writes_nothing",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: dry_run,
    },
    Scenario {
        claim: "nothing_is_put_back_in_a_deploys_window_nor_where_no_window_is_told",
        modes: &[Mode::Kprobe, Mode::Cgroup],
        needs: Needs::Root,
        run: window,
    },
    Scenario {
        claim: "a_key_that_names_a_program_is_not_put_back",
        modes: &[Mode::Kprobe],
        needs: Needs::Vm,
        run: program,
    },
    Scenario {
        claim: "a_daemon_that_only_watches_writes_nothing_whatever_its_rules_say",
        modes: &[Mode::Kprobe],
        needs: Needs::Link,
        run: only_watches,
    },
    Scenario {
        claim: "killed_around_the_write_of_a_revert_it_is_done_by_the_next_run_and_recorded_once",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: killed,
    },
    Scenario {
        claim: "root_reverts_and_adopts_by_hand_and_nobody_else_does",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: by_hand,
    },
];

/// A rule that reverts a key to a value, with these limits.
fn reverts(rule: &str, key: &str, value: &str, limits: &str) -> String {
    format!("{rule}: {{ keys: {key}, expect: {value}, remedy: {{ revert: {{ {limits} }} }} }}")
}

fn home(mode: Mode, swappiness: &Sysctl, limits: &str) -> Home {
    Home::new(mode, &Settings::rules(&[reverts("swappiness", KEY, &swappiness.original, limits)]))
}

#[track_caller]
fn wait_for_remedy(driftd: &mut Daemon<'_>, key: &str, outcome: &str) -> Value {
    driftd.wait_for(&format!("a remedy of {key}: {outcome}"), |line| {
        line["kind"] == "remedy" && line["key"] == key && line["outcome"] == outcome
    })
}

fn put_back(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness, "");
    let mut driftd = home.start_with(&["--revert"]);
    let other = swappiness.other();
    swappiness.write(other);
    let opened = driftd.wait_for_opened(KEY, other);
    let done = wait_for_remedy(&mut driftd, KEY, "done");
    assert_eq!(done["finding"], opened["finding"], "{done}");
    assert_eq!(
        (&done["previous"], &done["actual"]),
        (&other.into(), &Value::from(&*swappiness.original)),
        "{done}"
    );
    assert_eq!(host::read(swappiness.path()), swappiness.original);
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!(healed["finding"], opened["finding"], "{healed}");
    let change = driftd.wait_for("the change back", |line| {
        line["kind"] == "change" && line["key"] == KEY && line["actual"] == *swappiness.original
    });
    assert_eq!(change["remedies"], opened["finding"], "{change}");
    if mode.sysctl() != "swept" {
        assert_eq!(change["writer"]["comm"], "driftd-revert", "{change}");
    }
    driftd.mark();
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
}

fn put_back_mtu(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let key = link.key();
    let home = Home::new(mode, &Settings::rules(&[reverts("mtu", &key, "1500", "")]));
    let mut driftd = home.start_with(&["--revert"]);
    for way in [MtuWay::Netlink, MtuWay::Sysfs] {
        driftd.mark();
        link.set_mtu(way, 1400);
        let opened = driftd.wait_for_opened(&key, "1400");
        let done = wait_for_remedy(&mut driftd, &key, "done");
        assert_eq!((&done["finding"], &done["actual"]), (&opened["finding"], &"1500".into()), "{done}");
        assert_eq!(link.mtu(), "1500");
        driftd.wait_for_healed(&key);
    }
}

fn pair(mode: Mode) {
    let (bytes, ratio) = (Sysctl::of("vm.dirty_background_bytes"), Sysctl::of("vm.dirty_background_ratio"));
    assert_eq!(bytes.original, "0", "the ratio counts on a kernel that was left alone");
    let (key, other) = ("vm.dirty_background_bytes", "vm.dirty_background_ratio");
    let rules = [reverts("bytes", key, "0", ""), reverts("ratio", other, &ratio.original, "")];
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start_with(&["--revert"]);
    bytes.write("1048576");
    for key in [key, other] {
        driftd.wait_for_healed(key);
    }
    assert_eq!((host::read(bytes.path()), host::read(ratio.path())), ("0".into(), ratio.original.clone()));
    // One write of the ratio is all it takes. That it healed may be told before the hand says that it is done.
    driftd.fence();
    let said = driftd.said();
    let remedies: Vec<_> = said.iter().filter(|line| line["kind"] == "remedy").collect();
    let done = remedies.iter().filter(|line| line["outcome"] == "done").count();
    assert_eq!(done, 1, "{remedies:?}");
}

fn fight(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness, "at_most: 2, in: 1h");
    let mut driftd = home.start_with(&["--revert"]);
    let other = swappiness.other();
    for _ in 0..2 {
        driftd.mark();
        swappiness.write(other);
        wait_for_remedy(&mut driftd, KEY, "done");
        driftd.wait_for_healed(KEY);
    }
    driftd.mark();
    swappiness.write(other);
    let stopped = wait_for_remedy(&mut driftd, KEY, "stopped");
    let reason = stopped["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("2 times within 1h") && reason.contains("scenarios (pid"), "{stopped}");
    driftd.fence();
    assert_eq!(host::read(swappiness.path()), other, "it is left alone");
    // That holds over a restart, and nothing is said twice.
    drop(driftd);
    let mut driftd = home.start_with(&["--revert"]);
    driftd.fence();
    assert_eq!(host::read(swappiness.path()), other, "it is left alone");
    let again = driftd.said().iter().find(|line| line["kind"] == "remedy").cloned();
    assert_eq!(again, None, "it was said");
}

fn dry_run(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness, "dry_run: true");
    // It needs no right to write, and has none the less for it.
    for right in [&[][..], &["--revert"]] {
        let mut driftd = home.start_with(right);
        let other = swappiness.other();
        swappiness.write(other);
        let would = wait_for_remedy(&mut driftd, KEY, "dry-run");
        assert_eq!(would["requested"], swappiness.original, "{would}");
        driftd.fence();
        assert_eq!(host::read(swappiness.path()), other);
        swappiness.restore();
        driftd.wait_for_healed(KEY);
    }
}

fn message(id: &str, commit: &str, phase: &str) -> String {
    format!(r#"{{"commit":"{commit}","app":"web","id":"{id}","phase":"{phase}"}}"#)
}

fn window(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness, "");
    let mut driftd = home.start_with(&["--revert"]);
    let other = swappiness.other();
    assert_eq!(driftd.post("", &message("1", "aaaaaa", "started")).status, 202);
    driftd.wait_for("the window", |line| line["kind"] == "deployment");
    swappiness.write(other);
    driftd.fence_in_window();
    assert_eq!(host::read(swappiness.path()), other, "the deploy's own affair");
    assert_eq!(driftd.post("", &message("2", "aaaaaa", "finished")).status, 202);
    wait_for_remedy(&mut driftd, KEY, "done");
    driftd.wait_for_healed(KEY);
    assert_eq!(host::read(swappiness.path()), swappiness.original);
    // The next one does not say when it begins.
    driftd.mark();
    assert_eq!(driftd.post("?wait=30", &message("3", "bbbbbb", "finished")).status, 200);
    swappiness.write(other);
    let refused = wait_for_remedy(&mut driftd, KEY, "refused");
    assert!(refused["reason"].as_str().unwrap_or_default().contains("`started`"), "{refused}");
    driftd.fence();
    assert_eq!(host::read(swappiness.path()), other);
}

fn program(mode: Mode) {
    let pattern = Sysctl::of("kernel.core_pattern");
    // Written out it would be a mistake of the configuration.
    let rule = reverts("pattern", "\"kernel.core_pat*\"", &format!("\"{}\"", pattern.original), "");
    let home = Home::new(mode, &Settings::rules(&[rule]));
    let mut driftd = home.start_with(&["--revert"]);
    pattern.write("|/bin/false");
    let refused = wait_for_remedy(&mut driftd, "kernel.core_pattern", "refused");
    assert!(refused["reason"].as_str().unwrap_or_default().contains("names a program"), "{refused}");
    driftd.fence();
    assert_eq!(host::read(pattern.path()), "|/bin/false");
    let asked = home.command(&["revert", "kernel.core_pattern"]);
    assert!(said(&asked).contains("names a program"), "{asked:?}");
    assert_eq!(asked.status.code(), Some(3), "{asked:?}");
    assert_eq!(host::read(pattern.path()), "|/bin/false");
}

fn only_watches(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let link = Link::new("driftd0").expect("an interface can be made");
    let rules =
        [reverts("swappiness", KEY, &swappiness.original, ""), reverts("mtu", &link.key(), "1500", "")];
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    let other = swappiness.other();
    swappiness.write(other);
    link.set_mtu(MtuWay::Netlink, 1400);
    for key in [KEY, &link.key()] {
        let refused = wait_for_remedy(&mut driftd, key, "refused");
        assert!(
            refused["reason"].as_str().unwrap_or_default().contains("driftd-revert.service"),
            "{refused}"
        );
    }
    driftd.fence();
    assert_eq!((host::read(swappiness.path()).as_str(), link.mtu().as_str()), (other, "1400"));
    let asked = home.command(&["revert", KEY]);
    assert!(said(&asked).contains("only watches"), "{asked:?}");
    let log = driftd.log();
    assert!(
        log.contains("`remedy: revert` of the rule `swappiness` and 1 more is told and not carried out"),
        "{log}"
    );
}

fn killed(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness, "at_most: 100, in: 1h");
    let other = swappiness.other();
    for round in 0..6 {
        let mut driftd = home.start_with(&["--revert"]);
        swappiness.write(other);
        // As soon as the finding is on the disk: before the write, in it, or after it.
        match round % 2 {
            0 => drop(driftd.wait_for_opened(KEY, other)),
            _ => drop(
                driftd
                    .wait_for("the departure", |line| line["kind"] == "change" || line["kind"] == "finding"),
            ),
        }
        driftd.kill9();
        let mut driftd = home.start_with(&["--revert"]);
        driftd.fence();
        assert_eq!(host::read(swappiness.path()), swappiness.original, "round {round}");
    }
    let events = home.command(&["events", "--last", "10000", "--format", "json"]);
    let events: Vec<Value> = String::from_utf8_lossy(&events.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .filter(|line: &Value| line["key"] == KEY)
        .collect();
    let of = |kind: &str, field: &str, value: &str| -> Vec<&Value> {
        let events = events.iter().filter(|line| line["kind"] == kind && line[field] == value);
        events.map(|line| &line["finding"]).collect()
    };
    let healed = of("finding", "state", "healed");
    for opened in of("finding", "state", "opened") {
        assert_eq!(healed.iter().filter(|finding| **finding == opened).count(), 1, "{events:#?}");
    }
    let done = of("remedy", "outcome", "done");
    for finding in &done {
        assert_eq!(done.iter().filter(|other| other == &finding).count(), 1, "{events:#?}");
    }
}

fn by_hand(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start_with(&["--revert"]);
    let other = swappiness.other();
    swappiness.write(other);
    driftd.wait_for_opened(KEY, other);
    let would = home.command(&["revert", "/proc/sys/vm/swappiness", "--dry-run"]);
    assert!(said(&would).contains("would be put back"), "{would:?}");
    assert_eq!((would.status.code(), host::read(swappiness.path()).as_str()), (Some(0), other), "{would:?}");

    // Whoever else can open the socket reads from it, and no more.
    let nobody = home.command_of_nobody(&["revert", KEY]);
    assert!(said(&nobody).contains("only root"), "{nobody:?}");
    assert_eq!(
        (nobody.status.code(), host::read(swappiness.path()).as_str()),
        (Some(3), other),
        "{nobody:?}"
    );

    let reverted = home.command(&["revert", KEY]);
    assert!(said(&reverted).contains("is put back"), "{reverted:?}");
    assert_eq!(reverted.status.code(), Some(0), "{reverted:?}");
    assert_eq!(host::read(swappiness.path()), swappiness.original);
    let done = wait_for_remedy(&mut driftd, KEY, "done");
    assert_eq!(done["asked_by"]["uid"], 0, "{done}");
    driftd.wait_for_healed(KEY);
    let again = home.command(&["revert", KEY]);
    assert!(said(&again).contains("no open finding"), "{again:?}");

    driftd.mark();
    swappiness.write(other);
    driftd.wait_for_opened(KEY, other);
    let adopted = home.command(&["adopt", KEY, "--accept"]);
    assert!(said(&adopted).contains("until the next deployment"), "{adopted:?}");
    driftd.wait_for_healed(KEY);
    driftd.mark();
    driftd.fence();
    driftd.assert_nothing_opened(KEY);
    // What is declared counts again with the next deployment.
    assert_eq!(driftd.post("?wait=30", &message("1", "aaaaaa", "finished")).status, 409);
    driftd.wait_for_opened(KEY, other);
}

/// What a command printed, in both places.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
