//! The key: one piece of kernel state, with many accepted spellings and one canonical one.

mod coupled;
mod delivered;
mod glob;
mod parse;
mod pattern;
mod surface;
mod sysctl;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{delivered::Barred, pattern::Pattern, surface::Surface};
use self::{
    parse::check_components,
    sysctl::{
        ACTS_ON_READ, LITERAL_SYSCTLS, MOVING_SYSCTLS, column_index, column_name, is_flush, is_secret, swap,
    },
};

/// One piece of kernel state.
///
/// Two keys are equal exactly when their canonical spellings (`Display`) are.
/// A key is named in many places, and a copy of it shares its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Key {
    /// A file below `/proc/sys`, or one column of it.
    Sysctl {
        /// Components joined by `/`, as in the path: `net/ipv4/conf/eth0.100/rp_filter`.
        name: Arc<str>,
        /// A column, by its documented name, and only where it has none as `[n]`, counted from 0.
        column: Option<Arc<str>>,
    },
    /// The MTU of a network interface.
    Link {
        /// The interface's name; it may contain dots (`eth0.100`).
        interface: Arc<str>,
    },
    /// One field of `/proc/meminfo`.
    Meminfo {
        /// The field's name without the colon: `MemAvailable`.
        field: Arc<str>,
    },
    /// `/proc/net/dev`: the whole, or one counter of one interface.
    NetDev {
        /// The interface and the counter's name, one of [`Key::NET_DEV_COUNTERS`].
        counter: Option<(Arc<str>, Arc<str>)>,
    },
    /// A plain file below `/sys`, or one field of a file of a cgroup.
    Sysfs {
        /// The absolute path.
        path: Arc<str>,
        /// The name of a line of `NAME VALUE` in a flat keyed file of a cgroup (kernel
        /// `Documentation/admin-guide/cgroup-v2.rst`): `nr_throttled` of `cpu.stat`.
        field: Option<Arc<str>>,
    },
    /// One average of pressure, in percent of the time, or its total in microseconds: of the host
    /// (`/proc/pressure/RESOURCE`), or of a cgroup (`RESOURCE.pressure` in its directory; kernel
    /// `Documentation/accounting/psi.rst`).
    Pressure {
        /// The absolute path of the file; the resource in it is one of [`Key::PRESSURE_RESOURCES`].
        file: Arc<str>,
        /// `some` or `full`, and one of [`Key::PRESSURE_FIELDS`].
        field: (Arc<str>, Arc<str>),
    },
    /// How many processes are in a state (proc_pid_stat(5)): `/proc/[pid]/stat:state=D`.
    Processes {
        /// The letter of the state.
        state: char,
    },
    /// The kernel's command line: the whole, or one parameter.
    Cmdline {
        /// The parameter's name.
        parameter: Option<Arc<str>>,
    },
}

/// The fields of `/proc/meminfo` that somebody sets, and that stay so (kernel `Documentation/filesystems/proc.rst`,
/// "meminfo", and `fs/proc/meminfo.c`): what the machine has, what was reserved at the boot, the swap that is on, the pools
/// of huge pages, and the limit that is made of these. `HardwareCorrupted` grows where memory fails, and that is worth a
/// finding. `DirectMap4k` and its like are not among them: the kernel splits and joins the pages of its own mapping
/// (arch/x86/mm/pat/set_memory.c, `split_page_count`).
const STEADY_MEMINFO: [&str; 11] = [
    "MemTotal",
    "HighTotal",
    "LowTotal",
    "SwapTotal",
    "CommitLimit",
    "VmallocTotal",
    "HardwareCorrupted",
    "CmaTotal",
    "HugePages_Total",
    "Hugepagesize",
    "Hugetlb",
];

