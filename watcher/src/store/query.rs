//! What people and pages ask of the store: entries by time, key, commit and kind, deployments, verdicts, findings.
//!
//! Every question has a bound on its answer, and an index that finds it: 100,000 entries are not read for ten.

use jiff::Timestamp;
use rusqlite::ToSql;
use serde::Serialize;

use super::{
    read::{IN_FORCE, Reader, Row, RowReader, numbered, parse_json},
    schema::StoreError,
};
use crate::model::{
    DeploymentId, DeploymentNews, Expected, Finding, FindingState, Key, Kind, Value, Verdict, VerdictStatus,
};

/// Which entries. What is not said is not asked for: the default is all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Of one of these kinds; empty: of any.
    pub kinds: Vec<Kind>,
    /// About this key.
    pub key: Option<Key>,
    /// Whose commit begins with this text.
    pub commit: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// With a higher number.
    pub after: Option<i64>,
    /// With a lower number.
    pub before: Option<i64>,
}

/// A deployment as the store knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentRow {
    /// Which, and what became of it.
    #[serde(flatten)]
    pub news: DeploymentNews,
    /// When its window opened, where it had one.
    pub started: Option<Timestamp>,
    /// When it came into force, or broke off.
    pub ended: Option<Timestamp>,
    /// Whether it is in force: the last that finished of its application and environment.
    pub in_force: bool,
    /// Its last verdict, in one word.
    pub verdict: Option<VerdictStatus>,
}

/// A verdict with what stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictRow {
    /// The number of its entry.
    pub entry: i64,
    /// When it was given.
    pub time: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// What was expected; empty where an older driftd gave the verdict.
    pub baseline: Vec<Expected>,
    /// What was in force.
    pub snapshot: Vec<Snapped>,
}

/// One key of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapped {
    /// The key.
    pub key: Key,
    /// What was in force; `None`: it did not exist.
    pub value: Option<Value>,
}

/// What one run of retention took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forgotten {
    /// When.
    pub time: Timestamp,
    /// Entries up to and with this number, but for those that were still needed.
    pub upto: i64,
    /// How many entries that were.
    pub entries: i64,
    /// Why: `age` or `size`.
    pub why: String,
}

