//! Two writers that keep overwriting each other: one finding that names both, until they rest.

use std::time::Duration;

use super::host::{Host, NOTHING, SWAPPINESS, at_least, expects, rule};
use crate::model::{
    Act, Cause, Expectation, Finding, Limits, Mute,
    Phase::{Finished, Started},
    Remedy, Rule, What,
};

const FIGHT: &str = "opened equal: vm.swappiness 60 not 60 (7, kprobe) fight";
const HEALED: &str = "healed equal: vm.swappiness 60";

fn host() -> Host {
    Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")])
}

impl Host {
    /// 7 writes 61, 8 writes 60, and so on, with this pause after each: what is said but for the changes.
    fn overwrite(&mut self, times: usize, pause: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for (pid, value) in [(7, "61"), (8, "60")].into_iter().cycle().take(times) {
            lines.extend(self.write(pid, SWAPPINESS, value));
            lines.extend(self.pass(pause));
        }
        lines.retain(|line| !line.starts_with("change ") && !line.starts_with("touch "));
        lines
    }

    fn only_finding(&mut self) -> Finding {
        let [finding] = self.status().findings.try_into().expect("there is one");
        finding
    }
}

#[test]
fn two_that_overwrite_each_other_are_one_finding_that_names_both_and_heals_when_they_rest() {
    let mut host = host();
    assert_eq!(host.overwrite(3, 50), NOTHING);
    let lines = host.write(8, SWAPPINESS, "60");
    let at_once = ["change vm.swappiness 61 -> 60 (8, kprobe)", FIGHT];
    assert_eq!(lines, at_once, "though the right value is in force");
    let finding = host.only_finding();
    let detail = finding.detail.as_deref().unwrap();
    insta::assert_snapshot!(detail, @"w7 (pid 7, uid 0, parent init 1) writes 61, and w8 (pid 8, uid 0, parent init 1) writes 60");
    assert_eq!(finding.writer.unwrap().pid, 7, "whose value departs");
    assert_eq!(host.overwrite(100, 400), NOTHING, "one finding, whichever value is in force");
    assert_eq!(host.only_finding().finding, finding.finding);
    // The last write is 400 ms ago, and the longest pause was that long.
    assert_eq!(host.pass(599), NOTHING, "a second at the least");
    assert_eq!(host.pass(1), [HEALED]);
    assert_eq!(host.pass(100_000), NOTHING);
}

#[test]
fn they_have_rested_after_twice_their_longest_pause() {
    let mut host = host();
    host.overwrite(4, 5_000);
    host.overwrite(2, 9_000);
    host.overwrite(2, 1_000);
    assert_eq!(host.pass(16_999), NOTHING);
    assert_eq!(host.pass(1), [HEALED]);
}

#[test]
fn a_finding_that_was_open_becomes_the_fight_and_is_told_so_once() {
    let mut host = host();
    let opened = "opened equal: vm.swappiness 61 not 60 (7, kprobe) unknown";
    assert_eq!(host.overwrite(3, 1_000), [opened, HEALED, opened]);
    let finding = host.only_finding();
    let told = host.write(8, SWAPPINESS, "60");
    assert_eq!(told, ["change vm.swappiness 61 -> 60 (8, kprobe)", FIGHT]);
    let fight = host.only_finding();
    assert_eq!((&fight.finding, fight.opened, fight.cause), (&finding.finding, finding.opened, Cause::Fight));
    assert_eq!(host.past().findings, vec![fight], "in the store too");
    assert_eq!(host.overwrite(20, 1_000), NOTHING);
    assert_eq!(host.pass(10_000), [HEALED]);
}

#[test]
fn of_two_that_are_both_wrong_it_is_the_finding_that_there_is() {
    let mut host = Host::new(&[expects(SWAPPINESS, "10")], &[(SWAPPINESS, "10")]);
    assert_eq!(
        host.overwrite(5, 500),
        [
            "opened equal: vm.swappiness 61 not 10 (7, kprobe) unknown",
            "opened equal: vm.swappiness 60 not 10 (8, kprobe) fight",
        ]
    );
    // They rest, and it is as wrong as before: the same finding, until it is put right by whomever.
    assert_eq!(host.pass(100_000), NOTHING);
    assert_eq!(host.only_finding().cause, Cause::Fight);
    let lines = host.write(9, SWAPPINESS, "10");
    assert_eq!(lines, ["change vm.swappiness 61 -> 10 (9, kprobe)", "healed equal: vm.swappiness 10"]);
}

