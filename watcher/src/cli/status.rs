//! `driftd status`: how things stand in the running daemon, on one screen.

use std::{fmt::Write as _, io::Write, path::Path};

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::{
    counted, exit, or_empty,
    screen::{Screen, Tone},
    seconds,
};
use crate::{
    alerts::{Output, clean, value},
    http::fetch_status,
    model::{DeploymentNews, Finding, Severity, SinkStanding, Status, VerdictStatus},
};

/// How many findings are shown; what is more is counted, so that all fits one screen.
const FINDINGS: usize = 10;

/// How many lines of one trouble are shown, for the same reason: as many as two mistakes in a file have.
const LINES: usize = 16;

/// Asks the daemon on its socket, and shows what it says.
pub async fn run(socket: &Path, output: Output, screen: Screen, mut out: impl Write) -> anyhow::Result<u8> {
    let status = fetch_status(socket).await?;
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&status)?)?,
        Output::Text => write!(out, "{}", text(&status, screen, Timestamp::now()))?,
    }
    Ok(match status.status {
        VerdictStatus::Synced => exit::IN_SYNC,
        VerdictStatus::OutOfSync => exit::DRIFT,
    })
}

fn text(status: &Status, screen: Screen, now: Timestamp) -> String {
    let Status { watching, since, findings, deployment, window, .. } = status;
    let tone = match status.status {
        VerdictStatus::Synced => Tone::Good,
        VerdictStatus::OutOfSync => Tone::Bad,
    };
    let mut text = screen.paint(tone, status.status.as_str());
    let open = counted(findings.len(), "finding open", "findings open");
    let _ = writeln!(text, ": {open}, {} watched", counted(watching.keys, "key", "keys"));
    let mut troubles = String::new();
    let broken = status.broken.as_ref().map(|why| format!("what is declared stays as it was: {why}"));
    for trouble in status.unrecorded.iter().chain(&broken).chain(&status.blind) {
        let lines: Vec<&str> = trouble.lines().collect();
        for line in lines.iter().take(LINES) {
            let _ = writeln!(troubles, "{}", screen.paint(Tone::Odd, &clean(line)));
        }
        if let Some(more) = lines.len().checked_sub(LINES).filter(|more| *more > 0) {
            let more = format!("and {more} more lines: `driftd config check`, or `--format json`, has all");
            let _ = writeln!(troubles, "{}", screen.paint(Tone::Odd, &more));
        }
    }
    for sink in &status.sinks {
        let _ = writeln!(troubles, "{}", screen.paint(Tone::Odd, &clean(&standing(sink))));
    }
    if !status.unreadable.is_empty() {
        let keys: Vec<_> = status.unreadable.iter().take(FINDINGS).map(ToString::to_string).collect();
        let more = status.unreadable.len().saturating_sub(FINDINGS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let line = format!("cannot be read: {}{more}", clean(&keys.join(", ")));
        let _ = writeln!(troubles, "{}", screen.paint(Tone::Odd, &line));
    }
    text.push_str(&indented(&troubles));
    if !findings.is_empty() {
        text.push('\n');
        text.push_str(&table(findings, screen, now));
    }
    for (finding, detail) in
        findings.iter().take(FINDINGS).filter_map(|finding| Some((finding, finding.detail.as_ref()?)))
    {
        let line = format!("{} (rule {}), {}: {detail}", finding.key, finding.rule, finding.cause.as_str());
        let _ = writeln!(text, "{}", clean(&line));
    }
    for (finding, mute) in
        findings.iter().filter_map(|finding| Some((finding, finding.muted.as_ref()?))).take(FINDINGS)
    {
        let line = clean(&format!("{} (rule {}) is {mute}", finding.key, finding.rule));
        let _ = writeln!(text, "{}", screen.paint(Tone::Odd, &line));
    }
    if let Some(more) = findings.len().checked_sub(FINDINGS).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more: `driftd status --format json` has all");
    }
    text.push('\n');
    let named = |news: &DeploymentNews| {
        let app = news.app.as_ref().map_or(String::new(), |app| format!(" of {app}"));
        let environment = news.environment.as_ref().map_or(String::new(), |name| format!(" in {name}"));
        clean(&format!("{}{app}{environment} ({})", news.commit, news.deployment))
    };
    let mut fact = |name: &str, what: &str| {
        let _ = writeln!(text, "{name:<14} {what}");
    };
    fact("in force", &deployment.as_ref().map_or("no deployment yet".into(), named));
    if let Some(window) = window {
        fact("being deployed", &named(window));
    }
    let by = |how: &str| if how == "swept" { how.to_owned() } else { format!("by {how}") };
    let pressure = watching.pressure.as_ref().map_or(String::new(), |how| format!(", pressure {}", by(how)));
    let (sysctls, mtus, since) = (by(&watching.sysctl), by(&watching.link), seconds(*since));
    // What else there is, /sys, /proc/meminfo, processes, has nobody who would tell of it.
    let watched = format!("sysctls {sysctls}, MTUs {mtus}{pressure}, all else swept, since {since}");
    fact("watching", &clean(&watched));
    for line in watching.reasons.iter().flat_map(|reason| reason.lines()) {
        fact("", &clean(line));
    }
    fact("last sweep", &status.last_sweep.map_or("not yet".into(), seconds));
    fact("missed", &counted(status.losses as usize, "time since then", "times since then"));
    fact(
        "other writes",
        &format!("{} of other keys, {} of other namespaces", status.undeclared, status.foreign),
    );
    text
}

