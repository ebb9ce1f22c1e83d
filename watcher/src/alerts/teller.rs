//! The teller: what the outbox holds for the standard output goes there, in order, and is then marked as told.
//!
//! It runs on a thread of its own: a pipe that nobody reads holds up it alone. What was not told when the process
//! died is still in the outbox, and is told by the next one under the same number.

use std::{
    io::{self, Write},
    sync::mpsc::Receiver,
};

use tokio::sync::mpsc::Sender;

use super::{Output, line};
use crate::store::{Reader, StoreError, Work};

/// The name of this sink in the outbox.
pub const OUTPUT: &str = "output";

/// How many entries are taken out of the outbox at once.
const PIECE: usize = 256;

/// Tells until nobody rings any more, then what is left.
///
/// # Errors
/// The store cannot be read, or nobody takes what is told: the outbox keeps it.
pub fn tell(
    reader: &Reader,
    bell: &Receiver<()>,
    store: &Sender<Work>,
    output: Output,
    mut out: impl Write,
) -> Result<(), TellError> {
    let mut told = 0;
    loop {
        let rings = bell.recv().is_ok();
        loop {
            let rows = reader.untold(OUTPUT, told, PIECE)?;
            let Some(last) = rows.last() else { break };
            told = last.number;
            for row in &rows {
                writeln!(out, "{}", line(row, output))?;
            }
            out.flush()?;
            // A store that is gone has nobody left to ask: the next run tells these again.
            let _ = store.blocking_send(Work::Told { sink: OUTPUT, entry: told });
        }
        if !rings {
            return Ok(());
        }
    }
}

/// Why telling ended.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The outbox.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output.
    #[error("nobody takes the output: {0}")]
    Output(#[from] io::Error),
}
