//! Messages to sinks outside this host: what waits, what became of a try, what was given up.
//!
//! When one is tried again is not decided here. Those about one subject leave in their order: while one waits those
//! behind it do too, and when one was given up so are they.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    bursts::id,
    flaps::{flaps, hold, take_back},
    read::{Reader, Row, RowReader, numbered, parse_json},
    schema::StoreError,
};
use crate::model::{Beneath, Entry, FindingState, Flapping, Flaps, Outlet, SinkStanding, What};

/// Nothing is put off longer than this: where the clock was set back, what is due later than that is due now.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// A message whose turn it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The same each time it is sent, and no other message's.
    pub id: String,
    /// What it tells.
    pub row: Row,
    /// Under what it happened.
    pub beneath: Beneath,
    /// How often it was tried before.
    pub tries: u32,
    /// What its age is counted from.
    pub since: Timestamp,
    /// Whether one before it about the same subject was given up.
    pub orphaned: bool,
    /// How often it was sent already, because what it tells is still so.
    pub reminder: u32,
    /// How the finding flaps, where it was held for that.
    pub flaps: Option<Flaps>,
    /// Whether it goes with others, under an id that is theirs together.
    pub burst: bool,
}

/// What there is to do for a sink.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// These, as one: the first is the oldest, and there is one. All of a burst, or none.
    Send(Vec<Message>),
    /// Nothing before then.
    At(Timestamp),
    /// Nothing.
    Nothing,
}

/// What became of a message that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Sent {
        /// When it is told again, if it is of a finding that is open then.
        again: Option<Timestamp>,
    },
    /// It is tried again then.
    Later {
        /// When.
        due: Timestamp,
        /// Why.
        why: String,
    },
    /// It is not tried again unless somebody asks for it.
    Dead {
        /// When it was given up.
        at: Timestamp,
        /// Why.
        why: String,
    },
    /// It goes with others from now on, under this id.
    Together(String),
}

/// What has waited for too long for a sink that takes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// What is older than this.
    pub before: Timestamp,
    /// When it is given up.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// Whose turn it is: of those that wait, each subject's first. Of what is hushed nobody is reminded.
const FIRST: &str = "m.sink = ?1 AND m.dead IS NULL AND NOT EXISTS (SELECT 1 FROM messages AS p
    WHERE p.sink = m.sink AND p.subject = m.subject AND p.entry < m.entry AND p.dead IS NULL)
    AND (m.reminders = 0 OR NOT EXISTS (SELECT 1 FROM findings AS h
        WHERE h.finding = m.subject AND h.body ->> '$.hushed'))";

/// The columns of a message, of the tables below.
const COLUMNS: &str =
    "e.id, e.body, m.tries, (SELECT id FROM origin), m.since, b.app, b.environment, b.repo, m.reminders,
    m.flaps, m.writers, CASE WHEN m.reminders > 0 THEN f.body END, m.burst";

const TABLES: &str = "messages AS m JOIN entries AS e ON e.id = m.entry
    LEFT JOIN deployments AS b ON b.deployment = CASE e.kind
        WHEN 'remedy' THEN (SELECT body ->> '$.deployment' FROM findings WHERE finding = e.body ->> '$.finding')
        ELSE e.body ->> '$.deployment' END
    LEFT JOIN findings AS f ON f.finding = m.subject";

/// Whether one before it about the same subject was given up.
const ORPHANED: &str = "EXISTS (SELECT 1 FROM messages AS d
    WHERE d.sink = m.sink AND d.subject = m.subject AND d.entry < m.entry AND d.dead IS NOT NULL)";

/// How many messages go as one at most.
const TOGETHER: i64 = 50;

