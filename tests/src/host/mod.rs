//! What scenarios do to the kernel, and undo: each change is a guard that puts back what was there.

mod actor;
mod bpf;
mod link;
mod namespace;
mod stuck;
mod sysctl;

pub use actor::{ChildCgroup, act};
pub use bpf::programs;
pub use link::{Link, Way as MtuWay, set_mtu_of_lo, set_up};
pub use namespace::{ProcMount, in_new_network, write_from_new_network};
pub use stuck::StuckWriters;
pub use sysctl::{Sysctl, Way, path, read, write, write_by};
