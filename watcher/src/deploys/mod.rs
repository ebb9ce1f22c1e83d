//! Deployments: the ledger of what was delivered, the windows that are open, and the pin of a change to its commit.
//! Pure; nothing here reads a file or a clock.

mod ignored;
mod ledger;
mod messages;

pub use ignored::Passed;
pub use ledger::{Ledger, Outcome, Pin};
pub use messages::FRESH;
