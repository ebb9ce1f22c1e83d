//! What is put back and what is left alone, by rule and by hand.

use super::{DONE, OPENED, host, live, ordered, reason, reverts};
use crate::{
    model::{
        Act, Expectation, Limits, Outcome,
        Phase::{Finished, Started},
        Remedy, Rule, What,
    },
    watch::tests::host::{Host, NOTHING, SWAPPINESS, expects, rule},
};

#[test]
fn what_departs_is_put_back_recorded_and_known_for_our_own() {
    let mut host = host();
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 10 -> 61 (7, kprobe)"]);
    assert_eq!(
        host.pass(100),
        [
            OPENED,
            DONE,
            "change vm.swappiness 61 -> 10 (nobody, sweep) ours",
            "healed equal: vm.swappiness 10",
        ]
    );
    assert_eq!(live(&host), "10");
    assert_eq!(host.pass(600_000), NOTHING);
}

#[test]
fn our_own_write_is_ours_when_the_probe_tells_of_it() {
    let mut host = host();
    host.sees_itself = true;
    host.write(7, SWAPPINESS, "61");
    let us = std::process::id();
    assert_eq!(
        host.pass(100),
        [
            OPENED.to_owned(),
            format!("change vm.swappiness 61 -> 10 ({us}, kprobe) ours"),
            "healed equal: vm.swappiness 10".into(),
            DONE.into(),
        ]
    );
}

#[test]
fn a_stranger_who_writes_what_is_expected_is_himself() {
    let mut host = host();
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    host.pass(10_000);
    host.set(SWAPPINESS, "61");
    host.write(8, SWAPPINESS, "61");
    assert_eq!(host.write(9, SWAPPINESS, "10"), ["touch vm.swappiness 10 restored x1 (9, kprobe)"]);
}

#[test]
fn a_dry_run_says_what_would_be_written_once_and_writes_nothing() {
    let dry = Remedy::Revert(Limits { dry_run: true, ..Limits::default() });
    let rules = [Rule { remedy: dry, ..expects(SWAPPINESS, "10") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED, "revert vm.swappiness 10: dry-run"]);
    assert_eq!(host.pass(1_000_000), NOTHING);
    assert_eq!(live(&host), "61");
}

#[test]
fn a_daemon_without_the_right_says_so_under_the_finding() {
    let mut host = Host::new(&[reverts(expects(SWAPPINESS, "10"))], &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED, "revert vm.swappiness 10: refused"]);
    assert!(reason(&host).starts_with("this driftd only watches"), "{}", reason(&host));
    assert_eq!(host.ask(Act::Revert, SWAPPINESS, false).1.unwrap_err(), reason(&host));
    assert_eq!(live(&host), "61");
}

#[test]
fn in_a_deploys_window_nothing_is_written_and_its_end_decides() {
    let mut host = host();
    host.announce(Started, "aaaaaa");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(10_000), NOTHING);
    let asked = host.ask(Act::Revert, SWAPPINESS, false).1.unwrap_err();
    assert!(asked.contains("no open finding"), "{asked}");
    assert_eq!(live(&host), "61");
    assert_eq!(
        host.announce(Finished, "aaaaaa"),
        [
            "finished aaaaaa",
            "opened equal: vm.swappiness 61 not 10 (7, kprobe) the deploy did not apply",
            "verdict aaaaaa OUT_OF_SYNC vm.swappiness",
            DONE,
            "change vm.swappiness 61 -> 10 (nobody, sweep) under aaaaaa ours",
            "healed equal: vm.swappiness 10",
        ]
    );
}

#[test]
fn an_application_that_does_not_say_when_it_begins_is_never_reverted_by_rule() {
    let mut host = host();
    host.announce(Finished, "aaaaaa");
    host.write(7, SWAPPINESS, "61");
    let lines = host.pass(100);
    assert_eq!(lines[1..], ["revert vm.swappiness 10: refused"]);
    insta::assert_snapshot!(reason(&host), @r"
    web is deployed without a word when that begins, so that a deploy cannot be told from drift
    hint: let its sender send `started` too, or send `started` and `finished` of aaaaaa once where it is no more; `driftd revert vm.swappiness` works all the same
    ");
    assert_eq!(live(&host), "61");
    assert_eq!(host.restart(), NOTHING);
    // Told to by a person it is; and by rule where the next deploy says when it begins.
    assert!(host.ask(Act::Revert, SWAPPINESS, false).1.is_ok());
    assert_eq!(live(&host), "10");
    host.announce(Started, "bbbbbb");
    host.announce(Finished, "bbbbbb");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100)[1], DONE);
}

#[test]
fn what_one_application_declared_is_put_back_whoever_else_does_not_say_when_he_begins() {
    const REFUSED: &str = "revert vm.swappiness 10: refused";
    for (declared, wanted) in
        [(Some("aaaaaa"), DONE), (Some("bbbbbb"), REFUSED), (Some("cccccc"), REFUSED), (None, REFUSED)]
    {
        let commit = declared.map(|commit| commit.parse().unwrap());
        let rule = reverts(Rule { commit, ..expects(SWAPPINESS, "10") });
        let mut host = Host::new(&[rule], &[(SWAPPINESS, "10")]).that_reverts();
        host.announce(Started, "aaaaaa");
        host.announce(Finished, "aaaaaa");
        let stray = host.message("db", Finished, "bbbbbb");
        host.deliver(stray);
        host.write(7, SWAPPINESS, "61");
        assert_eq!(host.pass(100)[1], wanted, "{declared:?}");
        // Said once with its beginning, it is in nobody's way.
        for phase in [Started, Finished] {
            let again = host.message("db", phase, "bbbbbb");
            host.deliver(again);
        }
        host.pass(1000);
        assert_eq!(live(&host), "10", "{declared:?}");
    }
}

