//! One batch in SQL: which rows follow from it. The transaction is the writer's.

use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::{messages::put_messages, read::DELIVERIES, write::Batch};
use crate::model::{
    Act, Capture, Delivered, DeploymentId, DeploymentNews, DeploymentStatus, Entry, Expected, Finding,
    FindingState, Outcome, Outlet, Remedied, Snapshot, Values, Verdict, What,
};

/// Writes a batch. Every entry is to be told at each of the sinks, and at the outlets that take it.
pub(super) fn record(
    change: &Transaction<'_>,
    batch: &Batch,
    sinks: &[&str],
    outlets: &[Outlet],
) -> rusqlite::Result<()> {
    // First, because an entry may say that one of these is over.
    for finding in &batch.moved {
        put_finding(change, finding, None)?;
    }
    for entry in &batch.entries {
        let number = put_entry(change, entry, sinks)?;
        put_messages(change, number, entry, outlets)?;
        match &entry.what {
            What::Finding(finding) => put_finding(change, finding, Some(number))?,
            What::Deployment(news) => put_deployment(change, news, &format!("{:.9}", entry.time))?,
            What::Remedy(remedied) => put_remedy(change, remedied)?,
            What::Verdict(verdict) => {
                let snapshot = batch.snapshots.iter().find(|s| s.deployment == verdict.deployment);
                put_verdict(change, number, verdict, snapshot)?;
            }
            _ => {}
        }
    }
    for (deployment, credential) in &batch.deliverers {
        change
            .prepare_cached("INSERT OR IGNORE INTO deliverers (deployment, credential) VALUES (?1, ?2)")?
            .execute(params![deployment.0, credential])?;
    }
    for (deployment, values) in &batch.declared {
        put_declared(change, deployment, values)?;
    }
    for delivered in &batch.delivered {
        put_delivered(change, delivered)?;
    }
    if !batch.delivered.is_empty() {
        // What is not read any more is not kept: a controller that reports for ever would fill the disk.
        change
            .prepare_cached(
                "DELETE FROM deliveries WHERE number <= (SELECT max(number) FROM deliveries) - ?1",
            )?
            .execute([DELIVERIES])?;
    }
    for remedied in &batch.begun {
        put_begun(change, remedied)?;
    }
    for (rule, key) in &batch.unadopted {
        change
            .prepare_cached("DELETE FROM adoptions WHERE rule = ?1 AND key = ?2")?
            .execute(params![rule, key.to_string()])?;
    }
    batch.captures.iter().try_for_each(|capture| put_capture(change, capture))
}

/// Writes an entry, and gives its number.
fn put_entry(change: &Transaction<'_>, entry: &Entry, sinks: &[&str]) -> rusqlite::Result<i64> {
    let Entry { time, what } = entry;
    change
        .prepare_cached(
            "INSERT INTO entries (time, micros, kind, key, commit_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            time.to_string(),
            time.as_microsecond(),
            what.kind(),
            what.key().map(ToString::to_string),
            what.commit().map(|commit| commit.as_str()),
            json(entry)?
        ])?;
    let number = change.last_insert_rowid();
    for sink in sinks {
        change
            .prepare_cached("INSERT INTO outbox (entry, sink) VALUES (?1, ?2)")?
            .execute(params![number, sink])?;
    }
    Ok(number)
}

fn put_delivered(change: &Transaction<'_>, delivered: &Delivered) -> rusqlite::Result<()> {
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
        ])
        .map(drop)
}

/// Writes the values of a deployment in the place of those of the one it follows.
fn put_declared(
    change: &Transaction<'_>,
    deployment: &DeploymentId,
    values: &Values,
) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            // One by one of the few that have values: of deployments there are as many as there ever were.
            "DELETE FROM declared WHERE EXISTS (
                SELECT 1 FROM deployments AS other, deployments AS new
                WHERE other.deployment = declared.deployment AND new.deployment = ?1
                    AND other.app IS new.app AND other.environment IS new.environment)",
        )?
        .execute(params![deployment.0])?;
    if !values.is_empty() {
        change
            .prepare_cached("INSERT INTO declared (deployment, body) VALUES (?1, ?2)")?
            .execute(params![deployment.0, json(values)?])?;
    }
    Ok(())
}

fn put_capture(change: &Transaction<'_>, capture: &Capture) -> rusqlite::Result<()> {
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
        ])
        .map(drop)
}

