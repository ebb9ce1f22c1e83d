//! A message as Slack shows it: https://docs.slack.dev/messaging/formatting-message-text.

use serde_json::{Value, json};

use super::{
    letter::{paragraph, subject},
    message::{Letterhead, link},
};
use crate::{
    model::{FindingState, Severity, VerdictStatus, What},
    store::Message,
};

/// The most characters that a block takes.
const MOST: usize = 3000;

/// The most messages in one: what is more is counted.
const SHOWN: usize = 20;

/// Messages, as the body of an incoming webhook: the loudest gives the colour.
pub fn text(sent: &[Message], head: &Letterhead) -> Value {
    let attachment = |one: &Message| {
        let what = &one.row.entry.what;
        let mut text: String = escaped(&paragraph(one, head)).chars().take(MOST - 500).collect();
        // A key of others may end the address of a link.
        if let (Some(link), Some(commit)) = (link(what, head), what.commit()) {
            text = text.replacen(
                &escaped(&link),
                &format!("<{}|{}>", escaped(&link), escaped(commit.short())),
                1,
            );
        }
        json!({ "color": color(what), "text": text, "mrkdwn_in": ["text"] })
    };
    let attachments: Vec<_> = sent.iter().take(SHOWN).map(attachment).collect();
    let more = match sent.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("; the first {SHOWN}, and {more} more: `driftd status`"),
        None => String::new(),
    };
    json!({ "text": format!("{}{more}", escaped(&subject(sent, head))), "attachments": attachments })
}

fn color(what: &What) -> &'static str {
    match what {
        What::Finding(finding) if finding.state == FindingState::Healed => "good",
        What::Finding(finding) if finding.severity == Severity::Critical => "danger",
        What::Verdict(verdict) if verdict.status == VerdictStatus::Synced => "good",
        What::Verdict(_) => "danger",
        _ => "warning",
    }
}

/// The three characters that mean something to Slack: without this a comm of `<!channel>` would call everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
