//! `driftd deployments [ID]`: what was delivered, and of one of them what was expected, what was in force, and what
//! changed under it.

use std::{fmt::Write as _, io::Write};

use anyhow::bail;
use serde::Serialize;

use super::{
    counted, exit,
    screen::{Screen, Tone},
    seconds,
};
use crate::{
    alerts::{Output, clean, line, value},
    model::{DeploymentStatus, Kind, VerdictStatus},
    store::{DeploymentRow, Filter, Reader, Row, VerdictRow},
};

/// How many changes of one deployment are shown.
const CHANGES: usize = 100;

/// One deployment with all there is to know.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    row: DeploymentRow,
    /// The last verdict, with baseline and snapshot.
    judged: Option<VerdictRow>,
    /// Changes and findings under its commit, the last of them.
    events: Vec<Row>,
}

/// Shows the last deployments; or one, by the beginning of its name or of its commit.
///
/// # Errors
/// No deployment, or more than one, begins so.
pub fn run(
    store: &Reader,
    begins: Option<&str>,
    last: usize,
    output: Output,
    screen: Screen,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let rows = store.deployments(begins, last)?;
    match (begins, output) {
        (None, Output::Json) => rows.iter().try_for_each(|row| {
            writeln!(out, "{}", serde_json::to_string(row).map_err(std::io::Error::other)?)
        })?,
        (None, Output::Text) if rows.is_empty() => writeln!(out, "no deployment yet")?,
        (None, Output::Text) => write!(out, "{}", list(&rows, screen))?,
        (Some(begins), _) => {
            let detail = detail(store, one(rows, begins, screen)?)?;
            match output {
                Output::Json => writeln!(out, "{}", serde_json::to_string(&detail)?)?,
                Output::Text => write!(out, "{}", text(&detail, screen))?,
            }
        }
    }
    Ok(exit::IN_SYNC)
}

/// The one that is meant.
fn one(rows: Vec<DeploymentRow>, begins: &str, screen: Screen) -> anyhow::Result<DeploymentRow> {
    let mut rows = rows.into_iter();
    match (rows.next(), rows.len()) {
        (None, _) => bail!(
            "no deployment's name or commit begins with `{}`\nhint: `driftd deployments` lists them",
            clean(begins)
        ),
        (Some(row), 0) => Ok(row),
        (Some(first), more) => {
            let all: Vec<_> = std::iter::once(first).chain(rows).collect();
            bail!(
                "{} deployments begin with `{}`\nhint: name one of them in full\n{}",
                more + 1,
                clean(begins),
                list(&all, Screen { colour: false, ..screen }).trim_end()
            )
        }
    }
}

fn detail(store: &Reader, row: DeploymentRow) -> anyhow::Result<Detail> {
    let judged = store.verdict(&row.news.deployment)?;
    let filter = Filter {
        kinds: vec![Kind::Change, Kind::Finding],
        commit: Some(row.news.commit.to_string()),
        ..Filter::default()
    };
    Ok(Detail { judged, events: store.newest(&filter, CHANGES)?, row })
}

fn list(rows: &[DeploymentRow], screen: Screen) -> String {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let cells = |row: &DeploymentRow| {
        let tone = match row.verdict {
            Some(VerdictStatus::OutOfSync) => Tone::Bad,
            _ if row.in_force => Tone::Good,
            _ => Tone::Plain,
        };
        let cells = [
            row.ended.or(row.started).map_or("-".into(), seconds),
            row.news.commit.short().into(),
            dash(&row.news.app),
            dash(&row.news.environment),
            status(row),
            row.verdict.map_or("-", VerdictStatus::as_str).into(),
            row.news.deployment.to_string(),
        ];
        (tone, cells)
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    screen.table(["TIME", "COMMIT", "APP", "ENVIRONMENT", "STATUS", "VERDICT", "DEPLOYMENT"], &rows)
}

fn status(row: &DeploymentRow) -> String {
    match (row.news.status, row.in_force) {
        (DeploymentStatus::Finished, true) => "in force".into(),
        (DeploymentStatus::Finished, false) => "replaced".into(),
        (status, true) => format!("{}, in force", status.as_str()),
        (status, false) => status.as_str().into(),
    }
}

fn text(detail: &Detail, screen: Screen) -> String {
    let Detail { row, judged, events } = detail;
    let mut text = format!("deployment {}: {}\n", row.news.deployment, status(row));
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:<12} {}", clean(&value));
        }
    };
    fact("commit", Some(row.news.commit.to_string()));
    fact("application", row.news.app.clone());
    fact("environment", row.news.environment.clone());
    fact("repository", row.news.repo.clone());
    fact("started", row.started.map(seconds));
    fact("ended", row.ended.map(seconds));
    let Some(judged) = judged else {
        text.push_str("  no verdict\n");
        return text;
    };
    let tone = match judged.verdict.status {
        VerdictStatus::Synced => Tone::Good,
        VerdictStatus::OutOfSync => Tone::Bad,
    };
    let verdict = format!(
        "{}, {}, {}, at {}",
        judged.verdict.status.as_str(),
        counted(judged.verdict.keys, "key", "keys"),
        counted(judged.verdict.findings.len(), "finding open", "findings open"),
        seconds(judged.time)
    );
    let _ = writeln!(text, "  {:<12} {}", "verdict", screen.paint(tone, &verdict));
    for why in judged.verdict.broken.iter().flat_map(|why| why.lines()) {
        let _ = writeln!(text, "  {:<12} {}", "", screen.paint(Tone::Odd, &clean(why)));
    }
    if !judged.snapshot.is_empty() {
        text.push_str("\nat the verdict\n");
        text.push_str(&snapshot(judged, screen));
    }
    if !events.is_empty() {
        let _ = writeln!(text, "\nunder this commit");
        for row in events {
            let _ = writeln!(text, "{}", line(row, Output::Text));
        }
    }
    text
}

fn snapshot(judged: &VerdictRow, screen: Screen) -> String {
    let mut rows = Vec::new();
    for snapped in &judged.snapshot {
        let actual = value(snapped.value.as_ref()).to_owned();
        let mut rules = judged.baseline.iter().filter(|expected| expected.key == snapped.key).peekable();
        if rules.peek().is_none() {
            rows.push((Tone::Plain, [snapped.key.to_string(), actual.clone(), "-".into(), "-".into()]));
        }
        for expected in rules {
            let departs =
                judged.verdict.findings.iter().any(|f| f.key == snapped.key && *f.rule == *expected.rule);
            rows.push((
                if departs { Tone::Bad } else { Tone::Plain },
                [
                    snapped.key.to_string(),
                    actual.clone(),
                    expected.expected.clone().unwrap_or_else(|| "-".into()),
                    format!("{} ({})", expected.rule, expected.declared_by),
                ],
            ));
        }
    }
    screen.table(["KEY", "VALUE", "EXPECTED", "RULE"], &rows)
}
