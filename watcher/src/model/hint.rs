//! What a probe says: this key was written, by this writer, at this time, with this result.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Boottime, Key};

/// What a probe says. The value in force is not in it: only a re-read tells that.
#[derive(Clone, PartialEq)]
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

impl fmt::Debug for Hint {
    /// A secret is not in it: it is logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.write.is_secret();
        let shown = |value: &'_ Option<Box<str>>| match value {
            Some(_) if secret => Some("(secret)".into()),
            value => value.clone(),
        };
        f.debug_struct("Hint")
            .field("write", &self.write)
            .field("writer", &self.writer)
            .field("time", &self.time)
            .field("result", &self.result)
            .field("old", &shown(&self.old))
            .field("requested", &shown(&self.requested))
            .field("owner", &self.owner)
            .field("seen_by", &self.seen_by)
            .finish()
    }
}

impl Write {
    /// Whether what is written is a secret.
    fn is_secret(&self) -> bool {
        match self {
            Write::Sysctl(name) => Key::sysctl(name).is_ok_and(|key| key.is_secret()),
            Write::Mtu(_) => false,
        }
    }
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

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Writer { pid, comm, uid, login_uid, parent_pid, parent_comm, unit, .. } = self;
        write!(f, "{comm} (pid {pid}, uid {uid}")?;
        if let Some(login) = login_uid.filter(|login| login != uid) {
            write!(f, ", login uid {login}")?;
        }
        if *parent_pid != 0 {
            write!(f, ", parent {parent_comm} {parent_pid}")?;
        }
        if let Some(unit) = unit {
            write!(f, ", unit {unit}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
impl Writer {
    /// One of a test, of which nothing matters but its process id.
    pub fn of(pid: u32) -> Writer {
        Writer {
            pid,
            tid: pid,
            comm: "sh".into(),
            uid: 0,
            login_uid: None,
            session_id: None,
            parent_pid: 1,
            parent_comm: "init".into(),
            cgroup_id: 1,
            unit: None,
        }
    }
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
    /// A PSI trigger: pressure rose.
    Psi,
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
            SeenBy::Psi => "psi",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_hint_shows_values_and_no_secret() {
        for (name, secret) in [("net/ipv6/conf/all/stable_secret", true), ("vm/swappiness", false)] {
            let hint = Hint {
                write: Write::Sysctl(name.into()),
                writer: None,
                time: Boottime { nanos: 0 },
                result: None,
                old: Some("old1".into()),
                requested: Some("new1".into()),
                owner: Owner::Host,
                seen_by: SeenBy::Kprobe,
            };
            let shown = format!("{hint:?}");
            assert_eq!(shown.contains("old1") || shown.contains("new1"), !secret, "{shown}");
        }
    }
}
