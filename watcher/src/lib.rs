//! driftd: watches kernel state, compares it with what was declared, and pins every change to its commit.
//!
//! The rooms, and who may import whom, are drawn in docs/architecture.md and checked by `cargo xtask tidy`.

pub mod alerts;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod declared;
pub mod deploys;
pub mod heap;
pub mod http;
pub mod judge;
pub mod kernel;
pub mod model;
pub mod probes;
pub mod remedy;
pub mod sources;
pub mod store;
#[cfg(test)]
mod test_host;
pub mod watch;
