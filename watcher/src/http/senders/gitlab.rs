//! GitLab: deployments, jobs that deploy to an environment, and pipelines with one such job.
//!
//! Field paths as in its `webhook_events.md`.

use hyper::header::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    field::{self, NAME, URL, Unreadable},
    table::{Announced, Kind, Manner, Outcome, header},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed},
    model::{Announcement, Phase, Revision},
};

/// How GitLab comes: with a signing token (since 2026), with a secret token, or with both
/// (gitlabhq app/services/web_hook_service.rb).
pub const KIND: Kind = Kind {
    sender: Sender::Gitlab,
    recognised: |headers| headers.contains_key("x-gitlab-event"),
    schemes: &[
        (Proof::Secrets, Scheme::Standard),
        (Proof::Tokens, Scheme::Token { header: "X-Gitlab-Token" }),
    ],
    delivery: &["idempotency-key", "x-gitlab-event-uuid"],
    manner: Manner::Hook,
    parse,
};

/// Which event it is. The rest is read by it: what others call `status` or `environment` may be anything.
#[derive(Deserialize)]
struct What {
    object_kind: Option<String>,
}

/// What of the events is looked at.
#[derive(Deserialize)]
struct Event {
    project: Option<Project>,
    // Of a deployment.
    status: Option<String>,
    status_changed_at: Option<String>,
    environment: Option<Environment>,
    short_sha: Option<String>,
    commit_url: Option<String>,
    // Of a job.
    project_name: Option<String>,
    r#ref: Option<String>,
    sha: Option<String>,
    build_status: Option<String>,
    build_finished_at_iso: Option<String>,
    build_finished_at: Option<String>,
    // Of a pipeline.
    object_attributes: Option<Pipeline>,
    merge_request: Option<MergeRequest>,
    builds: Option<Vec<Build>>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: Option<String>,
}

/// A deployment has the name, a job a map with the name.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(untagged)]
enum Environment {
    Name(String),
    Of { name: Option<String>, action: Option<String> },
}

