//! The journal, followed as a person follows it: by `journalctl`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::host::sh;

/// How long to wait for what must come. Under emulation on a busy machine all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// The entries of a unit from a moment on. It ends with the value.
pub struct Journal {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<Value>,
}

impl Journal {
    /// Those of driftd that come from now on.
    #[track_caller]
    pub fn of_driftd() -> Journal {
        Journal::of("driftd")
    }

    /// Those of a unit that come from now on.
    #[track_caller]
    pub fn of(unit: &str) -> Journal {
        let cursor = sh("journalctl --lines=1 --output=cat --show-cursor | sed -n 's/^-- cursor: //p'");
        let mut command = Command::new("journalctl");
        command
            .args([&format!("--unit={unit}"), "--output=json", "--all", "--follow", "--no-tail"])
            .arg(format!("--after-cursor={}", cursor.trim()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("there is a journalctl");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        Journal { child, lines, seen: Vec::new() }
    }

    /// Waits for an entry in which all of these fields are so.
    #[track_caller]
    pub fn wait_for(&mut self, fields: &[(&str, &str)]) -> Value {
        let is_it = |entry: &Value| fields.iter().all(|(name, value)| entry[name] == *value);
        if let Some(entry) = self.seen.iter().find(|entry| is_it(entry)) {
            return entry.clone();
        }
        let deadline = Instant::now() + LIMIT;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let entry: Value = serde_json::from_str(&line).expect("an entry is JSON");
            self.seen.push(entry.clone());
            if is_it(&entry) {
                return entry;
            }
        }
        let messages: Vec<_> = self.seen.iter().map(|entry| entry["MESSAGE"].to_string()).collect();
        panic!("waited in vain for an entry with {fields:?}; there are\n{}", messages.join("\n"));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
