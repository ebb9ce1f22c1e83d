//! What was missed is told and swept.

use std::time::Duration;

use super::host::{Host, NOTHING, SWAPPINESS, expects};
use crate::{
    probes::{News, Tally},
    watch::{Counts, Input},
};

fn host() -> Host {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    assert_eq!(host.sweeps(), ["start 0/1"]);
    host
}

fn lost(lost: u64) -> Input {
    Input::Tally(Counts { lost, ..Counts::default() })
}

#[test]
fn a_loss_is_told_and_what_it_hid_is_found_unattributed() {
    let mut host = host();
    host.set(SWAPPINESS, "61");
    assert_eq!(
        host.handle(lost(3)),
        [
            "loss: 3 records that the ring had no room for",
            "change vm.swappiness 60 -> 61 (nobody, sweep)",
            "opened equal: vm.swappiness 61 not 60 (nobody, sweep) unknown"
        ]
    );
    assert_eq!(host.sweeps(), ["loss 1/1"]);
    assert_eq!(host.status().losses, 3);
}

#[test]
fn losses_that_follow_within_a_second_are_told_and_swept_together() {
    let mut host = host();
    assert_eq!(host.handle(lost(3)), ["loss: 3 records that the ring had no room for"]);
    assert_eq!(host.handle(lost(2)), NOTHING);
    host.pass(500);
    assert_eq!(host.handle(lost(5)), NOTHING);
    assert_eq!(host.handle(Input::Links(vec![News::Lost])), NOTHING);
    assert_eq!(host.pass(499), NOTHING);
    host.set(SWAPPINESS, "61");
    assert_eq!(
        host.pass(1)[..3],
        [
            "loss: 7 records that the ring had no room for",
            "loss: 1 rtnetlink messages",
            "change vm.swappiness 60 -> 61 (nobody, sweep)"
        ]
    );
    assert_eq!(host.sweeps(), ["loss 0/1", "loss 1/1"]);
    assert_eq!(host.pass(5_000), NOTHING);
    assert_eq!(host.handle(lost(1)), ["loss: 1 records that the ring had no room for"], "at once again");
}

#[test]
fn each_kind_of_loss_has_its_words_and_what_is_no_loss_is_only_counted() {
    let mut host = host();
    let join = Tally { unreturned: 1, unseen: 2, unreadable: 3, undeclared: 4 };
    assert_eq!(
        host.handle(Input::Tally(Counts { foreign: 5, join, ..Counts::default() })),
        [
            "loss: 1 results of writes, which did not come within a second",
            "loss: 2 writes that the hook did not see",
            "loss: 3 records that could not be read"
        ]
    );
    let status = host.status();
    assert_eq!((status.losses, status.undeclared, status.foreign), (6, 4, 5));
    host.pass(1_000);
    host.sweeps();
    assert_eq!(host.handle(Input::Tally(Counts { foreign: 1, ..Counts::default() })), NOTHING);
    assert_eq!(host.sweeps(), NOTHING);
}

#[test]
fn a_jump_of_the_wall_clock_either_way_sweeps() {
    let mut host = host();
    host.now.wall += Duration::from_secs(3);
    host.handle(Input::Tick);
    assert_eq!(host.sweeps(), ["jump 0/1"]);
    host.now.wall -= Duration::from_secs(3600);
    host.handle(Input::Tick);
    assert_eq!(host.sweeps(), ["jump 0/1"]);
    host.now.wall += Duration::from_secs(1);
    host.handle(Input::Tick);
    assert_eq!(host.sweeps(), NOTHING);
}

#[test]
fn a_sweep_is_made_once_a_minute_and_told_only_where_it_found_something() {
    let mut host = host();
    host.set(SWAPPINESS, "61");
    assert_eq!(host.pass(59_999), NOTHING);
    assert_eq!(host.pass(1)[..1], ["change vm.swappiness 60 -> 61 (nobody, sweep)"]);
    assert_eq!(host.sweeps(), ["timer 1/1"]);
    let last = host.status().last_sweep;
    host.pass(60_000);
    assert_eq!(host.sweeps(), NOTHING);
    assert!(host.status().last_sweep > last);
}

#[test]
fn a_key_that_cannot_be_read_is_told_once_until_it_was_read_again() {
    let key = "kernel.printk:[3]";
    let mut host = Host::new(&[expects(key, "7")], &[(key, "4 4 1 7")]);
    host.set(key, "4");
    let told = ["loss: `/proc/sys/kernel/printk` has no `[3]` where it should be: found `4`"];
    assert_eq!(host.pass(60_000), told);
    assert_eq!(host.pass(600_000), NOTHING);
    host.set(key, "4 4 1 7");
    assert_eq!(host.pass(60_000), NOTHING);
    host.set(key, "4");
    assert_eq!(host.pass(60_000), told);
}

#[test]
fn losses_that_gather_are_told_when_the_daemon_stops() {
    let mut host = host();
    host.handle(lost(3));
    host.handle(lost(2));
    assert_eq!(host.restart(), ["loss: 2 records that the ring had no room for"]);
}

#[test]
fn what_cannot_be_recorded_is_shown_at_once_and_told_when_it_can_be() {
    let mut host = host();
    let why = "the store cannot be written: database or disk is full".to_owned();
    assert_eq!(host.handle(Input::Recording(Some(why.clone()))), NOTHING);
    assert_eq!(host.status().unrecorded, Some(why.clone()));
    host.handle(Input::Recording(Some(format!("{why}; 3 entries had no room there"))));
    assert_eq!(
        host.handle(Input::Recording(None)),
        [format!("loss: the store can be written again; before: {why}; 3 entries had no room there")]
    );
    let status = host.status();
    assert_eq!((status.unrecorded, status.losses), (None, 1));
}
