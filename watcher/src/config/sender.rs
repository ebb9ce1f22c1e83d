//! The `senders:` of the webhook: who may deliver, what proves that it is they, and what of theirs counts.
//!
//! Which sender there is, what it proves itself by and what its messages can be told apart by is the table
//! [`SENDERS`]; how each is read, `http/senders` knows.

use std::path::PathBuf;

use super::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong, listed, nearest, quoted},
    scalar, secret,
};
use crate::model::NamePattern;

/// The kinds of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The product's own form, as `curl` in a pipeline sends it.
    Plain,
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
    /// Flux's notification controller, `generic` and `generic-hmac`.
    Flux,
    /// Argo CD's notifications.
    Argocd,
    /// Standard Webhooks that carry the plain form.
    Standard,
    /// CloudEvents that carry the plain form.
    Cloudevents,
}

impl Sender {
    /// The name, as in the configuration and in the path.
    pub fn as_str(self) -> &'static str {
        SENDERS.iter().find(|known| known.sender == self).map_or("", |known| known.name)
    }

    /// The sender of this name.
    pub fn named(name: &str) -> Option<Sender> {
        SENDERS.iter().find(|known| known.name == name).map(|known| known.sender)
    }
}

/// What a sender proves itself by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Secrets that sign (`secrets:`).
    Secrets,
    /// Tokens that are sent as they are (`tokens:`).
    Tokens,
    /// `user:password`, sent as it is (`basic:`).
    Basic,
}

impl Proof {
    /// The field for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Secrets => "secrets",
            Proof::Tokens => "tokens",
            Proof::Basic => "basic",
        }
    }
}

/// One sender, with its credentials: any of them opens, so that one can follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name: its messages are taken at `/webhook/gitops/NAME` too.
    pub name: Box<str>,
    /// Who sends.
    pub sender: Sender,
    /// By what it proves itself.
    pub proof: Proof,
    /// The files with it, at least one.
    pub files: Vec<PathBuf>,
    /// What of its messages counts.
    pub only: Only,
    /// Whether a message without a time is refused (`require_dated:`).
    pub require_dated: bool,
    /// Whether its messages may say which value is right (`declared:`).
    pub declared: bool,
}

/// What of a sender's messages counts. Of each list that is there one pattern must match; a message that does not say
/// matches none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// The applications.
    pub apps: Option<Vec<NamePattern>>,
    /// The environments.
    pub environments: Option<Vec<NamePattern>>,
    /// The repositories.
    pub repositories: Option<Vec<NamePattern>>,
    /// The branches, or other refs.
    pub branches: Option<Vec<NamePattern>>,
    /// The workflows, by name or path.
    pub workflows: Option<Vec<NamePattern>>,
}

/// A sender, as the configuration knows it.
struct Known {
    name: &'static str,
    sender: Sender,
    /// What it can prove itself by, the strongest first.
    proofs: &'static [Proof],
    /// What its messages can be told apart by.
    lists: &'static [&'static str],
    /// Whether it carries the plain form, with a time of the sender's own making and values.
    dated: bool,
}

const ALL: &[&str] = &["apps", "environments", "repositories", "branches"];
const SIGNED: &[Proof] = &[Proof::Secrets];

/// Every sender there is.
const SENDERS: [Known; 8] = [
    Known { name: "plain", sender: Sender::Plain, proofs: SIGNED, lists: ALL, dated: true },
    Known {
        name: "github",
        sender: Sender::Github,
        proofs: SIGNED,
        lists: &["apps", "environments", "repositories", "branches", "workflows"],
        dated: false,
    },
    Known {
        name: "gitlab",
        sender: Sender::Gitlab,
        proofs: &[Proof::Secrets, Proof::Tokens],
        lists: ALL,
        dated: false,
    },
    Known { name: "gitea", sender: Sender::Gitea, proofs: SIGNED, lists: &[], dated: false },
    Known {
        name: "flux",
        sender: Sender::Flux,
        proofs: &[Proof::Secrets, Proof::Tokens],
        lists: &["apps", "environments", "branches"],
        dated: false,
    },
    Known {
        name: "argocd",
        sender: Sender::Argocd,
        proofs: &[Proof::Tokens, Proof::Basic],
        lists: ALL,
        dated: false,
    },
    Known { name: "standard", sender: Sender::Standard, proofs: SIGNED, lists: ALL, dated: true },
    Known {
        name: "cloudevents",
        sender: Sender::Cloudevents,
        proofs: &[Proof::Tokens],
        lists: ALL,
        dated: true,
    },
];

