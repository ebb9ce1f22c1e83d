//! Reads one file or one directory, and no more of it than a source can be.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags};

use super::GitError;
use crate::config::Problems;

/// The most bytes of a file: what systemd-sysctl takes for one line (`LONG_LINE_MAX`).
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// The most names in a directory.
const MOST_NAMES: usize = 10_000;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system says no.
    #[error("cannot read `{path}`: {error}\nhint: name a file that exists and that this user may read")]
    Read {
        /// The file or directory.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A directory, a FIFO, a device: reading it might never end.
    #[error("found {found} at `{path}`, wanted a file\nhint: name a file, or remove it")]
    NoFile {
        /// Its path.
        path: String,
        /// What it is.
        found: &'static str,
    },
    /// More than a source is.
    #[error(
        "found more than {most} {of} in `{path}`, wanted a file that declares keys\nhint: name the right file"
    )]
    TooLarge {
        /// The file or directory.
        path: String,
        /// The most there may be.
        most: u64,
        /// Of what.
        of: &'static str,
    },
    /// No profile of that name.
    #[error("found no profile `{name}` in {looked}\nhint: name a profile of this host, or its file")]
    NoProfile {
        /// Its name.
        name: String,
        /// Where it was looked for.
        looked: String,
    },
    /// The patterns match too much.
    #[error(
        "found more than {most} {of}, wanted patterns over the keys of one host\nhint: write narrower patterns"
    )]
    TooManyMatches {
        /// The most there may be.
        most: usize,
        /// Of what.
        of: &'static str,
    },
    /// The YAML has mistakes.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// A repository does not declare.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The text of a file that somebody named. What is not UTF-8 in it becomes U+FFFD: in a comment it harms nobody.
pub(super) fn read(path: &Path, most: u64) -> Result<String, SourceError> {
    let shown = path.display().to_string();
    // Without `NONBLOCK` opening a FIFO waits for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => text(file, &shown, most),
        Err(errno) => Err(SourceError::Read { path: shown, error: errno.into() }),
    }
}

fn text(file: OwnedFd, path: &str, most: u64) -> Result<String, SourceError> {
    let failed = |error| SourceError::Read { path: path.to_owned(), error };
    let file = File::from(file);
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() {
        let found = if kind.is_dir() { "a directory" } else { "a FIFO, a socket or a device" };
        return Err(SourceError::NoFile { path: path.to_owned(), found });
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(SourceError::TooLarge { path: path.to_owned(), most, of: "bytes" });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A host's tree.
pub(super) struct Root {
    directory: OwnedFd,
    /// What is shown before the paths in it.
    prefix: String,
}

impl Root {
    pub fn open(path: &Path) -> Result<Root, SourceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Root { directory, prefix: String::new() }),
            Err(errno) => Err(SourceError::Read { path: path.display().to_string(), error: errno.into() }),
        }
    }

    /// A tree that somebody named, whose files are shown with its path.
    pub fn named(path: &Path) -> Result<Root, SourceError> {
        Ok(Root { prefix: path.to_string_lossy().trim_end_matches('/').to_owned(), ..Root::open(path)? })
    }

    /// How a path in this tree is shown.
    pub fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Opens what an absolute path names in this tree, links followed inside it; `None` where there is nothing.
    fn open_within(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, SourceError> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = rustix::fs::openat2(
            self.directory.as_fd(),
            path,
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        );
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(SourceError::Read { path: self.shown(path), error: errno.into() }),
        }
    }

    /// The text of a file; `None` where there is none, or /dev/null.
    pub fn read(&self, path: &str, most: u64) -> Result<Option<String>, SourceError> {
        let Some(file) = self.open_within(path, OFlags::empty())? else { return Ok(None) };
        let null = rustix::fs::stat("/dev/null").map(|stat| stat.st_rdev);
        let is_null = rustix::fs::fstat(&file)
            .is_ok_and(|stat| stat.st_rdev != 0 && null.is_ok_and(|null| null == stat.st_rdev));
        if is_null { Ok(None) } else { text(file, &self.shown(path), most).map(Some) }
    }

    /// The names in a directory; `None` where there is none.
    pub fn names(&self, path: &str) -> Result<Option<Vec<String>>, SourceError> {
        let failed =
            |errno: rustix::io::Errno| SourceError::Read { path: self.shown(path), error: errno.into() };
        let Some(directory) = self.open_within(path, OFlags::DIRECTORY)? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in Dir::new(directory).map_err(failed)? {
            if names.len() == MOST_NAMES {
                let path = self.shown(path);
                return Err(SourceError::TooLarge { path, most: MOST_NAMES as u64, of: "names" });
            }
            // A name that is no text is not asked for by anyone.
            if let Ok(name) = entry.map_err(failed)?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(Some(names))
    }
}