/// Writes that a remedy is about to be carried out.
fn put_begun(change: &Transaction<'_>, remedied: &Remedied) -> rusqlite::Result<()> {
    change
        .prepare_cached("INSERT OR REPLACE INTO remedies_under_way (finding, body) VALUES (?1, ?2)")?
        .execute(params![remedied.finding.0, json(remedied)?])
        .map(drop)
}

/// Writes what became of a remedy.
fn put_remedy(change: &Transaction<'_>, remedied: &Remedied) -> rusqlite::Result<()> {
    change
        .prepare_cached("DELETE FROM remedies_under_way WHERE finding = ?1")?
        .execute([&remedied.finding.0])?;
    let Remedied { remedy: Act::Adopt, outcome: Outcome::Done, requested: Some(value), .. } = remedied else {
        return Ok(());
    };
    change
        .prepare_cached("INSERT OR REPLACE INTO adoptions (rule, key, value) VALUES (?1, ?2, ?3)")?
        .execute(params![remedied.rule, remedied.key.to_string(), value.as_str()])
        .map(drop)
}

/// Writes a finding as it is now; where an entry tells of it, with that one's number.
fn put_finding(change: &Transaction<'_>, finding: &Finding, entry: Option<i64>) -> rusqlite::Result<()> {
    let (state, opened, healed) = match finding.state {
        FindingState::Opened => ("opened", entry, None),
        FindingState::Healed => ("healed", None, entry),
    };
    change
        .prepare_cached(
            "INSERT INTO findings (finding, rule, key, state, body, opened_entry, healed_entry)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (finding) DO UPDATE SET state = excluded.state, body = excluded.body,
                opened_entry = coalesce(opened_entry, excluded.opened_entry), healed_entry = excluded.healed_entry",
        )?
        .execute(params![
            finding.finding.0,
            finding.rule,
            finding.key.to_string(),
            state,
            json(finding)?,
            opened,
            healed
        ])
        .map(drop)
}

/// Writes a verdict with what stands beside it.
fn put_verdict(
    change: &Transaction<'_>,
    number: i64,
    verdict: &Verdict,
    snapshot: Option<&Snapshot>,
) -> rusqlite::Result<()> {
    let baseline = snapshot.map(|snapshot| put_baseline(change, &snapshot.baseline)).transpose()?;
    change
        .prepare_cached("INSERT INTO verdicts (entry, deployment, status, baseline) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![number, verdict.deployment.0, verdict.status.as_str(), baseline])?;
    let mut put = change.prepare_cached("INSERT INTO snapshots (entry, key, value) VALUES (?1, ?2, ?3)")?;
    for (key, value) in snapshot.iter().flat_map(|snapshot| &snapshot.values) {
        put.execute(params![number, key.to_string(), value.as_ref().map(|value| value.as_str())])?;
    }
    Ok(())
}

/// Writes a baseline, unless the same is there already; gives its number.
fn put_baseline(change: &Transaction<'_>, baseline: &[Expected]) -> rusqlite::Result<i64> {
    let body = json(&baseline)?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let known = change
        .prepare_cached("SELECT baseline FROM baselines WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    change
        .prepare_cached("INSERT INTO baselines (digest, body) VALUES (?1, ?2)")?
        .execute(params![digest, body])?;
    Ok(change.last_insert_rowid())
}

/// The time has all its digits: rows are put in order by it.
fn put_deployment(change: &Transaction<'_>, news: &DeploymentNews, time: &str) -> rusqlite::Result<()> {
    if news.status == DeploymentStatus::Finished {
        change.prepare_cached("DELETE FROM adoptions")?.execute([])?;
    }
    let (started, ended) = match news.status {
        DeploymentStatus::Started => (Some(time), None),
        _ => (None, Some(time)),
    };
    // The commit in force may be deployed once more: under way it keeps the time it came into force, and when that
    // breaks off it is in force as before.
    change
        .prepare_cached(
            "INSERT INTO deployments (deployment, commit_id, app, environment, status, undated, started, ended, repo)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (deployment) DO UPDATE SET
                status = CASE WHEN excluded.status IN ('failed', 'timed-out')
                        AND status IN ('started', 'finished') AND ended IS NOT NULL
                    THEN 'finished' ELSE excluded.status END,
                started = coalesce(excluded.started, started),
                repo = coalesce(excluded.repo, repo),
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
            ended,
            news.repo
        ])
        .map(drop)
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