#[test]
fn who_puts_it_right_while_they_fight_does_not_end_that() {
    let mut host = Host::new(&[expects(SWAPPINESS, "10")], &[(SWAPPINESS, "10")]);
    host.overwrite(4, 500);
    assert_eq!(host.write(9, SWAPPINESS, "10"), ["change vm.swappiness 60 -> 10 (9, kprobe)"]);
    assert_eq!(host.pass(499), NOTHING);
    assert_eq!(host.pass(1), ["healed equal: vm.swappiness 10"], "they did not go on");
}

#[test]
fn one_that_writes_both_values_flaps_as_ever() {
    let mut host = host();
    let mut lines = Vec::new();
    for value in ["61", "60", "61", "60", "61", "60"] {
        lines.extend(host.write(7, SWAPPINESS, value));
        lines.extend(host.pass(200));
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("opened")).count(), 3, "{lines:?}");
    assert!(!lines.iter().any(|line| line.ends_with("fight")), "{lines:?}");
}

#[test]
fn who_is_not_known_fights_with_nobody() {
    let mut host = host();
    host.overwrite(3, 50);
    host.set(SWAPPINESS, "60");
    host.pass(61_000);
    assert!(host.open.is_empty());
    assert_eq!(host.overwrite(3, 50), NOTHING);
}

#[test]
fn a_rule_that_wants_both_has_no_fight_nor_one_that_waits() {
    let waits = Rule { name: "waits".into(), hold: Duration::from_secs(30), ..expects(SWAPPINESS, "60") };
    let both = rule("both", SWAPPINESS, Expectation::OneOf(vec!["60".into(), "61".into()]));
    let least = at_least(SWAPPINESS, "61");
    let mut host = Host::new(&[waits, both, least], &[(SWAPPINESS, "61")]);
    host.write(8, SWAPPINESS, "60");
    assert_eq!(host.overwrite(3, 50), ["opened least: vm.swappiness 61 not at least 61 (8, kprobe) fight"]);
    assert_eq!(host.pass(100_000).len(), 2, "that one heals, and the one that waits opens");
}

#[test]
fn in_a_deploys_window_nobody_fights() {
    let mut host = host();
    host.announce(Started, "aaaaaa");
    assert_eq!(host.overwrite(8, 50), NOTHING);
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", "verdict aaaaaa SYNCED"]);
    assert_eq!(host.overwrite(3, 50), NOTHING, "what was in the window does not count");
    assert_eq!(host.write(8, SWAPPINESS, "60")[1..], [FIGHT]);
}

#[test]
fn after_a_deployment_it_is_judged_afresh() {
    let mut host = host();
    host.overwrite(4, 50);
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", HEALED, "verdict aaaaaa SYNCED"]);
    assert_eq!(host.overwrite(4, 50).len(), 1, "they go on");
    host.write(7, SWAPPINESS, "61");
    let lines = host.announce(Finished, "bbbbbb");
    assert_eq!(lines, ["finished bbbbbb", "verdict bbbbbb OUT_OF_SYNC vm.swappiness"]);
    let lines = host.write(8, SWAPPINESS, "60");
    assert_eq!(lines[1..], [HEALED], "nobody knows of a fight any more");
}

#[test]
fn a_restart_knows_that_they_fight_and_not_who() {
    let mut host = host();
    host.overwrite(4, 50);
    let fight = host.only_finding();
    assert_eq!(host.kill(), NOTHING);
    assert_eq!(host.only_finding(), fight);
    assert_eq!(host.pass(599_999), NOTHING);
    assert_eq!(host.pass(1), [HEALED]);
    // Where they go on, they are known again, and rest as long as they ever had to.
    host.overwrite(4, 50);
    host.restart();
    assert_eq!(host.overwrite(5, 700), NOTHING);
    assert_eq!(host.write(8, SWAPPINESS, "60").len(), 1);
    assert_eq!(host.pass(1_399), NOTHING);
    assert_eq!(host.pass(1), [HEALED]);
}