/// How a sink stands, in one line.
fn standing(sink: &SinkStanding) -> String {
    let SinkStanding { sink, waiting, dead, why } = sink;
    let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    let given_up = match dead {
        0 => String::new(),
        dead => format!(", {dead} given up (`driftd alerts retry {sink}` sends them again)"),
    };
    let waiting = counted(*waiting as usize, "message waits", "messages wait");
    format!("{waiting} for `{sink}`{given_up}{why}")
}

/// The findings. Where the screen is too narrow for all of it, it is told how old they are: a time that is cut says nothing.
fn table(findings: &[Finding], screen: Screen, now: Timestamp) -> String {
    let whole = rows(findings, Screen::default(), "SINCE", seconds);
    match screen.width {
        Some(width) if whole.lines().any(|line| line.width() > width) => {
            rows(findings, screen, "FOR", |opened| age(opened, now))
        }
        _ => rows(findings, screen, "SINCE", seconds),
    }
}

/// How long ago something was, in its two largest units.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

fn rows(findings: &[Finding], screen: Screen, head: &str, time: impl Fn(Timestamp) -> String) -> String {
    let cells = |finding: &Finding| {
        let by =
            finding.writer.as_ref().map_or("unattributed".into(), |w| format!("{} (pid {})", w.comm, w.pid));
        let tone = match finding.severity {
            Severity::Critical => Tone::Bad,
            Severity::Warning | Severity::Info => Tone::Plain,
        };
        let cells = [
            finding.key.to_string(),
            value(finding.actual.as_ref()).to_owned(),
            or_empty(&finding.expected).to_owned(),
            time(finding.opened),
            by,
            finding.commit.as_ref().map_or("-", |commit| commit.short()).into(),
            finding.declared_by.to_string(),
        ];
        (tone, cells)
    };
    let rows: Vec<_> = findings.iter().take(FINDINGS).map(cells).collect();
    screen.table(["KEY", "VALUE", "EXPECTED", head, "BY", "UNDER", "DECLARED BY"], &rows)
}

