//! The keys that a line is about: one, or all that a pattern matches.

use std::fmt;

use crate::model::{InvalidKey, Key, Pattern};

/// The keys that a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One key.
    Key(Key),
    /// Every key that matches now.
    Pattern(Pattern, Only),
}

/// Which of the matching keys a pattern means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Only {
    /// All.
    All,
    /// Below /sys/block, those of disks: what has a device and is not removable, as TuneD's `[disk]` has it.
    Disks,
}

impl Target {
    /// The keys of any spelling that a [`Key`] has, with wildcards where a file is named.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Target, &'static str> {
        match Pattern::is_one(text) {
            true => Target::pattern(text, Only::All),
            false => Ok(Target::Key(text.parse().map_err(|invalid: InvalidKey| invalid.wanted)?)),
        }
    }

    /// The keys that a spelling with globs in it means.
    ///
    /// # Errors
    /// Why it means none.
    pub(super) fn pattern(text: &str, only: Only) -> Result<Target, &'static str> {
        let pattern = Pattern::parse(text).map_err(|invalid| invalid.wanted)?;
        Ok(Target::Pattern(pattern, only))
    }

    /// The sysctls of a name as sysctl.d(5) spells it: whichever of `.` and `/` comes first separates, and the other
    /// one is swapped; empty components and `.` are passed over.
    ///
    /// # Errors
    /// Why it is none.
    pub fn sysctl(name: &str) -> Result<Target, &'static str> {
        let swapped = match name.find(['.', '/']) {
            Some(at) if name.as_bytes().get(at) == Some(&b'.') => name
                .chars()
                .map(|char| match char {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
            _ => name.to_owned(),
        };
        let components: Vec<&str> = swapped.split('/').filter(|part| !["", "."].contains(part)).collect();
        let name = components.join("/");
        if name.is_empty() {
            return Err("no name of a key stands there");
        }
        if name.starts_with("proc/sys/") {
            return Err("names are below /proc/sys: leave `/proc/sys/` out");
        }
        if Pattern::is_glob(&name) {
            return Target::pattern(&format!("/proc/sys/{name}"), Only::All);
        }
        Key::sysctl(&name).map(Target::Key).map_err(|invalid| invalid.wanted)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Key(key) => key.fmt(f),
            Target::Pattern(pattern, _) => pattern.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let shown = Target::parse(text).map_or_else(|why| format!("not: {why}"), |t| t.to_string());
        assert_eq!(shown, wanted, "{text}");
    }

    #[test]
    fn any_spelling_of_a_key_may_have_wildcards() {
        check("vm.swappiness", "vm.swappiness");
        check("kernel.printk:[0]", "kernel.printk:[0]");
        check("net.ipv4.conf.eth[01].rp_filter", "net.ipv4.conf.eth[01].rp_filter");
        check("/proc/[pid]/stat:state=D", "/proc/[pid]/stat:state=D");
        check("/proc/sys/net/ipv4/conf/*/rp_filter", "/proc/sys/net/ipv4/conf/*/rp_filter");
        check("/sys/block/*/queue/scheduler", "/sys/block/*/queue/scheduler");
        check("link.eth*.mtu", "link.eth*.mtu");
        check("kernel.p*:[0]", "kernel.p*:[0]");
        check("/etc/*", "not: `*` in a sysctl, in `link.*.mtu` or in a path below /sys");
    }

    #[track_caller]
    fn check_sysctl(text: &str, wanted: &str) {
        let shown = Target::sysctl(text).map_or_else(|why| format!("not: {why}"), |t| t.to_string());
        assert_eq!(shown, wanted, "{text}");
    }

    #[test]
    fn the_first_separator_of_a_sysctl_decides() {
        check_sysctl("net.ipv4.conf.eth0/100.rp_filter", "net.ipv4.conf.eth0/100.rp_filter");
        check_sysctl("net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter");
        check_sysctl("/kernel/pid_max", "kernel.pid_max");
        check_sysctl("kernel..pid_max", "kernel.pid_max");
        check_sysctl("/proc/sys/vm/swappiness", "not: names are below /proc/sys: leave `/proc/sys/` out");
        check_sysctl("net/../../etc/*", "not: `.` and `..` are not followed");
        check_sysctl("", "not: no name of a key stands there");
    }
}
