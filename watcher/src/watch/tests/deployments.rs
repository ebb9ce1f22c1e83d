//! What a deployment without a window moves: what is captured, what is answered, and when.

use std::time::Duration;

use tokio::sync::oneshot;

use super::host::{Host, NOTHING, SWAPPINESS, captures, expects};
use crate::{
    http::Delivery,
    model::{Ignored, Phase, Receipt, Refusal, Rule, VerdictStatus},
    watch::Input,
};

use Phase::{Failed, Finished, Started};

#[test]
fn a_rule_that_captures_judges_nothing_before_the_first_deployment_and_its_values_from_then_on() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe)"]);
    assert_eq!(host.pass(60_000), NOTHING);
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", "verdict aaaaaa SYNCED"]);
    assert_eq!(host.write(7, SWAPPINESS, "62"), ["change vm.swappiness 61 -> 62 (7, kprobe) under aaaaaa"]);
    assert_eq!(
        host.pass(100),
        ["opened short: vm.swappiness 62 not 61 (7, kprobe) changed after the deploy"]
    );
    let finding = host.open.values().next().unwrap();
    assert_eq!(finding.declared_commit.as_ref().map(ToString::to_string), Some("aaaaaa".into()));
}

#[test]
fn a_later_deployment_captures_nothing_that_did_not_change_in_its_window_and_launders_nothing() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    host.announce(Finished, "aaaaaa");
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    for commit in ["bbbbbb", "cccccc"] {
        let verdict = format!("verdict {commit} OUT_OF_SYNC vm.swappiness");
        assert_eq!(host.announce(Finished, commit), [format!("finished {commit}"), verdict]);
    }
    assert_eq!(
        host.write(7, SWAPPINESS, "60"),
        ["change vm.swappiness 61 -> 60 (7, kprobe) under cccccc", "healed short: vm.swappiness 60"]
    );
}

#[test]
fn a_verdict_waits_for_what_is_settling() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa"]);
    assert_eq!(host.pass(99), NOTHING);
    assert_eq!(
        host.pass(1),
        [
            "opened equal: vm.swappiness 61 not 60 (7, kprobe) unknown",
            "verdict aaaaaa OUT_OF_SYNC vm.swappiness"
        ]
    );
    let verdict = host.verdict.take().unwrap().try_recv().unwrap();
    assert_eq!((verdict.status, verdict.keys, verdict.findings.len()), (VerdictStatus::OutOfSync, 1, 1));
}

#[test]
fn a_verdict_does_not_wait_for_what_must_hold_longer_than_it_settles() {
    let held = Rule { hold: Duration::from_secs(30), ..expects(SWAPPINESS, "60") };
    let mut host = Host::new(&[held], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", "verdict aaaaaa SYNCED"]);
}

#[test]
fn what_is_restored_within_settle_leaves_the_verdict_in_sync() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    host.announce(Finished, "aaaaaa");
    assert_eq!(
        host.write(7, SWAPPINESS, "60"),
        ["touch vm.swappiness 60 restored x1 (7, kprobe)", "verdict aaaaaa SYNCED"]
    );
}

#[test]
fn what_a_deployment_left_wrong_it_did_not_apply() {
    let mut host = Host::unwatched(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "61")]);
    assert_eq!(
        host.announce(Finished, "aaaaaa"),
        [
            "start",
            "finished aaaaaa",
            "opened equal: vm.swappiness 61 not 60 (nobody, sweep) the deploy did not apply",
            "verdict aaaaaa OUT_OF_SYNC vm.swappiness"
        ]
    );
}

#[test]
fn a_retry_is_answered_as_the_first_time_with_the_verdict_as_it_now_is() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    let message = host.message("web", Finished, "aaaaaa");
    host.deliver(message.clone());
    let Ok(Receipt::Accepted(id)) = host.receipt.take().unwrap().try_recv() else { panic!("not accepted") };
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    assert_eq!(host.deliver(message), NOTHING, "nothing is told");
    assert_eq!(host.receipt.take().unwrap().try_recv(), Ok(Receipt::Known(id.clone())));
    let verdict = host.verdict.take().unwrap().try_recv().unwrap();
    assert_eq!((verdict.deployment, verdict.status), (id, VerdictStatus::OutOfSync));
}

