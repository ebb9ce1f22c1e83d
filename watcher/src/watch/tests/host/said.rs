//! What the watch said, in short.

use super::Host;
use crate::model::{Entry, Finding, FindingState, Healing, SeenBy, Value, What, Writer};

impl Host {
    /// The sweeps since the last call: why, how many keys, how many had changed.
    pub fn sweeps(&mut self) -> Vec<String> {
        let sweep = |entry: Entry| match entry.what {
            What::Sweep(sweep) => Some(format!("{} {}/{}", sweep.reason.as_str(), sweep.changed, sweep.keys)),
            _ => None,
        };
        std::mem::take(&mut self.entries).into_iter().filter_map(sweep).collect()
    }
}

/// An entry in short; sweeps are for [`Host::sweeps`].
pub fn said(what: &What) -> Option<String> {
    let value = |value: &Option<Value>| value.as_ref().map_or("absent".into(), ToString::to_string);
    let by = |writer: &Option<Writer>, seen_by: SeenBy| {
        let who = writer.as_ref().map_or("nobody".into(), |writer| writer.pid.to_string());
        format!("({who}, {})", seen_by.as_str())
    };
    let muted = |finding: &Finding| if finding.muted.is_some() { " (muted)" } else { "" };
    Some(match what {
        What::Start(_) => "start".into(),
        What::Sweep(_) => return None,
        What::Ignored(ignored) => format!("ignored {} {}", ignored.sender, ignored.count),
        What::Remedy(done) => {
            let (key, requested) = (&done.key, value(&done.requested));
            format!("{} {key} {requested}: {}", done.remedy.as_str(), done.outcome.as_str())
        }
        What::Loss(loss) => match loss.count {
            Some(count) => format!("loss: {count} {}", loss.what),
            None => format!("loss: {}", loss.what),
        },
        What::Deployment(news) => format!("{} {}", news.status.as_str(), news.commit),
        What::Verdict(verdict) => {
            let keys = verdict.findings.iter().map(|finding| format!(" {}", finding.key));
            format!("verdict {} {}{}", verdict.commit, verdict.status.as_str(), keys.collect::<String>())
        }
        What::Change(change) => {
            let under = change.commit.as_ref().map_or(String::new(), |commit| {
                format!(" {} {commit}", if change.in_window { "in" } else { "under" })
            });
            let (key, by) = (&change.key, by(&change.writer, change.seen_by));
            let ours = if change.remedies.is_some() { " ours" } else { "" };
            format!("change {key} {} -> {} {by}{under}{ours}", value(&change.previous), value(&change.actual))
        }
        What::Touch(touch) => {
            let (key, by) = (&touch.key, by(&touch.writer, touch.seen_by));
            format!("touch {key} {} {} x{} {by}", value(&touch.actual), touch.reason.as_str(), touch.writes)
        }
        What::Finding(finding) if finding.state == FindingState::Opened => {
            let Finding { rule, key, actual, expected, writer, seen_by, cause, .. } = &**finding;
            let (by, muted) = (by(writer, *seen_by), muted(finding));
            format!("opened {rule}: {key} {} not {expected} {by} {}{muted}", value(actual), cause.as_str())
        }
        What::Finding(finding) => {
            let word = match finding.healing {
                Some(Healing::Undeclared) => "undeclared",
                Some(Healing::InSync | Healing::Adopted) | None => "healed",
            };
            let (rule, key, muted) = (&finding.rule, &finding.key, muted(finding));
            format!("{word} {rule}: {key} {}{muted}", value(&finding.actual))
        }
    })
}
