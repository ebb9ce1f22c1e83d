//! Small reads of kernel memory: tasks, names, owners. All reads are checked by the kernel and fail softly: what
//! cannot be read is zero.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid,
    bpf_probe_read_kernel,
    generated::{bpf_get_current_comm, bpf_probe_read_kernel_str},
};
use watcher_common::{ABSENT, COMM, COMPONENT, COMPONENTS, Flags, Identity, OwnerKind, SysctlEnter, Who};

use crate::knob;

/// An address in the kernel.
pub type Address = u64;

/// Whether it is by this that the programs learn who runs. The verifier knows the answer, and drops the code behind a
/// "no" before it looks whether the kernel has its helpers.
#[inline(always)]
fn is_by(identity: Identity) -> bool {
    knob!(identity) == identity as u32
}

/// The integer at an address; zero where it cannot be read.
#[inline(always)]
pub fn read<T: Copy + Default>(at: Address) -> T {
    if !is_by(Identity::Memory) {
        return T::default();
    }
    // SAFETY: the helper checks the address and fails on a bad one.
    unsafe { bpf_probe_read_kernel(at as *const T) }.unwrap_or_default()
}

/// The member at an offset; zero where the structure or the member is not there.
#[inline(always)]
pub fn member<T: Copy + Default>(of: Address, offset: u32) -> T {
    if of == 0 || offset == ABSENT { T::default() } else { read(of + u64::from(offset)) }
}

/// Copies a text that ends with NUL into a record. Gives its length with the NUL, or a negative errno; the text is
/// then empty.
///
/// # Safety
/// `to` is valid for writes of `size` bytes, and `size` is at least 1.
#[inline(always)]
pub unsafe fn text(to: *mut u8, size: usize, from: Address) -> i64 {
    // SAFETY: by the caller's promise; the helper checks `from`.
    unsafe {
        to.write(0);
        if !is_by(Identity::Memory) {
            return 0;
        }
        bpf_probe_read_kernel_str(to.cast(), size as u32, from as *const _) as i64
    }
}

/// The task that runs now: its address, or what else tells it from others.
#[inline(always)]
pub fn task() -> Address {
    if is_by(Identity::Memory) {
        // SAFETY: no arguments.
        unsafe { bpf_get_current_task() }
    } else if is_by(Identity::Helpers) {
        bpf_get_current_pid_tgid()
    } else {
        0
    }
}

/// The kernel's `pid` and `tgid` of the task that runs now; zeroes where it is not known.
#[inline(always)]
pub fn ids(task: Address) -> (u32, u32) {
    match is_by(Identity::Memory) {
        true => (member(task, knob!(offsets.task_tid)), member(task, knob!(offsets.task_tgid))),
        // `task` is what `bpf_get_current_pid_tgid` gave, or zero.
        false => (task as u32, (task >> 32) as u32),
    }
}

/// Fills in who runs now.
///
/// # Safety
/// `who` is valid for writes.
#[inline(always)]
pub unsafe fn who(task: Address, who: *mut Who) {
    if !is_by(Identity::Memory) {
        // SAFETY: by the caller's promise.
        unsafe { who_by_helpers(who) };
        return;
    }
    let parent: Address = member(task, knob!(offsets.task_parent));
    // SAFETY: by the caller's promise.
    unsafe {
        (*who).uid = bpf_get_current_uid_gid() as u32;
        (*who).login_uid = present(task, knob!(offsets.task_login_uid));
        (*who).session_id = present(task, knob!(offsets.task_session));
        (*who).parent = member(parent, knob!(offsets.task_tgid));
        (*who).net = namespace(task, knob!(offsets.nsproxy_net), knob!(offsets.net_number));
        (*who).padding = 0;
        (*who).cgroup = bpf_get_current_cgroup_id();
        let comm = (&raw mut (*who).comm).cast::<u8>();
        text(comm, COMM, task + u64::from(knob!(offsets.task_comm)));
        // A worker of io_uring acts for its process: `iou-wrk-TID` and `iou-sqp-TID` name nobody.
        if u32::from_ne_bytes([(*who).comm[0], (*who).comm[1], (*who).comm[2], (*who).comm[3]])
            == u32::from_ne_bytes(*b"iou-")
        {
            let leader: Address = member(task, knob!(offsets.task_leader));
            text(comm, COMM, leader + u64::from(knob!(offsets.task_comm)));
        }
        text((&raw mut (*who).parent_comm).cast(), COMM, parent + u64::from(knob!(offsets.task_comm)));
    }
}

