//! Why a repository does not declare: in words, with the cure.

use std::{io, time::Duration};

use crate::model::Revision;

/// Why a repository does not declare.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or no shell.
    #[error("cannot run `git`: {0}\nhint: install git, 2.31 or newer")]
    NotStarted(io::Error),
    /// What is kept, or the repository, cannot be had.
    #[error(
        "cannot use `{path}`: {error}\nhint: run as the user that driftd runs as, and name a repository that it may read"
    )]
    Directory {
        /// The file or directory.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// It is no directory.
    #[error(
        "found no directory at `{path}`, wanted a Git repository\nhint: name one that is bare, or the directory with `.git` in it"
    )]
    NoRepository {
        /// Its path.
        path: String,
    },
    /// Somebody else may change it, and thereby what a `git` does that runs in it.
    #[error(
        "found `{path}` owned by user {uid}, wanted it owned by root or by the user of driftd\nhint: give it to root, or name it by `ssh://` or `https://`"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// Its owner.
        uid: u32,
    },
    /// Others than the owner may change it.
    #[error(
        "found `{path}` of mode {mode:o}, which others than its owner may write, wanted that nobody else may\nhint: `chmod go-w` it, or name it by `ssh://` or `https://`"
    )]
    Writable {
        /// The directory or file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The file proves nobody.
    #[error(
        "what is in `{path}` is not `USER:PASSWORD` on one line\nhint: for a token, the user is what its server says: `x-access-token:TOKEN`, `oauth2:TOKEN`"
    )]
    NotCredentials {
        /// The file.
        path: String,
    },
    /// It took too long.
    #[error("reading `{repository}` took longer than {} s\nhint: does the server answer? `timeout:` of the source gives it longer", .limit.as_secs())]
    TimedOut {
        /// Where it is.
        repository: String,
        /// How long it had.
        limit: Duration,
    },
    /// It said more than a source can be.
    #[error(
        "found more than {most} bytes in what `git` says of `{repository}`, wanted files that declare keys\nhint: name the right path"
    )]
    TooMuch {
        /// Where it is.
        repository: String,
        /// How many bytes it could say.
        most: u64,
    },
    /// The repository is too large.
    #[error("found more than {most} bytes in `{repository}`\nhint: `size:` of the source allows more")]
    TooLarge {
        /// Where it is.
        repository: String,
        /// How many bytes it may have.
        most: u64,
    },
    /// `git` says no.
    #[error(
        "cannot read `{repository}`: git says: {told}\nhint: `git ls-remote {repository}`, run as the user of driftd, may tell more"
    )]
    Failed {
        /// Where it is.
        repository: String,
        /// What git said.
        told: String,
    },
    /// What was delivered is no commit.
    #[error(
        "`{revision}` was delivered, wanted a commit of `{repository}`\nhint: `app: NAME` in the source names the application whose deployments deliver this repository"
    )]
    NoCommit {
        /// What was delivered.
        revision: Revision,
        /// Where it is.
        repository: String,
    },
    /// The commit is not on the ref.
    #[error(
        "the commit {commit} is neither the head of {branch} of `{repository}` nor an ancestor of it\nhint: merge and push it first; `app: NAME` in the source names the application whose deployments deliver this repository"
    )]
    NotMerged {
        /// What was delivered.
        commit: Revision,
        /// The ref, as people call it.
        branch: String,
        /// Where it is.
        repository: String,
    },
    /// Several commits begin so.
    #[error("several commits of `{repository}` begin with {commit}\nhint: deliver the whole of it")]
    Ambiguous {
        /// What was delivered.
        commit: Revision,
        /// Where it is.
        repository: String,
    },
    /// The path names nothing that declares.
    #[error(
        "found {found} at `{path}` in commit {commit} of `{repository}`, wanted a file that declares keys, or a directory of them\nhint: links and submodules are not followed"
    )]
    NoFile {
        /// What there is.
        found: &'static str,
        /// Its path.
        path: String,
        /// The commit.
        commit: String,
        /// Where it is.
        repository: String,
    },
    /// A key that is not for a repository to declare.
    #[error(
        "found {what} at {place} of commit {commit}: a repository may not declare that\nhint: declare it in a file of this host"
    )]
    Forbidden {
        /// What it is.
        what: String,
        /// Where it stands.
        place: String,
        /// The commit.
        commit: String,
    },
}
