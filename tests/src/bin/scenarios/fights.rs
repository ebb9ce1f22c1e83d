//! Two writers that keep overwriting each other: one finding that names both, however they write, until they rest.

use std::{thread, time::Duration};

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect, is_opened},
    host::{Hand, Rewriter, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "two_that_overwrite_each_other_are_one_finding_that_names_both_and_heals_when_they_stop",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: two,
    },
    Scenario {
        claim: "a_fight_is_recognised_of_scripts_that_start_a_program_for_each_write",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: scripts,
    },
    Scenario {
        claim: "one_that_writes_two_values_in_turns_is_no_fight",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: one,
    },
];

const KEY: &str = "vm.swappiness";

fn two(mode: Mode) {
    fight(mode, Hand::Own);
}

fn scripts(mode: Mode) {
    fight(mode, Hand::Child);
}

/// The longest time that one of the two lets the other's value be: they have rested after twice as long, and whatever this
/// machine is slow at takes less than that.
const LET_BE: Duration = Duration::from_millis(2500);

/// One of the two writes, and it is told.
fn turn(driftd: &mut Daemon<'_>, side: &mut Rewriter, value: &str) {
    driftd.mark();
    side.write();
    driftd.wait_for("the change", |line| is_seen(line, value));
}

/// Whether a line tells that the key was changed to a value.
fn is_seen(line: &Value, value: &str) -> bool {
    line["kind"] != "finding" && line["key"] == KEY && line["actual"] == value
}

fn fight(mode: Mode, hand: Hand) {
    let swappiness = Sysctl::of(KEY);
    let other = swappiness.other();
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start();
    let mut right = Rewriter::start(swappiness.path(), &swappiness.original, hand);
    let mut wrong = Rewriter::start(swappiness.path(), other, hand);
    turn(&mut driftd, &mut wrong, other);
    turn(&mut driftd, &mut right, &swappiness.original);
    thread::sleep(LET_BE);
    turn(&mut driftd, &mut wrong, other);
    driftd.mark();
    right.write();
    let told = driftd.wait_for("the fight", |line| is_opened(line, KEY) && line["cause"] == "fight");
    let detail = told["detail"].as_str().unwrap_or_default();
    let both = [(right.pid(), &*swappiness.original), (wrong.pid(), other)];
    for (pid, value) in both {
        let who = match hand {
            Hand::Own => format!("(pid {pid}, "),
            Hand::Child => format!("parent scenarios {pid}"),
        };
        assert!(detail.contains(&who) && detail.contains(&format!("writes {value}")), "{who}: {told}");
    }
    assert_eq!(told["expected"], *swappiness.original, "{told}");
    driftd.wait_for("the change", |line| is_seen(line, &swappiness.original));
    // They go on, and nothing more is said of it but the changes.
    for _ in 0..3 {
        for (side, value) in [(&mut wrong, other), (&mut right, &*swappiness.original)] {
            turn(&mut driftd, side, value);
            let findings =
                driftd.said().iter().filter(|line| line["kind"] == "finding" && line["key"] == KEY);
            assert_eq!(findings.count(), 0, "{:?}", driftd.said());
        }
    }
    let status = String::from_utf8(home.command(&["status"]).stdout).expect("text");
    assert!(status.contains(", fight: ") && status.contains(detail), "{status}");
    turn(&mut driftd, &mut wrong, other);
    turn(&mut driftd, &mut right, &swappiness.original);
    let explained = String::from_utf8(home.command(&["explain", KEY]).stdout).expect("text");
    assert!(explained.contains(detail), "{explained}");
    // The one with the wrong value is stopped: it is right for good, and heals when that was so for long enough.
    drop(wrong);
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!(
        (&healed["finding"], &healed["actual"]),
        (&told["finding"], &swappiness.original.as_str().into())
    );
    drop(right);
    driftd.fence();
    driftd.assert_nothing_opened(KEY);
}

fn one(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let other = swappiness.other();
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start();
    for _ in 0..3 {
        for value in [other, &swappiness.original] {
            driftd.mark();
            swappiness.write(value);
            driftd.wait_for("the change", |line| is_seen(line, value));
            assert!(driftd.said().iter().all(|line| line["cause"] != "fight"), "{:?}", driftd.said());
        }
    }
    driftd.fence();
    assert!(driftd.said().iter().all(|line| line["cause"] != "fight"), "{:?}", driftd.said());
}
