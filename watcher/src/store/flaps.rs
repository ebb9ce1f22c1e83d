//! Findings that open and heal again and again: their messages are held until it is quiet, so that a sink is told how it
//! ended, and by whom it was written meanwhile.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use crate::model::{Change, Entry, Finding, FindingState, Flaps, What, Writer};

/// How often a finding opens and is told each time.
const TOLD: u64 = 3;

/// Within how long that is counted.
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// How long it must be quiet.
const QUIET: SignedDuration = SignedDuration::from_mins(5);

/// The longest that anything is held.
const MOST: SignedDuration = SignedDuration::from_mins(30);

/// What is due within this may leave before what is recorded now is written.
const LEAVING: SignedDuration = SignedDuration::from_secs(1);

/// How many changes are looked at for their writers.
const CHANGES: usize = 20;

/// How a finding flaps, where it does.
pub(super) fn flaps(
    change: &Transaction<'_>,
    finding: &Finding,
    now: Timestamp,
) -> rusqlite::Result<Option<Flaps>> {
    let (key, after) = (finding.key.to_string(), now.saturating_sub(LATELY).unwrap_or(now).as_microsecond());
    let before: i64 = change
        .prepare_cached(
            "SELECT count(*) FROM findings WHERE key = ?1 AND rule = ?2 AND finding <> ?3
                AND opened_entry >= (SELECT id FROM entries WHERE micros > ?4 ORDER BY micros LIMIT 1)
                AND (SELECT micros FROM entries WHERE id = opened_entry) > ?4",
        )?
        .query_row(params![key, finding.rule, finding.finding.0, after], |row| row.get(0))?;
    let opened = before.unsigned_abs() + 1;
    if opened <= TOLD && (finding.state == FindingState::Opened || opened < TOLD) {
        return Ok(None);
    }
    let mut writers = Vec::new();
    let mut changes = change.prepare_cached(
        // The number bounds what is looked at of the key's history, which may be that of a year.
        "SELECT body FROM entries WHERE key = ?1 AND +kind = 'change' AND micros > ?2
            AND id >= (SELECT id FROM entries WHERE micros > ?2 ORDER BY micros LIMIT 1)
         ORDER BY id DESC LIMIT ?3",
    )?;
    let mut rows = changes.query(params![key, after, CHANGES as i64])?;
    while let Some(row) = rows.next()? {
        // One that cannot be read names nobody.
        if let Ok(Entry { what: What::Change(Change { writer: Some(writer), .. }), .. }) =
            serde_json::from_str(&row.get::<_, String>(0)?)
        {
            let name = named(&writer);
            if !writers.contains(&name) {
                writers.push(name);
            }
        }
    }
    Ok(Some(Flaps { opened, writers }))
}

/// Who wrote, without what is another one each time.
fn named(writer: &Writer) -> String {
    match &writer.unit {
        Some(unit) => format!("{} ({unit})", writer.comm),
        None => writer.comm.to_string(),
    }
}

/// Takes back what a sink was not told yet of a finding that flaps: that it opened, where it healed meanwhile, or became a
/// fight. True where there was such a thing, and nothing is to be told of one that healed. What is due may be under way already, or was sent by a run that
/// died before it could mark it: who may have heard that it opened hears that it healed.
pub(super) fn take_back(
    change: &Transaction<'_>,
    sink: &str,
    finding: &Finding,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let soon = now.saturating_add(LEAVING).unwrap_or(now);
    let taken = change
        .prepare_cached(
            "DELETE FROM messages WHERE sink = ?1 AND subject = ?2 AND flaps > 0 AND tries = 0 AND reminders = 0
                AND dead IS NULL AND due > ?3",
        )?
        .execute(params![sink, finding.finding.0, soon.as_microsecond()])?;
    Ok(taken > 0)
}

/// Holds a message, and what is held already of the same key and rule, until it was quiet for long enough.
pub(super) fn hold(
    change: &Transaction<'_>,
    sink: &str,
    finding: &Finding,
    flaps: &Flaps,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let later = |wait: SignedDuration| now.saturating_add(wait).unwrap_or(now).as_microsecond();
    let writers = serde_json::to_string(&flaps.writers)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let opened = i64::try_from(flaps.opened).unwrap_or(i64::MAX);
    change
        .prepare_cached(
            "UPDATE messages SET flaps = ?2, writers = ?3, due = min(?4, since + ?5)
             WHERE sink = ?1 AND tries = 0 AND reminders = 0 AND dead IS NULL AND burst IS NULL
                AND (subject = ?6 OR flaps > 0 AND subject IN
                    (SELECT finding FROM findings WHERE key = ?7 AND rule = ?8))",
        )?
        .execute(params![
            sink,
            opened,
            writers,
            later(QUIET),
            i64::try_from(MOST.as_micros()).unwrap_or(i64::MAX),
            finding.finding.0,
            finding.key.to_string(),
            finding.rule
        ])
        .map(drop)
}
