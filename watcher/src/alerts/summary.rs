//! A burst as one message, for a sink that has each message alone: how many there are, of which keys, and where each can be
//! read.

use std::{collections::BTreeSet, fmt::Write};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{burst::named, message::Letterhead};
use crate::{
    model::{FindingState, Key, Severity, What},
    store::Message,
};

/// What it is, as the `type` of the form.
pub const KIND: &str = "driftd.burst";

/// What there is in a burst.
pub fn data(sent: &[Message], head: &Letterhead) -> Value {
    let count = |wanted: fn(&What) -> bool| sent.iter().filter(|one| wanted(&one.row.entry.what)).count();
    let opened =
        count(|what| matches!(what, What::Finding(finding) if finding.state == FindingState::Opened));
    let healed =
        count(|what| matches!(what, What::Finding(finding) if finding.state == FindingState::Healed));
    let remedies = count(|what| matches!(what, What::Remedy(_)));
    let keys: BTreeSet<Key> = sent.iter().filter_map(|one| one.row.entry.what.key().cloned()).collect();
    let mut text = format!("{} messages as one: ", sent.len());
    let counts = [(opened, "opened"), (healed, "healed"), (remedies, "remedies")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    text.push_str(&counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "));
    let _ = write!(text, ", of {} keys: {}; `driftd audit export` has each", keys.len(), named(&keys));
    // A clock may have been set back meanwhile.
    let times = || sent.iter().map(|one| one.row.entry.time);
    let until = times().max().and_then(|last| last.checked_add(SignedDuration::from_micros(1)).ok());
    let look = times()
        .min()
        .zip(until)
        .map_or(String::new(), |(since, until)| format!(" --since {since} --until {until}"));
    json!({
        "kind": "burst",
        "server": head.server,
        "text": text,
        "severity": severity(sent),
        "opened": opened,
        "healed": healed,
        "remedies": remedies,
        "keys": keys.len(),
        // Between them there are others.
        "first_entry": sent.first().map(|first| first.row.number),
        "entry": sent.last().map(|last| last.row.number),
        // `events` shows the last hundred, and these are more.
        "look": format!("driftd audit export{look}"),
    })
}

/// That of the loudest finding.
fn severity(sent: &[Message]) -> Option<Severity> {
    let of = |one: &Message| match &one.row.entry.what {
        What::Finding(finding) => Some(finding.severity),
        _ => None,
    };
    sent.iter().filter_map(of).max()
}
