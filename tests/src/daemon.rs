//! The daemon under test: its configuration in a directory of its own, its process, the lines it prints.

mod unusual;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use self::unusual::Unheard;
use crate::{
    host::Sysctl,
    mode::Mode,
    webhook::{self, Answer},
};

/// How long to wait for what must come. Under emulation on a busy machine all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A sysctl that no scenario is about, changed to see that driftd has got so far (see [`Daemon::fence`]).
const FENCE: &str = "fs.lease-break-time";

/// What outlives one run of the daemon: its configuration, state and secret.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    mode: Mode,
    secret: &'static str,
}

/// What of the configuration a scenario may choose; the rest is as it is for all.
#[derive(Debug)]
pub struct Settings<'a> {
    /// The body of `drift_rules:`, one rule a line.
    pub rules: &'a [String],
    /// How often all is read, where the mode watches the surface in question; `None`: as seldom as can be.
    pub sweep: Option<&'a str>,
    /// The size of the ring.
    pub ring: usize,
    /// What `probes:` says, where that is not the mode's word.
    pub probes: Option<&'a str>,
    /// Further sections of the configuration, whole lines.
    pub sections: &'a str,
}

impl<'a> Settings<'a> {
    /// These rules, and all else as it is by default.
    pub fn rules(rules: &'a [String]) -> Settings<'a> {
        Settings { rules, sweep: None, ring: 256 * 1024, probes: None, sections: "" }
    }
}

/// A rule that expects one value of one key.
pub fn expect(rule: &str, key: &str, value: &str) -> String {
    format!("{rule}: {{ keys: {key}, expect: {value} }}")
}

impl Home {
    /// Writes a configuration that forces the mode.
    #[track_caller]
    pub fn new(mode: Mode, settings: &Settings<'_>) -> Home {
        let directory =
            tempfile::Builder::new().prefix("driftd-").tempdir().expect("there is room for a directory");
        let home = Home {
            directory,
            mode,
            secret: "5a0f6cf1d5c4be2e9e7d1a3f00c0ffee5a0f6cf1d5c4be2e9e7d1a3f00c0ffee",
        };
        let secret = home.path("secret");
        fs::write(&secret, home.secret).expect("the secret can be written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the secret can be closed");
        fs::create_dir(home.path("state")).expect("the state directory can be made");
        // Where a probe watches, no sweep may find first what the probe should have found.
        let sweep = settings.sweep.unwrap_or(match mode {
            Mode::Kprobe | Mode::Fexit | Mode::Cgroup => "1h",
            Mode::Netlink | Mode::None => "1s",
        });
        let at = home.directory.path().display();
        // The rules first, so that they have the lines that they have where they come from.
        let mut text = "drift_rules:\n".to_owned();
        for rule in settings.rules {
            text += &format!("  {rule}\n");
        }
        text += &format!(
            "  fence: {{ keys: {FENCE}, expect: {}, settle: 500ms }}\n\
             state: {at}/state\nsocket: {at}/driftd.sock\nprobes: {}\nsweep: {sweep}\nring: {}\n\
             webhook: {{ listen: \"127.0.0.1:0\", plain_http: true, secrets: {at}/secret }}\n{}",
            Sysctl::of(FENCE).original,
            settings.probes.unwrap_or(mode.as_str()),
            settings.ring,
            settings.sections,
        );
        fs::write(home.path("driftd.yaml"), text).expect("the configuration can be written");
        home
    }

    /// Lets messages say which values are right.
    #[track_caller]
    pub fn let_messages_declare(&self) {
        let path = self.path("driftd.yaml");
        let text = fs::read_to_string(&path).expect("the configuration can be read");
        let (before, after) = text.split_once(", secrets: ").expect("it has a secret");
        let text = match after.split_once(" }") {
            Some((secret, rest)) => {
                format!("{before}, senders: {{ plain: {{ secrets: {secret}, declared: true }} }} }}{rest}")
            }
            None => panic!("the secret has no end in {text}"),
        };
        fs::write(path, text).expect("the configuration can be written");
    }

    /// Adds sinks: the body of `sinks:`, of one line.
    #[track_caller]
    pub fn tell(&self, sinks: &str) {
        let path = self.path("driftd.yaml");
        let text = fs::read_to_string(&path).expect("the configuration can be read");
        fs::write(path, format!("{text}alerts:\n  sinks:\n    {sinks}\n"))
            .expect("the configuration can be written");
    }

    /// The directory of its store.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the daemon, and waits until it says that it watches, and how.
    #[track_caller]
    pub fn start(&self) -> Daemon<'_> {
        self.start_with(&[])
    }

