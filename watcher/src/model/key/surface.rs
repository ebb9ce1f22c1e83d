//! The kind of place a key lives in, as a word.

use serde::{Deserialize, Serialize};

use super::Key;

/// The kind of place a key lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    /// A file below `/proc/sys`.
    Sysctl,
    /// A network interface.
    Link,
    /// `/proc/meminfo`.
    Meminfo,
    /// `/proc/net/dev`.
    Netdev,
    /// A file below `/sys`.
    Sysfs,
    /// A file below `/sys/fs/cgroup`.
    Cgroup,
    /// `/proc/pressure`.
    Pressure,
    /// The processes.
    Process,
    /// The kernel's command line.
    Cmdline,
}

impl Surface {
    /// The word for it, as in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Surface::Sysctl => "sysctl",
            Surface::Link => "link",
            Surface::Meminfo => "meminfo",
            Surface::Netdev => "netdev",
            Surface::Sysfs => "sysfs",
            Surface::Cgroup => "cgroup",
            Surface::Pressure => "pressure",
            Surface::Process => "process",
            Surface::Cmdline => "cmdline",
        }
    }
}

impl Key {
    /// The kind of place it lives in.
    pub fn surface(&self) -> Surface {
        match self {
            Key::Sysctl { .. } => Surface::Sysctl,
            Key::Link { .. } => Surface::Link,
            Key::Meminfo { .. } => Surface::Meminfo,
            Key::NetDev { .. } => Surface::Netdev,
            Key::Sysfs { path, .. } if path.starts_with("/sys/fs/cgroup/") => Surface::Cgroup,
            Key::Sysfs { .. } => Surface::Sysfs,
            Key::Pressure { .. } => Surface::Pressure,
            Key::Processes { .. } => Surface::Process,
            Key::Cmdline { .. } => Surface::Cmdline,
        }
    }
}
