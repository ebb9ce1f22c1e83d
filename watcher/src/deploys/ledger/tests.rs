//! Courses of messages, and what each leads to.

use super::*;

fn now(secs: i64) -> Now {
    Now {
        boot: Boottime { nanos: secs as u64 * 1_000_000_000 },
        wall: Timestamp::from_second(1_000_000 + secs).unwrap(),
    }
}

fn message(commit: &str, phase: Phase) -> Announcement {
    Announcement::of(phase, commit)
}

fn finished(commit: &str) -> Announcement {
    message(commit, Phase::Finished)
}

fn with_id(id: &str, message: Announcement) -> Announcement {
    Announcement { id: Some(id.into()), ..message }
}

/// Announces each message at its second; the id of the n-th is `n`. Gives each outcome in short.
fn course(messages: &[(i64, Announcement)]) -> (Ledger, Vec<String>) {
    let mut ledger = Ledger::new(Duration::from_secs(900), Vec::new(), Vec::new());
    let mut outcomes = Vec::new();
    for (n, (secs, message)) in messages.iter().enumerate() {
        let outcome = ledger.announce(message, DeploymentId(n.to_string().into()), now(*secs));
        outcomes.push(match outcome {
            Outcome::Started(d) => format!("started {}", d.id),
            Outcome::Finished(d) => format!("finished {}", d.id),
            Outcome::Failed(d) => format!("failed {}", d.id),
            Outcome::Known(id) => format!("known {id}"),
            Outcome::Refused(Refusal::Stale { .. }) => "stale".into(),
            Outcome::Refused(Refusal::IdReused(_)) => "reused".into(),
        });
    }
    (ledger, outcomes)
}

#[track_caller]
fn check(messages: &[(i64, Announcement)], wanted: &[&str]) {
    assert_eq!(course(messages).1, wanted);
}

#[test]
fn the_same_id_again_is_a_retry_whatever_its_date() {
    let message = with_id("run-1", finished("aaaaaa"));
    let later = Announcement { timestamp: Some(now(4000).wall), digest: [9; 32], ..message.clone() };
    check(&[(0, message.clone()), (5, message), (4000, later)], &["finished 0", "known 0", "known 0"]);
    let other = with_id("run-1", finished("bbbbbb"));
    check(&[(0, with_id("run-1", finished("aaaaaa"))), (5, other)], &["finished 0", "reused"]);
}

#[test]
fn a_dated_message_kept_by_somebody_is_the_same_under_an_id_that_nobody_signed() {
    let dated = |id: &str, commit: &str| Announcement {
        timestamp: Some(now(0).wall),
        ..with_id(id, finished(commit))
    };
    let (ledger, outcomes) =
        course(&[(0, dated("1", "aaaaaa")), (60, dated("2", "bbbbbb")), (120, dated("forged", "aaaaaa"))]);
    assert_eq!(outcomes, ["finished 0", "finished 1", "known 0"]);
    assert_eq!(ledger.in_force().unwrap().commit.as_str(), "bbbbbb");
    // An id that was signed beside the body is in the digest: that is another message.
    let signed = Announcement { digest: [7; 32], ..dated("3", "aaaaaa") };
    check(
        &[(0, dated("1", "aaaaaa")), (60, dated("2", "bbbbbb")), (120, signed)],
        &["finished 0", "finished 1", "finished 2"],
    );
}

#[test]
fn one_id_may_name_a_run_that_delivers_several_applications() {
    let other = Announcement { app: Some("db".into()), ..finished("aaaaaa") };
    check(
        &[(0, with_id("run-1", finished("aaaaaa"))), (5, with_id("run-1", other))],
        &["finished 0", "finished 1"],
    );
}

#[test]
fn one_id_may_name_a_run_through_its_phases() {
    check(
        &[
            (0, with_id("run-1", message("aaaaaa", Phase::Started))),
            (9, with_id("run-1", finished("aaaaaa"))),
        ],
        &["started 0", "finished 0"],
    );
}

#[test]
fn an_undated_message_is_a_retry_for_ten_minutes_and_rolls_back_later() {
    let (a, b) = (finished("aaaaaa"), finished("bbbbbb"));
    check(
        &[(0, a.clone()), (60, b), (300, a.clone()), (601, a)],
        &["finished 0", "finished 1", "known 0", "finished 3"],
    );
}

#[test]
fn the_revision_in_force_is_no_new_deployment() {
    let again = with_id("run-2", finished("aaaaaa"));
    check(&[(0, with_id("run-1", finished("aaaaaa"))), (5, again)], &["finished 0", "known 0"]);
}

