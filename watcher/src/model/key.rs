//! The key: one piece of kernel state, with many accepted spellings and one canonical one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One piece of kernel state.
///
/// Two keys are equal exactly when their canonical spellings (`Display`) are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Key {
    /// A file below `/proc/sys`, or one column of it.
    Sysctl {
        /// Components joined by `/`, as in the path: `net/ipv4/conf/eth0.100/rp_filter`.
        name: Box<str>,
        /// A column, by its documented name or as `[n]`, counted from 0.
        column: Option<Box<str>>,
    },
    /// The MTU of a network interface.
    Link {
        /// The interface's name; it may contain dots (`eth0.100`).
        interface: Box<str>,
    },
    /// One field of `/proc/meminfo`.
    Meminfo {
        /// The field's name without the colon: `MemAvailable`.
        field: Box<str>,
    },
    /// `/proc/net/dev`: the whole, or one counter of one interface.
    NetDev {
        /// The interface and the counter's name, one of [`Key::NET_DEV_COUNTERS`].
        counter: Option<(Box<str>, Box<str>)>,
    },
    /// A plain file below `/sys`.
    Sysfs {
        /// The absolute path.
        path: Box<str>,
    },
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a key: {wanted}")]
pub struct InvalidKey {
    /// The text as it was found.
    pub found: String,
    /// What was wanted instead.
    pub wanted: &'static str,
}

impl Key {
    /// The counters of `/proc/net/dev`, in its order, under the names of the kernel's
    /// `Documentation/networking/statistics.rst` and `net/core/net-procfs.c` (`dev_seq_printf_stats`).
    pub const NET_DEV_COUNTERS: [&str; 16] = [
        "rx_bytes",
        "rx_packets",
        "rx_errors",
        "rx_dropped",
        "rx_fifo",
        "rx_frame",
        "rx_compressed",
        "rx_multicast",
        "tx_bytes",
        "tx_packets",
        "tx_errors",
        "tx_dropped",
        "tx_fifo",
        "tx_collisions",
        "tx_carrier",
        "tx_compressed",
    ];

    /// The columns of `/proc/sys/fs/file-nr` (kernel `Documentation/admin-guide/sysctl/fs.rst`).
    pub const FILE_NR_COLUMNS: [&str; 3] = ["allocated", "unused", "max"];

    /// The file that holds the key, as an absolute path below the root of the host.
    pub fn path(&self) -> String {
        match self {
            Key::Sysctl { name, .. } => format!("/proc/sys/{name}"),
            Key::Link { interface } => format!("/sys/class/net/{interface}/mtu"),
            Key::Meminfo { .. } => "/proc/meminfo".into(),
            Key::NetDev { .. } => "/proc/net/dev".into(),
            Key::Sysfs { path } => path.to_string(),
        }
    }

    /// Whether the value moves by itself, so that it can be judged only against a threshold.
    pub fn moves_by_itself(&self) -> bool {
        match self {
            Key::Meminfo { .. } | Key::NetDev { .. } => true,
            Key::Sysctl { name, column } => {
                MOVING_SYSCTLS.contains(&&**name) && column.as_deref() != Some("max")
            }
            Key::Link { .. } | Key::Sysfs { .. } => false,
        }
    }

    /// Whether the value is one text, spaces and all, instead of words between any white space:
    /// `kernel.core_pattern` and its like.
    pub fn is_literal(&self) -> bool {
        matches!(self, Key::Sysctl { name, .. } if LITERAL_SYSCTLS.contains(&&**name))
    }

    /// Whether each namespace may have its own of it under the same name: of the network, IPC, UTS or user kind.
    pub fn may_be_namespaced(&self) -> bool {
        let Key::Sysctl { name, .. } = self else {
            return matches!(self, Key::Link { .. } | Key::NetDev { .. });
        };
        let of_kernel = |leaf: &str| {
            ["shm", "msg", "sem", "auto_msgmni", "hostname", "domainname"].iter().any(|s| leaf.starts_with(s))
        };
        ["net/", "user/", "fs/mqueue/"].iter().any(|tree| name.starts_with(tree))
            || name.strip_prefix("kernel/").is_some_and(of_kernel)
    }

    /// Whether the value is a secret, never to be shown (`stable_secret`, TCP fast open keys).
    pub fn is_secret(&self) -> bool {
        matches!(self, Key::Sysctl { name, .. } if is_secret_sysctl(name))
    }

    /// The sysctl of a name with `/` between its components, as a probe reports it.
    pub fn sysctl(name: &str) -> Result<Key, InvalidKey> {
        Key::new_sysctl(name.to_owned(), None, name)
    }

