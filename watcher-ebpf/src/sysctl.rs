//! Writes below `/proc/sys`: who and whose at entry, the values from the kernel's own copies, the result at return.
//!
//! Entry and return have two forms each, kprobe and fentry; user space attaches one of them.

use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sysctl,
    helpers::generated::{bpf_sysctl_get_current_value, bpf_sysctl_get_name, bpf_sysctl_get_new_value},
    macros::{cgroup_sysctl, fentry, fexit, kprobe, kretprobe, map},
    maps::LruHashMap,
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext, SysctlContext},
};
use aya_log_ebpf::debug;
use watcher_common::{Counter, Flags, Kind, Return, SysctlEnter, SysctlValues, VALUE};

use crate::{
    emit::{count, emit, now},
    knob,
    read::{self, Address, member},
};

/// The writes that are under way, by task. It forgets the oldest when it is full, so that writers who sit in the
/// kernel for ever cannot shut out others.
#[map]
static CALLS: LruHashMap<Address, Call> = LruHashMap::with_max_entries(4096, 0);

/// A write under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Call {
    /// When it was entered.
    entered: u64,
    /// Not 0: it is another namespace's, and nothing of it is sent.
    foreign: u64,
}

/// A write was entered.
///
/// `proc_sys_write`, fs/proc/proc_sysctl.c, v5.10 to v7.2:
/// `static ssize_t proc_sys_write(struct kiocb *iocb, struct iov_iter *iter)`
#[kprobe]
pub fn sysctl_enter(ctx: ProbeContext) -> u32 {
    if let Some(iocb) = ctx.arg::<Address>(0) {
        entered(&ctx, iocb);
    }
    0
}

/// The same by fentry.
#[fentry]
pub fn sysctl_fentry(ctx: FEntryContext) -> i32 {
    entered(&ctx, ctx.arg(0));
    0
}

/// A write returned.
#[kretprobe]
pub fn sysctl_return(ctx: RetProbeContext) -> u32 {
    returned(&ctx, ctx.ret());
    0
}

/// The same by fexit: what a function of two arguments gives stands behind them.
#[fexit]
pub fn sysctl_fexit(ctx: FExitContext) -> i32 {
    returned(&ctx, ctx.arg(2));
    0
}

#[inline(always)]
fn entered<C: EbpfContext>(log: &C, iocb: Address) {
    let task = read::task();
    let entered = now();
    let file: Address = member(iocb, knob!(offsets.kiocb_file));
    let (kind, number) = read::owner(task, file);
    let foreign = read::is_foreign(kind, number) && knob!(send_foreign) == 0;
    // The call is noted before its record is sent, so that the values find it even when the ring is full.
    let _ = CALLS.insert(&task, &Call { entered, foreign: foreign.into() }, 0);
    if foreign {
        count(Counter::Foreign);
        return;
    }
    emit(Kind::SysctlEnter, task, entered, |record: *mut SysctlEnter| {
        // SAFETY: `emit` gives a record that is valid for writes.
        unsafe {
            read::who(task, &raw mut (*record).who);
            (*record).owner_kind = kind as u32;
            (*record).owner = number;
            (*record).position = member(iocb, knob!(offsets.kiocb_position));
            read::path(file, record);
        }
    });
    debug!(log, "write of a sysctl entered, owner {} {}", kind as u32, number);
}

#[inline(always)]
fn returned<C: EbpfContext>(log: &C, result: i64) {
    let task = read::task();
    // SAFETY: only this task, in this call, writes this entry.
    let Some(call) = (unsafe { CALLS.get(&task) }).copied() else { return };
    let _ = CALLS.remove(&task);
    if call.foreign != 0 {
        return;
    }
    emit(Kind::SysctlReturn, task, call.entered, |record: *mut Return| {
        // SAFETY: `emit` gives a record that is valid for writes.
        unsafe { (*record).result = result };
    });
    debug!(log, "write of a sysctl returned {}", result);
}

/// The kernel is about to hand a value to a sysctl's handler, or to show one.
///
/// It gives 1 on every path: anything else refuses the write.
#[cgroup_sysctl]
pub fn sysctl_values(ctx: SysctlContext) -> i32 {
    // SAFETY: the kernel gives a context that is valid for reads.
    let (write, position) = unsafe { ((*ctx.sysctl).write, (*ctx.sysctl).file_pos) };
    if write != 0 {
        values(&ctx, ctx.sysctl, i64::from(position));
    }
    1
}

#[inline(always)]
fn values(log: &SysctlContext, ctx: *mut bpf_sysctl, position: i64) {
    let task = read::task();
    // SAFETY: only this task, in this call, writes this entry.
    let call = unsafe { CALLS.get(&task) }.copied();
    let entered = match call {
        Some(call) if call.foreign != 0 => return,
        Some(call) => call.entered,
        None => 0,
    };
    emit(Kind::SysctlValues, task, entered, |record: *mut SysctlValues| {
        // SAFETY: `emit` gives a record that is valid for writes, and the lengths are those of its arrays.
        unsafe {
            read::who(task, &raw mut (*record).who);
            (*record).position = position;
            (*record).padding = 0;
            let name = &raw mut (*record).name;
            (*record).name_length =
                bpf_sysctl_get_name(ctx, name.cast(), size_of_val(&*name) as u64, 0) as i32;
            let old = &raw mut (*record).old;
            let old_length = bpf_sysctl_get_current_value(ctx, old.cast(), VALUE as u64) as i32;
            (*record).old_length = old_length;
            if old_length == TOO_BIG {
                (*record).header.flags |= Flags::OLD_CUT;
            }
            let requested = &raw mut (*record).requested;
            let requested_length = bpf_sysctl_get_new_value(ctx, requested.cast(), VALUE as u64) as i32;
            (*record).requested_length = requested_length;
            if requested_length == TOO_BIG {
                (*record).header.flags |= Flags::REQUESTED_CUT;
            }
        }
    });
    debug!(log, "values of a sysctl, call entered at {}", entered);
}

/// `-E2BIG`: the buffer is filled with the beginning of the text.
const TOO_BIG: i32 = -7;
