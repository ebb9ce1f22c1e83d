//! Gitea and Forgejo: they tell of pushes and releases, and of no deployment. What deploys there is a step with the
//! plain form.

use hyper::header::HeaderMap;

use super::{
    field::{Unreadable, excerpt},
    table::{Ignored, Kind, Manner, Outcome, header, is_form},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed, Spelling},
};

/// How Gitea comes. Forgejo sends Gitea's headers beside its own, which alone would do, and both send GitHub's
/// (go-gitea services/webhook/deliver.go).
pub const KIND: Kind = Kind {
    sender: Sender::Gitea,
    recognised: |headers| headers.contains_key("x-gitea-event") || headers.contains_key("x-forgejo-event"),
    schemes: &[
        (Proof::Secrets, Scheme::Hmac { header: "X-Gitea-Signature", spelling: Spelling::Bare }),
        (Proof::Secrets, Scheme::Hmac { header: "X-Forgejo-Signature", spelling: Spelling::Bare }),
    ],
    delivery: &["x-gitea-delivery", "x-forgejo-delivery"],
    manner: Manner::Hook,
    parse,
};

/// The body is not read: a form would have another one than was signed, and nothing in it would count.
fn parse(headers: &HeaderMap, _: &Signed) -> Result<Outcome, Unreadable> {
    if is_form(headers) {
        return Err(Unreadable::Form {
            found: "the body is a form",
            wanted: "Gitea is taken with the content type `application/json`",
        });
    }
    let event = ["x-gitea-event", "x-forgejo-event"].into_iter().find_map(|name| header(headers, name));
    Ok(Outcome::Ignored(Ignored {
        reason: "Gitea tells of no deployments; let a step send the plain form",
        detail: event.map(excerpt),
    }))
}
