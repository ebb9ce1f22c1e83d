//! Starting, stopping and being killed: nothing is left behind, nothing recorded is forgotten, nothing is told twice.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read},
    thread,
    time::{Duration, Instant},
};

use driftd_tests::{
    daemon::is_opened,
    host::{self, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::home};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "sigterm_ends_it_well_and_leaves_no_program_attached",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: terminated,
    },
    Scenario {
        claim: "sigkill_leaves_no_program_attached",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: killed,
    },
    Scenario {
        claim: "what_was_not_told_before_sigkill_is_told_after_the_restart_and_once",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::None],
        needs: Needs::Root,
        run: told_after_the_restart,
    },
    Scenario {
        claim: "a_departure_at_the_moment_of_sigkill_is_one_finding",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::None],
        needs: Needs::Root,
        run: killed_while_departing,
    },
    Scenario {
        claim: "a_restart_opens_no_second_finding_for_the_same_departure",
        modes: &Mode::ALL,
        needs: Needs::Root,
        run: no_second_finding,
    },
    Scenario {
        claim: "check_says_by_its_exit_code_whether_the_host_is_in_sync",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: check,
    },
    Scenario {
        claim: "status_and_events_show_what_is_open",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: status_and_events,
    },
    Scenario {
        claim: "the_programs_in_the_kernel_log_only_when_asked_to",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: programs_log,
    },
    Scenario {
        claim: "a_pipe_that_nobody_reads_keeps_it_neither_from_recording_nor_from_ending",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: unread,
    },
    Scenario {
        claim: "a_reader_that_goes_away_ends_a_command_well_and_the_daemon_not_at_all",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: reader_gone,
    },
];

fn terminated(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let before = host::programs();
    let driftd = home.start();
    let ours = attached_since(&before);
    let (status, _) = driftd.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    wait_until_gone(&ours);
}

fn killed(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let before = host::programs();
    let driftd = home.start();
    let ours = attached_since(&before);
    driftd.kill9();
    wait_until_gone(&ours);
}

/// The programs that came since; there are some.
#[track_caller]
fn attached_since(before: &BTreeSet<u32>) -> BTreeSet<u32> {
    let ours: BTreeSet<u32> = host::programs().difference(before).copied().collect();
    assert!(!ours.is_empty(), "driftd has attached no program");
    ours
}

