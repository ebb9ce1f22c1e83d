//! The way out: one ring for all records, and counters for what was not sent.

use aya_ebpf::{
    helpers::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use watcher_common::{Counter, Header, Kind, VERSION};

use crate::read::{self, Address};

/// The ring. User space sets its size before load.
#[map]
static RING: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// The counters, at the places of [`Counter`], one for each CPU.
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Adds one to a counter.
///
/// A probe may interrupt another one on its CPU between the read and the write; one of the two is then not counted,
/// but never both, so that a loss is never silent.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: a value of the map, of this CPU.
        unsafe { *value += 1 };
    }
}

/// Nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Sends one record: makes room, lets `fill` write all behind the header, submits. No room is counted.
///
/// `entered` names the call together with the task; zero where its entry was not seen.
#[inline(always)]
pub fn emit<T: 'static>(kind: Kind, task: Address, entered: u64, fill: impl FnOnce(*mut T)) {
    let Some(mut entry): Option<RingBufEntry<T>> = RING.reserve(0) else {
        count(Counter::Lost);
        return;
    };
    let record = entry.as_mut_ptr();
    let (tid, tgid) = read::ids(task);
    // SAFETY: every record begins with a header (`repr(C)`, first member), and the entry is valid for writes.
    unsafe {
        record.cast::<Header>().write(Header {
            version: VERSION,
            kind: kind as u8,
            flags: 0,
            size: size_of::<T>() as u32,
            entered,
            time: now(),
            tid,
            tgid,
        });
    }
    fill(record);
    entry.submit(0);
}
