//! The plans that `probes:` in the configuration forces, each of which must end in the same state.

use std::{env, fmt, path::Path};

/// A forced plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// kprobes on sysctl writes and MTU changes.
    Kprobe,
    /// The `cgroup/sysctl` program, and rtnetlink.
    Cgroup,
    /// rtnetlink, and sweeps.
    Netlink,
    /// Sweeps alone.
    None,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 4] = [Mode::Kprobe, Mode::Cgroup, Mode::Netlink, Mode::None];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Cgroup => "cgroup",
            Mode::Netlink => "netlink",
            Mode::None => "none",
        }
    }

    /// How sysctl writes are noticed then, in the words of the `start` line.
    pub fn sysctl(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Cgroup => "cgroup",
            Mode::Netlink | Mode::None => "swept",
        }
    }

    /// How MTU changes are noticed then, in the words of the `start` line.
    pub fn link(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Cgroup | Mode::Netlink => "netlink",
            Mode::None => "swept",
        }
    }

    /// `seen_by` of a finding about a sysctl.
    pub fn sysctl_seen_by(self) -> &'static str {
        match self.sysctl() {
            "swept" => "sweep",
            other => other,
        }
    }

    /// `seen_by` of a finding about an MTU.
    pub fn link_seen_by(self) -> &'static str {
        match self.link() {
            "swept" => "sweep",
            other => other,
        }
    }

    /// Why this machine cannot offer the mode, if it cannot. In the VM every mode is there, or its scenarios fail.
    pub fn missing(self) -> Option<&'static str> {
        if in_vm() {
            return None;
        }
        match self {
            Mode::Kprobe | Mode::Cgroup if !rustix::process::geteuid().is_root() => Some("not root"),
            Mode::Kprobe if !Path::new("/sys/bus/event_source/devices/kprobe").exists() => {
                Some("this kernel has no kprobes")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether this is the VM: our PID 1 says so.
pub fn in_vm() -> bool {
    env::var_os("DRIFTD_VM").is_some()
}
