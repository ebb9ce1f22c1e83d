//! The ways in which the bytes of a program reach a file of the kernel, each in one call.
//!
//! They differ in what the kernel's `struct iov_iter` holds, and so in what a probe can see of the value: user memory,
//! a list of pieces of it, pages of the kernel's, or user memory that nobody has touched yet.
#![expect(
    unsafe_code,
    reason = "rings and mappings are shared with the kernel, and one address is bad on purpose"
)]

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    ptr,
};

use io_uring::{IoUring, opcode, squeue::Flags, types};
use rustix::{
    fs::{MemfdFlags, memfd_create, sendfile},
    pipe::{SpliceFlags, pipe, splice},
};

/// The way a value reaches the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// write(2).
    Write,
    /// pwrite(2) at position 0.
    Pwrite,
    /// writev(2), one segment for each byte.
    Writev,
    /// write(2) from a mapped page that was never touched.
    FreshPage,
    /// sendfile(2) from a file in memory.
    Sendfile,
    /// splice(2) from a pipe.
    Splice,
    /// io_uring(7): a worker of the ring writes.
    Uring,
    /// io_uring(7) with a thread of the kernel's that polls for what is submitted.
    PolledUring,
}

impl Way {
    /// Those that every kernel offers.
    pub const CALLS: [Way; 6] =
        [Way::Write, Way::Pwrite, Way::Writev, Way::FreshPage, Way::Sendfile, Way::Splice];

    /// Those of io_uring, which an administrator may have switched off.
    pub const RINGS: [Way; 2] = [Way::Uring, Way::PolledUring];
}

/// Whether there is an io_uring to be had.
pub fn has_rings() -> bool {
    IoUring::new(1).is_ok()
}

/// Writes a value in the given way, in one call.
pub fn write_by(path: &Path, way: Way, value: &str) -> io::Result<()> {
    let mut file = open(path)?;
    let written = match way {
        Way::Write => file.write(value.as_bytes())?,
        Way::Pwrite => file.write_at(value.as_bytes(), 0)?,
        Way::Writev => {
            let bytes: Vec<IoSlice<'_>> = value.as_bytes().chunks(1).map(IoSlice::new).collect();
            file.write_vectored(&bytes)?
        }
        Way::FreshPage => write_fresh_page(&file, value)?,
        Way::Sendfile => sendfile(&file, in_memory(value)?, None, value.len())?,
        Way::Splice => {
            let (reader, writer) = pipe()?;
            rustix::io::write(&writer, value.as_bytes())?;
            splice(&reader, None, &file, None, value.len(), SpliceFlags::empty())?
        }
        Way::Uring => write_by_ring(&file, &mut IoUring::new(1)?, value)?,
        // The thread ends with the ring; until then it goes to sleep after this many milliseconds without work.
        Way::PolledUring => write_by_ring(&file, &mut IoUring::builder().setup_sqpoll(10).build(1)?, value)?,
    };
    match written == value.len() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{written} of {} bytes were taken", value.len()))),
    }
}

/// Writes by pwrite(2) at a position; how many bytes the kernel says it took.
pub fn write_at(path: &Path, position: u64, value: &str) -> io::Result<usize> {
    open(path)?.write_at(value.as_bytes(), position)
}

/// Writes values one after the other on one descriptor, so that each begins where the last one ended; how many bytes
/// the kernel says it took of each.
pub fn write_on(path: &Path, values: &[&str]) -> io::Result<Vec<usize>> {
    let mut file = open(path)?;
    values.iter().map(|value| file.write(value.as_bytes())).collect()
}

/// Writes two bytes from an address where nothing is.
pub fn write_from_nowhere(path: &Path) -> io::Result<usize> {
    let file = open(path)?;
    // SAFETY: the kernel checks the address, and says EFAULT.
    let result = unsafe { libc::write(file.as_raw_fd(), ptr::without_provenance(1), 2) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// A file in memory that holds a value, at its beginning.
fn in_memory(value: &str) -> io::Result<File> {
    let memory: OwnedFd = memfd_create("value", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(value.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Writes from a page that the kernel has, and this process has not looked at: what copies from it without being able
/// to wait finds nothing there.
fn write_fresh_page(file: &File, value: &str) -> io::Result<usize> {
    let memory = in_memory(value)?;
    let (length, fd) = (value.len(), memory.as_raw_fd());
    // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is that long, and stays until it is unmapped below.
    let result = unsafe { libc::write(file.as_raw_fd(), page, length) };
    let result = usize::try_from(result).map_err(|_| io::Error::last_os_error());
    // SAFETY: it was mapped above, and nothing points into it any more.
    unsafe { libc::munmap(page, length) };
    result
}

/// Writes by an io_uring, from a file that is registered with it: before 5.11 a ring that is polled knows no others.
fn write_by_ring(file: &File, ring: &mut IoUring, value: &str) -> io::Result<usize> {
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    let length = u32::try_from(value.len()).map_err(io::Error::other)?;
    let write = opcode::Write::new(types::Fixed(0), value.as_ptr(), length).build().flags(Flags::ASYNC);
    // SAFETY: the value outlives the call, which is over when its completion is there.
    unsafe { ring.submission().push(&write) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next().ok_or_else(|| io::Error::other("the ring gave no completion"))?;
    usize::try_from(done.result()).map_err(|_| io::Error::from_raw_os_error(-done.result()))
}
