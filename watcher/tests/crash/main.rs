//! Kills the daemon by SIGKILL at random points, again and again, while it takes deployments and values change, and then
//! holds what it told and what it answered against what its store says.
//!
//! A short form runs with the tests; `cargo xtask crash` runs the long one. What may be lost by a kill is said in
//! docs/store.md: only what was neither told nor answered. As root, values change in a UTS namespace of its own; no sysctl
//! of this machine is written.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and stops; what is no test by name is its harness"
)]

mod sink;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::Connection;
use serde_json::Value;
use sha2::Sha256;

use self::sink::Sink;

/// How often it is killed where nobody says: `cargo xtask crash` says it by `DRIFTD_KILLS`.
const KILLS: usize = 12;

/// The longest time from a start to its kill: some starts are not over then, and some have taken many deployments.
const LONGEST: u64 = 700;

/// Only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "5a0f6cf1d5c4be2e9e7d1a3f00c0ffee";
const DOMAIN: &str = "/proc/sys/kernel/domainname";

#[test]
fn whatever_was_answered_or_told_before_a_kill_is_there_after_it_and_once() {
    let kills =
        env::var("DRIFTD_KILLS").map_or(KILLS, |kills| kills.parse().expect("DRIFTD_KILLS is a number"));
    // Of this thread alone; the daemons that it starts inherit it. Without root the values stay, and the rules change.
    let writes = rustix::process::geteuid().is_root() && unshare();
    let mut host = Host::new(writes);
    for _ in 0..kills {
        host.round();
    }
    host.last_round();
    host.check(kills);
}

/// A namespace of the domain name of its own.
fn unshare() -> bool {
    #[expect(
        unsafe_code,
        reason = "the call is unsafe for the sake of file descriptors, which this flag does not touch"
    )]
    // SAFETY: CLONE_NEWUTS moves this thread to a namespace of names; no descriptor table is unshared.
    let result = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUTS) };
    result.is_ok()
}

/// What outlives the daemons.
struct Host {
    dir: tempfile::TempDir,
    random: Random,
    /// Whether values may be changed.
    writes: bool,
    /// What the rule on `kernel.ostype` expects in this round.
    ostype: &'static str,
    sent: u32,
    /// The body that no answer came to: the sender tries again.
    unanswered: Option<(String, String)>,
    /// Deployments that were answered 202, by commit.
    acknowledged: BTreeMap<String, String>,
    /// All lines that were told, by the number of their entry.
    told: BTreeMap<i64, Value>,
    /// Entries that were told more than once.
    again: usize,
    /// A sink outside.
    sink: Sink,
}

/// A running daemon.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
    webhook: Option<String>,
}