/// Waits until none of the programs is there. The kernel frees them a grace period after their last user is gone,
/// and tells nobody: so it is asked again and again.
#[track_caller]
fn wait_until_gone(programs: &BTreeSet<u32>) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !host::programs().is_disjoint(programs) {
        assert!(Instant::now() < limit, "programs were left behind: {programs:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn told_after_the_restart(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    // Makes the store.
    home.start().terminate();
    let mut recorded = home.follow();
    let unheard = home.start_unheard();
    // Whether a probe sees it or the first look finds it, it is recorded.
    swappiness.write(swappiness.other());
    let recorded = recorded.wait_for_opened(KEY, swappiness.other());
    drop(unheard);

    let mut driftd = home.start();
    driftd.fence();
    let told: Vec<_> = driftd.said().iter().filter(|line| is_opened(line, KEY)).cloned().collect();
    assert_eq!(told, [recorded], "under the number it was recorded with, and once");
}

fn killed_while_departing(mode: Mode) {
    for wait_for_the_change in [false, true] {
        let swappiness = Sysctl::of(KEY);
        let home = home(mode, &swappiness);
        let value = swappiness.other();
        let mut driftd = home.start();
        swappiness.write(value);
        if wait_for_the_change {
            driftd.wait_for_kind("change", KEY);
        }
        let before = driftd.kill9();

        let mut driftd = home.start();
        if !before.iter().any(|line| is_opened(line, KEY)) {
            driftd.wait_for_opened(KEY, value);
        }
        driftd.fence();
        let after = driftd.said().to_vec();
        let told: BTreeSet<&str> =
            before.iter().chain(&after).filter(|l| is_opened(l, KEY)).map(id).collect();
        assert_eq!(told.len(), 1, "one departure is one finding: {before:#?} then {after:#?}");
        swappiness.restore();
        let healed = driftd.wait_for_healed(KEY);
        assert!(told.contains(id(&healed)), "{healed} is not of {told:?}");
    }
}

/// The name of a finding.
fn id(line: &Value) -> &str {
    line["finding"].as_str().unwrap_or_default()
}

fn no_second_finding(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let value = swappiness.other();
    let mut driftd = home.start();
    swappiness.write(value);
    let opened = driftd.wait_for_opened(KEY, value);
    driftd.terminate();

    let mut driftd = home.start();
    driftd.fence();
    driftd.assert_nothing_opened(KEY);
    swappiness.restore();
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!(healed["finding"], opened["finding"], "{healed}");
}

fn check(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let synced = home.command(&["check"]);
    assert_eq!(synced.status.code(), Some(0), "{synced:?}");
    swappiness.write(swappiness.other());
    let drifted = home.command(&["check", "--format", "json"]);
    assert_eq!(drifted.status.code(), Some(1), "{drifted:?}");
    let printed = String::from_utf8_lossy(&drifted.stdout);
    assert!(printed.contains(KEY) && printed.contains(swappiness.other()), "{printed}");
}

fn status_and_events(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    swappiness.write(swappiness.other());
    let opened = driftd.wait_for_opened(KEY, swappiness.other());
    for command in ["status", "events"] {
        let shown = home.command(&[command, "--format", "json"]);
        let printed = String::from_utf8_lossy(&shown.stdout);
        assert!(printed.contains(id(&opened)), "`driftd {command}`: {shown:?}");
    }
}

fn programs_log(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    for (arguments, logs) in [(&[][..], false), (&["--verbose"], true)] {
        let mut driftd = home.start_with(arguments);
        driftd.fence();
        let log = driftd.log();
        assert_eq!(log.contains("values of a sysctl"), logs, "{arguments:?}: {log}");
    }
}

fn unread(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    // Makes the store.
    home.start().terminate();
    let mut recorded = home.follow();
    let (unread, output) = io::pipe().expect("a pipe can be made");
    // The least that a pipe can hold: a page, which is less than what follows.
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).expect("a pipe can be made smaller");
    let driftd = home.start_into(output);
    for _ in 0..12 {
        recorded.mark();
        swappiness.write(swappiness.other());
        recorded.wait_for_opened(KEY, swappiness.other());
        swappiness.restore();
        recorded.wait_for_healed(KEY);
    }
    recorded.mark();
    swappiness.write(swappiness.other());
    let last = recorded.wait_for_opened(KEY, swappiness.other());
    let status = driftd.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    drop(unread);

    let mut driftd = home.start();
    driftd.fence();
    let told = driftd.said().iter().filter(|line| **line == last).count();
    assert_eq!(told, 1, "what nobody read is told by the next run");
}

fn reader_gone(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    // Makes the store.
    home.start().terminate();
    let mut recorded = home.follow();
    let (lines, output) = io::pipe().expect("a pipe can be made");
    let driftd = home.start_into(output);
    let mut first = String::new();
    BufReader::new(lines).read_line(&mut first).expect("it says something");
    // `driftd run | head -n 1` has ended its head.
    for _ in 0..2 {
        recorded.mark();
        swappiness.write(swappiness.other());
        recorded.wait_for_opened(KEY, swappiness.other());
        swappiness.restore();
        recorded.wait_for_healed(KEY);
    }
    let status = driftd.terminate();
    assert_eq!(status.code(), Some(0), "{status}");

    let (lines, output) = io::pipe().expect("a pipe can be made");
    let mut events = home.command_into(&["events", "--last", "1000"], output);
    drop(lines);
    let mut said = String::new();
    let errors = events.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
    errors.expect("it has a standard error").expect("it can be read");
    let status = events.wait().expect("the command can be waited for");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""), "`driftd events | head` is no error");
}
