//! Standard Webhooks that carry the plain form, as `data` or as the whole body.

use hyper::header::HeaderMap;
use serde::Deserialize;

use super::{
    field::{self, Unreadable},
    plain,
    table::{Announced, Kind, Manner, Outcome},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed},
    model::Phase,
};

/// How a Standard Webhook comes.
pub const KIND: Kind = Kind {
    sender: Sender::Standard,
    recognised: |headers| headers.contains_key("webhook-signature") || headers.contains_key("webhook-id"),
    schemes: &[(Proof::Secrets, Scheme::Standard)],
    delivery: &["webhook-id"],
    manner: Manner::Step,
    parse,
};

/// The recommended form of a payload (standard-webhooks.md, "Payload structure").
#[derive(Deserialize)]
struct Payload {
    r#type: Option<String>,
    data: Option<serde_json::Value>,
}

fn parse(_: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    let payload: Payload = field::json(signed.body())?;
    let announced = match payload.data {
        None => plain::read(signed.body(), signed)?,
        Some(data) => {
            let Some(phase) = phase(payload.r#type.as_deref().unwrap_or_default()) else {
                return Ok(Outcome::ignored_as(
                    "the message's `type` is no deployment's",
                    payload.r#type.as_deref().unwrap_or_default(),
                ));
            };
            let stated = data.get("phase").is_some();
            let mut announced = plain::carried(data, signed)?;
            if !stated {
                announced.announcement.phase = phase;
            }
            announced
        }
    };
    Ok(Outcome::Deployment(Box::new(stamped(announced, signed))))
}

/// The id and the time that were signed are the message's.
fn stamped(mut announced: Announced, signed: &Signed) -> Announced {
    if let Some(stamp) = signed.stamp() {
        announced.announcement.id = Some(stamp.id.clone());
        announced.announcement.timestamp = Some(stamp.at);
    }
    announced
}

/// The phase that a type such as `deploy.succeeded` tells.
fn phase(kind: &str) -> Option<Phase> {
    let (of, what) = kind.rsplit_once('.')?;
    let is_deployment = of.split('.').any(|part| part == "deploy" || part == "deployment");
    match what {
        _ if !is_deployment => None,
        "started" => Some(Phase::Started),
        "succeeded" | "finished" | "completed" => Some(Phase::Finished),
        "failed" => Some(Phase::Failed),
        _ => None,
    }
}
