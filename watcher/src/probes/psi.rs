//! PSI triggers: the kernel says that a task was stalled for so long within a window, and until then nobody is awake
//! (kernel `Documentation/accounting/psi.rst`).
//!
//! A trigger is a hint and no more: what the pressure is, the re-read says.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    future::pending,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    task::{AbortHandle, JoinSet},
};

use super::ready::{URGENT, urgent};
use crate::model::Key;

/// Over how long the kernel adds up what was stalled: over the time between two of its averages (`PSI_FREQ`,
/// kernel/sched/psi.c). It is also the shortest that somebody without CAP_SYS_RESOURCE may ask for.
pub const WINDOW: Duration = Duration::from_secs(2);

/// How many triggers are set. Each is a descriptor, and each cgroup with one may be a thread of the kernel's.
const MOST: usize = 500;

/// A trigger that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The key that is to be read when it fires.
    pub key: Key,
    /// For how long tasks must have been stalled within [`WINDOW`].
    pub stalled: Duration,
}

/// What a trigger said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rise {
    /// The pressure of this key rose.
    Rose(Key),
    /// It stands guard no more: what it was set on, a cgroup, is gone.
    Ended(Key),
}

/// The triggers that are set.
#[derive(Debug)]
pub struct Triggers {
    root: PathBuf,
    /// Whether the plan has them.
    wanted: bool,
    set: HashMap<Key, Set>,
    /// One for each, until it fires.
    waiting: JoinSet<Heard>,
    /// What could not be set, and was told.
    told: HashSet<Key>,
}

/// A trigger that is set.
#[derive(Debug)]
struct Set {
    stalled: Duration,
    waiting: AbortHandle,
}

/// A trigger that fired, and whether it will again.
struct Heard {
    key: Key,
    trigger: AsyncFd<OwnedFd>,
    ended: bool,
}

impl Triggers {
    /// None yet, below `root` (`/`); and none ever where the plan has none.
    pub fn new(root: &Path, wanted: bool) -> Triggers {
        Triggers {
            root: root.to_owned(),
            wanted,
            set: HashMap::new(),
            waiting: JoinSet::new(),
            told: HashSet::new(),
        }
    }

    /// Sets these triggers and takes away all others; what is set already stays. Gives the keys that have one now; what
    /// cannot be set is told, once, and its key is left to the sweep.
    pub fn guard(&mut self, stalls: &[Stall]) -> HashSet<Key> {
        if !self.wanted {
            return HashSet::new();
        }
        let stalls: HashMap<&Key, &Stall> = stalls.iter().map(|stall| (&stall.key, stall)).collect();
        self.set.retain(|key, set| {
            let stays = stalls.get(key).is_some_and(|stall| stall.stalled == set.stalled);
            if !stays {
                set.waiting.abort();
            }
            stays
        });
        self.told.retain(|key| stalls.contains_key(key));
        let mut refused: Option<(&Key, io::Error, usize)> = None;
        for (key, stall) in stalls {
            if self.set.contains_key(key) {
                continue;
            }
            let trigger = match self.set.len() < MOST {
                true => set(&self.root, stall),
                false => Err(io::Error::other(format!("{MOST} are the most"))),
            };
            match trigger {
                Ok(trigger) => {
                    self.told.remove(key);
                    let waiting = self.waiting.spawn(heard(key.clone(), trigger));
                    self.set.insert(key.clone(), Set { stalled: stall.stalled, waiting });
                }
                Err(error) if self.told.insert(key.clone()) => {
                    let (.., count) = refused.get_or_insert((key, error, 0));
                    *count += 1;
                }
                Err(_) => {}
            }
        }
        if let Some((key, error, count)) = refused {
            let more = if count > 1 { format!(" and {} more are", count - 1) } else { " is".to_owned() };
            tracing::warn!("`{key}`{more} swept: no PSI trigger can be set: {error}");
        }
        self.set.keys().cloned().collect()
    }

