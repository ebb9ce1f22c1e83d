//! The hub as a pipeline and a dashboard meet it: real sockets on loopback, real files.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};

use super::{
    super::{
        signature,
        testing::{exchange, logged, sample_status},
    },
    *,
};
use crate::model::{Status, Summary};

const SECRET: &str = "a secret nobody may see";
const TOKEN: &str = "a token nobody may see";

/// A status as a pipeline sends it.
pub fn body(server: &str, last_check: &str) -> String {
    format!(
        r#"{{"repo":"acme/web-backend","server":"{server}","sync_status":"OUT_OF_SYNC","drift_count":2,
        "files":[{{"name":"/etc/sysctl.d/99-net.conf"}},{{"name":"net.core.somaxconn"}}],"last_check":"{last_check}"}}"#
    )
}

/// A hub that serves.
struct Host {
    state: tempfile::TempDir,
    gate: String,
    pages: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Host {
    async fn start() -> Host {
        Host::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(state: tempfile::TempDir) -> Host {
        let stored = |name: &str, text: &str| {
            let path = state.path().join(name);
            fs::write(&path, text).unwrap();
            vec![path]
        };
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let settings = config::Hub {
            listen: any,
            tls: config::Tls::Plain,
            callers: config::Callers::default(),
            secrets: stored("secret", SECRET),
            tokens: stored("token", TOKEN),
        };
        let http = config::Http { listen: any, hosts: Vec::new() };
        let hub = Hub::bind(&settings, Some(&http), state.path()).await.unwrap();
        let host = |url: String| url.split('/').nth(2).unwrap().to_owned();
        let (gate, pages) = (host(hub.url()), host(hub.page().unwrap()));
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(hub.serve(stopped));
        Host { state, gate, pages, stop, serving }
    }

    /// The same state directory, served anew.
    async fn restarted(self) -> Host {
        self.stop.send(true).unwrap();
        self.serving.await.unwrap();
        Host::start_in(self.state).await
    }

    async fn sent(&self, method: &str, path: &str, header: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(TcpStream::connect(&self.gate).await.unwrap(), request.as_bytes()).await
    }

    async fn posted(&self, body: &str) -> String {
        self.sent("POST", POST, &signed(body), body).await
    }

    async fn shown(&self) -> Value {
        let request = format!("GET {ALL} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let said = exchange(TcpStream::connect(&self.pages).await.unwrap(), request.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

fn signed(over: &str) -> String {
    signature::header(&Secret::new(SECRET.as_bytes()).unwrap(), over.as_bytes())
}

/// The status and the sentence of an answer.
fn told(said: &str) -> String {
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), body.trim_end())
}

fn ago(seconds: i64) -> String {
    (Timestamp::now() - jiff::SignedDuration::from_secs(seconds)).to_string()
}

#[tokio::test]
async fn a_status_is_kept_as_it_came_and_shown_with_its_age_after_a_restart_too() {
    let host = Host::start().await;
    assert_eq!(host.shown().await, json!([]));
    let sent = json!({
        "repo": "acme/web-backend", "server": "web-01", "sync_status": "SYNCED", "drift_count": 0, "files": [],
        "last_check": ago(60), "pipeline": {"run": [1, null, "ünïcode"]},
    });
    let said = host.posted(&sent.to_string()).await;
    assert_eq!(told(&said), r#"200 {"status":"kept","server":"web-01","repo":"acme/web-backend"}"#);
    let host = host.restarted().await;
    let mut shown = host.shown().await;
    let row = shown[0].as_object_mut().unwrap();
    let (age, received) = (row.remove("age_seconds").unwrap(), row.remove("received").unwrap());
    assert!((0..60).contains(&age.as_i64().unwrap()), "{age}");
    let received: Timestamp = received.as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(received).as_secs() < 60, "{received}");
    assert_eq!(shown, json!([sent]));
}

#[tokio::test]
async fn the_last_of_each_server_and_repository_is_kept() {
    let host = Host::start().await;
    let mut other = body("web-01", &ago(9));
    other = other.replace("acme/web-backend", "acme/infra");
    for body in [&body("web-01", &ago(9)), &body("web-02", &ago(9)), &other] {
        assert!(host.posted(body).await.starts_with("HTTP/1.1 200 "));
    }
    let healed = body("web-01", &ago(5)).replace("OUT_OF_SYNC", "SYNCED");
    assert!(host.posted(&healed).await.starts_with("HTTP/1.1 200 "));
    let shown = host.shown().await;
    let rows: Vec<_> = shown.as_array().unwrap().iter().collect();
    let of = |name: &str| rows.iter().map(|row| row[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("server"), ["web-01", "web-01", "web-02"]);
    assert_eq!(of("repo"), ["acme/infra", "acme/web-backend", "acme/web-backend"]);
    assert_eq!(of("sync_status"), ["OUT_OF_SYNC", "SYNCED", "OUT_OF_SYNC"]);
}

#[tokio::test]
async fn an_old_status_that_is_sent_again_moves_nothing() {
    let host = Host::start().await;
    let (first, second) = (body("web-01", "2026-01-01T10:00:00Z"), body("web-01", "2026-01-01T10:05:00Z"));
    for body in [&first, &second] {
        assert!(host.posted(body).await.starts_with("HTTP/1.1 200 "));
    }
    let received = host.shown().await[0]["received"].clone();
    assert_snapshot!(
        told(&host.posted(&first).await),
        @r#"409 {"error":"`last_check` is 2026-01-01T10:00:00Z, and what is kept of this server and repository is newer: 2026-01-01T10:05:00Z"}"#
    );
    assert!(host.posted(&second).await.starts_with("HTTP/1.1 200 "), "a retry");
    assert_eq!(host.shown().await[0]["received"], received, "and grows no younger by it");
}

#[tokio::test]
async fn what_is_no_status_is_answered_with_what_is_wrong() {
    let host = Host::start().await;
    let good = body("web-01", "2026-08-01T10:20:00Z");
    let mut told_all = String::new();
    for bad in [
        "",
        "[]",
        "{",
        "{}",
        &good.replace("\"server\":\"web-01\"", "\"server\":7"),
        &good.replace("\"drift_count\":2", "\"drift_count\":-1"),
        &good.replace("\"drift_count\":2", "\"drift_count\":\"2\""),
        &good.replace("{\"name\":\"net.core.somaxconn\"}", "\"net.core.somaxconn\""),
        &good.replace("web-01", ""),
        &good.replace("web-01", "\\u001b[2J"),
        &good.replace("OUT_OF_SYNC", "banana"),
        &good.replace("2026-08-01T10:20:00Z", "yesterday"),
        r#"{"repo":null,"sync_status":[],"drift_count":1.5,"files":[{},7,{"name":""}],"last_check":{}}"#,
        &good.replace("net.core.somaxconn\"}", &format!("a\"}}{}", ",7".repeat(20))),
    ] {
        told_all += &format!("{}\n", told(&host.posted(bad).await));
    }
    assert_snapshot!(told_all, @r#"
    400 {"error":"the body is not the gitops-status JSON: wanted an object; docs/hub.md shows it"}
    400 {"error":"the body is not the gitops-status JSON: wanted an object; docs/hub.md shows it"}
    400 {"error":"the body is not the gitops-status JSON: EOF while parsing an object at line 1 column 1; docs/hub.md shows it"}
    400 {"error":"`server` is not there, wanted a name of 1 to 1024 characters that can be shown; `repo` is not there, wanted at most 1024 characters that can be shown; `sync_status` is not there, wanted `SYNCED`, `OUT_OF_SYNC`, or another word in capitals; `drift_count` is not there, wanted a whole number, 0 or more; `last_check` is not there, wanted a time in RFC 3339, such as `2026-01-31T12:00:00Z`; `files` is not there, wanted an array of objects with a `name`; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`server` is `7`, wanted a name of 1 to 1024 characters that can be shown; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`drift_count` is `-1`, wanted a whole number, 0 or more; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`drift_count` is the text `2`, wanted a whole number, 0 or more; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`files[1]` is the text `net.core.somaxconn`, wanted an object with a `name`; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`server` is the text ``, wanted a name of 1 to 1024 characters that can be shown; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`server` is the text `\\u{1b}[2J`, wanted a name of 1 to 1024 characters that can be shown; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`sync_status` is the text `banana`, wanted `SYNCED`, `OUT_OF_SYNC`, or another word in capitals; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`last_check` is the text `yesterday`, wanted a time in RFC 3339, such as `2026-01-31T12:00:00Z`; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`server` is not there, wanted a name of 1 to 1024 characters that can be shown; `repo` is `null`, wanted at most 1024 characters that can be shown; `sync_status` is an array, wanted `SYNCED`, `OUT_OF_SYNC`, or another word in capitals; `drift_count` is `1.5`, wanted a whole number, 0 or more; `last_check` is an object, wanted a time in RFC 3339, such as `2026-01-31T12:00:00Z`; `files[0].name` is not there, wanted a name of 1 to 1024 characters that can be shown; `files[1]` is `7`, wanted an object with a `name`; `files[2].name` is the text ``, wanted a name of 1 to 1024 characters that can be shown; docs/hub.md shows the gitops-status JSON"}
    400 {"error":"`files[2]` is `7`, wanted an object with a `name`; `files[3]` is `7`, wanted an object with a `name`; `files[4]` is `7`, wanted an object with a `name`; `files[5]` is `7`, wanted an object with a `name`; `files[6]` is `7`, wanted an object with a `name`; `files[7]` is `7`, wanted an object with a `name`; `files[8]` is `7`, wanted an object with a `name`; `files[9]` is `7`, wanted an object with a `name`; `files[10]` is `7`, wanted an object with a `name`; `files[11]` is `7`, wanted an object with a `name`; and 10 more; docs/hub.md shows the gitops-status JSON"}
    "#);
    let ahead = told(&host.posted(&body("web-01", &ago(-3600))).await);
    assert!(ahead.starts_with("400 ") && ahead.contains("more than five minutes ahead"), "{ahead}");
    let long = format!("{good}{}", " ".repeat(1 << 16));
    assert!(told(&host.posted(&long).await).contains("a status at most 65536"));
    assert_eq!(host.shown().await, json!([]));
}

#[tokio::test]
async fn who_proves_nothing_posts_nothing_reads_nothing_and_learns_nothing() {
    let host = Host::start().await;
    let status = body("web-01", "2026-08-01T10:20:00Z");
    let wrong = signature::header(&Secret::new(b"another").unwrap(), status.as_bytes());
    let bland = r#"401 {"error":"the signature is missing or wrong"}"#;
    let both = format!("{wrong}\r\nauthorization: Bearer {TOKEN}");
    for header in
        ["x: y", &wrong, &signed(ALL), "authorization: Bearer x", "x-hub-signature-256: sha256=", &both]
    {
        assert_eq!(told(&host.sent("POST", POST, header, &status).await), bland, "{header}");
    }
    for header in ["x: y", &signed(POST)] {
        assert_eq!(told(&host.sent("GET", ALL, header, "").await), bland, "{header}");
    }
    assert_eq!(host.shown().await, json!([]));
}

#[tokio::test]
async fn a_token_or_a_signature_posts_and_reads() {
    let host = Host::start().await;
    let token = format!("authorization: Bearer {TOKEN}");
    let status = body("web-01", "2026-08-01T10:20:00Z");
    assert!(host.sent("POST", POST, &token, &status).await.starts_with("HTTP/1.1 200 "));
    for header in [&token, &signed(ALL)] {
        let said = host.sent("GET", ALL, header, "").await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("\"server\":\"web-01\""), "{said}");
    }
    for (method, path, wanted) in [
        ("GET", POST, "405 "),
        ("PUT", POST, "405 "),
        ("POST", ALL, "405 "),
        ("GET", "/", "404 "),
        ("POST", "/webhook/gitops", "404 "),
    ] {
        assert!(told(&host.sent(method, path, &token, "").await).starts_with(wanted), "{method} {path}");
    }
}

#[test]
fn a_secret_is_never_told() {
    let (_, log) = logged(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let host = Host::start().await;
            host.posted("{}").await;
            host.sent("POST", POST, "authorization: Bearer guessed", "{}").await;
        });
    });
    assert!(log.contains("a request was refused"), "{log}");
    for never in [SECRET, TOKEN, "guessed"] {
        assert!(!log.contains(never), "{log}");
    }
}

#[test]
fn a_host_is_taken_however_much_is_wrong_with_what_is_declared_there() {
    let wrong = |number: usize| format!("field_{number:0>300}: 1\n");
    let mistakes =
        config::parse("driftd.yaml", &(0..200).map(wrong).collect::<String>()).unwrap_err().to_string();
    // Of two sources.
    let broken = format!("{mistakes}\n\n{mistakes}");
    assert!(broken.len() > 64 * 1024, "{} bytes", broken.len());
    let status = Status { broken: Some(broken), ..sample_status() };
    let summary = serde_json::to_string(&Summary::of(&status, "web-01", "driftd.yaml")).unwrap();
    let report = Report::read(summary.as_bytes(), Timestamp::now()).unwrap();
    let said = report.more["broken"].as_str().unwrap();
    assert!(said.starts_with("driftd.yaml:1:1: found `field_") && said.contains("(+199 more)"), "{said}");
}