impl Reader {
    /// What there is to do for a sink, the oldest first. What was recorded within `group` of it goes with it, and it waits
    /// for that; which these are is the same at each try.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next_messages(&self, sink: &str, group: Duration, now: Timestamp) -> Result<Next, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, {ORPHANED} FROM {TABLES}
             WHERE {FIRST} AND (m.due <= ?2 OR m.due > ?3 AND m.reminders = 0) ORDER BY m.entry LIMIT 1"
        );
        let (micros, latest) =
            (now.as_microsecond(), now.checked_add(LONGEST).unwrap_or(Timestamp::MAX).as_microsecond());
        let first = self.all("messages", &sql, params![sink, micros, latest], message)?.into_iter().next();
        let Some(first) = first else {
            let sql = format!("SELECT m.due FROM messages AS m WHERE {FIRST} ORDER BY m.due LIMIT 1");
            let later = self.all("messages", &sql, params![sink], |row| moment(row.number(0)?))?;
            return Ok(later.into_iter().next().map_or(Next::Nothing, Next::At));
        };
        if first.burst {
            let sql = format!(
                "SELECT {COLUMNS}, 0 FROM {TABLES} WHERE m.sink = ?1 AND m.burst = ?2 AND m.dead IS NULL ORDER BY m.entry"
            );
            let all = self.all("messages", &sql, params![sink, first.id], message)?;
            return Ok(Next::Send(all));
        }
        if group.is_zero() || first.orphaned {
            return Ok(Next::Send(vec![first]));
        }
        let end = first.since.checked_add(group).unwrap_or(now);
        // One that is further away is one of a clock that was set back.
        if first.tries == 0 && end > now && first.since <= now {
            return Ok(Next::At(end));
        }
        // Those about the same subject as an earlier one wait behind it, and are not for this time.
        let sql = format!(
            "SELECT {COLUMNS}, 0 FROM {TABLES}
             WHERE m.sink = ?1 AND m.entry > ?2 AND m.dead IS NULL AND m.since < ?3 AND m.reminders = 0 AND m.burst IS NULL
                AND (m.due <= ?4 OR m.due > ?5)
                AND NOT EXISTS (SELECT 1 FROM messages AS p
                    WHERE p.sink = m.sink AND p.subject = m.subject AND p.entry < m.entry
                        AND (p.entry < ?2 OR p.dead IS NOT NULL OR p.reminders > 0 OR p.due > ?4))
             ORDER BY m.entry LIMIT {TOGETHER} - 1"
        );
        let entry = first.row.number;
        let others =
            self.all("messages", &sql, params![sink, entry, end.as_microsecond(), micros, latest], message)?;
        Ok(Next::Send([first].into_iter().chain(others).collect()))
    }

    /// How the messages to each sink stand; a sink for which nothing waits and nothing was given up is not there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn sinks(&self) -> Result<Vec<SinkStanding>, StoreError> {
        let sql = "SELECT sink, count(*) FILTER (WHERE dead IS NULL AND (reminders = 0 OR tries > 0)) AS waiting,
                count(dead) AS given_up,
                (SELECT why FROM messages AS w WHERE w.sink = m.sink AND why IS NOT NULL ORDER BY entry DESC LIMIT 1)
            FROM messages AS m GROUP BY sink HAVING waiting > 0 OR given_up > 0 ORDER BY sink";
        self.all("messages", sql, &[], |row| {
            Ok(SinkStanding {
                sink: row.text(0)?,
                waiting: row.number(1)?.unsigned_abs(),
                dead: row.number(2)?.unsigned_abs(),
                why: row.optional(3)?,
            })
        })
    }
}

fn message(row: &RowReader<'_, '_>) -> Result<Message, String> {
    let (mut told, origin) = (numbered(row)?, row.text(3)?);
    let reminder = u32::try_from(row.number(8)?).unwrap_or(u32::MAX);
    // How it is by now.
    if let Some(finding) = row.optional(11)? {
        told.entry.what = What::Finding(parse_json(&finding)?);
    }
    let burst = row.optional(12)?;
    let flaps = match row.number(9)? {
        0 => None,
        opened => Some(Flaps {
            opened: opened.unsigned_abs(),
            writers: row.optional(10)?.as_deref().map(parse_json).transpose()?.unwrap_or_default(),
        }),
    };
    Ok(Message {
        burst: burst.is_some(),
        id: burst.unwrap_or_else(|| id(&origin, told.number, reminder)),
        row: told,
        beneath: Beneath { app: row.optional(5)?, environment: row.optional(6)?, repo: row.optional(7)? },
        tries: u32::try_from(row.number(2)?).unwrap_or(u32::MAX),
        since: moment(row.number(4)?)?,
        orphaned: row.number(13)? != 0,
        reminder,
        flaps,
    })
}

