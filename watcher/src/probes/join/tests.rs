//! Records in, hints out: what is joined, what is given up on, and in which order.

use watcher_common::{COMPONENT, Kind, VERSION};
use zerocopy::{FromZeros, IntoBytes};

use super::*;

fn at(millis: u64) -> Boottime {
    Boottime { nanos: millis * 1_000_000 }
}

fn size(kind: Kind) -> u32 {
    let size = match kind {
        Kind::SysctlEnter => size_of::<SysctlEnter>(),
        Kind::SysctlValues => size_of::<SysctlValues>(),
        Kind::MtuEnter => size_of::<MtuEnter>(),
        Kind::SysctlReturn | Kind::MtuReturn => size_of::<Return>(),
    };
    size as u32
}

fn header(kind: Kind, tid: u32, entered: u64) -> Header {
    Header {
        version: VERSION,
        kind: kind as u8,
        flags: 0,
        size: size(kind),
        entered,
        time: 7,
        tid,
        tgid: tid,
    }
}

fn enter(tid: u32, entered: u64, leaf: &[u8]) -> Vec<u8> {
    let mut record = SysctlEnter::new_zeroed();
    record.header = header(Kind::SysctlEnter, tid, entered);
    record.owner_kind = OwnerKindWire::Global as u32;
    record.components = 3;
    for (slot, name) in record.path.iter_mut().zip([leaf, b"vm", b"sys"]) {
        slot[..name.len()].copy_from_slice(name);
    }
    record.as_bytes().to_vec()
}

fn values(tid: u32, entered: u64, requested: &[u8]) -> Vec<u8> {
    let mut record = SysctlValues::new_zeroed();
    record.header = header(Kind::SysctlValues, tid, entered);
    let name = b"vm/swappiness";
    record.name[..name.len()].copy_from_slice(name);
    record.old[..3].copy_from_slice(b"60\n");
    record.old_length = 3;
    record.requested[..requested.len()].copy_from_slice(requested);
    record.requested_length = requested.len() as i32;
    record.as_bytes().to_vec()
}

fn back(tid: u32, entered: u64, result: i64) -> Vec<u8> {
    Return { header: header(Kind::SysctlReturn, tid, entered), result }.as_bytes().to_vec()
}

fn join(joined: bool) -> Join {
    let interest = Interest { sysctls: ["vm/swappiness".into()].into(), ..Interest::default() };
    Join::new(interest, joined.then_some(Hook::Kprobe), Namespaces::default())
}

/// Takes records at time 0, gives up at `until`, and shows requested value and result of each hint.
#[track_caller]
fn check(joined: bool, records: &[Vec<u8>], until: u64, wanted: &[(Option<&str>, Option<i64>)]) -> Tally {
    let (mut join, mut hints) = (join(joined), Vec::new());
    records.iter().for_each(|bytes| join.take(bytes, at(0), &mut hints));
    join.expire(at(until), &mut hints);
    let got: Vec<_> = hints.iter().map(|h| (h.requested.as_deref(), h.result)).collect();
    assert_eq!(got, wanted);
    join.tally()
}

#[test]
fn entry_values_and_return_of_one_call_are_one_hint() {
    let records = [enter(1, 5, b"swappiness"), values(1, 5, b"61\n"), back(1, 5, 3)];
    assert_eq!(check(true, &records, 0, &[(Some("61\n"), Some(3))]), Tally::default());
}

#[test]
fn calls_of_two_tasks_are_kept_apart() {
    let records = [
        enter(1, 5, b"swappiness"),
        enter(2, 6, b"swappiness"),
        values(2, 6, b"62\n"),
        values(1, 5, b"61\n"),
        back(1, 5, 3),
        back(2, 6, -22),
    ];
    check(true, &records, 0, &[(Some("61\n"), Some(3)), (Some("62\n"), Some(-22))]);
}

#[test]
fn a_restarted_call_is_no_write() {
    let mut records = Vec::new();
    for entered in 5..70 {
        records.extend([enter(1, entered, b"swappiness"), back(1, entered, -513)]);
    }
    records.extend([enter(1, 70, b"swappiness"), back(1, 70, 2)]);
    assert_eq!(check(true, &records, 5000, &[(None, Some(2))]), Tally::default());
}

#[test]
fn a_return_that_does_not_come_is_given_up_on_and_counted() {
    let records = [enter(1, 5, b"swappiness"), values(1, 5, b"61\n")];
    check(true, &records, 999, &[]);
    assert_eq!(check(true, &records, 1000, &[(Some("61\n"), None)]).unreturned, 1);
}

#[test]
fn a_call_given_up_on_is_told_again_when_it_returns() {
    let (mut join, mut hints) = (join(true), Vec::new());
    join.take(&enter(1, 5, b"swappiness"), at(0), &mut hints);
    join.expire(at(1000), &mut hints);
    join.take(&values(1, 5, b"61\n"), at(9000), &mut hints);
    join.take(&back(1, 5, 3), at(9000), &mut hints);
    assert_eq!((hints.len(), join.tally().unreturned), (2, 1));
    assert_eq!((hints[1].requested.as_deref(), hints[1].result), (Some("61\n"), Some(3)));
}

fn mtu(tid: u32, entered: u64, interface: &[u8]) -> Vec<u8> {
    let mut record = MtuEnter::new_zeroed();
    record.header = header(Kind::MtuEnter, tid, entered);
    record.name[..interface.len()].copy_from_slice(interface);
    record.as_bytes().to_vec()
}

fn mtu_back(tid: u32, entered: u64) -> Vec<u8> {
    Return { header: header(Kind::MtuReturn, tid, entered), result: 0 }.as_bytes().to_vec()
}

