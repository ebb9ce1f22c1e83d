//! Reading the store: what an earlier run left, and what was recorded. Readers never wait for the writer.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::schema::{StoreError, file, open_read_only};
use crate::model::{
    Adopted, Capture, Delivered, Deployment, DeploymentId, DeploymentStatus, Entry, Finding, Key, Known,
    Remedied, Value, Values, What,
};

/// How many messages of the past are kept and read: as many as are remembered.
pub(super) const DELIVERIES: i64 = 1024;

/// How many remedies of the past are read: more than the limits of many rules count.
const REMEDIES: i64 = 4096;

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Past {
    /// Findings that were open.
    pub findings: Vec<Finding>,
    /// Expectations that were captured.
    pub captures: Vec<Capture>,
    /// Deployments in force, the last delivered last: one for each application and environment.
    pub in_force: Vec<Deployment>,
    /// Deployments under way, with the time they started.
    pub under_way: Vec<(Deployment, Timestamp)>,
    /// Messages that were taken, oldest first.
    pub delivered: Vec<Delivered>,
    /// Live values that are expected in the place of the declared ones.
    pub adopted: Vec<Adopted>,
    /// What became of remedies, and when, oldest first: the last [`REMEDIES`] of them.
    pub remedied: Vec<(Timestamp, Remedied)>,
    /// Remedies that were about to be carried out, and of which nothing more is known.
    pub cut_off: Vec<Remedied>,
    /// When something was last recorded.
    pub last: Option<Timestamp>,
}

impl Past {
    /// The live value that was adopted for a key under a rule.
    pub fn adopted_value(&self, rule: &str, key: &Key) -> Option<&Value> {
        let it = |adopted: &&Adopted| *adopted.rule == *rule && adopted.key == *key;
        self.adopted.iter().find(it).map(|adopted| &adopted.value)
    }
}

/// An entry with its number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its number: later entries have higher ones, and one that is told again has the same.
    #[serde(rename = "entry")]
    pub number: i64,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Reads.
pub struct Reader {
    pub(super) db: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the store of a state directory. `None` where there is none yet.
    pub fn open(state: &Path) -> Result<Option<Reader>, StoreError> {
        Ok(open_read_only(state)?.map(|db| Reader { db, path: file(state) }))
    }

    /// What an earlier run left.
    pub fn past(&self) -> Result<Past, StoreError> {
        let last =
            self.all("entries", "SELECT id, time FROM entries ORDER BY id DESC LIMIT 1", &[], |row| {
                row.parse(1)
            })?;
        Ok(Past {
            last: last.into_iter().next(),
            findings: self.all(
                "findings",
                "SELECT finding, body FROM findings WHERE state = 'opened' ORDER BY rowid",
                &[],
                |row| parse_json(&row.text(1)?),
            )?,
            captures: self.all(
                "captures",
                "SELECT rule, key, value, commit_id FROM captures",
                &[],
                |row| {
                    Ok(Capture {
                        rule: row.text(0)?.into(),
                        key: row.parse(1)?,
                        value: row.value(2)?.ok_or("no value")?,
                        commit: row.parse(3)?,
                    })
                },
            )?,
            adopted: self.all("adoptions", "SELECT rule, key, value FROM adoptions", &[], |row| {
                Ok(Adopted {
                    rule: row.text(0)?.into(),
                    key: row.parse(1)?,
                    value: row.value(2)?.ok_or("no value")?,
                })
            })?,
            remedied: self.all("entries", REMEDIED, &[&REMEDIES], |row| {
                match parse_json::<Entry>(&row.text(1)?)? {
                    Entry { time, what: What::Remedy(remedied) } => Ok((time, *remedied)),
                    _ => Err("no remedy".into()),
                }
            })?,
            cut_off: self.all(
                "remedies_under_way",
                "SELECT finding, body FROM remedies_under_way",
                &[],
                |row| parse_json(&row.text(1)?),
            )?,
            in_force: self.in_force()?,
            under_way: self
                .all("deployments", UNDER_WAY, &[], |row| Ok((deployment(row)?, row.parse(7)?)))?,
            delivered: self.all("deliveries", DELIVERED, &[&DELIVERIES], |row| {
                Ok(Delivered {
                    id: row.optional(1)?,
                    phase: row.parse(2)?,
                    commit: row.parse(3)?,
                    digest: row.0.get(4).map_err(|error| error.to_string())?,
                    at: row.parse(5)?,
                    deployment: DeploymentId(row.text(6)?.into()),
                    app: row.optional(7)?,
                    environment: row.optional(8)?,
                })
            })?,
        })
    }

