//! What is recorded and pages nobody, and hints that come before their write.

use super::host::{Host, NOTHING, SWAPPINESS, expects};
use crate::model::Hint;

fn host() -> Host {
    Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")])
}

#[test]
fn changed_and_restored_within_settle_is_a_touch() {
    let mut host = host();
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe)"]);
    host.pass(99);
    assert_eq!(host.write(8, SWAPPINESS, "60"), ["touch vm.swappiness 60 restored x1 (8, kprobe)"]);
    assert_eq!(host.pass(600_000), NOTHING);
}

#[test]
fn changed_and_restored_before_the_read_is_two_touches() {
    let mut host = host();
    let hints = [host.hint(7, SWAPPINESS, "61", 2), host.hint(8, SWAPPINESS, "60", 2)];
    assert_eq!(
        host.hints(&hints),
        ["touch vm.swappiness 60 restored x1 (7, kprobe)", "touch vm.swappiness 60 equal x1 (8, kprobe)"]
    );
    assert_eq!(host.pass(600_000), NOTHING);
}

#[test]
fn equal_and_refused_writes_are_touches_told_once_a_minute_with_their_count() {
    let mut host = host();
    assert_eq!(host.write(7, SWAPPINESS, "60"), ["touch vm.swappiness 60 equal x1 (7, kprobe)"]);
    for _ in 0..41 {
        assert_eq!(host.write(7, SWAPPINESS, "60"), NOTHING);
    }
    let refused = host.hint(7, SWAPPINESS, "-1", -22);
    assert_eq!(host.hints(&[refused]), ["touch vm.swappiness 60 refused x1 (7, kprobe)"], "another reason");
    assert_eq!(
        host.write(8, SWAPPINESS, "60"),
        ["touch vm.swappiness 60 equal x1 (8, kprobe)"],
        "another writer"
    );
    assert_eq!(host.pass(59_999), NOTHING);
    assert_eq!(host.pass(1), ["touch vm.swappiness 60 equal x41 (7, kprobe)"]);
    assert_eq!(
        host.write(7, SWAPPINESS, "60"),
        ["touch vm.swappiness 60 equal x1 (7, kprobe)"],
        "a new minute"
    );
}

#[test]
fn what_gathers_is_told_when_the_daemon_stops() {
    let mut host = host();
    host.write(7, SWAPPINESS, "60");
    host.write(7, SWAPPINESS, "60");
    assert_eq!(host.restart(), ["touch vm.swappiness 60 equal x1 (7, kprobe)"]);
}

#[test]
fn many_hints_of_one_key_are_one_read_and_one_change_that_counts_them() {
    let mut host = host();
    host.set(SWAPPINESS, "70");
    let hints: Vec<Hint> =
        (61..=70).map(|value| host.hint(value, SWAPPINESS, &value.to_string(), 2)).collect();
    assert_eq!(host.hints(&hints), ["change vm.swappiness 60 -> 70 (70, kprobe)"]);
    let writes = host.entries.iter().filter_map(|entry| match &entry.what {
        crate::model::What::Change(change) => Some(change.writes),
        _ => None,
    });
    assert_eq!(writes.collect::<Vec<_>>(), [10]);
}

#[test]
fn a_hint_before_its_write_is_re_read_until_the_value_asked_for_is_there() {
    let mut host = host();
    let early = host.early(7, SWAPPINESS, "61");
    assert_eq!(host.hints(&[early]), NOTHING);
    // Read again after 100 ms, and 200 ms after that.
    assert_eq!(host.pass(150), NOTHING);
    host.set(SWAPPINESS, "61");
    assert_eq!(host.pass(149), NOTHING);
    assert_eq!(
        host.pass(1),
        [
            "change vm.swappiness 60 -> 61 (7, cgroup)",
            "opened equal: vm.swappiness 61 not 60 (7, cgroup) unknown"
        ],
        "it settled long ago"
    );
}

#[test]
fn a_hint_whose_write_never_comes_is_a_touch_after_five_seconds() {
    let mut host = host();
    let early = host.early(7, SWAPPINESS, "61");
    host.hints(&[early]);
    assert_eq!(host.pass(4_999), NOTHING);
    assert_eq!(host.pass(5_000), ["touch vm.swappiness 60 ineffective x1 (7, cgroup)"]);
}

#[test]
fn without_a_result_a_writer_is_named_only_for_the_value_it_asked_for() {
    let mut host = host();
    let early = host.early(7, SWAPPINESS, "61");
    host.set(SWAPPINESS, "62");
    assert_eq!(host.hints(&[early])[..1], ["change vm.swappiness 60 -> 62 (nobody, cgroup)"]);
    assert_eq!(host.pass(100), ["opened equal: vm.swappiness 62 not 60 (nobody, cgroup) unknown"]);
}

#[test]
fn of_a_key_that_namespaces_share_by_name_no_touch_is_made_of_a_write_that_never_came() {
    let key = "net.core.somaxconn";
    let mut host = Host::new(&[expects(key, "4096")], &[(key, "4096")]);
    let early = host.early(7, key, "128");
    host.hints(&[early]);
    assert_eq!(host.pass(60_000), NOTHING, "it was, in all likelihood, another namespace's");
}

#[test]
fn touches_that_end_their_minute_together_are_told_in_one_order() {
    let mut host = host();
    for pid in [3, 1, 4, 2, 5, 3, 1, 4, 2, 5] {
        host.write(pid, SWAPPINESS, "60");
    }
    let by = |pid| format!("touch vm.swappiness 60 equal x1 ({pid}, kprobe)");
    assert_eq!(host.restart(), [1, 2, 3, 4, 5].map(by));
}
