//! Telling: from the outbox to where people look. Nothing is told that is not recorded.

mod burst;
mod journal;
mod render;
mod teller;

pub use journal::Journal;
pub use render::{Output, by, clean, line, sentence, value};
pub use teller::{OUTPUT, Sink, tell};
