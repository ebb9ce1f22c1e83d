//! The `hub:` section: where pipelines post the gitops-status JSON, and what proves that they may.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    callers::{Callers, networks},
    node::{Entry, Tree},
    problem::{Problems, Wrong},
    secret,
    sender::files,
    webhook::{Speech, Tls, listen, tls},
};

/// The listener for statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// The address it listens on.
    pub listen: SocketAddr,
    /// How it speaks.
    pub tls: Tls,
    /// Whose connections are taken.
    pub callers: Callers,
    /// The files with the secrets that sign; any of them opens.
    pub secrets: Vec<PathBuf>,
    /// The files with the tokens that are sent; any of them opens. One of both lists is not empty.
    pub tokens: Vec<PathBuf>,
}

pub(super) const FIELDS: [&str; 8] =
    ["listen", "secrets", "tokens", "certificate", "key", "plain_http", "allow", "proxies"];

/// Checks the section. Nothing where there was a mistake.
pub(super) fn hub(section: &Entry, problems: &mut Problems) -> Option<Hub> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map with `listen` and `secrets` or `tokens`");
        problems.push(section.value.span, section.value.described(), wrong);
        return None;
    };
    let (mut address, mut secrets, mut tokens) = (None, None, None);
    let (mut speech, mut callers) = (Speech::default(), Callers::default());
    for entry in entries {
        match &*entry.name.text {
            "listen" => address = Some(entry),
            "secrets" => secrets = Some(entry),
            "tokens" => tokens = Some(entry),
            "certificate" => speech.certificate = Some(entry),
            "key" => speech.key = Some(entry),
            "plain_http" => speech.plain_http = Some(entry),
            "allow" => callers.allow = networks(&entry.value, problems),
            "proxies" => callers.proxies = networks(&entry.value, problems).unwrap_or_default(),
            _ => secret::unknown(entry, "a field of `hub`", &FIELDS, problems),
        }
    }
    let mut missing = |found: &str, wanted: &str, hint: &str| {
        problems.push(section.name.span, found, Wrong::new(wanted).hint(hint));
    };
    if address.is_none() {
        let hint = "an address and a port, as in `listen: 0.0.0.0:8444`";
        missing("`hub` without `listen`", "`listen` in it", hint);
    }
    if secrets.is_none() && tokens.is_none() {
        let hint = "the file with what pipelines prove themselves by; without one nothing is accepted";
        missing("`hub` without credentials", "`secrets` or `tokens` in it", hint);
    }
    let address = address.and_then(|entry| listen(&entry.value, problems));
    let mut read = |entry: Option<&Entry>| entry.map_or(Some(Vec::new()), |e| files(&e.value, problems));
    let (secrets, tokens) = (read(secrets), read(tokens));
    let tls = tls(&speech, address, problems);
    Some(Hub { listen: address?, tls: tls?, callers, secrets: secrets?, tokens: tokens? })
}
