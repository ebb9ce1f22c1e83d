//! GitHub: deployment statuses, and runs and jobs of the workflows that the configuration names.
//!
//! Field paths as in octokit/webhooks; nothing here decides whether a repository or a branch counts.

use std::borrow::Cow;

use hyper::header::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    field::{self, NAME, URL, Unreadable},
    table::{Announced, Kind, Manner, Outcome, Workflow, header, is_form},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{PLAIN, Scheme, Signed, Spelling},
    model::{Announcement, OWN_STATUS, Phase, Revision},
};

/// How GitHub comes. The SHA-1 it sends beside the SHA-256 is not looked at.
pub const KIND: Kind = Kind {
    sender: Sender::Github,
    recognised: |headers| headers.contains_key("x-github-event"),
    schemes: &[(Proof::Secrets, Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 })],
    delivery: &["x-github-delivery"],
    manner: Manner::Hook,
    parse,
};

/// What of the events is looked at.
#[derive(Deserialize)]
struct Event {
    action: Option<String>,
    repository: Option<Repository>,
    deployment: Option<Deployment>,
    deployment_status: Option<Status>,
    workflow: Option<Named>,
    workflow_run: Option<Run>,
    workflow_job: Option<Job>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Deployment {
    sha: Option<String>,
    r#ref: Option<String>,
    environment: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    state: Option<String>,
    description: Option<String>,
    environment: Option<String>,
    updated_at: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Run {
    name: Option<String>,
    path: Option<String>,
    event: Option<String>,
    head_sha: Option<String>,
    head_branch: Option<String>,
    head_repository: Option<Repository>,
    conclusion: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Job {
    workflow_name: Option<String>,
    head_sha: Option<String>,
    head_branch: Option<String>,
    conclusion: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
}

fn parse(headers: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    let kind = header(headers, "x-github-event").ok_or(Unreadable::Missing("X-GitHub-Event"))?;
    let of_deployments = ["deployment_status", "workflow_run", "workflow_job"];
    if !of_deployments.contains(&kind) {
        return Ok(match kind {
            "ping" => Outcome::ignored("a ping: the hook is set up"),
            "deployment" => Outcome::ignored("a deployment is asked for, and has not begun"),
            other => Outcome::ignored_as("the event is no deployment's", other),
        });
    }
    let event: Event = field::json(&payload(headers, signed.body())?)?;
    let delivery = header(headers, "x-github-delivery").map(str::to_owned);
    let id = field::text("X-GitHub-Delivery", delivery, NAME)?;
    match kind {
        "deployment_status" => deployment_status(event, id, signed),
        "workflow_run" => workflow_run(event, id, signed),
        _ => workflow_job(event, id, signed),
    }
}

/// The JSON of the event, which a hook of the other content type wraps in a form. What was signed is the form
/// (docs.github.com, "Validating webhook deliveries").
fn payload<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Unreadable> {
    if !is_form(headers) {
        return Ok(body.into());
    }
    let field = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    let (_, payload) = field.ok_or(Unreadable::Missing("payload"))?;
    Ok(payload.into_owned().into_bytes().into())
}

/// What all of them say alike.
struct Told {
    commit: Revision,
    phase: Phase,
    environment: Option<String>,
    reference: Option<String>,
    repository: Option<Repository>,
    workflow: Option<Workflow>,
    timestamp: Option<Timestamp>,
}

fn announced(told: Told, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let name = told.repository.and_then(|repository| repository.full_name);
    let repo = field::text("repository.full_name", name, URL)?;
    let announcement = Announcement {
        commit: told.commit,
        // A repository is the one application that GitHub knows of.
        app: field::text("repository.full_name", repo.clone(), NAME)?,
        phase: told.phase,
        id,
        timestamp: told.timestamp,
        environment: field::text("environment", told.environment, NAME)?,
        reference: field::text("ref", told.reference, NAME)?,
        repo,
        declared: None,
        digest: field::digest(signed),
    };
    Ok(Outcome::Deployment(Box::new(Announced { announcement, workflow: told.workflow })))
}

fn deployment_status(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let status = event.deployment_status.ok_or(Unreadable::Missing("deployment_status"))?;
    let deployment = event.deployment.ok_or(Unreadable::Missing("deployment"))?;
    // It says that what was deployed is not in force; taken for a deploy that failed, it would undo that it is expected.
    if status.description.as_deref().is_some_and(|description| description.starts_with(OWN_STATUS)) {
        return Ok(Outcome::ignored("a driftd set the deployment's status"));
    }
    let phase = match status.state.as_deref().unwrap_or_default() {
        "in_progress" => Phase::Started,
        "success" => Phase::Finished,
        "failure" | "error" => Phase::Failed,
        // `queued`, `pending`, `waiting`: nothing runs yet. `inactive`: another one took its place.
        other => return Ok(Outcome::ignored_as("the deployment's state moves nothing", other)),
    };
    let at = status.updated_at.as_deref().or(status.created_at.as_deref());
    // Deployments that a workflow made say which.
    let run = event.workflow_run.map(|run| (run.name, run.path));
    let named = event.workflow.map(|workflow| (workflow.name, workflow.path));
    let told = Told {
        commit: field::commit("deployment.sha", deployment.sha.as_deref())?,
        phase,
        // Payloads of old do not have it in the status.
        environment: status.environment.or(deployment.environment),
        reference: deployment.r#ref,
        repository: event.repository,
        workflow: named.or(run).map(|(name, path)| Workflow { name, path, is_run: false }),
        timestamp: field::time("deployment_status.updated_at", at)?,
    };
    announced(told, id, signed)
}

/// The phase that an action and a conclusion tell; nothing where neither began nor ended anything.
fn phase(action: Option<&str>, conclusion: Option<&str>) -> Option<Phase> {
    match (action?, conclusion) {
        ("in_progress", _) => Some(Phase::Started),
        ("completed", Some("success")) => Some(Phase::Finished),
        ("completed", Some("failure" | "cancelled" | "timed_out" | "startup_failure")) => Some(Phase::Failed),
        _ => None,
    }
}

/// The reason for what [`phase`] finds nothing in.
const NOTHING_MOVED: &str = "the run neither began, nor ended with success or failure";

fn workflow_run(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let run = event.workflow_run.ok_or(Unreadable::Missing("workflow_run"))?;
    let Some(phase) = phase(event.action.as_deref(), run.conclusion.as_deref()) else {
        return Ok(Outcome::ignored_as(NOTHING_MOVED, event.action.as_deref().unwrap_or_default()));
    };
    // A fork's run has its own code in it, and the name of our workflow.
    let (Some(repository), Some(head)) = (&event.repository, &run.head_repository) else {
        return Ok(Outcome::ignored("the run does not say from which repository it is"));
    };
    if repository.full_name != head.full_name {
        let fork = head.full_name.as_deref().unwrap_or_default();
        return Ok(Outcome::ignored_as("the run is a fork's", fork));
    }
    if run.event.as_deref().is_none_or(|event| event.starts_with("pull_request")) {
        return Ok(Outcome::ignored("the run is a pull request's"));
    }
    let named = event.workflow;
    let path = run.path.or(named.as_ref().and_then(|workflow| workflow.path.clone()));
    let name = run.name.filter(|name| !name.is_empty()).or(named.and_then(|workflow| workflow.name));
    let told = Told {
        commit: field::commit("workflow_run.head_sha", run.head_sha.as_deref())?,
        phase,
        environment: None,
        reference: run.head_branch,
        repository: event.repository,
        workflow: Some(Workflow { name, path, is_run: true }),
        timestamp: field::time("workflow_run.updated_at", run.updated_at.as_deref())?,
    };
    announced(told, id, signed)
}

/// A job counts where it deploys to an environment: the end of any other says nothing about the whole run.
fn workflow_job(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let job = event.workflow_job.ok_or(Unreadable::Missing("workflow_job"))?;
    let Some(phase) = phase(event.action.as_deref(), job.conclusion.as_deref()) else {
        return Ok(Outcome::ignored_as(NOTHING_MOVED, event.action.as_deref().unwrap_or_default()));
    };
    let Some(deployment) = event.deployment else {
        return Ok(Outcome::ignored("the job deploys to no environment"));
    };
    let at = match phase {
        Phase::Started => ("workflow_job.started_at", job.started_at.as_deref()),
        Phase::Finished | Phase::Failed => ("workflow_job.completed_at", job.completed_at.as_deref()),
    };
    let told = Told {
        commit: field::commit("deployment.sha", deployment.sha.as_deref().or(job.head_sha.as_deref()))?,
        phase,
        environment: deployment.environment,
        // What is deployed may be another ref than the one the workflow ran for, and `branches` is about the run.
        reference: job.head_branch.or(deployment.r#ref),
        repository: event.repository,
        workflow: Some(Workflow { name: job.workflow_name, path: None, is_run: true }),
        timestamp: field::time(at.0, at.1)?,
    };
    announced(told, id, signed)
}