    /// The deployments in force, the last delivered last, with the values that came with them.
    pub fn in_force(&self) -> Result<Vec<Deployment>, StoreError> {
        let mut in_force = self.all("deployments", IN_FORCE, &[], deployment)?;
        let declared = self.all("declared", "SELECT deployment, body FROM declared", &[], |row| {
            Ok((row.text(0)?, parse_json::<Values>(&row.text(1)?)?))
        })?;
        for (id, values) in declared {
            let of = in_force.iter_mut().find(|deployment| *deployment.id.0 == *id);
            of.into_iter().for_each(|deployment| deployment.declared = values.clone());
        }
        Ok(in_force)
    }

    /// What is known of a deployment, if one of these credentials delivered it.
    pub fn known(
        &self,
        deployment: &DeploymentId,
        credentials: &[Box<str>],
    ) -> Result<Option<Known>, StoreError> {
        let mut owners = self.all("deliverers", DELIVERERS, params![deployment.0], |row| row.text(0))?;
        owners.retain(|owner| credentials.iter().any(|credential| **credential == **owner));
        if owners.is_empty() {
            return Ok(None);
        }
        let found = self.all("deployments", KNOWN, params![deployment.0], |row| {
            let status = row.text(2)?;
            Ok(Known {
                commit: row.parse(1)?,
                status: DeploymentStatus::of(&status).ok_or_else(|| format!("`{status}` is no status"))?,
                verdict: row.optional(3)?.map(|body| parse_json(&body)).transpose()?,
            })
        })?;
        Ok(found.into_iter().next())
    }

    /// Entries after a number that a sink has still to tell, oldest first.
    pub fn untold(&self, sink: &str, after: i64, most: usize) -> Result<Vec<Row>, StoreError> {
        let sql = "SELECT id, body FROM outbox JOIN entries ON id = entry
                   WHERE sink = ?1 AND entry > ?2 ORDER BY entry LIMIT ?3";
        self.all("entries", sql, params![sink, after, most as i64], numbered)
    }

    /// All rows of a statement over a table. The first column is the row's name.
    pub(super) fn all<T>(
        &self,
        table: &str,
        sql: &str,
        params: &[&dyn rusqlite::ToSql],
        read: impl Fn(&RowReader<'_, '_>) -> Result<T, String>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(|error| self.failed(error))?;
        let mut rows = statement.query(params).map_err(|error| self.failed(error))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let row = RowReader(row);
            let wrong = |what| {
                let what = format!("`{}` in `{table}`: {what}", row.name());
                StoreError::Row { path: self.path.clone(), what }
            };
            all.push(read(&row).map_err(wrong)?);
        }
        Ok(all)
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), what: "cannot be read", error }
    }
}

/// One that was in force when it went under way again still is. Sorted once: over a year there are many.
pub(super) const IN_FORCE: &str =
    "SELECT deployment, commit_id, app, environment, undated, repo, started IS NOT NULL FROM (
        SELECT rowid AS number, *, row_number() OVER (
            PARTITION BY app, environment ORDER BY ended DESC, rowid DESC) AS place
        FROM deployments WHERE status = 'finished' OR (status = 'started' AND ended IS NOT NULL))
    WHERE place = 1 ORDER BY ended, number";

