//! Who is heard, by address.

use super::{super::super::callers::WRONG, *};

fn networks(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A listener behind a proxy on this host: what it says in `X-Forwarded-For` is believed.
async fn behind_a_proxy(allow: &[&str]) -> Listener {
    let allow = Some(networks(allow)).filter(|allow| !allow.is_empty());
    Listener::start_with(usual(), config::Callers { allow, proxies: networks(&["127.0.0.1/32"]) }).await
}

impl Listener {
    /// A right delivery, said to be from there; its status.
    async fn good_from(&mut self, address: &str) -> String {
        let header = format!("{}\r\nX-Forwarded-For: {address}", signature(SECRET, BODY));
        let mut sent = self.sent(post("", &header, BODY)).await;
        let said = tokio::select! {
            said = &mut sent => said.unwrap(),
            posted = self.deliveries.recv() => {
                delivery(posted.unwrap()).reply.send(Receipt::Accepted(id())).unwrap();
                sent.await.unwrap()
            }
        };
        said.split(' ').nth(1).unwrap().to_owned()
    }

    async fn wrong_from(&self, address: &str) -> String {
        let header = format!("{}\r\nX-Forwarded-For: {address}", signature("another", BODY));
        self.said(post("", &header, BODY)).await
    }
}

#[tokio::test]
async fn wrong_signatures_silence_the_address_they_came_from_and_no_other() {
    let mut listener = behind_a_proxy(&[]).await;
    let (log, guard) = Log::start();
    for count in 0..WRONG {
        let said = listener.wrong_from("192.0.2.1").await;
        assert!(said.starts_with("HTTP/1.1 401 "), "{count}: {said}");
    }
    // From now on not even the right one is heard, which makes guessing as slow as it can be made.
    let said = undated(&listener.wrong_from("192.0.2.1").await);
    let (_, seconds) = said.split_once("retry-after: ").unwrap();
    let (seconds, _) = seconds.split_once('\n').unwrap();
    assert!((1..=60).contains(&seconds.parse::<u32>().unwrap()), "{said}");
    insta::assert_snapshot!(said.replace(&format!("retry-after: {seconds}"), "retry-after: SECONDS"), @r#"
    HTTP/1.1 429 Too Many Requests
    content-type: application/json
    cache-control: no-store
    retry-after: SECONDS
    connection: close
    content-length: 72

    {"error":"too many requests that prove nothing came from this address"}
    "#);
    assert_eq!(listener.good_from("192.0.2.1").await, "429");
    assert_eq!(listener.good_from("192.0.2.2").await, "202", "another address");
    // An IPv6 host has a /64 to call from.
    for count in 0..WRONG {
        listener.wrong_from(&format!("2001:db8::{count}")).await;
    }
    assert_eq!(listener.good_from("2001:db8::ffff").await, "429");
    assert_eq!(listener.good_from("2001:db8:0:1::1").await, "202");
    drop(guard);
    let log = log.text();
    assert_eq!(log.matches("WARN").count(), 2 * (WRONG as usize + 1), "and one line more for each: {log}");
    assert!(log.contains("sender=192.0.2.1 by 127.0.0.1:"), "{log}");
    assert!(log.contains("192.0.2.1 was refused 10 times"), "{log}");
}

#[tokio::test]
async fn who_is_believed_by_nobody_cannot_call_from_elsewhere() {
    let listener = Listener::start(usual()).await;
    for count in 0..WRONG {
        listener.wrong_from(&format!("192.0.2.{count}")).await;
    }
    let said = listener.wrong_from("192.0.2.99").await;
    assert!(said.starts_with("HTTP/1.1 429 "), "it is the peer that counts: {said}");
}

#[tokio::test]
async fn through_a_proxy_only_who_is_in_the_list_may_send() {
    let mut listener = behind_a_proxy(&["192.0.2.0/24", "2001:db8::/32"]).await;
    assert_eq!(listener.good_from("192.0.2.1").await, "202");
    assert_eq!(listener.good_from("2001:db8::1").await, "202");
    assert_eq!(listener.good_from("198.51.100.1").await, "403");
    assert_eq!(
        listener.good_from("192.0.2.1, 198.51.100.1").await,
        "403",
        "the last one is who connected to the proxy"
    );
    assert_eq!(
        listener.good_from("unknown").await,
        "403",
        "a proxy that names nobody does not let everybody in"
    );
}

#[tokio::test]
async fn who_is_not_in_the_list_is_not_even_shaken_hands_with() {
    let callers = config::Callers { allow: Some(networks(&["192.0.2.0/24"])), proxies: Vec::new() };
    let listener = Listener::start_with(usual(), callers).await;
    let (log, guard) = Log::start();
    for _ in 0..3 * WRONG {
        assert_eq!(listener.said(good("", BODY)).await, "");
    }
    drop(guard);
    assert_eq!(log.text().matches("is not in `allow`").count(), WRONG as usize, "no more than so often");
}
