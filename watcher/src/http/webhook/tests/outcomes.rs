//! Every request is counted under what became of it.

use strum::VariantArray;

use super::{
    super::super::outcomes::{Outcome, Reason},
    *,
};

/// What was counted since the start, by word.
fn counted(listener: &Listener) -> String {
    let all = Outcome::SERVED.into_iter().chain(Reason::VARIANTS.iter().copied().map(Outcome::Refused));
    let counts = all.map(|outcome| (outcome.as_str(), listener.outcomes.of(outcome)));
    counts.filter(|(_, count)| *count > 0).map(|(word, count)| format!("{word} {count} ")).collect()
}

#[tokio::test]
async fn what_is_taken_is_counted_as_accepted_known_or_malformed() {
    let mut listener = Listener::start(usual()).await;
    let stale = Refusal::Stale { timestamp: jiff::Timestamp::UNIX_EPOCH };
    for receipt in [
        Receipt::Accepted(id()),
        Receipt::Accepted(id()),
        Receipt::Known(id()),
        Receipt::Refused(stale),
        Receipt::NotRecorded,
    ] {
        let sent = listener.sent(good("", BODY)).await;
        listener.taken().await.reply.send(receipt).unwrap();
        sent.await.unwrap();
    }
    assert_eq!(counted(&listener), "accepted 2 known 1 malformed 1 busy 1 ");
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_reason() {
    let listener = Listener::start(Limits { body: Duration::from_millis(50), ..usual() }).await;
    let long = MAX_BODY + 1;
    for request in [
        post("", "x: y", BODY),
        post("", &signature("another", BODY), BODY),
        good("", "{}"),
        good("?x", BODY),
        good("", BODY).replacen(PATH, "/", 1),
        good("", BODY).replacen("POST", "GET", 1),
        good("", BODY).replacen("content-length: ", &format!("content-length: {long}\r\nx: "), 1),
        good("", BODY).replacen("content-length: ", "content-length: 9", 1),
    ] {
        listener.said(request).await;
    }
    assert_eq!(counted(&listener), "unsigned 2 malformed 2 misdirected 2 too_long 1 slow 1 ");
}

#[tokio::test]
async fn who_is_not_heard_is_counted_too() {
    let listener = Listener::start(usual()).await;
    for _ in 0..11 {
        listener.said(post("", "x: y", BODY)).await;
    }
    assert_eq!(counted(&listener), "unsigned 10 silenced 1 ");

    let allow = Some(vec!["192.0.2.0/24".parse().unwrap()]);
    let callers = config::Callers { allow, ..config::Callers::default() };
    let listener = Listener::start_with(usual(), callers).await;
    assert_eq!(listener.said(good("", BODY)).await, "");
    assert_eq!(counted(&listener), "uninvited 1 ");
}
