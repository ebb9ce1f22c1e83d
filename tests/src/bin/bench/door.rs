//! How many signed deliveries a second the door takes over loopback, beside Debian's `webhook`, which checks the same
//! HMAC and starts a program; and what a delivery costs while a thousand connections stand idle before it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use driftd_tests::webhook::{post, signature};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    Asked,
    daemon::{Home, SECRET},
    figures::{median, nanos, quantile, tell},
};

/// How many senders deliver at once, each one message after the other, and each over a connection of its own.
const SENDERS: usize = 32;

/// How many connections stand idle.
const IDLE: usize = 1000;

/// Measures.
pub fn measure(asked: &Asked) {
    let home = Home::new("none", "  os: { keys: kernel.ostype, expect: Linux }\n");
    let mut daemon = home.start();
    daemon.swept();
    let url = daemon.url().to_owned();
    let answers = Other::start(&home, false);
    let does = Other::start(&home, true);
    let each = asked.times(200, 50);
    let (mut ours, mut answered, mut done) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..asked.times(5, 3) {
        ours.push(rate(&url, round, each, 202));
        for (other, rates) in [(&answers, &mut answered), (&does, &mut done)] {
            if let Some(other) = other {
                rates.push(rate(&other.url, round, each, 200));
                // What it answered before it did it is not to be done at another's cost.
                other.settle();
            }
        }
    }
    let ours = median(ours);
    tell("door.senders", SENDERS as f64);
    tell("door.rate_per_s", ours);
    for (name, rates) in [("answered", answered), ("done", done)] {
        if !rates.is_empty() {
            let theirs = median(rates);
            tell(&format!("door.webhook_{name}_per_s"), theirs);
            tell(&format!("door.{name}_ratio"), ours / theirs);
        }
    }

    let mut alone = Vec::new();
    let mut beside = Vec::new();
    let one = |id: usize, samples: &mut Vec<f64>| {
        let body = body("idle", id);
        let header = signature(SECRET, &body);
        let began = Instant::now();
        assert_eq!(post(&url, &header, &body).status, 202, "a good delivery is taken");
        samples.push(nanos(began.elapsed()));
    };
    let times = asked.times(100, 20);
    (0..times).for_each(|id| one(id, &mut alone));
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, most).expect("the soft limit may be raised to the hard one");
    let address = url.trim_start_matches("http://").split('/').next().expect("there is a host");
    let idle: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(address).expect("a connection can be opened")).collect();
    (times..2 * times).for_each(|id| one(id, &mut beside));
    drop(idle);
    tell("door.idle_connections", IDLE as f64);
    tell("door.alone_p50_ns", quantile(&mut alone, 0.5));
    tell("door.beside_idle_p50_ns", quantile(&mut beside, 0.5));
    tell("door.beside_idle_p99_ns", quantile(&mut beside, 0.99));
}

/// A deployment that nobody announced yet.
fn body(app: &str, id: usize) -> String {
    format!(r#"{{"commit":"{id:08x}","app":"{app}","id":"{id}"}}"#)
}

/// Delivers, all senders at once; how many a second were answered as they should be.
fn rate(url: &str, round: usize, each: usize, status: u16) -> f64 {
    let messages: Vec<Vec<(String, String)>> = (0..SENDERS)
        .map(|sender| {
            let bodies = (0..each).map(|number| body(&format!("app{sender}"), round * each + number));
            bodies.map(|body| (signature(SECRET, &body), body)).collect()
        })
        .collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for messages in &messages {
            scope.spawn(move || {
                for (header, body) in messages {
                    assert_eq!(post(url, header, body).status, status, "a good delivery is taken");
                }
            });
        }
    });
    (SENDERS * each) as f64 / began.elapsed().as_secs_f64()
}

/// Debian's `webhook`. It ends with the value.
struct Other {
    child: Child,
    url: String,
}

impl Other {
    /// Starts it, where it is installed. By itself it answers, and starts its program then; or it answers when that has
    /// ended.
    fn start(home: &Home, waits: bool) -> Option<Other> {
        let program = ["/usr/bin/webhook", "/usr/local/bin/webhook"].map(Path::new);
        let Some(program) = program.into_iter().find(|path| path.exists()) else {
            eprintln!("Debian's `webhook` is left out: it is not installed\nhint: apt-get install webhook");
            return None;
        };
        let hooks = home.path(if waits { "waits.json" } else { "hooks.json" });
        let text = format!(
            r#"[{{"id":"gitops","execute-command":"/bin/true","http-methods":["POST"],
            "include-command-output-in-response":{waits},"trigger-rule":{{"match":
            {{"type":"payload-hmac-sha256","secret":"{SECRET}",
            "parameter":{{"source":"header","name":"X-Hub-Signature-256"}}}}}}}}]"#
        );
        fs::write(&hooks, text).expect("its configuration can be written");
        // It cannot be told to choose a port itself.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("there is a free port").port().to_string();
        let child = Command::new(program)
            .args(["-ip", "127.0.0.1", "-port", &port, "-hooks"])
            .arg(&hooks)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let other = Other { child, url: format!("http://127.0.0.1:{port}/hooks/gitops") };
        let began = Instant::now();
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "`webhook` does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        // What it refuses shows that it looks.
        let wrong = post(&other.url, &signature("another", "{}"), "{}");
        assert_ne!(wrong.status, 200, "it checks the signature");
        Some(other)
    }

    /// Waits until every program that it started has ended.
    fn settle(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let busy = || {
            let tasks = fs::read_dir(&tasks).into_iter().flatten().flatten();
            tasks
                .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default())
                .any(|c| !c.is_empty())
        };
        let mut quiet = 0;
        while quiet < 10 {
            thread::sleep(Duration::from_millis(20));
            quiet = if busy() { 0 } else { quiet + 1 };
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
