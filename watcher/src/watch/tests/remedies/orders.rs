//! How an order goes on: recorded first, carried out once, counted, and owed again where it was not; over the end of a run too.

use super::{DONE, OPENED, host, live, ordered, reason, reverts};
use crate::{
    http::Asked,
    model::{
        Act, Expectation, Limits, Person,
        Phase::{Failed, Started},
        Remedy, Rule,
    },
    watch::{
        Input,
        tests::host::{Host, NOTHING, SWAPPINESS, THP, expects, rule},
    },
};

#[test]
fn two_that_fight_stop_and_it_is_said_with_whom() {
    let mut host = host();
    let put_back = [
        "change vm.swappiness 10 -> 61 (7, kprobe)",
        OPENED,
        DONE,
        "change vm.swappiness 61 -> 10 (nobody, sweep) ours",
        "healed equal: vm.swappiness 10",
    ];
    for _ in 0..3 {
        let mut lines = host.write(7, SWAPPINESS, "61");
        lines.extend(host.pass(100));
        assert_eq!(lines, put_back);
    }
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED, "revert vm.swappiness 10: stopped"]);
    insta::assert_snapshot!(reason(&host), @r"
    it was put back 3 times within 10m, and w7 (pid 7) wrote it again: two that fight
    hint: stop the other, or declare what it writes; then `driftd revert vm.swappiness`
    ");
    assert_eq!(host.pass(1_000_000), NOTHING, "it stays as it is until somebody looks");
    assert_eq!(host.restart(), NOTHING, "and is not said again");
    assert_eq!(live(&host), "61");
    // By hand it is, however often.
    let (lines, told) = host.ask(Act::Revert, SWAPPINESS, false);
    assert_eq!(lines[..1], [DONE]);
    assert_eq!(told.unwrap()[0].asked_by.as_ref().unwrap().login_uid, Some(1000));
}

#[test]
fn what_was_refused_or_only_said_is_put_back_by_a_run_that_may() {
    let mut host = Host::new(&[reverts(expects(SWAPPINESS, "10"))], &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100)[1..], ["revert vm.swappiness 10: refused"]);
    assert_eq!(host.restart(), NOTHING, "nothing else is to be said");
    assert_eq!(live(&host.that_reverts()), "10", "the other unit may");

    let dry = Remedy::Revert(Limits { dry_run: true, ..Limits::default() });
    let rules = [Rule { remedy: dry, ..expects(SWAPPINESS, "10") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "10")]).that_reverts();
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    assert_eq!(host.restart(), NOTHING, "it was said");
    host.rules = vec![reverts(expects(SWAPPINESS, "10"))];
    assert_eq!(host.restart()[0], DONE);
}

#[test]
fn what_was_not_written_after_all_is_tried_by_the_next_run() {
    let mut host = ordered();
    host.set(SWAPPINESS, "62");
    host.finish();
    assert_eq!(host.apply()[0], "revert vm.swappiness 10: failed");
    // The next order is given, and it is killed before that is heard.
    assert_eq!(host.kill()[..2], ["revert vm.swappiness 10: interrupted", DONE]);
    assert_eq!(live(&host), "10");
}

#[test]
fn what_was_not_written_does_not_count() {
    let mut host = ordered();
    for other in ["62", "63", "64", "65"] {
        host.set(SWAPPINESS, other);
        host.finish();
        assert_eq!(host.apply()[0], "revert vm.swappiness 10: failed");
    }
    host.finish();
    assert_eq!(host.apply()[0], DONE);
}

#[test]
fn what_could_not_be_recorded_first_is_done_when_it_can_be() {
    let mut host = ordered();
    host.fail();
    assert_eq!(host.apply(), ["revert vm.swappiness 10: failed"]);
    (host.by_hand, host.cut_off) = (false, false);
    assert_eq!(host.handle(Input::Recording(Some("full".into()))), NOTHING);
    assert_eq!(host.pass(120_000), NOTHING);
    assert!(host.ask(Act::Revert, SWAPPINESS, false).1.unwrap_err().ends_with(": full"));
    assert_eq!(live(&host), "61");
    assert_eq!(host.handle(Input::Recording(None))[1], DONE);
    assert_eq!(live(&host), "10");
}

