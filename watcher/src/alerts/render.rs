//! An entry as one line: for people, or as JSON.

use std::fmt::Write;

use jiff::tz::TimeZone;

use crate::{
    model::{
        Act, Cause, Change, DeploymentNews, Entry, Finding, FindingState, Healing, Ignored, Outcome,
        Remedied, Revision, SeenBy, Started, Sweep, Touch, Value, Verdict, What, Writer, in_short,
    },
    store::Row,
};

/// How entries are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// A line that a person reads.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One entry as one line, without its end; for people, what is said at the start has one for each thing.
pub fn line(row: &Row, output: Output) -> String {
    let entry = &row.entry;
    match output {
        Output::Json => serde_json::to_string(row).unwrap_or_else(|error| {
            // No value of these types fails; if one ever does, it is still told that there was something.
            let Row { number, entry: Entry { time, what } } = row;
            serde_json::json!({ "entry": number, "time": time, "kind": what.kind(), "error": error.to_string() })
                .to_string()
        }),
        Output::Text => {
            let time = entry.time.to_zoned(TimeZone::UTC).strftime("%FT%TZ");
            let first = format!("{time} {:<10} {}", word(&entry.what), clean(&sentence(&entry.what)));
            match &entry.what {
                What::Start(started) => {
                    details(started).fold(first, |text, detail| text + "\n    " + &clean(&detail))
                }
                _ => first,
            }
        }
    }
}

/// An entry as one sentence, for those who have its time and its kind beside it.
pub fn message(what: &What) -> String {
    clean(&sentence(what))
}

/// The word a line begins with.
fn word(what: &What) -> &'static str {
    match what {
        What::Finding(finding) if finding.state == FindingState::Opened => "FINDING",
        What::Finding(finding) if finding.healing == Some(Healing::Undeclared) => "undeclared",
        What::Finding(finding) if finding.healing == Some(Healing::Adopted) => "adopted",
        What::Finding(_) => "healed",
        what => what.kind(),
    }
}

/// What happened, in words. It may hold characters of others: see [`clean`].
pub fn sentence(what: &What) -> String {
    match what {
        What::Start(started) => start(started),
        What::Deployment(news) => deployment(news),
        What::Verdict(given) => verdict(given),
        What::Change(seen) => change(seen),
        What::Touch(seen) => touch(seen),
        What::Finding(finding) => finding_sentence(finding),
        What::Remedy(done) => remedied(done),
        What::Loss(loss) => match loss.count {
            Some(count) => format!("{count} {}; everything declared is read again", loss.what),
            None => loss.what.clone(),
        },
        What::Sweep(swept) => sweep(swept),
        What::Ignored(passed) => ignored(passed),
    }
}

fn start(started: &Started) -> String {
    format!("driftd {} watches {} keys", started.version, started.keys)
}

/// What is watched how and why, and where deployments are taken.
fn details(started: &Started) -> impl Iterator<Item = String> {
    let Started { sysctl, link, pressure, reasons, webhook, page, .. } = started;
    let pressure = pressure.as_ref().map(|how| format!("pressure: {how}"));
    let deployments = webhook.as_ref().map(|url| format!("deployments: {url}"));
    let page = page.as_ref().map(|url| format!("the page: {url}"));
    let reasons = reasons.iter().flat_map(|reason| reason.lines().map(str::to_owned));
    [format!("writes of sysctls: {sysctl}"), format!("MTUs: {link}")]
        .into_iter()
        .chain(pressure)
        .chain(deployments)
        .chain(page)
        .chain(reasons)
}

fn deployment(news: &DeploymentNews) -> String {
    let mut text = format!("{} {}", news.commit.short(), news.status.as_str());
    for (name, value) in [("app", &news.app), ("environment", &news.environment)] {
        if let Some(value) = value {
            let _ = write!(text, ", {name} {value}");
        }
    }
    if news.undated {
        text.push_str(", undated");
    }
    let _ = write!(text, " (deployment {})", news.deployment);
    text
}

fn ignored(passed: &Ignored) -> String {
    let Ignored { sender, reason, detail, count } = passed;
    let mut text = match count {
        1 => format!("a message of {sender}: {reason}"),
        _ => format!("{count} messages of {sender}: {reason}"),
    };
    if let Some(detail) = detail {
        let _ = write!(text, " ({detail})");
    }
    text
}

