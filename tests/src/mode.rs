//! The plans that `probes:` in the configuration forces, each of which must end in the same state.

use std::{env, fmt, fs};

use crate::daemon::driftd;

/// A forced plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// kprobes on sysctl writes and MTU changes.
    Kprobe,
    /// fentry and fexit on the same.
    Fexit,
    /// The `cgroup/sysctl` program, and rtnetlink.
    Cgroup,
    /// rtnetlink, and sweeps.
    Netlink,
    /// Sweeps alone.
    None,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 5] = [Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::Netlink, Mode::None];

    /// Those that hear of a write of a sysctl when it happens, and by whom.
    pub const PROBES: [Mode; 3] = [Mode::Kprobe, Mode::Fexit, Mode::Cgroup];

    /// Those that see who writes, whose key it is, and with what result.
    pub const HOOKS: [Mode; 2] = [Mode::Kprobe, Mode::Fexit];

    /// Whether it sees whose key it is, and with what result it was written.
    pub fn is_hook(self) -> bool {
        Mode::HOOKS.contains(&self)
    }

    /// Whether this kernel may miss a call while another is under way. Without preemption it has but one instance of a
    /// kretprobe for each processor (before 5.17, kernel/kprobes.c, `register_kretprobe`); with preemption a writer may
    /// be taken away from a program by fentry, which runs once at a time on a processor (kernel/bpf/trampoline.c,
    /// `__bpf_prog_enter_recur`).
    pub fn may_miss(self) -> bool {
        let version = fs::read_to_string("/proc/version").unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Mode::Kprobe => !version.contains("PREEMPT") && processors == 1,
            Mode::Fexit => version.contains("PREEMPT"),
            Mode::Cgroup | Mode::Netlink | Mode::None => false,
        }
    }

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Fexit => "fexit",
            Mode::Cgroup => "cgroup",
            Mode::Netlink => "netlink",
            Mode::None => "none",
        }
    }

    /// How sysctl writes are noticed then, in the words of the `start` line.
    pub fn sysctl(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Fexit => "fexit",
            Mode::Cgroup => "cgroup",
            Mode::Netlink | Mode::None => "swept",
        }
    }

    /// How MTU changes are noticed then, in the words of the `start` line.
    pub fn link(self) -> &'static str {
        match self {
            Mode::Kprobe => "kprobe",
            Mode::Fexit => "fexit",
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
            Mode::Netlink | Mode::None => None,
            _ if !rustix::process::geteuid().is_root() => Some("not root"),
            Mode::Kprobe => (!self.can_be_had()).then_some("this kernel has no kprobes"),
            Mode::Fexit => (!self.can_be_had()).then_some("this kernel refuses fexit"),
            Mode::Cgroup => None,
        }
    }
}

impl Mode {
    /// Whether driftd itself says that it can be had here.
    fn can_be_had(self) -> bool {
        let config = tempfile::NamedTempFile::new().expect("there is room for a file");
        fs::write(config.path(), format!("probes: {self}\n")).expect("the configuration can be written");
        let output = driftd().args(["doctor", "--config"]).arg(config.path()).output();
        output.expect("driftd can be started").status.success()
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
