//! `driftd alerts`: what can be done about messages to sinks.

use std::{io::Write, path::Path};

use super::{counted, exit};
use crate::{
    alerts::clean,
    config::{self, Config},
    http::retry_alerts,
};

/// Has the running daemon send again what was given up: to one sink, or to all. `file` is the configuration.
pub async fn retry(
    socket: &Path,
    sink: Option<&str>,
    file: Option<&Path>,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let requeued = retry_alerts(socket, sink).await?;
    match (requeued, sink.and_then(|sink| unknown(sink, &config::load(file?).ok()?))) {
        (0, Some(why)) => {
            eprintln!("error: {why}");
            return Ok(exit::USAGE);
        }
        (0, None) => writeln!(out, "nothing was given up")?,
        (count, _) => writeln!(
            out,
            "{} sent again; `driftd status` shows what becomes of it",
            counted(count, "message is", "messages are")
        )?,
    }
    Ok(exit::IN_SYNC)
}

/// Why nothing can have been given up of a sink: there is none of that name.
fn unknown(sink: &str, config: &Config) -> Option<String> {
    let names: Vec<&str> = config.alerts.sinks.iter().map(|sink| &*sink.name).collect();
    if names.contains(&sink) {
        return None;
    }
    let wanted = match names.as_slice() {
        [] => "and the configuration has none".to_owned(),
        names => format!("wanted one of `{}`", names.join("`, `")),
    };
    let found = format!("found no sink `{}`, {wanted}", clean(sink));
    Some(format!("{found}\nhint: `driftd status` shows for which sinks something was given up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_there_is_not_is_an_error_with_those_there_are() {
        let sinks = "    chat: { sink: exec, program: [/bin/chat] }\n    page: { sink: exec, program: [/bin/page] }\n";
        let config = config::parse("f", &format!("alerts:\n  sinks:\n{sinks}")).unwrap();
        assert_eq!(unknown("chat", &config), None);
        insta::assert_snapshot!(unknown("nosuch\u{1b}", &config).unwrap(), @r"
        found no sink `nosuch\u{1b}`, wanted one of `chat`, `page`
        hint: `driftd status` shows for which sinks something was given up
        ");
        insta::assert_snapshot!(unknown("nosuch", &Config::default()).unwrap(), @r"
        found no sink `nosuch`, and the configuration has none
        hint: `driftd status` shows for which sinks something was given up
        ");
    }
}
