//! What a probe says: this key was written, by this writer, at this time, with this result.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Boottime;

/// What a probe says. The value in force is not in it: only a re-read tells that.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    /// What was written.
    pub write: Write,
    /// Who wrote it.
    pub writer: Option<Writer>,
    /// When the call was entered.
    pub time: Boottime,
    /// What the call returned: the count of bytes, zero, or a negative errno. `None` where the probe cannot know.
    pub result: Option<i64>,
    /// The value before, by the kernel's own word.
    pub old: Option<Box<str>>,
    /// The value that was asked for, by the kernel's own copy of it; `None` where it is longer than a record holds.
    pub requested: Option<Box<str>>,
    /// Whose key it was.
    pub owner: Owner,
    /// Which probe saw it.
    pub seen_by: SeenBy,
}

/// The piece of state a hint is about, as the probe names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// A file below `/proc/sys`: its components joined by `/`.
    Sysctl(Arc<str>),
    /// The MTU of the interface of this name.
    Mtu(Arc<str>),
}

/// The process that wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Writer {
    /// The process id in the host's numbering (the kernel's tgid).
    pub pid: u32,
    /// The thread id in the host's numbering (the kernel's pid).
    pub tid: u32,
    /// The name of the task, at most 15 bytes.
    pub comm: Box<str>,
    /// The user id, as the host's user namespace counts.
    pub uid: u32,
    /// The login uid, that survives `sudo` (`None` where none was set).
    pub login_uid: Option<u32>,
    /// The audit session (`None` where none was set).
    pub session_id: Option<u32>,
    /// The parent's process id.
    pub parent_pid: u32,
    /// The parent's name.
    pub parent_comm: Box<str>,
    /// The id of the cgroup (version 2) of the task.
    pub cgroup_id: u64,
    /// The systemd unit of that cgroup (`None` where it is no unit's, or was gone too soon).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
}

/// Whose key was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The host's, or that of no namespace at all.
    Host,
    /// That of another namespace, of this kind and number.
    Other(OwnerKind, u32),
    /// The probe could not tell.
    Unknown,
}

/// Which kind of namespace owns a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// Network.
    Net,
    /// IPC.
    Ipc,
    /// UTS.
    Uts,
    /// User.
    User,
}

/// How a change was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// kprobe and kretprobe.
    Kprobe,
    /// fentry and fexit.
    Fexit,
    /// The `cgroup/sysctl` program alone.
    Cgroup,
    /// rtnetlink: no writer.
    Netlink,
    /// A re-read that no hint asked for: no writer.
    Sweep,
}

impl SeenBy {
    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            SeenBy::Kprobe => "kprobe",
            SeenBy::Fexit => "fexit",
            SeenBy::Cgroup => "cgroup",
            SeenBy::Netlink => "netlink",
            SeenBy::Sweep => "sweep",
        }
    }
}

/// Which probes the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probes {
    /// The best that the host offers.
    #[default]
    Auto,
    /// kprobe and kretprobe.
    Kprobe,
    /// fentry and fexit.
    Fexit,
    /// The `cgroup/sysctl` program, and rtnetlink for MTUs.
    Cgroup,
    /// rtnetlink alone.
    Netlink,
    /// None: sweeps only.
    None,
}

impl Probes {
    /// The word for it, as in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Probes::Auto => "auto",
            Probes::Kprobe => "kprobe",
            Probes::Fexit => "fexit",
            Probes::Cgroup => "cgroup",
            Probes::Netlink => "netlink",
            Probes::None => "none",
        }
    }
}
