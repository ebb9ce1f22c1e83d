//! Retention: what is too old, or too much, is forgotten, the oldest first and piece by piece, so that recording never
//! waits for it. That it was is recorded first: the triggers of the schema let nothing else be deleted.
//!
//! Never forgotten: the entry of an open finding, the verdict of a deployment in force, what was not told yet.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::read::IN_FORCE;
use crate::model::Retention;

/// How many entries are forgotten in one transaction: some milliseconds.
pub(super) const PIECE: i64 = 1000;

/// Forgets a piece of what is too old or too much; gives whether there may be more.
pub(super) fn forget(db: &mut Connection, retention: &Retention, now: Timestamp) -> rusqlite::Result<bool> {
    let age = SignedDuration::try_from(retention.age).unwrap_or(SignedDuration::MAX);
    let oldest = now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let too_much = size(db)? > retention.size;
    // Looked at often, and hardly ever so: what is needed still is sought only then.
    let too_old = "SELECT EXISTS (SELECT 1 FROM entries WHERE micros < ?1)";
    if !too_much && !db.prepare_cached(too_old)?.query_row([oldest.as_microsecond()], |row| row.get(0))? {
        return Ok(false);
    }
    let change = db.transaction()?;
    change.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY, micros INTEGER NOT NULL)",
    )?;
    change.execute("DELETE FROM doomed", [])?;
    change.execute(
        &format!(
            "INSERT INTO doomed SELECT id, micros FROM entries
             WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE entry = id)
                AND NOT EXISTS (SELECT 1 FROM messages WHERE entry = id AND dead IS NULL)
                AND id NOT IN (SELECT opened_entry FROM findings WHERE state = 'opened' AND opened_entry IS NOT NULL)
                AND id NOT IN (SELECT max(entry) FROM verdicts
                    WHERE deployment IN (SELECT deployment FROM ({IN_FORCE})) GROUP BY deployment)
             ORDER BY id LIMIT ?1"
        ),
        [PIECE],
    )?;
    if !too_much {
        // Up to the first that is young enough: an entry of a wrong clock must not take later ones along.
        change.execute(
            "DELETE FROM doomed WHERE id >= (SELECT id FROM doomed WHERE micros >= ?1 ORDER BY id LIMIT 1)",
            [oldest.as_microsecond()],
        )?;
    }
    let (count, last, micros): (i64, Option<i64>, Option<i64>) =
        change.query_row("SELECT count(*), max(id), max(micros) FROM doomed", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let (Some(last), Some(micros)) = (last, micros) else { return Ok(false) };
    // An entry that was still needed when those around it went may go later than they did.
    change.execute(
        "INSERT INTO forgotten (time, upto, entries, why)
         SELECT ?1, max(?2, coalesce(max(upto), 0)), ?3, ?4 FROM forgotten",
        params![now.to_string(), last, count, if too_much { "size" } else { "age" }],
    )?;
    change.execute("DELETE FROM snapshots WHERE entry IN (SELECT id FROM doomed)", [])?;
    change.execute("DELETE FROM verdicts WHERE entry IN (SELECT id FROM doomed)", [])?;
    change.execute(
        "DELETE FROM baselines WHERE NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.baseline = baselines.baseline)",
        [],
    )?;
    change.execute("DELETE FROM findings WHERE healed_entry IN (SELECT id FROM doomed)", [])?;
    change.execute("DELETE FROM messages WHERE entry IN (SELECT id FROM doomed)", [])?;
    change.execute("DELETE FROM entries WHERE id IN (SELECT id FROM doomed)", [])?;
    let until = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN);
    change.execute(
        &format!(
            "DELETE FROM deployments WHERE status <> 'started' AND ended <= ?1
                AND deployment NOT IN (SELECT deployment FROM ({IN_FORCE}))"
        ),
        [format!("{until:.9}")],
    )?;
    for of in ["deliverers", "declared"] {
        let orphans =
            format!("DELETE FROM {of} WHERE deployment NOT IN (SELECT deployment FROM deployments)");
        change.execute(&orphans, [])?;
    }
    change.commit()?;
    Ok(count == PIECE || too_much)
}

/// How many bytes of the file are in use. What was forgotten leaves room in it that is filled again.
pub(super) fn size(db: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(u64::try_from(pages * pragma("page_size")?).unwrap_or(0))
}
