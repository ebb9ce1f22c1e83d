//! CloudEvents that carry the plain form as their data, in the binary and the structured mode of the HTTP binding.

use base64::{Engine, engine::general_purpose::STANDARD};
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

/// What comes after `application/cloudevents`, in lower case (RFC 9110, section 8.3.1): `+json`, `-batch+json`.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let kind = header(headers, CONTENT_TYPE.as_str())?.to_ascii_lowercase();
    kind.strip_prefix("application/cloudevents").map(str::to_owned)
}

/// The structured mode (cloudevents json-format.md).
#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    source: Option<String>,
    data: Option<serde_json::Value>,
    data_base64: Option<String>,
}

fn parse(headers: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    const WANTED: &str = "one event in JSON, with the plain form as its `data`, is taken";
    let (mut announced, id, source) = match content_type(headers) {
        None => {
            let text = |name| header(headers, name).map(str::to_owned);
            (plain::read(signed.body(), signed)?, text("ce-id"), text("ce-source"))
        }
        Some(kind) if kind.split(';').next().is_some_and(|kind| kind.trim_end() == "+json") => {
            let Event { id, source, data, data_base64 } = field::json(signed.body())?;
            let wrong = |found| Unreadable::Form { found, wanted: WANTED };
            let announced = match (data, data_base64) {
                (Some(data), None) => plain::carried(data, signed)?,
                (None, Some(text)) => {
                    let data = STANDARD
                        .decode(text)
                        .map_err(|_| wrong("the event's `data_base64` is not base64"))?;
                    plain::read(&data, signed)?
                }
                (None, None) => return Err(wrong("the event has no `data`")),
                (Some(_), Some(_)) => return Err(wrong("the event has both `data` and `data_base64`")),
            };
            (announced, id, source)
        }
        Some(_) => {
            return Err(Unreadable::MediaType { found: "the body is a batch, or not JSON", wanted: WANTED });
        }
    };
    // An event is the same as another where both are (cloudevents spec.md, "id").
    let id = field::text("id", id, NAME)?.ok_or(Unreadable::Missing("ce-id"))?;
    let source = field::text("source", source, NAME)?.ok_or(Unreadable::Missing("ce-source"))?;
    announced.announcement.id = Some(format!("{source} {id}"));
    Ok(Outcome::Deployment(Box::new(announced)))
}
