//! The sinks outside this daemon: one message in, what became of it out. When it is tried, `deliver` says.

use std::path::PathBuf;

use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    email::Email,
    exec,
    github::Github,
    message::{Letterhead, cloudevent, stamp, standard},
    patience::Answer,
    post::{Post, PostError},
    secret, slack,
};
use crate::{
    config::{Form, SinkKind, SinkSettings},
    store::Message,
};

/// A sink that takes messages.
pub enum Remote {
    /// JSON, posted.
    Webhook {
        /// Where.
        post: Post,
        /// In which form.
        form: Form,
        /// What signs it.
        secret: Option<PathBuf>,
    },
    /// Slack.
    Slack(Post),
    /// E-mail.
    Email(Box<Email>),
    /// GitHub, of verdicts alone: its issues show how things stand.
    Github(Github),
    /// A program, and how long it may run.
    Exec(Vec<Box<str>>, std::time::Duration),
}

impl Remote {
    /// The sink of these settings; nothing where it takes no messages but the state.
    ///
    /// # Errors
    /// A file that it needs cannot be read or used.
    pub fn new(settings: &SinkSettings) -> Result<Option<Remote>, PostError> {
        let limit = settings.timeout;
        Ok(Some(match &settings.kind {
            SinkKind::Webhook { to, form, secret } => {
                if let Some(secret) = secret {
                    secret::sign(secret, "", "", b"")?;
                }
                Remote::Webhook { post: Post::new(to, limit)?, form: *form, secret: secret.clone() }
            }
            SinkKind::Slack { to } => Remote::Slack(Post::new(to, limit)?),
            SinkKind::Email(email) => Remote::Email(Box::new(Email::new(email, limit)?)),
            SinkKind::Exec { program } => Remote::Exec(program.clone(), limit),
            SinkKind::Github(github) => Remote::Github(Github::new(github, limit)?),
            SinkKind::GitopsStatus { .. } | SinkKind::Alertmanager { .. } => return Ok(None),
        }))
    }

    /// Whether it has each message alone, and a summary of those that are too many for that.
    pub fn sums(&self) -> bool {
        match self {
            Remote::Webhook { .. } | Remote::Exec(..) => true,
            Remote::Slack(_) | Remote::Email(_) | Remote::Github(_) => false,
        }
    }

    /// Sends messages: several as one to a sink that groups, and one, or a burst, to any other.
    pub async fn send(&self, messages: &[Message], head: &Letterhead) -> Answer {
        let Some(sent) = messages.first() else { return Answer::Taken };
        match self {
            Remote::Email(email) => email.send(messages, head).await,
            Remote::Webhook { post, form, secret } => {
                let (value, content) = match form {
                    Form::Json => (standard(messages, head), "application/json"),
                    Form::Cloudevents => (cloudevent(messages, head), "application/cloudevents+json"),
                };
                let body = bytes(&value);
                match headers(&sent.id, content, secret.as_deref(), &body) {
                    Ok(headers) => post.post(headers, body).await,
                    Err(why) => Answer::Later { why, after: None },
                }
            }
            Remote::Slack(post) => post.post(HeaderMap::new(), bytes(&slack::text(messages, head))).await,
            Remote::Github(github) => github.tell(sent, head).await,
            Remote::Exec(program, limit) => {
                exec::run(program, *limit, &sent.id, &bytes(&standard(messages, head))).await
            }
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The headers of Standard Webhooks: the id and the time always, the signature where there is a secret.
fn headers(
    id: &str,
    content: &'static str,
    secret: Option<&std::path::Path>,
    body: &[u8],
) -> Result<HeaderMap, String> {
    let stamp = stamp(Timestamp::now());
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header cannot be made".to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(HeaderName::from_static("webhook-id"), value(id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), value(&stamp)?);
    if let Some(secret) = secret {
        let signature = secret::sign(secret, id, &stamp, body).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static("webhook-signature"), value(&signature)?);
    }
    Ok(headers)
}
