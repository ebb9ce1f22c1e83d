//! What scenarios do to the kernel, and undo: each change is a guard that puts back what was there.

mod actor;
mod around;
mod bpf;
mod confined;
mod link;
mod memory;
mod module;
mod namespace;
pub mod netlink;
mod network;
mod pressure;
mod rewriter;
mod router;
mod rtnl;
mod service;
mod stuck;
mod sysctl;
mod tunnel;
mod way;

pub use actor::{ChildCgroup, NOBODY, act, write_as_nobody_apart};
pub use around::{set_app_probes_of_lo, set_console_level, set_rp_filter_of_lo, set_timeout_of_udp};
pub use bpf::{Exclusive, Replacement, programs};
pub use confined::{CapabilitySet, Confined, confine};
pub use link::{Link, Way as MtuWay, set_mtu_of_lo, set_up};
pub use module::{load_conntrack, load_module, unload_conntrack, unload_module};
pub use namespace::{BindMount, Namespace, ProcMount, SmallDisk, in_new, in_new_network, write_from_new};
pub use network::Network;
pub use pressure::{Pressure, Stalled, press, switches};
pub use rewriter::{Hand, Rewriter, rewrite};
pub use router::{Advertised, Router};
pub use rtnl::{HeldRtnl, RestartedWrite};
pub use service::{Filling, Service, serve};
pub use stuck::StuckWriters;
pub use sysctl::{Sysctl, path, read, write};
pub use way::{Way, has_rings, write_at, write_by, write_from_nowhere, write_on};
