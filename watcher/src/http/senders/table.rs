//! The one table of senders, and what each of them is: how it is told by its headers, by what it proves itself, and
//! who reads its messages.

use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::{
    argocd, cloudevents,
    field::{Unreadable, excerpt},
    flux, gitea, github, gitlab, plain, standard,
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed},
    model::{Announcement, Refusal},
};

/// Every sender, in the order they are asked whether a request is theirs: Gitea and Forgejo send GitHub's headers too,
/// and GitLab those of Standard Webhooks. The plain form is what remains.
const TABLE: [&Kind; 8] = [
    &gitea::KIND,
    &github::KIND,
    &gitlab::KIND,
    &flux::KIND,
    &argocd::KIND,
    &cloudevents::KIND,
    &standard::KIND,
    &plain::KIND,
];

/// A sender.
pub struct Kind {
    /// Which.
    pub sender: Sender,
    /// Whether a request is its, by its headers.
    pub recognised: fn(&HeaderMap) -> bool,
    /// By what it proves itself, the strongest first.
    pub schemes: &'static [(Proof, Scheme)],
    /// The headers that may bear its own name for the message, the best first: for the log.
    pub delivery: &'static [&'static str],
    /// How it is answered.
    pub manner: Manner,
    /// Reads an authentic message.
    pub parse: fn(&HeaderMap, &Signed) -> Result<Outcome, Unreadable>,
}

/// How a sender is answered where its message is authentic and counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is a step of a pipeline, whose author should see that something is wrong: it is refused.
    Step,
    /// It is a hook that sends whatever happens. It is told that it was ignored, with 200: GitLab counts each 4xx,
    /// and after forty disables the hook for good.
    Hook,
}

/// What an authentic message is.
#[derive(Debug)]
pub enum Outcome {
    /// It tells of a deployment.
    Deployment(Box<Announced>),
    /// It tells of something else.
    Ignored(Ignored),
}

/// A deployment that a message tells of, before it is known whether it counts.
#[derive(Debug)]
pub struct Announced {
    /// What it says.
    pub announcement: Announcement,
    /// The workflow that speaks, where it is one.
    pub workflow: Option<Workflow>,
}

/// A workflow of GitHub.
#[derive(Debug)]
pub struct Workflow {
    /// Its name.
    pub name: Option<String>,
    /// Its file.
    pub path: Option<String>,
    /// Whether the message is about a run of it. Most workflows deploy nothing: such a message counts only where the
    /// configuration names the workflow and the branch.
    pub is_run: bool,
}

/// Why an authentic message counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Why: one of few texts, because messages are counted by it.
    pub reason: &'static str,
    /// What it was about, from the message.
    pub detail: Option<String>,
}

impl Ignored {
    /// What the ledger refused of a hook. It is told like what counts for nothing, so that the hook is not disabled.
    pub fn refused(refusal: &Refusal) -> Ignored {
        let reason = match refusal {
            Refusal::Stale { .. } => "the message is dated more than five minutes from the time here",
            Refusal::IdReused(_) => "the id came before with another content",
        };
        Ignored { reason, detail: refusal.to_string().lines().next().map(excerpt) }
    }
}

impl Outcome {
    /// The message is ignored, for this reason.
    pub fn ignored(reason: &'static str) -> Outcome {
        Outcome::Ignored(Ignored { reason, detail: None })
    }

    /// The message is ignored, for this reason and about this.
    pub fn ignored_as(reason: &'static str, detail: &str) -> Outcome {
        Outcome::Ignored(Ignored { reason, detail: Some(excerpt(detail)) })
    }
}

/// The kind of a sender.
pub fn of(sender: Sender) -> &'static Kind {
    TABLE.into_iter().find(|kind| kind.sender == sender).unwrap_or(&plain::KIND)
}

/// The sender that a request comes from, by its headers.
pub fn recognise(headers: &HeaderMap) -> &'static Kind {
    TABLE.into_iter().find(|kind| (kind.recognised)(headers)).unwrap_or(&plain::KIND)
}

/// The sender's own name for a message, for the log; nobody vouches for it.
pub fn delivery(headers: &HeaderMap) -> Option<String> {
    let mut names = TABLE.into_iter().flat_map(|kind| kind.delivery);
    let value = names.find_map(|name| headers.get(*name))?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().take(80).flat_map(char::escape_debug).collect())
}

/// Whether the body is a form, by its content type; no type's case counts (RFC 9110, section 8.3.1).
pub fn is_form(headers: &HeaderMap) -> bool {
    let form = "application/x-www-form-urlencoded";
    let kind = header(headers, CONTENT_TYPE.as_str()).and_then(|kind| kind.get(..form.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(form))
}

/// One header, where it is there once and is text.
pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}
