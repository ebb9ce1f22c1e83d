//! `driftd init`: makes what a first delivery needs, and says what is left to do at the sender's.
//!
//! Nothing that is there is written again: a second run makes what is missing, and says the same. No secret is printed.

mod made;
mod step;

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;

use self::made::{Made, put};
use super::exit;
use crate::{
    config::{self, Config, Credential, Proof, Tls},
    http::{self, PATH},
};

/// Who is to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sender {
    /// A step in any pipeline: Jenkins, CircleCI, Azure, Bitbucket, Woodpecker, Gitea, Forgejo, or GitHub's Action
    #[value(aliases = ["jenkins", "circleci", "azure", "bitbucket", "woodpecker", "gitea", "forgejo"])]
    Plain,
    /// GitHub's webhooks
    Github,
    /// GitLab's webhooks
    Gitlab,
    /// Argo CD's notifications
    Argocd,
    /// Flux's notification controller
    Flux,
    /// Whoever sends Standard Webhooks
    Standard,
    /// Whoever sends CloudEvents
    Cloudevents,
}

impl Sender {
    /// Who it is in the configuration, and its first way to prove itself that every version of it knows.
    fn configured(self) -> (config::Sender, Proof) {
        match self {
            Sender::Plain => (config::Sender::Plain, Proof::Secrets),
            Sender::Github => (config::Sender::Github, Proof::Secrets),
            Sender::Gitlab => (config::Sender::Gitlab, Proof::Tokens),
            Sender::Argocd => (config::Sender::Argocd, Proof::Tokens),
            Sender::Flux => (config::Sender::Flux, Proof::Secrets),
            Sender::Standard => (config::Sender::Standard, Proof::Secrets),
            Sender::Cloudevents => (config::Sender::Cloudevents, Proof::Tokens),
        }
    }
}

/// What is asked for.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Who is to deliver
    #[arg(long, value_enum, default_value_t = Sender::Plain)]
    pub sender: Sender,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// The name or address that senders reach this host by [default: what the host calls itself]
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub host: Option<String>,
    /// The directory for what driftd keeps
    #[arg(long, value_name = "DIR", default_value = "/var/lib/driftd")]
    pub state: PathBuf,
}

/// Makes a configuration, a credential and a certificate where there are none, and prints where to post and how.
///
/// # Errors
/// Something cannot be written, made, or read.
pub fn run(path: &Path, options: &Options, mut out: impl Write) -> anyhow::Result<u8> {
    let path = std::path::absolute(path).context("the working directory is gone")?;
    let (sender, proof) = options.sender.configured();
    let secret = path.with_file_name(format!("{}.{}", sender.as_str(), suffix(proof)));
    let state = std::path::absolute(&options.state).context("the working directory is gone")?;
    let text = configuration(options, &state, &secret);
    // What was there is what counts, whatever is asked for now.
    let there = path.try_exists().with_context(|| format!("cannot look for `{}`", path.display()))?;
    let config = match there {
        true => match super::load(&super::ConfigFile { config: Some(path.clone()) }) {
            Some(config) => config,
            None => return Ok(exit::USAGE),
        },
        false => config::parse(&path.display().to_string(), &text)?,
    };
    let Some((webhook, credential)) = configured(&config, sender) else {
        eprintln!("{}", not_there(&path, sender, proof, &secret));
        return Ok(exit::USAGE);
    };
    let Some(secret) = credential.files.first() else { bail!("a sender without a file was configured") };

    let mut made = vec![(
        Made::file(put(secret, new_credential(credential)?.as_bytes(), 0o600)?),
        what(credential.proof),
        secret.clone(),
    )];
    let host = options.host.clone().unwrap_or_else(|| own_name(webhook.listen.ip()));
    let certificate = match &webhook.tls {
        Tls::Plain => None,
        Tls::Files { certificate, .. } => Some((Made::Kept, certificate.clone())),
        Tls::SelfSigned => {
            let own = http::make_own(&config.state, webhook.listen.ip(), std::slice::from_ref(&host))?;
            Some((Made::file(own.made), own.certificate))
        }
    };
    made.extend(certificate.clone().map(|(made, path)| (made, "certificate", path)));
    // Last: where it is, all that it names is there.
    made.push((Made::file(put(&path, text.as_bytes(), 0o644)?), "configuration", path.clone()));
    for (made, what, path) in &made {
        writeln!(out, "{what:<14} {:<5} {}", made.as_str(), path.display())?;
    }
    let scheme = if webhook.tls == Tls::Plain { "http" } else { "https" };
    let bracketed = if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host };
    let mut url = format!("{scheme}://{bracketed}:{}{PATH}", webhook.listen.port());
    if sender != config::Sender::Plain {
        url = format!("{url}/{}", credential.name);
    }
    writeln!(out, "{:<20} {url}\n\nStart it, as root: driftd run --config {}\n", "webhook", path.display())?;
    let step = step::Step {
        sender: options.sender,
        url: &url,
        credential,
        secret,
        certificate: certificate.as_ref().map(|(_, path)| path.as_path()),
        is_our_own: webhook.tls == Tls::SelfSigned,
    };
    write!(out, "{step}")?;
    Ok(exit::IN_SYNC)
}

