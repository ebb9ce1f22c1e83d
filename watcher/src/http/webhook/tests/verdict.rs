//! Who delivered may ask.

use super::*;
use crate::model::{DeploymentStatus, Known};

const PLACE: &str = "/api/v1/deployments/0198";

fn get(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n")
}

/// What is answered to a signed question, where this is known.
async fn told(known: Option<Known>) -> String {
    let mut listener = Listener::start(usual()).await;
    let sent = listener.sent(get(PLACE, &signature(SECRET, PLACE))).await;
    let question = timeout(Duration::from_secs(60), listener.questions.recv()).await.unwrap().unwrap();
    assert_eq!((question.deployment, question.credentials), (id(), vec!["plain".into()]));
    question.reply.send(known).unwrap();
    undated(&sent.await.unwrap())
}

fn known(status: DeploymentStatus, verdict: Option<Verdict>) -> Option<Known> {
    Some(Known { commit: "a1b2c3".parse().unwrap(), status, verdict })
}

#[tokio::test]
async fn who_delivered_is_told_the_verdict_when_there_is_one() {
    let finished = DeploymentStatus::Finished;
    let synced = told(known(finished, Some(verdict(VerdictStatus::Synced)))).await;
    assert!(synced.starts_with("HTTP/1.1 200 ") && synced.contains(r#""status":"SYNCED""#), "{synced}");
    let departs = told(known(finished, Some(verdict(VerdictStatus::OutOfSync)))).await;
    assert!(departs.starts_with("HTTP/1.1 409 "), "{departs}");
    insta::assert_snapshot!(told(known(finished, None)).await, @r#"
    HTTP/1.1 202 Accepted
    content-type: application/json
    cache-control: no-store
    connection: close
    content-length: 60

    {"deployment":"0198","commit":"a1b2c3","status":"finished"}
    "#);
    let never = told(None).await;
    assert!(never.starts_with("HTTP/1.1 404 ") && never.contains("nothing is served here"), "{never}");
}

#[tokio::test]
async fn who_did_not_is_told_nothing() {
    let mut listener = Listener::start(usual()).await;
    let other = "/api/v1/deployments/0199";
    for header in
        ["x: y".to_owned(), signature("another", PLACE), signature(SECRET, other), signature(SECRET, "")]
    {
        let said = listener.said(get(PLACE, &header)).await;
        assert!(said.starts_with("HTTP/1.1 401 "), "{header}: {said}");
    }
    let said = listener.said(get(PLACE, &signature(SECRET, PLACE)).replacen("GET", "POST", 1)).await;
    assert!(said.starts_with("HTTP/1.1 405 ") && said.contains("allow: GET\r\n"), "{said}");
    for path in ["/api/v1/deployments/", "/api/v1/deployments", "/api/v1/deployments/a/b", "/api/v1/"] {
        let said = listener.said(get(path, &signature(SECRET, path))).await;
        assert!(said.starts_with("HTTP/1.1 404 "), "{path}: {said}");
    }
    assert!(listener.questions.try_recv().is_err());
}

#[tokio::test]
async fn a_store_that_does_not_answer_means_try_again() {
    let mut listener = Listener::start(usual()).await;
    let sent = listener.sent(get(PLACE, &signature(SECRET, PLACE))).await;
    drop(listener.questions.recv().await.unwrap());
    let said = sent.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
}

#[tokio::test]
async fn a_pipeline_gets_the_verdict_as_a_table_where_it_asks_for_one() {
    let mut listener = Listener::start(usual()).await;
    let header = format!("{}\r\nAccept: text/markdown", signature(SECRET, BODY));
    let sent = listener.sent(post("?wait=300", &header, BODY)).await;
    let delivery = listener.taken().await;
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    delivery.verdict.unwrap().send(verdict(VerdictStatus::Synced)).unwrap();
    insta::assert_snapshot!(undated(&sent.await.unwrap()), @r"
    HTTP/1.1 200 OK
    content-type: text/markdown; charset=utf-8
    cache-control: no-store
    connection: close
    content-length: 82

    ### driftd: `a1b2c3` SYNCED

    3 keys compared, 0 findings open. Deployment `0198`.
    ");
}
