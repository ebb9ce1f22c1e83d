//! `driftd alerts`: what can be done about messages to sinks.

use std::{io::Write, path::Path};

use super::{counted, exit};
use crate::http::retry_alerts;

/// Has the running daemon send again what was given up: to one sink, or to all.
pub async fn retry(socket: &Path, sink: Option<&str>, mut out: impl Write) -> anyhow::Result<u8> {
    let requeued = retry_alerts(socket, sink).await?;
    match requeued {
        0 => writeln!(out, "nothing was given up")?,
        count => writeln!(
            out,
            "{} sent again; `driftd status` shows what becomes of it",
            counted(count, "message is", "messages are")
        )?,
    }
    Ok(exit::IN_SYNC)
}