    fn new_sysctl(name: String, column: Option<&str>, found: &str) -> Result<Key, InvalidKey> {
        let wrong = |wanted| InvalidKey { found: found.to_owned(), wanted };
        check_components(&name).map_err(wrong)?;
        if !name.contains('/') {
            return Err(wrong("a sysctl has at least two components, as in `vm.swappiness`"));
        }
        if ACTS_ON_READ.contains(&&*name) || is_flush(&name) {
            return Err(wrong("this sysctl is write-only or acts when it is read, so it is never read"));
        }
        let column = match column {
            None => None,
            Some(column) if column_index(&name, column).is_some() => Some(column.into()),
            Some(_) => {
                return Err(wrong(
                    "a column is `[n]`, counted from 0, or for fs.file-nr one of `allocated`, `unused`, `max`",
                ));
            }
        };
        Ok(Key::Sysctl { name: name.into(), column })
    }

    /// The place of a sysctl's column in its line, counted from 0.
    pub fn column_index(&self) -> Option<usize> {
        match self {
            Key::Sysctl { name, column: Some(column) } => column_index(name, column),
            _ => None,
        }
    }
}

/// Whether the sysctl of this path below `/proc/sys` holds a secret.
fn is_secret_sysctl(name: &str) -> bool {
    let leaf = name.rsplit('/').next().unwrap_or(name);
    matches!(leaf, "stable_secret" | "tcp_fastopen_key")
}

/// Sysctls that the kernel moves without anyone writing them.
const MOVING_SYSCTLS: [&str; 8] = [
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
const LITERAL_SYSCTLS: [&str; 6] = [
    "kernel/core_pattern",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/hotplug",
    "kernel/modprobe",
    "kernel/poweroff_cmd",
];

/// Sysctls that are never read: `vm.stat_refresh` acts on read (kernel `mm/vmstat.c`), the others are triggers.
const ACTS_ON_READ: [&str; 3] = ["vm/stat_refresh", "vm/compact_memory", "vm/drop_caches"];

fn is_flush(name: &str) -> bool {
    name.ends_with("/route/flush")
}

fn column_index(name: &str, column: &str) -> Option<usize> {
    if let Some(number) = column.strip_prefix('[').and_then(|c| c.strip_suffix(']')) {
        return number.parse().ok().filter(|n: &usize| *n < 64 && n.to_string() == number);
    }
    (name == "fs/file-nr").then(|| Key::FILE_NR_COLUMNS.iter().position(|c| *c == column))?
}

/// Refuses what could leave the tree or hide in a line: empty components, `.`, `..`, white space, globs.
fn check_components(path: &str) -> Result<(), &'static str> {
    for component in path.split('/') {
        match component {
            "" => return Err("two separators follow each other, or one stands at an end"),
            "." | ".." => return Err("`.` and `..` are not followed"),
            _ => {}
        }
    }
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("no white space or control characters");
    }
    if path.contains(['*', '?']) {
        return Err("one key, written out; patterns are not understood here");
    }
    Ok(())
}

/// Turns the spelling of sysctl(8) and sysctl.d(5) into components joined by `/`: whichever of `.` and `/`
/// comes first separates, and the other one is swapped (`net.ipv4.conf.eth0/100` is `net/ipv4/conf/eth0.100`).
fn slashed(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'.') => swap(name),
        _ => name.to_owned(),
    }
}

fn swap(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Key, InvalidKey> {
        let wrong = |wanted| InvalidKey { found: text.to_owned(), wanted };
        let (place, field) = match text.split_once(':') {
            Some((_, "")) => return Err(wrong("a field's name after the colon")),
            Some((place, field)) => (place, Some(field)),
            None => (text, None),
        };
        if let Some(name) = place.strip_prefix("/proc/sys/") {
            return Key::new_sysctl(name.to_owned(), field, text);
        }
        if place == "/proc/meminfo" {
            let field = field.ok_or_else(|| wrong("a field, as in `/proc/meminfo:MemAvailable`"))?;
            // `Active(anon)` is a field's name too.
            if !field.bytes().all(|b| b.is_ascii_alphanumeric() || b"_()".contains(&b)) {
                return Err(wrong("a field of /proc/meminfo, as in `/proc/meminfo:MemAvailable`"));
            }
            return Ok(Key::Meminfo { field: field.into() });
        }
        if place == "/proc/net/dev" {
            let Some(field) = field else { return Ok(Key::NetDev { counter: None }) };
            return match field.rsplit_once('.') {
                Some((interface, counter))
                    if is_interface(interface) && Key::NET_DEV_COUNTERS.contains(&counter) =>
                {
                    Ok(Key::NetDev { counter: Some((interface.into(), counter.into())) })
                }
                _ => Err(wrong("INTERFACE.COUNTER after the colon, as in `/proc/net/dev:eth0.rx_dropped`")),
            };
        }
        if place.starts_with('/') && !place.starts_with("/sys/") {
            return Err(wrong(
                "files below /proc/sys and /sys, /proc/meminfo:FIELD and /proc/net/dev are what can be watched",
            ));
        }
        if let Some(path) = place.strip_prefix("/sys/") {
            if field.is_some() {
                return Err(wrong("a file below /sys is one value, without a field"));
            }
            check_components(path).map_err(wrong)?;
            let link = path.strip_prefix("class/net/").and_then(|p| p.strip_suffix("/mtu"));
            return match link {
                Some(interface) if is_interface(interface) => Ok(Key::Link { interface: interface.into() }),
                _ => Ok(Key::Sysfs { path: place.into() }),
            };
        }
        if let Some(interface) = place.strip_prefix("link.").and_then(|p| p.strip_suffix(".mtu")) {
            return match is_interface(interface) && field.is_none() {
                true => Ok(Key::Link { interface: interface.into() }),
                false => Err(wrong("an interface's name, as in `link.eth0.mtu`")),
            };
        }
        Key::new_sysctl(slashed(place), field, text)
    }
}

