//! The one writer. It takes what has gathered, commits it at once, and only then lets anyone know.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use tokio::{
    runtime::Builder,
    sync::{
        mpsc::{Receiver, error::TryRecvError},
        oneshot, watch,
    },
};

use super::{
    backlog::Backlog,
    begin::remember_damage,
    messages::{Outcome, Stale, forget_reminders, give_up_others, give_up_stale, put_outcome, requeue},
    record::record,
    retain::forget,
    schema::{StoreError, file, is_damage, open},
};
use crate::model::{
    Capture, Delivered, DeploymentId, Entry, Finding, Key, Outlet, Remedied, Retention, Snapshot, Values,
};

/// How much is taken into one transaction: enough that a burst costs few commits, little enough that nobody waits
/// long for one.
const GATHERED: usize = 256;

/// How long the writer waits before it tries again what could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// After how many recorded batches retention looks whether there is something to forget.
const LOOK: usize = 256;

/// What is written in one transaction or not at all.
#[derive(Default)]
pub struct Batch {
    /// What happened, in order. Each is told.
    pub entries: Vec<Entry>,
    /// Open findings whose value moved on.
    pub moved: Vec<Finding>,
    /// Messages that were taken.
    pub delivered: Vec<Delivered>,
    /// Who delivered which deployment, by the name of the credential.
    pub deliverers: Vec<(DeploymentId, Box<str>)>,
    /// The values that came with deployments now in force; empty where none did.
    pub declared: Vec<(DeploymentId, Values)>,
    /// Remedies that are about to be carried out.
    pub begun: Vec<Remedied>,
    /// The rules and keys for which no live value is adopted any more.
    pub unadopted: Vec<(Arc<str>, Key)>,
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
            && self.deliverers.is_empty()
            && self.declared.is_empty()
            && self.begun.is_empty()
            && self.unadopted.is_empty()
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
    /// A sink outside this host tried a message.
    Tried {
        /// The sink.
        sink: Arc<str>,
        /// The numbers of the entries that it told.
        entries: Box<[i64]>,
        /// What came of it.
        outcome: Outcome,
        /// What is given up with it.
        stale: Option<Stale>,
        /// Answered when it is written; not before, and not where it cannot be.
        noted: oneshot::Sender<()>,
    },
    /// What was given up is to be tried again: of this sink, or of all. Answered with how many there are.
    Requeue(Option<Box<str>>, oneshot::Sender<usize>),
    /// Nothing more will be recorded: who waits for the bell need not wait any longer.
    Close,
}

/// The writer.
pub struct Store {
    pub(super) db: Connection,
    state: PathBuf,
    sinks: Vec<&'static str>,
    outlets: Vec<Outlet>,
    /// Held as long as this one writes, and touched after each commit: see [`signal`](super::signal).
    lock: File,
    retention: Option<Retention>,
    /// Whether retention has more to do.
    forgets: bool,
    /// How many batches were recorded since retention looked.
    unlooked: usize,
    trouble: watch::Sender<Option<String>>,
    commits: watch::Sender<u64>,
    news: watch::Sender<u64>,
}

impl Store {
    /// Opens the store in a state directory. Every entry is to be told at each of the sinks, and is kept for ever.
    pub fn open(state: &Path, sinks: Vec<&'static str>) -> Result<Store, StoreError> {
        let (db, lock) = open(state)?;
        let (trouble, commits, news) = (watch::channel(None).0, watch::channel(0).0, watch::channel(0).0);
        let (state, outlets) = (state.to_owned(), Vec::new());
        let (retention, forgets, unlooked) = (None, true, 0);
        Ok(Store { db, state, sinks, outlets, lock, retention, forgets, unlooked, trouble, commits, news })
    }

