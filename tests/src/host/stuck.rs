//! Writers that are stuck in the kernel, in the middle of their write(2).
//!
//! Their buffers are pages that userfaultfd(2) answers for, and it does not answer: the kernel waits while it
//! copies from them. The return probe of `proc_sys_write` has an instance for each call that has not returned,
//! and at most `max(10, 2 * CPUs)` of them (kernel/kprobes.c): with more writers stuck than that, no other return
//! is seen.
#![expect(unsafe_code, reason = "userfaultfd(2) and mmap(2) work on raw memory")]

use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    ptr,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// `UFFD_API`, `UFFDIO_API`, `UFFDIO_REGISTER` and `UFFDIO_REGISTER_MODE_MISSING` (include/uapi/linux/userfaultfd.h).
const API: u64 = 0xaa;
const IOCTL_API: libc::Ioctl = 0xc018_aa3f;
const IOCTL_REGISTER: libc::Ioctl = 0xc020_aa00;
const MODE_MISSING: u64 = 1;

/// `struct uffdio_api`.
#[repr(C)]
struct UffdioApi {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct UffdioRegister {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// The size of `struct uffd_msg`: one for each page that is waited for.
const MESSAGE: usize = 32;

/// A page; larger pages only make the buffers overlap less.
pub(super) const PAGE: usize = 4096;

/// How long it may take until all are stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// Writers stuck in the kernel until the value is dropped. Then they write zeros, which no number is: they are refused.
pub struct StuckWriters {
    /// Closing it lets them go.
    userfault: Option<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl StuckWriters {
    /// Starts so many writers of a file; they are stuck when this returns.
    #[track_caller]
    pub fn start(count: usize, path: &Path) -> StuckWriters {
        let length = count * PAGE;
        let (userfault, memory) = pages(length).expect("root may have a userfaultfd");
        let threads = (0..count)
            .map(|index| {
                let file = OpenOptions::new().write(true).open(path).expect("the file can be written");
                let buffer = memory + index * PAGE;
                thread::spawn(move || {
                    // SAFETY: the page is mapped until the process ends, and only the kernel reads it.
                    unsafe { libc::write(file.as_raw_fd(), buffer as *const libc::c_void, 2) };
                })
            })
            .collect();
        wait_for_pages(&userfault, count);
        StuckWriters { userfault: Some(userfault), threads }
    }
}

/// Waits until the kernel has asked for so many pages: behind each somebody is stuck.
#[track_caller]
pub(super) fn wait_for_pages(userfault: &OwnedFd, count: usize) {
    let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    let mut buffer = [0; MESSAGE * 32];
    let mut asked = 0;
    while asked < count {
        let mut fds = [PollFd::new(userfault, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&limit)).expect("poll(2) works");
        assert!(ready > 0, "only {asked} of {count} pages were asked for");
        asked += rustix::io::read(userfault, &mut buffer).expect("a userfaultfd is read") / MESSAGE;
    }
}

impl Drop for StuckWriters {
    fn drop(&mut self) {
        drop(self.userfault.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Memory that is never there, and the descriptor that is asked for it. The memory is left mapped to the end.
pub(super) fn pages(length: usize) -> io::Result<(OwnedFd, usize)> {
    // SAFETY: userfaultfd(2) takes flags only and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new, and nobody else owns it.
    let userfault = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut api = UffdioApi { api: API, features: 0, ioctls: 0 };
    // SAFETY: UFFDIO_API reads and writes one `struct uffdio_api`.
    check(unsafe { libc::ioctl(fd, IOCTL_API, &raw mut api) })?;
    // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = memory as usize;
    let mut register =
        UffdioRegister { start: start as u64, len: length as u64, mode: MODE_MISSING, ioctls: 0 };
    // SAFETY: UFFDIO_REGISTER reads and writes one `struct uffdio_register`, and the range is the mapping above.
    check(unsafe { libc::ioctl(fd, IOCTL_REGISTER, &raw mut register) })?;
    Ok((userfault, start))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
