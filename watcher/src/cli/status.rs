//! `driftd status`: how things stand in the running daemon, on one screen.

use std::{fmt::Write as _, io::Write, path::Path};

use super::exit;
use crate::{
    alerts::Output,
    http::fetch_status,
    model::{DeploymentNews, Status, Value, VerdictStatus},
};

/// Asks the daemon on its socket, and shows what it says.
pub async fn run(socket: &Path, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let status = fetch_status(socket).await?;
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&status)?)?,
        Output::Text => write!(out, "{}", text(&status))?,
    }
    Ok(match status.status {
        VerdictStatus::Synced => exit::IN_SYNC,
        VerdictStatus::OutOfSync => exit::DRIFT,
    })
}

fn text(status: &Status) -> String {
    let Status {
        watching, since, findings, deployment, window, last_sweep, losses, undeclared, foreign, ..
    } = status;
    let mut text = format!("{}: {} findings open\n", status.status.as_str(), findings.len());
    for finding in findings {
        let actual = finding.actual.as_ref().map_or("absent", Value::as_str);
        let writer =
            finding.writer.as_ref().map_or("unattributed".into(), |w| format!("{} (pid {})", w.comm, w.pid));
        let _ = writeln!(
            text,
            "  {} is {actual}, expected {} ({}), since {}, {writer}",
            finding.key, finding.expected, finding.declared_by, finding.opened
        );
    }
    let named = |news: &DeploymentNews| {
        let app = news.app.as_ref().map_or(String::new(), |app| format!(" of {app}"));
        format!("{}{app} ({})", news.commit, news.deployment)
    };
    let _ = writeln!(text, "in force: {}", deployment.as_ref().map_or("no deployment yet".into(), named));
    if let Some(window) = window {
        let _ = writeln!(text, "being deployed: {}", named(window));
    }
    let _ = writeln!(
        text,
        "watching {} keys since {since}: sysctls by {}, MTUs by {}",
        watching.keys, watching.sysctl, watching.link
    );
    for reason in &watching.reasons {
        let _ = writeln!(text, "  {}", reason.replace('\n', "\n  "));
    }
    let swept = last_sweep.map_or("not yet".into(), |time| time.to_string());
    let _ = writeln!(
        text,
        "last sweep: {swept}; missed: {losses}; writes of other keys: {undeclared}, of other namespaces: {foreign}"
    );
    text
}
