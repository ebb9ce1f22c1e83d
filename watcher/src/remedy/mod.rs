//! Remedies: the write that would cure a departure, or why there is none (`plan`, pure), and the one place of driftd that
//! writes kernel state (`apply`, on a thread of its own).
//!
//! Whether a remedy is due is not decided here: the loop does, by the rule, the limits and the deploy windows.

mod apply;
mod hand;
mod mtu;
mod plan;

pub use apply::{Applied, Order};
pub use hand::Hand;
pub use plan::{Refusal, Step, first, plan, through_counterpart, writable};
