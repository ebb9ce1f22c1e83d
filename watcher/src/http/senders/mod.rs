//! The senders: one file each, and one table of them. What is signed comes in, what it announces goes out.
//!
//! Adding a sender touches its own file, [`table`] and its name in `config/sender.rs`. Nothing here decides who is
//! authentic: only a [`Signed`](super::signature::Signed) body comes in.

mod argocd;
mod cloudevents;
mod field;
mod flux;
mod gitea;
mod github;
mod gitlab;
mod plain;
mod standard;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use field::{Unreadable, excerpt};
pub use table::{Announced, Ignored, Kind, Manner, Outcome, Workflow, delivery, is_form, of, recognise};