/// What the kernel takes as an interface's name: 1 to 15 bytes, no `/`, no `:`, no white space, not `.` or `..`
/// (`net/core/dev.c`, `dev_valid_name`).
fn is_interface(name: &str) -> bool {
    (1..16).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Sysctl { name, column } => {
                // A first component with a dot of its own would make the dotted spelling read otherwise.
                match name.split('/').next().is_some_and(|first| first.contains('.')) {
                    true => write!(f, "/proc/sys/{name}")?,
                    false => f.write_str(&swap(name))?,
                }
                match column {
                    Some(column) => write!(f, ":{column}"),
                    None => Ok(()),
                }
            }
            Key::Link { interface } => write!(f, "link.{interface}.mtu"),
            Key::Meminfo { field } => write!(f, "/proc/meminfo:{field}"),
            Key::NetDev { counter: None } => f.write_str("/proc/net/dev"),
            Key::NetDev { counter: Some((interface, counter)) } => {
                write!(f, "/proc/net/dev:{interface}.{counter}")
            }
            Key::Sysfs { path } => f.write_str(path),
        }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Key, InvalidKey> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(spelling: &str, canonical: &str, path: &str) {
        let key: Key = spelling.parse().unwrap();
        assert_eq!((key.to_string().as_str(), key.path().as_str()), (canonical, path), "of {spelling}");
        assert_eq!(canonical.parse::<Key>().unwrap(), key, "the canonical spelling is accepted");
    }

    #[test]
    fn every_spelling_has_one_canonical_form() {
        for spelling in ["vm.swappiness", "vm/swappiness", "/proc/sys/vm/swappiness"] {
            check(spelling, "vm.swappiness", "/proc/sys/vm/swappiness");
        }
        for spelling in ["net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"] {
            check(spelling, "net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter");
        }
        for spelling in ["link.eth0.100.mtu", "/sys/class/net/eth0.100/mtu"] {
            check(spelling, "link.eth0.100.mtu", "/sys/class/net/eth0.100/mtu");
        }
        check("/proc/sys/fs/file-nr:allocated", "fs.file-nr:allocated", "/proc/sys/fs/file-nr");
        check("kernel.printk:[0]", "kernel.printk:[0]", "/proc/sys/kernel/printk");
        check("/proc/meminfo:Active(anon)", "/proc/meminfo:Active(anon)", "/proc/meminfo");
        check("/proc/net/dev", "/proc/net/dev", "/proc/net/dev");
        check("/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev");
        let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
        check(thp, thp, thp);
    }

    #[track_caller]
    fn check_refused(spelling: &str, wanted: &str) {
        let error = spelling.parse::<Key>().unwrap_err();
        assert!(error.wanted.contains(wanted), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_was_wanted() {
        check_refused("", "two separators");
        check_refused("swappiness", "at least two components");
        check_refused("/proc/sys/../../etc/shadow", "`..` are not followed");
        check_refused("/sys/../etc/shadow", "`..` are not followed");
        check_refused("/etc/shadow", "what can be watched");
        check_refused("/proc/meminfo", "a field");
        check_refused("/proc/meminfo:", "a field's name");
        check_refused("/proc/net/dev:eth0.bytes", "INTERFACE.COUNTER");
        check_refused("fs.file-nr:used", "a column is");
        check_refused("kernel.printk:[01]", "a column is");
        check_refused("vm.stat_refresh", "acts when it is read");
        check_refused("net.ipv4.conf.*.rp_filter", "patterns are not understood");
        check_refused("link.averyveryverylongname.mtu", "an interface's name");
    }

    #[test]
    fn what_moves_by_itself_is_known() {
        for (key, moves) in [
            ("/proc/meminfo:MemAvailable", true),
            ("/proc/net/dev", true),
            ("fs.file-nr", true),
            ("fs.file-nr:allocated", true),
            ("fs.file-nr:max", false),
            ("vm.swappiness", false),
        ] {
            assert_eq!(key.parse::<Key>().unwrap().moves_by_itself(), moves, "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_round_trips(text in ".{0,40}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
            }
        }

        #[test]
        fn any_path_of_a_probe_round_trips(parts in proptest::collection::vec("[a-z0-9._-]{1,12}", 2..6)) {
            if let Ok(key) = Key::sysctl(&parts.join("/")) {
                prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
            }
        }
    }
}
