//! The `webhook:` section: where deployments are announced, and what proves that they are authentic.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    callers::{Callers, networks},
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar, secret,
    sender::{self, Credential, Only, Proof, Sender},
};

/// The listener for deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address it listens on.
    pub listen: SocketAddr,
    /// How it speaks.
    pub tls: Tls,
    /// Whose connections are taken.
    pub callers: Callers,
    /// Who may deliver; at least one. The `secrets:` of the section itself are those of the plain form.
    pub credentials: Vec<Credential>,
}

impl Credential {
    /// The plain form, signed by the secrets in these files: what `secrets:` of the section itself means.
    pub fn plain(files: Vec<PathBuf>) -> Credential {
        Credential {
            name: Sender::Plain.as_str().into(),
            sender: Sender::Plain,
            proof: Proof::Secrets,
            files,
            only: Only::default(),
            require_dated: false,
            declared: false,
        }
    }
}

/// How the listener speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP, on a loopback address only.
    Plain,
    /// With a certificate that the daemon makes for itself.
    SelfSigned,
    /// With these.
    Files {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
}

pub(super) const FIELDS: [&str; 8] =
    ["listen", "secrets", "senders", "certificate", "key", "plain_http", "allow", "proxies"];

#[derive(Default)]
struct Written<'n> {
    listen: Option<&'n Entry<'n>>,
    secrets: Option<&'n Entry<'n>>,
    senders: Option<&'n Entry<'n>>,
    speech: Speech<'n>,
}

/// The fields that say how a listener speaks.
#[derive(Default)]
pub(super) struct Speech<'n> {
    pub certificate: Option<&'n Entry<'n>>,
    pub key: Option<&'n Entry<'n>>,
    pub plain_http: Option<&'n Entry<'n>>,
}

/// Checks the section. Nothing where there was a mistake.
pub(super) fn webhook(section: &Entry, problems: &mut Problems) -> Option<Webhook> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map with `listen` and `secrets`");
        problems.push(section.value.span, section.value.described(), wrong);
        return None;
    };
    let mut written = Written::default();
    let mut callers = Callers::default();
    for entry in entries {
        match &*entry.name.text {
            "listen" => written.listen = Some(entry),
            "secrets" => written.secrets = Some(entry),
            "senders" => written.senders = Some(entry),
            "certificate" => written.speech.certificate = Some(entry),
            "key" => written.speech.key = Some(entry),
            "plain_http" => written.speech.plain_http = Some(entry),
            "allow" => callers.allow = networks(&entry.value, problems),
            "proxies" => callers.proxies = networks(&entry.value, problems).unwrap_or_default(),
            _ => secret::unknown(entry, "a field of `webhook`", &FIELDS, problems),
        }
    }
    let mut missing = |field: &str, hint: &str| {
        let wrong = Wrong::new(format!("`{field}` in it")).hint(hint);
        problems.push(section.name.span, format!("`webhook` without `{field}`"), wrong);
    };
    if written.listen.is_none() {
        missing("listen", "an address and a port, as in `listen: 127.0.0.1:8443`");
    }
    if written.secrets.is_none() && written.senders.is_none() {
        missing(
            "secrets",
            "the file with the secret that senders sign with; without one nothing is accepted",
        );
    }
    let listen = written.listen.and_then(|entry| listen(&entry.value, problems));
    let mut credentials = written.senders.map_or_else(Vec::new, |entry| sender::senders(entry, problems));
    if let Some(entry) = written.secrets {
        if credentials.iter().any(|credential| &*credential.name == Sender::Plain.as_str()) {
            let wrong = Wrong::new("one of the two").hint("move the files into the `secrets` of `plain`");
            problems.push(entry.name.span, "`secrets` next to the sender `plain`", wrong);
        }
        credentials.splice(0..0, sender::files(&entry.value, problems).map(Credential::plain));
    }
    let tls = tls(&written.speech, listen, problems);
    Some(Webhook { listen: listen?, tls: tls?, callers, credentials })
}

pub(super) fn listen(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    const WANTED: &str = "an IP address and a port, as in `127.0.0.1:8443`";
    scalar::value(node, WANTED, problems, |text| {
        text.parse().map_err(|_| match text.trim_start_matches(':').parse::<u16>() {
            Ok(port) => Wrong::new(WANTED)
                .hint(format!("`127.0.0.1:{port}` for this host alone, `0.0.0.0:{port}` for the network")),
            Err(_) => Wrong::new(WANTED).hint("an address and not a name; IPv6 as in `\"[::1]:8443\"`"),
        })
    })
}

pub(super) fn tls(written: &Speech<'_>, listen: Option<SocketAddr>, problems: &mut Problems) -> Option<Tls> {
    let certificate = written.certificate.and_then(|entry| scalar::path(&entry.value, problems));
    let key = written.key.and_then(|entry| scalar::path(&entry.value, problems));
    let lone = match (written.certificate, written.key) {
        (Some(certificate), None) => Some((certificate, "`key`")),
        (None, Some(key)) => Some((key, "`certificate`")),
        _ => None,
    };
    if let Some((entry, other)) = lone {
        let wrong = Wrong::new(format!("{other} beside it"));
        problems.push(entry.name.span, format!("`{}` alone", entry.name.text), wrong);
    }
    let plain = match written.plain_http {
        Some(entry) => scalar::boolean(&entry.value, problems)?.then_some(entry),
        None => None,
    };
    if let Some(plain) = plain {
        if written.certificate.is_some() || written.key.is_some() {
            let wrong = Wrong::new("one of the two").hint("plain HTTP needs no certificate; remove either");
            problems.push(plain.name.span, "`plain_http` next to a certificate", wrong);
        }
        if let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) {
            let wrong = Wrong::new("a loopback address, as in `127.0.0.1`").hint(
                "plain HTTP does not leave the host: remove `plain_http`, or let a proxy on this host speak TLS",
            );
            problems.push(plain.name.span, format!("`plain_http` on `{}`", listen.ip()), wrong);
        }
        return Some(Tls::Plain);
    }
    match (written.certificate, written.key) {
        (None, None) => Some(Tls::SelfSigned),
        _ => Some(Tls::Files { certificate: certificate?, key: key? }),
    }
}