fn links() -> Join {
    let interfaces = ["bond0", "eth0", "eth1"].map(std::sync::Arc::from).into();
    Join::new(Interest { interfaces, ..Interest::default() }, Some(Hook::Kprobe), Namespaces::default())
}

fn told(hints: &[Hint]) -> Vec<(&Write, Option<i64>)> {
    hints.iter().map(|hint| (&hint.write, hint.result)).collect()
}

#[test]
fn a_change_of_an_mtu_that_returns_ends_those_inside_of_it_and_no_others() {
    let (mut join, mut hints) = (links(), Vec::new());
    for record in [mtu(1, 5, b"bond0"), mtu(1, 6, b"eth0"), mtu(2, 7, b"eth1"), mtu_back(1, 5)] {
        join.take(&record, at(0), &mut hints);
    }
    let (bond, slave) = (Write::Mtu("bond0".into()), Write::Mtu("eth0".into()));
    assert_eq!(told(&hints), [(&slave, None), (&bond, Some(0))]);
    assert_eq!(join.tally().unreturned, 1);
    join.take(&mtu_back(2, 7), at(0), &mut hints);
    assert_eq!(hints.len(), 3);
}

#[test]
fn a_change_of_an_mtu_is_told_in_a_hurry_and_again_with_its_result() {
    let (mut join, mut hints) = (links(), Vec::new());
    let patience = Duration::from_millis(25);
    join.take(&mtu(1, 5, b"eth0"), at(0), &mut hints);
    join.take(&enter(2, 6, b"swappiness"), at(0), &mut hints);
    let is_mtu = |write: &Write| matches!(write, Write::Mtu(_));
    join.hurry(patience, at(24), &mut hints, is_mtu);
    assert_eq!(hints, []);
    join.hurry(patience, at(25), &mut hints, is_mtu);
    join.hurry(patience, at(26), &mut hints, is_mtu);
    join.take(&mtu_back(1, 5), at(27), &mut hints);
    let eth0 = Write::Mtu("eth0".into());
    assert_eq!(told(&hints), [(&eth0, None), (&eth0, Some(0))]);
    assert_eq!(join.tally().unreturned, 0);
}

#[test]
fn values_without_an_entry_are_the_hint_itself_or_a_sign_of_blindness() {
    let records = [values(1, 0, b"61\n")];
    assert_eq!(check(false, &records, 0, &[(Some("61\n"), None)]), Tally::default());
    assert_eq!(check(true, &records, 0, &[(Some("61\n"), None)]).unseen, 1);
}

/// A path below `/proc/sys/kernel`, and the process that writes it.
fn kernel(mut record: Vec<u8>, tgid: u32) -> Vec<u8> {
    let (path, tgid_at) = (120 + COMPONENT, 28);
    record[tgid_at..tgid_at + 4].copy_from_slice(&tgid.to_ne_bytes());
    record[path..path + 7].copy_from_slice(b"kernel\0");
    record
}

#[test]
fn the_canary_is_heard_and_goes_no_further_and_that_of_others_is_a_write() {
    let (mut join, mut hints) = (join(true), Vec::new());
    let canary = enter(1, 5, b"sysctl_writes_strict");
    join.take(&kernel(canary.clone(), 1), at(0), &mut hints);
    assert_eq!((join.heard(), join.tally().undeclared), (Heard::default(), 1));
    join.take(&kernel(canary, std::process::id()), at(0), &mut hints);
    assert_eq!((join.heard(), join.tally()), (Heard { hook: true, values: false }, Tally::default()));
    assert_eq!(join.heard(), Heard::default(), "it is asked for anew each time");
}

#[test]
fn where_nobody_is_named_a_write_of_nothing_is_the_canary_and_another_is_not() {
    let (mut join, mut hints) = (join(false), Vec::new());
    for (length, heard) in [(2, false), (-22, true)] {
        let mut record = SysctlValues::new_zeroed();
        record.header = header(Kind::SysctlValues, 0, 0);
        record.name[..27].copy_from_slice(b"kernel/sysctl_writes_strict");
        record.requested_length = length;
        join.take(record.as_bytes(), at(0), &mut hints);
        assert_eq!(join.heard().values, heard);
    }
}

#[test]
fn the_switch_that_blinds_is_suspicious_when_its_write_is_over_or_given_up_and_told_only_where_declared() {
    let (mut join, mut hints) = (join(true), Vec::new());
    let switch = kernel(enter(1, 5, b"ftrace_enabled"), 1);
    join.take(&switch, at(0), &mut hints);
    assert!(!join.suspicious());
    join.take(&back(1, 5, 2), at(0), &mut hints);
    assert!(join.suspicious() && !join.suspicious());
    join.take(&switch, at(0), &mut hints);
    join.expire(at(1000), &mut hints);
    assert!(join.suspicious());
    assert_eq!(hints, []);
}

#[test]
fn writes_of_undeclared_keys_are_counted_once_and_go_no_further() {
    let mut other = values(1, 5, b"61\n");
    other[120 + 3..120 + 13].copy_from_slice(b"overcommit");
    let records = [enter(1, 5, b"overcommit"), other, back(1, 5, 3)];
    assert_eq!(check(true, &records, 5000, &[]), Tally { undeclared: 1, ..Tally::default() });
}

#[test]
fn those_who_wait_are_bounded_and_the_oldest_is_told_first() {
    let (mut join, mut hints) = (join(true), Vec::new());
    for tid in 1..WAITING as u32 + 3 {
        join.take(&enter(tid, 5, b"swappiness"), at(0), &mut hints);
    }
    assert_eq!(hints.iter().map(|h| h.writer.as_ref().unwrap().tid).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(join.tally().unreturned, 2);
    assert_eq!(join.deadline(), Some(at(1000)));
}
