//! A message to a sink outside this host: what a person needs to act, as JSON, and the name it goes under.
//!
//! Nothing here sends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{render::message, summary};
use crate::{
    model::{Beneath, Finding, FindingState, Key, What},
    store::Message,
};

/// What every message of this host says besides what happened.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The name of the host.
    pub server: Box<str>,
    /// Where a commit can be looked at, with `{commit}` in the place of its name.
    pub commit_link: Option<Box<str>>,
}

/// What a message is about, in one word: the `type` of the form.
pub fn kind(what: &What) -> &'static str {
    match what {
        What::Finding(finding) if finding.state == FindingState::Healed => "driftd.finding.healed",
        What::Finding(_) => "driftd.finding.opened",
        What::Verdict(_) => "driftd.verdict",
        What::Remedy(_) => "driftd.remedy",
        _ => "driftd.loss",
    }
}

/// What happened: the entry as `--output json` has it, with the host, a sentence, where its commit can be looked at, and
/// what shows more.
pub fn data(sent: &Message, head: &Letterhead) -> Value {
    let what = &sent.row.entry.what;
    let mut data =
        serde_json::to_value(&sent.row).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    if let Value::Object(data) = &mut data {
        data.insert("server".into(), json!(head.server));
        data.insert("text".into(), json!(message(what)));
        let link = link(what, head);
        data.insert("commit_link".into(), json!(link));
        data.insert("look".into(), json!(look(what)));
        let Beneath { app, environment, repo } = &sent.beneath;
        for (name, value) in [("app", app), ("environment", environment), ("repo", repo)] {
            if let Some(value) = value {
                data.insert(name.into(), json!(value));
            }
        }
        if sent.reminder > 0 {
            data.insert("reminder".into(), json!(sent.reminder));
        }
        if let Some(flaps) = &sent.flaps {
            data.insert("flaps".into(), json!(flaps));
        }
        if let What::Finding(finding) = what
            && finding.state == FindingState::Opened
        {
            let advice = advice(finding);
            data.insert("revert".into(), json!(advice.revert));
            data.insert("adopt".into(), json!(advice.adopt));
        }
    }
    data
}

/// Where the commit of an entry can be looked at.
pub fn link(what: &What, head: &Letterhead) -> Option<String> {
    let commit = what.commit()?;
    head.commit_link.as_ref().map(|link| link.replace("{commit}", commit.as_str()))
}

/// What can be done about a finding, as commands for a shell.
pub struct Advice {
    /// Puts back what is expected, where that is one value that can be written.
    pub revert: Option<String>,
    /// Shows the change to the declaring file that would make the live value the declared one; where there is no such file on
    /// this host, or it says no single value, has the live value expected until the next deployment. Nothing where no value
    /// can be adopted.
    pub adopt: Option<String>,
    /// Shows more.
    pub look: String,
}

/// What can be done about a finding.
pub fn advice(finding: &Finding) -> Advice {
    let key = quoted(&finding.key.to_string());
    Advice {
        // What does not exist cannot be written.
        revert: finding
            .wanted
            .as_ref()
            .filter(|_| finding.actual.is_some())
            .and_then(|wanted| revert(&finding.key, wanted.as_str())),
        adopt: adopt(finding).map(|how| format!("driftd adopt {key} {how}")),
        look: format!("driftd history {key}"),
    }
}

/// How the live value of a finding is adopted.
fn adopt(finding: &Finding) -> Option<&'static str> {
    let Finding { key, actual, wanted, expected, declared_commit, .. } = finding;
    if key.is_secret() || actual.is_none() {
        return None;
    }
    // What was captured, or came with a deployment, is of a commit, and is in no file of this host.
    let is_line =
        declared_commit.is_none() && wanted.as_ref().is_some_and(|wanted| wanted.as_str() == expected);
    match is_line {
        true => Some("--format patch"),
        false if key.moves_by_itself() => None,
        false => Some("--accept"),
    }
}

/// The command that writes a value. None where that is a program, which no message should put into anybody's hands.
fn revert(key: &Key, wanted: &str) -> Option<String> {
    if key.is_secret() || key.names_program() || wanted.chars().any(char::is_control) {
        return None;
    }
    let value = quoted(wanted);
    Some(match key {
        Key::Sysctl { column: None, .. } => format!("sysctl -w {}", quoted(&format!("{key}={wanted}"))),
        Key::Link { interface } => format!("ip link set dev {} mtu {value}", quoted(interface)),
        Key::Sysfs { path, field: None } => format!("echo {value} > {}", quoted(path)),
        _ => return None,
    })
}

/// A word as a shell reads it as one.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@+".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The command that shows more.
pub fn look(what: &What) -> String {
    match (what, what.key()) {
        (_, Some(key)) => format!("driftd history {}", quoted(&key.to_string())),
        (What::Verdict(verdict), None) => format!("driftd deployments {}", verdict.deployment),
        _ => "driftd status".to_owned(),
    }
}

/// The form of Standard Webhooks.
pub fn standard(sent: &[Message], head: &Letterhead) -> Value {
    let Told { id, kind, time, data, .. } = told(sent, head);
    json!({ "id": id, "type": kind, "timestamp": time, "data": data })
}

/// CloudEvents 1.0, structured (https://github.com/cloudevents/spec).
pub fn cloudevent(sent: &[Message], head: &Letterhead) -> Value {
    let Told { id, kind, time, data, key } = told(sent, head);
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/driftd/{}", head.server),
        "type": kind,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    });
    if let (Value::Object(event), Some(key)) = (&mut event, key) {
        event.insert("subject".into(), json!(key.to_string()));
    }
    event
}

/// What is told in either form.
struct Told<'m> {
    id: &'m str,
    kind: &'static str,
    time: Option<Timestamp>,
    data: Value,
    key: Option<&'m Key>,
}

/// One message, or a burst.
fn told<'m>(sent: &'m [Message], head: &Letterhead) -> Told<'m> {
    match sent {
        [one] if !one.burst => {
            let what = &one.row.entry.what;
            let (kind, data) = (kind(what), data(one, head));
            Told { id: &one.id, kind, time: Some(one.row.entry.time), data, key: what.key() }
        }
        many => Told {
            id: many.first().map_or("", |first| &first.id),
            kind: summary::KIND,
            time: many.last().map(|last| last.row.entry.time),
            data: summary::data(many, head),
            key: None,
        },
    }
}

/// The moment of sending as Standard Webhooks sign it: seconds since 1970.
pub fn stamp(now: Timestamp) -> String {
    now.as_second().to_string()
}
