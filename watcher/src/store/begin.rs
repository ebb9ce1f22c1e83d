//! The store at the start of the daemon: opened, or begun anew where the file is damaged.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    read::{Past, Reader},
    schema::{self, StoreError},
    write::Store,
};

/// A store that can be written.
pub struct Begun {
    /// The writer.
    pub store: Store,
    /// A reader beside it.
    pub reader: Reader,
    /// What an earlier run left; nothing where the file was damaged.
    pub past: Past,
    /// What was wrong with the file of the earlier run, and where it is now.
    pub damage: Option<String>,
}

/// Opens the store of a state directory, and reads what an earlier run left. A damaged file is moved aside, with all that
/// belongs to it, and a new one begun. Every entry is to be told at each of the sinks.
///
/// # Errors
/// There is no store to be had: the directory, another daemon, a version that is newer, a disk that is full.
pub fn begin(state: &Path, sinks: &[&'static str]) -> Result<Begun, StoreError> {
    let open = || -> Result<_, StoreError> {
        if let Some(reason) = marked(state) {
            return Err(StoreError::Damaged { path: schema::file(state), reason });
        }
        let store = Store::open(state, sinks.to_vec())?;
        let reader = Reader::open(state)?;
        let reader = reader.ok_or_else(|| StoreError::Gone { path: schema::file(state) })?;
        let past = reader.past()?;
        Ok(Begun { store, reader, past, damage: None })
    };
    match open() {
        Err(error) if error.is_damage() => {
            let aside = move_aside(state, Timestamp::now())?;
            // What its hint says is done already.
            let error = error.to_string();
            let error = error.split_once("\nhint:").map_or(&*error, |(error, _)| error);
            let damage = format!(
                "the store was damaged and is begun anew; the old file is `{}`: {error}",
                aside.display()
            );
            open().map(|begun| Begun { damage: Some(damage), ..begun })
        }
        opened => opened,
    }
}

/// Beside a store that showed its damage while it was written: the next start does not try it again.
fn mark(state: &Path) -> PathBuf {
    state.join("driftd.damaged")
}

/// Remembers that the file is damaged, for the next start.
pub(super) fn remember_damage(state: &Path, reason: &str) {
    if let Err(error) = fs::write(mark(state), reason) {
        tracing::error!("that the store is damaged cannot be noted for the next start: {error}");
    }
}

fn marked(state: &Path) -> Option<String> {
    fs::read_to_string(mark(state)).ok()
}

/// Gives the files of the database other names. Together they can still be opened by sqlite3(1), to save what is in them.
fn move_aside(state: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let failed = |error| StoreError::Directory { path: state.to_owned(), error };
    // Nobody else may be writing it.
    let _lock: File = schema::lock(state)?;
    let name = format!("driftd.db.damaged-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    for end in ["", "-wal", "-shm"] {
        let old = state.join(format!("driftd.db{end}"));
        if old.try_exists().map_err(failed)? {
            fs::rename(old, state.join(format!("{name}{end}"))).map_err(failed)?;
        }
    }
    if marked(state).is_some() {
        fs::remove_file(mark(state)).map_err(failed)?;
    }
    Ok(state.join(name))
}
