//! Bursts: of what waits in great number a sink that has each message alone is told the beginning, and of the rest in one
//! message.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::endpoint::{Asked, Behave, Endpoint},
    Home, all_sent, file, finding, loss, webhook,
};
use crate::{
    model::{Entry, Finding, FindingId, What},
    store::{ALONE, Filter, Outcome, Reader, Work},
};

/// So many findings of as many keys.
fn findings(state: &str, numbers: std::ops::Range<usize>) -> Vec<Entry> {
    let one = |number: usize| {
        let entry = finding("any", state);
        let What::Finding(any) = entry.what else { panic!("it is a finding") };
        let key = format!("net.ipv4.conf.eth{number}.rp_filter").parse().unwrap();
        let finding = FindingId(format!("f{number}").into());
        Entry { what: What::Finding(Box::new(Finding { finding, key, ..*any })), ..entry }
    };
    numbers.map(one).collect()
}

/// What comes until there is nothing more to send.
async fn all(home: &mut Home, endpoint: &mut Endpoint) -> Vec<Asked> {
    home.until(all_sent).await;
    std::iter::from_fn(|| endpoint.next()).collect()
}

/// The numbers of the findings of which a message alone tells.
fn told_alone(asked: &[Asked]) -> Vec<String> {
    let finding = |asked: &Asked| asked.json()["data"]["finding"].as_str().map(str::to_owned);
    asked.iter().filter_map(finding).collect()
}

#[tokio::test]
async fn of_thousands_of_findings_a_webhook_is_told_the_first_hundred_and_of_all_the_others_in_two_messages()
{
    let mut endpoint = Endpoint::start(&[]).await;
    let mut home = Home::begin(tempfile::tempdir().unwrap(), &webhook("pager", &endpoint, ""));
    home.record(findings("opened", 0..6000)).await;
    home.until(|found| found.iter().any(|sink| sink.waiting == 6000)).await;
    home.send(&webhook("pager", &endpoint, ""));
    let asked = all(&mut home, &mut endpoint).await;
    let wanted: Vec<_> = (0..ALONE).map(|number| format!("f{number}")).collect();
    assert_eq!(told_alone(&asked), wanted);
    let bursts: Vec<Value> =
        asked.iter().map(Asked::json).filter(|body| body["type"] == "driftd.burst").collect();
    let counted: Vec<_> = bursts.iter().map(|body| body["data"]["opened"].as_u64().unwrap()).collect();
    assert_eq!((asked.len(), counted), (ALONE + 2, vec![5000, 900]), "nothing is left out");
    let ids: BTreeSet<_> = asked.iter().map(|asked| asked.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), asked.len(), "each has an id of its own");
    let mut body = bursts[0]["data"].clone();
    // Each of them can be read, by the command that is named.
    let look = body["look"].as_str().unwrap().strip_prefix("driftd audit export --since ").unwrap();
    let (since, until) = look.split_once(" --until ").unwrap();
    let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let filter = Filter { since: time(since), until: time(until), ..Filter::default() };
    let reader = Reader::open(home.state.path()).unwrap().unwrap();
    let found = reader.oldest(&filter, 10_000).unwrap();
    let first = found.iter().position(|row| row.number == 101).unwrap();
    assert!(found.iter().skip(first).map(|row| row.number).take(5000).eq(101..=5100));
    (body["server"], body["look"]) = (json!("-"), json!("-"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "entry": 5100,
      "first_entry": 101,
      "healed": 0,
      "keys": 5000,
      "kind": "burst",
      "look": "-",
      "opened": 5000,
      "remedies": 0,
      "server": "-",
      "severity": "critical",
      "text": "5000 messages as one: 5000 opened, of 5000 keys: net.ipv4.conf.eth100.rp_filter, net.ipv4.conf.eth1000.rp_filter, net.ipv4.conf.eth1001.rp_filter, net.ipv4.conf.eth1002.rp_filter, net.ipv4.conf.eth1003.rp_filter, …; `driftd audit export` has each"
    }
    "#);
    assert_eq!(reader.findings(None, 10_000).unwrap().len(), 6000);
    home.end();
}