fn moment(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(micros).map_err(|error| error.to_string())
}

/// Writes what is to be told of an entry outside this host.
pub(super) fn put_messages(
    change: &Transaction<'_>,
    number: i64,
    entry: &Entry,
    outlets: &[Outlet],
) -> rusqlite::Result<()> {
    let beneath = match outlets.iter().any(|outlet| outlet.routing.asks_beneath()) {
        true => beneath(change, &entry.what)?,
        false => Beneath::default(),
    };
    let takes = |outlet: &&Outlet| outlet.routing.takes(&entry.what, &beneath);
    let mut flapping = None;
    for outlet in outlets.iter().filter(takes) {
        let sink = &*outlet.sink;
        if let What::Finding(finding) = &entry.what {
            if flapping.is_none() && outlet.flapping == Flapping::Held {
                flapping = Some(flaps(change, finding, entry.time)?);
            }
            // What it was told of again and again is over, or is told now as what it has become: a fight.
            change
                .prepare_cached("DELETE FROM messages WHERE sink = ?1 AND subject = ?2 AND reminders > 0")?
                .execute(params![sink, finding.finding.0])?;
            if take_back(change, sink, finding, entry.time)? && finding.state == FindingState::Healed {
                continue;
            }
        }
        change
            .prepare_cached("INSERT INTO messages (entry, sink, subject, since) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![number, sink, subject(number, &entry.what), entry.time.as_microsecond()])?;
        if let (What::Finding(finding), Some(Some(flaps)), Flapping::Held) =
            (&entry.what, &flapping, outlet.flapping)
        {
            hold(change, sink, finding, flaps, entry.time)?;
        }
    }
    Ok(())
}

/// Under what an entry happened. Its deployment was recorded before it, or with it.
fn beneath(change: &Transaction<'_>, what: &What) -> rusqlite::Result<Beneath> {
    const OF: &str = "SELECT app, environment, repo FROM deployments WHERE deployment";
    let (sql, of) = match what {
        What::Finding(finding) => (format!("{OF} = ?1"), finding.deployment.as_ref().map(|id| &id.0)),
        What::Verdict(verdict) => (format!("{OF} = ?1"), Some(&verdict.deployment.0)),
        // A remedy happens under what its finding did.
        What::Remedy(remedied) => (
            format!("{OF} = (SELECT body ->> '$.deployment' FROM findings WHERE finding = ?1)"),
            Some(&remedied.finding.0),
        ),
        _ => return Ok(Beneath::default()),
    };
    let Some(of) = of else { return Ok(Beneath::default()) };
    let known = change
        .prepare_cached(&sql)?
        .query_row([of], |row| Ok(Beneath { app: row.get(0)?, environment: row.get(1)?, repo: row.get(2)? }))
        .optional()?;
    Ok(known.unwrap_or_default())
}

/// What a message is about: the finding, the commit of the verdict, or itself alone. A commit's status is set by the verdicts
/// of all its deployments, and the last one counts.
fn subject(number: i64, what: &What) -> String {
    match what {
        What::Finding(finding) => finding.finding.to_string(),
        What::Verdict(verdict) => format!("commit {}", verdict.commit),
        _ => format!("entry {number}"),
    }
}

/// Writes what became of a message.
pub(super) fn put_outcome(
    change: &Transaction<'_>,
    sink: &str,
    entry: i64,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    match outcome {
        Outcome::Sent { again } => {
            let open = "EXISTS (SELECT 1 FROM findings WHERE finding = subject AND state = 'opened')";
            // Of what is told as something else by now, a fight, nobody is reminded as what it was: that would hold up the other.
            let last = "NOT EXISTS (SELECT 1 FROM messages AS n WHERE n.sink = ?1 AND n.subject = messages.subject
                AND n.entry > ?2 AND n.dead IS NULL)";
            if let Some(again) = again {
                let remind = format!(
                    "UPDATE messages SET reminders = reminders + 1, tries = 0, due = ?3, since = ?3, why = NULL,
                        flaps = 0, writers = NULL, burst = NULL
                     WHERE sink = ?1 AND entry = ?2 AND {open} AND {last}"
                );
                let kept = change.prepare_cached(&remind)?.execute(params![sink, entry, again.as_microsecond()])?;
                if kept > 0 {
                    return Ok(());
                }
            }
            change
                .prepare_cached("DELETE FROM messages WHERE sink = ?1 AND entry = ?2")?
                .execute(params![sink, entry])
        }
        Outcome::Later { due, why } => change
            .prepare_cached(
                "UPDATE messages SET tries = tries + 1, due = ?3, why = ?4 WHERE sink = ?1 AND entry = ?2",
            )?
            .execute(params![sink, entry, due.as_microsecond(), why]),
        Outcome::Dead { at, why } => change
            .prepare_cached("UPDATE messages SET tries = tries + 1, dead = ?3, why = ?4 WHERE sink = ?1 AND entry = ?2")?
            .execute(params![sink, entry, at.as_microsecond(), why]),
        // What happened to it meanwhile counts: one that flaps by now is held, alone.
        Outcome::Together(id) => change
            .prepare_cached(
                "UPDATE messages SET burst = ?3
                 WHERE sink = ?1 AND entry = ?2 AND dead IS NULL AND burst IS NULL AND tries = 0 AND flaps = 0",
            )?
            .execute(params![sink, entry, id]),
    }
    .map(drop)
}

