//! CloudEvents that carry the plain form as their data, in the binary and the structured mode of the HTTP binding.

use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use super::{
    field::{self, NAME, Unreadable},
    plain,
    table::{Kind, Manner, Outcome, header},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed},
};

/// How a CloudEvent comes. Who sends is told beside it, by a bearer (cloudevents http-webhook.md, "Authorization").
pub const KIND: Kind = Kind {
    sender: Sender::Cloudevents,
    recognised: |headers| headers.contains_key("ce-specversion") || content_type(headers).is_some(),
    schemes: &[(Proof::Tokens, Scheme::Bearer)],
    delivery: &["ce-id"],
    manner: Manner::Step,
    parse,
};

/// What comes after `application/cloudevents`: `+json`, `-batch+json`.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    header(headers, CONTENT_TYPE.as_str())?.strip_prefix("application/cloudevents")
}

/// The structured mode (cloudevents json-format.md).
#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    source: Option<String>,
    data: Option<serde_json::Value>,
}

fn parse(headers: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    const WANTED: &str = "one event in JSON, with the plain form as its `data`, is taken";
    let (mut announced, id, source) = match content_type(headers) {
        None => {
            let text = |name| header(headers, name).map(str::to_owned);
            (plain::read(signed.body(), signed)?, text("ce-id"), text("ce-source"))
        }
        Some(kind) if kind.split(';').next().is_some_and(|kind| kind.trim_end() == "+json") => {
            let event: Event = field::json(signed.body())?;
            let data =
                event.data.ok_or(Unreadable::Form { found: "the event has no `data`", wanted: WANTED })?;
            (plain::carried(data, signed)?, event.id, event.source)
        }
        Some(_) => {
            return Err(Unreadable::Form { found: "the body is a batch, or not JSON", wanted: WANTED });
        }
    };
    // An event is the same as another where both are (cloudevents spec.md, "id").
    let id = field::text("id", id, NAME)?.ok_or(Unreadable::Missing("ce-id"))?;
    let source = field::text("source", source, NAME)?.ok_or(Unreadable::Missing("ce-source"))?;
    announced.announcement.id = Some(format!("{source} {id}"));
    Ok(Outcome::Deployment(Box::new(announced)))
}
