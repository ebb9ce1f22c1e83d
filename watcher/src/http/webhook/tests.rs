//! The listener as a sender meets it: real sockets on loopback, and a client that can be as rude as it likes.

use std::{fs, io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::{
    super::{
        MAX_BODY, Secret, signature,
        testing::{Log, exchange},
    },
    *,
};
use crate::{
    config::Tls,
    model::{DeploymentId, Receipt, Refusal, Verdict, VerdictStatus},
};

mod bind;
mod callers;
mod crowd;
mod hooks;
mod outcomes;
mod verdict;

/// A listener that serves, and the loop's end of it.
struct Listener {
    dir: tempfile::TempDir,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    deliveries: mpsc::Receiver<Posted>,
    questions: mpsc::Receiver<Question>,
    outcomes: Arc<Outcomes>,
}

const SECRET: &str = "a secret nobody may see";
const BODY: &str = r#"{"commit":"a1b2c3","app":"web-backend"}"#;

fn stored(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

impl Listener {
    async fn start(limits: Limits) -> Listener {
        Listener::start_with(limits, config::Callers::default()).await
    }

    async fn start_with(limits: Limits, callers: config::Callers) -> Listener {
        let dir = tempfile::tempdir().unwrap();
        let secrets = vec![stored(&dir, "old", "the one before"), stored(&dir, "new", SECRET)];
        Listener::with(limits, callers, dir, vec![config::Credential::plain(secrets)]).await
    }

    async fn with(
        limits: Limits,
        callers: config::Callers,
        dir: tempfile::TempDir,
        credentials: Vec<config::Credential>,
    ) -> Listener {
        let listen = "127.0.0.1:0".parse().unwrap();
        let settings = config::Webhook { listen, tls: Tls::Plain, callers, credentials };
        let mut webhook = Webhook::bind(&settings, dir.path()).await.unwrap();
        webhook.gate.limits = limits;
        let address = webhook.gate.address;
        assert_eq!(webhook.url(), format!("http://{address}/webhook/gitops"));
        let outcomes = webhook.outcomes();
        let (stop, stopped) = watch::channel(false);
        let (sender, deliveries) = mpsc::channel(1);
        let (asking, questions) = mpsc::channel(1);
        let serving = tokio::spawn(webhook.serve(sender, asking, stopped));
        Listener { dir, address, stop, serving, deliveries, questions, outcomes }
    }

    async fn connected(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request and reads the answer, while the test plays the loop.
    async fn sent(&self, request: impl AsRef<[u8]>) -> JoinHandle<String> {
        let (stream, request) = (self.connected().await, request.as_ref().to_vec());
        tokio::spawn(async move { exchange(stream, &request).await })
    }

    /// The next delivery. One that never comes is a failure, not a test without end.
    async fn taken(&mut self) -> Delivery {
        let posted = timeout(Duration::from_secs(60), self.deliveries.recv()).await.expect("a delivery");
        delivery(posted.unwrap())
    }

    async fn said(&self, request: impl AsRef<[u8]>) -> String {
        self.sent(request).await.await.unwrap()
    }
}

/// What was posted, which is a delivery.
fn delivery(posted: Posted) -> Delivery {
    match posted {
        Posted::Delivery(delivery) => delivery,
        Posted::Ignored(message) => panic!("ignored: {message:?}"),
    }
}

fn signature(secret: &str, body: &str) -> String {
    signature::header(&Secret::new(secret.as_bytes()).unwrap(), body.as_bytes())
}

fn post(query: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {PATH}{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{header}\r\n\r\n{body}")
}

/// A delivery as it should be.
fn good(query: &str, body: &str) -> String {
    post(query, &signature(SECRET, body), body)
}

/// The answer, without its date.
fn undated(answer: &str) -> String {
    answer.split("\r\n").filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

fn id() -> DeploymentId {
    DeploymentId("0198".into())
}

fn verdict(status: VerdictStatus) -> Verdict {
    Verdict {
        held: Vec::new(),
        unreadable: Vec::new(),
        broken: None,
        deployment: id(),
        commit: "a1b2c3".parse().unwrap(),
        app: Some("web-backend".into()),
        status,
        keys: 3,
        findings: Vec::new(),
    }
}

fn usual() -> Limits {
    // Tests share their machine: what should not run out has a minute.
    let minute = Duration::from_secs(60);
    Limits {
        handshake: minute,
        header: minute,
        body: minute,
        request: minute,
        forgotten: minute,
        ..Limits::USUAL
    }
}

#[tokio::test]
async fn the_answer_waits_for_the_receipt() {
    let mut listener = Listener::start(usual()).await;
    let sent = listener.sent(good("", BODY)).await;
    let delivery = listener.taken().await;
    assert_eq!(delivery.announcement.app.as_deref(), Some("web-backend"));
    assert!(delivery.verdict.is_none());
    assert!(!sent.is_finished(), "nothing is answered before it is durable");
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    insta::assert_snapshot!(undated(&sent.await.unwrap()), @r#"
    HTTP/1.1 202 Accepted
    content-type: application/json
    cache-control: no-store
    connection: close
    content-length: 97

    {"deployment":"0198","commit":"a1b2c3","status":"accepted","verdict":"/api/v1/deployments/0198"}
    "#);
}

#[tokio::test]
async fn either_secret_of_a_rotation_opens() {
    let mut listener = Listener::start(usual()).await;
    for secret in ["the one before", SECRET] {
        let sent = listener.sent(post("", &signature(secret, BODY), BODY)).await;
        listener.taken().await.reply.send(Receipt::Known(id())).unwrap();
        assert!(sent.await.unwrap().contains(r#""status":"known""#));
    }
}

/// Plays the loop for one delivery, and says what the sender got.
async fn judged(query: &str, body: &str, status: Option<VerdictStatus>) -> String {
    let mut listener = Listener::start(usual()).await;
    let sent = listener.sent(good(query, body)).await;
    let delivery = listener.taken().await;
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    if let (Some(waiting), Some(status)) = (delivery.verdict, status) {
        waiting.send(verdict(status)).unwrap();
    }
    let said = sent.await.unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    format!("{}\n{body}", head.lines().next().unwrap())
}

#[tokio::test]
async fn wait_answers_200_when_synced_and_409_when_out_of_sync() {
    insta::assert_snapshot!(judged("?wait=300", BODY, Some(VerdictStatus::Synced)).await, @r#"
    HTTP/1.1 200 OK
    {"deployment":"0198","commit":"a1b2c3","app":"web-backend","status":"SYNCED","keys":3,"findings":[],"held":[],"unreadable":[]}
    "#);
    insta::assert_snapshot!(judged("?wait=300", BODY, Some(VerdictStatus::OutOfSync)).await, @r#"
    HTTP/1.1 409 Conflict
    {"deployment":"0198","commit":"a1b2c3","app":"web-backend","status":"OUT_OF_SYNC","keys":3,"findings":[],"held":[],"unreadable":[]}
    "#);
}

#[tokio::test]
async fn wait_answers_504_with_the_deployment_when_the_verdict_is_not_known() {
    insta::assert_snapshot!(judged("?wait=300", BODY, None).await, @r#"
    HTTP/1.1 504 Gateway Timeout
    {"error":"the verdict was not known in time","deployment":"0198","verdict":"/api/v1/deployments/0198"}
    "#);
    let mut listener = Listener::start(usual()).await;
    let sent = listener.sent(good("?wait=1", BODY)).await;
    let delivery = listener.taken().await;
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(sent.await.unwrap().starts_with("HTTP/1.1 504 "));
    drop(delivery.verdict);
}

#[tokio::test]
async fn no_verdict_is_waited_for_where_none_comes() {
    for phase in ["started", "failed"] {
        let body = format!(r#"{{"commit":"a1b2c3","phase":"{phase}"}}"#);
        assert!(judged("?wait=300", &body, None).await.starts_with("HTTP/1.1 202 "), "{phase}");
    }
    assert!(judged("?", BODY, None).await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn a_wrong_signature_and_a_missing_one_read_the_same() {
    let mut listener = Listener::start(usual()).await;
    let right = signature(SECRET, BODY);
    let missing = undated(&listener.said(post("", "x: y", BODY)).await);
    insta::assert_snapshot!(missing, @r#"
    HTTP/1.1 401 Unauthorized
    content-type: application/json
    cache-control: no-store
    connection: close
    content-length: 46

    {"error":"the signature is missing or wrong"}
    "#);
    for header in [
        signature("another", BODY),
        signature(SECRET, "another"),
        "X-Hub-Signature-256: sha256=".into(),
        "X-Hub-Signature-256: sha256=00".into(),
        right.replace("-256", ""),
        format!("{right}\r\n{right}"),
    ] {
        assert_eq!(undated(&listener.said(post("", &header, BODY)).await), missing, "{header}");
    }
    // The signature comes first: what the body says makes no difference.
    assert_eq!(undated(&listener.said(post("", &signature("another", "{"), "{")).await), missing);
    assert!(listener.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn what_is_not_understood_is_one_sentence_to_the_sender_and_nothing_to_the_loop() {
    let mut listener = Listener::start(usual()).await;
    let sentence = r#"{"error":"the request was not understood; the log of the server says why"}"#;
    let mut requests: Vec<_> =
        ["", "{", "[]", r#"{"commit":"main"}"#, r#"{"commit":"a1b2c3","declared":{"swappiness":1}}"#]
            .map(|body| good("", body))
            .into();
    for query in
        ["wait", "wait=", "wait=0", "wait=301", "wait=+5", "wait=5s", "wait=5&wait=5", "Wait=5", "x=1"]
    {
        requests.push(good(&format!("?{query}"), BODY));
    }
    for request in requests {
        let said = listener.said(&request).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains(sentence), "{request}: {said}");
    }
    assert!(listener.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn every_refusal_of_the_loop_is_a_400_and_what_is_not_recorded_a_503() {
    let stale = Refusal::Stale { timestamp: "2026-01-31T12:00:00Z".parse().unwrap() };
    for (receipt, wanted) in [
        (Some(Receipt::Refused(stale)), "HTTP/1.1 400 "),
        (Some(Receipt::Refused(Refusal::IdReused("run-17".into()))), "HTTP/1.1 400 "),
        (Some(Receipt::NotRecorded), "HTTP/1.1 503 "),
        (None, "HTTP/1.1 503 "),
    ] {
        let mut listener = Listener::start(usual()).await;
        let sent = listener.sent(good("?wait=300", BODY)).await;
        let delivery = listener.taken().await;
        match receipt {
            Some(receipt) => delivery.reply.send(receipt).unwrap(),
            None => drop(delivery.reply),
        }
        let said = sent.await.unwrap();
        assert!(said.starts_with(wanted), "{said}");
        assert_eq!(said.contains("retry-after: 5\r\n"), wanted.contains("503"), "{said}");
    }
}

#[tokio::test]
async fn a_loop_that_is_busy_slow_or_gone_means_try_again() {
    let mut listener = Listener::start(Limits { request: Duration::from_millis(100), ..usual() }).await;
    // The first stays in the channel unanswered; for the second there is no room; then nobody is there.
    for reason in ["slow", "busy", "gone"] {
        if reason == "gone" {
            listener.deliveries.close();
        }
        let said = listener.said(good("", BODY)).await;
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 5\r\n"), "{reason}: {said}");
    }
}

#[tokio::test]
async fn nothing_but_the_one_path_is_served() {
    let listener = Listener::start(usual()).await;
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        let said = listener.said(good("", BODY).replacen("POST", method, 1)).await;
        assert!(said.starts_with("HTTP/1.1 405 ") && said.contains("allow: POST\r\n"), "{method}: {said}");
    }
    for path in
        ["/", "/webhook", "/webhook/gitops/", "/webhook/gitops/x", "/api/v1/status", "//webhook/gitops", "*"]
    {
        let said = listener.said(good("", BODY).replacen(PATH, path, 1)).await;
        assert!(
            said.starts_with("HTTP/1.1 404 ") && said.contains("nothing is served here"),
            "{path}: {said}"
        );
    }
    assert_eq!(listener.said("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "", "HTTP/2 is closed");
    let said = listener.said("\x16\x03\x01 TLS\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused_before_it_is_signed_or_read() {
    let listener = Listener::start(usual()).await;
    let head = |framing: &str| format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{framing}\r\n");
    let wrong = format!("{}\r\n", signature("another", ""));
    let announced = head(&format!("content-length: {}\r\n{wrong}", MAX_BODY + 1));
    // Not a byte of the body is sent, and the signature is wrong: the length is what is answered.
    assert!(listener.said(&announced).await.starts_with("HTTP/1.1 413 "));
    // All of it is sent without a look at the answer, which is there all the same, and no reset in its place.
    let mut careless = listener.connected().await;
    careless.write_all(&[announced.as_bytes(), &vec![b' '; MAX_BODY + 1]].concat()).await.unwrap();
    let mut said = String::new();
    careless.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    // The length is not announced.
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    let chunked = |count| head(&format!("transfer-encoding: chunked\r\n{wrong}")) + &chunk.repeat(count);
    assert!(listener.said(chunked(17) + "0\r\n\r\n").await.starts_with("HTTP/1.1 413 "));
    // One mebibyte itself is read, and its signature looked at.
    assert!(listener.said(chunked(16) + "0\r\n\r\n").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_taken() {
    let mut listener = Listener::start(usual()).await;
    let padded = format!("{BODY}{}", " ".repeat(MAX_BODY - BODY.len()));
    let sent = listener.sent(good("", &padded)).await;
    listener.taken().await.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(sent.await.unwrap().starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let listener = Listener::start(usual()).await;
    let said =
        listener.said(good("", BODY).replacen("host: x", &format!("x: {}", "y".repeat(1 << 17)), 1)).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
}

#[tokio::test]
async fn who_says_nothing_or_only_half_is_closed_in_time() {
    // That they end is the claim; how soon is the machine's affair, but sooner than hyper's own 30 s.
    let (short, end) = (Duration::from_millis(100), Duration::from_secs(25));
    let listener = Listener::start(Limits { header: short, ..usual() }).await;
    for half in ["", "POST /webhook/gitops HT", "POST /webhook/gitops HTTP/1.1\r\nhost: x\r\n"] {
        assert_eq!(timeout(end, listener.said(half)).await.expect("an end"), "", "{half:?}");
    }
    let listener = Listener::start(Limits { body: short, ..usual() }).await;
    let request = good("", BODY);
    let said = listener.said(&request[..request.len() - 1]).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "a body that stalls: {said}");
}

#[tokio::test]
async fn asked_to_stop_it_finishes_what_is_in_hand() {
    let mut listener = Listener::start(usual()).await;
    let silent = listener.sent("").await;
    let in_hand = listener.sent(good("", BODY)).await;
    let delivery = listener.taken().await;
    listener.stop.send(true).unwrap();
    assert_eq!(silent.await.unwrap(), "", "who has asked for nothing is closed at once");
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    assert!(in_hand.await.unwrap().starts_with("HTTP/1.1 202 "));
    listener.serving.await.unwrap();
    assert!(TcpStream::connect(listener.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn asked_to_stop_it_tells_who_waits_for_a_verdict() {
    let mut listener = Listener::start(usual()).await;
    let waiting = listener.sent(good("?wait=300", BODY)).await;
    let delivery = listener.taken().await;
    delivery.reply.send(Receipt::Accepted(id())).unwrap();
    listener.stop.send(true).unwrap();
    assert!(waiting.await.unwrap().starts_with("HTTP/1.1 504 "));
    listener.serving.await.unwrap();
    drop(delivery.verdict);
}

#[tokio::test]
async fn the_log_has_the_sender_and_the_reason_and_no_secret() {
    let listener = Listener::start(usual()).await;
    let (log, guard) = Log::start();
    let stream = listener.connected().await;
    let sender = stream.local_addr().unwrap();
    let body = r#"{"commit":"a1b2c3","app":"private"}"#;
    let forged = signature("another", body);
    exchange(stream, post("", &forged, body).as_bytes()).await;
    listener.said(good("", r#"{"commit":"main"}"#)).await;
    drop(guard);
    let log = log.text();
    assert!(log.contains(&format!("sender={sender}")) && log.contains("status=401"), "{log}");
    assert!(log.contains("fits none of the configured secrets (2) over a body of 35 bytes"), "{log}");
    assert!(log.contains("in `commit`: `main` is not a commit"), "{log}");
    for hidden in [SECRET, "private", forged.rsplit('=').next().unwrap()] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}
