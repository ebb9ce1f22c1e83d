//! The daemon and its sinks, from outside: what a sink is reached and trusted by is nowhere to be read, however the sink
//! behaves.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and stops; what is no test by name is its harness"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// Only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What must not be read anywhere. Each is the one line of a file.
const TOKEN: &str = "t0ken-that-nobody-may-read";
const KEY: &str = "bm9ib2R5LW1heS1yZWFkLXRoaXMtc2lnbmluZy1rZXk=";
const PATH: &str = "services/T000/B000/address-that-nobody-may-read";

/// Listens, says of each request how it begins, and answers with this status.
fn endpoint(status: u16) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _unheard = sender.send(answer(stream, status));
        }
    });
    (port, asked)
}

fn answer(stream: TcpStream, status: u16) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // It says what it was told, as some proxies do.
    let said = head.clone();
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{said}", said.len());
    let _gone = reader.get_mut().write_all(answer.as_bytes());
    head
}

struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new(sinks: &str) -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap() };
        let (at, path) = (host.dir.path().display(), host.dir.path());
        fs::write(path.join("token"), TOKEN).unwrap();
        fs::write(path.join("key"), format!("whsec_{KEY}\n")).unwrap();
        let sinks = sinks.replace("AT", &at.to_string());
        let config = format!(
            "state: {at}/state\nsocket: {at}/driftd.sock\nprobes: none\n\
             drift_rules:\n  system: {{ keys: kernel.ostype, expect: Plan9, settle: 0ms }}\n\
             alerts:\n  sinks:\n{sinks}"
        );
        fs::write(path.join("driftd.yaml"), config).unwrap();
        host
    }

    fn driftd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftd"));
        let (command_name, rest) = arguments.split_first().unwrap();
        let (last, between) = match *command_name {
            "audit" | "alerts" => (rest, vec![*command_name]),
            _ => (arguments, Vec::new()),
        };
        command.args(between).arg(last[0]).arg("--config").arg(self.dir.path().join("driftd.yaml"));
        command.args(&last[1..]).stdin(Stdio::null());
        command
    }

    fn start(&self) -> Child {
        let file = |name: &str| fs::File::create(self.dir.path().join(name)).unwrap();
        let mut run = self.driftd(&["run", "--output", "json", "--verbose"]);
        run.stdout(file("lines")).stderr(file("log")).spawn().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.driftd(arguments).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Every file below the directory but those that hold the secrets.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut directories = vec![self.dir.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                let (kind, path) = (entry.file_type().unwrap(), entry.path());
                match kind.is_dir() {
                    true => directories.push(path),
                    false if kind.is_file() && !is_secret(&path) => {
                        files.push((path.display().to_string(), fs::read(&path).unwrap()));
                    }
                    false => {}
                }
            }
        }
        files
    }
}

fn is_secret(path: &Path) -> bool {
    ["token", "key", "address"].map(Path::new).iter().any(|name| path.ends_with(name))
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[track_caller]
fn check_untold(place: &str, bytes: &[u8]) {
    for secret in [TOKEN, KEY, PATH] {
        assert!(!holds(bytes, secret), "`{secret}` is in {place}: {}", String::from_utf8_lossy(bytes));
    }
}

/// A sink that answers with this status is told of a finding; then what must not be read is looked for everywhere.
fn check(status: u16) {
    let (signed, asked) = endpoint(status);
    let (slack, heard) = endpoint(status);
    let host = Host::new(&format!(
        "    signed: {{ sink: webhook, url: \"http://127.0.0.1:{signed}/hook\", token: AT/token, secret: AT/key }}\n    \
         chat: {{ sink: slack, url_file: AT/address, group: 0s }}\n    \
         page: {{ sink: gitops_status, url: \"http://127.0.0.1:{signed}/page\", token: AT/token }}\n    \
         tickets: {{ sink: github, repository: acme/infra, url: \"http://127.0.0.1:{signed}/api\", token: AT/token }}\n"
    ));
    let address = format!("http://127.0.0.1:{slack}/{PATH}");
    fs::write(host.dir.path().join("address"), address).unwrap();
    let mut daemon = host.start();
    let head = heard.recv_timeout(LIMIT).expect("Slack is told");
    assert!(head.starts_with(&format!("POST /{PATH} ")), "{head}");
    // Of the three at the one endpoint each comes in its time.
    let mut awaited = vec!["/hook", "/page", "/api/repos/acme/infra/issues"];
    while !awaited.is_empty() {
        let head = asked.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{awaited:?} wait in vain"));
        assert!(head.contains(TOKEN), "{head}");
        awaited.retain(|path| !head.contains(path));
    }
    for arguments in [
        &["status", "--format", "json"][..],
        &["status"],
        &["events", "--format", "json"],
        &["audit", "export"],
        &["alerts", "retry"],
        &["explain", "kernel.ostype"],
    ] {
        let said = host.said(arguments);
        assert!(!said.is_empty(), "{arguments:?}");
        check_untold(&format!("`driftd {}`", arguments.join(" ")), said.as_bytes());
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    for (path, bytes) in host.files() {
        check_untold(&path, &bytes);
    }
    let log = fs::read_to_string(host.dir.path().join("log")).unwrap();
    assert_eq!(log.contains("takes no message") || log.contains("is given up"), status != 200, "{log}");
}

#[test]
fn what_a_sink_is_reached_by_is_in_no_log_status_or_trail() {
    for status in [200, 302, 401, 400, 500] {
        check(status);
    }
}

#[test]
fn what_a_sink_is_reached_by_is_in_no_error() {
    let host = Host::new(
        "    signed: { sink: webhook, url: \"http://127.0.0.1:9/\", secret: AT/token }\n    \
         chat: { sink: slack, url_file: AT/address }\n",
    );
    for (name, text) in
        [("token", TOKEN), ("address", PATH), ("address", "a\nb\n"), ("address", "http://\u{1}x")]
    {
        fs::write(host.dir.path().join(name), text).unwrap();
        let output = host.driftd(&["run"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("cannot be used"), "{said}");
        check_untold("the error", said.as_bytes());
        // With that one mended the other is what is wrong.
        fs::write(host.dir.path().join("token"), format!("whsec_{KEY}")).unwrap();
    }
}