const UNDER_WAY: &str =
    "SELECT deployment, commit_id, app, environment, undated, repo, 1, started FROM deployments
    WHERE status = 'started' ORDER BY started, rowid";

/// One that was deployed once more is judged once more: the verdict of the time before does not count. The entries say which
/// came later, whatever a clock did meanwhile.
const KNOWN: &str = "SELECT d.deployment, d.commit_id, d.status, e.body FROM deployments AS d
    LEFT JOIN entries AS e ON e.id = (SELECT max(entry) FROM verdicts AS v WHERE v.deployment = d.deployment)
        AND e.id > (SELECT coalesce(max(id), 0) FROM entries WHERE commit_id = d.commit_id AND kind = 'deployment'
            AND body ->> '$.deployment' = d.deployment AND body ->> '$.status' = 'finished')
    WHERE d.deployment = ?1";

const REMEDIED: &str = "SELECT id, body FROM (
        SELECT id, body FROM entries WHERE kind = 'remedy' ORDER BY id DESC LIMIT ?1)
    ORDER BY id";

const DELIVERERS: &str = "SELECT credential FROM deliverers WHERE deployment = ?1";

const DELIVERED: &str = "SELECT number, id, phase, commit_id, digest, at, deployment, app, environment FROM (
        SELECT * FROM deliveries ORDER BY number DESC LIMIT ?1)
    ORDER BY number";

fn deployment(row: &RowReader<'_, '_>) -> Result<Deployment, String> {
    Ok(Deployment {
        id: DeploymentId(row.text(0)?.into()),
        commit: row.parse(1)?,
        app: row.optional(2)?,
        environment: row.optional(3)?,
        undated: row.0.get(4).map_err(|error| error.to_string())?,
        repo: row.optional(5)?,
        declared: Values::default(),
        announced: row.0.get(6).map_err(|error| error.to_string())?,
    })
}

pub(super) fn numbered(row: &RowReader<'_, '_>) -> Result<Row, String> {
    let number = row.0.get(0).map_err(|error| error.to_string())?;
    Ok(Row { number, entry: parse_json(&row.text(1)?)? })
}

pub(super) fn parse_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in `{text}`"))
}

/// A row whose columns are checked: whoever is root can write anything into the file.
pub(super) struct RowReader<'a, 'b>(&'a rusqlite::Row<'b>);

impl RowReader<'_, '_> {
    fn name(&self) -> String {
        let first = self.0.get::<_, rusqlite::types::Value>(0);
        match first {
            Ok(rusqlite::types::Value::Integer(number)) => number.to_string(),
            Ok(rusqlite::types::Value::Text(text)) => text,
            _ => "?".into(),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<String, String> {
        self.0.get(column).map_err(|error| error.to_string())
    }

    pub(super) fn optional(&self, column: usize) -> Result<Option<String>, String> {
        self.0.get(column).map_err(|error| error.to_string())
    }

    /// A value as it was recorded: canonical already.
    pub(super) fn value(&self, column: usize) -> Result<Option<Value>, String> {
        let text = self.optional(column)?.map(serde_json::Value::from);
        text.map(|text| serde_json::from_value(text).map_err(|error| error.to_string())).transpose()
    }

    pub(super) fn number(&self, column: usize) -> Result<i64, String> {
        self.0.get(column).map_err(|error| error.to_string())
    }

    pub(super) fn optional_number(&self, column: usize) -> Result<Option<i64>, String> {
        self.0.get(column).map_err(|error| error.to_string())
    }

    pub(super) fn parse_optional<T: FromStr<Err: Display>>(
        &self,
        column: usize,
    ) -> Result<Option<T>, String> {
        let text = self.optional(column)?;
        text.map(|text| text.parse().map_err(|error: T::Err| error.to_string())).transpose()
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&self, column: usize) -> Result<T, String> {
        self.text(column)?.parse().map_err(|error: T::Err| error.to_string())
    }
}
