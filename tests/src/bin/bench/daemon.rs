//! driftd as it is measured: a process with a configuration of its own, whose lines are kept with the moment of their
//! coming. Unlike the harness of the scenarios it reads nothing in them unless asked: that would cost what is measured.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use driftd_tests::webhook::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long to wait for what must come: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What signs the deliveries.
pub const SECRET: &str = "5a0f6cf1d5c4be2e9e7d1a3f00c0ffee5a0f6cf1d5c4be2e9e7d1a3f00c0ffee";

/// What outlives one run: configuration, state, secret.
pub struct Home {
    directory: TempDir,
}

impl Home {
    /// Writes a configuration: the plan to force, and the body of `drift_rules:`.
    pub fn new(plan: &str, rules: &str) -> Home {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir().expect("there is room");
        let home = Home { directory };
        fs::write(home.path("secret"), SECRET).expect("the secret can be written");
        fs::set_permissions(home.path("secret"), fs::Permissions::from_mode(0o600))
            .expect("it can be closed");
        let at = home.directory.path().display();
        let text = format!(
            "state: {at}/state\nsocket: {at}/driftd.sock\nprobes: {plan}\n\
             webhook: {{ listen: \"127.0.0.1:0\", plain_http: true, secrets: {at}/secret }}\n\
             drift_rules:\n{rules}"
        );
        fs::write(home.path("driftd.yaml"), text).expect("the configuration can be written");
        home
    }

    /// A file of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts driftd, and waits until it says that it has started.
    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// The same, with arguments besides.
    pub fn start_with(&self, arguments: &[&str]) -> Daemon {
        // Beside this program, where cargo and our PID 1 both put it.
        let driftd = env::current_exe().expect("this program has a path").with_file_name("driftd");
        let began = Instant::now();
        let mut child = Command::new(driftd)
            .args(["run", "--output", "json", "--config"])
            .arg(self.path("driftd.yaml"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("driftd can be started");
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("it is piped");
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            // What can be read of it is what there is to show.
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut daemon = Daemon { child, lines, log: Some(log), url: String::new(), began };
        let start = daemon.wait_for("the start", |line| line["kind"] == "start").1;
        daemon.url = start["webhook"].as_str().unwrap_or_default().to_owned();
        daemon
    }
}

/// A running driftd. It ends with the value.
pub struct Daemon {
    child: Child,
    lines: Receiver<(Instant, String)>,
    log: Option<JoinHandle<String>>,
    url: String,
    /// When it was started.
    pub began: Instant,
}

impl Daemon {
    /// Waits for a line, and drops those before it; when it came, and what it says.
    pub fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> (Instant, Value) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let Ok((at, line)) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                self.give_up(what)
            };
            let line = json(&line);
            if wanted(&line) {
                return (at, line);
            }
        }
    }

    /// Waits for the sweep of the start: then all is attached and every key was read.
    pub fn swept(&mut self) -> Instant {
        self.wait_for("the first sweep", |line| line["kind"] == "sweep" && line["reason"] == "start").0
    }

    /// Delivers a deployment of a revision, and waits for the verdict.
    pub fn deploy(&self, revision: usize) -> Answer {
        let body = format!(r#"{{"commit":"{revision:08x}","app":"bench","id":"{revision}"}}"#);
        webhook::post(&format!("{}?wait=30", self.url), &webhook::signature(SECRET, &body), &body)
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A size in /proc/PID/status, in KiB: `VmRSS`, `VmHWM`.
    pub fn kib(&self, field: &str) -> f64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(path).expect("the daemon runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.unwrap_or_else(|| panic!("no `{field}` in {text}"))
    }

    /// Ends it by SIGTERM: the moment of the signal, of its end, and all that it had still to say.
    pub fn stop(mut self) -> (Instant, Instant, Vec<Value>) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("it has a process id");
        let asked = Instant::now();
        kill_process(pid, Signal::TERM).expect("it is not waited for yet");
        // Its lines are taken by their thread meanwhile, so that no full pipe holds it.
        self.child.wait().expect("it can be waited for");
        let ended = Instant::now();
        let rest = self.lines.iter().map(|(_, line)| json(&line)).collect();
        (asked, ended, rest)
    }

    fn give_up(&mut self, what: &str) -> ! {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        panic!("waited in vain for {what}; driftd's standard error:\n{log}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("a line is not JSON: {e}: {line}"))
}