/// A finding with the numbers of the entries that tell of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingRow {
    /// The number of the entry that opened it.
    pub entry: Option<i64>,
    /// The finding as it is now.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Reader {
    /// The oldest entries that a filter lets through, at most so many, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn oldest(&self, filter: &Filter, most: usize) -> Result<Vec<Row>, StoreError> {
        self.entries(filter, "ASC", most)
    }

    /// The newest entries that a filter lets through, at most so many, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest(&self, filter: &Filter, most: usize) -> Result<Vec<Row>, StoreError> {
        self.entries(filter, "DESC", most)
    }

    /// The number of the last entry; 0 where there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn last_number(&self) -> Result<i64, StoreError> {
        let found =
            self.all("entries", "SELECT coalesce(max(id), 0) FROM entries", &[], |row| row.number(0))?;
        Ok(found.first().copied().unwrap_or(0))
    }

    fn entries(&self, filter: &Filter, order: &str, most: usize) -> Result<Vec<Row>, StoreError> {
        let mut conditions = vec!["true".to_owned()];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut with = |sql: &str, value: Box<dyn ToSql>| {
            values.push(value);
            conditions.push(sql.replace('?', &format!("?{}", values.len())));
        };
        if let Some(key) = &filter.key {
            with("key = ?", Box::new(key.to_string()));
        }
        if let Some(commit) = &filter.commit {
            with("commit_id >= ?", Box::new(commit.to_lowercase()));
            with("commit_id < ?", Box::new(format!("{}\u{10ffff}", commit.to_lowercase())));
        }
        // Times grow with the numbers, but for a clock that jumped: the index says between which numbers to look.
        if let Some(since) = filter.since {
            let since = since.as_microsecond();
            with("micros >= ?", Box::new(since));
            with(
                "id >= (SELECT min(id) FROM entries INDEXED BY entries_by_time WHERE micros >= ?)",
                Box::new(since),
            );
        }
        if let Some(until) = filter.until {
            let until = until.as_microsecond();
            with("micros < ?", Box::new(until));
            with(
                "id <= (SELECT max(id) FROM entries INDEXED BY entries_by_time WHERE micros < ?)",
                Box::new(until),
            );
        }
        if let Some(after) = filter.after {
            with("id > ?", Box::new(after));
        }
        if let Some(before) = filter.before {
            with("id < ?", Box::new(before));
        }
        if !filter.kinds.is_empty() {
            let kinds: Vec<_> = filter.kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
            // A key or a commit says more than a kind: the plus keeps SQLite from the index of the kinds.
            let plus = if filter.key.is_some() || filter.commit.is_some() { "+" } else { "" };
            conditions.push(format!("{plus}kind IN ({})", kinds.join(", ")));
        }
        values.push(Box::new(i64::try_from(most).unwrap_or(i64::MAX)));
        // The numbers first: what is sorted is then small, however long the entries are.
        let sql = format!(
            "SELECT id, body FROM entries WHERE id IN (
                SELECT id FROM entries WHERE {} ORDER BY id {order} LIMIT ?{}) ORDER BY id",
            conditions.join(" AND "),
            values.len()
        );
        let values: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
        self.all("entries", &sql, &values, numbered)
    }

    /// The newest deployments, at most so many, newest first; those whose name or commit begins with a text, where
    /// one is given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn deployments(&self, begins: Option<&str>, most: usize) -> Result<Vec<DeploymentRow>, StoreError> {
        let sql = format!(
            "WITH in_force AS ({IN_FORCE}), asked AS (
                SELECT rowid AS number FROM deployments
                WHERE ?1 IS NULL OR (deployment >= ?1 AND deployment < ?2) OR (commit_id >= ?1 AND commit_id < ?2)
                ORDER BY coalesce(ended, started) DESC, rowid DESC LIMIT ?3)
             SELECT deployment, commit_id, app, environment, status, undated, started, ended,
                deployment IN (SELECT deployment FROM in_force),
                (SELECT status FROM verdicts AS v WHERE v.deployment = d.deployment ORDER BY entry DESC LIMIT 1), repo
             FROM asked JOIN deployments AS d ON d.rowid = number
             ORDER BY coalesce(ended, started) DESC, d.rowid DESC"
        );
        let begins = begins.map(str::to_lowercase);
        let end = begins.as_ref().map(|begins| format!("{begins}\u{10ffff}"));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.all("deployments", &sql, &[&begins, &end, &most], |row| {
            Ok(DeploymentRow {
                news: DeploymentNews {
                    deployment: DeploymentId(row.text(0)?.into()),
                    commit: row.parse(1)?,
                    app: row.optional(2)?,
                    environment: row.optional(3)?,
                    repo: row.optional(10)?,
                    status: row.parse(4)?,
                    undated: row.number(5)? != 0,
                },
                started: row.parse_optional(6)?,
                ended: row.parse_optional(7)?,
                in_force: row.number(8)? != 0,
                verdict: row.parse_optional(9)?,
            })
        })
    }

    /// The last verdict of a deployment, with its baseline and its snapshot.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn verdict(&self, deployment: &DeploymentId) -> Result<Option<VerdictRow>, StoreError> {
        self.judged("v.deployment = ?1 ORDER BY v.entry DESC LIMIT 1", &deployment.0)
    }

    /// The verdict whose entry has this number, with its baseline and its snapshot.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn verdict_at(&self, entry: i64) -> Result<Option<VerdictRow>, StoreError> {
        self.judged("v.entry = ?1", &entry)
    }

    fn judged(&self, which: &str, value: &dyn ToSql) -> Result<Option<VerdictRow>, StoreError> {
        let sql = format!(
            "SELECT v.entry, e.time, e.body, b.body FROM verdicts AS v
            JOIN entries AS e ON e.id = v.entry LEFT JOIN baselines AS b USING (baseline) WHERE {which}"
        );
        let found = self.all("verdicts", &sql, &[value], |row| {
            Ok(VerdictRow {
                entry: row.number(0)?,
                time: row.parse(1)?,
                verdict: parse_json(&row.text(2)?)?,
                baseline: row.optional(3)?.map_or(Ok(Vec::new()), |body| parse_json(&body))?,
                snapshot: Vec::new(),
            })
        })?;
        let Some(mut verdict) = found.into_iter().next() else { return Ok(None) };
        let sql = "SELECT key, value FROM snapshots WHERE entry = ?1 ORDER BY key";
        verdict.snapshot = self.all("snapshots", sql, &[&verdict.entry], |row| {
            Ok(Snapped { key: row.parse(0)?, value: row.value(1)? })
        })?;
        Ok(Some(verdict))
    }

    /// What retention took, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        let sql = "SELECT number, time, upto, entries, why FROM forgotten ORDER BY number";
        self.all("forgotten", sql, &[], |row| {
            Ok(Forgotten {
                time: row.parse(1)?,
                upto: row.number(2)?,
                entries: row.number(3)?,
                why: row.text(4)?,
            })
        })
    }

    /// The newest findings, at most so many, newest first; those in one state, where one is given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn findings(&self, state: Option<FindingState>, most: usize) -> Result<Vec<FindingRow>, StoreError> {
        let state = state.map(|state| match state {
            FindingState::Opened => "opened",
            FindingState::Healed => "healed",
        });
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT finding, opened_entry, body FROM findings WHERE ?1 IS NULL OR state = ?1
            ORDER BY rowid DESC LIMIT ?2";
        self.all("findings", sql, &[&state, &most], finding)
    }

    /// The keys that entries tell of, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.all(
            "entries",
            "SELECT DISTINCT key FROM entries WHERE key IS NOT NULL ORDER BY key",
            &[],
            |row| row.parse(0),
        )
    }
}

fn finding(row: &RowReader<'_, '_>) -> Result<FindingRow, String> {
    let entry = row.optional_number(1)?;
    Ok(FindingRow { entry, finding: parse_json(&row.text(2)?)? })
}
