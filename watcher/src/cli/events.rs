//! `driftd events`: what was recorded, straight from the store; it needs no daemon.
//!
//! Following waits until the store's writer says that it committed (inotify(7)): nothing is awake while nothing
//! happens, and nothing is missed or shown twice, because every entry has a number.

use std::{io::Write, os::fd::OwnedFd, path::Path};

use anyhow::Context;
use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use super::{
    exit,
    screen::{Screen, Tone},
};
use crate::{
    alerts::{Output, line},
    model::{FindingState, Outcome, VerdictStatus, What},
    store::{Filter, signal},
};

/// How many entries are read at once.
const PIECE: usize = 256;

/// What is asked for.
pub struct Asked {
    /// Which entries.
    pub filter: Filter,
    /// How many of the past.
    pub last: usize,
    /// Whether those that come are shown too.
    pub follow: bool,
}

/// Shows the last entries, and with `follow` all that come.
pub fn run(
    state: &Path,
    asked: Asked,
    output: Output,
    screen: Screen,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let Asked { mut filter, last, follow } = asked;
    let reader = super::store(state)?;
    // Watched before it is read, so that what is written between the two is not missed.
    let changes = if follow { Some(watch(state)?) } else { None };
    // Before the entries are, for the same reason: what comes in between is among them, or after this one.
    filter.after = Some(reader.last_number()?);
    let mut rows = reader.newest(&Filter { after: None, ..filter.clone() }, last)?;
    if rows.is_empty() && !follow && output == Output::Text {
        writeln!(out, "nothing that is recorded is what was asked for")?;
    }
    loop {
        while let Some(newest) = rows.last() {
            filter.after = filter.after.max(Some(newest.number));
            for row in &rows {
                let tone = if output == Output::Text { tone(&row.entry.what) } else { Tone::Plain };
                writeln!(out, "{}", screen.paint(tone, &line(row, output)))?;
            }
            out.flush()?;
            rows = if follow { reader.oldest(&filter, PIECE)? } else { Vec::new() };
        }
        match &changes {
            Some(changes) => wait(changes)?,
            None => return Ok(exit::IN_SYNC),
        }
        rows = reader.oldest(&filter, PIECE)?;
    }
}

/// How an entry looks.
fn tone(what: &What) -> Tone {
    match what {
        What::Finding(finding) if finding.state == FindingState::Opened => Tone::Bad,
        What::Finding(_) => Tone::Good,
        What::Verdict(verdict) if verdict.status == VerdictStatus::OutOfSync => Tone::Bad,
        What::Verdict(_) => Tone::Good,
        What::Remedy(remedied) => match remedied.outcome {
            Outcome::Done => Tone::Good,
            Outcome::DryRun => Tone::Plain,
            Outcome::Refused | Outcome::Failed | Outcome::Stopped | Outcome::Interrupted => Tone::Odd,
        },
        What::Loss(_) => Tone::Odd,
        What::Deployment(_) => Tone::Head,
        What::Start(_) | What::Change(_) | What::Touch(_) | What::Sweep(_) | What::Ignored(_) => Tone::Plain,
    }
}

fn watch(state: &Path) -> anyhow::Result<OwnedFd> {
    let changes = inotify::init(CreateFlags::CLOEXEC).context("cannot watch files")?;
    let signal = signal(state);
    inotify::add_watch(&changes, &signal, WatchFlags::ATTRIB)
        .with_context(|| format!("cannot watch `{}`", signal.display()))?;
    Ok(changes)
}

/// Waits until something was committed. What it was does not matter: the store is read again.
fn wait(changes: &OwnedFd) -> anyhow::Result<()> {
    let mut events = [0; 4096];
    loop {
        match rustix::io::read(changes, &mut events) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot watch files"),
        }
    }
}
