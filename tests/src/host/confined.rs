//! A program that may less than root: this very program, started again, gives up what it is told to and becomes the
//! other one, under the same process id.

use std::{
    env, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

pub use rustix::thread::CapabilitySet;
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    thread::{capability_is_in_bounding_set, remove_capability_from_bounding_set},
};

/// Tells the program that it is to become this one.
const PROGRAM: &str = "DRIFTD_CONFINED_PROGRAM";
/// The capabilities to give up, as a number.
const WITHOUT: &str = "DRIFTD_CONFINED_WITHOUT";
/// The limits of open descriptors: `SOFT:HARD`.
const FILES: &str = "DRIFTD_CONFINED_FILES";

/// What a program may less than root.
#[derive(Clone, Copy, Debug)]
pub struct Confined {
    /// The capabilities that it can never have.
    pub without: CapabilitySet,
    /// How many descriptors it may have open: at once, and after it has raised that as far as it can.
    pub files: Option<(u64, u64)>,
}

impl Confined {
    /// All of root but this.
    pub fn without(capabilities: CapabilitySet) -> Confined {
        Confined { without: capabilities, files: None }
    }

    /// A command that starts the program so. Arguments are for the program.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.env(PROGRAM, program).env(WITHOUT, self.without.bits().to_string());
        if let Some((soft, hard)) = self.files {
            command.env(FILES, format!("{soft}:{hard}"));
        }
        command
    }
}

/// The part of the program that was started so. It returns only where it is no such program, or fails.
pub fn confine() -> Option<ExitCode> {
    let program = env::var_os(PROGRAM)?;
    let become_it = || -> io::Result<io::Error> {
        if let Some((soft, hard)) = number_pair(FILES) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(hard) })?;
        }
        let without = env::var(WITHOUT).ok().and_then(|bits| bits.parse().ok()).unwrap_or(0);
        for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
            // Numbers that the kernel does not know are an error, and nothing to be given up.
            if capability.bits() & without != 0 && capability_is_in_bounding_set(capability).unwrap_or(false)
            {
                remove_capability_from_bounding_set(capability)?;
            }
        }
        let mut command = Command::new(&program);
        Ok(command.args(env::args_os().skip(1)).env_remove(PROGRAM).exec())
    };
    let error = become_it().unwrap_or_else(|error| error);
    eprintln!("cannot become {program:?}: {error}");
    Some(ExitCode::FAILURE)
}

fn number_pair(variable: &str) -> Option<(u64, u64)> {
    let text = env::var(variable).ok()?;
    let (first, second) = text.split_once(':')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}
