//! `driftd audit export`: all that was recorded, as JSON lines for whoever keeps or checks it elsewhere.
//!
//! The first line says what follows and what retention took. Then comes one line for each entry, as it was told; behind
//! that of a verdict one with its baseline and snapshot.

use std::io::Write;

use serde::Serialize;

use super::exit;
use crate::{
    alerts::{Output, line},
    model::{Expected, What},
    store::{Filter, Forgotten, Reader, Snapped},
};

/// How many entries are read at once.
const PIECE: usize = 1000;

/// The first line.
#[derive(Serialize)]
struct Head {
    kind: &'static str,
    /// The version of the program that exports.
    version: &'static str,
    /// The number of the last entry.
    last: i64,
    /// What retention took.
    forgotten: Vec<Forgotten>,
}

/// The line behind a verdict.
#[derive(Serialize)]
struct Beside {
    kind: &'static str,
    /// The number of the verdict's entry.
    entry: i64,
    baseline: Vec<Expected>,
    snapshot: Vec<Snapped>,
}

/// Writes the entries that a filter lets through, oldest first.
pub fn run(store: &Reader, mut filter: Filter, mut out: impl Write) -> anyhow::Result<u8> {
    let head = Head {
        kind: "export",
        version: env!("CARGO_PKG_VERSION"),
        last: store.last_number()?,
        forgotten: store.forgotten()?,
    };
    writeln!(out, "{}", serde_json::to_string(&head)?)?;
    // What is recorded from now on is for the next export: a busy daemon must not make this one endless.
    filter.before = Some(head.last + 1);
    loop {
        let rows = store.oldest(&filter, PIECE)?;
        let Some(newest) = rows.last() else { break };
        filter.after = Some(newest.number);
        for row in &rows {
            writeln!(out, "{}", line(row, Output::Json))?;
            if let What::Verdict(_) = row.entry.what
                && let Some(judged) = store.verdict_at(row.number)?
            {
                let (baseline, snapshot) = (judged.baseline, judged.snapshot);
                let beside = Beside { kind: "snapshot", entry: row.number, baseline, snapshot };
                writeln!(out, "{}", serde_json::to_string(&beside)?)?;
            }
        }
    }
    out.flush()?;
    Ok(exit::IN_SYNC)
}
