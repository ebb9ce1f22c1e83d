//! The one writer. It takes what has gathered, commits it at once, and only then lets anyone know.

use std::{fs::File, path::Path, sync::mpsc::SyncSender, time::Duration};

use rusqlite::{Connection, Transaction, params};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use super::{
    read::DELIVERIES,
    schema::{StoreError, open},
};
use crate::model::{
    Capture, Delivered, DeploymentId, DeploymentNews, DeploymentStatus, Entry, Finding, FindingState, What,
};

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
    /// Who delivered which deployment, by the name of the credential.
    pub deliverers: Vec<(DeploymentId, Box<str>)>,
    /// Expectations that were captured.
    pub captures: Vec<Capture>,
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

fn record(change: &Transaction<'_>, batch: &Batch, sinks: &[&str]) -> rusqlite::Result<()> {
    // First, because an entry may say that one of these is over.
    for finding in &batch.moved {
        put_finding(change, finding)?;
    }
    for entry in &batch.entries {
        let body = json(entry)?;
        let key = entry.what.key().map(ToString::to_string);
        change
            .prepare_cached("INSERT INTO entries (time, kind, key, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![entry.time.to_string(), entry.what.kind(), key, body])?;
        let number = change.last_insert_rowid();
        for sink in sinks {
            change
                .prepare_cached("INSERT INTO outbox (entry, sink) VALUES (?1, ?2)")?
                .execute(params![number, sink])?;
        }
        match &entry.what {
            What::Finding(finding) => put_finding(change, finding)?,
            What::Deployment(news) => put_deployment(change, news, &format!("{:.9}", entry.time))?,
            What::Verdict(verdict) => {
                change
                    .prepare_cached(
                        "INSERT INTO verdicts (deployment, body) VALUES (?1, ?2)
                         ON CONFLICT DO UPDATE SET body = excluded.body",
                    )?
                    .execute(params![verdict.deployment.0, json(verdict)?])?;
            }
            _ => {}
        }
    }
    for (deployment, credential) in &batch.deliverers {
        change
            .prepare_cached("INSERT OR IGNORE INTO deliverers (deployment, credential) VALUES (?1, ?2)")?
            .execute(params![deployment.0, credential])?;
    }
    for delivered in &batch.delivered {
        change
            .prepare_cached(
                "INSERT INTO deliveries (id, phase, commit_id, digest, at, deployment, app, environment)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                delivered.id,
                delivered.phase.as_str(),
                delivered.commit.as_str(),
                delivered.digest,
                delivered.at.to_string(),
                delivered.deployment.0,
                delivered.app,
                delivered.environment,
            ])?;
    }
    if !batch.delivered.is_empty() {
        // What is not read any more is not kept: a controller that reports for ever would fill the disk.
        change
            .prepare_cached(
                "DELETE FROM deliveries WHERE number <= (SELECT max(number) FROM deliveries) - ?1",
            )?
            .execute([DELIVERIES])?;
    }
    for capture in &batch.captures {
        change
            .prepare_cached(
                "INSERT INTO captures (rule, key, value, commit_id) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET value = excluded.value, commit_id = excluded.commit_id",
            )?
            .execute(params![
                capture.rule,
                capture.key.to_string(),
                capture.value.as_str(),
                capture.commit.as_str()
            ])?;
    }
    Ok(())
}

fn put_finding(change: &Transaction<'_>, finding: &Finding) -> rusqlite::Result<()> {
    let state = match finding.state {
        FindingState::Opened => "opened",
        FindingState::Healed => "healed",
    };
    change
        .prepare_cached(
            "INSERT INTO findings (finding, rule, key, state, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (finding) DO UPDATE SET state = excluded.state, body = excluded.body",
        )?
        .execute(params![finding.finding.0, finding.rule, finding.key.to_string(), state, json(finding)?])
        .map(drop)
}

/// The time has all its digits: rows are put in order by it.
fn put_deployment(change: &Transaction<'_>, news: &DeploymentNews, time: &str) -> rusqlite::Result<()> {
    if news.status == DeploymentStatus::Finished {
        // One that is deployed once more is judged once more.
        change.prepare_cached("DELETE FROM verdicts WHERE deployment = ?1")?.execute([&news.deployment.0])?;
    }
    let (started, ended) = match news.status {
        DeploymentStatus::Started => (Some(time), None),
        _ => (None, Some(time)),
    };
    // The commit in force may be deployed once more: under way it keeps the time it came into force, and when that
    // breaks off it is in force as before.
    change
        .prepare_cached(
            "INSERT INTO deployments (deployment, commit_id, app, environment, status, undated, started, ended)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (deployment) DO UPDATE SET
                status = CASE WHEN excluded.status IN ('failed', 'timed-out')
                        AND status IN ('started', 'finished') AND ended IS NOT NULL
                    THEN 'finished' ELSE excluded.status END,
                started = coalesce(excluded.started, started),
                ended = CASE WHEN excluded.status = 'finished'
                    THEN excluded.ended ELSE coalesce(ended, excluded.ended) END",
        )?
        .execute(params![
            news.deployment.0,
            news.commit.as_str(),
            news.app,
            news.environment,
            news.status.as_str(),
            news.undated,
            started,
            ended
        ])
        .map(drop)
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