#[test]
fn what_is_overwritten_before_it_is_read_again_is_put_back_until_the_limit() {
    let mut host = ordered();
    for _ in 0..2 {
        host.finish();
        assert_eq!(host.apply_after(|host| host.set(SWAPPINESS, "61")), [DONE]);
    }
    host.finish();
    assert_eq!(
        host.apply_after(|host| host.set(SWAPPINESS, "61")),
        [DONE, "revert vm.swappiness 10: stopped"]
    );
    (host.by_hand, host.cut_off) = (false, false);
    assert_eq!(host.pass(1_000_000), NOTHING);
}

#[test]
fn a_file_that_is_read_slowly_is_written_once() {
    let rules = [reverts(rule("thp", THP, Expectation::Equal("madvise".into())))];
    let mut host = Host::new(&rules, &[(THP, "madvise")]).that_reverts();
    host.set(THP, "always");
    let lines = host.pass(120_000);
    let remedies: Vec<_> = lines.iter().filter(|line| line.starts_with("revert")).collect();
    assert_eq!(remedies, [&format!("revert {THP} madvise: done")]);
}

#[test]
fn who_gave_up_is_not_served_later() {
    let mut host = host();
    host.rules[0].remedy = Remedy::Notify;
    host.restart();
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    let (reply, answer) = tokio::sync::oneshot::channel();
    drop(answer);
    let person = Person { pid: 7, uid: 0, login_uid: None };
    let key = SWAPPINESS.parse().unwrap();
    assert_eq!(
        host.handle(Input::Asked(Asked { act: Act::Revert, key, dry_run: false, person, reply })),
        NOTHING
    );
    assert_eq!(host.pass(120_000), NOTHING);
    assert_eq!(live(&host), "61");
}

#[test]
fn what_counts_counts_over_a_restart() {
    let mut host = host();
    for _ in 0..3 {
        host.write(7, SWAPPINESS, "61");
        host.pass(100);
        host.kill();
    }
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100)[1..], ["revert vm.swappiness 10: stopped"]);
}

#[test]
fn what_is_owed_when_a_window_opens_waits_for_its_end() {
    let mut host = ordered();
    // Between the order and the write somebody begins to deploy.
    host.announce(Started, "aaaaaa");
    host.finish();
    host.cut_off = false;
    assert_eq!(host.apply(), ["revert vm.swappiness 10: refused"]);
    host.by_hand = false;
    assert_eq!(host.pass(10_000), NOTHING);
    assert_eq!(live(&host), "61");
    assert_eq!(
        host.ask(Act::Revert, SWAPPINESS, false).1.unwrap_err().lines().next(),
        Some("aaaaaa is being deployed, and nothing is written meanwhile")
    );
    host.announce(Failed, "aaaaaa");
    assert_eq!(live(&host), "10");
}

#[test]
fn killed_before_the_write_it_is_done_by_the_next_run() {
    let mut host = ordered();
    assert_eq!(
        host.kill(),
        [
            "revert vm.swappiness 10: interrupted",
            DONE,
            "change vm.swappiness 61 -> 10 (nobody, sweep) ours",
            "healed equal: vm.swappiness 10",
        ]
    );
    assert_eq!(host.kill(), NOTHING);
}

#[test]
fn killed_after_the_write_it_is_told_and_the_finding_is_over() {
    let mut host = ordered();
    host.set(SWAPPINESS, "10");
    assert_eq!(host.kill(), ["revert vm.swappiness 10: interrupted", "healed equal: vm.swappiness 10"]);
}