#[derive(Deserialize)]
struct Pipeline {
    sha: Option<String>,
    r#ref: Option<String>,
    status: Option<String>,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
struct MergeRequest {
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
}

#[derive(Deserialize)]
struct Build {
    status: Option<String>,
    environment: Option<Environment>,
}

impl Environment {
    /// Its name, where something is put there: other jobs only stop, prepare or look at it.
    fn deployed_to(self) -> Option<String> {
        match self {
            Environment::Name(name) => Some(name),
            Environment::Of { name, action } => {
                name.filter(|_| action.is_none_or(|action| action == "start"))
            }
        }
    }
}

fn parse(headers: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    let What { object_kind } = field::json(signed.body())?;
    let read: fn(Event, Option<String>, &Signed) -> Result<Outcome, Unreadable> =
        match object_kind.as_deref().unwrap_or_default() {
            "deployment" => deployment,
            "build" => job,
            "pipeline" => pipeline,
            other => return Ok(Outcome::ignored_as("the event is no deployment's", other)),
        };
    // A retry has a UUID of its own, and the key of the first.
    let key = ["idempotency-key", "x-gitlab-event-uuid"].into_iter().find_map(|name| header(headers, name));
    let id = signed.stamp().map(|stamp| stamp.id.clone()).or(key.map(str::to_owned));
    let id = field::text("Idempotency-Key", id, NAME)?;
    read(field::json(signed.body())?, id, signed)
}

/// What all of them say alike.
struct Told {
    commit: Revision,
    phase: Phase,
    environment: Option<String>,
    reference: Option<String>,
    project: Option<String>,
    at: Option<Timestamp>,
}

fn announced(told: Told, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let repo = field::text("project.path_with_namespace", told.project, URL)?;
    let announcement = Announcement {
        commit: told.commit,
        // A project is the one application that GitLab knows of.
        app: field::text("project.path_with_namespace", repo.clone(), NAME)?,
        phase: told.phase,
        id,
        // The body's own time is the sender's word only where the body is signed.
        timestamp: signed.stamp().map(|stamp| stamp.at).or(told.at.filter(|_| signed.covers_the_body())),
        environment: field::text("environment", told.environment, NAME)?,
        reference: field::text("ref", told.reference, NAME)?,
        repo,
        declared: None,
        digest: field::digest(signed),
    };
    Ok(Outcome::Deployment(Box::new(Announced { announcement, workflow: None })))
}

fn phase(status: &str) -> Option<Phase> {
    match status {
        "running" => Some(Phase::Started),
        "success" => Some(Phase::Finished),
        "failed" | "canceled" => Some(Phase::Failed),
        _ => None,
    }
}

/// The reason for what [`phase`] finds nothing in.
const NOTHING_MOVED: &str = "the status moves nothing";

fn deployment(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let status = event.status.unwrap_or_default();
    let Some(phase) = phase(&status) else { return Ok(Outcome::ignored_as(NOTHING_MOVED, &status)) };
    // The whole commit is only in the URL.
    let commit = event.commit_url.as_deref().and_then(|url| url.rsplit('/').next());
    let commit = field::commit("commit_url", commit)?;
    let short = event.short_sha.unwrap_or_default().to_ascii_lowercase();
    if !commit.as_str().starts_with(&short) {
        return Err(Unreadable::Form {
            found: "`commit_url` ends in another commit than `short_sha` names",
            wanted: "both must be of the same",
        });
    }
    let told = Told {
        commit,
        phase,
        environment: event.environment.and_then(Environment::deployed_to),
        reference: event.r#ref,
        project: event.project.and_then(|project| project.path_with_namespace),
        at: field::gitlab_time("status_changed_at", event.status_changed_at.as_deref())?,
    };
    announced(told, id, signed)
}

fn job(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let Some(environment) = event.environment.and_then(Environment::deployed_to) else {
        return Ok(Outcome::ignored("the job deploys to no environment"));
    };
    let status = event.build_status.unwrap_or_default();
    let Some(phase) = phase(&status) else { return Ok(Outcome::ignored_as(NOTHING_MOVED, &status)) };
    let finished = event.build_finished_at_iso.or(event.build_finished_at);
    let told = Told {
        // `commit.id` is the pipeline's number.
        commit: field::commit("sha", event.sha.as_deref())?,
        phase,
        environment: Some(environment),
        reference: event.r#ref,
        project: event.project.and_then(|project| project.path_with_namespace).or(event.project_name),
        at: field::gitlab_time("build_finished_at", finished.as_deref())?,
    };
    announced(told, id, signed)
}

fn pipeline(event: Event, id: Option<String>, signed: &Signed) -> Result<Outcome, Unreadable> {
    let pipeline = event.object_attributes.ok_or(Unreadable::Missing("object_attributes"))?;
    let status = pipeline.status.unwrap_or_default();
    if phase(&status) != Some(Phase::Finished) {
        return Ok(Outcome::ignored_as("the pipeline did not succeed, or not yet", &status));
    }
    if event.merge_request.is_some_and(|request| request.source_project_id != request.target_project_id) {
        return Ok(Outcome::ignored("the pipeline is a fork's"));
    }
    let succeeded = |build: Build| {
        let environment = build.environment.and_then(Environment::deployed_to);
        environment.filter(|_| build.status.as_deref() == Some("success"))
    };
    let mut environments: Vec<String> = event.builds.into_iter().flatten().filter_map(succeeded).collect();
    environments.sort_unstable();
    environments.dedup();
    let environment = match environments.len() {
        0 => return Ok(Outcome::ignored("no job of the pipeline deployed to an environment")),
        1 => environments.pop(),
        _ => {
            return Ok(Outcome::ignored_as(
                "the pipeline deployed to several environments; its deployment events name one each",
                &environments.join(", "),
            ));
        }
    };
    let told = Told {
        commit: field::commit("object_attributes.sha", pipeline.sha.as_deref())?,
        phase: Phase::Finished,
        environment,
        reference: pipeline.r#ref,
        project: event.project.and_then(|project| project.path_with_namespace),
        at: field::gitlab_time("object_attributes.finished_at", pipeline.finished_at.as_deref())?,
    };
    announced(told, id, signed)
}