#[tokio::test]
async fn a_burst_is_the_same_message_under_the_same_id_after_a_death_whatever_came_meanwhile() {
    let mut endpoint = Endpoint::start(&[]).await;
    let sinks = webhook("pager", &endpoint, ", timeout: 1h");
    let home = Home::begin(tempfile::tempdir().unwrap(), &sinks);
    home.record(findings("opened", 0..300)).await;
    // What is no finding is told alone, wherever it stands.
    home.record(vec![loss("something")]).await;
    let state = home.end();
    let mut behaviour = vec![Behave::Say(200, None); ALONE];
    behaviour.push(Behave::Hang);
    let mut hanging = Endpoint::start(&behaviour).await;
    let sinks_of = |endpoint: &Endpoint| webhook("pager", endpoint, ", timeout: 1h");
    let mut home = Home::begin(state, &sinks_of(&hanging));
    home.send(&sinks_of(&hanging));
    let burst = loop {
        let asked = hanging.asked().await;
        if asked.json()["type"] == "driftd.burst" {
            break asked;
        }
    };
    // One more of each, about findings in the burst and others, while it is under way.
    home.record(findings("healed", 250..260)).await;
    home.record(findings("opened", 300..310)).await;
    let state = home.end();

    let mut home = Home::begin(state, &sinks);
    home.send(&sinks);
    let asked = all(&mut home, &mut endpoint).await;
    let again: Vec<_> = asked.iter().filter(|asked| asked.json()["type"] == "driftd.burst").collect();
    let [again] = again.as_slice() else { panic!("{} bursts", again.len()) };
    assert_eq!(again.header("webhook-id"), burst.header("webhook-id"));
    assert_eq!(again.json(), burst.json());
    assert_eq!(burst.json()["data"]["opened"], 200);
    // What heals is told after the burst that tells that it opened.
    let at = |wanted: &dyn Fn(&Value) -> bool| asked.iter().position(|asked| wanted(&asked.json())).unwrap();
    let told = at(&|body| body["type"] == "driftd.burst");
    let healed = at(&|body| body["type"] == "driftd.finding.healed");
    assert!(told < healed, "{told} < {healed}");
    assert_eq!(told_alone(&asked).len(), 20);
    home.end();
}

#[tokio::test]
async fn a_burst_that_is_refused_is_given_up_as_a_whole_and_sent_again_as_the_same_when_asked_for() {
    let mut behaviour = vec![Behave::Say(200, None); ALONE];
    behaviour.push(Behave::Say(400, None));
    let mut endpoint = Endpoint::start(&behaviour).await;
    let sinks = webhook("pager", &endpoint, "");
    let home = Home::begin(tempfile::tempdir().unwrap(), &sinks);
    home.record(findings("opened", 0..300)).await;
    let mut home = Home::begin(home.end(), &sinks);
    home.send(&sinks);
    home.until(|found| found.iter().any(|sink| sink.dead == 200 && sink.waiting == 0)).await;
    let (reply, requeued) = tokio::sync::oneshot::channel();
    assert!(home.work.send(Work::Requeue(None, reply)).await.is_ok());
    assert_eq!(requeued.await.unwrap(), 200);
    let asked = all(&mut home, &mut endpoint).await;
    let bursts: Vec<_> = asked.iter().filter(|asked| asked.json()["type"] == "driftd.burst").collect();
    let [refused, again] = bursts.as_slice() else { panic!("{} bursts", bursts.len()) };
    assert_eq!(again.header("webhook-id"), refused.header("webhook-id"));
    assert_eq!(again.json(), refused.json());
    assert_eq!(asked.len(), ALONE + 2);
    home.end();
}

#[tokio::test]
async fn what_was_tried_each_alone_and_given_up_goes_alone_under_its_id_when_asked_for() {
    const ALL: usize = ALONE + 50;
    let mut endpoint = Endpoint::start(&[Behave::Say(422, None); ALL]).await;
    let mut home = Home::start(&webhook("pager", &endpoint, ""));
    // Not all at once: then most would go as one.
    for numbers in [0..ALL / 2, ALL / 2..ALL] {
        let end = numbers.end as u64;
        home.record(findings("opened", numbers)).await;
        home.until(|found| found.iter().any(|sink| sink.dead == end)).await;
    }
    let refused: Vec<_> = std::iter::from_fn(|| endpoint.next()).collect();
    let (reply, requeued) = tokio::sync::oneshot::channel();
    assert!(home.work.send(Work::Requeue(None, reply)).await.is_ok());
    assert_eq!(requeued.await.unwrap(), ALL);
    let again = all(&mut home, &mut endpoint).await;
    let ids = |asked: &[Asked]| -> BTreeSet<_> {
        asked.iter().map(|asked| asked.header("webhook-id").to_owned()).collect()
    };
    assert_eq!((again.len(), ids(&again)), (ALL, ids(&refused)));
    home.end();
}

