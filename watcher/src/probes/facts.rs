//! What the host offers: looked at once, at start. Facts only; [`plan`](super::plan) decides.
//!
//! What could not be learnt is `None` and is not the same as "no". No kernel version is ever compared.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use watcher_common::{ABSENT, Identity, Offsets};

use super::{btf::Btf, psi};

/// What the host offers.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The effective capabilities.
    pub capabilities: Capabilities,
    /// Whether kprobes can be had.
    pub kprobes: Kprobes,
    /// Whether the kernel refused fentry and fexit when they were tried. No file tells beforehand.
    pub fexit_refused: bool,
    /// What the kernel's lockdown keeps from us; `None` where securityfs is not mounted.
    pub lockdown: Option<Lockdown>,
    /// `kernel.ftrace_enabled`: while it is 0, kprobes and fexit attach and never fire.
    pub ftrace_enabled: Option<bool>,
    /// `kprobes/enabled` of debugfs: while it is 0, kprobes attach and never fire. `None` where it is not mounted.
    pub kprobes_enabled: Option<bool>,
    /// Where the kernel's structures have their members, or why that is not known.
    pub offsets: Result<Offsets, String>,
    /// Whether the kernel has `proc_sys_write`.
    pub sysctl_function: bool,
    /// The function that sets an MTU, on every way: the newer name where there are two.
    pub mtu_function: Option<&'static str>,
    /// Addresses of the roots of the sysctl trees.
    pub roots: Roots,
    /// The whole cgroup version 2 hierarchy.
    pub cgroup2: Cgroup2,
    /// By what the `cgroup/sysctl` program alone may learn who writes.
    pub identity: Identity,
    /// Whether PSI triggers can be set, or why not.
    pub psi: Result<(), String>,
    /// The numbers of the host's namespaces.
    pub host: Namespaces,
}

/// Whether kprobes can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kprobes {
    /// Yes.
    Permitted,
    /// The kernel has none (CONFIG_KPROBES).
    Absent,
    /// `kernel.perf_event_paranoid` is above 2, and CAP_SYS_ADMIN is missing (a patch of Debian's).
    Paranoid,
    /// The kernel refused them when they were tried.
    Refused,
}

/// What the kernel's lockdown keeps from root (kernel_lockdown(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing.
    None,
    /// Changing the running kernel.
    Integrity,
    /// Reading its memory as well: no kprobe, and no program that reads memory.
    Confidentiality,
}

impl Lockdown {
    /// The word for it, as in securityfs.
    pub fn as_str(self) -> &'static str {
        match self {
            Lockdown::None => "none",
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
        }
    }
}

/// The whole cgroup version 2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup2 {
    /// Where it is mounted.
    Mounted(PathBuf),
    /// It is not.
    Absent,
    /// The kernel refused the program when it was tried.
    Refused,
}

/// A part of a plan, as far as it stands or falls by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kprobes on writes of sysctls.
    Kprobe,
    /// The fentry and fexit programs on writes of sysctls.
    Fexit,
    /// The programs on changes of MTUs.
    Mtu,
    /// The `cgroup/sysctl` program, as it learns who writes now.
    Values,
    /// The `cgroup/sysctl` program, however it learns who writes: somebody else holds the hierarchy.
    Cgroup,
    /// Everything: the object itself.
    All,
}

/// The capabilities that matter here, of the effective set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    bits: u64,
}

