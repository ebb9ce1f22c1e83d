//! The `alerts:` section: the sinks outside this daemon, what each is told, and what it is reached by.
//!
//! Nothing here opens a file or a connection. One sink is read in `sink`, what it is reached by in
//! `reach`; what it makes of a message, `alerts/` knows.

mod reach;
mod sink;

use std::{path::PathBuf, time::Duration};

use strum::VariantArray;

pub use self::reach::{is_posted_to, shows};
use self::sink::sink;
use super::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong, listed},
    scalar,
};
use crate::model::{Flapping, Routing};

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Where a commit can be looked at, with `{commit}` in the place of its name (`commit_link:`).
    pub commit_link: Option<Box<str>>,
    /// The sinks, in the order of the file.
    pub sinks: Vec<SinkSettings>,
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Its name: the same one later has what waits for it now.
    pub name: Box<str>,
    /// What it is, and what it is reached by.
    pub kind: SinkKind,
    /// What it is told.
    pub routing: Routing,
    /// How long one try may take (`timeout:`).
    pub timeout: Duration,
    /// How long is waited for more messages, which then go as one (`group:`); zero: each goes alone.
    pub group: Duration,
    /// What it is told of findings that open and heal again and again (`flapping:`).
    pub flapping: Flapping,
    /// After how long it is told again of a finding that is still open (`remind:`).
    pub remind: Option<Duration>,
    /// How old a message may become before it is given up (`give_up:`).
    pub give_up: Duration,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// JSON, posted to an address.
    Webhook {
        /// Where.
        to: Endpoint,
        /// In which form.
        form: Form,
        /// The file with the secret that signs, as Standard Webhooks have it.
        secret: Option<PathBuf>,
    },
    /// A status page that takes the gitops-status JSON.
    GitopsStatus {
        /// Where.
        to: Endpoint,
    },
    /// Prometheus's Alertmanager, by version 2 of its API.
    Alertmanager {
        /// Where, as far as `/api/v2/alerts`.
        to: Endpoint,
    },
    /// A program that reads the JSON on its standard input.
    Exec {
        /// The program and its arguments.
        program: Vec<Box<str>>,
    },
    /// Slack, by an incoming webhook.
    Slack {
        /// Where: the address is the credential.
        to: Endpoint,
    },
    /// E-mail.
    Email(Email),
    /// GitHub: statuses of what was delivered, and issues of what is open.
    Github(Github),
}

/// A mail server, and who writes to whom by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The server's name or address.
    pub server: Box<str>,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from others (`encryption:`).
    pub encryption: Encryption,
    /// The name, and the file with the password (`user:`, `password:`).
    pub login: Option<(Box<str>, PathBuf)>,
    /// Who writes.
    pub from: Box<str>,
    /// To whom.
    pub to: Vec<Box<str>>,
    /// The file with the certificates that vouch for it (`ca:`); the host's own where there is none.
    pub ca: Option<PathBuf>,
}

/// How a connection to a mail server is kept from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, VariantArray)]
pub enum Encryption {
    /// By STARTTLS: nothing is sent before.
    #[default]
    Starttls,
    /// By TLS from the first byte.
    Tls,
    /// Not at all: on loopback alone.
    None,
}

impl Encryption {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Encryption::Starttls => "starttls",
            Encryption::Tls => "tls",
            Encryption::None => "none",
        }
    }

    /// The port of such servers (RFC 6409, RFC 8314, RFC 5321).
    pub fn port(self) -> u16 {
        match self {
            Encryption::Starttls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        }
    }
}

/// GitHub, as a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Github {
    /// Its API (`url:`), with the token.
    pub api: Endpoint,
    /// The repository, as `owner/name`.
    pub repository: Box<str>,
    /// Whether the delivered commit has a status (`commit_status:`).
    pub commit_status: bool,
    /// Whether its deployment has one (`deployment_status:`).
    pub deployment_status: bool,
    /// Whether each rule with open findings has an issue (`issues:`).
    pub issues: bool,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Standard Webhooks: `type`, `timestamp`, `data`.
    #[default]
    Json,
    /// CloudEvents 1.0, structured.
    Cloudevents,
}

/// What a sink is reached by over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub url: Address,
    /// The file with the token that is sent as `Authorization: Bearer` (`token:`).
    pub token: Option<PathBuf>,
    /// The file with the certificates that vouch for it (`ca:`); the host's own where there is none.
    pub ca: Option<PathBuf>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it stands in the configuration (`url:`).
    Written(Box<str>),
    /// In a file, because whoever knows it may post there (`url_file:`).
    File(PathBuf),
}

pub(super) const FIELDS: [&str; 2] = ["commit_link", "sinks"];

/// Checks the section.
pub(super) fn alerts(section: &Entry, problems: &mut Problems) -> Alerts {
    let mut alerts = Alerts::default();
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map with `sinks`").hint(format!("below it stand {}", listed(FIELDS)));
        problems.push(section.value.span, section.value.described(), wrong);
        return alerts;
    };
    for entry in entries {
        match &*entry.name.text {
            "commit_link" => alerts.commit_link = link(&entry.value, problems),
            "sinks" => alerts.sinks = sinks(entry, problems),
            _ => scalar::unknown(&entry.name, "a field of `alerts`", &FIELDS, problems),
        }
    }
    alerts
}

fn link(node: &Node, problems: &mut Problems) -> Option<Box<str>> {
    const WANTED: &str =
        "an address with `{commit}` in it, as in `https://github.com/acme/infra/commit/{commit}`";
    scalar::value(node, WANTED, problems, |text| match text.contains("{commit}") {
        true if text.starts_with("https://") || text.starts_with("http://") => Ok(text.into()),
        _ => Err(Wrong::new(WANTED)),
    })
}

fn sinks(section: &Entry, problems: &mut Problems) -> Vec<SinkSettings> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map from names to sinks").hint(format!("the sinks are {}", sink::names()));
        problems.push(section.value.span, section.value.kind(), wrong);
        return Vec::new();
    };
    entries.iter().filter_map(|entry| sink(entry, problems)).collect()
}
