//! What rtnetlink says of an interface becomes keys to read: its MTU, and the sysctls under its name, which come and go
//! with it. Who wrote is not for rtnetlink to say.

use std::time::Duration;

use super::{Watch, mark};
use crate::{
    model::{Key, Now},
    probes::News,
};

/// How long after rtnetlink spoke a key is read, or read again. The kernel speaks before it has done all: before an
/// interface that goes to another namespace has left /sys, and before the sysctls have their new name
/// (`dev_change_net_namespace` and `dev_change_name`, net/core/dev.c). And where a kprobe watches too, that one knows
/// who, and speaks later.
pub const AFTER_NETLINK: Duration = Duration::from_millis(50);

impl Watch {
    /// Takes what rtnetlink said.
    pub(super) fn link(&mut self, news: News, now: Now) {
        let interface = match news {
            News::Lost => return self.lost("rtnetlink messages", 1, now),
            News::Interface(interface) => interface,
        };
        self.something_appeared(now);
        let Some(keys) = self.by_interface.get(&*interface) else { return };
        for at in keys {
            let Some(tracked) = self.keys.get_mut(*at) else { continue };
            tracked.written = Some(now.boot);
            // What is to be read in a while will do for a message that comes now, too; one that comes shortly before
            // gets a reading of its own.
            let soon = now.boot.after(AFTER_NETLINK / 2);
            if tracked.netlink.is_none_or(|due| due < soon) {
                let due = now.boot.after(AFTER_NETLINK);
                tracked.netlink = Some(due);
                self.timers.insert((due, *at));
            }
            if matches!(tracked.key, Key::Link { .. }) && !self.link_hook {
                mark(tracked, *at, &mut self.dirty);
            }
        }
    }
}

/// The interface that a key comes and goes with: `net/*/conf/INTERFACE/…` and `net/*/neigh/INTERFACE/…` of the sysctls.
pub fn interface(key: &Key) -> Option<&str> {
    match key {
        Key::Link { interface } => Some(interface),
        Key::Sysctl { name, .. } => {
            let mut parts = name.split('/');
            let (net, _, of) = (parts.next()?, parts.next()?, parts.next()?);
            (net == "net" && matches!(of, "conf" | "neigh")).then(|| parts.next()).flatten()
        }
        Key::Meminfo { .. }
        | Key::NetDev { .. }
        | Key::Sysfs { .. }
        | Key::Pressure { .. }
        | Key::Processes { .. }
        | Key::Cmdline { .. } => None,
    }
}
