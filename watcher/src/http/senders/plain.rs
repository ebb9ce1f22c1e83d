//! The plain form: what the product's own `curl` sends, and what Standard Webhooks and CloudEvents carry.
//!
//! What the form does not know is left alone, because senders add things; what it knows is checked to the last
//! character. A rule or a remedy it knows too, so as to refuse it: whoever sends one must not believe that it counts.

use hyper::header::HeaderMap;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};

use super::{
    field::{self, NAME, URL, Unreadable},
    table::{Announced, Kind, Manner, Outcome},
    values::{self, Sent},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{PLAIN, Scheme, Signed, Spelling},
    model::{Announcement, Phase, Revision},
};

/// How the plain form comes.
pub const KIND: Kind = Kind {
    sender: Sender::Plain,
    // What none of the others is told by.
    recognised: |_| true,
    schemes: &[(Proof::Secrets, Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 })],
    delivery: &["x-delivery-id"],
    manner: Manner::Step,
    parse,
};

/// The form, as it is sent. Texts stay texts until the whole is read, so that a mistake is told by its field.
#[derive(Deserialize)]
struct Form {
    commit: String,
    app: Option<String>,
    phase: Option<String>,
    id: Option<String>,
    timestamp: Option<Stamp>,
    environment: Option<String>,
    r#ref: Option<String>,
    repo: Option<String>,
    #[serde(default, deserialize_with = "present")]
    declared: Option<Sent>,
    remedy: Option<IgnoredAny>,
    drift_rules: Option<IgnoredAny>,
}

/// A time, as it is sent.
#[derive(Debug)]
enum Stamp {
    Text(String),
    Seconds(i64),
}

/// What is there must be values: `null` is none, and no way to say that there are none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sent>, D::Error> {
    Sent::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Stamp;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time in RFC 3339, or a whole number of seconds since 1970")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Stamp, E> {
                Ok(Stamp::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Stamp, E> {
                Ok(Stamp::Seconds(seconds))
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Stamp, E> {
                // Past i64 is past every calendar: the check below says so.
                Ok(Stamp::Seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Stamp {
    fn check(self) -> Result<Timestamp, Unreadable> {
        match &self {
            Stamp::Text(text) => text.parse().ok(),
            Stamp::Seconds(seconds) => Timestamp::from_second(*seconds).ok(),
        }
        .ok_or_else(|| match self {
            Stamp::Text(text) => Unreadable::Timestamp(text),
            Stamp::Seconds(seconds) => Unreadable::Timestamp(seconds.to_string()),
        })
    }
}

fn parse(_: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    Ok(Outcome::Deployment(Box::new(read(signed.body(), signed)?)))
}

/// Reads a body that is of the form.
///
/// # Errors
/// It is not of the form. Nothing of it is taken then.
pub fn read(body: &[u8], signed: &Signed) -> Result<Announced, Unreadable> {
    field::object(body)?;
    checked(serde_json::from_slice(body)?, signed)
}

/// Checks a form that came in the body of another.
///
/// # Errors
/// As [`read`].
pub fn carried(value: serde_json::Value, signed: &Signed) -> Result<Announced, Unreadable> {
    if !value.is_object() {
        return Err(Unreadable::NotAnObject("data"));
    }
    checked(serde_json::from_value(value)?, signed)
}

fn checked(form: Form, signed: &Signed) -> Result<Announced, Unreadable> {
    if form.id.as_deref() == Some("") {
        return Err(Unreadable::EmptyId);
    }
    for (field, found) in [("remedy", form.remedy), ("drift_rules", form.drift_rules)] {
        if found.is_some() {
            return Err(Unreadable::Local(field));
        }
    }
    let announcement = Announcement {
        commit: Revision::git(&form.commit)?,
        app: field::text("app", form.app, NAME)?,
        phase: form.phase.map_or(Ok(Phase::default()), phase)?,
        id: field::text("id", form.id, NAME)?,
        timestamp: form.timestamp.map(Stamp::check).transpose()?,
        environment: field::text("environment", form.environment, NAME)?,
        reference: field::text("ref", form.r#ref, NAME)?,
        repo: field::text("repo", form.repo, URL)?,
        declared: form.declared.map(values::checked).transpose()?,
        digest: field::digest(signed),
    };
    Ok(Announced { announcement, workflow: None })
}

/// The phase of this name.
fn phase(name: String) -> Result<Phase, Unreadable> {
    name.parse().map_err(|_| Unreadable::Phase(name))
}

#[cfg(test)]
mod tests;
