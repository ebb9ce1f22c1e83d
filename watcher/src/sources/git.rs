//! Repositories that declare: the files of one commit, and only of a commit that is the head of the configured ref or an
//! ancestor of it.
//!
//! Read by the `git` program (`program`), in a bare repository of ours (`keep`) that is fetched into (`reading`): nothing is checked out, no
//! hook, filter, link or submodule is followed, and of another repository nothing but its objects arrives. What the files
//! mean is said by `load`. Everything here is waited for; nothing is done on the thread that waits.

mod error;
mod keep;
mod program;
mod reading;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::timeout};

pub use self::error::GitError;
use self::{keep::Kept, program::Program, reading::Reading};
use super::file::SourceError;
use crate::{
    declared::{Committed, Git, Repository},
    model::Revision,
};

/// How long what needs no other repository may take.
const LOCAL: Duration = Duration::from_secs(10);

/// How many packs are made one.
const MOST_PACKS: usize = 20;

/// Which commit is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'r> {
    /// The head of the ref: nothing was delivered yet.
    Head,
    /// One that is being delivered.
    Delivered(&'r Revision),
    /// One that was delivered before: what is kept is enough, where it knows it.
    InForce(&'r Revision),
    /// One that was taken before: nothing is fetched for it.
    Taken(&'r Revision),
}

/// All repositories of a host, and where what is kept of them is.
#[derive(Clone, Debug)]
pub struct Repositories {
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Repositories {
    /// Those that are kept below the directory of the state.
    pub fn new(state: &Path) -> Repositories {
        Repositories { directory: state.join("git"), environment: program::passed() }
    }

    /// Reads what a repository declares.
    ///
    /// It is fetched first, unless the commit is in force and known. Where that fails, and the commit is known from
    /// before, that is a warning: a server that is down is no reason not to go back to an earlier commit.
    ///
    /// # Errors
    /// The repository cannot be had, the commit is not on the ref, or its files are not such that declare.
    pub async fn read(&self, git: &Git, at: At<'_>) -> Result<Committed, SourceError> {
        let repository = git.repository.to_string();
        let wanted = match at {
            At::Head => None,
            At::Delivered(revision) | At::InForce(revision) | At::Taken(revision) => {
                if revision.as_str().contains(':') {
                    return Err(GitError::NoCommit { revision: revision.clone(), repository }.into());
                }
                Some(revision)
            }
        };
        let (kept, barred) = self.open(git).await?;
        let reading = Reading { git, program: self.program(git, &kept) };
        reading.quietly(&["init", "--quiet", "--bare", "--template="]).await?;
        let known = match at {
            At::InForce(revision) | At::Taken(revision) => reading.resolve(Some(revision)).await?,
            At::Head | At::Delivered(_) => None,
        };
        let commit = match (known, at) {
            (Some(commit), _) => commit,
            (None, At::Taken(_)) => return Err(reading.not_merged(wanted).into()),
            (None, At::Head | At::Delivered(_) | At::InForce(_)) => {
                let fetched = match barred {
                    None => reading.fetch().await.map_err(SourceError::from),
                    Some(error) => Err(error),
                };
                match (reading.resolve(wanted).await?, fetched) {
                    (Some(commit), Ok(())) => commit,
                    (Some(commit), Err(error)) => {
                        tracing::warn!("`{repository}` is read as it was fetched last: {error}");
                        commit
                    }
                    (None, Err(error)) => return Err(error),
                    (None, Ok(())) => return Err(reading.not_merged(wanted).into()),
                }
            }
        };
        let files = reading.files(&commit).await?;
        if keep::packs(&kept.directory) >= MOST_PACKS {
            // One that was not made today is made the next time.
            let _ = reading.quietly(&["repack", "-a", "-d", "-q"]).await;
        }
        Ok(Committed { commit: Some(commit), files })
    }

    /// Reads what was taken last, without asking another repository; nothing where nothing was, or it cannot be read.
    pub async fn read_kept(&self, git: &Git) -> Option<Committed> {
        let commit = self.taken(git).await?;
        self.read(git, At::Taken(&commit)).await.ok()
    }

    /// Reads what was taken last; what the head declares where nothing was.
    ///
    /// # Errors
    /// As [`Repositories::read`].
    pub async fn read_known(&self, git: &Git) -> Result<Committed, SourceError> {
        match self.read_kept(git).await {
            Some(committed) => Ok(committed),
            None => self.read(git, At::Head).await,
        }
    }

    /// The commit that was taken last; none where none was.
    async fn taken(&self, git: &Git) -> Option<Revision> {
        let (directory, git) = (self.directory.clone(), git.clone());
        spawn_blocking(move || keep::taken(&directory, &git)).await.ok().flatten()
    }

    /// Keeps in mind that a commit was taken, for a start that cannot read the one in force.
    pub async fn take(&self, git: &Git, commit: &Revision) {
        let (directory, of, commit) = (self.directory.clone(), git.clone(), commit.clone());
        let kept = spawn_blocking(move || keep::take(&directory, &of, &commit)).await;
        if let Err(error) = kept.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
            tracing::warn!("which commit of `{}` was taken cannot be kept: {error}", git.repository);
        }
    }

    async fn open(&self, git: &Git) -> Result<(Kept, Option<SourceError>), SourceError> {
        let (directory, of) = (self.directory.clone(), git.clone());
        // The disk may be one that does not answer, and another process may be reading the same.
        let limit = git.timeout.max(LOCAL);
        match timeout(limit, spawn_blocking(move || keep::open(&directory, &of))).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(ended)) => Err(GitError::NotStarted(io::Error::other(ended)).into()),
            Err(_) => Err(GitError::TimedOut { repository: git.repository.to_string(), limit }.into()),
        }
    }

    fn program<'p>(&'p self, git: &'p Git, kept: &'p Kept) -> Program<'p> {
        Program {
            environment: &self.environment,
            directory: &kept.directory,
            repository: &git.repository,
            protocol: match git.repository {
                Repository::Local(_) => "file",
                Repository::Https(_) => "https",
                Repository::Ssh(_) => "ssh",
            },
            proof: &kept.proof,
            most_bytes: git.most_bytes,
        }
    }
}