/// The fields that are about what counts.
const LISTS: [&str; 5] = ["apps", "environments", "repositories", "branches", "workflows"];

/// The longest name, in characters: it is part of a path, and of each id that is remembered.
const NAME: usize = 64;

/// Checks the section.
pub(super) fn senders(section: &Entry, problems: &mut Problems) -> Vec<Credential> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map from names to senders").hint(format!("the senders are {}", names()));
        problems.push(section.value.span, section.value.kind(), wrong);
        return Vec::new();
    };
    if entries.is_empty() {
        let wrong = Wrong::new("at least one sender").hint(format!("the senders are {}", names()));
        problems.push(section.value.span, "an empty map", wrong);
    }
    let mut senders: Vec<Credential> = Vec::new();
    for entry in entries {
        let Some(new) = credential(entry, problems) else { continue };
        let shared = |old: &&Credential| {
            old.sender == new.sender && old.files.iter().any(|file| new.files.contains(file))
        };
        if let Some(old) = senders.iter().find(shared) {
            let wrong = Wrong::new("credentials of its own")
                .hint(format!("with the same file it cannot be told from `{}`, which comes first", old.name));
            problems.push(entry.name.span, format!("`{}` with a file of another", new.name), wrong);
        }
        senders.push(new);
    }
    senders
}

fn names() -> String {
    listed(SENDERS.iter().map(|known| known.name))
}

fn credential(entry: &Entry, problems: &mut Problems) -> Option<Credential> {
    let name = &*entry.name.text;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > NAME || !name.bytes().all(fits) {
        let wrong = Wrong::new(format!("a sender's name: 1 to {NAME} letters, digits, `_` and `-`"));
        problems.push(entry.name.span, quoted(name), wrong);
    }
    let Tree::Map(fields) = &entry.value.tree else {
        let wrong =
            Wrong::new("a map with the sender's credentials").hint("as in `github: { secrets: FILE }`");
        problems.push(entry.value.span, entry.value.kind(), wrong);
        return None;
    };
    let known = kind(entry, fields, problems)?;
    let credential = read(entry, fields, known, problems);
    if credential.is_none()
        && !fields.iter().any(|field| known.proofs.iter().any(|p| p.as_str() == &*field.name.text))
    {
        let proofs = known.proofs.iter().map(|proof| proof.as_str());
        let wrong = Wrong::new(format!("{} in it", either(proofs)))
            .hint("the file with what the sender proves itself by; without it nothing is accepted");
        problems.push(entry.name.span, format!("`{name}` without credentials"), wrong);
    }
    credential
}

/// Which sender an entry is about: its `sender:`, or its own name.
fn kind(entry: &Entry, fields: &[Entry], problems: &mut Problems) -> Option<&'static Known> {
    let by_name = SENDERS.iter().find(|known| *known.name == *entry.name.text);
    let Some(field) = fields.iter().find(|field| &*field.name.text == "sender") else {
        if by_name.is_none() {
            let near = nearest(&entry.name.text, SENDERS.iter().map(|known| known.name));
            let wrong = Wrong::new("a sender's name, or `sender` in it").hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("say which it is, as in `sender: github`; the senders are {}", names()),
            });
            problems.push(entry.name.span, quoted(&entry.name.text), wrong);
        }
        return by_name;
    };
    let choices = SENDERS.each_ref().map(|known| (known.name, known));
    let known = scalar::choice(&field.value, &choices, problems)?;
    if by_name.is_some_and(|by_name| by_name.sender != known.sender) {
        let wrong = Wrong::new("a name that says what it is").hint("another name, or the sender it names");
        problems.push(
            entry.name.span,
            format!("`{}` for the sender `{}`", entry.name.text, known.name),
            wrong,
        );
    }
    Some(known)
}

