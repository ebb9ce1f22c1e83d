//! A script that writes one value to a file again and again, as a shell with a loop does: itself, or by a program that it
//! starts for each write. It is this very program, started again.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::actor::actor;

/// Tells the program that it is such a script: the path to write.
const PATH: &str = "DRIFTD_REWRITER_PATH";
/// The value to write.
const VALUE: &str = "DRIFTD_REWRITER_VALUE";
/// That it starts a program for each write.
const BY_CHILDREN: &str = "DRIFTD_REWRITER_BY_CHILDREN";

/// How long it sleeps after each write.
const PAUSE: Duration = Duration::from_millis(300);

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
        script.env(PATH, path).env(VALUE, value).stdin(Stdio::null());
        if hand == Hand::Child {
            script.env(BY_CHILDREN, "1");
        }
        Rewriter(script.spawn().expect("this program can be started again"))
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

/// The script's part, until it is killed. `None` where this process is none.
pub fn rewrite() -> Option<ExitCode> {
    let path = PathBuf::from(env::var_os(PATH)?);
    // However the scenario ends.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let value = env::var(VALUE).unwrap_or_default();
    let by_children = env::var_os(BY_CHILDREN).is_some();
    loop {
        let done = match by_children {
            true => actor(&path, &value).env_remove(PATH).stdin(Stdio::null()).status().map(drop),
            false => super::write(&path, &value),
        };
        if let Err(error) = done {
            eprintln!("cannot write {path:?}: {error}");
            return Some(ExitCode::FAILURE);
        }
        thread::sleep(PAUSE);
    }
}
