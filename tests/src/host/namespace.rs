//! Other namespaces and other mounts: the same path there is not the same piece of state.
#![expect(unsafe_code, reason = "unshare(2) is unsafe for one of its flags, which is not used here")]

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};
use tempfile::TempDir;

/// Does something in a network namespace of its own, that is gone afterwards.
#[track_caller]
pub fn in_new_network<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let result = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_new_network().expect("a new network namespace is to be had by root");
            work()
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Opens a file here, and writes it from a thread that has left for another network namespace.
pub fn write_from_new_network(path: &Path, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    in_new_network(|| file.write_all(value.as_bytes()))
}

/// Moves this thread alone.
fn enter_new_network() -> rustix::io::Result<()> {
    // SAFETY: the danger is of a thread that unshares the table of descriptors; only the network is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// A second mount of procfs.
#[derive(Debug)]
pub struct ProcMount {
    directory: TempDir,
}

impl ProcMount {
    /// Mounts it.
    #[track_caller]
    pub fn new() -> ProcMount {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        mount("proc", directory.path(), "proc", MountFlags::empty(), None).expect("root may mount procfs");
        ProcMount { directory }
    }

    /// Where a file of /proc is in this mount.
    pub fn path(&self, of: &Path) -> PathBuf {
        self.directory.path().join(of.strip_prefix("/proc").unwrap_or(of))
    }
}

impl Default for ProcMount {
    fn default() -> ProcMount {
        ProcMount::new()
    }
}

impl Drop for ProcMount {
    fn drop(&mut self) {
        let _ = unmount(self.directory.path(), UnmountFlags::DETACH);
    }
}
