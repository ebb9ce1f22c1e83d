//! A program as a sink: the JSON on its standard input, a limit of time, and no shell.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::patience::Answer;

/// Runs the program. It has the message when it ends with 0; what it says on standard error is in our log.
pub async fn run(program: &[Box<str>], limit: Duration, id: &str, body: &[u8]) -> Answer {
    let later = |why: String| Answer::Later { why, after: None };
    let Some((name, arguments)) = program.split_first() else { return later("no program".into()) };
    let child = Command::new(&**name)
        .args(arguments.iter().map(|argument| &**argument))
        // What this daemon was started with is not the program's business.
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DRIFTD_MESSAGE_ID", id)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return later(format!("cannot start `{name}`: {error}")),
    };
    // Declared after the child, and dropped before it: as long as it was not waited for its number is no other's.
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let ended = timeout(limit, async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read all of it may still do its work: its end is what counts.
            let _unread = stdin.write_all(body).await;
        }
        child.wait().await
    });
    let ended = ended.await;
    if let Ok(Ok(_)) = &ended {
        // What it left running is its own business.
        group.0 = None;
    }
    match ended {
        Ok(Ok(status)) if status.success() => Answer::Taken,
        Ok(Ok(status)) => later(format!("`{name}` ended with {status}")),
        Ok(Err(error)) => later(format!("`{name}` cannot be waited for: {error}")),
        Err(_) => later(format!("`{name}` did not end within {limit:?}, and was killed")),
    }
}

/// A program and all that it started. They are killed with the value, unless the program ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails where all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
