//! What user space sets before load: where things lie in this kernel's structures, and what to send.

/// The offset of a member that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Everything that user space sets before load.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Knobs {
    /// The address of `net_sysctl_root`; 0 where kallsyms does not tell.
    pub net_root: u64,
    /// The address of `sysctl_table_root`; 0 where kallsyms does not tell.
    pub global_root: u64,
    /// The numbers of the host's namespaces; 0 where they could not be learnt, and then nothing counts as another's.
    pub host_net: u32,
    /// IPC.
    pub host_ipc: u32,
    /// UTS.
    pub host_uts: u32,
    /// User.
    pub host_user: u32,
    /// Not 0: writes owned by another namespace are sent too.
    pub send_foreign: u32,
    /// An [`Identity`].
    pub identity: u32,
    /// Where things lie.
    pub offsets: Offsets,
}

/// By what the programs learn which task runs. What is not asked for is not in the program as the kernel checks it: a
/// helper that this kernel refuses then does not matter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the kernel's memory, at the offsets of this kernel. Needs CAP_PERFMON, and no lockdown for confidentiality.
    Memory = 0,
    /// By helpers alone (`bpf_get_current_pid_tgid` and `_comm`, in `cgroup/sysctl` since v6.1). Only for the
    /// `cgroup/sysctl` program: whose a sysctl is and who the parent is they do not tell.
    Helpers = 1,
    /// Not at all.
    Nobody = 2,
}

/// Offsets in bytes, from the running kernel's BTF; [`ABSENT`] where there is no such member.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Offsets {
    /// `kiocb.ki_filp`
    pub kiocb_file: u32,
    /// `kiocb.ki_pos`
    pub kiocb_position: u32,
    /// `file.f_path.dentry`
    pub file_dentry: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `dentry.d_parent`
    pub dentry_parent: u32,
    /// `dentry.d_name.name`
    pub dentry_name: u32,
    /// `proc_inode.sysctl`
    pub proc_inode_sysctl: u32,
    /// `proc_inode.vfs_inode`
    pub proc_inode_inode: u32,
    /// `ctl_table_header.root`
    pub header_root: u32,
    /// `ctl_table_header.set`
    pub header_set: u32,
    /// `task_struct.pid`
    pub task_tid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.comm`
    pub task_comm: u32,
    /// `task_struct.real_parent`
    pub task_parent: u32,
    /// `task_struct.group_leader`
    pub task_leader: u32,
    /// `task_struct.loginuid`
    pub task_login_uid: u32,
    /// `task_struct.sessionid`
    pub task_session: u32,
    /// `task_struct.nsproxy`
    pub task_nsproxy: u32,
    /// `nsproxy.net_ns`
    pub nsproxy_net: u32,
    /// `nsproxy.ipc_ns`
    pub nsproxy_ipc: u32,
    /// `nsproxy.uts_ns`
    pub nsproxy_uts: u32,
    /// `net.ns.inum`
    pub net_number: u32,
    /// `net.sysctls`
    pub net_sysctls: u32,
    /// `ipc_namespace.ns.inum`
    pub ipc_number: u32,
    /// `ipc_namespace.ipc_set`
    pub ipc_set: u32,
    /// `ipc_namespace.mq_set`
    pub ipc_mq_set: u32,
    /// `uts_namespace.ns.inum`
    pub uts_number: u32,
    /// `user_namespace.ns.inum`
    pub user_number: u32,
    /// `user_namespace.set`
    pub user_set: u32,
    /// `net_device.name`
    pub device_name: u32,
    /// `net_device.ifindex`
    pub device_index: u32,
    /// `net_device.mtu`
    pub device_mtu: u32,
    /// `net_device.nd_net.net`
    pub device_net: u32,
    /// Zero: makes the size a multiple of eight.
    pub padding: u32,
}

const _: () = {
    assert!(size_of::<Offsets>() == 34 * 4);
    assert!(size_of::<Knobs>() == 40 + size_of::<Offsets>());
};

impl Offsets {
    /// No member known.
    pub const NONE: Offsets = Offsets {
        kiocb_file: ABSENT,
        kiocb_position: ABSENT,
        file_dentry: ABSENT,
        file_inode: ABSENT,
        dentry_parent: ABSENT,
        dentry_name: ABSENT,
        proc_inode_sysctl: ABSENT,
        proc_inode_inode: ABSENT,
        header_root: ABSENT,
        header_set: ABSENT,
        task_tid: ABSENT,
        task_tgid: ABSENT,
        task_comm: ABSENT,
        task_parent: ABSENT,
        task_leader: ABSENT,
        task_login_uid: ABSENT,
        task_session: ABSENT,
        task_nsproxy: ABSENT,
        nsproxy_net: ABSENT,
        nsproxy_ipc: ABSENT,
        nsproxy_uts: ABSENT,
        net_number: ABSENT,
        net_sysctls: ABSENT,
        ipc_number: ABSENT,
        ipc_set: ABSENT,
        ipc_mq_set: ABSENT,
        uts_number: ABSENT,
        user_number: ABSENT,
        user_set: ABSENT,
        device_name: ABSENT,
        device_index: ABSENT,
        device_mtu: ABSENT,
        device_net: ABSENT,
        padding: 0,
    };
}

impl Knobs {
    /// Nothing known, nothing asked for.
    pub const NONE: Knobs = Knobs {
        net_root: 0,
        global_root: 0,
        host_net: 0,
        host_ipc: 0,
        host_uts: 0,
        host_user: 0,
        send_foreign: 0,
        identity: Identity::Memory as u32,
        offsets: Offsets::NONE,
    };
}
