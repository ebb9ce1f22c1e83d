//! The room as its users meet it: whole files in, configurations and messages out.

mod accepted;
mod alerts;
mod callers;
mod examples;
mod hostile;
mod mistakes;
mod remedies;
mod senders;

use super::{Config, parse};

/// The configuration of a text without mistakes.
#[track_caller]
fn good(text: &str) -> Config {
    parse("driftd.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}
