//! driftd: watches kernel state, compares it with what was declared, and pins every change to its commit.
//!
//! The rooms, and who may import whom, are drawn in docs/architecture.md and checked by `cargo xtask tidy`.

pub mod http;
pub mod model;
