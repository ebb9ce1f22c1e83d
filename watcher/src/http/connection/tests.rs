//! Seats, and how connections are begun and ended.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::client::conn::http2 as client;

use super::*;

#[tokio::test]
async fn an_accept_that_keeps_failing_does_not_spin() {
    let (stop, stopped) = watch::channel(false);
    let failures = Cell::new(0);
    let listener = |_: &mut Context<'_>| {
        failures.set(failures.get() + 1);
        stop.send_replace(failures.get() >= 3);
        Poll::Ready(Err::<(), _>(io::Error::other("too many open files")))
    };
    let began = Instant::now();
    accept(listener, |()| None, |(), _| async {}, &Limits::USUAL, stopped).await;
    assert!(began.elapsed() >= 3 * BACK_OFF, "three failures, a pause after each");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_broken_off() {
    let (stop, stopped) = watch::channel(false);
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let alive = Cell::new(Some(alive));
    let listener = |_: &mut Context<'_>| match alive.take() {
        Some(alive) => Poll::Ready(Ok(alive)),
        None => Poll::Pending,
    };
    let serve = |alive, _| {
        stop.send_replace(true);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
        }
    };
    let limits = Limits { grace: Duration::from_millis(20), ..Limits::USUAL };
    accept(listener, |_| None, serve, &limits, stopped).await;
    assert!(ended.await.is_err(), "its task is gone");
}

/// Connections of these addresses, oldest first; a `+` before one that is kept. Which makes room?
async fn who_goes(open: &str) -> Option<usize> {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let open: Vec<_> = open
        .split_whitespace()
        .map(|text| {
            let seat = Seat::default();
            let address = text.strip_prefix('+').inspect(|_| seat.keep()).unwrap_or(text);
            let share = Some(Share::of(address.parse().unwrap()));
            Open { share, seat, task: tasks.spawn(std::future::pending()) }
        })
        .collect();
    dispensable(&open)
}

#[tokio::test]
async fn the_oldest_of_who_has_most_makes_room_and_who_proved_itself_never() {
    for (open, wanted) in [
        ("", None),
        ("10.0.0.1", Some(0)),
        ("10.0.0.1 10.0.0.2", Some(0)),
        ("10.0.0.1 10.0.0.2 10.0.0.2", Some(1)),
        ("10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.2", Some(0)),
        ("10.0.0.1 +10.0.0.2 10.0.0.2", Some(0)),
        ("+10.0.0.1 +10.0.0.1 10.0.0.2", Some(2)),
        ("+10.0.0.1 +10.0.0.2", None),
        ("10.0.0.1 2001:db8::1 2001:db8::2", Some(1)),
    ] {
        assert_eq!(who_goes(open).await, wanted, "{open}");
    }
}

/// A server over HTTP/2 on one end of a pipe; the other end.
fn served(
    limits: Limits,
    answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
) -> (tokio::io::DuplexStream, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (stop, stopped) = watch::channel(false);
    let answer = std::sync::Arc::new(answer);
    let serving = tokio::spawn(async move {
        let answer = move |request| {
            let answer = answer.clone();
            async move { answer(request) }
        };
        let _ended = serve_h2(ours, &limits, stopped, answer).await;
    });
    (theirs, stop, serving)
}

fn empty(_: Request<Incoming>) -> Answer {
    super::super::answer::json(hyper::StatusCode::OK, &())
}

fn usual() -> Limits {
    let minute = Duration::from_secs(60);
    Limits { header: minute, whole: minute * 10, ..Limits::USUAL }
}

type Asking = client::SendRequest<http_body_util::Empty<bytes::Bytes>>;

/// A client of HTTP/2 that is as it should be.
async fn connected(stream: tokio::io::DuplexStream) -> Asking {
    let (asking, connection) =
        client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    asking
}

fn request() -> Request<http_body_util::Empty<bytes::Bytes>> {
    Request::get("http://x/").body(http_body_util::Empty::new()).unwrap()
}