#[test]
fn the_revision_in_force_is_known_by_its_short_name_and_by_the_whole() {
    for (in_force, again) in [("aaaaaabbbb", "aaaaaa"), ("aaaaaa", "aaaaaabbbb")] {
        check(
            &[(0, with_id("1", finished(in_force))), (5, with_id("2", finished(again)))],
            &["finished 0", "known 0"],
        );
    }
}

#[test]
fn who_does_not_say_when_he_begins_is_asked_of_what_he_declared_and_of_what_no_deployment_did() {
    let db = |phase| Announcement { app: Some("db".into()), ..message("bbbbbb", phase) };
    let (mut ledger, _) = course(&[
        (0, message("aaaaaa", Phase::Started)),
        (10, finished("aaaaaa")),
        (20, db(Phase::Finished)),
    ]);
    let asked = |ledger: &Ledger, declared: Option<&str>| {
        let declared: Option<Revision> = declared.map(|commit| commit.parse().unwrap());
        ledger.unannounced(declared.as_ref()).and_then(|d| d.app.clone())
    };
    for (declared, wanted) in [
        (None, Some("db")),
        (Some("aaaaaacc"), None),
        (Some("bbbbbb"), Some("db")),
        (Some("cccccc"), Some("db")),
    ] {
        assert_eq!(asked(&ledger, declared).as_deref(), wanted, "{declared:?}");
    }
    // The same once more, with its beginning, and nobody is left.
    for (secs, phase) in [(30, Phase::Started), (700, Phase::Finished)] {
        ledger.announce(&db(phase), DeploymentId("3".into()), now(secs));
    }
    assert_eq!(asked(&ledger, None), None);
}

#[test]
fn a_dated_message_counts_within_five_minutes() {
    let dated = |secs, digest| Announcement {
        timestamp: Some(now(secs).wall),
        digest: [digest; 32],
        ..finished("aaaaaa")
    };
    check(
        &[(301, dated(0, 1)), (0, dated(301, 2)), (300, dated(0, 3)), (299, dated(0, 3))],
        &["stale", "stale", "finished 2", "known 2"],
    );
}

#[test]
fn a_window_pins_to_its_own_commit_until_it_ends_or_times_out() {
    let (mut ledger, _) = course(&[(0, finished("aaaaaa")), (10, message("bbbbbb", Phase::Started))]);
    let pin = ledger.pin();
    assert_eq!((pin.commit.unwrap().as_str(), pin.in_window), ("bbbbbb", true));
    assert_eq!(ledger.time_out(now(909).boot), None);
    assert_eq!(ledger.deadline(), Some(now(910).boot));
    assert_eq!(ledger.time_out(now(910).boot).unwrap().commit.as_str(), "bbbbbb");
    let pin = ledger.pin();
    assert_eq!((pin.commit.unwrap().as_str(), pin.in_window), ("aaaaaa", false));
}

#[test]
fn the_end_of_one_commit_leaves_the_window_of_another_open() {
    for end in [Phase::Failed, Phase::Finished] {
        let (ledger, outcomes) = course(&[
            (0, message("aaaaaa", Phase::Started)),
            (10, message("bbbbbb", Phase::Started)),
            (20, message("aaaaaa", end)),
        ]);
        assert!(!outcomes[2].starts_with("known"), "{outcomes:?}");
        let pin = ledger.pin();
        assert_eq!((pin.commit.unwrap().as_str(), pin.in_window), ("bbbbbb", true), "{end:?}");
        assert_eq!(ledger.window_of(&message("aaaaaa", end)), None);
    }
}

#[test]
fn of_more_applications_than_a_host_has_the_first_delivered_is_forgotten() {
    let of = |n: usize| Announcement { app: Some(n.to_string()), ..finished("aaaaaa") };
    let mut messages: Vec<_> = (0..=IN_FORCE).map(|n| (0, of(n))).collect();
    messages[0].1.declared = Some(vec![("vm.swappiness".parse().unwrap(), "1".into())].into());
    let (ledger, _) = course(&messages);
    let apps: Vec<_> = ledger.all_in_force().iter().filter_map(|d| d.app.as_deref()).take(2).collect();
    assert_eq!((ledger.all_in_force().len(), apps), (IN_FORCE, vec!["0", "2"]));
}