/// Gives up all that has waited for too long for a sink; gives how many there are. A sink that takes nothing is tried with
/// one message now and then: the others would wait for that turn for days. A burst is given up as a whole, at its turn.
pub(super) fn give_up_stale(change: &Transaction<'_>, sink: &str, stale: &Stale) -> rusqlite::Result<usize> {
    change
        .prepare_cached(
            "UPDATE messages SET dead = ?3, why = ?4
             WHERE sink = ?1 AND since < ?2 AND dead IS NULL AND reminders = 0 AND burst IS NULL",
        )?
        .execute(params![sink, stale.before.as_microsecond(), stale.at.as_microsecond(), stale.why])
}

/// Has what was given up tried again: of one sink, or of all that there are. Its age counts from now. That it was tried stays
/// known: the sink may have it, under the id that it keeps.
pub(super) fn requeue(
    change: &Transaction<'_>,
    sink: Option<&str>,
    outlets: &[Outlet],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    change
        .prepare_cached(
            "UPDATE messages SET dead = NULL, tries = min(tries, 1), due = 0, since = ?2
             WHERE dead IS NOT NULL AND (?1 IS NULL OR sink = ?1)
                AND sink IN (SELECT value FROM json_each(?3))",
        )?
        .execute(params![sink, now.as_microsecond(), names(outlets)?])
}

/// The names of the sinks, as JSON.
fn names(outlets: &[Outlet]) -> rusqlite::Result<String> {
    let names: Vec<&str> = outlets.iter().map(|outlet| &*outlet.sink).collect();
    serde_json::to_string(&names).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Gives up what waits for sinks that are not configured any more, so that it does not wait for ever.
pub(super) fn give_up_others(
    change: &Transaction<'_>,
    outlets: &[Outlet],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    const WHY: &str = "no sink of this name is configured any more";
    change.execute(
        "UPDATE messages SET dead = ?1, why = ?2
         WHERE dead IS NULL AND sink NOT IN (SELECT value FROM json_each(?3))",
        params![now.as_microsecond(), WHY, names(outlets)?],
    )
}

/// Forgets what sinks are to be told again that are to be told again no more.
pub(super) fn forget_reminders(change: &Transaction<'_>, outlets: &[Outlet]) -> rusqlite::Result<()> {
    for outlet in outlets.iter().filter(|outlet| outlet.remind.is_none()) {
        change.execute("DELETE FROM messages WHERE sink = ?1 AND reminders > 0", [&*outlet.sink])?;
    }
    Ok(())
}
