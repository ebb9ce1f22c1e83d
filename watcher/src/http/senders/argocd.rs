//! Argo CD: what a template of its notifications sends, either the form of docs/webhooks.md or the `Application` itself.

use hyper::header::HeaderMap;
use serde::Deserialize;

use super::{
    field::{self, NAME, URL, Unreadable},
    table::{Announced, Kind, Manner, Outcome},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed},
    model::{Announcement, Phase, Revision},
};

/// How Argo CD comes. Its templates cannot sign (notifications-engine pkg/services/webhook.go), and no header tells it
/// from others: it posts to a path of its own.
pub const KIND: Kind = Kind {
    sender: Sender::Argocd,
    recognised: |_| false,
    schemes: &[(Proof::Tokens, Scheme::Bearer), (Proof::Basic, Scheme::Basic)],
    delivery: &[],
    manner: Manner::Hook,
    parse,
};

/// Either form: in the one `app` is the name, in the other the object.
#[derive(Deserialize)]
struct Body {
    app: Option<App>,
    environment: Option<String>,
    status: Option<String>,
    health: Option<String>,
    repo: Option<String>,
    commit: Option<String>,
    revisions: Option<Vec<String>>,
    r#ref: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum App {
    Name(String),
    Object(Box<Application>),
}

#[derive(Deserialize)]
struct Application {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    source: Option<Source>,
    sources: Option<Vec<Source>>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "repoURL")]
    repo: Option<String>,
    #[serde(rename = "targetRevision")]
    target: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    health: Option<Health>,
    #[serde(rename = "operationState")]
    operation: Option<Operation>,
}

#[derive(Deserialize)]
struct Health {
    status: Option<String>,
}

#[derive(Deserialize)]
struct Operation {
    phase: Option<String>,
    #[serde(rename = "startedAt")]
    started_at: Option<String>,
    #[serde(rename = "finishedAt")]
    finished_at: Option<String>,
    #[serde(rename = "syncResult")]
    result: Option<SyncResult>,
}

#[derive(Deserialize)]
struct SyncResult {
    revision: Option<String>,
    revisions: Option<Vec<String>>,
}

/// The object in the words of the form.
fn flat(application: Application) -> Body {
    let status = application.status.unwrap_or(Status { health: None, operation: None });
    let none = Operation { phase: None, started_at: None, finished_at: None, result: None };
    let Operation { phase, started_at, finished_at, result } = status.operation.unwrap_or(none);
    let (commit, revisions) = result.map_or((None, None), |result| (result.revision, result.revisions));
    let source = application
        .spec
        .and_then(|spec| spec.source.or_else(|| spec.sources.and_then(|sources| sources.into_iter().next())));
    let (repo, reference) = source.map_or((None, None), |source| (source.repo, source.target));
    Body {
        app: application.metadata.name.map(App::Name),
        environment: None,
        status: phase,
        health: status.health.and_then(|health| health.status),
        repo,
        commit,
        revisions,
        r#ref: reference,
        started_at,
        finished_at,
    }
}

/// What a template says where there is something: of a field that is not there Go writes `<no value>`
/// (text/template, "missingkey").
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != "<no value>")
}

fn parse(_: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    let body: Body = field::json(signed.body())?;
    let body = match body.app {
        Some(App::Object(application)) => flat(*application),
        _ => body,
    };
    let Some(App::Name(app)) = body.app else { return Err(Unreadable::Missing("app")) };
    let status = said(body.status).unwrap_or_default();
    let health = said(body.health).unwrap_or_default();
    let phase = match (&*status, &*health) {
        ("Running", _) => Phase::Started,
        ("Succeeded", "Healthy") => Phase::Finished,
        ("Failed" | "Error", _) => Phase::Failed,
        ("Succeeded", health) => {
            return Ok(Outcome::ignored_as("the application is synced and not healthy", health));
        }
        (status, _) => return Ok(Outcome::ignored_as("the phase of the sync moves nothing", status)),
    };
    let Some(commit) = revision(said(body.commit), body.revisions)? else {
        return Ok(Outcome::ignored("the message names no revision"));
    };
    let began = field::time("started_at", said(body.started_at).as_deref())?;
    let ended = field::time("finished_at", said(body.finished_at).as_deref())?;
    // It has no id: which application's sync is where is one. A sync is told from the next one by when it began, because
    // one that runs has no end yet; a template of old knows the end alone.
    let id = began.or(ended).map(|time| format!("{app} {commit} {status} {time}"));
    let announcement = Announcement {
        app: field::text("app", Some(app), NAME)?,
        phase,
        id: field::text("started_at", id, 3 * NAME)?,
        // Nothing is signed, so that no time is anybody's word.
        timestamp: None,
        environment: field::text("environment", said(body.environment), NAME)?,
        reference: field::text("ref", said(body.r#ref), NAME)?,
        repo: field::text("repo", said(body.repo), URL)?,
        declared: None,
        digest: field::digest(signed),
        commit,
    };
    Ok(Outcome::Deployment(Box::new(Announced { announcement, workflow: None })))
}

/// The revision; of an application with several sources the first that is a commit, else the first.
fn revision(commit: Option<String>, all: Option<Vec<String>>) -> Result<Option<Revision>, Unreadable> {
    let is_commit =
        |text: &str| [40, 64].contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let all: Vec<String> =
        commit.into_iter().chain(all.into_iter().flatten()).filter(|text| !text.is_empty()).collect();
    let first = all.iter().find(|text| is_commit(text)).or(all.first());
    let read = |text: &String| match text {
        text if is_commit(text) => Revision::git(text),
        text if text.starts_with("sha256:") => Revision::oci(text),
        text => Revision::chart(text),
    };
    first.map(read).transpose().map_err(|why| Unreadable::Revision { field: "commit", why })
}
