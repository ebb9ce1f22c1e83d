//! The plain form of a delivery: signed bytes in, a checked [`Announcement`] out.
//!
//! Only a [`Signed`] body comes in here. What the form does not know is left alone, because senders add things; what
//! it knows is checked to the last character.

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use sha2::{Digest, Sha256};

use super::signature::Signed;
use crate::model::{Announcement, InvalidCommit, Phase};

/// The longest name, in characters. Names are shown and stored: a longer one is a mistake.
const NAME: usize = 256;

/// The longest `repo`, in characters: it is a URL.
const URL: usize = 1024;

/// Why a signed body is no announcement. What it says may be cited, shortened and escaped.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAnnouncement {
    /// It is not JSON, or not of the form.
    #[error("the body is not a JSON object as docs/webhooks.md describes it: {}", excerpt(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// Something other than an object; the parser alone would take an array for one.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The commit is none.
    #[error("in `commit`: {0}")]
    Commit(#[from] InvalidCommit),
    /// The phase is none.
    #[error("in `phase`: `{}` is none of `started`, `finished`, `failed`", excerpt(.0))]
    Phase(String),
    /// The timestamp is none.
    #[error(
        "in `timestamp`: `{}` is no time: RFC 3339 such as `2026-01-31T12:00:00Z`, or a number of seconds since 1970",
        excerpt(.0)
    )]
    Timestamp(String),
    /// A text is too long.
    #[error("`{field}` has {found} characters, and at most {most} are taken")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length, in characters.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A text would do something to a terminal or a log.
    #[error("`{0}` has a control character in it")]
    Control(&'static str),
    /// An id that is empty: every message with it would be a retry of the first.
    #[error(
        "`id` is empty\nhint: the variable it is made from is not set in the pipeline; leave `id` out, or fill it"
    )]
    EmptyId,
    /// Values come with a message only from a credential that may send them, and none may.
    #[error("`declared` came with the message, and no credential may send it")]
    Declared,
}

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
    declared: bool,
}

/// A time, as it is sent.
#[derive(Debug)]
enum Stamp {
    Text(String),
    Seconds(i64),
}

/// Whatever is there is passed over; that it is there is the answer.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|IgnoredAny| true)
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
    fn check(self) -> Result<Timestamp, InvalidAnnouncement> {
        match &self {
            Stamp::Text(text) => text.parse().ok(),
            Stamp::Seconds(seconds) => Timestamp::from_second(*seconds).ok(),
        }
        .ok_or_else(|| match self {
            Stamp::Text(text) => InvalidAnnouncement::Timestamp(text),
            Stamp::Seconds(seconds) => InvalidAnnouncement::Timestamp(seconds.to_string()),
        })
    }
}

/// Reads a signed body.
///
/// # Errors
/// It is not of the form. Nothing of it is taken then.
pub fn parse(signed: &Signed) -> Result<Announcement, InvalidAnnouncement> {
    let body = signed.body();
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(InvalidAnnouncement::NotAnObject);
    }
    let form: Form = serde_json::from_slice(body)?;
    if form.declared {
        return Err(InvalidAnnouncement::Declared);
    }
    if form.id.as_deref() == Some("") {
        return Err(InvalidAnnouncement::EmptyId);
    }
    Ok(Announcement {
        commit: form.commit.parse()?,
        app: text("app", form.app, NAME)?,
        phase: form.phase.map_or(Ok(Phase::default()), phase)?,
        id: text("id", form.id, NAME)?,
        timestamp: form.timestamp.map(Stamp::check).transpose()?,
        environment: text("environment", form.environment, NAME)?,
        reference: text("ref", form.r#ref, NAME)?,
        repo: text("repo", form.repo, URL)?,
        digest: Sha256::digest(body).into(),
    })
}

/// The phase of this name.
fn phase(name: String) -> Result<Phase, InvalidAnnouncement> {
    match name.as_str() {
        "started" => Ok(Phase::Started),
        "finished" => Ok(Phase::Finished),
        "failed" => Ok(Phase::Failed),
        _ => Err(InvalidAnnouncement::Phase(name)),
    }
}

