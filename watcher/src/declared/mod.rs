//! What is declared: texts in, declarations out, and the baseline that several of them make together.
//!
//! Nothing here opens a file, lists a directory or knows a host. Who calls gives the texts, and answers which keys a
//! pattern matches now; `sources` does both. What a value means for its key, `model` says; whether it is in force, `judge`.
//!
//! The way of a text: `sysctl` and `tuned` (and `config`, for YAML) turn it into [`Line`]s and say which lines they did
//! not understand; [`resolve`] applies the lines in the order of the program that would; [`Baseline`] remembers every
//! side and says which one holds.

mod baseline;
mod compose;
mod git;
mod inline;
mod line;
mod order;
mod resolve;
pub mod sysctl;
mod target;
pub mod tuned;

pub use baseline::{Baseline, Conflict, agree};
pub use compose::{Composed, DECLARED, Overruled, compose};
pub use git::{Committed, CommittedFile, Git, Repository};
pub use inline::inline;
pub use line::{Declaration, Kind, Line, NotUnderstood, Parsed, Request, Says};
pub use order::{Directory, SYSCTL_DIRECTORIES, sysctl_order};
#[cfg(test)]
pub use resolve::held;
pub use resolve::resolve;
pub use target::{Only, Target};
