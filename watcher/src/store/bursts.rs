//! Bursts: of what waits for a sink in great number the first are told each alone, and those behind them as one.
//!
//! Which these are is written before they are sent, so that they are the same, under the same id, at each try and in each run.

use jiff::Timestamp;
use rusqlite::params;

use super::{
    read::{Reader, RowReader},
    schema::StoreError,
};

/// How many of those that wait are told each alone: what a person can read, and a program be started for.
pub const ALONE: usize = 100;

/// How many go as one at most: they are in memory together.
const TOGETHER: usize = 5000;

/// What waits, was never tried, and may go as one: each tells of one key. Verdicts and losses are few. Of those that were tried
/// the sink may know the id. A reminder tells how its finding is by now, and would be another one at the next try.
const WAITS: &str =
    "m.sink = ?1 AND m.dead IS NULL AND m.burst IS NULL AND m.tries = 0 AND m.flaps = 0 AND m.due <= ?2
    AND m.reminders = 0 AND e.kind IN ('finding', 'remedy')";

/// Messages that are to go as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// The id they go under.
    pub id: String,
    /// The numbers of their entries.
    pub entries: Box<[i64]>,
}

impl Reader {
    /// What of the messages that wait for a sink is to go as one from now on; nothing where there are not too many.
    ///
    /// What is behind a message about the same finding that does not go with them goes alone, after that one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn burst(&self, sink: &str, now: Timestamp) -> Result<Option<Together>, StoreError> {
        let now = now.as_microsecond();
        let sql = format!(
            "SELECT m.entry FROM messages AS m JOIN entries AS e ON e.id = m.entry
             WHERE {WAITS} ORDER BY m.entry LIMIT 1 OFFSET {ALONE}"
        );
        let start = self.all("messages", &sql, params![sink, now], |row| row.number(0))?;
        let Some(start) = start.first() else { return Ok(None) };
        let sql = format!(
            "SELECT m.entry, (SELECT id FROM origin)
             FROM messages AS m JOIN entries AS e ON e.id = m.entry
             WHERE {WAITS} AND m.entry >= ?3 AND NOT EXISTS (SELECT 1 FROM messages AS p
                WHERE p.sink = m.sink AND p.subject = m.subject AND p.entry < m.entry
                    AND (p.entry < ?3 OR p.dead IS NOT NULL OR p.burst IS NOT NULL OR p.tries > 0 OR p.flaps > 0
                        OR p.due > ?2 OR p.reminders > 0))
             ORDER BY m.entry LIMIT {TOGETHER}"
        );
        let first = |row: &RowReader<'_, '_>| Ok((row.number(0)?, row.text(1)?));
        let found = self.all("messages", &sql, params![sink, now, start], first)?;
        let [(first, origin), rest @ ..] = found.as_slice() else { return Ok(None) };
        // Where there is one alone it goes alone.
        Ok((!rest.is_empty()).then(|| Together {
            id: format!("{}_and_{}", id(origin, *first, 0), rest.len()),
            entries: found.iter().map(|(entry, ..)| *entry).collect(),
        }))
    }
}

/// The id of the message of an entry: the same each time it is sent, and no other message's.
pub(super) fn id(origin: &str, entry: i64, reminder: u32) -> String {
    match reminder {
        0 => format!("msg_{origin}_{entry}"),
        reminder => format!("msg_{origin}_{entry}_{reminder}"),
    }
}