    /// The next that fires. Cancelled, it loses nothing.
    pub async fn next(&mut self) -> Rise {
        loop {
            let (task, Heard { key, trigger, ended }) = match self.waiting.join_next_with_id().await {
                Some(Ok(heard)) => heard,
                // Taken away.
                Some(Err(_)) => continue,
                None => pending().await,
            };
            // One that was taken away when it had fired already is nobody's; another may stand in its place.
            let Some(set) = self.set.get_mut(&key).filter(|set| set.waiting.id() == task) else { continue };
            if ended {
                self.set.remove(&key);
                return Rise::Ended(key);
            }
            set.waiting = self.waiting.spawn(heard(key.clone(), trigger));
            return Rise::Rose(key);
        }
    }
}

/// Waits for a trigger.
async fn heard(key: Key, trigger: AsyncFd<OwnedFd>) -> Heard {
    let ended = match trigger.ready(URGENT).await {
        Ok(mut guard) => {
            let ready = guard.ready();
            guard.clear_ready();
            // The file of a cgroup that is gone answers with both (`kernfs_fop_poll`, fs/kernfs/file.c).
            ready.is_error()
        }
        Err(error) => {
            tracing::error!("the PSI trigger of `{key}` cannot be waited for: {error}");
            true
        }
    };
    Heard { key, trigger, ended }
}

/// Sets a trigger; it is there until the file is closed.
fn set(root: &Path, stall: &Stall) -> io::Result<AsyncFd<OwnedFd>> {
    let Key::Pressure { field: (line, _), .. } = &stall.key else {
        return Err(io::Error::other("it is no pressure"));
    };
    let file = opened(root, &stall.key.path(), line, stall.stalled)?;
    urgent(file.into())
}

fn opened(root: &Path, path: &str, line: &str, stalled: Duration) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).open(root.join(path.trim_start_matches('/')))?;
    file.write_all(trigger(line, stalled).as_bytes())?;
    Ok(file)
}

/// A trigger as the kernel reads it: which line, and both times in microseconds. The last byte it takes for the end of
/// the text, whatever it is (`psi_write`, kernel/sched/psi.c).
fn trigger(line: &str, stalled: Duration) -> String {
    format!("{line} {} {}\n", stalled.as_micros(), WINDOW.as_micros())
}

/// Whether the host below `root` lets triggers be set, or why not: sets one that hardly ever fires, for a moment.
pub fn permitted(root: &Path) -> Result<(), String> {
    match opened(root, "proc/pressure/memory", "full", WINDOW) {
        Ok(_) => Ok(()),
        // Some kernels have the files and answer EOPNOTSUPP.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) => {
            Err("the kernel measures no pressure\n\
                 hint: boot with `psi=1`, if it was built with CONFIG_PSI"
                .into())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(format!("the kernel refused one: {error}\nhint: before Linux 6.1 give CAP_DAC_OVERRIDE"))
        }
        Err(error) => Err(format!("the kernel refused one: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn a_trigger_is_written_as_the_kernel_reads_it() {
        assert_eq!(trigger("some", Duration::from_millis(210)), "some 210000 2000000\n");
    }

    #[test]
    fn a_host_that_measures_no_pressure_says_so() {
        let why = permitted(host(&[]).path()).unwrap_err();
        assert!(why.starts_with("the kernel measures no pressure\nhint: boot with `psi=1`"), "{why}");
    }

    #[tokio::test]
    async fn what_cannot_be_guarded_is_left_to_the_sweep() {
        let stalls = |names: &[&str]| -> Vec<Stall> {
            let key = |name: &&str| format!("/sys/fs/cgroup/{name}/cpu.pressure:some.avg10").parse().unwrap();
            let stall = |name| Stall { key: key(name), stalled: Duration::from_millis(210) };
            names.iter().map(stall).collect()
        };
        // No cgroup of this name, and a file that no trigger can be waited for on: it is on a disk.
        let root = host(&[("sys/fs/cgroup/plain/cpu.pressure", "")]);
        let mut triggers = Triggers::new(root.path(), true);
        assert_eq!(triggers.guard(&stalls(&["gone", "plain"])), HashSet::new());
        assert_eq!(Triggers::new(root.path(), false).guard(&stalls(&["plain"])), HashSet::new());
    }
}
