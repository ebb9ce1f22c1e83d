//! Runs the `git` program, so that nothing but what is asked of it happens: in an environment of ours, with bounds for its time,
//! its output and the files it writes. It never waits for a person, and when it is over nothing of it is left.

use std::{
    ffi::OsString,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, copy, sink},
    process::{Child, Command},
    time::timeout,
};

use super::GitError;
use crate::declared::Repository;

/// Variables of the daemon's own environment that `git` has too: where programs are, and how the network is reached.
const PASSED: [&str; 8] = [
    "PATH",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
];

/// Puts the bound on the files that are written before it becomes `git`, so that whatever that starts has it too. POSIX
/// counts in blocks of 512 bytes.
const BOUNDED: &str = r#"ulimit -f "$1" && shift && exec git "$@""#;

/// The most bytes of what `git` says of an error.
const MOST_TOLD: u64 = 8 << 10;

/// The program, for one repository of ours.
pub(super) struct Program<'p> {
    /// What every run has in its environment besides what locks it down.
    pub environment: &'p [(OsString, OsString)],
    /// The directory of ours that holds the repository and the configuration of `git`.
    pub directory: &'p Path,
    /// The other repository, to name it.
    pub repository: &'p Repository,
    /// The one way by which it may reach another repository (`GIT_ALLOW_PROTOCOL` of git(1)).
    pub protocol: &'static str,
    /// What proves who asks.
    pub proof: &'p [(OsString, OsString)],
    /// The most bytes of a file that is written.
    pub most_bytes: u64,
}

/// How a run ended.
pub(super) enum Ran {
    /// Well, with this output.
    Well(Vec<u8>),
    /// With another code than 0.
    Badly {
        /// The code; none where a signal ended it.
        code: Option<i32>,
        /// What it said: see [`words`].
        told: String,
    },
}

/// What of this process' environment `git` may have.
pub(super) fn passed() -> Vec<(OsString, OsString)> {
    PASSED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect()
}

impl Program<'_> {
    /// Runs `git` with these arguments, for no longer than `limit`, and takes no more than `most` bytes of its output.
    ///
    /// # Errors
    /// It cannot be started, took too long or said too much.
    pub async fn run(&self, arguments: &[&str], limit: Duration, most: u64) -> Result<Ran, GitError> {
        let mut child = self.command(arguments).spawn().map_err(GitError::NotStarted)?;
        let group = Group::of(&child);
        let (status, output, told) = timeout(limit, ended(&mut child, most))
            .await
            .map_err(|_| GitError::TimedOut { repository: self.repository.to_string(), limit })?
            .map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => {
                    GitError::TooMuch { repository: self.repository.to_string(), most }
                }
                _ => GitError::NotStarted(error),
            })?;
        group.let_go();
        // What a shell says that finds no such program (POSIX, "Exit Status for Commands").
        if status.code() == Some(127) {
            return Err(GitError::NotStarted(io::ErrorKind::NotFound.into()));
        }
        Ok(match status.success() {
            true => Ran::Well(output),
            false => Ran::Badly { code: status.code(), told: String::from_utf8_lossy(&told).into_owned() },
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", BOUNDED, "git"]).arg((self.most_bytes / 512).to_string()).args(arguments);
        command.env_clear().envs(self.environment.iter().cloned()).envs(self.proof.iter().cloned());
        command
            .env("GIT_DIR", self.directory.join("repository"))
            .env("GIT_CONFIG_GLOBAL", self.directory.join(".gitconfig"))
            // Older than 2.32 it knows this name alone.
            .env("HOME", self.directory)
            .env("XDG_CONFIG_HOME", self.directory)
            .env("GIT_ALLOW_PROTOCOL", self.protocol);
        for (name, value) in LOCKED {
            command.env(name, value);
        }
        command.current_dir(self.directory).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// See git(1). Nobody is asked; no file of the host or of a user configures; no object stands for another; no missing
/// object is fetched behind our back; a path is a path and no pattern.
const LOCKED: [(&str, &str); 9] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "false"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_SSH_VARIANT", "ssh"),
    ("LC_ALL", "C"),
];

/// The end of a run: its status, its output and what it said of errors.
async fn ended(child: &mut Child, most: u64) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(most + 1).read_to_end(&mut output).await?;
        }
        match output.len() as u64 > most {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => Ok(output),
        }
    };
    let told = async {
        let mut told = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr).take(MOST_TOLD).read_to_end(&mut told).await?;
            copy(&mut stderr, &mut sink()).await?;
        }
        Ok(told)
    };
    let (output, told) = tokio::try_join!(output, told)?;
    Ok((child.wait().await?, output, told))
}

/// What git said went wrong, on one line that fits on a screen.
pub(super) fn words(told: &str) -> String {
    const MOST: usize = 300;
    let lines = || told.lines().map(str::trim).filter(|line| !line.is_empty());
    let line =
        lines().find(|line| line.starts_with("fatal: ")).or_else(|| lines().next_back()).unwrap_or("nothing");
    let line = line.strip_prefix("fatal: ").unwrap_or(line);
    line.chars().filter(|char| !char.is_control()).take(MOST).collect()
}

/// A process and all that it started. They are killed with the value, unless they are over.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Its first process was waited for: its number may be another's from now on.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails where all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
