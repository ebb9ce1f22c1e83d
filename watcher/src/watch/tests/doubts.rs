//! A value that nobody explains is not believed before the probes were heard once more.

use super::host::{Host, MTU, NOTHING, SWAPPINESS, captures, expects};
use crate::{
    model::{Change, Hint, Limits, Phase, Remedy, Rule, What},
    probes::News,
    watch::Input,
};

fn host() -> Host {
    Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")])
}

/// The last change that was recorded.
fn last_change(host: &Host) -> &Change {
    let changes = host.entries.iter().rev().filter_map(|entry| match &entry.what {
        What::Change(change) => Some(change),
        _ => None,
    });
    changes.take(1).next().expect("something changed")
}

#[test]
fn who_wrote_between_the_hint_and_the_reading_is_named() {
    let mut host = host();
    let first = host.hint(7, SWAPPINESS, "61", 3);
    host.set(SWAPPINESS, "62");
    host.meanwhile(|host| vec![host.hint(8, SWAPPINESS, "62", 3)]);
    assert_eq!(host.hints(&[first]), ["change vm.swappiness 60 -> 62 (8, kprobe)"]);
    assert!(host.all_happened());
    assert_eq!(last_change(&host).writes, 2);
}

#[test]
fn who_set_an_mtu_is_named_where_rtnetlink_and_the_reading_were_first() {
    let mut host = Host::new(&[expects(MTU, "1500")], &[(MTU, "1500")]).with_link_hook();
    host.handle(Input::Links(vec![News::Interface("eth0".into())]));
    host.set(MTU, "1400");
    host.meanwhile(|host| vec![host.hint(8, MTU, "1400", 0)]);
    assert_eq!(host.pass(50), ["change link.eth0.mtu 1500 -> 1400 (8, kprobe)"]);
    assert!(host.all_happened());
}

#[test]
fn who_is_still_writing_is_named_and_its_result_is_no_further_write() {
    let mut host = host();
    host.set(SWAPPINESS, "61");
    let write = super::super::written_file(&SWAPPINESS.parse().unwrap()).unwrap();
    host.meanwhile(|host| {
        assert_eq!(host.watch.overdue_writes(), [], "it may return by itself");
        Vec::new()
    });
    host.meanwhile(|_| Vec::new());
    host.meanwhile(move |host| {
        assert_eq!(host.watch.overdue_writes(), [write]);
        vec![Hint { result: None, ..host.hint(8, SWAPPINESS, "61", 3) }]
    });
    host.pass(59_900);
    assert_eq!(host.pass(100), ["change vm.swappiness 60 -> 61 (8, kprobe)"]);
    let result = host.hint(8, SWAPPINESS, "61", 3);
    assert_eq!(host.hints(&[result]), NOTHING);
    assert_eq!(last_change(&host).writes, 1);
    assert_eq!(host.pass(61_000), ["opened equal: vm.swappiness 61 not 60 (8, kprobe) unknown"], "no touch");
}

#[test]
fn what_is_told_again_with_its_result_is_one_write() {
    let mut host = host();
    let under_way = Hint { result: None, ..host.hint(8, SWAPPINESS, "61", 3) };
    assert_eq!(host.hints(&[under_way]), NOTHING);
    host.set(SWAPPINESS, "61");
    let result = host.hint(8, SWAPPINESS, "61", 3);
    assert_eq!(host.hints(&[result]), ["change vm.swappiness 60 -> 61 (8, kprobe)"]);
    assert_eq!(last_change(&host).writes, 1);
}

#[test]
fn what_is_written_on_and_on_is_believed_in_the_end() {
    let mut host = host();
    host.set(SWAPPINESS, "61");
    for value in 62..65 {
        host.meanwhile(move |host| {
            // The probes are always one behind.
            let hint = host.hint(8, SWAPPINESS, &(value - 1).to_string(), 3);
            host.set(SWAPPINESS, &value.to_string());
            vec![hint]
        });
    }
    assert_eq!(host.pass(60_000).first().unwrap(), "change vm.swappiness 60 -> 64 (8, kprobe)");
    assert!(host.all_happened());
    host.meanwhile(|_| panic!("nothing is in doubt any more"));
    host.pass(1000);
}

