//! What is known about single sysctls, and how their names are spelt.

use super::Key;

/// Whether the sysctl of this path below `/proc/sys` holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let leaf = name.rsplit('/').next().unwrap_or(name);
    matches!(leaf, "stable_secret" | "tcp_fastopen_key")
}

/// Sysctls that the kernel moves without anyone writing them.
pub(super) const MOVING_SYSCTLS: [&str; 8] = [
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/dentry-state",
    "fs/aio-nr",
    "kernel/random/entropy_avail",
    "kernel/random/uuid",
    "net/netfilter/nf_conntrack_count",
];

/// Sysctls whose value is one text.
pub(super) const LITERAL_SYSCTLS: [&str; 6] = [
    "kernel/core_pattern",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/hotplug",
    "kernel/modprobe",
    "kernel/poweroff_cmd",
];

/// Sysctls that name a program, or say how the kernel starts one: whoever writes them runs what he likes as root.
/// fs/coredump.c (`core_pattern`), lib/kobject_uevent.c (`hotplug`), kernel/module/kmod.c (`modprobe`), kernel/reboot.c
/// (`poweroff_cmd`), arch/sparc/kernel/setup_64.c (`reboot-cmd`), fs/ocfs2/stackglue.c (`hb_ctl_path`).
const PROGRAMS: [&str; 6] = [
    "kernel/core_pattern",
    "kernel/hotplug",
    "kernel/modprobe",
    "kernel/poweroff_cmd",
    "kernel/reboot-cmd",
    "fs/ocfs2/nm/hb_ctl_path",
];

/// Whole directories of such: fs/binfmt_misc.c, where interpreters are registered, and kernel/umh.c, which says with what
/// rights helpers run.
const OF_PROGRAMS: [&str; 2] = ["fs/binfmt_misc/", "kernel/usermodehelper/"];

/// Whether the sysctl of this path below `/proc/sys` names a program.
pub(super) fn names_program(name: &str) -> bool {
    PROGRAMS.contains(&name) || OF_PROGRAMS.iter().any(|tree| name.starts_with(tree))
}

/// Sysctls that are never read: `vm.stat_refresh` acts on read (kernel `mm/vmstat.c`), the others are triggers.
pub(super) const ACTS_ON_READ: [&str; 3] = ["vm/stat_refresh", "vm/compact_memory", "vm/drop_caches"];

pub(super) fn is_flush(name: &str) -> bool {
    name.ends_with("/route/flush")
}

pub(super) fn column_index(name: &str, column: &str) -> Option<usize> {
    if let Some(number) = column.strip_prefix('[').and_then(|c| c.strip_suffix(']')) {
        return number.parse().ok().filter(|n: &usize| *n < 64 && n.to_string() == number);
    }
    (name == "fs/file-nr").then(|| Key::FILE_NR_COLUMNS.iter().position(|c| *c == column))?
}

/// The documented name of a column, where it has one.
pub(super) fn column_name(name: &str, index: usize) -> Option<&'static str> {
    (name == "fs/file-nr").then(|| Key::FILE_NR_COLUMNS.get(index).copied())?
}

/// Turns the spelling of sysctl(8) and sysctl.d(5) into components joined by `/`: whichever of `.` and `/`
/// comes first separates, and the other one is swapped (`net.ipv4.conf.eth0/100` is `net/ipv4/conf/eth0.100`).
pub(super) fn slashed(name: &str) -> String {
    match name.bytes().find(|byte| matches!(byte, b'.' | b'/')) {
        Some(b'.') => swap(name),
        _ => name.to_owned(),
    }
}

pub(super) fn swap(name: &str) -> String {
    let swapped = name.bytes().map(|byte| match byte {
        b'.' => b'/',
        b'/' => b'.',
        other => other,
    });
    // ASCII for ASCII: what was UTF-8 still is.
    String::from_utf8(swapped.collect()).unwrap_or_default()
}
