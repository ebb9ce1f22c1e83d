//! Messages through a real store to real endpoints that answer well, badly, late and by halves.

mod bursts;
mod github;
mod home;
mod mail;
mod quiet;
mod states;
mod troubles;

use std::time::Duration;

use hyper::HeaderMap;
use jiff::Timestamp;
use rustix::fs::{FileType, Mode};
use serde_json::json;
use tokio::sync::oneshot;

use self::home::{Home, alerts, all_sent, file, finding, loss, open, status, webhook};
use super::{
    endpoint::{Asked, Behave, Endpoint},
    outside::Outside,
    patience::Answer,
    post::Post,
};
use crate::{config, model::Entry, store::Work};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_webhook_has_the_finding_with_all_that_is_needed_to_act_signed_and_under_a_token() {
    let mut endpoint = Endpoint::start(&[]).await;
    let files = tempfile::tempdir().unwrap();
    let secret = file(&files, "secret", SECRET);
    let token = file(&files, "token", "t0ken\n");
    let more = format!(", secret: {}, token: {}", secret.display(), token.display());
    let mut home = Home::start(&webhook("pager", &endpoint, &more));
    home.record(vec![finding("f1", "opened")]).await;
    let asked = endpoint.asked().await;
    assert!(asked.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.header("host"), endpoint.address.to_string());
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("authorization"), "Bearer t0ken");
    let (id, stamp) = (asked.header("webhook-id"), asked.header("webhook-timestamp"));
    let signature = super::secret::sign(&secret, id, stamp, &asked.body).unwrap();
    assert_eq!(asked.header("webhook-signature"), signature);
    let mut body = asked.json();
    assert_eq!(body["id"], id);
    for moving in ["id", "timestamp"] {
        body[moving] = json!("-");
    }
    for moving in ["time", "opened", "server"] {
        body["data"][moving] = json!("-");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "data": {
        "actual": "61",
        "adopt": "driftd adopt vm.swappiness --format patch",
        "cause": "changed after the deploy",
        "commit": "a1b2c3",
        "commit_link": "https://git.example.org/infra/commit/a1b2c3",
        "declared_by": {
          "file": "/etc/driftd.yaml",
          "line": 7
        },
        "declared_commit": null,
        "deployment": "d1",
        "entry": 1,
        "expected": "10",
        "finding": "f1",
        "healed": null,
        "key": "vm.swappiness",
        "kind": "finding",
        "look": "driftd history vm.swappiness",
        "opened": "-",
        "previous": "10",
        "requested": "61",
        "revert": "sysctl -w vm.swappiness=10",
        "rule": "f1",
        "seen_by": "sweep",
        "server": "-",
        "severity": "critical",
        "state": "opened",
        "text": "critical: vm.swappiness is 61, expected 10 (rule f1, /etc/driftd.yaml:7), was 10; changed after the deploy; unattributed, seen by sweep, under commit a1b2c3",
        "time": "-",
        "wanted": "10",
        "writer": null
      },
      "id": "-",
      "timestamp": "-",
      "type": "driftd.finding.opened"
    }
    "#);
    home.until(all_sent).await;
    home.end();
}