#[test]
fn a_write_that_took_long_is_its_writers_however_long_that_was() {
    let mut host = host();
    let under_way = Hint { result: None, ..host.hint(8, SWAPPINESS, "61", 3) };
    let result = host.hint(8, SWAPPINESS, "61", 3);
    host.hints(&[under_way]);
    assert_eq!(host.pass(30_000), ["touch vm.swappiness 60 ineffective x1 (8, kprobe)"]);
    host.set(SWAPPINESS, "61");
    let told = host.hints(&[result]);
    assert_eq!(told[0], "change vm.swappiness 60 -> 61 (8, kprobe)");
    assert_eq!(told[1], "opened equal: vm.swappiness 61 not 60 (8, kprobe) unknown", "it settled long ago");
    assert_eq!(last_change(&host).writes, 1);
}

#[test]
fn nothing_is_put_right_by_a_rule_that_is_about_to_be_another() {
    const OTHER: &str = "vm.dirty_ratio";
    let reverts = |value| Rule { remedy: Remedy::Revert(Limits::default()), ..expects(SWAPPINESS, value) };
    let rules = |value| vec![reverts(value), Rule { name: "other".into(), ..expects(OTHER, "20") }];
    let mut host = Host::new(&rules("60"), &[(SWAPPINESS, "60"), (OTHER, "20")]).that_reverts();
    host.announce(Phase::Finished, "aaaaaa");
    host.announce(Phase::Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    host.pass(1000);
    host.set(OTHER, "21");
    host.meanwhile(|host| vec![host.hint(8, OTHER, "21", 3)]);
    let reread = host.declares(&rules("61"), &[]);
    let lines = host.announce_with(Phase::Finished, "bbbbbb", reread);
    assert!(host.all_happened());
    assert_eq!(lines[0], "change vm.dirty_ratio 20 -> 21 (8, kprobe) in bbbbbb");
    assert!(lines.iter().all(|line| !line.contains("swappiness")), "{lines:?}");
    assert_eq!(std::fs::read_to_string(host.path(SWAPPINESS)).unwrap(), "61\n");
}

#[test]
fn what_was_in_doubt_when_a_deploy_began_is_pinned_to_what_held_until_then() {
    let mut host = host();
    host.announce(Phase::Finished, "a1b2c3");
    host.set(SWAPPINESS, "61");
    host.meanwhile(|host| vec![host.hint(8, SWAPPINESS, "61", 3)]);
    let lines = host.announce(Phase::Started, "d4e5f6");
    assert_eq!(lines, ["change vm.swappiness 60 -> 61 (8, kprobe) under a1b2c3", "started d4e5f6"]);
}

#[test]
fn no_verdict_and_no_capture_comes_before_the_doubt_is_over() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    host.announce(Phase::Started, "a1b2c3");
    host.set(SWAPPINESS, "61");
    host.meanwhile(|host| {
        host.set(SWAPPINESS, "62");
        vec![host.hint(8, SWAPPINESS, "62", 3)]
    });
    host.announce(Phase::Finished, "a1b2c3");
    let change = last_change(&host);
    assert_eq!((change.actual.as_ref().unwrap().as_str(), change.in_window), ("62", true));
    assert!(host.all_happened());
    assert_eq!(host.write(9, SWAPPINESS, "61"), ["change vm.swappiness 62 -> 61 (9, kprobe) under a1b2c3"]);
    let opened = host.pass(100);
    assert_eq!(opened, ["opened short: vm.swappiness 61 not 62 (9, kprobe) changed after the deploy"]);
}

#[test]
fn what_no_probe_watches_or_comes_and_goes_is_not_doubted() {
    const OTHER: &str = "link.eth1.mtu";
    let changes = |lines: Vec<String>| lines.iter().filter(|line| line.starts_with("change")).count();
    let rules = [expects(MTU, "1500"), expects(OTHER, "1500")];
    let mut host = Host::new(&rules, &[(MTU, "1500"), (OTHER, "1500")]);
    host.meanwhile(|_| panic!("nothing is in doubt"));
    host.set(MTU, "1400");
    host.remove(OTHER);
    assert_eq!(changes(host.pass(60_000)), 2);
    let mut host = host.with_link_hook();
    host.set(OTHER, "1500");
    assert_eq!(changes(host.pass(60_000)), 1);
    host.remove(OTHER);
    assert_eq!(changes(host.pass(60_000)), 1);
}
