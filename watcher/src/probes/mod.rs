//! The probes: facts about the host, a plan from them, programs in the kernel, and their records as hints.
//!
//! Nothing here judges, and nothing here reads a value that is in force.

mod btf;
mod canary;
mod decode;
mod facts;
mod interest;
mod join;
mod load;
mod netlink;
mod plan;
mod psi;
mod ready;
mod start;
mod uevents;

pub use btf::{Btf, BtfError};
pub use canary::{Canary, Heard};
pub use facts::{Capabilities, Cgroup2, Facts, Kprobes, Lockdown, Namespaces, facts};
pub use interest::Interest;
pub use join::{Join, Tally};
pub use load::{Loaded, Options};
pub use netlink::{Links, News};
pub use plan::{Hook, LinkPlan, Plan, PressurePlan, SysctlPlan};
pub use psi::{Rise, Stall, Triggers, WINDOW};
pub use ready::readable;
pub use start::{Probing, StartError, start};
pub use uevents::Devices;
pub use watcher_common::{Counter, Identity};