/// Where the interfaces are.
const NET_CLASS: &str = "/sys/class/net/";

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

    /// What `/proc/pressure` has a file for; `irq` only where the kernel counts it.
    pub const PRESSURE_RESOURCES: [&str; 4] = ["cpu", "io", "memory", "irq"];

    /// The fields of a line in such a file.
    pub const PRESSURE_FIELDS: [&str; 4] = ["avg10", "avg60", "avg300", "total"];

    /// The letters of a process's state (proc_pid_stat(5), kernel fs/proc/array.c `task_state_array`).
    pub const PROCESS_STATES: [char; 9] = ['R', 'S', 'D', 'T', 't', 'X', 'Z', 'P', 'I'];

    /// The file that holds the key, as an absolute path below the root of the host.
    pub fn path(&self) -> String {
        match self {
            Key::Sysctl { name, .. } => format!("/proc/sys/{name}"),
            Key::Link { interface } => format!("/sys/class/net/{interface}/mtu"),
            Key::Meminfo { .. } => "/proc/meminfo".into(),
            Key::NetDev { .. } => "/proc/net/dev".into(),
            Key::Sysfs { path, .. } => path.to_string(),
            Key::Pressure { file, .. } => file.to_string(),
            Key::Processes { .. } => "/proc".into(),
            Key::Cmdline { .. } => "/proc/cmdline".into(),
        }
    }

    /// Whether the value moves by itself, so that it is never what the host happened to have: what a rule names is judged, and
    /// what was captured only within a threshold.
    pub fn moves_by_itself(&self) -> bool {
        match self {
            Key::Meminfo { field } => !STEADY_MEMINFO.contains(&&**field),
            Key::NetDev { .. } | Key::Pressure { .. } | Key::Processes { .. } => true,
            Key::Sysctl { name, column } => {
                MOVING_SYSCTLS.contains(&&**name) && column.as_deref() != Some("max")
            }
            Key::Sysfs { path, field } => {
                field.is_some() || path.starts_with("/sys/fs/cgroup/") && path.ends_with(".current")
            }
            Key::Link { .. } | Key::Cmdline { .. } => false,
        }
    }

    /// Whether the value is one text, spaces and all, instead of words between any white space:
    /// `kernel.core_pattern` and its like.
    pub fn is_literal(&self) -> bool {
        match self {
            Key::Sysctl { name, .. } => LITERAL_SYSCTLS.contains(&&**name),
            Key::Cmdline { .. } => true,
            _ => false,
        }
    }

    /// Whether its value is a number of kB: `vm.min_free_kbytes`, `read_ahead_kb` of a disk.
    pub fn counts_in_kilobytes(&self) -> bool {
        match self {
            Key::Sysctl { name, .. } => name.ends_with("_kbytes"),
            Key::Sysfs { path, .. } => path.ends_with("_kb"),
            _ => false,
        }
    }

    /// Whether its value is a program that the kernel runs, or decides which one it runs: what is delivered may not say that.
    pub fn names_program(&self) -> bool {
        match self {
            Key::Sysctl { name, .. } => sysctl::names_program(name),
            // `release_agent` of cgroup v1 (cgroups(7)).
            // And any parameter of a module, because some of them do (fs/nfs/cache_lib.c `cache_getent_prog`,
            // drivers/block/drbd `usermode_helper`).
            Key::Sysfs { path, .. } => {
                &**path == "/sys/kernel/uevent_helper"
                    || path.ends_with("/release_agent")
                    || path.starts_with("/sys/module/")
                    // The same by the links of a device.
                    || path.contains("/module/parameters/")
            }
            _ => false,
        }
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

    /// The name of the interface that the key is about, where any name of it will do: not in a sysctl, which is applied by
    /// the interface's own name alone.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Key::Link { interface } => Some(interface),
            Key::NetDev { counter } => counter.as_ref().map(|(interface, _)| &**interface),
            Key::Sysfs { path, .. } => path.strip_prefix(NET_CLASS)?.split('/').next(),
            _ => None,
        }
    }

    /// The same key of the interface of another name.
    #[must_use]
    pub fn of_interface(&self, name: &Arc<str>) -> Key {
        match self {
            Key::Link { .. } => Key::Link { interface: name.clone() },
            Key::NetDev { counter: Some((_, counter)) } => {
                Key::NetDev { counter: Some((name.clone(), counter.clone())) }
            }
            Key::Sysfs { path, field } => {
                let rest = path.strip_prefix(NET_CLASS).and_then(|path| path.split_once('/'));
                let of = |(_, rest): (&str, &str)| format!("{NET_CLASS}{name}/{rest}").into();
                Key::Sysfs { path: rest.map_or_else(|| path.clone(), of), field: field.clone() }
            }
            other => other.clone(),
        }
    }

    /// The sysctls a write of which may set this key too, with `/` between their components: `vm/dirty_bytes` for
    /// `vm.dirty_ratio`.
    pub fn movers(&self) -> Vec<String> {
        match self {
            Key::Sysctl { name, .. } => coupled::movers(name),
            _ => Vec::new(),
        }
    }

    /// The key of which the kernel lets only one of the two count: writing either sets the other to 0.
    pub fn counterpart(&self) -> Option<Key> {
        match self {
            Key::Sysctl { name, .. } => Key::sysctl(coupled::counterpart(name)?).ok(),
            _ => None,
        }
    }

    /// Whether the value is a secret, never to be shown (`stable_secret`, TCP fast open keys).
    pub fn is_secret(&self) -> bool {
        matches!(self, Key::Sysctl { name, .. } if is_secret(name))
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
            Some(column) => {
                let index = column_index(&name, column).ok_or_else(|| {
                    wrong("a column is `[n]`, counted from 0, or for fs.file-nr one of `allocated`, `unused`, `max`")
                })?;
                // Where a column has a name, its number is another spelling of that.
                Some(column_name(&name, index).unwrap_or(column).into())
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Sysctl { name, column } => {
                // A first component with a dot of its own would make the dotted spelling read otherwise, and what looks like
                // a link's would be one.
                let is_dotted = name.split('/').next().is_some_and(|first| first.contains('.'));
                let is_like_a_link = name.starts_with("link/") && name.ends_with("/mtu");
                match is_dotted || is_like_a_link {
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
            Key::Sysfs { path, field: None } => f.write_str(path),
            Key::Sysfs { path, field: Some(field) } => write!(f, "{path}:{field}"),
            Key::Pressure { file, field: (line, field) } => write!(f, "{file}:{line}.{field}"),
            Key::Processes { state } => write!(f, "/proc/[pid]/stat:state={state}"),
            Key::Cmdline { parameter: None } => f.write_str("/proc/cmdline"),
            Key::Cmdline { parameter: Some(parameter) } => write!(f, "/proc/cmdline:{parameter}"),
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