#[test]
fn while_two_fight_no_rule_writes_and_it_is_said_once() {
    let revert = Remedy::Revert(Limits::default());
    let settle = Duration::from_secs(1);
    let rules = [Rule { remedy: revert, settle, ..expects(SWAPPINESS, "10") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "10")]).that_reverts();
    assert_eq!(
        host.overwrite(4, 50),
        ["opened equal: vm.swappiness 60 not 10 (8, kprobe) fight", "revert vm.swappiness 10: refused"]
    );
    assert_eq!(host.overwrite(50, 50), NOTHING);
    insta::assert_snapshot!(reason(&host), @r"
    two fight over it: w7 (pid 7, uid 0, parent init 1) writes 61, and w8 (pid 8, uid 0, parent init 1) writes 60
    hint: stop one of them; when they rest the rule counts again, and `driftd revert vm.swappiness` works at once
    ");
    assert_eq!(host.restart(), NOTHING, "it was said");
    host.overwrite(4, 50);
    // They rest, and the rule counts again.
    let lines = host.pass(10_000);
    assert_eq!(lines[0], "revert vm.swappiness 10: done", "{lines:?}");
    assert!(host.open.is_empty());
}

#[test]
fn a_person_may_put_it_back_while_two_fight() {
    let mut host = Host::new(&[expects(SWAPPINESS, "10")], &[(SWAPPINESS, "10")]).that_reverts();
    host.overwrite(4, 50);
    let (lines, told) = host.ask(Act::Revert, SWAPPINESS, false);
    assert!(told.is_ok(), "{told:?}");
    assert_eq!(lines[0], "revert vm.swappiness 10: done");
    assert_eq!(host.pass(1_000), ["healed equal: vm.swappiness 10"]);
}

#[test]
fn while_two_fight_no_rule_adopts_what_one_of_them_wrote() {
    let rules = [Rule { remedy: Remedy::Adopt, ..expects(SWAPPINESS, "60") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "60")]);
    assert_eq!(host.overwrite(5, 50), [FIGHT, "adopt vm.swappiness absent: refused"]);
    let lines = host.pass(10_000);
    assert_eq!(lines, ["adopt vm.swappiness 61: done", "healed equal: vm.swappiness 61"], "when they rest");
}

#[test]
fn what_was_adopted_while_two_fought_is_expected_and_they_begin_anew() {
    let mut host = host();
    host.overwrite(5, 50);
    let (lines, told) = host.ask(Act::Adopt, SWAPPINESS, false);
    assert!(told.is_ok(), "{told:?}");
    assert_eq!(lines, ["adopt vm.swappiness 61: done", "healed equal: vm.swappiness 61"]);
    assert_eq!(host.pass(50), NOTHING);
    assert_eq!(host.write(8, SWAPPINESS, "60"), ["change vm.swappiness 61 -> 60 (8, kprobe)"]);
    assert_eq!(host.overwrite(3, 50), ["opened equal: vm.swappiness 61 not 61, adopted (8, kprobe) fight"]);
}

#[test]
fn where_driftd_puts_back_what_one_writes_its_limit_ends_that_and_it_is_no_fight_of_two() {
    let revert = Remedy::Revert(Limits::default());
    let mut host = Host::new(&[Rule { remedy: revert, ..expects(SWAPPINESS, "60") }], &[(SWAPPINESS, "60")])
        .that_reverts();
    host.sees_itself = true;
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.extend(host.write(7, SWAPPINESS, "61"));
        lines.extend(host.pass(500));
    }
    assert_eq!(lines.iter().filter(|line| line.ends_with(": done")).count(), 3, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with(": stopped")).count(), 1, "{lines:?}");
    assert!(!lines.iter().any(|line| line.ends_with("fight")), "{lines:?}");
}

#[test]
fn where_driftd_puts_back_what_two_write_its_limit_ends_that_and_then_they_fight() {
    let revert = Remedy::Revert(Limits::default());
    let rules = [Rule { remedy: revert, ..expects(SWAPPINESS, "10") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "10")]).that_reverts();
    host.sees_itself = true;
    let lines = host.overwrite(20, 500);
    let count = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!([count(": done"), count(": stopped"), count(": refused"), count("fight")], [3, 1, 0, 1]);
    assert_eq!(host.pass(1_000_000), NOTHING, "it stays as it is until somebody looks");
}

#[test]
fn a_fight_under_a_mute_is_muted() {
    let until = "2026-08-01T10:01:00Z".parse().unwrap();
    let rules = [Rule { mute: Some(Mute { until, reason: None }), ..expects(SWAPPINESS, "60") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "60")]);
    assert_eq!(host.overwrite(4, 1_000).last().unwrap(), &format!("{FIGHT} (muted)"));
}

/// The reason of the last remedy.
fn reason(host: &Host) -> String {
    let remedied = host.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Remedy(remedied) => remedied.reason.clone(),
        _ => None,
    });
    remedied.unwrap_or_default()
}
