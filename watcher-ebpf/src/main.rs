//! The kernel side of driftd: its maps, its knobs, and the list of its surfaces.
//!
//! A probe says which thing was touched, by whom, when and with what result. It holds no policy and no verdict: user
//! space re-reads the truth. No path here changes what the kernel does.
#![no_std]
#![no_main]

mod emit;
mod mtu;
mod read;
mod sysctl;

use watcher_common::Knobs;

/// What user space sets before load. Read through [`knob`], so that the compiler never takes the value below for the
/// one in force.
#[unsafe(no_mangle)]
static KNOBS: Knobs = Knobs::NONE;

/// One knob, as user space set it.
macro_rules! knob {
    ($($field:ident).+) => { $crate::as_set(&$crate::KNOBS.$($field).+) };
}
pub(crate) use knob;

/// Reads a knob where it lies, whatever value the compiler thinks it has.
#[inline(always)]
fn as_set<T: Copy>(knob: &'static T) -> T {
    // SAFETY: a reference is valid for reads; volatile, because the loader writes it.
    unsafe { core::ptr::read_volatile(knob) }
}

/// The kernel lets only programs under the GPL call `bpf_probe_read_kernel`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// No code path panics; the verifier would refuse a program with one that does.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
