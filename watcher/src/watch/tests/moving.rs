//! Keys that move by themselves: a trigger says that pressure rose, and what was wrong is looked at until it is over.

use std::{collections::HashSet, time::Duration};

use tokio::sync::oneshot;

use super::host::{Host, NOTHING, rule};
use crate::{
    http::Query,
    kernel::Reader,
    model::{Expectation, Key, Rule},
    probes::{Rise, Stall},
    watch::Input,
};

const SOME: &str = "/proc/pressure/memory:some.avg10";
const FULL: &str = "/sys/fs/cgroup/a.slice/io.pressure:full.avg60";

fn at_most(key: &str, max: &str) -> Rule {
    rule("most", key, Expectation::Range { min: None, max: Some(max.parse().unwrap()) })
}

fn key(key: &str) -> Key {
    key.parse().unwrap()
}

/// The text of a pressure file in which all averages are this.
fn pressure(average: &str) -> String {
    let line = |line: &str| format!("{line} avg10={average} avg60={average} avg300={average} total=5");
    format!("{}\n{}", line("some"), line("full"))
}

/// A host with a rule for [`SOME`], which a trigger guards.
fn guarded(rule: Rule) -> Host {
    let mut host = Host::new(&[rule], &[(SOME, &pressure("0.00"))]);
    assert_eq!(host.watch.moved_stalls().map(|stalls| stalls.len()), Some(1));
    host.watch.guarded(&HashSet::from([key(SOME)]));
    host
}

/// How the only key is watched, as `/api/v1/keys` says.
fn watched_by(host: &mut Host) -> String {
    let (reply, mut keys) = oneshot::channel();
    host.handle(Input::Query(Query::Keys(reply)));
    keys.try_recv().unwrap().remove(0).watched_by.into()
}

fn rose(host: &mut Host) -> Vec<String> {
    host.handle(Input::Pressure(Rise::Rose(key(SOME))))
}

#[test]
fn a_trigger_is_wanted_for_what_has_an_upper_bound_and_is_there() {
    let rules = [
        at_most(SOME, "20"),
        Rule { name: "lower".into(), ..at_most(SOME, "7.5") },
        at_most(FULL, "0"),
        at_most("/proc/pressure/cpu:some.avg10", "100"),
        at_most("/proc/pressure/io:some.total", "5"),
        at_most("/proc/pressure/irq:full.avg10", "5"),
        rule(
            "least",
            "/proc/pressure/io:full.avg10",
            Expectation::Range { min: Some("0".parse().unwrap()), max: None },
        ),
        at_most("/proc/meminfo:Dirty", "1GiB"),
    ];
    let files = ["/proc/pressure/cpu:some.avg10", "/proc/pressure/io:some.avg10", SOME, FULL];
    let calm = pressure("0.00");
    let mut files: Vec<_> = files.map(|key| (key, calm.as_str())).to_vec();
    files.push(("/proc/meminfo:Dirty", "Dirty: 5 kB"));
    let mut host = Host::unwatched(&rules, &files);
    assert_eq!(host.watch.moved_stalls(), None, "nothing was read yet");
    host.handle(Input::Tick);
    let stall = |name, millis| Stall { key: key(name), stalled: Duration::from_millis(millis) };
    assert_eq!(host.watch.moved_stalls(), Some(vec![stall(SOME, 80), stall(FULL, 10)]));
    assert_eq!(host.watch.moved_stalls(), None, "until the next sweep");
}

#[test]
fn pressure_that_rises_is_a_finding_at_once_and_is_looked_at_until_it_fell() {
    let mut host = guarded(at_most(SOME, "20"));
    host.set(SOME, &pressure("20.01"));
    let opened = format!("opened most: {SOME} 20.01 not at most 20 (nobody, psi) unknown");
    assert_eq!(watched_by(&mut host), "psi");
    assert_eq!(rose(&mut host), [opened]);
    host.set(SOME, &pressure("12.50"));
    assert_eq!(host.pass(2_049), NOTHING);
    assert_eq!(host.pass(1), [format!("healed most: {SOME} 12.50")]);
}