/// The same without the kernel's memory.
///
/// # Safety
/// `who` is valid for writes.
#[inline(always)]
unsafe fn who_by_helpers(who: *mut Who) {
    // SAFETY: by the caller's promise.
    unsafe {
        (*who).uid = bpf_get_current_uid_gid() as u32;
        (*who).login_uid = u32::MAX;
        (*who).session_id = u32::MAX;
        (*who).parent = 0;
        (*who).net = 0;
        (*who).padding = 0;
        (*who).cgroup = bpf_get_current_cgroup_id();
        (*who).comm = [0; COMM];
        (*who).parent_comm = [0; COMM];
        if is_by(Identity::Helpers) {
            bpf_get_current_comm((&raw mut (*who).comm).cast(), COMM as u32);
        }
    }
}

/// The audit id at an offset; "not set" where this kernel keeps none.
#[inline(always)]
fn present(task: Address, offset: u32) -> u32 {
    if offset == ABSENT { u32::MAX } else { member(task, offset) }
}

/// The number of a namespace that the task is in.
#[inline(always)]
fn namespace(task: Address, in_nsproxy: u32, number: u32) -> u32 {
    let nsproxy: Address = member(task, knob!(offsets.task_nsproxy));
    member(member(nsproxy, in_nsproxy), number)
}

/// Fills in the path of an open file from its dentry, leaf first. The open file pins the dentries, so they stay
/// valid, and the path is the same through every mount of procfs.
///
/// # Safety
/// `record` is valid for writes.
#[inline(always)]
pub unsafe fn path(file: Address, record: *mut SysctlEnter) {
    let mut dentry: Address = member(file, knob!(offsets.file_dentry));
    let mut components = 0;
    let mut cut = true;
    // SAFETY: by the caller's promise; every index is below `COMPONENTS`.
    unsafe {
        for at in 0..=COMPONENTS {
            let parent: Address = member(dentry, knob!(offsets.dentry_parent));
            if parent == dentry || parent == 0 {
                // The root of the mount: the whole path was seen.
                cut = false;
                break;
            }
            if at == COMPONENTS {
                break;
            }
            let slot = (&raw mut (*record).path[at]).cast::<u8>();
            // What fills its slot, NUL included, may have been longer: no component of /proc/sys comes near it.
            if text(slot, COMPONENT, member(dentry, knob!(offsets.dentry_name))) >= COMPONENT as i64 {
                break;
            }
            components += 1;
            dentry = parent;
        }
        (*record).components = components;
        (*record).padding = 0;
        if cut {
            (*record).header.flags |= Flags::PATH_CUT;
        }
    }
}

/// The first seven bytes of a name, enough to tell the few names apart that matter.
#[derive(Clone, Copy, PartialEq)]
struct Start([u8; 8]);

impl Start {
    const fn of(name: &[u8]) -> Start {
        let mut bytes = [0; 8];
        let mut at = 0;
        while at < name.len() && at < 7 {
            bytes[at] = name[at];
            at += 1;
        }
        Start(bytes)
    }

    fn starts_with(self, name: &[u8; 3]) -> bool {
        self.0[0] == name[0] && self.0[1] == name[1] && self.0[2] == name[2]
    }
}

/// The starts of the first and the last name of a path below `/proc/sys`.
#[inline(always)]
fn ends(file: Address) -> (Start, Start) {
    let none = Start([0; 8]);
    let (mut top, mut last, mut leaf) = (none, none, none);
    let mut dentry: Address = member(file, knob!(offsets.file_dentry));
    for at in 0..COMPONENTS {
        let parent: Address = member(dentry, knob!(offsets.dentry_parent));
        if parent == dentry || parent == 0 {
            break;
        }
        // When the walk ends, `last` is `sys`, and `top` what stands below it.
        top = last;
        last = none;
        // SAFETY: an array of eight bytes.
        unsafe { text(last.0.as_mut_ptr(), 8, member(dentry, knob!(offsets.dentry_name))) };
        if at == 0 {
            leaf = last;
        }
        dentry = parent;
    }
    (top, leaf)
}