#[test]
fn a_message_that_is_too_old_moves_nothing() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    let mut message = host.message("web", Finished, "aaaaaa");
    let timestamp = host.now.wall - Duration::from_secs(301);
    message.timestamp = Some(timestamp);
    assert_eq!(host.deliver(message), NOTHING);
    let receipt = host.receipt.take().unwrap().try_recv();
    assert_eq!(receipt, Ok(Receipt::Refused(Refusal::Stale { timestamp })));
    assert!(host.verdict.take().unwrap().try_recv().is_err());
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe)"]);
}

#[test]
fn a_deployment_that_failed_without_a_window_leaves_the_one_before_in_force() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    host.announce(Finished, "aaaaaa");
    assert_eq!(host.announce(Failed, "bbbbbb"), ["failed bbbbbb"]);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe) under aaaaaa"]);
}

#[test]
fn what_counts_for_nothing_is_recorded_once_an_hour_and_moves_nothing() {
    let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
    let mut ignored = || {
        let message = Ignored { sender: "github".into(), reason: "push".into(), detail: None, count: 1 };
        host.watch.handle(Input::Ignored(message), host.now).entries.len()
    };
    assert_eq!([ignored(), ignored(), ignored()], [1, 0, 0]);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe)"]);
}

/// Each phase of a message: nothing is answered before it is durable, and then the truth.
#[test]
fn a_receipt_is_sent_only_when_the_message_is_durable() {
    for phase in [Started, Finished, Failed] {
        for durable in [true, false] {
            let mut host = Host::new(&[captures(SWAPPINESS)], &[(SWAPPINESS, "60")]);
            let announcement = host.message("web", phase, "aaaaaa");
            let (reply, mut receipt) = oneshot::channel();
            let (verdict, mut given) = oneshot::channel();
            let delivery =
                Delivery { announcement, credential: "plain".into(), reply, verdict: Some(verdict) };
            let batch = host.watch.handle(Input::Delivery(delivery, None), host.now);
            assert!(receipt.try_recv().is_err() && given.try_recv().is_err(), "{phase:?}");
            batch.done.into_iter().for_each(|done| done(durable));
            let receipt = receipt.try_recv().unwrap();
            match durable {
                true => assert!(matches!(receipt, Receipt::Accepted(_)), "{receipt:?}"),
                false => assert_eq!(receipt, Receipt::NotRecorded),
            }
            assert_eq!(given.try_recv().is_ok(), durable && phase == Finished, "{phase:?}");
        }
    }
}

#[test]
fn with_the_verdict_stands_what_was_expected_and_in_force_and_no_secret() {
    const SECRET: &str = "net.ipv6.conf.all.stable_secret";
    let rules =
        [captures(SWAPPINESS), expects(SWAPPINESS, "60"), captures(SECRET), expects("fs.file-max", "9")];
    let mut host = Host::unwatched(&rules, &[(SWAPPINESS, "61"), (SECRET, "fe80::1")]);
    host.announce(Finished, "aaaaaa");
    let reader = host.recorded();
    let in_force = reader.deployments(None, 1).unwrap().remove(0);
    assert_eq!((in_force.in_force, in_force.verdict), (true, Some(VerdictStatus::OutOfSync)));
    let given = reader.verdict(&in_force.news.deployment).unwrap().unwrap();
    let snapped = given.snapshot.iter().map(|snapped| format!("{} {:?}", snapped.key, snapped.value));
    let expected = given.baseline.iter().map(|expected| {
        format!("{} {} {:?} {:?}", expected.rule, expected.key, expected.expected, expected.declared_commit)
    });
    insta::assert_snapshot!(snapped.chain(expected).collect::<Vec<_>>().join("\n"), @r#"
    fs.file-max None
    net.ipv6.conf.all.stable_secret Some(Value("(secret)"))
    vm.swappiness Some(Value("61"))
    short vm.swappiness Some("61") Some(Revision("aaaaaa"))
    equal vm.swappiness Some("60") None
    short net.ipv6.conf.all.stable_secret Some("(secret)") Some(Revision("aaaaaa"))
    equal fs.file-max Some("9") None
    "#);
}
