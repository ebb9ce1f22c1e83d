//! Changes of an interface's MTU. A bond sets the MTU of its slaves inside its own call, so calls nest in one task.
//!
//! Entry and return have two forms each, kprobe and fentry; user space attaches one of them.

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    macros::{fentry, fexit, kprobe, kretprobe, map},
    maps::LruHashMap,
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use watcher_common::{COMM, Counter, Kind, MtuEnter, OwnerKind, Return};

use crate::{
    emit::{count, emit, now},
    knob,
    read::{self, Address, member},
};

/// How many calls that were left without a return we saw are passed over at most. More are a hint without result.
const LEFT: usize = 4;

/// How many calls are under way in a task.
#[map]
static DEPTHS: LruHashMap<Address, u64> = LruHashMap::with_max_entries(256, 0);

/// The calls that are under way.
#[map]
static CALLS_MTU: LruHashMap<Place, Call> = LruHashMap::with_max_entries(1024, 0);

/// The place of a call: its task, and how many calls of the task it is inside of.
#[repr(C)]
#[derive(Clone, Copy)]
struct Place {
    task: Address,
    depth: u64,
}

/// A call under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Call {
    /// When it was entered; 0 for a call that is not sent.
    entered: u64,
    /// The stack pointer at its entry. A call inside lies lower; one that does not was left without a return we saw.
    stack: u64,
}

/// A change of an MTU was entered.
///
/// `dev_set_mtu_ext`, net/core/dev.c, v5.10 to v6.12; `netif_set_mtu_ext` since v6.15:
/// `int netif_set_mtu_ext(struct net_device *dev, int new_mtu, struct netlink_ext_ack *extack)`
#[kprobe]
pub fn mtu_enter(ctx: ProbeContext) -> u32 {
    if let (Some(device), Some(requested)) = (ctx.arg::<Address>(0), ctx.arg::<u32>(1)) {
        entered(&ctx, device, requested, now(), stack(ctx.regs));
    }
    0
}

/// The same by fentry. No return is ever missed here, so that a later call always lies inside: the later, the lower.
#[fentry]
pub fn mtu_fentry(ctx: FEntryContext) -> i32 {
    let time = now();
    entered(&ctx, ctx.arg(0), ctx.arg(1), time, !time);
    0
}

/// A change of an MTU returned.
#[kretprobe]
pub fn mtu_return(ctx: RetProbeContext) -> u32 {
    returned(&ctx, ctx.ret(), stack(ctx.regs));
    0
}

/// The same by fexit: what a function of three arguments gives stands behind them.
#[fexit]
pub fn mtu_fexit(ctx: FExitContext) -> i32 {
    returned(&ctx, ctx.arg(3), 0);
    0
}

#[inline(always)]
fn entered<C: EbpfContext>(log: &C, device: Address, requested: u32, time: u64, stack: u64) {
    let task = read::task();
    let mut entered = time;
    let owner: u32 = member(member(device, knob!(offsets.device_net)), knob!(offsets.net_number));
    if read::is_foreign(OwnerKind::Net, owner) && knob!(send_foreign) == 0 {
        count(Counter::Foreign);
        entered = 0;
    }
    push(task, Call { entered, stack });
    if entered == 0 {
        return;
    }
    emit(Kind::MtuEnter, task, entered, |record: *mut MtuEnter| {
        // SAFETY: `emit` gives a record that is valid for writes.
        unsafe {
            read::who(task, &raw mut (*record).who);
            (*record).owner = owner;
            (*record).index = member(device, knob!(offsets.device_index));
            (*record).old = member(device, knob!(offsets.device_mtu));
            (*record).requested = requested;
            let name = device + u64::from(knob!(offsets.device_name));
            read::text((&raw mut (*record).name).cast(), COMM, name);
        }
    });
    debug!(log, "change of an MTU entered, to {}", requested);
}

#[inline(always)]
fn returned<C: EbpfContext>(log: &C, result: i32, stack: u64) {
    let task = read::task();
    let entered = pop(task, stack);
    if entered == 0 {
        return;
    }
    emit(Kind::MtuReturn, task, entered, |record: *mut Return| {
        // SAFETY: `emit` gives a record that is valid for writes.
        unsafe { (*record).result = i64::from(result) };
    });
    debug!(log, "change of an MTU returned {}", result);
}

/// Notes a call that begins.
#[inline(always)]
fn push(task: Address, call: Call) {
    // SAFETY: only this task writes its entries.
    let mut depth = unsafe { DEPTHS.get(&task) }.copied().unwrap_or(0);
    for _ in 0..LEFT {
        if depth == 0 {
            break;
        }
        // SAFETY: as above.
        match unsafe { CALLS_MTU.get(&Place { task, depth: depth - 1 }) } {
            Some(outer) if outer.stack > call.stack => break,
            _ => depth -= 1,
        }
    }
    let _ = CALLS_MTU.insert(&Place { task, depth }, &call, 0);
    let _ = DEPTHS.insert(&task, &(depth + 1), 0);
}

/// Takes the call off that returns to above `stack`, with the calls inside of it whose return was not seen: when it was
/// entered, or 0 where nothing of it is sent. With 0 it is the innermost.
///
/// A return is missed where the kernel has no instance left for it: before 5.17 a kernel without preemption has one for
/// each processor, and a bond that sets its slaves' MTU holds one itself (`register_kretprobe`, kernel/kprobes.c).
#[inline(always)]
fn pop(task: Address, stack: u64) -> u64 {
    // SAFETY: only this task writes its entries.
    let mut depth = unsafe { DEPTHS.get(&task) }.copied().unwrap_or(0);
    let mut entered = 0;
    for inside in 0..LEFT {
        if depth == 0 {
            break;
        }
        let place = Place { task, depth: depth - 1 };
        // SAFETY: as above.
        match unsafe { CALLS_MTU.get(&place) } {
            // Where the call was entered lies no higher than where it returns to.
            Some(outer) if inside > 0 && outer.stack > stack => break,
            call => entered = call.map_or(0, |call| call.entered),
        }
        let _ = CALLS_MTU.remove(&place);
        depth -= 1;
    }
    if depth == 0 {
        let _ = DEPTHS.remove(&task);
    } else {
        let _ = DEPTHS.insert(&task, &depth, 0);
    }
    entered
}

/// The stack pointer at the entry of the function.
#[inline(always)]
fn stack(regs: *mut pt_regs) -> u64 {
    // SAFETY: the kernel gives registers that are valid for reads.
    #[cfg(bpf_target_arch = "x86_64")]
    unsafe {
        (*regs).rsp
    }
    // SAFETY: as above.
    #[cfg(bpf_target_arch = "aarch64")]
    unsafe {
        (*regs).sp
    }
}