fn verdict(verdict: &Verdict) -> String {
    let Verdict { commit, status, keys, findings, held, unreadable, broken, .. } = verdict;
    let counted = if findings.len() == 1 { "finding" } else { "findings" };
    let (commit, status) = (commit.short(), status.as_str());
    let mut text = format!("{commit} {status}: {keys} keys, {} {counted} open", findings.len());
    for Finding { key, actual, expected, muted, .. } in findings {
        let muted = muted.as_ref().map_or(String::new(), |mute| format!(", {mute}"));
        let _ = write!(text, "; {key} is {}, expected {expected}{muted}", value(actual.as_ref()));
    }
    for key in held {
        let _ = write!(text, "; {key} departs, and waits for the end of another deployment");
    }
    for key in unreadable {
        let _ = write!(text, "; {key} cannot be read");
    }
    if let Some(broken) = broken {
        let _ = write!(text, "; what is declared stays as it was: {}", in_short(broken));
    }
    text
}

fn change(change: &Change) -> String {
    let Change {
        key, previous, requested, actual, writer, seen_by, commit, in_window, writes, remedies, ..
    } = change;
    let mut text = format!("{key} {} -> {}", value(previous.as_ref()), value(actual.as_ref()));
    if let Some(asked) = requested.as_ref().filter(|asked| Some(*asked) != actual.as_ref()) {
        let _ = write!(text, " ({asked} was asked for)");
    }
    if *writes > 1 {
        let _ = write!(text, ", {writes} writes");
    }
    if remedies.is_some() {
        text.push_str(", a remedy of driftd's");
    }
    let _ = write!(text, ", {}, {}", by(writer.as_ref(), *seen_by), under(commit.as_ref(), *in_window));
    text
}

fn touch(touch: &Touch) -> String {
    let Touch { key, actual, requested, result, writer, seen_by, reason, writes, .. } = touch;
    let mut text = format!("{key} is {}, write {}", value(actual.as_ref()), reason.as_str());
    if let Some(asked) = requested.as_ref().filter(|asked| Some(*asked) != actual.as_ref()) {
        let _ = write!(text, " ({asked} was asked for)");
    }
    if let Some(errno) = result.filter(|result| *result < 0) {
        let _ = write!(text, " (errno {})", -errno);
    }
    if *writes > 1 {
        let _ = write!(text, ", {writes} writes");
    }
    let _ = write!(text, ", {}", by(writer.as_ref(), *seen_by));
    text
}

fn finding_sentence(finding: &Finding) -> String {
    let actual = value(finding.actual.as_ref());
    let muted = finding.muted.as_ref().map_or(String::new(), |mute| format!(", {mute}"));
    if finding.healing == Some(Healing::Undeclared) {
        // What it is now was perhaps not asked.
        let now = finding.actual.as_ref().map_or(String::new(), |_| format!(" is {actual}, and"));
        return format!(
            "{}{now} is no longer declared (rule {} expected {}){muted}",
            finding.key, finding.rule, finding.expected
        );
    }
    if finding.healing == Some(Healing::Adopted) {
        let Finding { key, expected, rule, .. } = finding;
        return format!(
            "{key} is {actual}, which is expected of it until the next deployment (rule {rule} expected {expected}){muted}"
        );
    }
    if finding.state == FindingState::Healed {
        let Finding { key, expected, rule, .. } = finding;
        let is_rest = finding.cause == Cause::Fight && finding.healing == Some(Healing::InSync);
        let rest = if is_rest { "; nobody fights over it any more" } else { "" };
        return format!("{key} is {actual}, expected {expected} (rule {rule}){rest}{muted}");
    }
    if finding.cause == Cause::Fight {
        return fight_sentence(finding) + &muted;
    }
    let mut text = format!(
        "{}: {} is {actual}, expected {} (rule {}, {})",
        finding.severity.as_str(),
        finding.key,
        finding.expected,
        finding.rule,
        finding.declared_by
    );
    if let Some(detail) = &finding.detail {
        let _ = write!(text, " [{detail}]");
    }
    if let Some(previous) = &finding.previous {
        let _ = write!(text, ", was {previous}");
    }
    if let Some(asked) = finding.requested.as_ref().filter(|asked| Some(*asked) != finding.actual.as_ref()) {
        let _ = write!(text, " ({asked} was asked for)");
    }
    let _ = write!(
        text,
        "; {}; {}, {}",
        finding.cause.as_str(),
        by(finding.writer.as_ref(), finding.seen_by),
        under(finding.commit.as_ref(), false)
    );
    text + &declared(finding) + &muted
}

