//! The one lock of the kernel's network configuration, held for as long as it takes.
//!
//! SIOCGIFCONF copies to user memory while it holds the lock (`dev_ifconf`, net/core/dev_ioctl.c). That memory is a
//! page which userfaultfd(2) answers for, and it does not answer. Whoever only tries the lock, as the handlers of
//! `net.ipv4.ip_forward` and its like do, then restarts the whole system call, again and again (`restart_syscall`).
#![expect(unsafe_code, reason = "the list of addresses is asked for by an ioctl")]

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType, socket};

use super::stuck;

/// How long the kernel may take to restart a call that often. Under emulation all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// The lock, held until the value is dropped.
pub struct HeldRtnl {
    /// Closing it lets the holder go.
    userfault: Option<OwnedFd>,
    holder: Option<JoinHandle<()>>,
}

impl HeldRtnl {
    /// Takes the lock; it is held when this returns. `lo` must have its address.
    #[track_caller]
    pub fn take() -> HeldRtnl {
        let (userfault, page) = stuck::pages(stuck::PAGE).expect("root may have a userfaultfd");
        let holder = thread::spawn(move || {
            // Where it fails nobody asks for the page, and the wait below says so.
            let _ = list_addresses(page);
        });
        stuck::wait_for_pages(&userfault, 1);
        HeldRtnl { userfault: Some(userfault), holder: Some(holder) }
    }
}

impl Drop for HeldRtnl {
    fn drop(&mut self) {
        drop(self.userfault.take());
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}

/// Has the kernel list the addresses of all interfaces into a page.
fn list_addresses(page: usize) -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `struct ifconf` is plain data, for which zeros are a value.
    let mut list: libc::ifconf = unsafe { std::mem::zeroed() };
    list.ifc_len = stuck::PAGE as libc::c_int;
    list.ifc_ifcu.ifcu_buf = page as *mut libc::c_char;
    // SAFETY: SIOCGIFCONF reads and writes one `struct ifconf`, and fills a page that is mapped to the end.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFCONF, &raw mut list) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A write(2) that the kernel restarts again and again.
pub struct RestartedWrite {
    writer: JoinHandle<io::Result<()>>,
    /// What the kernel counts of the writer (proc_pid_io(5)).
    counts: PathBuf,
}

impl RestartedWrite {
    /// Starts it.
    #[track_caller]
    pub fn start(path: &Path, value: &'static str) -> RestartedWrite {
        let path = path.to_owned();
        let (send, tid) = mpsc::channel();
        let writer = thread::spawn(move || {
            let _ = send.send(rustix::thread::gettid());
            super::write(&path, value)
        });
        let tid = tid.recv().expect("the writer says who it is");
        let counts = PathBuf::from(format!("/proc/self/task/{}/io", tid.as_raw_pid()));
        RestartedWrite { writer, counts }
    }

    /// Waits until the call was made this often, and has not returned yet.
    #[track_caller]
    pub fn wait_for_calls(&self, calls: u64) {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(&self.counts).expect("the writer is still writing");
            let made = text.lines().find_map(|line| line.strip_prefix("syscw: ")?.parse::<u64>().ok());
            let made = made.unwrap_or_else(|| panic!("no `syscw` in {text:?}"));
            if made >= calls {
                return;
            }
            assert!(start.elapsed() < LIMIT, "the call was made only {made} times");
            thread::yield_now();
        }
    }

    /// Waits until it returns.
    #[track_caller]
    pub fn join(self) {
        let written = self.writer.join().expect("the writer does not panic");
        written.expect("root may write");
    }
}
