//! Opening the database: its schema in numbered files, each applied once, in order.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::geteuid,
};

/// The schema files, the first at version 1. A file that was ever released is never changed.
const SCHEMA: [&str; 10] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
];

/// How many statements a connection keeps ready: more than there are, so that none is parsed again.
const STATEMENTS: usize = 128;

/// How many KiB of pages a connection keeps (sqlite.org/pragma.html#pragma_cache_size, where a size in KiB is negative). The
/// usual 2 MiB would fill up in each of two connections as time goes by; what is written is at the end of few tables, and
/// the rest the kernel caches.
const CACHE: i32 = -256;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory.
    #[error(
        "`{path}` cannot be made the store's directory: {error}\nhint: name another one as `state:`, or run as root"
    )]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The directory is not for this user to look into, or is none.
    #[error("`{path}` cannot be looked into: {error}\nhint: run as root, or as the user that driftd runs as")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody else may put things into the directory.
    #[error(
        "`{path}` belongs to another user, or others may write to it, and is no place for the store\n\
         hint: name a directory of its own as `state:`; driftd makes it"
    )]
    Shared {
        /// Its path.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error(
        "another driftd writes the store in `{path}`\nhint: stop it first, or give this one another `state:`"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The database.
    #[error("the store `{path}` {what}: {error}")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What failed.
        what: &'static str,
        /// Why.
        error: rusqlite::Error,
    },
    /// A newer version wrote it.
    #[error(
        "the store `{path}` is of version {found}, and this driftd knows versions up to {known}\n\
         hint: install the newer driftd again, or move the file aside"
    )]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The newest this program knows.
        known: usize,
    },
    /// It showed its damage while an earlier run wrote it.
    #[error("the store `{path}` is damaged: {reason}")]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// It was there a moment ago.
    #[error("the store `{path}` went away while it was opened\nhint: who deletes it?")]
    Gone {
        /// Its file.
        path: PathBuf,
    },
    /// A row does not hold what it should.
    #[error(
        "the store `{path}` holds a row that cannot be read: {what}\nhint: restart driftd: it moves the file aside and begins a new one"
    )]
    Row {
        /// Its file.
        path: PathBuf,
        /// Which, and why.
        what: String,
    },
}

impl StoreError {
    /// Whether what is in the file is at fault, and not what is around it.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Row { .. } | StoreError::Damaged { .. } => true,
            StoreError::Database { error, .. } => is_damage(error),
            StoreError::Directory { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Shared { .. }
            | StoreError::Locked { .. }
            | StoreError::Newer { .. }
            | StoreError::Gone { .. } => false,
        }
    }
}

/// Whether SQLite says that the file is damaged, or none of its own.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// The file that the writer holds locked, and touches after each commit. Whoever follows the store watches it for
/// `IN_ATTRIB` (inotify(7)): the files of the database are written before a commit can be read.
pub fn signal(state: &Path) -> PathBuf {
    state.join("driftd.lock")
}

/// The database in a state directory.
pub fn file(state: &Path) -> PathBuf {
    state.join("driftd.db")
}

/// Opens the database of a state directory for writing; makes both where they are missing, readable by the owner
/// only. This process is the only one that writes it, until the file beside the connection is dropped.
pub fn open(state: &Path) -> Result<(Connection, File), StoreError> {
    let directory = |error| StoreError::Directory { path: state.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(directory)?;
    let found = fs::metadata(state).map_err(directory)?;
    if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(StoreError::Shared { path: state.to_owned() });
    }
    let lock = lock(state)?;
    let path = file(state);
    let failed = |what| {
        let path = path.clone();
        move |error| StoreError::Database { path, what, error }
    };
    let mut db = Connection::open(&path).map_err(failed("cannot be opened"))?;
    let found: u32 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed("cannot be read"))?;
    let found = found as usize;
    if found > SCHEMA.len() {
        return Err(StoreError::Newer { path, found, known: SCHEMA.len() });
    }
    // WAL: readers never wait for the writer. FULL: what was committed is on the disk (sqlite.org/pragma.html).
    db.pragma_update(None, "journal_mode", "WAL").map_err(failed("cannot be set up"))?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed("cannot be set up"))?;
    db.pragma_update(None, "foreign_keys", true).map_err(failed("cannot be set up"))?;
    db.pragma_update(None, "cache_size", CACHE).map_err(failed("cannot be set up"))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // What retention notes in between is small, and no file elsewhere is to be needed for it.
    db.pragma_update(None, "temp_store", "MEMORY").map_err(failed("cannot be set up"))?;
    for (sql, version) in SCHEMA.iter().zip(1..).skip(found) {
        let mut step = || {
            let change = db.transaction()?;
            change.execute_batch(sql)?;
            change.pragma_update(None, "user_version", version)?;
            change.commit()
        };
        step().map_err(failed("cannot be brought up to date"))?;
    }
    Ok((db, lock))
}

pub(super) fn lock(state: &Path) -> Result<File, StoreError> {
    let directory = |error| StoreError::Directory { path: state.to_owned(), error };
    let file = File::create(signal(state)).map_err(directory)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(StoreError::Locked { path: state.to_owned() }),
        Err(error) => Err(directory(error.into())),
    }
}

/// Opens the database of a state directory for reading. `None` where there is none yet.
pub fn open_read_only(state: &Path) -> Result<Option<Connection>, StoreError> {
    let path = file(state);
    let there = path.try_exists();
    if !there.map_err(|error| StoreError::Unreadable { path: state.to_owned(), error })? {
        return Ok(None);
    }
    // SQLite makes the shared memory of the WAL even for a reader, so that read-only is said to the connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags)
        .or_else(|_| Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY))
        .and_then(|db| {
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "cache_size", CACHE)?;
            db.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok(db)
        });
    db.map(Some).map_err(|error| StoreError::Database { path, what: "cannot be opened", error })
}
