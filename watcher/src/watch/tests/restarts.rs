//! What a run leaves, and what the next one makes of it.

use super::host::{Host, MTU, NOTHING, SWAPPINESS, WINDOW, captures, expects};
use crate::model::{
    Announcement,
    Phase::{Failed, Finished, Started},
    Receipt, Source,
};

/// A host with an open finding of the rule `equal`.
fn departed() -> Host {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100).len(), 1);
    host
}

#[test]
fn a_restart_opens_no_second_finding_and_heals_the_first() {
    let mut host = departed();
    let id = host.status().findings[0].finding.clone();
    assert_eq!(host.kill(), NOTHING);
    assert_eq!(host.status().findings[0].finding, id);
    assert_eq!(
        host.write(8, SWAPPINESS, "60"),
        ["change vm.swappiness 61 -> 60 (8, kprobe)", "healed equal: vm.swappiness 60"]
    );
    assert_eq!(host.restart(), NOTHING);
}

#[test]
fn what_healed_while_nobody_looked_is_healed_at_the_start() {
    let mut host = departed();
    host.set(SWAPPINESS, "60");
    assert_eq!(host.kill(), ["healed equal: vm.swappiness 60"]);
    assert_eq!(host.kill(), NOTHING);
}

#[test]
fn what_a_reboot_undid_was_never_in_force_since_whatever_was_deployed_before() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.announce(Finished, "aaaaaa");
    assert_eq!(
        host.reboot(&[(SWAPPINESS, "30")]),
        ["opened equal: vm.swappiness 30 not 60 (nobody, sweep) never in force since boot"]
    );
}

#[test]
fn what_departed_within_settle_when_it_was_killed_is_found_by_the_next_start() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.kill(), ["opened equal: vm.swappiness 61 not 60 (nobody, sweep) unknown"]);
}

#[test]
fn a_finding_has_the_words_of_its_rule_as_it_is_now() {
    let mut host = departed();
    host.rules = vec![expects(SWAPPINESS, "10")];
    assert_eq!(host.restart(), NOTHING);
    assert_eq!(host.status().findings[0].expected, "10");
    assert_eq!(host.past().findings[0].expected, "10");
}

#[test]
fn a_finding_whose_rule_or_key_is_gone_is_over() {
    for rules in [vec![], vec![captures(SWAPPINESS)], vec![expects(MTU, "1500")]] {
        let mut host = departed();
        host.set(MTU, "1500");
        host.rules = rules;
        assert_eq!(host.restart(), ["undeclared equal: vm.swappiness absent"]);
        assert_eq!(host.restart(), NOTHING);
    }
}

#[test]
fn what_was_captured_stays_expected_and_the_deployment_in_force() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    host.announce(Finished, "aaaaaa");
    host.kill();
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe) under aaaaaa"]);
    assert_eq!(
        host.pass(100),
        ["opened short: vm.swappiness 61 not 60 (7, kprobe) changed after the deploy"]
    );
}

#[test]
fn a_window_stays_open_for_what_is_left_of_its_time() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.announce(Started, "bbbbbb");
    host.pass(WINDOW - 100_000);
    assert_eq!(host.restart(), NOTHING);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe) in bbbbbb"]);
    assert_eq!(host.pass(99_999), NOTHING);
    assert_eq!(host.pass(1)[..1], ["timed-out bbbbbb"]);
    assert_eq!(host.restart(), NOTHING, "and is over");
}

#[test]
fn a_finding_whose_rule_moved_in_its_file_and_that_healed_meanwhile_stays_healed() {
    let mut host = departed();
    host.rules[0].source = Source { file: "rules".into(), line: 2 };
    host.set(SWAPPINESS, "60");
    assert_eq!(host.restart(), ["healed equal: vm.swappiness 60"]);
    assert_eq!(host.past().findings, [], "in the store too");
}

#[test]
fn a_message_that_was_known_is_a_retry_after_a_restart_too() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    let with_id = |id: &str, message| Announcement { id: Some(id.into()), ..message };
    let first = with_id("1", host.message("web", Finished, "aaaaaa"));
    let again = with_id("2", host.message("web", Finished, "aaaaaa"));
    let next = with_id("3", host.message("web", Finished, "bbbbbb"));
    host.deliver(first);
    assert_eq!(host.deliver(again.clone()), NOTHING, "the commit in force");
    host.deliver(next);
    host.kill();
    assert_eq!(host.deliver(again), NOTHING, "no rollback by a message that came before");
    assert!(matches!(host.receipt.take().unwrap().try_recv(), Ok(Receipt::Known(_))));
}

#[test]
fn a_deploy_of_the_commit_in_force_that_breaks_off_leaves_it_in_force() {
    for end in [Some(Failed), None] {
        let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
        host.announce(Finished, "aaaaaa");
        host.announce(Started, "aaaaaa");
        host.kill();
        assert_eq!(host.status().deployment.map(|d| d.commit.to_string()), Some("aaaaaa".into()));
        assert!(host.status().window.is_some());
        match end {
            Some(end) => assert_eq!(host.announce(end, "aaaaaa"), ["failed aaaaaa"]),
            None => assert_eq!(host.pass(WINDOW), ["timed-out aaaaaa"]),
        }
        host.kill();
        let status = host.status();
        assert_eq!(status.deployment.map(|d| d.commit.to_string()), Some("aaaaaa".into()), "{end:?}");
        assert_eq!(status.window, None);
    }
}

#[test]
fn what_changed_in_a_window_before_a_restart_is_captured_at_its_end() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    host.announce(Finished, "aaaaaa");
    host.announce(Started, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    host.restart();
    assert_eq!(host.announce(Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb SYNCED"]);
}
