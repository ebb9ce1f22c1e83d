//! What hooks get: they send whatever happens, and must not be disabled for it.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::Mac;

use super::{super::super::callers::WRONG, *};
use crate::model::Ignored;

const STATUS: &str = include_str!("../../../../../tests/fixtures/payloads/github-deployment_status.json");

/// A listener that GitHub may deliver to.
async fn github() -> Listener {
    let dir = tempfile::tempdir().unwrap();
    let mut credential = config::Credential::plain(vec![stored(&dir, "secret", SECRET)]);
    (credential.name, credential.sender) = ("github".into(), config::Sender::Github);
    Listener::with(usual(), config::Callers::default(), dir, vec![credential]).await
}

fn hook(event: &str, secret: &str, body: &str) -> String {
    post(
        "",
        &format!("{}\r\nX-GitHub-Event: {event}\r\nX-GitHub-Delivery: 72d3162e", signature(secret, body)),
        body,
    )
}

async fn ignored(listener: &mut Listener) -> Ignored {
    match timeout(Duration::from_secs(60), listener.deliveries.recv()).await.expect("a message").unwrap() {
        Posted::Ignored(message) => message,
        Posted::Delivery(delivery) => panic!("delivered: {delivery:?}"),
    }
}

#[tokio::test]
async fn an_authentic_message_that_counts_for_nothing_is_a_200_with_the_reason_and_is_recorded() {
    let mut listener = github().await;
    insta::assert_snapshot!(undated(&listener.said(hook("push", SECRET, "{}")).await), @r#"
    HTTP/1.1 200 OK
    content-type: application/json
    cache-control: no-store
    connection: close
    content-length: 70

    {"status":"ignored","reason":"the event is no deployment's (`push`)"}
    "#);
    let wanted = Ignored {
        sender: "github".into(),
        reason: "the event is no deployment's".into(),
        detail: Some("push".into()),
        count: 1,
    };
    assert_eq!(ignored(&mut listener).await, wanted);
    // One that cannot be read is the same to the hook.
    let said = listener.said(hook("deployment_status", SECRET, "[")).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("not understood"), "{said}");
    assert_eq!(ignored(&mut listener).await.reason, "the message is not understood");
}

#[tokio::test]
async fn a_hooks_message_that_the_loop_refuses_is_a_200_too() {
    let mut listener = github().await;
    let sent = listener.sent(hook("deployment_status", SECRET, STATUS)).await;
    let delivery = listener.taken().await;
    assert_eq!(delivery.announcement.id.as_deref(), Some("github/72d3162e"));
    let stale = Refusal::Stale { timestamp: delivery.announcement.timestamp.unwrap() };
    delivery.reply.send(Receipt::Refused(stale)).unwrap();
    let said = sent.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("more than five minutes"), "{said}");
    assert!(ignored(&mut listener).await.reason.starts_with("the message is dated"));
    assert_eq!(listener.outcomes.of(super::super::super::outcomes::Outcome::Ignored), 1);
}

/// Ten wrong proofs would silence the address; a clock that is off proves nothing wrong.
#[tokio::test]
async fn an_old_message_that_a_hook_signed_is_ignored_with_200_however_often_it_comes() {
    const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let dir = tempfile::tempdir().unwrap();
    let mut credential = config::Credential::plain(vec![stored(&dir, "whsec", WHSEC)]);
    (credential.name, credential.sender) = ("gitlab".into(), config::Sender::Gitlab);
    let mut listener = Listener::with(usual(), config::Callers::default(), dir, vec![credential]).await;
    let at = jiff::Timestamp::now().as_second() - 360;
    let message = |signed: &str| {
        let mac = Secret::whsec(WHSEC.as_bytes()).unwrap().mac(format!("msg_1.{at}.{signed}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let lines =
            format!("webhook-id: msg_1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{signature}");
        post("", &format!("X-Gitlab-Event: Deployment Hook\r\n{lines}"), "{}")
    };
    let (log, guard) = Log::start();
    let mut recorded = 0;
    for _ in 0..20 * WRONG {
        let said = listener.said(message("{}")).await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("more than five minutes"), "{said}");
        while let Ok(Posted::Ignored(message)) = listener.deliveries.try_recv() {
            assert!(message.reason.starts_with("the message is dated more than five minutes"));
            recorded += 1;
        }
    }
    drop(guard);
    // One is forgotten every six seconds, and the machine may be slow.
    assert!((WRONG..5 * WRONG).contains(&recorded), "{recorded} are recorded");
    let log = log.text();
    let told = |words: &str| log.lines().filter(|line| line.contains("INFO") && line.contains(words)).count();
    assert_eq!(told("is ignored"), recorded as usize);
    assert!(told("not recorded") > 0, "{log}");
    // One that is old and not signed is no better than any.
    let said = listener.said(message("{ }")).await;
    assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
}

#[tokio::test]
async fn a_hook_without_the_secret_is_refused_and_the_log_has_its_delivery() {
    let mut listener = github().await;
    let (log, guard) = Log::start();
    let said = listener.said(hook("push", "another", "{}")).await;
    drop(guard);
    assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
    let log = log.text();
    assert!(log.contains("delivery=\"72d3162e\"") && log.contains("fits none"), "{log}");
    assert!(listener.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn a_record_that_nobody_takes_does_not_cost_the_hook_its_answer() {
    let listener = github().await;
    // The loop takes nothing; there is room for one.
    for _ in 0..3 {
        assert!(listener.said(hook("push", SECRET, "{}")).await.starts_with("HTTP/1.1 200 "));
    }
}