#[test]
fn a_signature_is_the_one_that_standard_webhooks_publish() {
    let files = tempfile::tempdir().unwrap();
    let secret = file(&files, "secret", SECRET);
    let (id, stamp) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
    let signature = super::secret::sign(&secret, id, stamp, br#"{"test": 2432232314}"#).unwrap();
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn what_a_configuration_may_not_say_is_not_done_either_and_no_token_is_sent_in_the_open() {
    let files = tempfile::tempdir().unwrap();
    let token = Some(file(&files, "token", "t0ken\n"));
    // An address that is this host's own, and no loopback address by its name: it would be reached.
    let url = config::Address::Written("HTTP://0.0.0.0:9/".into());
    let post = Post::new(&config::Endpoint { url, token, ca: None }, Duration::from_secs(10)).unwrap();
    let answer = post.post(HeaderMap::new(), Vec::new()).await;
    let why = "a token does not go to an `http://` address".to_owned();
    assert_eq!(answer, Answer::Later { why, after: None });
}

#[tokio::test]
async fn a_cloudevent_has_its_form_and_its_key_as_subject() {
    let mut endpoint = Endpoint::start(&[]).await;
    let home = Home::start(&webhook("bus", &endpoint, ", form: cloudevents"));
    home.record(vec![finding("f1", "healed")]).await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.header("content-type"), "application/cloudevents+json");
    let event = asked.json();
    for (field, wanted) in [
        ("specversion", "1.0"),
        ("type", "driftd.finding.healed"),
        ("subject", "vm.swappiness"),
        ("id", asked.header("webhook-id")),
    ] {
        assert_eq!(event[field], wanted, "of {field}");
    }
    home.end();
}

#[tokio::test]
async fn a_sink_that_hangs_delays_no_other() {
    let mut slow = Endpoint::start(&[Behave::Hang]).await;
    let mut quick = Endpoint::start(&[]).await;
    let home = Home::start(&(webhook("slow", &slow, ", timeout: 1h") + &webhook("quick", &quick, "")));
    home.record(vec![finding("f1", "opened")]).await;
    slow.asked().await;
    home.record(vec![finding("f1", "healed")]).await;
    let kinds = [quick.asked().await, quick.asked().await].map(|asked: Asked| asked.json()["type"].clone());
    assert_eq!(kinds, ["driftd.finding.opened", "driftd.finding.healed"]);
    assert_eq!(slow.unseen(), 0);
    home.end();
}

#[tokio::test]
async fn what_was_under_way_when_it_died_is_sent_again_under_the_same_id() {
    let mut endpoint = Endpoint::start(&[Behave::Hang]).await;
    let sinks = webhook("pager", &endpoint, ", timeout: 1h");
    let home = Home::start(&sinks);
    home.record(vec![finding("f1", "opened")]).await;
    let first = endpoint.asked().await;
    let state = home.end();
    let mut home = Home::begin(state, &sinks);
    home.send(&sinks);
    let again = endpoint.asked().await;
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    home.until(all_sent).await;
    home.end();
}

#[tokio::test]
async fn what_is_refused_is_given_up_with_all_about_it_and_sent_in_order_when_it_is_asked_for() {
    let mut endpoint = Endpoint::start(&[Behave::Say(400, None)]).await;
    let mut home = Home::start(&webhook("pager", &endpoint, ""));
    home.record(vec![finding("f1", "opened")]).await;
    let refused = endpoint.asked().await;
    home.record(vec![finding("f2", "opened"), finding("f1", "healed")]).await;
    let other = endpoint.asked().await;
    assert_eq!(other.json()["data"]["finding"], "f2", "another finding does not wait");
    let found = home.until(|found| found.iter().any(|sink| sink.dead == 2)).await;
    assert_eq!(found[0].waiting, 0);
    let (reply, requeued) = oneshot::channel();
    assert!(home.work.send(Work::Requeue(Some("pager".into()), reply)).await.is_ok());
    assert_eq!(requeued.await.unwrap(), 2);
    let again = [endpoint.asked().await, endpoint.asked().await];
    assert_eq!(again[0].header("webhook-id"), refused.header("webhook-id"));
    assert_eq!(again[1].json()["type"], "driftd.finding.healed");
    home.until(all_sent).await;
    home.end();
}

#[tokio::test]
async fn what_is_too_old_is_given_up() {
    let mut endpoint = Endpoint::start(&[Behave::Say(500, None)]).await;
    let mut home = Home::start(&webhook("pager", &endpoint, ", give_up: 1m"));
    let old = Timestamp::now() - jiff::SignedDuration::from_secs(61);
    home.record(vec![Entry { time: old, ..loss("long ago") }]).await;
    endpoint.asked().await;
    let found = home.until(|found| found.iter().any(|sink| sink.dead == 1)).await;
    assert_eq!(found[0].why.as_deref(), Some("not taken within 60s: answered 500"));
    home.end();
}

#[tokio::test]
async fn what_is_too_old_for_a_sink_that_takes_nothing_does_not_wait_for_its_turn() {
    // It rests for an hour after the first.
    let mut endpoint = Endpoint::start(&[Behave::Say(503, Some(("Retry-After", "3600")))]).await;
    let mut home = Home::start(&webhook("pager", &endpoint, ", give_up: 2h"));
    let old = |what| Entry { time: Timestamp::now() - jiff::SignedDuration::from_hours(3), ..loss(what) };
    home.record(vec![loss("now"), old("one"), old("another")]).await;
    endpoint.asked().await;
    let found = home.until(|found| found.iter().any(|sink| sink.why.is_some())).await;
    assert_eq!((found[0].waiting, found[0].dead), (1, 2));
    assert_eq!(found[0].why.as_deref(), Some("not taken within 7200s: answered 503"));
    assert_eq!(endpoint.unseen(), 0);
    home.end();
}

#[tokio::test]
async fn what_waits_for_a_sink_that_is_configured_no_more_is_given_up() {
    let endpoint = Endpoint::start(&[]).await;
    let home = Home::begin(tempfile::tempdir().unwrap(), &webhook("old", &endpoint, ""));
    home.record(vec![loss("something")]).await;
    let state = home.end();
    let home = Home::begin(state, &webhook("new", &endpoint, ""));
    let found = home.standings();
    assert_eq!((found[0].sink.as_str(), found[0].waiting, found[0].dead), ("old", 0, 1));
    // Nor is it sent again: to whom?
    for sink in [None, Some("old".into())] {
        let (reply, requeued) = oneshot::channel();
        assert!(home.work.send(Work::Requeue(sink, reply)).await.is_ok());
        assert_eq!(requeued.await.unwrap(), 0);
    }
    assert_eq!(home.standings(), found);
    home.end();
}

#[tokio::test]
async fn a_sink_is_told_of_what_it_takes_alone() {
    let mut endpoint = Endpoint::start(&[]).await;
    let home = Home::start(&webhook("pager", &endpoint, ", losses: false"));
    home.record(vec![loss("not for it"), finding("f1", "opened")]).await;
    assert_eq!(endpoint.asked().await.json()["data"]["finding"], "f1");
    home.end();
}

#[tokio::test]
async fn a_program_reads_the_message_and_has_it_when_it_ends_well() {
    let files = tempfile::tempdir().unwrap();
    let (told, tried) = (files.path().join("told"), files.path().join("tried"));
    // The first time it fails.
    let script =
        format!("if [ -e {1} ]; then cat > {0}; else touch {1}; exit 7; fi", told.display(), tried.display());
    let mut home = Home::start(&format!("    page: {{ sink: exec, program: [/bin/sh, -c, {script:?}] }}\n"));
    home.record(vec![finding("f1", "opened")]).await;
    assert_eq!(home.why().await, "`/bin/sh` ended with exit status: 7");
    home.until(all_sent).await;
    let message: serde_json::Value = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
    assert_eq!(message["type"], "driftd.finding.opened");
    home.end();
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_at_its_limit() {
    let mut home = Home::start("    page: { sink: exec, program: [/bin/sleep, '1000'], timeout: 1s }\n");
    home.record(vec![finding("f1", "opened")]).await;
    assert_eq!(home.why().await, "`/bin/sleep` did not end within 1s, and was killed");
    home.end();
}

#[tokio::test]
async fn what_a_program_started_is_killed_with_it_at_its_limit() {
    let files = tempfile::tempdir().unwrap();
    let held = files.path().join("held");
    rustix::fs::mknodat(rustix::fs::CWD, &held, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Whoever reads it comes to its end when nobody has it open for writing any more.
    let (over, ended) = std::sync::mpsc::channel();
    let fifo = held.clone();
    std::thread::spawn(move || over.send(std::fs::read(fifo).unwrap()));
    let script = format!("exec 3> {}; sleep 1000 & wait", held.display());
    let mut home = Home::start(&format!(
        "    page: {{ sink: exec, program: [/bin/sh, -c, {script:?}], timeout: 1s }}\n"
    ));
    home.record(vec![finding("f1", "opened")]).await;
    assert_eq!(home.why().await, "`/bin/sh` did not end within 1s, and was killed");
    assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(Vec::new()));
    home.end();
}

#[tokio::test]
async fn slack_is_told_in_words_in_which_no_name_calls_anybody() {
    let mut endpoint = Endpoint::start(&[]).await;
    let files = tempfile::tempdir().unwrap();
    let url = file(&files, "url", &format!("http://{}/services/T/B/x\n", endpoint.address));
    let home = Home::start(&format!("    slack: {{ url_file: {}, group: 0s }}\n", url.display()));
    home.record(vec![finding("f1", "opened"), loss("<!channel> & more")]).await;
    let asked = endpoint.asked().await;
    assert!(asked.head.starts_with("POST /services/T/B/x HTTP/1.1\r\n"));
    let server = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = |asked: &Asked| {
        let json = asked.json();
        let first = json["text"].as_str().unwrap().strip_prefix(&format!("{server}: ")).unwrap().to_owned();
        let text = json["attachments"][0]["text"].as_str().unwrap();
        let lines = text.lines().map(|line| if line.starts_with("  since") { "  since    -" } else { line });
        format!("{first}\n{}", lines.collect::<Vec<_>>().join("\n"))
    };
    insta::assert_snapshot!(text(&asked), @r#"
    critical: vm.swappiness is 61, expected 10
    critical: vm.swappiness is 61, expected 10 (rule f1, /etc/driftd.yaml:7), was 10; changed after the deploy; unattributed, seen by sweep, under commit a1b2c3
      since    -
      commit   <https://git.example.org/infra/commit/a1b2c3|a1b2c3>
      revert   sysctl -w vm.swappiness=10
      adopt    driftd adopt vm.swappiness --format patch
      more     driftd history vm.swappiness
    "#);
    assert_eq!(asked.json()["attachments"][0]["color"], "danger");
    insta::assert_snapshot!(text(&endpoint.asked().await), @r#"
    &lt;!channel&gt; &amp; more
    &lt;!channel&gt; &amp; more
      more     driftd status
    "#);
    home.end();
}

#[tokio::test]
async fn over_tls_a_sink_is_told_where_its_certificate_is_vouched_for_and_else_nothing() {
    let files = tempfile::tempdir().unwrap();
    let (ca, other) = (files.path().join("ca.pem"), files.path().join("other.pem"));
    let mut endpoint = Endpoint::start_tls(&ca).await;
    let _other = Endpoint::start_tls(&other).await;
    let sink = |name: &str, ca: &std::path::Path| {
        let port = endpoint.address.port();
        format!(
            "    {name}: {{ sink: webhook, url: \"https://localhost:{port}/hook\", ca: {} }}\n",
            ca.display()
        )
    };
    let mut home = Home::start(&sink("wrong", &other));
    home.record(vec![finding("f1", "opened")]).await;
    assert_eq!(home.why().await, "TLS fails: invalid peer certificate: BadSignature");
    home.end();
    let right = sink("right", &ca);
    assert_eq!(endpoint.unseen(), 0, "nothing was told before the certificate was looked at");
    let mut home = Home::start(&right);
    home.record(vec![finding("f1", "opened")]).await;
    assert_eq!(endpoint.asked().await.header("host"), format!("localhost:{}", endpoint.address.port()));
    home.until(all_sent).await;
    home.end();
}

#[test]
fn a_secret_that_cannot_be_read_is_said_by_the_name_of_its_file_at_the_start() {
    let files = tempfile::tempdir().unwrap();
    let secret = file(&files, "secret", "hunter2");
    let sinks = format!(
        "    pager: {{ sink: webhook, url: \"http://127.0.0.1:1/\", secret: {} }}\n",
        secret.display()
    );
    let error = Outside::new(&alerts(&sinks), "driftd.yaml").err().unwrap().to_string();
    assert!(error.contains("the sink `pager` cannot be used") && error.contains("hint:"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