/// Whose sysctl an open file is: the kind and the number of the namespace.
///
/// It is the namespace of the file's header, not of the writer: a descriptor opened before `unshare` still writes the
/// old one. Sysctls of the UTS namespace, and on kernels before 5.19 those of the IPC namespace, hang in the global
/// tree and act on the writer's namespace.
#[inline(always)]
pub fn owner(task: Address, file: Address) -> (OwnerKind, u32) {
    let inode: Address = member(file, knob!(offsets.file_inode));
    let proc_inode = inode.wrapping_sub(u64::from(knob!(offsets.proc_inode_inode)));
    let header: Address = member(proc_inode, knob!(offsets.proc_inode_sysctl));
    let root: Address = member(header, knob!(offsets.header_root));
    let set: Address = member(header, knob!(offsets.header_set));
    if root == 0 || set == 0 || knob!(global_root) == 0 {
        return (OwnerKind::Unknown, 0);
    }
    if root == knob!(net_root) {
        return (OwnerKind::Net, around(set, knob!(offsets.net_sysctls), knob!(offsets.net_number)));
    }
    let (top, leaf) = ends(file);
    if root == knob!(global_root) {
        if top == Start::of(b"fs") {
            // Of what lies below /proc/sys/fs only the files of mqueue/ have names that begin so.
            let is_mqueue = leaf.starts_with(b"msg") || leaf.starts_with(b"que");
            return if knob!(offsets.ipc_mq_set) == ABSENT && is_mqueue {
                (OwnerKind::Ipc, namespace(task, knob!(offsets.nsproxy_ipc), knob!(offsets.ipc_number)))
            } else {
                (OwnerKind::Global, 0)
            };
        }
        if top != Start::of(b"kernel") {
            return (OwnerKind::Global, 0);
        }
        if leaf == Start::of(b"hostname") || leaf == Start::of(b"domainname") {
            return (OwnerKind::Uts, namespace(task, knob!(offsets.nsproxy_uts), knob!(offsets.uts_number)));
        }
        if knob!(offsets.ipc_set) == ABSENT
            && (leaf.starts_with(b"shm") || leaf.starts_with(b"msg") || leaf.starts_with(b"sem"))
        {
            return (OwnerKind::Ipc, namespace(task, knob!(offsets.nsproxy_ipc), knob!(offsets.ipc_number)));
        }
        return (OwnerKind::Global, 0);
    }
    // Three more roots, all named `set_root` in kallsyms: the path tells them apart.
    if top == Start::of(b"user") {
        (OwnerKind::User, around(set, knob!(offsets.user_set), knob!(offsets.user_number)))
    } else if top == Start::of(b"kernel") {
        (OwnerKind::Ipc, around(set, knob!(offsets.ipc_set), knob!(offsets.ipc_number)))
    } else if top == Start::of(b"fs") {
        (OwnerKind::Ipc, around(set, knob!(offsets.ipc_mq_set), knob!(offsets.ipc_number)))
    } else {
        (OwnerKind::Unknown, 0)
    }
}

/// The number of the namespace that a set of sysctls lies in.
#[inline(always)]
fn around(set: Address, set_offset: u32, number: u32) -> u32 {
    if set_offset == ABSENT { 0 } else { member(set.wrapping_sub(u64::from(set_offset)), number) }
}

/// Whether an owner is known to be another than the host.
#[inline(always)]
pub fn is_foreign(kind: OwnerKind, number: u32) -> bool {
    let host = match kind {
        OwnerKind::Unknown | OwnerKind::Global => return false,
        OwnerKind::Net => knob!(host_net),
        OwnerKind::Ipc => knob!(host_ipc),
        OwnerKind::Uts => knob!(host_uts),
        OwnerKind::User => knob!(host_user),
    };
    host != 0 && number != 0 && number != host
}