#[test]
fn another_value_than_the_judged_one_is_not_overwritten() {
    let mut host = ordered();
    host.set(SWAPPINESS, "62");
    host.finish();
    assert_eq!(
        host.apply(),
        ["revert vm.swappiness 10: failed", "change vm.swappiness 61 -> 62 (nobody, sweep)"]
    );
    assert_eq!(live(&host), "62");
    // That one is judged now, and put back.
    host.finish();
    assert_eq!(host.apply()[0], DONE);
    assert_eq!(live(&host), "10");
}

#[test]
fn a_key_that_names_a_program_is_refused_whatever_a_rule_means() {
    let key = "kernel.core_pattern";
    let rules = [reverts(rule("equal", key, Expectation::Equal("core".into())))];
    let mut host = Host::new(&rules, &[(key, "core")]).that_reverts();
    let lines = host.write(7, key, "|/tmp/x");
    assert_eq!(lines.len(), 1);
    assert_eq!(host.pass(100)[1..], ["revert kernel.core_pattern absent: refused"]);
    assert!(reason(&host).contains("names a program"), "{}", reason(&host));
    let asked = host.ask(Act::Revert, key, false).1.unwrap_err();
    assert!(asked.contains("names a program"), "{asked}");
    assert_eq!(std::fs::read_to_string(host.path(key)).unwrap(), "|/tmp/x\n");
}

#[test]
fn two_rules_that_disagree_write_nothing() {
    let other = Rule { name: "other".into(), ..expects(SWAPPINESS, "20") };
    let mut host =
        Host::unwatched(&[reverts(expects(SWAPPINESS, "10")), other], &[(SWAPPINESS, "20")]).that_reverts();
    host.pass(0);
    assert!(reason(&host).contains("`other`"), "{}", reason(&host));
    assert_eq!(live(&host), "20");
}

#[test]
fn who_asks_for_what_is_not_to_be_had_is_told_why() {
    let mut host = host();
    let asked = |host: &mut Host, key: &str| host.ask(Act::Revert, key, false).1.unwrap_err();
    assert!(asked(&mut host, "fs.file-max").contains("nothing declares fs.file-max"));
    assert!(asked(&mut host, SWAPPINESS).contains("no open finding"));
}

#[test]
fn who_asks_what_would_be_done_is_told_and_nothing_is_recorded() {
    let mut host = Host::new(&[expects(SWAPPINESS, "10")], &[(SWAPPINESS, "10")]).that_reverts();
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    let (lines, told) = host.ask(Act::Revert, SWAPPINESS, true);
    assert_eq!(lines, NOTHING);
    let told = &told.unwrap()[0];
    assert_eq!((told.outcome, told.requested.as_ref().unwrap().as_str()), (Outcome::DryRun, "10"));
    assert_eq!(live(&host), "61");
}

#[test]
fn of_a_pair_it_is_the_one_that_counts_that_is_written() {
    let (bytes, ratio) = ("vm.dirty_bytes", "vm.dirty_ratio");
    let pair =
        |of: &str, value: &str| Rule { name: of.replace('.', "-").into(), ..reverts(expects(of, value)) };
    let mut host =
        Host::new(&[pair(bytes, "0"), pair(ratio, "20")], &[(bytes, "0"), (ratio, "20")]).that_reverts();
    host.write(7, bytes, "4096");
    host.pass(100);
    let through = host.entries.iter().find_map(|entry| match &entry.what {
        What::Remedy(remedied) => remedied.through.as_ref().map(ToString::to_string),
        _ => None,
    });
    assert_eq!(through.as_deref(), Some(ratio));
    assert_eq!(std::fs::read_to_string(host.path(bytes)).unwrap(), "4096\n", "a 0 is not written");
}

#[test]
fn a_counterpart_that_no_rule_lets_driftd_write_is_not_written() {
    let (bytes, ratio) = ("vm.dirty_bytes", "vm.dirty_ratio");
    let other = Rule { name: "other".into(), ..expects(ratio, "20") };
    let dry = Remedy::Revert(Limits { dry_run: true, ..Limits::default() });
    for other in [other.clone(), Rule { remedy: dry, ..other }] {
        let rules = [reverts(expects(bytes, "0")), other];
        let mut host = Host::new(&rules, &[(bytes, "0"), (ratio, "20")]).that_reverts();
        host.write(7, bytes, "4096");
        assert_eq!(host.pass(100)[1..], ["revert vm.dirty_bytes absent: refused"]);
        assert!(reason(&host).contains("no rule lets driftd write that one"), "{}", reason(&host));
        // A person may.
        assert_eq!(
            host.ask(Act::Revert, bytes, true).1.unwrap()[0].requested.as_ref().unwrap().as_str(),
            "20"
        );
    }
}

#[test]
fn of_a_counterpart_all_rules_must_expect_the_same() {
    let (bytes, ratio) = ("vm.dirty_bytes", "vm.dirty_ratio");
    let named = |name: &str, rule: Rule| Rule { name: name.into(), ..rule };
    let rules = [
        reverts(expects(bytes, "0")),
        reverts(named("ratio", expects(ratio, "20"))),
        named("other", expects(ratio, "30")),
    ];
    let mut host = Host::unwatched(&rules, &[(bytes, "0"), (ratio, "20")]).that_reverts();
    host.write(7, bytes, "4096");
    assert_eq!(host.pass(100)[1..], ["revert vm.dirty_bytes absent: refused"]);
    assert!(reason(&host).contains("`other`"), "{}", reason(&host));
}
