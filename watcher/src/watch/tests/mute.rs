//! A mute keeps findings from the sinks, and from nothing else; when it ends, what is still open is told.

use jiff::Timestamp;

use super::host::{Host, NOTHING, SWAPPINESS, expects};
use crate::{
    model::{Mute, Rule, Severity, VerdictStatus},
    watch::Input,
};

/// When the hosts of these tests begin.
const START: &str = "2026-08-01T10:00:00Z";

/// A rule that is muted for so many seconds from then on.
fn muted(seconds: i64) -> Rule {
    let until = START.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
    Rule { mute: Some(Mute { until, reason: Some("being moved".into()) }), ..expects(SWAPPINESS, "60") }
}

/// A host on which the muted key departs.
fn departing(rule: Rule) -> Host {
    let mut host = Host::new(&[rule], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [format!("{OPENED} (muted)")]);
    host
}

const OPENED: &str = "opened equal: vm.swappiness 61 not 60 (7, kprobe) unknown";

#[test]
fn a_muted_finding_is_open_and_shown_with_the_end_and_told_when_that_comes() {
    let mut host = departing(muted(90));
    let status = host.status();
    assert_eq!(status.status, VerdictStatus::OutOfSync);
    let shown = status.findings[0].clone();
    assert_eq!(shown.muted.unwrap().to_string(), "muted until 2026-08-01T10:01:30Z (being moved)");
    assert_eq!(host.pass(89_899), NOTHING);
    assert_eq!(host.pass(1), [OPENED], "as it was found, by whom it was written");
    assert_eq!((host.status().findings[0].finding.clone(), 1), (shown.finding, host.open.len()));
    assert_eq!(host.pass(600_000), NOTHING, "told once");
    assert_eq!(host.write(7, SWAPPINESS, "60")[1..], ["healed equal: vm.swappiness 60"]);
}

#[test]
fn what_heals_under_its_mute_is_told_neither_way() {
    let mut host = departing(muted(90));
    assert_eq!(host.write(7, SWAPPINESS, "60")[1..], ["healed equal: vm.swappiness 60 (muted)"]);
    assert_eq!(host.pass(600_000), NOTHING);
    // After the end it is a rule like any other.
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
}

#[test]
fn a_mute_that_ends_while_driftd_is_away_is_over_when_it_is_back() {
    let mut host = departing(muted(90));
    host.rules = vec![muted(1)];
    assert_eq!(host.pass(2_000), NOTHING);
    assert_eq!(host.kill(), [OPENED]);
    assert_eq!(host.kill(), NOTHING, "it was told");
}

#[test]
fn a_mute_follows_the_configuration_and_takes_back_nothing_that_was_told() {
    let mut host = departing(muted(90));
    // Longer, then no more.
    let longer = host.declares(&[muted(900)], &[]);
    assert_eq!(host.handle(Input::Reread(longer)), NOTHING);
    assert_eq!(host.pass(200_000), NOTHING);
    let spoken = host.declares(&[expects(SWAPPINESS, "60")], &[]);
    assert_eq!(host.handle(Input::Reread(spoken)), [OPENED]);
    // Muted again: who heard that it opened hears that it healed.
    let again = host.declares(&[muted(9_000)], &[]);
    assert_eq!(host.handle(Input::Reread(again)), NOTHING);
    assert!(host.status().findings[0].hushed, "and nobody is reminded meanwhile");
    assert_eq!(host.write(7, SWAPPINESS, "60")[1..], ["healed equal: vm.swappiness 60"]);
}

#[test]
fn a_new_severity_is_that_of_the_next_finding_so_that_who_heard_of_an_open_one_hears_that_it_healed() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
    let quieter = Rule { severity: Severity::Info, ..expects(SWAPPINESS, "60") };
    let declared = host.declares(std::slice::from_ref(&quieter), &[]);
    assert_eq!(host.handle(Input::Reread(declared)), NOTHING);
    assert_eq!(host.status().findings[0].severity, Severity::Warning);
    host.rules = vec![quieter];
    assert_eq!(host.kill(), NOTHING);
    assert_eq!(host.status().findings[0].severity, Severity::Warning, "nor after a restart");
    host.write(7, SWAPPINESS, "60");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
    assert_eq!(host.status().findings[0].severity, Severity::Info);
}

#[test]
fn who_was_told_before_a_mute_is_reminded_again_when_it_ends() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
    let later = host.declares(&[muted(90)], &[]);
    assert_eq!(host.handle(Input::Reread(later)), NOTHING);
    assert!(host.status().findings[0].hushed);
    assert_eq!(host.pass(90_000), NOTHING, "it was told");
    assert!(!host.status().findings[0].hushed);
}

#[test]
fn a_clock_that_jumps_moves_the_end_along() {
    let mut host = departing(muted(3_600));
    host.now.wall += jiff::SignedDuration::from_secs(1_800);
    host.handle(Input::Tick);
    assert_eq!(host.pass(1_799_899), NOTHING);
    assert_eq!(host.pass(1), [OPENED]);
}