/// A text that can be shown and stored. An empty one, as pipelines send for a variable that is not set, is none.
fn text(
    field: &'static str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, InvalidAnnouncement> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let found = text.chars().count();
    if found > most {
        return Err(InvalidAnnouncement::TooLong { field, found, most });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidAnnouncement::Control(field));
    }
    Ok(Some(text))
}

/// The beginning of a text, fit for a log.
fn excerpt(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{
        super::{
            secrets::Secret,
            signature::{Claim, header, verify},
        },
        *,
    };

    /// The only way in: signed.
    fn signed(body: &[u8]) -> Signed {
        let secret = Secret::new(b"hunter2").unwrap();
        let line = header(&secret, body);
        let (name, value) = line.split_once(": ").unwrap();
        let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        verify(&[secret], &Claim::of(&headers).ok().unwrap(), Bytes::copy_from_slice(body)).ok().unwrap()
    }

    fn parsed(body: &str) -> Result<Announcement, String> {
        parse(&signed(body.as_bytes())).map_err(|error| error.to_string())
    }

    fn plain(body: &str) -> Announcement {
        Announcement {
            commit: "a1b2c3".parse().unwrap(),
            app: None,
            phase: Phase::Finished,
            id: None,
            timestamp: None,
            environment: None,
            reference: None,
            repo: None,
            digest: Sha256::digest(body).into(),
        }
    }

    #[test]
    fn the_announced_form_is_read_as_it_stands() {
        let body = r#"{"commit":"a1b2c3","app":"web-backend"}"#;
        assert_eq!(parsed(body).unwrap(), Announcement { app: Some("web-backend".into()), ..plain(body) });
    }

    #[test]
    fn every_field_of_the_form_is_read() {
        let body = r#"{"commit":"A1B2C3","app":"web","phase":"started","id":"run-17","timestamp":"2026-01-31T13:00:00+01:00",
            "environment":"prod","ref":"refs/heads/main","repo":"https://git.example/infra.git","run":{"more":[1]}}"#;
        let wanted = Announcement {
            app: Some("web".into()),
            phase: Phase::Started,
            id: Some("run-17".into()),
            timestamp: Some("2026-01-31T12:00:00Z".parse().unwrap()),
            environment: Some("prod".into()),
            reference: Some("refs/heads/main".into()),
            repo: Some("https://git.example/infra.git".into()),
            ..plain(body)
        };
        assert_eq!(parsed(body).unwrap(), wanted);
    }

    #[test]
    fn nulls_and_empty_texts_are_absent_and_seconds_are_a_time() {
        let body = r#" {"commit":"a1b2c3","app":null,"environment":"","ref":"","timestamp":1769860800} "#;
        let timestamp = Some("2026-01-31T12:00:00Z".parse().unwrap());
        assert_eq!(parsed(body).unwrap(), Announcement { timestamp, ..plain(body) });
    }

    #[test]
    fn the_longest_texts_pass() {
        let (name, url) = ("ü".repeat(NAME), "u".repeat(URL));
        let body = format!(r#"{{"commit":"a1b2c3","app":"{name}","repo":"{url}"}}"#);
        assert_eq!(parsed(&body).unwrap(), Announcement { app: Some(name), repo: Some(url), ..plain(&body) });
    }

    #[track_caller]
    fn check_refused(body: &str, wanted: &str) {
        let error = parsed(body).unwrap_err();
        assert!(error.contains(wanted), "{error}");
        assert!(error.len() < 1024 && !error.contains('\x1b'), "{error}");
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_with_its_reason() {
        for (body, wanted) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"["a1b2c3",null,null,null,null,null,null,null,null]"#, "not a JSON object"),
            (r#""a1b2c3""#, "not a JSON object"),
            ("{", "EOF"),
            ("{}", "missing field `commit`"),
            (r#"{"commit":"a1b2c3"} x"#, "trailing characters"),
            (r#"{"commit":"a1b2c3","commit":"b1b2c3"}"#, "duplicate field `commit`"),
            (r#"{"commit":null}"#, "invalid type: null"),
            (r#"{"commit":1234567}"#, "invalid type: integer"),
            (r#"{"commit":"main"}"#, "in `commit`: `main` is not a commit"),
            (r#"{"commit":"a1b2c"}"#, "in `commit`"),
            (r#"{"commit":"a1b2c3","app":["web"]}"#, "invalid type: sequence"),
            (r#"{"commit":"a1b2c3","phase":"done"}"#, "in `phase`: `done` is none of"),
            (r#"{"commit":"a1b2c3","phase":""}"#, "in `phase`"),
            (r#"{"commit":"a1b2c3","id":""}"#, "`id` is empty"),
            (r#"{"commit":"a1b2c3","id":7}"#, "invalid type: integer `7`"),
            (r#"{"commit":"a1b2c3","timestamp":"yesterday"}"#, "in `timestamp`: `yesterday`"),
            (r#"{"commit":"a1b2c3","timestamp":"2026-01-31T12:00:00"}"#, "in `timestamp`"),
            (r#"{"commit":"a1b2c3","timestamp":""}"#, "in `timestamp`"),
            (r#"{"commit":"a1b2c3","timestamp":1.5}"#, "a whole number of seconds"),
            (r#"{"commit":"a1b2c3","timestamp":1769860800000}"#, "in `timestamp`: `1769860800000`"),
            (r#"{"commit":"a1b2c3","timestamp":18446744073709551615}"#, "in `timestamp`"),
            (r#"{"commit":"a1b2c3","declared":{"vm.swappiness":10}}"#, "`declared` came with the message"),
            (r#"{"commit":"a1b2c3","declared":null}"#, "`declared` came with the message"),
            (r#"{"commit":"a1b2c3","app":"a\u001b[2Jb"}"#, "`app` has a control character"),
            (r#"{"commit":"a1b2c3","ref":"a\nb"}"#, "`ref` has a control character"),
            ("{\"commit\":\"a1b2c3\",\"app\":\"\u{1b}\"}", "control character"),
            (r#"{"commit":"\u001b[2J"}"#, "in `commit`"),
            (r#"{"commit":"a1b2c3","phase":"\u001b[2J"}"#, "in `phase`"),
            (r#"{"commit":"a1b2c3","timestamp":"\u001b[2J"}"#, "in `timestamp`"),
        ] {
            check_refused(body, wanted);
        }
        let long = "x".repeat(100_000);
        for (field, wanted) in [
            ("app", "`app` has 100000 characters, and at most 256"),
            ("id", "`id` has 100000 characters"),
            ("repo", "`repo` has 100000 characters, and at most 1024"),
            ("phase", "in `phase`"),
            ("timestamp", "in `timestamp`"),
        ] {
            check_refused(&format!(r#"{{"commit":"a1b2c3","{field}":"{long}"}}"#), wanted);
        }
        check_refused(&format!(r#"{{"commit":"{long}"}}"#), "in `commit`");
        check_refused(&format!(r#"{{"commit":{{"{long}":1}}}}"#), "invalid type: map");
        check_refused(&format!(r#"{{"commit":"a1b2c3","x":{}"#, "[".repeat(100_000)), "EOF");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&signed(&body));
        }

        #[test]
        fn no_values_make_the_parser_panic(
            field in "commit|app|phase|id|timestamp|environment|ref|repo|declared|other",
            value in prop_oneof!["\\PC{0,30}", "[0-9TZ:+. -]{0,30}", "-?[0-9]{1,25}(\\.[0-9]{1,3})?(e[0-9]{1,3})?"],
            quoted in any::<bool>(),
        ) {
            let value = if quoted { serde_json::to_string(&value).unwrap() } else { value };
            let _ = parsed(&format!(r#"{{"commit":"a1b2c3","{field}":{value}}}"#));
        }
    }
}
