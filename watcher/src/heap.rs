//! The C library's heap: what is freed goes back to the kernel. Two settings, and no allocator of our own.
//!
//! A start takes much more memory than running does: the kernel's BTF alone is read as one text of some 6 MB. Left to
//! itself, glibc learns from such a piece that big pieces are usual, takes the next from its heap, and keeps up to twice as much
//! free at the heap's end for good (mallopt(3), `M_MMAP_THRESHOLD`).
#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library's settings are foreign functions")
)]

/// The size from which a piece is mapped for itself and goes back when it is freed, in bytes: glibc's own first value, which
/// being set stays.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 * 1024;

/// Keeps glibc from learning from big pieces. Other C libraries give back what is freed by themselves.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two integers, locks the heap it changes, and has no other conditions (mallopt(3)).
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) };
}

/// Gives the kernel every free page of the heap, those between pieces in use too (malloc_trim(3)): for after the start.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes an integer, locks each heap it looks through, and moves nothing that is in use.
    let _ = unsafe { libc::malloc_trim(0) };
}
