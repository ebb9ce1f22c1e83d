//! Many at once, and slow ones: they lose their seats, and who delivers is served.

use super::*;

impl Listener {
    /// Delivers, playing the loop.
    async fn delivers(&mut self) -> String {
        let sent = self.sent(good("", BODY)).await;
        self.taken().await.reply.send(Receipt::Accepted(id())).unwrap();
        sent.await.unwrap()
    }
}

/// Whether the other side has closed: what is read then, after what it said.
async fn closed(stream: &mut TcpStream) -> bool {
    let mut said = Vec::new();
    // A reset is as good.
    timeout(Duration::from_secs(60), stream.read_to_end(&mut said)).await.is_ok()
}

#[tokio::test]
async fn a_thousand_idle_connections_do_not_stop_a_delivery() {
    let mut listener = Listener::start(usual()).await;
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut stream = listener.connected().await;
        // Some say nothing, some begin, and some are about to send a body.
        let whole = good("", BODY);
        let half = &whole.as_bytes()[..(whole.len() - 1) * (number % 3) / 2];
        let _closed_meanwhile = stream.write_all(half).await;
        idle.push(stream);
    }
    for _ in 0..3 {
        assert!(listener.delivers().await.starts_with("HTTP/1.1 202 "));
    }
    // Those that waited longest went, and those that came last are still there.
    assert!(closed(&mut idle[0]).await);
    let last = idle.last_mut().unwrap();
    let mut byte = [0];
    assert_eq!(last.try_read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock, "still open");
}

#[tokio::test]
async fn who_proved_itself_keeps_its_seat_and_a_further_one_waits_for_one_to_end() {
    let mut listener = Listener::start(Limits { connections: 2, ..usual() }).await;
    let mut waiting = Vec::new();
    for app in ["first", "second"] {
        let sent = listener.sent(good("", &format!(r#"{{"commit":"a1b2c3","app":"{app}"}}"#))).await;
        waiting.push((sent, listener.taken().await));
    }
    // Both seats are kept; the third is not accepted, however many come after it.
    let third = listener.sent(good("", r#"{"commit":"a1b2c3","app":"third"}"#)).await;
    let (sent, delivery) = waiting.pop().unwrap();
    assert!(!third.is_finished());
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(sent.await.unwrap().starts_with("HTTP/1.1 202 "));
    let delivery = listener.taken().await;
    assert_eq!(delivery.announcement.app.as_deref(), Some("third"));
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(third.await.unwrap().starts_with("HTTP/1.1 202 "));
    // And the first was never disturbed.
    let (sent, delivery) = waiting.pop().unwrap();
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(sent.await.unwrap().starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn slow_and_stalled_ones_are_cut_off_while_a_good_one_is_served() {
    let short = Duration::from_millis(100);
    let mut listener = Listener::start(Limits { header: short, body: short, ..usual() }).await;
    let whole = good("", BODY);
    let mut slow = Vec::new();
    // Each row of the list of what servers leave open: nothing, half a header, half an HTTP/2 preface, half a body.
    for half in ["", &whole[..40], "PRI * HTTP/2.0\r\n\r\nSM", &whole[..whole.len() - 1]] {
        let mut stream = listener.connected().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        slow.push((half, stream));
    }
    assert!(listener.delivers().await.starts_with("HTTP/1.1 202 "));
    for (half, mut stream) in slow {
        assert!(closed(&mut stream).await, "{half:?}");
    }
    assert!(listener.delivers().await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn long_bodies_are_held_a_few_at_a_time_and_short_ones_always() {
    let mut listener = Listener::start(usual()).await;
    let long = format!("{BODY}{}", " ".repeat(MAX_BODY - BODY.len()));
    let request = good("", &long);
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut stream = listener.connected().await;
        stream.write_all(&request.as_bytes()[..1000]).await.unwrap();
        stalled.push(stream);
    }
    // One after the other: each is accepted and read in its turn, so all eight are being read by now.
    assert!(listener.delivers().await.starts_with("HTTP/1.1 202 "));
    let said = listener.said(&request).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 5\r\n"), "{said}");
    assert!(listener.delivers().await.starts_with("HTTP/1.1 202 "));
    // When one of them goes, there is room.
    drop(stalled);
    let mut said = String::new();
    while !said.starts_with("HTTP/1.1 202 ") {
        let mut sent = listener.sent(&request).await;
        said = tokio::select! {
            said = &mut sent => said.unwrap(),
            posted = listener.deliveries.recv() => {
                delivery(posted.unwrap()).reply.send(Receipt::Accepted(id())).unwrap();
                sent.await.unwrap()
            }
        };
    }
}