#[test]
fn a_trigger_that_fires_before_the_average_is_formed_is_looked_at_again_when_it_was() {
    let mut host = guarded(at_most(SOME, "20"));
    assert_eq!(rose(&mut host), NOTHING);
    host.set(SOME, &pressure("31.00"));
    assert_eq!(host.pass(2_049), NOTHING);
    assert_eq!(host.pass(1), [format!("opened most: {SOME} 31.00 not at most 20 (nobody, psi) unknown")]);
}

#[test]
fn while_nothing_is_wrong_with_pressure_nobody_is_woken_but_by_the_sweep() {
    let mut host = guarded(at_most(SOME, "20"));
    let sweep = host.watch.next_sweep;
    assert_eq!(host.watch.deadline(), sweep);
    rose(&mut host);
    host.pass(2_050);
    assert_eq!(host.watch.deadline(), sweep, "too early a trigger is looked at twice");
    host.set(SOME, &pressure("31.00"));
    rose(&mut host);
    host.pass(20_000);
    assert!(host.watch.deadline() < sweep);
    host.set(SOME, &pressure("19.00"));
    host.pass(2_050);
    assert_eq!(host.watch.deadline(), sweep, "it fell");
}

#[test]
fn pressure_that_must_hold_is_looked_at_all_the_while() {
    let mut host = guarded(Rule { hold: Duration::from_secs(20), ..at_most(SOME, "20") });
    host.set(SOME, &pressure("31.00"));
    assert_eq!(rose(&mut host), NOTHING);
    assert_eq!(host.pass(15_000), NOTHING);
    host.set(SOME, &pressure("5.00"));
    assert_eq!(host.pass(3_000), NOTHING);
    host.set(SOME, &pressure("31.00"));
    assert_eq!(rose(&mut host), NOTHING);
    assert_eq!(host.pass(19_999), NOTHING, "it begins anew");
    assert_eq!(host.pass(1), [format!("opened most: {SOME} 31.00 not at most 20 (nobody, psi) unknown")]);
}

#[test]
fn a_cgroup_that_goes_takes_its_trigger_along_and_gets_another_when_it_is_back() {
    let mut host = guarded(at_most(SOME, "20"));
    // Of a file that is deleted on a disk an open descriptor knows nothing; that of a cgroup does.
    let root = host.path(SOME).ancestors().nth(3).unwrap().to_owned();
    host.watch.reader = Reader::new(&root, 0);
    host.remove(SOME);
    let gone = format!("opened most: {SOME} absent not at most 20 (nobody, psi) unknown");
    assert_eq!(host.handle(Input::Pressure(Rise::Ended(key(SOME)))), [gone]);
    assert_eq!(host.watch.moved_stalls(), Some(Vec::new()), "there is nothing to set it on");
    host.watch.guarded(&HashSet::new());
    assert_eq!(watched_by(&mut host), "swept");
    host.set(SOME, &pressure("0.00"));
    assert_eq!(host.pass(60_000), [format!("healed most: {SOME} 0.00")]);
    assert_eq!(host.watch.moved_stalls().map(|stalls| stalls.len()), Some(1));
}

#[test]
fn processes_that_must_be_in_a_state_for_long_are_counted_all_the_while() {
    const STUCK: &str = "/proc/[pid]/stat:state=D";
    let stat = |host: &Host, state: &str| {
        let directory = host.path(STUCK).join("20");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("stat"), format!("20 (dd) {state} 1 1 1\n")).unwrap();
    };
    let none = Expectation::Range { min: None, max: Some("0".parse().unwrap()) };
    let stuck = Rule { hold: Duration::from_secs(60), ..rule("stuck_io", STUCK, none) };
    let mut host = Host::unwatched(&[stuck], &[]);
    stat(&host, "D");
    assert_eq!(host.handle(Input::Tick), ["start"]);
    // In between it ran, and no sweep was there to see it.
    host.pass(30_000);
    stat(&host, "R");
    host.pass(6_000);
    stat(&host, "D");
    assert_eq!(host.pass(60_000), NOTHING, "not for sixty seconds");
    let opened = format!("opened stuck_io: {STUCK} 1 not at most 0 (nobody, sweep) unknown");
    assert_eq!(host.pass(60_000), [opened]);
    let detail = host.open.values().map(|finding| finding.detail.clone());
    assert_eq!(detail.collect::<Vec<_>>(), [Some("dd (20)".to_owned())]);
}
