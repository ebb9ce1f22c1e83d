//! The probes: facts about the host, a plan from them, programs in the kernel, and their records as hints.
//!
//! Nothing here judges, and nothing here reads a value that is in force.

mod btf;
mod decode;
mod facts;
mod join;
mod load;
mod netlink;
mod plan;
mod ready;

pub use facts::{Capabilities, Cgroup2, Facts, Kprobes, Namespaces, Part, facts};
pub use join::{Interest, Join, Tally};
pub use load::{LoadError, Loaded, Options, load};
pub use netlink::{Links, News};
pub use plan::{Impossible, LinkPlan, Plan, SysctlPlan, plan};
pub use ready::readable;
pub use watcher_common::Counter;
