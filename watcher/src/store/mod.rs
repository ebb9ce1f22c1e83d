//! The store: what was recorded, in SQLite. One writer, on a thread of its own; readers open it beside.
//!
//! What is recorded and why a crash at any point loses nothing that was told is in docs/store.md.

mod backlog;
mod begin;
mod bursts;
mod flaps;
mod messages;
mod query;
mod read;
mod record;
mod retain;
mod schema;
#[cfg(test)]
mod tests;
mod write;

pub use begin::{Begun, begin};
pub use bursts::{ALONE, Together};
pub use messages::{LONGEST, Message, Next, Outcome, Stale};
pub use query::{DeploymentRow, Filter, FindingRow, Forgotten, Snapped, VerdictRow};
pub use read::{Past, Reader, Row};
pub use schema::{StoreError, open, signal};
pub use write::{Batch, Done, Store, Work};
