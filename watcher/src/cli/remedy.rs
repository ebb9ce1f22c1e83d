//! `driftd revert KEY` and `driftd adopt KEY --accept`: asked of the running daemon, which decides, does and records it.

use std::{io::Write, path::Path};

use anyhow::bail;

use super::exit;
use crate::{
    alerts::{Output, clean, remedied},
    http::{ClientError, ask_for},
    model::{Act, Key, Outcome, Remedied},
};

/// Has what is expected of a key written, or says what would be.
pub(super) async fn revert(
    socket: &Path,
    key: &Key,
    dry_run: bool,
    output: Output,
    out: impl Write,
) -> anyhow::Result<u8> {
    show(ask(socket, Act::Revert, key, dry_run).await?, output, out)
}

/// Has the live value of a key expected from now on.
pub(super) async fn accept(socket: &Path, key: &Key, out: impl Write) -> anyhow::Result<u8> {
    show(ask(socket, Act::Adopt, key, false).await?, Output::Text, out)
}

async fn ask(socket: &Path, act: Act, key: &Key, dry_run: bool) -> anyhow::Result<Vec<Remedied>> {
    match ask_for(socket, act, key, dry_run).await {
        Ok(remedies) => Ok(remedies),
        // What the daemon says against it is the whole of the matter.
        Err(ClientError::Refused { status: 403 | 409, said, .. }) => bail!("{said}"),
        Err(error) => Err(error.into()),
    }
}

fn show(remedies: Vec<Remedied>, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let mut helped = true;
    for remedy in &remedies {
        helped &= matches!(remedy.outcome, Outcome::Done | Outcome::DryRun);
        match output {
            Output::Json => writeln!(out, "{}", serde_json::to_string(remedy)?)?,
            Output::Text => writeln!(out, "{}", clean(&remedied(remedy)))?,
        }
    }
    Ok(if helped { exit::IN_SYNC } else { exit::UNREACHABLE })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of a remedy with this outcome, and the exit code.
    fn shown(act: &str, outcome: &str, more: &str) -> String {
        let remedy = serde_json::from_str(&format!(
            r#"{{"finding":"f","key":"vm.swappiness","rule":"memory","severity":"warning","remedy":"{act}","outcome":"{outcome}",
            "previous":"61","requested":"10","actual":"11","declared_by":{{"file":"/etc/driftd.yaml","line":7}},
            "asked_by":{{"pid":4711,"uid":0,"login_uid":1000}},"commit":null{more}}}"#
        ));
        let mut out = Vec::new();
        let code = show(vec![remedy.unwrap()], Output::Text, &mut out).unwrap();
        format!("{code} {}", String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_outcome_is_one_line_that_says_what_was_there_and_what_is() {
        let reason = r#","reason":"no\nhint: try"#.to_owned() + "\"";
        let lines = [
            shown("revert", "done", ""),
            shown("revert", "done", r#","through":"vm.other_ratio""#),
            shown("revert", "dry-run", ""),
            shown("revert", "failed", &reason),
            shown("revert", "refused", &reason),
            shown("revert", "stopped", &reason),
            shown("revert", "interrupted", &reason),
            shown("adopt", "done", ""),
        ];
        insta::assert_snapshot!(lines.concat(), @r"
        0 vm.swappiness was 61 and is put back to 10 (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        0 vm.swappiness was 61 and is put back to 10 through vm.other_ratio (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        0 vm.swappiness is 61 and would be put back to 10; nothing was written (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        3 vm.swappiness was 61, 10 was to be written, and it is 11: no; hint: try (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        3 vm.swappiness is 61, and is not put back: no; hint: try (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        3 vm.swappiness is 61, and is not put back any more: no; hint: try (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        3 vm.swappiness was 61, and 10 was about to be written: no; hint: try (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        0 vm.swappiness is 10, which is expected of it until the next deployment (rule memory, asked for by uid 0, login uid 1000, pid 4711)
        ");
    }
}
