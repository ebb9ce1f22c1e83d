//! `driftd status`: how things stand in the running daemon, on one screen.

use std::{fmt::Write as _, io::Write, path::Path};

use jiff::Timestamp;

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
            finding.key,
            finding.expected,
            finding.declared_by,
            seconds(finding.opened)
        );
    }
    for key in &status.unreadable {
        let _ = writeln!(text, "  {key} cannot be read");
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
        "watching {} keys since {}: sysctls by {}, MTUs by {}",
        watching.keys,
        seconds(*since),
        watching.sysctl,
        watching.link
    );
    if let Some(blind) = &status.blind {
        let _ = writeln!(text, "  {}", blind.replace('\n', "\n  "));
    }
    for reason in &watching.reasons {
        let _ = writeln!(text, "  {}", reason.replace('\n', "\n  "));
    }
    let swept = last_sweep.map_or("not yet".into(), seconds);
    let _ = writeln!(
        text,
        "last sweep: {swept}; missed: {losses}; writes of other keys: {undeclared}, of other namespaces: {foreign}"
    );
    text
}

/// A time as people read it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_fits_one_screen() {
        let status: Status = serde_json::from_str(
            r#"{"watching":{"version":"0.1.0","sysctl":"cgroup","link":"netlink","reasons":["no kprobes: none\nhint: x"],
            "keys":6,"webhook":null},"since":"2026-08-01T10:00:00.5Z","status":"OUT_OF_SYNC","deployment":{
            "deployment":"d1","commit":"a1b2c3","app":"web","environment":null,"status":"finished","undated":false},
            "window":null,"findings":[{"finding":"f","state":"opened","key":"vm.swappiness","rule":"swappiness",
            "severity":"critical","expected":"10","actual":"61","previous":"10","requested":"61","commit":"a1b2c3",
            "declared_commit":null,"declared_by":{"file":"driftd.yaml","line":7},"cause":"changed after the deploy",
            "writer":null,"seen_by":"cgroup","deployment":"d1","opened":"2026-08-01T10:20:00Z","healed":null}],
            "last_sweep":"2026-08-01T10:19:00Z","losses":0,"undeclared":3,"foreign":0}"#,
        )
        .unwrap();
        insta::assert_snapshot!(text(&status), @"
        OUT_OF_SYNC: 1 findings open
          vm.swappiness is 61, expected 10 (driftd.yaml:7), since 2026-08-01T10:20:00Z, unattributed
        in force: a1b2c3 of web (d1)
        watching 6 keys since 2026-08-01T10:00:00Z: sysctls by cgroup, MTUs by netlink
          no kprobes: none
          hint: x
        last sweep: 2026-08-01T10:19:00Z; missed: 0; writes of other keys: 3, of other namespaces: 0
        ");
    }
}
