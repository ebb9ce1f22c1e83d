//! A script that writes one value to a file again and again, as a shell does, each time it is told to: itself, or by a program
//! that it starts for each write. It is this very program, started again.

use std::{
    env,
    io::{Write as _, stdin},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::actor::actor;

/// Tells the program that it is such a script: the path to write.
const PATH: &str = "DRIFTD_REWRITER_PATH";
/// The value to write.
const VALUE: &str = "DRIFTD_REWRITER_VALUE";
/// That it starts a program for each write.
const BY_CHILDREN: &str = "DRIFTD_REWRITER_BY_CHILDREN";

/// Who writes for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// The script itself, as with `echo`.
    Own,
    /// A process of its own each time, as with `sysctl -w`.
    Child,
}

/// A script. It ends with the value.
#[derive(Debug)]
pub struct Rewriter(Child);

impl Rewriter {
    /// Starts it.
    #[track_caller]
    pub fn start(path: &Path, value: &str, hand: Hand) -> Rewriter {
        let program = env::current_exe().expect("this program has a path");
        let mut script = Command::new(program);
        script.env(PATH, path).env(VALUE, value).stdin(Stdio::piped());
        if hand == Hand::Child {
            script.env(BY_CHILDREN, "1");
        }
        Rewriter(script.spawn().expect("this program can be started again"))
    }

    /// Lets it write once more; what it wrote last is in force or was overwritten.
    #[track_caller]
    pub fn write(&mut self) {
        let told = self.0.stdin.as_mut().map(|stdin| stdin.write_all(b"\n").and_then(|()| stdin.flush()));
        assert!(matches!(told, Some(Ok(()))), "the script listens: {told:?}");
    }

    /// The process id of the script.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The script's part, until it is killed or told nothing more. `None` where this process is none.
pub fn rewrite() -> Option<ExitCode> {
    let path = PathBuf::from(env::var_os(PATH)?);
    // However the scenario ends.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let value = env::var(VALUE).unwrap_or_default();
    let by_children = env::var_os(BY_CHILDREN).is_some();
    for _told in stdin().lines().map_while(Result::ok) {
        let done = match by_children {
            true => actor(&path, &value).env_remove(PATH).stdin(Stdio::null()).status().map(drop),
            false => super::write(&path, &value),
        };
        if let Err(error) = done {
            eprintln!("cannot write {path:?}: {error}");
            return Some(ExitCode::FAILURE);
        }
    }
    Some(ExitCode::SUCCESS)
}
