//! A host with a real driftd on it, and a pipeline's machine beside it: a shell with curl and openssl, and nothing of
//! driftd's own. No test here writes kernel state; what is declared is the kernel's name, which nobody can change.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long to wait for what must come: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// The secret of the plain form, unless a test says otherwise.
pub const SECRET: &str = "5a0f6cf1d5c4be2e9e7d1a3f00c0ffee";

/// What is in force, declared so that it is, and so that it is not.
pub const IN_SYNC: &str = "kernel.ostype, expect: Linux";
/// The same for a host that is out of sync.
pub const OUT_OF_SYNC: &str = "kernel.ostype, expect: Plan9";

/// A machine with a running driftd. It ends with the value.
pub struct Host {
    dir: TempDir,
    child: Child,
    lines: Receiver<String>,
    /// Where to post.
    pub url: String,
}

/// The file `name` of the repository.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent").join(name)
}

/// The text of the file `name` of the repository.
#[track_caller]
pub fn text(name: &str) -> String {
    fs::read_to_string(repository(name)).unwrap_or_else(|e| panic!("cannot read {name}: {e}"))
}

impl Host {
    /// Starts driftd with one rule, TLS by a certificate of its own, and the plain form.
    #[track_caller]
    pub fn start(rule: &str) -> Host {
        Host::start_with(rule, &[("secret", SECRET)], "secrets: DIR/secret")
    }

    /// Starts driftd with one rule, these files, and this about who may deliver; `DIR` is where the files are.
    #[track_caller]
    pub fn start_with(rule: &str, files: &[(&str, &str)], senders: &str) -> Host {
        let dir = tempfile::Builder::new().prefix("pipeline-").tempdir().expect("there is room");
        let at = dir.path().to_str().expect("a temporary directory has a plain name");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a file can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it can be closed");
        }
        let config = dir.path().join("driftd.yaml");
        let senders = senders.replace("DIR", at);
        let yaml = format!(
            "state: {at}/state\nsocket: {at}/driftd.sock\nprobes: none\nsweep: 1h\n\
             webhook:\n  listen: \"127.0.0.1:0\"\n  {senders}\ndrift_rules:\n  os: {{ keys: {rule} }}\n"
        );
        fs::write(&config, yaml).expect("the configuration can be written");
        fs::create_dir(dir.path().join("state")).expect("the state directory can be made");
        Host::run(dir, &config)
    }

    /// Starts driftd with the configuration in this directory.
    #[track_caller]
    pub fn run(dir: TempDir, config: &Path) -> Host {
        let (child, lines) = started(dir.path(), config);
        let mut host = Host { dir, child, lines, url: String::new() };
        host.url = host.told("start")["webhook"].as_str().expect("it listens").to_owned();
        host
    }

    /// Kills driftd, and starts it again.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
        (self.child, self.lines) = started(self.dir.path(), &self.path("driftd.yaml"));
        self.url = self.told("start")["webhook"].as_str().expect("it listens").to_owned();
    }

    /// Asks driftd to read its configuration again.
    #[track_caller]
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    }

    /// The next line of a kind.
    #[track_caller]
    pub fn told(&self, kind: &str) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("waited in vain for a `{kind}`; the log:\n{}", self.log());
            };
            let line: Value = serde_json::from_str(&line).expect("a line is JSON");
            if line["kind"] == kind {
                return line;
            }
        }
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A file on the host, or on the pipeline's machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The certificate that driftd made for itself.
    pub fn ca(&self) -> PathBuf {
        self.path("state/tls/certificate.pem")
    }

    /// A file of the pipeline's, with what was written to it.
    pub fn written(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A program on the pipeline's machine: with nothing in its environment but what every pipeline has, and in a
    /// directory of its own. curl there begins with these lines in its configuration.
    pub fn machine(&self, program: &str, curlrc: &str) -> Command {
        let home = self.path("home");
        fs::create_dir_all(&home).expect("a home can be made");
        fs::write(home.join(".curlrc"), curlrc).expect("curl can be configured");
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &home).env("CURL_HOME", &home).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// `deliver.sh` as a pipeline runs it, with all that it must be told.
    pub fn deliver(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine("sh", "");
        command.arg(repository("docs/integrations/deliver.sh")).args(arguments);
        command.env("DRIFTD_URL", &self.url).env("DRIFTD_CA", self.ca()).env("DRIFTD_SECRET", SECRET);
        command.env("DRIFTD_COMMIT", "a1b2c3d4");
        command
    }
}

/// A driftd with this configuration, and what it prints.
#[track_caller]
fn started(dir: &Path, config: &Path) -> (Child, Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["run", "--output", "json", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(dir.join("log")).expect("a log can be written"))
        .spawn()
        .expect("driftd can be started");
    let stdout = child.stdout.take().expect("it is piped");
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    (child, lines)
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end; it must end with this code. What it printed, on both its outputs.
#[track_caller]
pub fn ends(command: &mut Command, code: i32) -> (String, String) {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(status.code(), Some(code), "{command:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}
