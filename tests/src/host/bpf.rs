//! The BPF programs that the kernel holds.
#![expect(unsafe_code, reason = "bpf(2) has no wrapper that is not a loader")]

use std::{collections::BTreeSet, io, mem};

/// `BPF_PROG_GET_NEXT_ID` of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const PROG_GET_NEXT_ID: libc::c_int = 11;

/// The part of `union bpf_attr` that the command reads and writes.
#[repr(C)]
#[derive(Default)]
struct NextId {
    start_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The ids of all programs that are loaded now.
#[track_caller]
pub fn programs() -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut attr = NextId::default();
    loop {
        // SAFETY: the command reads and writes `attr` alone, and the length given is that of `attr`.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, PROG_GET_NEXT_ID, &raw mut attr, mem::size_of::<NextId>())
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "cannot list the BPF programs: {error}");
            return ids;
        }
        ids.insert(attr.next_id);
        attr.start_id = attr.next_id;
    }
}
