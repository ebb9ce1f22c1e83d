//! `driftd events`: what was recorded, straight from the store; it needs no daemon.
//!
//! Following waits until the store's writer says that it committed (inotify(7)): nothing is awake while nothing
//! happens, and nothing is missed or shown twice, because every entry has a number.

use std::{io::Write, os::fd::OwnedFd, path::Path};

use anyhow::{Context, bail};
use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use super::exit;
use crate::{
    alerts::{Output, line},
    store::{Reader, signal},
};

/// How many entries are read at once.
const PIECE: usize = 256;

/// Shows the last entries, and with `follow` all that come.
pub fn run(
    state: &Path,
    follow: bool,
    last: usize,
    output: Output,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let Some(reader) = Reader::open(state)? else {
        bail!(
            "there is no store in `{}`\nhint: `driftd run` makes it; name its configuration by --config",
            state.display()
        );
    };
    // Watched before it is read, so that what is written between the two is not missed.
    let changes = if follow { Some(watch(state)?) } else { None };
    let mut shown = reader.before_last(last)?;
    loop {
        loop {
            let rows = reader.after(shown, PIECE)?;
            let Some(newest) = rows.last() else { break };
            shown = newest.number;
            for row in &rows {
                writeln!(out, "{}", line(row, output))?;
            }
            out.flush()?;
        }
        match &changes {
            Some(changes) => wait(changes)?,
            None => return Ok(exit::IN_SYNC),
        }
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
