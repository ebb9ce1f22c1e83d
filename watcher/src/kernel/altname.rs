//! Interfaces that are declared by another name than their own (ip-link(8), `altname`). /proc and /sys know only the
//! own one.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::rtnetlink::{IFLA_ALT_IFNAME, RTM_GETLINK, Request, name};
use crate::model::Key;

/// By which name of its interface a key is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// By its own, or it is about no interface.
    Own,
    /// By another; the key by its own.
    Other(Key),
    /// No interface is called so now.
    Unknown,
}

/// The interfaces of a host, by any of their names.
#[derive(Debug)]
pub struct Interfaces {
    root: PathBuf,
    /// The own names of the interfaces that had other ones when they were asked for.
    own: HashMap<Box<str>, Arc<str>>,
}

impl Interfaces {
    /// Those below a root. Only the host itself (`/`) can be asked for other names.
    pub fn new(root: &Path) -> Interfaces {
        Interfaces { root: root.to_owned(), own: HashMap::new() }
    }

    /// Where the host is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks by which name of its interface a key is spelled. What was once one of its names stays so until another has it: an
    /// interface that goes for a moment comes back without its further names, which udev gives it later.
    pub fn spelled(&mut self, key: &Key) -> Spelled {
        let Some(interface) = key.interface() else { return Spelled::Own };
        if self.is_there(interface) {
            return Spelled::Own;
        }
        if self.root != Path::new("/") {
            return Spelled::Unknown;
        }
        let own = match own_name(interface) {
            Some(own) => own,
            None => match self.own.get(interface) {
                Some(own) => own.clone(),
                None => return Spelled::Unknown,
            },
        };
        let named = key.of_interface(&own);
        // The kernel takes names that no key has.
        if named.to_string().parse().as_ref() != Ok(&named) {
            return Spelled::Unknown;
        }
        self.own.insert(interface.into(), own);
        Spelled::Other(named)
    }

    /// The key by its interface's own name, where there is one.
    pub fn by_own_name(&mut self, key: Key) -> Key {
        match self.spelled(&key) {
            Spelled::Other(key) => key,
            Spelled::Own | Spelled::Unknown => key,
        }
    }

    fn is_there(&self, interface: &str) -> bool {
        self.root.join("sys/class/net").join(interface).exists()
    }
}

/// The own name of the interface that has this other one. Kernels before 5.5 know of none.
fn own_name(other: &str) -> Option<Arc<str>> {
    let request = Request { kind: RTM_GETLINK, flags: 0, attributes: &[(IFLA_ALT_IFNAME, &name(other))] };
    Some(request.ask().ok()??.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[track_caller]
    fn check(root: &Path, key: &str, wanted: &Spelled) {
        assert_eq!(Interfaces::new(root).spelled(&key.parse().unwrap()), *wanted, "{key}");
    }

    #[test]
    fn a_name_that_no_interface_has_is_unknown_and_what_is_about_none_is_itself() {
        check(Path::new("/"), "link.driftd-none.mtu", &Spelled::Unknown);
        check(Path::new("/"), "link.lo.mtu", &Spelled::Own);
        check(Path::new("/"), "/sys/class/net/driftd-none/tx_queue_len", &Spelled::Unknown);
        check(Path::new("/"), "/proc/net/dev:driftd-none.rx_dropped", &Spelled::Unknown);
        check(Path::new("/"), "vm.swappiness", &Spelled::Own);
        // The sysctls of an interface are applied by its own name alone.
        check(Path::new("/"), "net.ipv4.conf.driftd-none.forwarding", &Spelled::Own);
    }

    #[test]
    fn the_names_of_this_host_are_none_of_another_root() {
        let root = host(&[("sys/class/net/eth7/mtu", "1500\n")]);
        check(root.path(), "link.eth7.mtu", &Spelled::Own);
        check(root.path(), "link.lo.mtu", &Spelled::Unknown);
    }
}
