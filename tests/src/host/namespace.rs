//! Other namespaces and other mounts: the same path there is not the same piece of state.
#![expect(unsafe_code, reason = "unshare(2) is unsafe for one of its flags, which is not used here")]

use std::{
    ffi::CString,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};
use tempfile::{NamedTempFile, TempDir};

/// A namespace of one kind; which kinds there are says namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Interfaces, and the sysctls below `net/`.
    Network,
    /// Limits of shared memory, semaphores and messages.
    Ipc,
    /// The names of the host.
    Uts,
}

/// Does something in a namespace of its own, that is gone afterwards.
#[track_caller]
pub fn in_new<T: Send>(namespace: Namespace, work: impl FnOnce() -> T + Send) -> T {
    let flags = match namespace {
        Namespace::Network => UnshareFlags::NEWNET,
        Namespace::Ipc => UnshareFlags::NEWIPC,
        Namespace::Uts => UnshareFlags::NEWUTS,
    };
    let result = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(flags).unwrap_or_else(|e| panic!("no new namespace ({namespace:?}): {e}"));
            work()
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Does something in a network namespace of its own, that is gone afterwards.
#[track_caller]
pub fn in_new_network<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    in_new(Namespace::Network, work)
}

/// Opens a file here, and writes it from a thread that has left for another namespace.
pub fn write_from_new(namespace: Namespace, path: &Path, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    in_new(namespace, || file.write_all(value.as_bytes()))
}

/// Moves this thread alone; the whole process, where it has no other.
pub(super) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the danger is of a thread that unshares the table of descriptors; nobody here asks for that.
    unsafe { unshare_unsafe(flags) }
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

/// A file of /proc mounted on a file elsewhere.
#[derive(Debug)]
pub struct BindMount {
    file: NamedTempFile,
}

impl BindMount {
    /// Mounts it.
    #[track_caller]
    pub fn of(path: &Path) -> BindMount {
        let file = NamedTempFile::new().expect("there is room for a file");
        mount_bind(path, file.path()).expect("root may mount a file on another");
        BindMount { file }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

impl Drop for BindMount {
    fn drop(&mut self) {
        let _ = unmount(self.file.path(), UnmountFlags::DETACH);
    }
}

/// A file system that is soon full, mounted on a directory.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes, that only its owner may enter.
    #[track_caller]
    pub fn mount(directory: &Path, bytes: u32) -> SmallDisk {
        let options = CString::new(format!("size={bytes},mode=0700")).expect("there is no zero in it");
        mount("tmpfs", directory, "tmpfs", MountFlags::empty(), options.as_c_str())
            .expect("root may mount tmpfs");
        SmallDisk { directory: directory.to_owned() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.directory, UnmountFlags::DETACH);
    }
}
