//! A process that asks for memory and uses all of it.
#![expect(unsafe_code, reason = "mmap(2) works on raw memory")]

use std::{io, ptr, thread};

use super::stuck::PAGE;

/// Maps so much memory at once, writes to each page of it, and keeps it for good.
pub(super) fn fill(bytes: usize) -> io::Result<()> {
    // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let memory = memory.cast::<u8>();
    for offset in (0..bytes).step_by(PAGE) {
        // SAFETY: the offset is within the mapping, which is writable, private, and never unmapped.
        unsafe { memory.add(offset).write_volatile(1) };
    }
    loop {
        thread::park();
    }
}
