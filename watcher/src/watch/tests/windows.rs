//! A deploy's window: what changes in it is the deploy's own, findings wait, and its end decides.

use super::host::{Host, MTU, NOTHING, SWAPPINESS, THP, WINDOW, captures, expects};
use crate::model::Phase::{Failed, Finished, Started};

/// A host whose short-form rule on these keys has captured them, under commit aaaaaa.
fn host(values: &[(&str, &str)]) -> Host {
    let keys = values.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(" ");
    let mut host = Host::new(&[captures(&keys)], values);
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", "verdict aaaaaa SYNCED"]);
    host
}

#[test]
fn in_a_window_changes_are_the_deploys_and_nothing_opens_until_its_end_decides() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    assert_eq!(host.announce(Started, "bbbbbb"), ["started bbbbbb"]);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe) in bbbbbb"]);
    assert_eq!(host.pass(120_000), NOTHING);
    assert_eq!(
        host.announce(Finished, "bbbbbb"),
        [
            "finished bbbbbb",
            "opened equal: vm.swappiness 61 not 60 (7, kprobe) the deploy did not apply",
            "verdict bbbbbb OUT_OF_SYNC vm.swappiness"
        ]
    );
}

#[test]
fn in_a_window_every_step_is_told_as_a_change() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.write(7, SWAPPINESS, "60"), ["change vm.swappiness 61 -> 60 (7, kprobe) in bbbbbb"]);
    assert_eq!(host.announce(Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb SYNCED"]);
}

#[test]
fn what_changed_in_the_window_is_captured_anew_and_nothing_else() {
    let mut host = host(&[(SWAPPINESS, "60"), (MTU, "1500")]);
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.announce(Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb SYNCED"]);
    let captured = |host: &mut Host| {
        let captures = host.past().captures;
        captures.iter().map(|c| format!("{} {} {}", c.key, c.value, c.commit)).collect::<Vec<_>>()
    };
    assert_eq!(captured(&mut host), ["link.eth0.mtu 1500 aaaaaa", "vm.swappiness 61 bbbbbb"]);
    host.write(7, SWAPPINESS, "60");
    assert_eq!(
        host.pass(100),
        ["opened short: vm.swappiness 60 not 61 (7, kprobe) changed after the deploy"]
    );
}

#[test]
fn what_departs_and_settles_when_a_window_opens_is_a_finding_when_it_ends() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    host.pass(50);
    host.announce(Started, "bbbbbb");
    assert_eq!(host.pass(10_000), NOTHING);
    assert_eq!(
        host.announce(Finished, "bbbbbb")[1..],
        [
            "opened short: vm.swappiness 61 not 60 (7, kprobe) changed after the deploy",
            "verdict bbbbbb OUT_OF_SYNC vm.swappiness"
        ]
    );
}

#[test]
fn a_key_with_an_open_finding_keeps_its_expectation_whatever_the_deploy_writes() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    host.announce(Started, "bbbbbb");
    host.write(8, SWAPPINESS, "62");
    assert_eq!(
        host.announce(Finished, "bbbbbb"),
        ["finished bbbbbb", "verdict bbbbbb OUT_OF_SYNC vm.swappiness"]
    );
    assert_eq!(host.write(8, SWAPPINESS, "60")[1..], ["healed short: vm.swappiness 60"]);
}

#[test]
fn a_failed_deploy_leaves_what_was_captured_and_what_it_changed_is_a_finding() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    assert_eq!(
        host.announce(Failed, "bbbbbb"),
        ["failed bbbbbb", "opened short: vm.swappiness 61 not 60 (7, kprobe) the deploy did not apply"]
    );
    assert_eq!(
        host.write(7, SWAPPINESS, "60"),
        ["change vm.swappiness 61 -> 60 (7, kprobe) under aaaaaa", "healed short: vm.swappiness 60"]
    );
}

#[test]
fn a_window_that_times_out_is_told_and_judged() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(WINDOW - 1), NOTHING);
    assert_eq!(
        host.pass(1),
        ["timed-out bbbbbb", "opened short: vm.swappiness 61 not 60 (7, kprobe) the deploy did not apply"]
    );
    assert_eq!(host.status().deployment.unwrap().commit.as_str(), "aaaaaa");
    assert_eq!(host.status().window, None);
}

#[test]
fn of_two_windows_that_overlap_each_captures_what_changed_in_it() {
    let mut host = host(&[(SWAPPINESS, "60"), (MTU, "1500")]);
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    let db = host.message("db", Started, "cccccc");
    assert_eq!(host.deliver(db), ["started cccccc"]);
    host.write(8, MTU, "1400");
    host.pass(100);
    assert_eq!(host.announce(Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb SYNCED"]);
    assert_eq!(host.pass(60_000), NOTHING, "the other one's window is open");
    let db = host.message("db", Failed, "cccccc");
    assert_eq!(
        host.deliver(db),
        ["failed cccccc", "opened short: link.eth0.mtu 1400 not 1500 (8, kprobe) the deploy did not apply"]
    );
}

#[test]
fn what_a_failed_deploy_changed_unseen_is_its_own() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.set(SWAPPINESS, "61");
    assert_eq!(
        host.announce(Failed, "bbbbbb"),
        [
            "change vm.swappiness 60 -> 61 (nobody, sweep) in bbbbbb",
            "failed bbbbbb",
            "opened short: vm.swappiness 61 not 60 (nobody, sweep) the deploy did not apply"
        ]
    );
}

#[test]
fn what_changed_in_the_window_is_the_deploys_where_it_is_read_slowly_too() {
    let mut host = host(&[(THP, "[always] never")]);
    host.announce(Started, "bbbbbb");
    host.set(THP, "always [never]");
    assert_eq!(
        host.announce(Finished, "bbbbbb"),
        [
            "finished bbbbbb".into(),
            format!("change {THP} always -> never (nobody, sweep) in bbbbbb"),
            "verdict bbbbbb SYNCED".into()
        ]
    );
}

#[test]
fn what_changed_unseen_before_the_window_is_found_before_it_and_not_laundered() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.set(SWAPPINESS, "61");
    assert_eq!(
        host.announce(Started, "bbbbbb"),
        [
            "change vm.swappiness 60 -> 61 (nobody, sweep) under aaaaaa",
            "opened short: vm.swappiness 61 not 60 (nobody, sweep) changed after the deploy",
            "started bbbbbb"
        ]
    );
    assert_eq!(
        host.announce(Finished, "bbbbbb"),
        ["finished bbbbbb", "verdict bbbbbb OUT_OF_SYNC vm.swappiness"]
    );
}

#[test]
fn what_changed_unseen_in_the_window_is_the_deploys_too() {
    let mut host = host(&[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.set(SWAPPINESS, "61");
    assert_eq!(
        host.announce(Finished, "bbbbbb"),
        [
            "change vm.swappiness 60 -> 61 (nobody, sweep) in bbbbbb",
            "finished bbbbbb",
            "verdict bbbbbb SYNCED"
        ]
    );
}