fn read(entry: &Entry, fields: &[Entry], known: &Known, problems: &mut Problems) -> Option<Credential> {
    let mut only = Only::default();
    let mut proofs: Vec<(Proof, &Entry, Option<Vec<PathBuf>>)> = Vec::new();
    let (mut require_dated, mut declared) = (Some(false), Some(false));
    let proof_fields = known.proofs.iter().map(|proof| proof.as_str());
    let offered: Vec<&str> = ["sender"]
        .into_iter()
        .chain(proof_fields)
        .chain(known.lists.iter().copied())
        .chain(known.dated.then_some(["require_dated", "declared"]).into_iter().flatten())
        .collect();
    for field in fields {
        let name = &*field.name.text;
        if !offered.contains(&name) {
            refuse(field, known, &offered, problems);
            continue;
        }
        if let Some(proof) = known.proofs.iter().find(|proof| proof.as_str() == name) {
            proofs.push((*proof, field, files(&field.value, problems)));
            continue;
        }
        match name {
            "apps" => only.apps = patterns(&field.value, problems),
            "environments" => only.environments = patterns(&field.value, problems),
            "repositories" => only.repositories = patterns(&field.value, problems),
            "branches" => only.branches = patterns(&field.value, problems),
            "workflows" => only.workflows = patterns(&field.value, problems),
            "require_dated" => require_dated = scalar::boolean(&field.value, problems),
            "declared" => declared = scalar::boolean(&field.value, problems),
            _ => {}
        }
    }
    if let [_, (_, second, _), ..] = proofs.as_slice() {
        // A weaker proof beside a stronger one would be the one that counts.
        let wrong = Wrong::new("one kind of credentials for each sender")
            .hint(format!("write the other one as a sender of its own, with `sender: {}`", known.name));
        problems.push(second.name.span, format!("`{}` beside another kind", second.name.text), wrong);
    }
    let (proof, _, files) = proofs.into_iter().next()?;
    Some(Credential {
        name: (&*entry.name.text).into(),
        sender: known.sender,
        proof,
        files: files?,
        only,
        require_dated: require_dated?,
        declared: declared?,
    })
}

/// Notes a field that this sender does not have: because none has it, or because its messages say nothing about it.
fn refuse(field: &Entry, known: &Known, offered: &[&str], problems: &mut Problems) {
    let name = &field.name;
    let elsewhere = LISTS.contains(&&*name.text)
        || ["secrets", "tokens", "basic", "require_dated", "declared"].contains(&&*name.text);
    if !elsewhere {
        return secret::unknown(field, &format!("a field of the sender `{}`", known.name), offered, problems);
    }
    let wrong = Wrong::new(format!("a field of the sender `{}`", known.name))
        .hint(format!("known here: {}", listed(offered.iter().copied())));
    problems.push(name.span, quoted(&name.text), wrong);
}

/// One file or a list of them.
pub(super) fn files(node: &Node, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    let none = Wrong::new("at least one file").hint("without a secret nothing is accepted");
    scalar::one_or_more(node, none, problems, secret::file)
}

/// One pattern or a list of them. A mistake leaves a list that matches nothing: the mistake is what is told.
pub(super) fn patterns(node: &Node, problems: &mut Problems) -> Option<Vec<NamePattern>> {
    const WANTED: &str = "a name, in which `*` is any run of characters";
    let mut pattern = |node: &Node| {
        scalar::value(node, WANTED, problems, |text| match text {
            "" => Err(Wrong::new(WANTED)),
            text => Ok(NamePattern::new(text)),
        })
    };
    Some(match &node.tree {
        Tree::List(nodes) if nodes.is_empty() => {
            let wrong = Wrong::new("at least one name").hint("leave the field out, and everything counts");
            problems.push(node.span, "an empty list", wrong);
            Vec::new()
        }
        Tree::List(nodes) => nodes.iter().filter_map(pattern).collect(),
        _ => pattern(node).into_iter().collect(),
    })
}

/// `a` or `b`, each in backticks.
fn either<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}
