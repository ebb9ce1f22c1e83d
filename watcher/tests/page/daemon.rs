//! A daemon without probes, in a UTS namespace of its own, that watches the one key that is written there.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::channel;
use watcher::{
    model::{Change, Entry, SeenBy, What},
    store::{Batch, Store, Work},
};

const DRIFTD: &str = env!("CARGO_BIN_EXE_driftd");

/// A running daemon. It ends with the value.
pub struct Daemon {
    child: Child,
    home: TempDir,
    page: String,
    webhook: String,
}

impl Daemon {
    /// Starts it over a store that has so many events. Only root may make a namespace and write in it.
    #[track_caller]
    pub fn start(events: usize) -> Daemon {
        let home = tempfile::tempdir().expect("there is room for a directory");
        let at = home.path().display().to_string();
        fs::write(home.path().join("secret"), "0123456789abcdef".repeat(4)).expect("the secret is written");
        fs::set_permissions(home.path().join("secret"), fs::Permissions::from_mode(0o600))
            .expect("and closed");
        let configuration = format!(
            "state: {at}/state\nsocket: {at}/driftd.sock\nprobes: none\nsweep: 1s\n\
             http: {{ listen: \"127.0.0.1:0\" }}\n\
             webhook: {{ listen: \"127.0.0.1:0\", plain_http: true, secrets: {at}/secret }}\n\
             drift_rules:\n  domain: {{ keys: kernel.domainname, expect: good.example, severity: critical }}\n"
        );
        fs::write(home.path().join("driftd.yaml"), configuration).expect("the configuration is written");
        if events > 0 {
            fill(&home, events);
        }
        let mut child = Command::new("unshare")
            .args([
                "--uts",
                "sh",
                "-c",
                "echo good.example > /proc/sys/kernel/domainname && exec \"$@\"",
                "sh",
            ])
            .args([DRIFTD, "run", "--output", "json", "--config", &format!("{at}/driftd.yaml")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is an `unshare`");
        let mut lines = BufReader::new(child.stdout.take().expect("it has an output"));
        let mut start = Value::Null;
        // What an earlier run left is told first.
        while start["kind"] != "start" || start["page"].is_null() {
            let mut line = String::new();
            assert_ne!(
                lines.read_line(&mut line).expect("its output can be read"),
                0,
                "driftd ended; hint: only root may make a UTS namespace"
            );
            start = serde_json::from_str(&line).expect("a line is JSON");
        }
        // Somebody has to take what it says from now on.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let text = |name: &str| start[name].as_str().unwrap_or_default().to_owned();
        Daemon { child, home, page: text("page"), webhook: text("webhook") }
    }

    /// An address of its page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.page)
    }

    /// The name of the host.
    pub fn server(&self) -> String {
        fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name").trim().to_owned()
    }

    /// Writes the key, as a process of the daemon's host would.
    #[track_caller]
    pub fn write_domain(&self, value: &str) {
        let status = Command::new("nsenter")
            .args(["--uts", "--target", &self.child.id().to_string(), "sh", "-c"])
            .args(["printf '%s\\n' \"$1\" > /proc/sys/kernel/domainname", "sh", value])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the domain name is written");
    }

    /// Puts another text in the place of one in the configuration, and has it read anew.
    #[track_caller]
    pub fn configure(&self, before: &str, after: &str) {
        let path = self.home.path().join("driftd.yaml");
        let text = fs::read_to_string(&path).expect("the configuration can be read");
        assert!(text.contains(before), "{text}");
        fs::write(&path, text.replace(before, after)).expect("and written");
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "driftd can be told");
    }

    /// Delivers a deployment.
    #[track_caller]
    pub fn deliver(&self, body: &str) {
        let mut sign = Command::new(DRIFTD)
            .args(["sign", "--secret", &format!("{}/secret", self.home.path().display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("driftd is there");
        sign.stdin.take().expect("it has an input").write_all(body.as_bytes()).expect("it reads");
        let header = sign.wait_with_output().expect("it ends").stdout;
        let header = String::from_utf8(header).expect("a header is text");
        let (authority, path) = authority(&self.webhook);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\n{}\r\ncontent-length: {}\r\n\r\n{body}",
            header.trim(),
            body.len()
        );
        let answer = exchange(authority, &request);
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }

    /// The body of what is served at a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> String {
        let (authority, _) = authority(&self.page);
        let answer = exchange(authority, &format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").expect("an answer has a body").1.to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn authority(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("it speaks plainly");
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

#[track_caller]
fn exchange(authority: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(authority).expect("driftd listens");
    stream.write_all(request.as_bytes()).expect("driftd listens on");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("driftd answers in text");
    answer
}

/// Records changes, one a second up to some while ago.
fn fill(home: &TempDir, events: usize) {
    let first: jiff::Timestamp = "2026-08-01T10:00:00Z".parse().expect("a time");
    let change = |number: usize| Entry {
        time: first + std::time::Duration::from_secs(number as u64),
        what: What::Change(Change {
            key: format!("net.ipv4.conf.eth{}.rp_filter", number % 40).parse().expect("a key"),
            previous: None,
            requested: None,
            actual: None,
            writer: None,
            seen_by: SeenBy::Sweep,
            commit: None,
            deployment: None,
            in_window: false,
            writes: 1,
            remedies: None,
        }),
    };
    let (sender, inbox) = channel(1);
    let batch = Batch { entries: (0..events).map(change).collect(), ..Batch::default() };
    assert!(sender.try_send(Work::Record(batch)).is_ok());
    drop(sender);
    let state = home.path().join("state");
    Store::open(&state, Vec::new()).expect("a store is made").run(inbox, mpsc::sync_channel(1).0);
}