/// Each line two columns further in.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_says_what_waits_what_was_given_up_and_why() {
        let why = Some("answered 500".to_owned());
        let sink = |waiting, dead, why| SinkStanding { sink: "pager".into(), waiting, dead, why };
        insta::assert_snapshot!(standing(&sink(1, 0, None)), @"1 message waits for `pager`");
        insta::assert_snapshot!(standing(&sink(0, 2, why)), @"0 messages wait for `pager`, 2 given up (`driftd alerts retry pager` sends them again): answered 500");
    }

    fn status() -> Status {
        serde_json::from_str(
            r#"{"watching":{"version":"0.1.0","sysctl":"cgroup","link":"netlink","pressure":"psi","reasons":["no kprobes: none\nhint: x"],
            "keys":6,"webhook":null},"since":"2026-08-01T10:00:00.5Z","status":"OUT_OF_SYNC","deployment":{
            "deployment":"d1","commit":"a1b2c3","app":"web","environment":null,"status":"finished","undated":false},
            "window":null,"findings":[{"finding":"f","state":"opened","key":"vm.swappiness","rule":"swappiness",
            "severity":"critical","expected":"10","actual":"61","previous":"10","requested":"61","commit":"a1b2c3",
            "declared_commit":null,"declared_by":{"file":"driftd.yaml","line":7},"cause":"changed after the deploy",
            "writer":null,"seen_by":"cgroup","deployment":"d1","opened":"2026-08-01T10:20:00Z","healed":null,
            "detail":"a write of vm.other sets it too"}],
            "last_sweep":"2026-08-01T10:19:00Z","losses":0,"undeclared":3,"foreign":0}"#,
        )
        .unwrap()
    }

    /// What is shown on a screen of so many columns, half past two.
    fn shown(status: &Status, width: Option<usize>) -> String {
        text(status, Screen { width, colour: false }, "2026-08-01T14:30:00Z".parse().unwrap())
    }

    #[track_caller]
    fn check_age(then: &str, wanted: &str) {
        let now = "2026-08-01T14:30:00Z".parse().unwrap();
        assert_eq!(age(then.parse().unwrap(), now), wanted);
    }

    #[test]
    fn an_age_is_short_whatever_it_is() {
        check_age("2026-08-01T15:00:00Z", "0s");
        check_age("2026-08-01T14:29:01Z", "59s");
        check_age("2026-08-01T14:00:30Z", "29m");
        check_age("2026-08-01T10:20:00Z", "4h10m");
        check_age("2026-07-20T10:20:00Z", "12d4h");
    }

    #[test]
    fn on_a_narrow_screen_it_is_told_how_old_a_finding_is() {
        let table = |width| {
            let shown = shown(&status(), width);
            shown.lines().skip(2).take(2).map(|line| line.to_owned() + "\n").collect::<String>()
        };
        assert_eq!(table(Some(92)), table(None));
        insta::assert_snapshot!(table(Some(80)), @r#"
        KEY            VALUE  EXPECTED  FOR    BY            UNDER   DECLARED BY
        vm.swappiness  61     10        4h10m  unattributed  a1b2c3  driftd.yaml:7
        "#);
        insta::assert_snapshot!(table(Some(60)), @r#"
        KEY            VALUE  EXPECT…  FOR    BY      UNDER   DECLA…
        vm.swappiness  61     10       4h10m  unatt…  a1b2c3  drift…
        "#);
    }

    #[test]
    fn what_is_broken_moves_no_cursor_and_fits_the_screen() {
        let broken = (0..20).map(|line| format!("found `a\u{1b}[2Jb` {line}\n")).collect::<String>();
        let shown = shown(&Status { broken: Some(broken), ..status() }, None);
        let troubles: Vec<&str> = shown.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(troubles.len(), 1 + LINES + 1, "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(
            troubles.last(),
            Some(&"  and 4 more lines: `driftd config check`, or `--format json`, has all")
        );
    }

    #[test]
    fn the_state_fits_one_screen() {
        insta::assert_snapshot!(shown(&status(), None), @r#"
        OUT_OF_SYNC: 1 finding open, 6 keys watched

        KEY            VALUE  EXPECTED  SINCE                 BY            UNDER   DECLARED BY
        vm.swappiness  61     10        2026-08-01T10:20:00Z  unattributed  a1b2c3  driftd.yaml:7
        vm.swappiness (rule swappiness), changed after the deploy: a write of vm.other sets it too

        in force       a1b2c3 of web (d1)
        watching       sysctls by cgroup, MTUs by netlink, pressure by psi, all else swept, since 2026-08-01T10:00:00Z
                       no kprobes: none
                       hint: x
        last sweep     2026-08-01T10:19:00Z
        missed         0 times since then
        other writes   3 of other keys, 0 of other namespaces
        "#);
        let mut swept = status();
        (swept.watching.sysctl, swept.watching.link) = ("swept".into(), "swept".into());
        let watching = "watching       sysctls swept, MTUs swept, pressure by psi, all else swept, since";
        assert!(shown(&swept, None).contains(watching));
    }
}