    /// The same, that has messages for these sinks outside this host. What waits for others is given up.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn telling(mut self, outlets: Vec<Outlet>) -> Result<Store, StoreError> {
        let path = file(&self.state);
        let others = self.db.transaction().and_then(|change| {
            let others = give_up_others(&change, &outlets, Timestamp::now())?;
            forget_reminders(&change, &outlets)?;
            change.commit()?;
            Ok(others)
        });
        let others =
            others.map_err(|error| StoreError::Database { path, what: "cannot be written", error })?;
        if others > 0 {
            tracing::warn!(
                "{others} messages wait for sinks that are not configured any more, and are given up"
            );
        }
        self.outlets = outlets;
        Ok(self)
    }

    /// How often something was committed.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// How often there was something to tell: it was recorded, or is to be sent again. What became of a message moves
    /// nothing: it would wake all sinks for each message of one of them.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The same, that forgets what is too old or too much.
    pub fn retaining(self, retention: Retention) -> Store {
        Store { retention: Some(retention), ..self }
    }

    /// Why it cannot be written, as long as that is so.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Writes until nobody sends any more. After each commit the bell is rung; it is given away with
    /// [`Work::Close`]. What cannot be written waits in memory, and whoever sends is not held up by it.
    pub fn run(mut self, mut work: Receiver<Work>, bell: SyncSender<()>) {
        let mut bell = Some(bell);
        let mut backlog = Backlog::default();
        loop {
            match self.gather(&mut work, &mut backlog) {
                Gathered::Work => {}
                Gathered::Forgot => continue,
                Gathered::Ended => return,
            }
            let written = self.settle(&mut backlog.work);
            self.tell_trouble(written.err(), &backlog);
            if self.trouble.borrow().is_some() {
                if wait(&mut work, &mut backlog) {
                    continue;
                }
                // The end: once more, for there may be room now.
                if let Err(error) = self.settle(&mut backlog.work) {
                    tracing::error!("what waited to be recorded is lost: {error}");
                }
                return;
            }
            // The time it bears does not matter: that it is set wakes those who follow.
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&self.lock, &Timestamps { last_access: now, last_modification: now });
            self.commits.send_modify(|count| *count = count.wrapping_add(1));
            if backlog.work.iter().any(is_news) {
                self.news.send_modify(|count| *count = count.wrapping_add(1));
            }
            // A bell that rings already needs no second pull.
            if let Some(bell) = &bell {
                let _ = bell.try_send(());
            }
            if backlog.work.iter().any(|work| matches!(work, Work::Close)) {
                bell = None;
            }
            self.unlooked += backlog.work.len();
            if self.unlooked >= LOOK {
                (self.unlooked, self.forgets) = (0, true);
            }
            backlog.clear();
        }
    }

    /// Takes what has come; while there is nothing, forgets a piece of what is too old, or waits.
    fn gather(&mut self, work: &mut Receiver<Work>, backlog: &mut Backlog) -> Gathered {
        // What waits already is tried again as it is.
        if backlog.work.is_empty() {
            match work.try_recv() {
                Ok(first) => backlog.push(first),
                Err(TryRecvError::Empty) if self.forgets && self.retention.is_some() => {
                    self.forget();
                    return Gathered::Forgot;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => match work.blocking_recv() {
                    Some(first) => backlog.push(first),
                    None => return Gathered::Ended,
                },
            }
        }
        while backlog.work.len() < GATHERED {
            match work.try_recv() {
                Ok(more) => backlog.push(more),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        Gathered::Work
    }

    fn forget(&mut self) {
        let Some(retention) = &self.retention else { return };
        self.forgets = forget(&mut self.db, retention, Timestamp::now()).unwrap_or_else(|error| {
            tracing::error!("what is too old cannot be deleted from the store: {error}");
            false
        });
    }

    /// Says so where the store cannot be written, and where it can be again.
    fn tell_trouble(&self, error: Option<rusqlite::Error>, backlog: &Backlog) {
        let before = self.trouble.borrow().clone();
        let why = error.map(|error| {
            if is_damage(&error) {
                remember_damage(&self.state, &error.to_string());
            }
            let hint = match is_damage(&error) {
                true => "restart driftd: it moves the damaged file aside and begins a new one",
                false => "free some room for it",
            };
            let dropped = match backlog.dropped {
                0 => String::new(),
                count => format!("; {count} entries had no room there"),
            };
            format!(
                "the store cannot be written: {error}; what happens is kept in memory{dropped}\nhint: {hint}"
            )
        });
        match (&before, &why) {
            (None, Some(why)) => tracing::error!("{why}"),
            (Some(_), None) => tracing::info!("the store can be written again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if before != why {
            self.trouble.send_replace(why);
        }
    }

    /// Writes what was gathered. Who asked for it hears of a failure at once, so that a sender can try elsewhere or
    /// later; it is written all the same when there is room.
    fn settle(&mut self, gathered: &mut [Work]) -> rusqlite::Result<()> {
        match self.write(gathered) {
            Ok(requeued) => done(gathered, true, requeued),
            Err(error) => {
                let refused =
                    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation));
                match gathered {
                    // One that the schema refuses must not take others with it.
                    [_, _, ..] if refused => return self.settle_one_by_one(gathered),
                    _ if refused => {
                        tracing::error!("the store refuses what was to be recorded, and it is lost: {error}");
                        done(gathered, false, 0);
                    }
                    _ => {
                        done(gathered, false, 0);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// The same, each in a transaction of its own. What is written is not written again.
    fn settle_one_by_one(&mut self, gathered: &mut [Work]) -> rusqlite::Result<()> {
        for one in gathered {
            self.settle(std::slice::from_mut(one))?;
            if let Work::Record(batch) = one {
                *batch = Batch::default();
            }
        }
        Ok(())
    }

    /// Writes, and gives how many messages are to be tried again.
    pub(super) fn write(&mut self, gathered: &[Work]) -> rusqlite::Result<usize> {
        // That something was told may be forgotten by a power cut: it is then told again, under the same number.
        // What goes as one is not forgotten: it would be another message under the same id.
        let only_told = gathered.iter().all(|work| match work {
            Work::Tried { outcome, .. } => !matches!(outcome, Outcome::Together(_)),
            Work::Told { .. } => true,
            Work::Record(_) | Work::Requeue(..) | Work::Close => false,
        });
        self.db.pragma_update(None, "synchronous", if only_told { "NORMAL" } else { "FULL" })?;
        let mut requeued = 0;
        let change = self.db.transaction()?;
        for work in gathered {
            match work {
                Work::Record(batch) => record(&change, batch, &self.sinks, &self.outlets)?,
                Work::Tried { sink, entries, outcome, stale, .. } => {
                    for entry in entries {
                        put_outcome(&change, sink, *entry, outcome)?;
                    }
                    let old = stale.as_ref().map_or(Ok(0), |stale| give_up_stale(&change, sink, stale))?;
                    if old > 0 {
                        tracing::error!("{old} messages to `{sink}` wait for too long, and are given up");
                    }
                }
                Work::Requeue(sink, _) => {
                    requeued += requeue(&change, sink.as_deref(), &self.outlets, Timestamp::now())?;
                }
                Work::Told { sink, entry } => {
                    change
                        .prepare_cached("DELETE FROM outbox WHERE sink = ?1 AND entry <= ?2")?
                        .execute(params![sink, entry])?;
                }
                Work::Close => {}
            }
        }
        change.commit()?;
        Ok(requeued)
    }
}

/// Whether there may be something to tell for it.
fn is_news(work: &Work) -> bool {
    matches!(work, Work::Record(_) | Work::Requeue(..))
}

/// What came of gathering.
enum Gathered {
    /// There is something to write.
    Work,
    /// Something was forgotten meanwhile.
    Forgot,
    /// Nobody sends any more.
    Ended,
}

/// Takes what comes until it is time to try again; false where nobody sends any more.
fn wait(work: &mut Receiver<Work>, backlog: &mut Backlog) -> bool {
    let Ok(runtime) = Builder::new_current_thread().enable_time().build() else {
        std::thread::sleep(PAUSE);
        return true;
    };
    runtime.block_on(async {
        let again = tokio::time::sleep(PAUSE);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => return true,
                more = work.recv() => match more {
                    Some(more) => backlog.push(more),
                    None => return false,
                },
            }
        }
    })
}

/// Answers who waits. A try is noted, and a requeue made, when it is written; they are kept until then.
fn done(gathered: &mut [Work], durable: bool, requeued: usize) {
    for work in gathered {
        match work {
            Work::Record(batch) => batch.done.drain(..).for_each(|done| done(durable)),
            Work::Tried { noted, .. } if durable => answer(noted, ()),
            Work::Requeue(_, reply) if durable => answer(reply, requeued),
            Work::Tried { .. } | Work::Requeue(..) | Work::Told { .. } | Work::Close => {}
        }
    }
}

/// Answers on a channel that is left in its place; who asked may have gone.
fn answer<T>(channel: &mut oneshot::Sender<T>, with: T) {
    let _ = std::mem::replace(channel, oneshot::channel().0).send(with);
}
