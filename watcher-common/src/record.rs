//! The records on the ring. Each begins with a [`Header`] that says which one it is and how long.
//!
//! Fixed-width integers and byte arrays only, padding spelled out, native byte order: writer and reader run on the
//! same machine. What is behind the end of a text in its array is left over from older records: read up to the NUL
//! or the length, never further.

use core::mem::{offset_of, size_of};

/// The version of the records; a daemon refuses another one.
pub const VERSION: u16 = 1;
/// How many components of a path below `/proc` a record holds. The deepest in practice has six, `sys` included.
pub const COMPONENTS: usize = 8;
/// Bytes for one component, NUL included. The longest in practice has 43.
pub const COMPONENT: usize = 64;
/// Bytes for a name with `/` between its components, as the `cgroup/sysctl` program gets it.
pub const NAME: usize = 256;
/// Bytes for a value.
pub const VALUE: usize = 256;
/// Bytes for the name of a task (`TASK_COMM_LEN`) or an interface (`IFNAMSIZ`), NUL included.
pub const COMM: usize = 16;

/// Which record it is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`SysctlEnter`].
    SysctlEnter = 1,
    /// [`SysctlValues`].
    SysctlValues = 2,
    /// [`Return`] of a write of a sysctl.
    SysctlReturn = 3,
    /// [`MtuEnter`].
    MtuEnter = 4,
    /// [`Return`] of a change of an MTU.
    MtuReturn = 5,
}

impl Kind {
    /// The kind of this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::SysctlEnter,
            2 => Kind::SysctlValues,
            3 => Kind::SysctlReturn,
            4 => Kind::MtuEnter,
            5 => Kind::MtuReturn,
            _ => return None,
        })
    }
}

/// What was too long for the record: bits of [`Header::flags`].
pub struct Flags;

impl Flags {
    /// The path has more components, or a longer one, than a record holds.
    pub const PATH_CUT: u8 = 1;
    /// The old value is longer.
    pub const OLD_CUT: u8 = 2;
    /// The requested value is longer.
    pub const REQUESTED_CUT: u8 = 4;
}

/// The namespace that owns what was written.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// It could not be told.
    Unknown = 0,
    /// None: there is one of it on the host.
    Global = 1,
    /// A network namespace.
    Net = 2,
    /// An IPC namespace.
    Ipc = 3,
    /// A UTS namespace.
    Uts = 4,
    /// A user namespace.
    User = 5,
}

/// The places of the counters in the counters' map.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records that the ring had no room for.
    Lost = 0,
    /// Writes owned by another namespace, not sent.
    Foreign = 1,
}

impl Counter {
    /// How many there are.
    pub const COUNT: u32 = 2;
}

/// The beginning of each record.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Header {
    /// [`VERSION`].
    pub version: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// Bits of [`Flags`].
    pub flags: u8,
    /// Bytes of the whole record.
    pub size: u32,
    /// When the call was entered, in nanoseconds since boot. With `tid` it names the call. Zero where the entry was
    /// not seen.
    pub entered: u64,
    /// When the record was made, in nanoseconds since boot.
    pub time: u64,
    /// The kernel's `pid` of the task.
    pub tid: u32,
    /// The kernel's `tgid` of the task.
    pub tgid: u32,
}

/// The task that called.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Who {
    /// The user id in the first user namespace.
    pub uid: u32,
    /// The login uid; `u32::MAX` where none was set.
    pub login_uid: u32,
    /// The audit session; `u32::MAX` where none was set.
    pub session_id: u32,
    /// The parent's tgid.
    pub parent: u32,
    /// The number of the writer's network namespace; 0 where it could not be read.
    pub net: u32,
    /// Zero.
    pub padding: u32,
    /// The id of the task's cgroup in the version 2 hierarchy.
    pub cgroup: u64,
    /// The task's name. That of the thread group's leader where the task is a worker of io_uring.
    pub comm: [u8; COMM],
    /// The parent's name.
    pub parent_comm: [u8; COMM],
}

/// A write of a sysctl was entered.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct SysctlEnter {
    /// The beginning of each record.
    pub header: Header,
    /// The task.
    pub who: Who,
    /// An [`OwnerKind`].
    pub owner_kind: u32,
    /// The number of the owning namespace.
    pub owner: u32,
    /// The file position.
    pub position: i64,
    /// How many components the path has, `sys` included.
    pub components: u32,
    /// Zero.
    pub padding: u32,
    /// The components from the leaf up, each ended by NUL.
    pub path: [[u8; COMPONENT]; COMPONENTS],
}

/// The kernel is about to hand a value to a sysctl's handler.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct SysctlValues {
    /// The beginning of each record.
    pub header: Header,
    /// The task.
    pub who: Who,
    /// The file position.
    pub position: i64,
    /// The length of `name`, or a negative errno.
    pub name_length: i32,
    /// The length of `old`, or a negative errno.
    pub old_length: i32,
    /// The length of `requested`, or a negative errno.
    pub requested_length: i32,
    /// Zero.
    pub padding: u32,
    /// The path below `/proc/sys`.
    pub name: [u8; NAME],
    /// What the handler showed just before.
    pub old: [u8; VALUE],
    /// What was written.
    pub requested: [u8; VALUE],
}

/// A change of an MTU was entered.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct MtuEnter {
    /// The beginning of each record.
    pub header: Header,
    /// The task.
    pub who: Who,
    /// The number of the network namespace that the interface is in.
    pub owner: u32,
    /// The interface's index.
    pub index: u32,
    /// The MTU before.
    pub old: u32,
    /// The MTU asked for.
    pub requested: u32,
    /// The interface's name, ended by NUL.
    pub name: [u8; COMM],
}

/// A call returned.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Return {
    /// The beginning of each record.
    pub header: Header,
    /// What it returned.
    pub result: i64,
}

// The layout is a promise between two compilers.
const _: () = {
    assert!(size_of::<Header>() == 32);
    assert!(size_of::<Who>() == 64);
    assert!(size_of::<SysctlEnter>() == 632 && offset_of!(SysctlEnter, path) == 120);
    assert!(size_of::<SysctlValues>() == 888 && offset_of!(SysctlValues, name) == 120);
    assert!(size_of::<MtuEnter>() == 128 && offset_of!(MtuEnter, name) == 112);
    assert!(size_of::<Return>() == 40 && offset_of!(Return, result) == 32);
};