/// The listener and the first credential of this kind.
fn configured(config: &Config, sender: config::Sender) -> Option<(&config::Webhook, &Credential)> {
    let webhook = config.webhook.as_ref()?;
    Some((webhook, webhook.credentials.iter().find(|credential| credential.sender == sender)?))
}

/// What to do where the configuration is there and has no such sender.
fn not_there(path: &Path, sender: config::Sender, proof: Proof, secret: &Path) -> String {
    format!(
        "error: `{}` is there and lets no `{sender}` in, and init changes nothing that is there\n\
         hint: add this under `webhook:`, in `senders:`, and run it again\n\
         \n    {sender}: {{ {}: {} }}",
        path.display(),
        proof.as_str(),
        quoted(secret),
        sender = sender.as_str(),
    )
}

/// The configuration for a host that has none.
fn configuration(options: &Options, state: &Path, secret: &Path) -> String {
    let (sender, proof) = options.sender.configured();
    let (state, secret, proof) = (quoted(state), quoted(secret), proof.as_str());
    let senders = match options.sender {
        Sender::Plain => format!("{proof}: {secret}"),
        _ => format!("senders:\n    {}:\n      {proof}: {secret}", sender.as_str()),
    };
    format!(
        "# Made by `driftd init`, and yours to edit: it is never written again.\n\
         state: {state}\n\
         webhook:\n\
         \x20 listen: \"{}\"\n\
         \x20 {senders}\n\
         # What the host has when a deployment is confirmed is what is expected from then on; `expect:`, `min:` and\n\
         # others say it instead.\n\
         drift_rules:\n\
         \x20 memory_limits: vm.swappiness vm.overcommit_memory vm.overcommit_ratio\n\
         \x20 network_mtu: /sys/class/net/*/mtu\n\
         \x20 file_limits: fs.file-max fs.nr_open\n",
        options.listen
    )
}

/// A path as YAML takes every path: a string of JSON.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.display().to_string()).to_string()
}

/// What a file with such a thing is called.
fn suffix(proof: Proof) -> &'static str {
    match proof {
        Proof::Secrets => "secret",
        Proof::Tokens => "token",
        Proof::Basic => "basic",
    }
}

/// The same for people.
fn what(proof: Proof) -> &'static str {
    match proof {
        Proof::Basic => "user:password",
        Proof::Secrets | Proof::Tokens => suffix(proof),
    }
}

/// A new credential: 32 bytes of the kernel's, as its sender spells them.
fn new_credential(credential: &Credential) -> anyhow::Result<String> {
    let bytes = made::random()?;
    Ok(match (credential.sender, credential.proof) {
        (config::Sender::Standard, _) | (config::Sender::Gitlab, Proof::Secrets) => made::whsec(&bytes),
        (_, Proof::Basic) => format!("driftd:{}", made::hex(&bytes)),
        _ => made::hex(&bytes),
    })
}

/// What the host calls itself; where it listens for itself alone, that address.
fn own_name(listen: IpAddr) -> String {
    if listen.is_loopback() {
        return listen.to_string();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A name that goes into an address and a certificate.
fn host(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let is_name = !text.is_empty() && text.len() < 254 && text.bytes().all(fits);
    match is_name || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("a host's name or address is wanted, as in `db1.example`".to_owned()),
    }
}

#[cfg(test)]
mod tests;
