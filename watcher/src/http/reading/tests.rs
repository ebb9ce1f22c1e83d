//! The room as those who read meet it: bytes in, bytes out, over a real socket and a real store.

use std::{
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    super::{
        outcomes::{Outcome, Outcomes, Reason},
        testing::{exchange, sample_status},
    },
    Pages, Query, Reading, STALL, STREAMS,
};
use crate::{
    config::Http,
    model::{Counters, DeploymentId, DeploymentNews, DeploymentStatus, Entry, Finding, Loss, Status, What},
    store::{Batch, Store, Work},
};

/// How long what must happen may take: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A listener over a store, with a loop that answers.
struct Host {
    address: String,
    state: TempDir,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
    outcomes: Arc<Outcomes>,
}

impl Host {
    async fn start(status: Status) -> Host {
        Host::start_with(status, STALL).await
    }

    async fn start_with(status: Status, stall: Duration) -> Host {
        let state = tempfile::tempdir().unwrap();
        record(&state, 0..3, 1);
        let (queries, mut asked) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(false);
        let outcomes = Arc::new(Outcomes::default());
        let reading = Reading::new(
            queries,
            state.path(),
            Some(outcomes.clone()),
            "/etc/driftd/driftd.yaml",
            stopped.clone(),
        );
        tokio::spawn(async move {
            while let Some(query) = asked.recv().await {
                match query {
                    Query::Status(reply) => drop(reply.send(status.clone())),
                    Query::Figures(reply) => drop(reply.send((status.clone(), Counters::default()))),
                    Query::Keys(reply) => drop(reply.send(Vec::new())),
                }
            }
        });
        let settings = Http { listen: "127.0.0.1:0".parse().unwrap(), hosts: Vec::new() };
        let mut pages = Pages::bind(&settings).await.unwrap();
        pages.stall = stall;
        let address = pages.url().strip_prefix("http://").unwrap().strip_suffix('/').unwrap().to_owned();
        let serving = tokio::spawn(pages.serve(reading.into(), stopped));
        Host { address, state, stop, serving, outcomes }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    async fn said(&self, request: &str) -> String {
        exchange(self.connect().await, request.as_bytes()).await
    }

    async fn get(&self, path: &str) -> String {
        self.said(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// A stream, and what it said until the text came up.
    async fn stream(&self, request: &str) -> Stream {
        let mut stream = Stream { stream: self.connect().await, said: String::new() };
        stream.stream.write_all(request.as_bytes()).await.unwrap();
        stream.until("retry: 2000").await;
        stream
    }
}

struct Stream {
    stream: TcpStream,
    said: String,
}

impl Stream {
    /// Reads until it has said this; whether it did before it ended.
    async fn until(&mut self, text: &str) -> bool {
        let mut bytes = [0; 4096];
        while !self.said.contains(text) {
            match self.stream.read(&mut bytes).await.unwrap() {
                0 => return false,
                read => self.said += std::str::from_utf8(&bytes[..read]).unwrap(),
            }
        }
        true
    }
}

/// Records losses that say their number, and so many bytes each.
fn record(state: &TempDir, numbers: std::ops::Range<u64>, length: usize) {
    let entries = numbers.map(|number| Entry {
        time: "2026-08-01T10:00:00Z".parse().unwrap(),
        what: What::Loss(Loss { what: "x".repeat(length), count: Some(number) }),
    });
    let (sender, inbox) = mpsc::channel(1);
    assert!(sender.try_send(Work::Record(Batch { entries: entries.collect(), ..Batch::default() })).is_ok());
    drop(sender);
    let store = Store::open(state.path(), Vec::new()).unwrap();
    thread::spawn(move || store.run(inbox, sync_channel(1).0)).join().unwrap();
}

fn finding(key: &str, file: &str) -> Finding {
    serde_json::from_value(serde_json::json!({
        "finding": "f", "state": "opened", "key": key, "rule": "r", "severity": "critical", "expected": "10",
        "actual": "60", "previous": null, "requested": null, "commit": null, "declared_commit": null,
        "declared_by": { "file": file, "line": 7 }, "cause": "unknown", "writer": null, "seen_by": "sweep",
        "deployment": null, "opened": "2026-08-01T10:20:00Z", "healed": null,
    }))
    .unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn the_gitops_status_has_its_six_fields_first_and_each_name_once() {
    let own = "/etc/driftd/driftd.yaml";
    let declared = "/etc/sysctl.d/99-net.conf";
    let findings = vec![
        finding("net.core.somaxconn", own),
        finding("net.core.rmem_max", declared),
        finding("net.core.wmem_max", declared),
    ];
    let status = Status {
        findings,
        status: crate::model::VerdictStatus::OutOfSync,
        last_sweep: Some("2026-08-01T10:20:00.5Z".parse().unwrap()),
        ..sample_status()
    };
    let host = Host::start(status).await;
    let server = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let said = host.get("/status.json").await;
    insta::assert_snapshot!(body(&said).trim().replace(&format!("\"{server}\""), "\"HOST\""), @r#"{"repo":"","server":"HOST","sync_status":"OUT_OF_SYNC","drift_count":2,"files":[{"name":"/etc/sysctl.d/99-net.conf"},{"name":"net.core.somaxconn"}],"last_check":"2026-08-01T10:20:00Z","commit":null,"deployment":null,"environment":null,"findings":3,"unreadable":0,"blind":null,"broken":null,"keys":3,"driftd":"0.1.0"}"#);
    let row = host.get("/status.json?array=1").await;
    assert_eq!(body(&row).trim(), format!("[{}]", body(&said).trim()));
}

#[tokio::test]
async fn the_repo_of_the_gitops_status_is_what_the_message_said_and_otherwise_the_application() {
    for (repo, wanted) in [(Some("acme/web-backend"), "acme/web-backend"), (None, "web-backend")] {
        let deployment = DeploymentNews {
            deployment: DeploymentId("d".into()),
            commit: "a1b2c3".parse().unwrap(),
            app: Some("web-backend".into()),
            environment: None,
            repo: repo.map(Into::into),
            status: DeploymentStatus::Finished,
            undated: false,
        };
        let host = Host::start(Status { deployment: Some(deployment), ..sample_status() }).await;
        let said = host.get("/status.json").await;
        assert!(body(&said).starts_with(&format!(r#"{{"repo":"{wanted}","#)), "{said}");
    }
}

#[tokio::test]
async fn every_answer_tells_a_browser_to_load_nothing_from_elsewhere_and_no_one_may_write() {
    let host = Host::start(sample_status()).await;
    for path in ["/", "/page.js", "/status.json", "/metrics", "/nothing", "/api/v1/keys?x=1"] {
        let said = host.get(path).await;
        for header in ["content-security-policy: default-src 'none';", "x-content-type-options: nosniff"] {
            assert!(said.contains(header), "{path}: {said}");
        }
        assert!(!said.to_ascii_lowercase().contains("access-control-"), "{path}: {said}");
    }
    for (method, status) in [("POST", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("HEAD", 200)] {
        let said = host.said(&format!("{method} /status.json HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {said}");
    }
    let foreign = host.said("GET / HTTP/1.1\r\nhost: evil.example.org\r\n\r\n").await;
    assert!(foreign.starts_with("HTTP/1.1 421 "), "{foreign}");
}

#[tokio::test]
async fn no_file_of_the_page_makes_markup_of_text_or_names_another_host() {
    let host = Host::start(sample_status()).await;
    for path in ["/", "/page.css", "/page.js", "/state.js", "/timeline.js", "/history.js", "/words.js"] {
        let said = host.get(path).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{path}");
        for refused in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"]
        {
            assert!(!body(&said).contains(refused), "{path} has `{refused}`");
        }
        let outside = body(&said).replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://"), "{path} names another host");
    }
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused_with_the_reason() {
    let host = Host::start(sample_status()).await;
    for (path, wanted) in [
        ("/api/v1/changes?limit=0", "`0` as `limit`, wanted a number from 1 to 10000"),
        ("/api/v1/changes?limit=10001", "`10001` as `limit`, wanted a number from 1 to 10000"),
        ("/api/v1/changes?limit=%2B5", "`+5` as `limit`, wanted a number from 1 to 10000"),
        ("/api/v1/changes?key=swap", "`swap` as `key`, wanted a key"),
        ("/api/v1/changes?since=now", "`now` as `since`, wanted a time, as in `2026-08-01T10:20:00Z`"),
        ("/api/v1/changes?limit=5&limit=5", "the parameter `limit` twice, wanted once"),
        ("/api/v1/findings?state=new", "`new` as `state`, wanted `open`, `healed` or `all`"),
        ("/api/v1/stream?last=10001", "`10001` as `last`, wanted a number up to 10000"),
        ("/api/v1/stream?last=5&after=3", "both `after` and `last`, wanted one of them"),
        ("/api/v1/stream?kinds=news", "`news` as `kinds`, wanted some of `start`, `deployment`"),
        ("/status.json?array=yes", "`yes` as `array`, wanted `1` or `0`"),
        ("/metrics?x", "the parameter `x`; none is known here"),
    ] {
        let said = host.get(path).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains(wanted), "{path}: {said}");
    }
    let long = host.get(&format!("/api/v1/changes?key={}", "a".repeat(5000))).await;
    assert!(long.contains("a query of 5004 bytes, and at most 4096 are taken"), "{long}");
}

#[tokio::test]
async fn it_is_ready_only_when_all_was_read_once() {
    let host = Host::start(sample_status()).await;
    assert!(host.get("/healthz").await.ends_with("ok\n"));
    let said = host.get("/readyz").await;
    assert!(
        said.starts_with("HTTP/1.1 503 ") && said.contains("not all that is declared was read"),
        "{said}"
    );
    let read = Status { last_sweep: Some("2026-08-01T10:20:00Z".parse().unwrap()), ..sample_status() };
    assert!(Host::start(read).await.get("/readyz").await.ends_with("ready\n"));
}

#[tokio::test]
async fn a_stream_has_the_past_that_is_asked_for_and_then_what_is_recorded() {
    let host = Host::start(sample_status()).await;
    let request = "GET /api/v1/stream?last=2 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = host.stream(request).await;
    assert!(stream.until("id: 3\n").await);
    assert!(!stream.said.contains("id: 1\n") && stream.said.contains("id: 2\n"), "{}", stream.said);
    record(&host.state, 3..4, 1);
    assert!(stream.until("id: 4\n").await, "{}", stream.said);

    // A browser that comes back says which entry it saw last, whatever the address says.
    let request = "GET /api/v1/stream?last=0 HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 2\r\n\r\n";
    let mut again = host.stream(request).await;
    assert!(again.until("id: 4\n").await && again.said.contains("id: 3\n"), "{}", again.said);
    assert!(!again.said.contains("id: 2\n"));

    // One that knew another store begins anew.
    let request = "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 99\r\n\r\n";
    assert!(host.stream(request).await.until("event: reset").await);
}

#[tokio::test]
async fn there_are_so_many_streams_and_all_end_when_the_daemon_stops() {
    let mut host = Host::start(sample_status()).await;
    let request = "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(host.stream(request).await);
    }
    let refused = host.said(request).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5"), "{refused}");
    assert!(host.get("/healthz").await.ends_with("ok\n"), "what is no stream is served on");

    // One that goes makes room: its place is given back when the server notices.
    drop(streams.pop());
    while host
        .said("HEAD /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .starts_with("HTTP/1.1 503 ")
    {}

    host.stop.send(true).unwrap();
    (&mut host.serving).await.unwrap();
    for mut stream in streams {
        assert!(!stream.until("this never comes").await, "it ended");
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let host = Host::start_with(sample_status(), Duration::from_millis(20)).await;
    // More than the kernel holds for a connection (net.ipv4.tcp_wmem, tcp_rmem).
    let (entries, length) = (400, 100 * 1024);
    record(&host.state, 3..entries, length);
    let slow = host.stream("GET /api/v1/stream?last=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    // It gives its place back, though it is still connected: then all there are can be had at once.
    let mut streams = Vec::new();
    let all = async {
        while streams.len() < STREAMS {
            let request = "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let mut stream = Stream { stream: host.connect().await, said: String::new() };
            stream.stream.write_all(request.as_bytes()).await.unwrap();
            stream.until("\r\n\r\n").await;
            if stream.said.starts_with("HTTP/1.1 200 ") {
                streams.push(stream);
            }
        }
    };
    timeout(LIMIT, all).await.expect("the slow one is cut off");
    let mut said = String::new();
    let mut slow = slow.stream;
    let _cut = slow.read_to_string(&mut said).await;
    assert!(said.len() < usize::try_from(entries).unwrap() * length, "{} bytes came", said.len());
}

#[tokio::test]
async fn what_became_of_webhooks_is_counted_under_words_of_our_own() {
    let host = Host::start(sample_status()).await;
    host.outcomes.count(Outcome::Accepted);
    host.outcomes.count(Outcome::Refused(Reason::Unsigned));
    host.outcomes.count(Outcome::Refused(Reason::Unsigned));
    let said = host.get("/metrics").await;
    let series: Vec<_> = body(&said).lines().filter(|line| line.starts_with("driftd_webhook")).collect();
    insta::assert_snapshot!(series.join("\n"), @r#"
    driftd_webhook_requests_total{outcome="accepted"} 1
    driftd_webhook_requests_total{outcome="known"} 0
    driftd_webhook_requests_total{outcome="ignored"} 0
    driftd_webhook_requests_total{outcome="recalled"} 0
    driftd_webhook_refused_total{reason="unsigned"} 2
    driftd_webhook_refused_total{reason="forbidden"} 0
    driftd_webhook_refused_total{reason="malformed"} 0
    driftd_webhook_refused_total{reason="misdirected"} 0
    driftd_webhook_refused_total{reason="too_long"} 0
    driftd_webhook_refused_total{reason="slow"} 0
    driftd_webhook_refused_total{reason="uninvited"} 0
    driftd_webhook_refused_total{reason="silenced"} 0
    driftd_webhook_refused_total{reason="busy"} 0
    driftd_webhook_refused_total{reason="handshake"} 0
    "#);
}
