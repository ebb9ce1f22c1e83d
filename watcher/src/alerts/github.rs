//! GitHub: what it is asked, and what its answers mean. The statuses of what was delivered are set here; `issues` keeps
//! the issues.
//!
//! Each call may be made again: a status that is set twice is the same status.

mod issues;

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    message::Letterhead,
    patience::Answer,
    post::{Answered, Post, PostError, judged},
    render::{clean, value},
};
use crate::{
    config,
    model::{OWN_STATUS, Revision, Verdict, VerdictStatus, What},
    store::Message,
};

/// The longest description of a status, in characters (docs.github.com, "Create a commit status").
const DESCRIPTION: usize = 140;

/// The whole name of a commit: GitHub takes no shorter one for a status.
const WHOLE: usize = 40;

/// A repository of GitHub.
pub struct Github {
    post: Post,
    settings: config::Github,
}

/// What is looked at of a commit, a deployment and a status.
#[derive(Deserialize)]
struct Commit {
    sha: String,
}

#[derive(Deserialize)]
struct Deployment {
    id: u64,
}

#[derive(Deserialize)]
struct Status {
    description: Option<String>,
}

impl Github {
    /// The repository of these settings.
    ///
    /// # Errors
    /// A file that it needs cannot be read or used.
    pub fn new(settings: &config::Github, limit: std::time::Duration) -> Result<Github, PostError> {
        Ok(Github { post: Post::new(&settings.api, limit)?, settings: settings.clone() })
    }

    /// Sets the statuses of what a verdict is about.
    pub async fn tell(&self, sent: &Message, head: &Letterhead) -> Answer {
        let What::Verdict(verdict) = &sent.row.entry.what else { return Answer::Taken };
        // What another repository delivered is not to be found in this one.
        let other =
            sent.beneath.repo.as_deref().is_some_and(|repo| !is_repository(repo, &self.settings.repository));
        if other || verdict.commit.as_str().contains(':') {
            return Answer::Taken;
        }
        match self.set(verdict, sent.beneath.environment.as_deref(), head).await {
            Ok(()) => Answer::Taken,
            Err(answer) => answer,
        }
    }

    async fn set(
        &self,
        verdict: &Verdict,
        environment: Option<&str>,
        head: &Letterhead,
    ) -> Result<(), Answer> {
        let Commit { sha } = self.whole(&verdict.commit).await?;
        let synced = verdict.status == VerdictStatus::Synced;
        let description = clean(&format!("{OWN_STATUS}{}: {}", head.server, summary(verdict)));
        let description = shortened(&description, DESCRIPTION);
        let state = if synced { "success" } else { "failure" };
        if self.settings.commit_status {
            let body = json!({
                "state": state,
                "context": format!("driftd/{}", head.server),
                "description": description,
            });
            self.call::<Value>(Method::POST, &format!("/statuses/{sha}"), Some(&body)).await?;
        }
        if !self.settings.deployment_status {
            return Ok(());
        }
        let mut query = form_urlencoded::Serializer::new("?per_page=1".to_owned());
        query.append_pair("sha", &sha);
        if let Some(environment) = environment {
            query.append_pair("environment", environment);
        }
        let path = format!("/deployments{}", query.finish());
        let deployments: Vec<Deployment> = self.call(Method::GET, &path, None).await?;
        // A commit may be delivered by other ways than a deployment of GitHub's.
        let Some(Deployment { id }) = deployments.first() else { return Ok(()) };
        let statuses = format!("/deployments/{id}/statuses");
        // That this host is in sync says nothing of the others: it only takes back what this host said.
        if synced && !self.is_ours(&statuses, head).await? {
            return Ok(());
        }
        let body = json!({ "state": state, "description": description, "auto_inactive": false });
        self.call::<Value>(Method::POST, &statuses, Some(&body)).await.map(drop)
    }

    /// Whether the last status of a deployment is one that this host set.
    async fn is_ours(&self, statuses: &str, head: &Letterhead) -> Result<bool, Answer> {
        let last: Vec<Status> = self.call(Method::GET, &format!("{statuses}?per_page=1"), None).await?;
        let ours = format!("{OWN_STATUS}{}: ", head.server);
        Ok(last.first().and_then(|status| status.description.as_ref()).is_some_and(|d| d.starts_with(&ours)))
    }

    /// The whole name of a commit.
    async fn whole(&self, commit: &Revision) -> Result<Commit, Answer> {
        match commit.as_str() {
            sha if sha.len() == WHOLE => Ok(Commit { sha: sha.to_owned() }),
            short => self.call(Method::GET, &format!("/commits/{short}"), None).await,
        }
    }

    /// One call, below the repository.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers
            .insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));
        let path = format!("/repos/{}{path}", self.settings.repository);
        let body = body.map_or(Vec::new(), |body| body.to_string().into_bytes());
        let Answered { status, body, after } = self.post.ask(method, &path, headers, body).await?;
        match judged(status, after) {
            Answer::Taken => parse(&body),
            // Where its limit is used up GitHub says 403, and when there is more of it.
            Answer::Refused(why) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Answer::Refused(format!("{why}: {}", said(&body))))
            }
            answer => Err(answer),
        }
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| {
        // What stood there is not said: it may be what it was sent.
        let (line, column) = (error.line(), error.column());
        let why = format!("what it answered is not understood, at line {line}, column {column}");
        Answer::Later { why, after: None }
    })
}

/// What GitHub says is wrong, as far as it says it: its `message`, which holds nothing of ours but the request.
fn said(body: &Bytes) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_slice(body).map(|said: Said| clean(&said.message));
    said.map_or("it does not say why".into(), |said| said.chars().take(200).collect())
}

/// Whether a repository that a sender named is this one: senders name it as `owner/name` or by its address.
fn is_repository(said: &str, ours: &str) -> bool {
    let said = said.trim_end_matches('/').trim_end_matches(".git");
    let end = said.len().checked_sub(ours.len());
    let Some((before, name)) = end.and_then(|end| said.split_at_checked(end)) else { return false };
    // GitHub's names are the same in any case.
    name.eq_ignore_ascii_case(ours) && (before.is_empty() || before.ends_with(['/', ':']))
}

/// A verdict in a few words.
fn summary(verdict: &Verdict) -> String {
    let Verdict { status, keys, findings, .. } = verdict;
    let first = findings.first().map_or(String::new(), |finding| {
        let actual = value(finding.actual.as_ref());
        format!("; {} is {actual}, expected {}", finding.key, finding.expected)
    });
    match status {
        VerdictStatus::Synced => format!("{keys} keys are as declared"),
        VerdictStatus::OutOfSync => format!("{} of {keys} keys depart{first}", findings.len()),
    }
}

/// A text, cut where it is longer than so many characters.
fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_known_by_its_name_and_by_its_addresses() {
        for (said, wanted) in [
            ("acme/infra", true),
            ("Acme/Infra", true),
            ("https://github.com/acme/infra.git", true),
            ("git@github.com:acme/infra", true),
            ("https://github.com/acme/infra/", true),
            ("evilacme/infra", false),
            ("acme/infra2", false),
            ("infra", false),
            ("", false),
        ] {
            assert_eq!(is_repository(said, "acme/infra"), wanted, "of `{said}`");
        }
    }
}