impl Capabilities {
    /// `CAP_NET_ADMIN`, include/uapi/linux/capability.h.
    pub const NET_ADMIN: (u32, &'static str) = (12, "CAP_NET_ADMIN");
    /// `CAP_SYS_PTRACE`
    pub const SYS_PTRACE: (u32, &'static str) = (19, "CAP_SYS_PTRACE");
    /// `CAP_SYS_RESOURCE`
    pub const SYS_RESOURCE: (u32, &'static str) = (24, "CAP_SYS_RESOURCE");
    /// `CAP_SYSLOG`
    pub const SYSLOG: (u32, &'static str) = (34, "CAP_SYSLOG");
    /// `CAP_SYS_ADMIN`
    pub const SYS_ADMIN: (u32, &'static str) = (21, "CAP_SYS_ADMIN");
    /// `CAP_PERFMON`
    pub const PERFMON: (u32, &'static str) = (38, "CAP_PERFMON");
    /// `CAP_BPF`
    pub const BPF: (u32, &'static str) = (39, "CAP_BPF");

    /// The set with these bits, as `CapEff` in /proc/PID/status has them.
    pub fn from_bits(bits: u64) -> Capabilities {
        Capabilities { bits }
    }

    /// Whether a capability is there, or CAP_SYS_ADMIN where the kernel takes that for it
    /// (`bpf_capable`, `perfmon_capable`, `bpf_net_capable`: include/linux/capability.h, kernel/bpf/syscall.c).
    pub fn has(self, capability: (u32, &'static str)) -> bool {
        let bit = |number: u32| self.bits >> number & 1 == 1;
        let contained = [Self::BPF, Self::PERFMON, Self::NET_ADMIN, Self::SYSLOG].contains(&capability);
        bit(capability.0) || contained && bit(Self::SYS_ADMIN.0)
    }

    /// The names of those of a list that are missing.
    pub fn missing(self, wanted: &[(u32, &'static str)]) -> Vec<&'static str> {
        wanted.iter().filter(|c| !self.has(**c)).map(|c| c.1).collect()
    }
}

/// The addresses of the roots of the sysctl trees; 0 where kallsyms hides them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// `net_sysctl_root`
    pub net: u64,
    /// `sysctl_table_root`
    pub global: u64,
}

/// The numbers of the host's namespaces; 0 where one could not be learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Network.
    pub net: u32,
    /// IPC.
    pub ipc: u32,
    /// UTS.
    pub uts: u32,
    /// User.
    pub user: u32,
}

impl Facts {
    /// Takes note that the kernel refused a part of a plan, so that the next plan does without it, or with less of it.
    pub fn refuse(&mut self, part: Part) {
        match part {
            Part::Kprobe => self.kprobes = Kprobes::Refused,
            Part::Fexit => self.fexit_refused = true,
            Part::Mtu => self.mtu_function = None,
            Part::Values => match self.identity {
                Identity::Memory => self.identity = Identity::Helpers,
                Identity::Helpers => self.identity = Identity::Nobody,
                Identity::Nobody => self.cgroup2 = Cgroup2::Refused,
            },
            Part::Cgroup => self.cgroup2 = Cgroup2::Refused,
            Part::All => {
                self.kprobes = Kprobes::Refused;
                self.fexit_refused = true;
                self.cgroup2 = Cgroup2::Refused;
            }
        }
    }
}

/// Looks at the host below `root` (`/`).
pub fn facts(root: &Path) -> Facts {
    let capabilities = capabilities(root);
    let lockdown = lockdown(root);
    let kprobes = kprobes(root, capabilities);
    let btf = fs::read(root.join("sys/kernel/btf/vmlinux"));
    let (offsets, sysctl_function, mtu_function) = match &btf {
        Err(error) => (Err(format!("/sys/kernel/btf/vmlinux cannot be read: {error}")), false, None),
        Ok(text) => match Btf::parse(text) {
            Err(error) => (Err(format!("/sys/kernel/btf/vmlinux: {error}")), false, None),
            Ok(btf) => (
                offsets(&btf),
                btf.has_function("proc_sys_write"),
                ["netif_set_mtu_ext", "dev_set_mtu_ext"].into_iter().find(|name| btf.has_function(name)),
            ),
        },
    };
    let reads_memory = capabilities.has(Capabilities::PERFMON) && lockdown != Some(Lockdown::Confidentiality);
    // A long text, and of no use where no program may read what lies there.
    let roots = if reads_memory { roots(root) } else { Roots::default() };
    // Without offsets there is nothing to read the memory by.
    let identity = if reads_memory && offsets.is_ok() { Identity::Memory } else { Identity::Helpers };
    Facts {
        capabilities,
        kprobes,
        fexit_refused: false,
        lockdown,
        ftrace_enabled: switch(root, "proc/sys/kernel/ftrace_enabled"),
        kprobes_enabled: switch(root, "sys/kernel/debug/kprobes/enabled"),
        offsets,
        sysctl_function,
        mtu_function,
        roots,
        cgroup2: cgroup2(root),
        identity,
        psi: psi::permitted(root),
        host: Namespaces {
            net: namespace(root, "net"),
            ipc: namespace(root, "ipc"),
            uts: namespace(root, "uts"),
            user: namespace(root, "user"),
        },
    }
}

fn capabilities(root: &Path) -> Capabilities {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    Capabilities { bits }
}

fn kprobes(root: &Path, capabilities: Capabilities) -> Kprobes {
    if !root.join("sys/bus/event_source/devices/kprobe/type").exists() {
        return Kprobes::Absent;
    }
    let paranoid = number_in(root, "proc/sys/kernel/perf_event_paranoid").is_some_and(|level| level > 2);
    match paranoid && !capabilities.has(Capabilities::SYS_ADMIN) {
        true => Kprobes::Paranoid,
        false => Kprobes::Permitted,
    }
}

/// The word in brackets of the kernel's own list (security/lockdown/lockdown.c).
fn lockdown(root: &Path) -> Option<Lockdown> {
    let words = fs::read_to_string(root.join("sys/kernel/security/lockdown")).ok()?;
    [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality]
        .into_iter()
        .find(|one| words.contains(&format!("[{}]", one.as_str())))
}

/// Whether a switch is on; `None` where it is not there.
pub(super) fn switch(root: &Path, file: &str) -> Option<bool> {
    number_in(root, file).map(|number| number != 0)
}

fn number_in(root: &Path, file: &str) -> Option<i64> {
    fs::read_to_string(root.join(file)).ok()?.trim().parse().ok()
}

/// The mount point of the whole version 2 hierarchy, from /proc/self/mountinfo (proc_pid_mountinfo(5)): its root
/// must be `/`, for a bind mount of a child shows only that child.
fn cgroup2(root: &Path) -> Cgroup2 {
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let place = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (inside, place) = (fields.next()?, fields.next()?);
        (after.starts_with("cgroup2 ") && inside == "/" && !place.contains('\\'))
            .then(|| PathBuf::from(place))
    });
    place.map_or(Cgroup2::Absent, Cgroup2::Mounted)
}

/// The number of a namespace of process 1, which needs ptrace access to it; else of our own, which is the host's
/// where the daemon runs as a unit.
fn namespace(root: &Path, kind: &str) -> u32 {
    ["1", "self"]
        .iter()
        .find_map(|process| fs::metadata(root.join(format!("proc/{process}/ns/{kind}"))).ok())
        .and_then(|file| u32::try_from(file.ino()).ok())
        .unwrap_or(0)
}

/// The two addresses, from /proc/kallsyms; it shows zeroes to who may not see them (`kernel.kptr_restrict`).
fn roots(root: &Path) -> Roots {
    let mut roots = Roots::default();
    let Ok(file) = fs::File::open(root.join("proc/kallsyms")) else { return roots };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    while (roots.net == 0 || roots.global == 0) && file.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        for (name, place) in
            [(&b" net_sysctl_root\n"[..], &mut roots.net), (b" sysctl_table_root\n", &mut roots.global)]
        {
            if line.ends_with(name) {
                let digits = line.get(..16).and_then(|digits| str::from_utf8(digits).ok());
                *place = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
            }
        }
        line.clear();
    }
    roots
}

/// The offsets of this kernel. A kernel without one of the first list cannot be watched by our programs at all.
fn offsets(btf: &Btf<'_>) -> Result<Offsets, String> {
    let need = |structure: &str, path: &[&str]| {
        btf.offset(structure, path).ok_or_else(|| format!("BTF has no `{structure}.{}`", path.join(".")))
    };
    let want = |structure: &str, path: &[&str]| btf.offset(structure, path).unwrap_or(ABSENT);
    Ok(Offsets {
        kiocb_file: need("kiocb", &["ki_filp"])?,
        kiocb_position: need("kiocb", &["ki_pos"])?,
        file_dentry: need("file", &["f_path", "dentry"])?,
        file_inode: need("file", &["f_inode"])?,
        dentry_parent: need("dentry", &["d_parent"])?,
        dentry_name: need("dentry", &["d_name", "name"])?,
        proc_inode_sysctl: need("proc_inode", &["sysctl"])?,
        proc_inode_inode: need("proc_inode", &["vfs_inode"])?,
        header_root: need("ctl_table_header", &["root"])?,
        header_set: need("ctl_table_header", &["set"])?,
        task_tid: need("task_struct", &["pid"])?,
        task_tgid: need("task_struct", &["tgid"])?,
        task_comm: need("task_struct", &["comm"])?,
        task_parent: need("task_struct", &["real_parent"])?,
        task_leader: need("task_struct", &["group_leader"])?,
        task_nsproxy: need("task_struct", &["nsproxy"])?,
        nsproxy_net: need("nsproxy", &["net_ns"])?,
        net_number: need("net", &["ns", "inum"])?,
        net_sysctls: need("net", &["sysctls"])?,
        device_name: need("net_device", &["name"])?,
        device_index: need("net_device", &["ifindex"])?,
        device_mtu: need("net_device", &["mtu"])?,
        device_net: need("net_device", &["nd_net", "net"])?,
        // CONFIG_AUDIT
        task_login_uid: want("task_struct", &["loginuid"]),
        task_session: want("task_struct", &["sessionid"]),
        // CONFIG_IPC_NS, CONFIG_UTS_NS, CONFIG_USER_NS; the sets of IPC since 5.19.
        nsproxy_ipc: want("nsproxy", &["ipc_ns"]),
        nsproxy_uts: want("nsproxy", &["uts_ns"]),
        ipc_number: want("ipc_namespace", &["ns", "inum"]),
        ipc_set: want("ipc_namespace", &["ipc_set"]),
        ipc_mq_set: want("ipc_namespace", &["mq_set"]),
        uts_number: want("uts_namespace", &["ns", "inum"]),
        user_number: want("user_namespace", &["ns", "inum"]),
        user_set: want("user_namespace", &["set"]),
        padding: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn a_bare_root_gives_facts_and_no_error() {
        let facts = facts(host(&[]).path());
        assert_eq!(
            (facts.kprobes, facts.ftrace_enabled, facts.cgroup2),
            (Kprobes::Absent, None, Cgroup2::Absent)
        );
        assert!(facts.offsets.unwrap_err().contains("/sys/kernel/btf/vmlinux cannot be read"));
    }

    #[test]
    fn a_paranoid_kernel_permits_kprobes_only_with_sys_admin() {
        for (capabilities, level, kprobes) in [
            ("000001ffffffffff", "3", Kprobes::Permitted),
            ("000000c000001000", "3", Kprobes::Paranoid),
            ("000000c000001000", "2", Kprobes::Permitted),
        ] {
            let root = host(&[
                ("proc/self/status", &format!("Name:\tdriftd\nCapEff:\t{capabilities}\n")),
                ("proc/sys/kernel/perf_event_paranoid", level),
                ("sys/bus/event_source/devices/kprobe/type", "6\n"),
            ]);
            assert_eq!(facts(root.path()).kprobes, kprobes, "{capabilities} at {level}");
        }
    }

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        for (text, lockdown) in [
            ("[none] integrity confidentiality\n", Some(Lockdown::None)),
            ("none [integrity] confidentiality\n", Some(Lockdown::Integrity)),
            ("none integrity [confidentiality]\n", Some(Lockdown::Confidentiality)),
            ("", None),
        ] {
            let facts = facts(host(&[("sys/kernel/security/lockdown", text)]).path());
            assert_eq!(facts.lockdown, lockdown);
            assert_eq!(facts.identity, Identity::Helpers, "there is no CAP_PERFMON either");
        }
    }

    #[test]
    fn the_mount_of_the_whole_cgroup_hierarchy_is_taken_and_a_bind_mount_of_a_part_is_not() {
        let root = host(&[(
            "proc/self/mountinfo",
            "30 23 0:26 /user.slice /mnt/part rw - cgroup2 cgroup2 rw\n\
             31 23 0:27 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\n\
             32 23 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:10 master:2 - cgroup2 cgroup2 rw\n",
        )]);
        assert_eq!(facts(root.path()).cgroup2, Cgroup2::Mounted("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn the_roots_come_from_kallsyms_and_hidden_ones_are_zero() {
        let kallsyms = "ffffffff81000000 T _text\nffffffff82e4c0a0 d sysctl_table_root\n\
                        ffffffff82f4c0a0 d net_sysctl_root\n";
        assert_eq!(
            roots(host(&[("proc/kallsyms", kallsyms)]).path()),
            Roots { net: 0xffff_ffff_82f4_c0a0, global: 0xffff_ffff_82e4_c0a0 }
        );
        let hidden = "0000000000000000 d sysctl_table_root\n0000000000000000 d net_sysctl_root\n";
        assert_eq!(roots(host(&[("proc/kallsyms", hidden)]).path()), Roots::default());
    }
}