#[tokio::test]
async fn what_heals_behind_one_that_is_told_alone_is_told_alone_after_it() {
    let mut endpoint = Endpoint::start(&[]).await;
    let sinks = webhook("pager", &endpoint, "");
    let home = Home::begin(tempfile::tempdir().unwrap(), &sinks);
    home.record(findings("opened", 0..150)).await;
    home.record(findings("healed", 0..150)).await;
    let mut home = Home::begin(home.end(), &sinks);
    home.send(&sinks);
    let asked = all(&mut home, &mut endpoint).await;
    let bursts: Vec<_> =
        asked.iter().map(Asked::json).filter(|body| body["type"] == "driftd.burst").collect();
    let [burst] = bursts.as_slice() else { panic!("{} bursts", bursts.len()) };
    assert_eq!((&burst["data"]["opened"], &burst["data"]["healed"]), (&json!(50), &json!(50)));
    for number in 0..ALONE {
        let id = format!("f{number}");
        let of: Vec<_> = asked
            .iter()
            .map(Asked::json)
            .filter(|body| body["data"]["finding"] == *id)
            .map(|b| b["type"].clone())
            .collect();
        assert_eq!(of, ["driftd.finding.opened", "driftd.finding.healed"], "of {id}");
    }
    home.end();
}

/// A reminder tells how a finding is by now; under the id of a burst that would be another message at each try.
#[tokio::test]
async fn of_what_is_still_open_a_sink_is_reminded_alone_and_in_no_burst() {
    let mut home = Home::begin(
        tempfile::tempdir().unwrap(),
        "    pager: { sink: webhook, url: \"http://127.0.0.1:9/\", remind: 1d }\n",
    );
    home.record(findings("opened", 0..300)).await;
    home.until(|found| found.iter().any(|sink| sink.waiting == 300)).await;
    let reader = Reader::open(home.state.path()).unwrap().unwrap();
    let (noted, written) = tokio::sync::oneshot::channel();
    let (day, now) = (Timestamp::now() + jiff::SignedDuration::from_hours(24), Timestamp::now());
    let outcome = Outcome::Sent { again: Some(day) };
    let entries = (1..=150).collect();
    let tried = Work::Tried { sink: "pager".into(), entries, outcome, stale: None, noted };
    assert!(home.work.send(tried).await.is_ok());
    written.await.unwrap();
    let burst = reader.burst("pager", now).unwrap().unwrap();
    assert_eq!(*burst.entries, (251..=300).collect::<Vec<_>>());
    assert_eq!(reader.burst("pager", day).unwrap().unwrap(), burst, "when the reminders are due, too");
    home.end();
}

#[tokio::test]
async fn a_program_is_started_once_for_a_burst() {
    let files = tempfile::tempdir().unwrap();
    let told = file(&files, "told", "");
    let sinks = format!(
        "    page: {{ sink: exec, program: [/bin/sh, -c, 'cat >> {0}; echo >> {0}'] }}\n",
        told.display()
    );
    let home = Home::begin(tempfile::tempdir().unwrap(), &sinks);
    home.record(findings("opened", 0..300)).await;
    let mut home = Home::begin(home.end(), &sinks);
    home.send(&sinks);
    home.until(all_sent).await;
    let told = std::fs::read_to_string(told).unwrap();
    assert_eq!(told.lines().count(), ALONE + 1);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["data"]["opened"]), (&json!("driftd.burst"), &json!(200)));
    home.end();
}

#[tokio::test]
async fn a_sink_is_woken_by_what_is_recorded_and_not_by_what_became_of_anothers_message() {
    let mut endpoint = Endpoint::start(&[]).await;
    let mut home = Home::start(&webhook("pager", &endpoint, ""));
    home.news.borrow_and_update();
    home.record(vec![finding("f1", "opened")]).await;
    endpoint.asked().await;
    home.until(all_sent).await;
    // Commits are counted after they can be read: once a later one is answered, all is told of those before it.
    let (noted, written) = tokio::sync::oneshot::channel();
    let (entries, outcome) = (Box::default(), Outcome::Sent { again: None });
    let tried = Work::Tried { sink: "another".into(), entries, outcome, stale: None, noted };
    assert!(home.work.send(tried).await.is_ok());
    written.await.unwrap();
    assert!(*home.commits.borrow() >= 2, "that it was sent was committed too");
    assert_eq!(*home.news.borrow_and_update(), 1);
    home.end();
}