#[test]
fn a_window_that_was_replaced_stays_so_after_a_restart() {
    let (mut before, _) = course(&[(0, message("aaaaaa", Phase::Started))]);
    let began = [before.window().cloned().unwrap(), {
        before.announce(&message("bbbbbb", Phase::Started), DeploymentId("1".into()), now(10));
        before.window().cloned().unwrap()
    }];
    let mut ledger = Ledger::new(Duration::from_secs(900), Vec::new(), Vec::new());
    for deployment in began {
        ledger.reopen(deployment, now(0).wall, now(20));
    }
    assert_eq!(ledger.time_out(now(900).boot).unwrap().commit.as_str(), "bbbbbb");
    assert_eq!(ledger.deadline(), None);
}

#[test]
fn a_window_is_closed_under_the_short_name_of_its_commit_and_under_the_whole() {
    for (began, ended) in [("aaaaaa", "aaaaaabbbb"), ("aaaaaabbbb", "aaaaaa")] {
        let (ledger, outcomes) =
            course(&[(0, message(began, Phase::Started)), (10, message(ended, Phase::Finished))]);
        assert_eq!(outcomes, ["started 0", "finished 0"]);
        assert!(!ledger.pin().in_window);
        assert_eq!(ledger.in_force().unwrap().commit.as_str(), "aaaaaabbbb");
    }
}

#[test]
fn a_deploy_that_failed_leaves_the_one_before_in_force() {
    let (ledger, outcomes) = course(&[
        (0, finished("aaaaaa")),
        (10, message("bbbbbb", Phase::Started)),
        (20, message("bbbbbb", Phase::Failed)),
    ]);
    assert_eq!(outcomes, ["finished 0", "started 1", "failed 1"]);
    assert_eq!(ledger.pin().commit.unwrap().as_str(), "aaaaaa");
    assert!(!ledger.pin().in_window);
}

#[test]
fn the_repository_is_that_of_the_last_message_that_named_one() {
    let of = |repo: Option<&str>, message| Announcement { repo: repo.map(Into::into), ..message };
    let (ledger, _) = course(&[
        (0, of(Some("acme/old"), message("aaaaaa", Phase::Started))),
        (10, of(Some("acme/web"), message("aaaaaa", Phase::Finished))),
    ]);
    assert_eq!(ledger.in_force().unwrap().repo.as_deref(), Some("acme/web"));
    let (ledger, _) = course(&[
        (0, of(Some("acme/web"), message("aaaaaa", Phase::Started))),
        (10, of(None, message("aaaaaa", Phase::Finished))),
    ]);
    assert_eq!(ledger.in_force().unwrap().repo.as_deref(), Some("acme/web"));
}

#[test]
fn what_fails_again_without_having_begun_is_no_news_until_something_else_came() {
    let failed = |id: &str, commit| with_id(id, message(commit, Phase::Failed));
    check(
        &[
            (0, failed("1", "aaaaaa")),
            (60, failed("2", "aaaaaa")),
            (70, failed("3", "bbbbbb")),
            (80, failed("4", "aaaaaa")),
            (90, with_id("5", message("aaaaaa", Phase::Started))),
            (95, failed("6", "aaaaaa")),
            (99, failed("7", "aaaaaa")),
        ],
        &["failed 0", "known 0", "failed 2", "failed 3", "started 4", "failed 4", "known 4"],
    );
}

#[test]
fn a_rollback_pins_back_and_the_revision_rolled_back_to_is_then_in_force() {
    let (ledger, outcomes) = course(&[
        (0, with_id("1", finished("aaaaaa"))),
        (10, with_id("2", finished("bbbbbb"))),
        (20, with_id("3", finished("aaaaaa"))),
        (30, with_id("4", finished("aaaaaa"))),
        (40, with_id("2", finished("bbbbbb"))),
    ]);
    assert_eq!(outcomes, ["finished 0", "finished 1", "finished 2", "known 2", "known 1"]);
    assert_eq!(ledger.pin().commit.unwrap().as_str(), "aaaaaa");
}

#[test]
fn each_application_has_its_own_deployment_in_force() {
    let other = Announcement { app: Some("db".into()), ..finished("bbbbbb") };
    let again = with_id("x", finished("aaaaaa"));
    let (ledger, outcomes) = course(&[(0, finished("aaaaaa")), (10, other), (20, again)]);
    assert_eq!(outcomes, ["finished 0", "finished 1", "known 0"]);
    assert_eq!(ledger.pin().commit.unwrap().as_str(), "bbbbbb", "the last delivered");
}