    /// The same, with arguments besides.
    #[track_caller]
    pub fn start_with(&self, arguments: &[&str]) -> Daemon<'_> {
        let (daemon, start) = self.launch(driftd().args(self.run()).args(arguments));
        assert_eq!(start["sysctl"], self.mode.sysctl(), "how sysctls are watched: {start}");
        assert_eq!(start["link"], self.mode.link(), "how interfaces are watched: {start}");
        daemon
    }

    /// Starts a command that runs the daemon, and waits until it has looked at all; and the line of its start.
    #[track_caller]
    fn launch(&self, command: &mut Command) -> (Daemon<'_>, Value) {
        let mut daemon = self.listen(command);
        let start = daemon.wait_for("the start", |line| line["kind"] == "start");
        daemon.webhook = start["webhook"].as_str().unwrap_or_default().to_owned();
        daemon
            .wait_for("the sweep of the start", |line| line["kind"] == "sweep" && line["reason"] == "start");
        (daemon, start)
    }

    /// The arguments that run it.
    fn run(&self) -> [OsString; 5] {
        let config = self.path("driftd.yaml");
        ["run".into(), "--config".into(), config.into(), "--output".into(), "json".into()]
    }

    /// Follows what is recorded, from the beginning, whoever records it. There must be a store.
    #[track_caller]
    pub fn follow(&self) -> Daemon<'_> {
        let mut command = driftd();
        command.args(["events", "--config"]).arg(self.path("driftd.yaml"));
        self.listen(command.args(["--follow", "--last", "1000", "--format", "json"]))
    }

    /// Starts a program and collects the lines it prints.
    #[track_caller]
    fn listen(&self, command: &mut Command) -> Daemon<'_> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let (send, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let log = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut log = Vec::new();
                // What can be read of it is what there is to show.
                let _ = stderr.read_to_end(&mut log);
                String::from_utf8_lossy(&log).into_owned()
            })
        });
        Daemon { home: self, child, lines, log, seen: Vec::new(), mark: 0, webhook: String::new() }
    }

    /// Runs another command of driftd's with this configuration, to its end.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().expect("a command is given");
        let mut driftd = driftd();
        driftd.arg(command).args(rest).arg("--config").arg(self.path("driftd.yaml"));
        driftd.output().unwrap_or_else(|e| panic!("cannot start {driftd:?}: {e}"))
    }
}

/// The program: beside this one, where cargo and our PID 1 both put it.
pub fn driftd() -> Command {
    Command::new(program())
}

fn program() -> PathBuf {
    env::current_exe().expect("this program has a path").with_file_name("driftd")
}

/// A running daemon. It ends with the value.
#[derive(Debug)]
pub struct Daemon<'a> {
    home: &'a Home,
    child: Child,
    lines: Receiver<String>,
    /// Collects what it prints on standard error.
    log: Option<JoinHandle<String>>,
    /// Every line so far.
    seen: Vec<Value>,
    /// Where in `seen` the present step of the scenario begins.
    mark: usize,
    webhook: String,
}