impl Host {
    fn new(writes: bool) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, SECRET).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("seed {seed}, values change: {writes}");
        Host {
            dir,
            random: Random(seed | 1),
            writes,
            ostype: "Linux",
            sent: 0,
            unanswered: None,
            acknowledged: BTreeMap::new(),
            told: BTreeMap::new(),
            again: 0,
            sink: Sink::open(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> Connection {
        Connection::open(self.path("state/driftd.db")).unwrap()
    }

    fn waiting(&self) -> i64 {
        self.store().query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
    }

    fn start(&mut self) -> Daemon {
        self.ostype = ["Linux", "Plan9"][self.random.below(2)];
        let at = self.dir.path().display();
        let config = format!(
            "state: {at}/state\nsocket: {at}/driftd.sock\nprobes: none\nsweep: 1s\n\
             webhook: {{ listen: \"127.0.0.1:0\", plain_http: true, secrets: {at}/secret }}\n\
             drift_rules:\n\
             \x20 domain: {{ keys: kernel.domainname, expect: a, settle: 0ms }}\n\
             \x20 system: {{ keys: kernel.ostype, expect: {}, settle: 0ms }}\n\
             \x20 short: {DOMAIN}\n\
             alerts:\n\x20 sinks:\n\
             \x20   outside: {{ sink: webhook, url: \"http://127.0.0.1:{}/\", timeout: 1s, flapping: told }}\n",
            self.ostype, self.sink.port
        );
        fs::write(self.path("driftd.yaml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(["run", "--output", "json", "--config"])
            .arg(self.path("driftd.yaml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut line = String::new();
            // A line without its end was cut by the kill: nobody could read it.
            while stdout.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
                if send.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Daemon { child, lines, webhook: None }
    }

    /// Starts the daemon, keeps it busy, and kills it.
    fn round(&mut self) {
        let kill_at = Instant::now() + Duration::from_millis(self.random.below(LONGEST as usize) as u64);
        let mut daemon = self.start();
        loop {
            let left = kill_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match daemon.webhook.clone() {
                None => match daemon.lines.recv_timeout(left) {
                    Ok(line) => self.take(&mut daemon, &line),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => panic!("driftd ended by itself"),
                },
                Some(webhook) => {
                    self.write();
                    // A kill in the middle of it: the thread kills while the answer is waited for.
                    let pid = rustix::process::Pid::from_child(&daemon.child);
                    if self.random.below(4) == 0 && left < Duration::from_millis(100) {
                        let delay = Duration::from_micros(self.random.below(8000) as u64);
                        let killer = thread::spawn(move || {
                            thread::park_timeout(delay);
                            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                        });
                        self.deliver(&webhook);
                        killer.join().unwrap().unwrap();
                        break;
                    }
                    self.deliver(&webhook);
                }
            }
        }
        let _ = daemon.child.kill();
        self.end(daemon);
    }

    /// One that is let be: what was left is told, and the end is a good one.
    fn last_round(&mut self) {
        let mut daemon = self.start();
        let deadline = Instant::now() + LIMIT;
        // The first sweep has read everything; its line comes after what earlier runs left. Where a run was killed before
        // its start and its sweep were told, these come first, and at its webhook nobody is any more.
        let mut answered = false;
        while !answered {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = daemon.lines.recv_timeout(left).expect("driftd looks at all, and answers the last");
            self.take(&mut daemon, &line);
            let swept = line.contains(r#""kind":"sweep""#) && line.contains(r#""reason":"start""#);
            if let Some(webhook) = daemon.webhook.clone().filter(|_| swept) {
                self.deliver(&webhook);
                answered = self.unanswered.is_none();
            }
        }
        // What is sent is marked: the store says when nothing waits any more. However much it is, it becomes less.
        let (mut left, mut progress) = (self.waiting(), Instant::now());
        while left > 0 && progress.elapsed() < LIMIT {
            while let Ok(line) = daemon.lines.recv_timeout(Duration::from_millis(20)) {
                self.take(&mut daemon, &line);
            }
            let now = self.waiting();
            if now < left {
                (left, progress) = (now, Instant::now());
            }
        }
        assert_eq!(self.waiting(), 0, "messages that no sink took");
        let pid = rustix::process::Pid::from_child(&daemon.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.end(daemon);
    }

    /// Takes all that it told until its end.
    fn end(&mut self, mut daemon: Daemon) {
        let deadline = Instant::now() + LIMIT;
        loop {
            match daemon.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.take(&mut daemon, &line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("driftd does not end"),
            }
        }
        daemon.child.wait().unwrap();
    }

    fn take(&mut self, daemon: &mut Daemon, line: &str) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if value["kind"] == "start" {
            // The last one told is this run's.
            daemon.webhook = value["webhook"].as_str().map(str::to_owned);
        }
        let number = value["entry"].as_i64().unwrap();
        if let Some(before) = self.told.insert(number, value.clone()) {
            assert_eq!(before, value, "an entry that is told again is the same");
            self.again += 1;
        }
    }

    /// Changes a value, perhaps.
    fn write(&mut self) {
        let value = ["a", "b", "c"][self.random.below(3)];
        if self.writes {
            fs::write(DOMAIN, value).unwrap();
        }
    }

    /// Delivers a deployment, or the one that no answer came to.
    fn deliver(&mut self, webhook: &str) {
        self.sent += 1;
        let (commit, body) = self.unanswered.take().unwrap_or_else(|| {
            let commit = format!("{:06x}", self.sent);
            let body = format!(r#"{{"commit":"{commit}","app":"web","id":"run-{}"}}"#, self.sent);
            (commit, body)
        });
        match post(webhook, &body) {
            Some((202, answer)) => {
                let id = answer["deployment"].as_str().unwrap().to_owned();
                let before = self.acknowledged.insert(commit, id);
                assert_eq!(before, None, "each is answered once");
            }
            Some((status, answer)) => panic!("{status} {answer} to {body}"),
            None => self.unanswered = Some((commit, body)),
        }
    }

    /// What was told and answered, against what the store says.
    fn check(&self, kills: usize) {
        let db = self.store();
        let mut entries = BTreeMap::new();
        let mut rows = db.prepare("SELECT id, body FROM entries ORDER BY id").unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (id, body): (i64, String) = (row.get(0).unwrap(), row.get(1).unwrap());
            let mut value: Value = serde_json::from_str(&body).unwrap();
            value["entry"] = id.into();
            entries.insert(id, value);
        }
        assert_eq!(self.told, entries, "all that is recorded is told, and nothing else");
        let untold: i64 = db.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
        assert_eq!(untold, 0);
        self.check_deployments(&db, &entries);
        self.check_findings(&db, &entries);
        let sent_again = self.sink.check(&db, &entries);
        println!(
            "{kills} kills: {} deployments, {} entries, {} told again under their number, {sent_again} sent again",
            self.acknowledged.len(),
            entries.len(),
            self.again
        );
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }

    fn check_deployments(&self, db: &Connection, entries: &BTreeMap<i64, Value>) {
        // Of each commit one deployment, however often its sender tried.
        let mut finished: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in entries.values().filter(|entry| entry["kind"] == "deployment") {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            finished.entry(text("commit")).or_default().push(text("deployment"));
        }
        assert_eq!(finished.len(), self.acknowledged.len(), "the last round answered what was left");
        for (commit, id) in &self.acknowledged {
            assert_eq!(finished.get(commit), Some(&vec![id.clone()]), "of commit {commit}");
            let status: String = db
                .query_row("SELECT status FROM deployments WHERE deployment = ?1", [id], |row| row.get(0))
                .unwrap_or_else(|error| panic!("{commit} was answered and is not there: {error}"));
            assert_eq!(status, "finished");
        }
    }

    fn check_findings(&self, db: &Connection, entries: &BTreeMap<i64, Value>) {
        let mut open: HashMap<(String, String), String> = HashMap::new();
        let mut ids = BTreeSet::new();
        for entry in entries.values().filter(|entry| entry["kind"] == "finding") {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            let place = (text("rule"), text("key"));
            if entry["state"] == "opened" {
                assert!(ids.insert(text("finding")), "opened twice: {entry}");
                assert_eq!(open.insert(place, text("finding")), None, "a second one: {entry}");
            } else {
                assert_eq!(open.remove(&place), Some(text("finding")), "healed and not open: {entry}");
            }
        }
        let mut rows = db.prepare("SELECT finding FROM findings WHERE state = 'opened'").unwrap();
        let stored: BTreeSet<String> =
            rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(stored, open.values().cloned().collect(), "what is open is what was told to be");
        // What is open at the end is what departs.
        let is_open = |rule: &str| open.keys().any(|(name, _)| name == rule);
        let domain = fs::read_to_string(DOMAIN).unwrap();
        assert_eq!(is_open("domain"), domain.trim() != "a", "the domain name is {domain}");
        assert_eq!(is_open("system"), self.ostype != "Linux");
        assert!(!ids.is_empty() || !self.writes, "there were findings");
    }
}

/// Posts a signed body; `None` where no whole answer came.
fn post(url: &str, body: &str) -> Option<(u16, Value)> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-Hub-Signature-256: sha256={hex}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    // An answer that was cut is none.
    Some((status, serde_json::from_str(body).ok()?))
}

/// xorshift64 (Marsaglia, 2003): enough to be anywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
