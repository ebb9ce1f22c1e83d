//! `driftd history KEY`: the values of one key over time, with who wrote them and the deployments in between.

use std::io::Write;

use super::{
    exit,
    screen::{Screen, Tone},
};
use crate::{
    alerts::{Output, clean, line, value},
    model::{Entry, FindingState, Healing, Key, Kind, Outcome, What, Writer},
    store::{Filter, Reader, Row},
};

/// How many deployments may stand between the entries of a key.
const DEPLOYMENTS: usize = 1000;

/// Shows the last entries of a key, and the deployments since the first of them.
pub fn run(
    store: &Reader,
    key: &Key,
    last: usize,
    output: Output,
    screen: Screen,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let rows = rows(store, key, last)?;
    match output {
        Output::Json => rows.iter().try_for_each(|row| writeln!(out, "{}", line(row, output)))?,
        Output::Text if rows.is_empty() => writeln!(out, "{}: nothing is recorded", clean(&key.to_string()))?,
        Output::Text => write!(out, "{}", table(&rows, screen))?,
    }
    Ok(exit::IN_SYNC)
}

fn rows(store: &Reader, key: &Key, last: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = store.newest(&Filter { key: Some(key.clone()), ..Filter::default() }, last)?;
    let Some(first) = rows.first().map(|row| row.number) else { return Ok(rows) };
    let deployments = Filter { kinds: vec![Kind::Deployment], ..Filter::default() };
    // The one before the first is what it happened under.
    rows.extend(store.newest(&Filter { before: Some(first), ..deployments.clone() }, 1)?);
    rows.extend(store.newest(&Filter { after: Some(first), ..deployments }, DEPLOYMENTS)?);
    rows.sort_by_key(|row| row.number);
    Ok(rows)
}

fn table(rows: &[Row], screen: Screen) -> String {
    let rows: Vec<_> = rows.iter().filter_map(|row| cells(&row.entry)).collect();
    screen.table(["TIME", "WHAT", "VALUE", "BY", "COMMIT"], &rows)
}

fn cells(entry: &Entry) -> Option<(Tone, [String; 5])> {
    let (tone, what, shown, by) = match &entry.what {
        What::Change(change) => {
            let shown = format!("{} -> {}", value(change.previous.as_ref()), value(change.actual.as_ref()));
            (Tone::Plain, "change".into(), shown, writer(change.writer.as_ref()))
        }
        What::Touch(touch) => {
            let asked = touch.requested.as_ref().filter(|asked| Some(*asked) != touch.actual.as_ref());
            let asked = asked.map_or(String::new(), |asked| format!(" ({asked} was asked for)"));
            let what = format!("touch, {}", touch.reason.as_str());
            (
                Tone::Plain,
                what,
                format!("{}{asked}", value(touch.actual.as_ref())),
                writer(touch.writer.as_ref()),
            )
        }
        What::Finding(finding) => {
            let (tone, what) = match (finding.state, finding.healing) {
                (FindingState::Opened, _) => (Tone::Bad, "FINDING"),
                (FindingState::Healed, Some(Healing::Undeclared)) => (Tone::Plain, "undeclared"),
                (FindingState::Healed, _) => (Tone::Good, "healed"),
            };
            let shown = format!("{}, expected {}", value(finding.actual.as_ref()), finding.expected);
            (tone, format!("{what} ({})", finding.rule), shown, writer(finding.writer.as_ref()))
        }
        What::Remedy(done) => {
            let tone = if done.outcome == Outcome::Done { Tone::Good } else { Tone::Odd };
            let shown = format!("{} -> {}", value(done.previous.as_ref()), value(done.requested.as_ref()));
            let by =
                done.asked_by.as_ref().map_or_else(|| format!("rule {}", done.rule), ToString::to_string);
            (tone, format!("{}, {}", done.remedy.as_str(), done.outcome.as_str()), shown, by)
        }
        What::Deployment(news) => {
            let app = news.app.as_ref().map_or(String::new(), |app| format!(" of {app}"));
            (Tone::Head, "deployment".into(), format!("{}{app}", news.status.as_str()), String::new())
        }
        _ => return None,
    };
    let commit = entry.what.commit().map_or("-", |commit| commit.short());
    Some((tone, [super::seconds(entry.time), what, shown, by, commit.into()]))
}

/// Who wrote, in short.
fn writer(writer: Option<&Writer>) -> String {
    writer.map_or("unattributed".into(), |Writer { pid, comm, uid, login_uid, .. }| {
        let login =
            login_uid.filter(|login| login != uid).map_or(String::new(), |uid| format!(", login uid {uid}"));
        format!("{comm} (pid {pid}, uid {uid}{login})")
    })
}
