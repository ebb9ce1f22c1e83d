//! The one writer. It takes what has gathered, commits it at once, and only then lets anyone know.

use std::{fs::File, path::Path, sync::mpsc::SyncSender, time::Duration};

use rusqlite::{Connection, params};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use super::{
    record::record,
    schema::{StoreError, open},
};
use crate::model::{Capture, Delivered, Entry, Finding, Snapshot};

/// How much is taken into one transaction: enough that a burst costs few commits, little enough that nobody waits
/// long for one.
const GATHERED: usize = 256;

/// How long the writer waits before it tries again what could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// What is written in one transaction or not at all.
#[derive(Default)]
pub struct Batch {
    /// What happened, in order. Each is told.
    pub entries: Vec<Entry>,
    /// Open findings whose value moved on.
    pub moved: Vec<Finding>,
    /// Messages that were taken.
    pub delivered: Vec<Delivered>,
    /// Expectations that were captured.
    pub captures: Vec<Capture>,
    /// What stands beside the verdicts among the entries.
    pub snapshots: Vec<Snapshot>,
    /// Who wants to know what became of it.
    pub done: Vec<Done>,
}

/// Called once: with true when the batch is durable, with false when it could not be written.
pub type Done = Box<dyn FnOnce(bool) + Send>;

impl Batch {
    /// Whether there is nothing to write and nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.moved.is_empty()
            && self.delivered.is_empty()
            && self.captures.is_empty()
            && self.done.is_empty()
    }
}

/// What the writer is asked to do.
pub enum Work {
    /// Write.
    Record(Batch),
    /// A sink told all entries up to and with this number.
    Told {
        /// The sink.
        sink: &'static str,
        /// The number.
        entry: i64,
    },
    /// Nothing more will be recorded: who waits for the bell need not wait any longer.
    Close,
}

/// The writer.
pub struct Store {
    db: Connection,
    sinks: Vec<&'static str>,
    /// Held as long as this one writes, and touched after each commit: see [`signal`](super::signal).
    lock: File,
}

impl Store {
    /// Opens the store in a state directory. Every entry is to be told at each of the sinks.
    pub fn open(state: &Path, sinks: Vec<&'static str>) -> Result<Store, StoreError> {
        let (db, lock) = open(state)?;
        Ok(Store { db, sinks, lock })
    }

    /// Writes until nobody sends any more. After each commit the bell is rung; it is given away with
    /// [`Work::Close`].
    pub fn run(mut self, mut work: Receiver<Work>, bell: SyncSender<()>) {
        let mut bell = Some(bell);
        let mut gathered = Vec::new();
        while let Some(first) = work.blocking_recv() {
            gathered.push(first);
            while gathered.len() < GATHERED {
                match work.try_recv() {
                    Ok(more) => gathered.push(more),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            let close = gathered.iter().any(|work| matches!(work, Work::Close));
            self.settle(&mut gathered);
            // The time it bears does not matter: that it is set wakes those who follow.
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&self.lock, &Timestamps { last_access: now, last_modification: now });
            gathered.clear();
            // A bell that rings already needs no second pull.
            if let Some(bell) = &bell {
                let _ = bell.try_send(());
            }
            if close {
                bell = None;
            }
        }
    }

    /// Writes what was gathered, and again until it is written. Who asked for it hears of the first failure, so that
    /// a sender can try elsewhere or later; what a full disk held up is written when there is room.
    fn settle(&mut self, gathered: &mut [Work]) {
        while let Err(error) = self.write(gathered) {
            let refused = matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation));
            match gathered {
                // One that the schema refuses must not take others with it.
                [_, _, ..] if refused => {
                    gathered.chunks_mut(1).for_each(|one| self.settle(one));
                    return;
                }
                _ if refused => {
                    tracing::error!("the store refuses what was to be recorded, and it is lost: {error}");
                    done(gathered, false);
                    return;
                }
                _ => {
                    done(gathered, false);
                    tracing::error!("the store cannot be written: {error}\nhint: free some room for it");
                    std::thread::sleep(PAUSE);
                }
            }
        }
        done(gathered, true);
    }

    fn write(&mut self, gathered: &[Work]) -> rusqlite::Result<()> {
        // That something was told may be forgotten by a power cut: it is then told again, under the same number.
        let only_told = gathered.iter().all(|work| matches!(work, Work::Told { .. }));
        self.db.pragma_update(None, "synchronous", if only_told { "NORMAL" } else { "FULL" })?;
        let change = self.db.transaction()?;
        for work in gathered {
            match work {
                Work::Record(batch) => record(&change, batch, &self.sinks)?,
                Work::Told { sink, entry } => {
                    change
                        .prepare_cached("DELETE FROM outbox WHERE sink = ?1 AND entry <= ?2")?
                        .execute(params![sink, entry])?;
                }
                Work::Close => {}
            }
        }
        change.commit()
    }
}

fn done(gathered: &mut [Work], durable: bool) {
    for work in gathered {
        if let Work::Record(batch) = work {
            batch.done.drain(..).for_each(|done| done(durable));
        }
    }
}
