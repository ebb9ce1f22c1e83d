//! Waiting until a descriptor of the kernel has something to read, or to tell.
#![expect(unsafe_code, reason = "tokio's registration of a descriptor is unsafe to call")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor that tells when `source` has something to read: a duplicate, so that it lives as long as it must.
pub fn readable(source: &impl AsRawFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `source` is borrowed for this call, and keeps its descriptor open meanwhile.
    let borrowed = unsafe { BorrowedFd::borrow_raw(source.as_raw_fd()) };
    waited_for(borrowed.try_clone_to_owned()?, Interest::READABLE)
}

/// A descriptor that tells when it has something urgent (POLLPRI), or when what it was for is gone (POLLERR).
pub fn urgent(owned: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    waited_for(owned, URGENT)
}

/// What [`urgent`] is to be asked for.
pub const URGENT: Interest = Interest::PRIORITY.add(Interest::ERROR);

fn waited_for(owned: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same descriptor and closes it only when dropped, and only the `AsyncFd`
    // has it.
    Ok(unsafe { AsyncFd::register_with_interest(owned, interest) }?)
}
