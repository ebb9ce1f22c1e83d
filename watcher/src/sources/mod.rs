//! The files that declare: found, read within bounds, and handed to `declared`; and the keys that a pattern matches.
//!
//! Files are opened for reading, and nothing they say is ever run; `git` alone has a program of its own that reads
//! repositories. What a line means, `declared` says; what a configuration means, `config`. A root other than `/` is another host's tree: links in it are followed inside it.

#[cfg(test)]
mod baselines;
mod declared;
mod errors;
#[cfg(test)]
mod examples;
mod file;
mod git;
mod load;
mod matching;
mod profiles;
#[cfg(test)]
mod tests;

pub use declared::{Declared, Wanted};
pub use errors::SourceErrors;
pub use file::SourceError;
pub use git::{At, GitError, Repositories};
pub use load::{Loaded, load};