impl Daemon<'_> {
    /// Begins a step: what was said until now is no longer looked at.
    pub fn mark(&mut self) {
        self.receive();
        self.mark = self.seen.len();
    }

    /// The lines since the mark, as far as they have come.
    pub fn said(&mut self) -> &[Value] {
        self.receive();
        self.seen.get(self.mark..).unwrap_or_default()
    }

    /// Waits for a line since the mark.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.wait_from(self.mark, what, wanted)
    }

    /// Waits for a line that may have come before the mark.
    #[track_caller]
    pub fn wait_from_the_start(&mut self, what: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.wait_from(0, what, wanted)
    }

    #[track_caller]
    fn wait_from(&mut self, mut next: usize, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            while let Some(line) = self.seen.get(next) {
                if wanted(line) {
                    return line.clone();
                }
                next += 1;
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => self.give_up(&format!("waited in vain for {what}")),
                Err(RecvTimeoutError::Disconnected) => {
                    self.give_up(&format!("driftd ended, and {what} was waited for"))
                }
            }
        }
    }

    /// Waits for a line of a kind about a key.
    #[track_caller]
    pub fn wait_for_kind(&mut self, kind: &str, key: &str) -> Value {
        self.wait_for(&format!("a {kind} of {key}"), |line| line["kind"] == kind && line["key"] == key)
    }

    /// Waits for a finding of a key to open with this value in force.
    #[track_caller]
    pub fn wait_for_opened(&mut self, key: &str, actual: &str) -> Value {
        self.wait_for(&format!("a finding that {key} is {actual}"), |line| {
            is_opened(line, key) && line["actual"] == actual
        })
    }

    /// Waits for the finding of a key to heal.
    #[track_caller]
    pub fn wait_for_healed(&mut self, key: &str) -> Value {
        self.wait_for(&format!("the finding of {key} to heal"), |line| is_healed(line, key))
    }

    /// Changes a key that has nothing to do with the scenario, waits for its finding, and changes it back. What was
    /// done before is then dealt with: hints come in their order, and the fence settles more slowly than all else.
    #[track_caller]
    pub fn fence(&mut self) {
        let fence = Sysctl::of(FENCE);
        let other = if fence.original == "46" { "47" } else { "46" };
        // The mark stays: the lines that come meanwhile belong to the scenario's step.
        self.receive();
        let before = self.seen.len();
        fence.write(other);
        self.wait_from(before, "the fence's finding", |line| is_opened(line, FENCE));
        fence.restore();
        self.wait_from(before, "the fence's finding to heal", |line| is_healed(line, FENCE));
    }

    /// The same while the window of a deployment is open, when findings wait and only changes are told: goes on
    /// until what settles within a second would have settled.
    #[track_caller]
    pub fn fence_in_window(&mut self) {
        let fence = Sysctl::of(FENCE);
        let other = if fence.original == "46" { "47" } else { "46" };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            for value in [other, fence.original.as_str()] {
                self.receive();
                let before = self.seen.len();
                fence.write(value);
                self.wait_from(before, "the fence's change", |line| {
                    line["kind"] == "change" && line["key"] == FENCE && line["actual"] == value
                });
            }
        }
    }

    /// After a fence: fails if a finding opened, or a change was told, of the key since the mark.
    #[track_caller]
    pub fn assert_nothing_happened_to(&mut self, key: &str) {
        let told = self
            .said()
            .iter()
            .find(|line| line["key"] == key && (line["kind"] == "change" || line["kind"] == "finding"));
        if let Some(line) = told.cloned() {
            self.give_up(&format!("nothing had happened to {key}, but this was told: {line}"));
        }
    }

    /// After a fence: fails if a finding opened of the key since the mark.
    #[track_caller]
    pub fn assert_nothing_opened(&mut self, key: &str) {
        let told = self.said().iter().find(|line| is_opened(line, key));
        if let Some(line) = told.cloned() {
            self.give_up(&format!("no finding of {key} should have opened: {line}"));
        }
    }

    /// Posts a signed body, with a query such as `?wait=5` or none.
    #[track_caller]
    pub fn post(&self, query: &str, body: &str) -> Answer {
        self.post_signed(query, &webhook::signature(self.home.secret, body), body)
    }

    /// Posts a body with this header for a signature.
    #[track_caller]
    pub fn post_signed(&self, query: &str, header: &str, body: &str) -> Answer {
        webhook::post(&format!("{}{query}", self.webhook), header, body)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().cast_signed();
        let pid = Pid::from_raw(pid).expect("the daemon has a process id");
        kill_process(pid, signal).expect("the daemon is not waited for yet");
    }

    /// Ends it by SIGTERM; how it ended, and all it said since the mark.
    #[track_caller]
    pub fn terminate(mut self) -> (ExitStatus, Vec<Value>) {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Ends it by SIGTERM; all it logged on its standard error.
    #[track_caller]
    pub fn log(mut self) -> String {
        self.signal(Signal::TERM);
        self.end();
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }

    /// Ends it by SIGKILL; all it said since the mark.
    #[track_caller]
    pub fn kill9(mut self) -> Vec<Value> {
        self.signal(Signal::KILL);
        self.end().1
    }

    /// Waits for its end, and reads what is left of its lines.
    #[track_caller]
    fn end(&mut self) -> (ExitStatus, Vec<Value>) {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.give_up("driftd does not end"),
            }
        }
        let status = self.child.wait().expect("the daemon can be waited for");
        (status, self.said().to_vec())
    }

    /// Takes the lines that have come.
    fn receive(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
    }

    #[track_caller]
    fn take(&mut self, line: &str) {
        let line = serde_json::from_str(line).unwrap_or_else(|e| panic!("a line is not JSON: {e}: {line}"));
        self.seen.push(line);
    }

    /// Ends the scenario with all there is to know.
    #[track_caller]
    fn give_up(&mut self, why: &str) -> ! {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut story = format!("{why}\nthe lines of driftd, the present step's marked with `>`:\n");
        for (index, line) in self.seen.iter().enumerate() {
            story += &format!("{} {line}\n", if index < self.mark { ' ' } else { '>' });
        }
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        panic!("{story}its standard error:\n{log}");
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line says that a finding of a key opened.
pub fn is_opened(line: &Value, key: &str) -> bool {
    line["kind"] == "finding" && line["state"] == "opened" && line["key"] == key
}

/// Whether a line says that the finding of a key healed.
pub fn is_healed(line: &Value, key: &str) -> bool {
    line["kind"] == "finding" && line["state"] == "healed" && line["key"] == key
}
