//! Telling: from the outbox to where people look. Nothing is told that is not recorded.

mod alertmanager;
mod burst;
mod deliver;
mod email;
#[cfg(test)]
mod endpoint;
mod exec;
mod github;
mod journal;
mod letter;
mod message;
mod outside;
mod patience;
mod post;
mod push;
mod remote;
mod render;
mod secret;
mod slack;
mod summary;
mod teller;
#[cfg(test)]
mod tests;

pub use journal::Journal;
pub use outside::{Given, Outside, OutsideError, outlets};
pub use push::AskStatus;
pub use render::{Output, by, clean, line, remedied, sentence, value};
pub use teller::{OUTPUT, Sink, tell};