/// That something ends is the claim; how soon is the machine's affair.
async fn ends(serving: tokio::task::JoinHandle<()>) {
    timeout(Duration::from_secs(30), serving).await.expect("an end").unwrap();
}

#[tokio::test]
async fn over_http_2_several_requests_are_answered_one_after_the_other() {
    let (stream, _stop, serving) = served(usual(), empty);
    let mut asking = connected(stream).await;
    for _ in 0..3 {
        asking.ready().await.unwrap();
        assert_eq!(asking.send_request(request()).await.unwrap().status(), 200);
    }
    drop(asking);
    ends(serving).await;
}

#[tokio::test]
async fn over_http_2_a_head_is_answered_without_a_body() {
    let (stream, _stop, serving) = served(usual(), empty);
    let mut asking = connected(stream).await;
    for _ in 0..2 {
        asking.ready().await.unwrap();
        let head = Request::head("http://x/").body(http_body_util::Empty::new()).unwrap();
        let answer = asking.send_request(head).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    drop(asking);
    ends(serving).await;
}

#[tokio::test]
async fn over_http_2_who_says_nothing_or_only_half_is_closed_in_time() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // No settings; and the header of a request that says that it goes on, and does not.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const HALF: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";
    let limits = Limits { header: Duration::from_millis(50), linger: Duration::from_millis(50), ..usual() };
    for half in [b"".to_vec(), PREFACE[..10].to_vec(), PREFACE.to_vec(), [PREFACE, SETTINGS, HALF].concat()] {
        let (mut stream, _stop, serving) = served(limits, empty);
        stream.write_all(&half).await.unwrap();
        ends(serving).await;
    }
    // One that had a request and keeps the connection, too.
    let (stream, _stop, serving) = served(limits, empty);
    let mut asking = connected(stream).await;
    assert_eq!(asking.send_request(request()).await.unwrap().status(), 200);
    ends(serving).await;
}

#[tokio::test]
async fn over_http_2_nobody_asks_for_ever() {
    let (stream, _stop, serving) = served(usual(), empty);
    let mut asking = connected(stream).await;
    let mut answered = 0;
    while asking.ready().await.is_ok() && asking.send_request(request()).await.is_ok() {
        answered += 1;
    }
    assert!((REQUESTS..REQUESTS + 10).contains(&answered), "{answered}");
    ends(serving).await;
}

#[tokio::test]
async fn over_http_2_a_flood_of_resets_ends_the_connection() {
    let (mut stream, _stop, serving) = served(usual(), empty);
    // A request with all its pseudo headers (RFC 7541, appendix A: GET, http, /), and its reset, again and again.
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1u32..20_000).step_by(2) {
        flood.extend_from_slice(b"\0\0\x03\x01\x05");
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(b"\x82\x86\x84");
        flood.extend_from_slice(b"\0\0\x04\x03\0");
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(b"\0\0\0\x08");
    }
    let _closed_meanwhile = stream.write_all(&flood).await;
    ends(serving).await;
}

#[tokio::test]
async fn over_http_2_a_header_that_is_too_long_is_refused() {
    let (stream, _stop, _serving) = served(usual(), empty);
    let mut asking = connected(stream).await;
    let long = Request::get("http://x/").header("x", "y".repeat(2 * BUFFER));
    let answer = asking.send_request(long.body(http_body_util::Empty::new()).unwrap()).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
    assert_eq!(
        asking.send_request(request()).await.unwrap().status(),
        200,
        "one that is not is answered on the same connection"
    );
}

#[tokio::test]
async fn over_http_2_asked_to_stop_it_closes() {
    let (stream, stop, serving) = served(usual(), empty);
    let mut asking = connected(stream).await;
    assert_eq!(asking.send_request(request()).await.unwrap().status(), 200);
    stop.send(true).unwrap();
    ends(serving).await;
}