/// Which of the two values is in force is nothing that lasts; who writes them is.
fn fight_sentence(finding: &Finding) -> String {
    let Finding { severity, key, expected, rule, declared_by, detail, actual, seen_by, commit, .. } = finding;
    let (severity, actual) = (severity.as_str(), value(actual.as_ref()));
    let detail = detail.as_deref().unwrap_or("two writers that are not known");
    let (seen_by, under) = (seen_by.as_str(), under(commit.as_ref(), false));
    format!(
        "{severity}: two fight over {key}, expected {expected} (rule {rule}, {declared_by}): {detail}; it is {actual} \
         now; seen by {seen_by}, {under}{}",
        declared(finding)
    )
}

fn declared(finding: &Finding) -> String {
    finding
        .declared_commit
        .as_ref()
        .map_or(String::new(), |commit| format!(", declared by commit {}", commit.short()))
}

/// What was done about a finding, or was not: for a line, and for who asked for it.
pub fn remedied(remedied: &Remedied) -> String {
    let Remedied {
        key, rule, remedy, outcome, previous, requested, through, actual, reason, asked_by, ..
    } = remedied;
    let (previous, requested) = (value(previous.as_ref()), value(requested.as_ref()));
    let through = through.as_ref().map_or(String::new(), |key| format!(" through {key}"));
    let mut text = match (remedy, outcome) {
        (Act::Revert, Outcome::Done) => {
            format!("{key} was {previous} and is put back to {requested}{through}")
        }
        (Act::Revert, Outcome::DryRun) => {
            format!("{key} is {previous} and would be put back to {requested}{through}; nothing was written")
        }
        (Act::Revert, Outcome::Failed) => {
            format!(
                "{key} was {previous}, {requested} was to be written{through}, and it is {}",
                value(actual.as_ref())
            )
        }
        (Act::Revert, Outcome::Stopped) => format!("{key} is {previous}, and is not put back any more"),
        (Act::Revert, Outcome::Refused) => format!("{key} is {previous}, and is not put back"),
        (_, Outcome::Interrupted) => {
            format!("{key} was {previous}, and {requested} was about to be written{through}")
        }
        (Act::Adopt, Outcome::Done) => {
            format!("{key} is {requested}, which is expected of it until the next deployment")
        }
        (Act::Adopt, _) => format!("{key} is {previous}, which is not adopted"),
    };
    if let Some(reason) = reason {
        // A line has no further lines.
        let _ = write!(text, ": {}", reason.replace("\nhint: ", "; hint: "));
    }
    let asked = asked_by.as_ref().map_or(String::new(), |person| format!(", asked for by {person}"));
    let _ = write!(text, " (rule {rule}{asked})");
    text
}

fn sweep(sweep: &Sweep) -> String {
    let Sweep { reason, keys, changed, micros } = sweep;
    format!("{keys} keys read ({}), {changed} had changed, in {micros} us", reason.as_str())
}

/// A value in words: `absent` where the key does not exist.
pub fn value(value: Option<&Value>) -> &str {
    value.map_or("absent", |value| match value.as_str() {
        "" => "empty",
        text => text,
    })
}

/// Who did it and how it was noticed.
pub fn by(writer: Option<&Writer>, seen_by: SeenBy) -> String {
    match writer {
        Some(writer) => format!("by {writer}, seen by {}", seen_by.as_str()),
        None => format!("unattributed, seen by {}", seen_by.as_str()),
    }
}

fn under(commit: Option<&Revision>, in_window: bool) -> String {
    match (commit, in_window) {
        (None, _) => "before any deployment".into(),
        (Some(commit), false) => format!("under commit {}", commit.short()),
        (Some(commit), true) => format!("in the deploy of commit {}", commit.short()),
    }
}

/// The text without characters that could move the cursor or end the line: names come from whoever wrote.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => clean.extend(c.escape_default()),
            false => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests;
