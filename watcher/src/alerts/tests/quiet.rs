//! What keeps a sink quiet: messages that go as one, reminders, findings that open and heal again and again, and whom it is
//! for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::oneshot;

use super::{Home, finding, loss};
use crate::{
    model::{Cause, Change, Entry, Finding, FindingId, FindingState, Mute, What},
    store::{Batch, Message, Next, Outcome, Reader, Work},
};

const SINK: &str = "    chat: { sink: slack, url: \"http://127.0.0.1:9/\"";

fn home(more: &str) -> Home {
    Home::begin(tempfile::tempdir().unwrap(), &format!("{SINK}{more} }}\n"))
}

fn at(seconds: i64) -> Timestamp {
    "2026-08-01T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A finding that opened or healed then.
fn then(seconds: i64, entry: Entry) -> Entry {
    Entry { time: at(seconds), ..entry }
}

impl Home {
    /// Records, and waits until it is.
    async fn recorded(&mut self, entries: Vec<Entry>) {
        self.record(entries).await;
        // What is asked after it is answered after it; a commit that is told may be an earlier one.
        self.became(&[], Outcome::Sent { again: None }).await;
    }

    fn next(&self, group: u64, now: Timestamp) -> Next {
        let reader = Reader::open(self.state.path()).unwrap().unwrap();
        reader.next_messages("chat", Duration::from_secs(group), now).unwrap()
    }

    #[track_caller]
    fn sends(&self, group: u64, now: Timestamp) -> Vec<Message> {
        match self.next(group, now) {
            Next::Send(messages) => messages,
            other => panic!("{other:?}"),
        }
    }

    /// Marks messages as sent; what is still open is told again then.
    async fn sent(&self, messages: &[Message], again: Option<Timestamp>) {
        self.became(messages, Outcome::Sent { again }).await;
    }

    /// Marks what became of messages.
    async fn became(&self, messages: &[Message], outcome: Outcome) {
        let (noted, written) = oneshot::channel();
        let entries = messages.iter().map(|message| message.row.number).collect();
        let tried = Work::Tried { sink: "chat".into(), entries, outcome, stale: None, noted };
        assert!(self.work.send(tried).await.is_ok());
        written.await.unwrap();
    }

    /// Sends all that is due then, each alone; the findings and states in their order.
    async fn told(&self, now: Timestamp) -> Vec<String> {
        let mut told = Vec::new();
        while let Next::Send(messages) = self.next(0, now) {
            told.extend(messages.iter().map(said));
            self.sent(&messages, None).await;
        }
        told
    }
}

fn said(message: &Message) -> String {
    match &message.row.entry.what {
        What::Finding(finding) => format!("{} {:?}", finding.finding, finding.state),
        other => match &message.beneath.app {
            Some(app) => format!("{} under {app}", other.kind()),
            None => other.kind().to_owned(),
        },
    }
}

#[tokio::test]
async fn what_comes_within_the_time_of_a_group_goes_as_one_and_at_each_try_the_same() {
    let mut home = home("");
    home.recorded(vec![
        then(0, finding("f1", "opened")),
        then(3, finding("f2", "opened")),
        then(4, finding("f1", "healed")),
        then(5, loss("after it")),
    ])
    .await;
    assert_eq!(home.next(5, at(4)), Next::At(at(5)));
    let first = home.sends(5, at(60));
    let said_first: Vec<_> = first.iter().map(said).collect();
    assert_eq!(said_first, ["f1 Opened", "f2 Opened", "f1 Healed"]);
    assert_eq!(home.sends(5, at(60)), first);
    home.sent(&first, None).await;
    assert_eq!(home.sends(5, at(60)).iter().map(said).collect::<Vec<_>>(), ["loss"]);
    assert_eq!(home.sends(0, at(60)).len(), 1, "a sink that does not group has each alone");
    home.end();
}

#[tokio::test]
async fn a_verdict_of_a_commit_waits_behind_an_earlier_one_of_another_deployment_of_it() {
    let verdict = |deployment: &str, seconds| {
        let verdict = json!({
            "deployment": deployment, "commit": "a1b2c3", "app": "web", "status": "SYNCED", "keys": 3, "findings": [],
        });
        Entry { time: at(seconds), what: What::Verdict(serde_json::from_value(verdict).unwrap()) }
    };
    let mut home = home("");
    home.recorded(vec![verdict("d1", 0), verdict("d2", 1)]).await;
    let first = home.sends(0, at(2));
    home.became(&first, Outcome::Later { due: at(100), why: "answered 503".into() }).await;
    assert_eq!(home.next(0, at(3)), Next::At(at(100)), "the commit's status is that of the last one");
    assert_eq!(home.told(at(100)).await.len(), 2);
    home.end();
}

#[tokio::test]
async fn a_finding_that_is_still_open_is_told_again_by_choice_and_no_more_when_it_healed() {
    let mut home = home(", remind: 1d");
    home.recorded(vec![then(0, finding("f1", "opened"))]).await;
    let first = home.sends(0, at(1));
    let day = 24 * 60 * 60;
    home.sent(&first, Some(at(day))).await;
    assert_eq!(home.standings(), [], "nothing waits");
    assert_eq!(home.next(0, at(2)), Next::At(at(day)));
    let again = home.sends(5, at(day + 6));
    let [again] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!((again.reminder, again.id.clone()), (1, format!("{}_1", first[0].id)));
    assert_eq!(said(again), "f1 Opened");
    home.recorded(vec![then(day + 2, finding("f1", "healed"))]).await;
    assert_eq!(home.told(at(2 * day)).await, ["f1 Healed"]);
    home.end();
}

#[tokio::test]
async fn what_was_told_when_its_mute_ended_is_told_again_like_any_other() {
    let mut home = home(", remind: 1d");
    let What::Finding(opened) = finding("f1", "opened").what else { panic!("it is a finding") };
    let mute = Some(Mute { until: at(50), reason: None });
    let muted = Entry { time: at(0), what: What::Finding(Box::new(Finding { muted: mute, ..*opened })) };
    home.recorded(vec![muted]).await;
    assert_eq!(home.next(0, at(1)), Next::Nothing);
    home.recorded(vec![then(50, finding("f1", "opened"))]).await;
    let first = home.sends(0, at(51));
    home.sent(&first, Some(at(100))).await;
    let [again] = home.sends(0, at(101)).try_into().unwrap();
    assert_eq!((said(&again).as_str(), again.reminder), ("f1 Opened", 1));
    home.end();
}

#[tokio::test]
async fn a_finding_that_became_a_fight_is_told_so_and_reminded_of_once() {
    let mut home = home(", remind: 1d");
    home.recorded(vec![then(0, finding("f1", "opened"))]).await;
    let first = home.sends(0, at(1));
    home.sent(&first, Some(at(100))).await;
    let What::Finding(opened) = finding("f1", "opened").what else { panic!("it is a finding") };
    let fight = Finding { cause: Cause::Fight, ..*opened };
    home.recorded(vec![Entry { time: at(50), what: What::Finding(Box::new(fight)) }]).await;
    let [told] = home.sends(0, at(51)).try_into().unwrap();
    assert_eq!((said(&told).as_str(), told.reminder), ("f1 Opened", 0));
    home.sent(&[told], Some(at(150))).await;
    assert_eq!(home.next(0, at(101)), Next::At(at(150)), "not of what it was before");
    home.recorded(vec![then(120, finding("f1", "healed"))]).await;
    assert_eq!(home.told(at(200)).await, ["f1 Healed"]);
    home.end();
}

#[tokio::test]
async fn a_finding_that_becomes_a_fight_while_it_is_told_is_told_so_while_it_is_open() {
    let mut home = home(", remind: 1d");
    home.recorded(vec![then(0, finding("f1", "opened"))]).await;
    let under_way = home.sends(0, at(1));
    let What::Finding(opened) = finding("f1", "opened").what else { panic!("it is a finding") };
    let fight = Finding { cause: Cause::Fight, ..*opened };
    home.recorded(vec![Entry { time: at(50), what: What::Finding(Box::new(fight)) }]).await;
    home.sent(&under_way, Some(at(100))).await;
    let [told] = home.sends(0, at(51)).try_into().unwrap();
    let What::Finding(fight) = &told.row.entry.what else { panic!("it is a finding") };
    assert_eq!((fight.cause, told.reminder), (Cause::Fight, 0));
    home.sent(&[told], Some(at(150))).await;
    assert_eq!(home.next(0, at(101)), Next::At(at(150)), "of the fight alone somebody is reminded");
    home.end();
}

#[tokio::test]
async fn a_finding_that_becomes_a_fight_while_its_message_is_held_is_told_as_that_alone() {
    let mut home = home("");
    for round in 0..3 {
        home.recorded(vec![flap(round, FindingState::Opened, 0), flap(round, FindingState::Healed, 1)]).await;
    }
    home.told(at(2)).await;
    home.recorded(vec![flap(3, FindingState::Opened, 3)]).await;
    let What::Finding(held) = flap(3, FindingState::Opened, 4).what else { panic!("it is a finding") };
    let fight = Finding { cause: Cause::Fight, ..*held };
    home.recorded(vec![Entry { time: at(4), what: What::Finding(Box::new(fight)) }]).await;
    let told = home.told(at(400)).await;
    assert_eq!(told.iter().filter(|told| *told == "f3 Opened").count(), 1, "{told:?}");
    home.end();
}

#[tokio::test]
async fn nobody_is_reminded_of_what_is_hushed_until_it_is_hushed_no_more_or_healed() {
    let mut home = home(", remind: 1d");
    let opened = finding("f1", "opened");
    home.recorded(vec![then(0, opened.clone())]).await;
    let first = home.sends(0, at(1));
    home.sent(&first, Some(at(100))).await;
    let What::Finding(open) = opened.what else { panic!("it is a finding") };
    for hushed in [true, false] {
        let moved = vec![Finding { hushed, ..Finding::clone(&open) }];
        assert!(home.work.send(Work::Record(Batch { moved, ..Batch::default() })).await.is_ok());
        home.became(&[], Outcome::Sent { again: None }).await;
        match hushed {
            true => assert_eq!(home.next(0, at(200)), Next::Nothing),
            false => assert_eq!(home.sends(0, at(200)).len(), 1),
        }
    }
    home.end();
}

#[tokio::test]
async fn where_reminders_are_not_wanted_any_more_there_are_none() {
    let mut home = home(", remind: 1d");
    home.recorded(vec![then(0, finding("f1", "opened"))]).await;
    let first = home.sends(0, at(1));
    home.sent(&first, Some(at(100))).await;
    let home = Home::begin(home.end(), &format!("{SINK} }}\n"));
    assert_eq!(home.next(0, at(1000)), Next::Nothing);
    home.end();
}

/// The finding of one rule, opened or healed then.
fn flap(number: u32, state: FindingState, seconds: i64) -> Entry {
    let What::Finding(found) = finding("any", "opened").what else { panic!("it is a finding") };
    let finding = FindingId(format!("f{number}").into());
    let healed = (state == FindingState::Healed).then(|| at(seconds));
    let found = Finding { finding, state, rule: "swappiness".into(), opened: at(seconds), healed, ..*found };
    Entry { time: at(seconds), what: What::Finding(Box::new(found)) }
}

fn written(by: &str, seconds: i64) -> Entry {
    let change: Change = serde_json::from_value(json!({
        "key": "vm.swappiness", "previous": "10", "requested": null, "actual": "61", "writer": {
            "pid": 7, "tid": 7, "comm": by, "uid": 0, "login_uid": null, "session_id": null, "parent_pid": 1,
            "parent_comm": "systemd", "cgroup_id": 1, "unit": format!("{by}.service")
        },
        "seen_by": "kprobe", "commit": null, "deployment": null, "in_window": false, "writes": 1,
    }))
    .unwrap();
    Entry { time: at(seconds), what: What::Change(change) }
}

#[tokio::test]
async fn a_finding_that_two_writers_open_and_heal_again_and_again_is_held_until_it_is_quiet_and_names_both() {
    let mut home = home("");
    let mut told = Vec::new();
    for round in 0..10 {
        let number = u32::try_from(round).unwrap();
        home.recorded(vec![written("tuned", 20 * round), flap(number, FindingState::Opened, 20 * round)])
            .await;
        told.extend(home.told(at(20 * round)).await);
        if round < 9 {
            home.recorded(vec![
                written("sysctl", 20 * round + 10),
                flap(number, FindingState::Healed, 20 * round + 10),
            ])
            .await;
            told.extend(home.told(at(20 * round + 10)).await);
        }
    }
    assert_eq!(told, ["f0 Opened", "f0 Healed", "f1 Opened", "f1 Healed", "f2 Opened"]);
    let last = 20 * 9;
    assert_eq!(home.told(at(last + 299)).await, [""; 0], "it was not quiet for long enough");
    let healed = home.sends(0, at(last + 301));
    home.sent(&healed, None).await;
    let opened = home.sends(0, at(last + 301));
    home.sent(&opened, None).await;
    assert_eq!([said(&healed[0]), said(&opened[0])], ["f2 Healed", "f9 Opened"]);
    assert_eq!(
        opened[0].flaps.as_ref().unwrap().to_string(),
        "flaps: opened 10 times within ten minutes, written in turn by sysctl (sysctl.service) and tuned (tuned.service)"
    );
    assert_eq!(home.next(0, at(10_000)), Next::Nothing);
    home.end();
}

#[tokio::test]
async fn who_may_have_heard_that_a_finding_that_flaps_opened_hears_that_it_healed() {
    let mut home = home("");
    for round in 0..4 {
        home.recorded(vec![flap(round, FindingState::Opened, 0)]).await;
        home.told(at(0)).await;
        if round < 3 {
            home.recorded(vec![flap(round, FindingState::Healed, 1)]).await;
            home.told(at(1)).await;
        }
    }
    // Held, and due: it heals while the messages are under way.
    let healed = home.sends(0, at(302));
    home.sent(&healed, None).await;
    let under_way = home.sends(0, at(302));
    assert_eq!([said(&healed[0]), said(&under_way[0])], ["f2 Healed", "f3 Opened"]);
    home.recorded(vec![flap(3, FindingState::Healed, 303)]).await;
    home.sent(&under_way, None).await;
    assert_eq!(home.told(at(1000)).await, ["f3 Healed"]);
    home.end();
}

#[tokio::test]
async fn a_sink_that_wants_each_time_has_it() {
    let mut home = home(", flapping: told");
    for round in 0..6 {
        home.recorded(vec![flap(round, FindingState::Opened, 0), flap(round, FindingState::Healed, 1)]).await;
    }
    assert_eq!(home.told(at(2)).await.len(), 12);
    home.end();
}

#[tokio::test]
async fn a_finding_that_does_not_become_quiet_is_told_of_within_half_an_hour() {
    let mut home = home("");
    for round in 0..5 {
        home.recorded(vec![flap(round, FindingState::Opened, 0), flap(round, FindingState::Healed, 1)]).await;
    }
    home.told(at(2)).await;
    let mut seconds = 60;
    for round in 5..50 {
        home.recorded(vec![
            flap(round, FindingState::Opened, seconds),
            flap(round, FindingState::Healed, seconds + 1),
        ])
        .await;
        seconds += 60;
        if !home.told(at(seconds)).await.is_empty() {
            break;
        }
    }
    assert!((1800..1900).contains(&seconds), "after {seconds} s");
    home.end();
}

#[tokio::test]
async fn a_sink_may_be_for_some_rules_keys_applications_and_environments_alone() {
    let deployed = |id: &str, app: &str, environment: &str| {
        let news = json!({
            "deployment": id, "commit": "a1b2c3", "app": app, "environment": environment,
            "status": "finished", "undated": false,
        });
        Entry { time: at(0), what: What::Deployment(serde_json::from_value(news).unwrap()) }
    };
    let under = |id: &str, rule: &str, key: &str, deployment: Option<&str>| {
        let What::Finding(found) = finding(id, "opened").what else { panic!("it is a finding") };
        let deployment = deployment.map(|name| crate::model::DeploymentId(name.into()));
        let found = Finding { rule: rule.into(), key: key.parse().unwrap(), deployment, ..*found };
        Entry { time: at(1), what: What::Finding(Box::new(found)) }
    };
    // Of a finding's remedy it is told where it is told of the finding.
    let failed = |id: &str, rule: &str, key: &str| {
        let remedied = json!({
            "finding": id, "key": key, "rule": rule, "severity": "warning", "remedy": "revert", "outcome": "failed",
            "previous": "61", "requested": "10", "actual": "61", "declared_by": { "file": "f", "line": 1 },
            "asked_by": null, "commit": null,
        });
        Entry { time: at(2), what: What::Remedy(serde_json::from_value(remedied).unwrap()) }
    };
    for (more, wanted) in [
        (", rules: [mem*]", &["f1 Opened", "remedy under web"][..]),
        (", keys: [net.ipv4.conf.*.rp_filter]", &["f2 Opened"]),
        (", apps: [web]", &["f1 Opened", "remedy under web"]),
        (", environments: [stag*, prod*]", &["f1 Opened", "f2 Opened", "remedy under web"]),
        (", apps: [web], rules: [net]", &[]),
        ("", &["f1 Opened", "f2 Opened", "f3 Opened", "remedy under web", "remedy"]),
    ] {
        let mut home = home(more);
        home.recorded(vec![
            deployed("d1", "web", "production"),
            deployed("d2", "db", "staging"),
            under("f1", "memory", "vm.swappiness", Some("d1")),
            under("f2", "net", "net.ipv4.conf.eth0.rp_filter", Some("d2")),
            under("f3", "other", "vm.dirty_ratio", None),
            failed("f1", "memory", "vm.swappiness"),
            failed("f3", "other", "vm.dirty_ratio"),
        ])
        .await;
        assert_eq!(home.told(at(60)).await, wanted, "of `{more}`");
        home.end();
    }
}
