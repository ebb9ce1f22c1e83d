//! Single values of a message, read and checked: whatever is taken can be shown and stored.

use jiff::{Timestamp, fmt::strtime};
use sha2::{Digest, Sha256};

use crate::{
    http::signature::Signed,
    model::{InvalidRevision, Revision},
};

/// The longest name, in characters. Names are shown and stored: a longer one is a mistake.
pub const NAME: usize = 256;

/// The longest `repo`, in characters: it is a URL.
pub const URL: usize = 1024;

/// Why an authentic message cannot be read. What it says may be cited, shortened and escaped.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON, or not of the form.
    #[error("the body is not a JSON object as docs/webhooks.md describes it: {}", excerpt(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// Something other than an object; the parser alone would take an array for one.
    #[error("{0} is not a JSON object")]
    NotAnObject(&'static str),
    /// A field that must be there is not.
    #[error("there is no `{0}`")]
    Missing(&'static str),
    /// The commit is none.
    #[error("in `commit`: {0}")]
    Commit(#[from] InvalidRevision),
    /// A field of another sender names no revision.
    #[error("in `{field}`: {why}")]
    Revision {
        /// The field.
        field: &'static str,
        /// Why not.
        why: InvalidRevision,
    },
    /// What no message may say.
    #[error(
        "`{0}` came with the message, and only the host's own configuration may say that\nhint: leave it out"
    )]
    Local(&'static str),
    /// The phase is none.
    #[error("in `phase`: `{}` is none of `started`, `finished`, `failed`", excerpt(.0))]
    Phase(String),
    /// The timestamp is none.
    #[error(
        "in `timestamp`: `{}` is no time: RFC 3339 such as `2026-01-31T12:00:00Z`, or a number of seconds since 1970",
        excerpt(.0)
    )]
    Timestamp(String),
    /// A time of another sender is none.
    #[error("in `{field}`: `{}` is no time", excerpt(.text))]
    Time {
        /// The field.
        field: &'static str,
        /// What it says.
        text: String,
    },
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
    /// What comes as `declared` is not keys and their values.
    #[error("in `declared`: {0}")]
    Declared(String),
    /// The whole is of a form that is not taken.
    #[error("{found}, and {wanted}")]
    Form {
        /// What it is.
        found: &'static str,
        /// What is taken.
        wanted: &'static str,
    },
    /// The body is of a type that is not taken, whatever is in it.
    #[error("{found}, and {wanted}")]
    MediaType {
        /// What it is.
        found: &'static str,
        /// What is taken.
        wanted: &'static str,
    },
}

/// Refuses what does not begin like an object.
pub fn object(body: &[u8]) -> Result<(), Unreadable> {
    match body.trim_ascii_start().starts_with(b"{") {
        true => Ok(()),
        false => Err(Unreadable::NotAnObject("the body")),
    }
}

/// A JSON object, read as `T`.
pub fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    object(body)?;
    Ok(serde_json::from_slice(body)?)
}

/// A text that can be shown and stored. An empty one, as pipelines send for a variable that is not set, is none.
pub fn text(field: &'static str, text: Option<String>, most: usize) -> Result<Option<String>, Unreadable> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let found = text.chars().count();
    if found > most {
        return Err(Unreadable::TooLong { field, found, most });
    }
    if text.chars().any(|char| char.is_control() || turns(char)) {
        return Err(Unreadable::Control(field));
    }
    Ok(Some(text))
}

/// Whether a character turns the direction of what is written around it (Unicode's property `Bidi_Control`): a name with
/// one is read as another than it is.
fn turns(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A Git commit that must be there.
pub fn commit(field: &'static str, text: Option<&str>) -> Result<Revision, Unreadable> {
    let text = text.filter(|t| !t.is_empty()).ok_or(Unreadable::Missing(field))?;
    Revision::git(text).map_err(|why| Unreadable::Revision { field, why })
}

/// A time in RFC 3339.
pub fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Unreadable> {
    let wrong = |text: &str| Unreadable::Time { field, text: text.to_owned() };
    text.map(|text| text.parse().map_err(|_| wrong(text))).transpose()
}

/// A time as GitLab writes it: RFC 3339, `2021-04-28 21:50:00 +0200` or `2016-08-12 15:26:29 UTC`.
pub fn gitlab_time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Unreadable> {
    let Some(text) = text else { return Ok(None) };
    let numeric = text.strip_suffix(" UTC").map_or_else(|| text.to_owned(), |time| format!("{time} +0000"));
    match strtime::parse("%F %T %z", numeric).and_then(|time| time.to_timestamp()) {
        Ok(time) => Ok(Some(time)),
        Err(_) => time(field, Some(text)),
    }
}

/// SHA-256 of what was signed: the body, and an id where one was signed beside it. What was not signed tells no message
/// from another, because whoever kept one can change it.
pub fn digest(signed: &Signed) -> [u8; 32] {
    let id = signed.stamp().map(|stamp| format!("{}.", stamp.id)).unwrap_or_default();
    Sha256::new().chain_update(id).chain_update(signed.body()).finalize().into()
}

/// The beginning of a text, fit for a log.
pub fn excerpt(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
