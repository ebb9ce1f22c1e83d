//! Answers: JSON, and for what is refused one bland sentence to the caller and the exact reason to the log, both in
//! one value so that neither is forgotten and neither takes the other's place.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::{Deserialize, Serialize};

use super::{
    outcomes::Reason,
    senders::{Ignored, Unreadable},
};
use crate::{
    config::Sender,
    model::{Phase, Refusal},
};

/// What goes back over the wire.
pub type Answer = Response<Full<Bytes>>;

/// The body of an answer to a request that is not served.
#[derive(Serialize, Deserialize)]
pub struct Said<'a> {
    /// One sentence.
    pub error: Cow<'a, str>,
}

/// A request that is not served.
#[derive(Debug)]
pub struct Refused {
    /// Why, in a word.
    pub why: Reason,
    /// The status.
    pub status: StatusCode,
    /// What the caller is told: nothing that a caller without a secret could learn from. Nothing here: the reason.
    said: Option<&'static str>,
    /// What the log is told: the exact reason. Never a secret, a signature or a whole body.
    pub reason: String,
    /// A header that belongs to the status.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn new(why: Reason, status: StatusCode, said: &'static str, reason: impl Into<String>) -> Refused {
        Refused { why, status, said: Some(said), reason: reason.into(), header: None }
    }

    /// Nothing is served at this path.
    pub fn not_here(path: &str) -> Refused {
        // What came from outside may be long: the start of it is enough to find it by.
        let path: String = path.chars().take(80).collect();
        Refused::new(
            Reason::Misdirected,
            StatusCode::NOT_FOUND,
            "nothing is served here",
            format!("nothing is served at `{}`", path.escape_debug()),
        )
    }

    /// Something is served at this path, but not so.
    pub fn method(found: &hyper::Method, wanted: &'static str) -> Refused {
        let found: String = found.as_str().chars().take(20).collect();
        Refused {
            header: Some((ALLOW, HeaderValue::from_static(wanted))),
            ..Refused::new(
                Reason::Misdirected,
                StatusCode::METHOD_NOT_ALLOWED,
                "this method is not served here",
                format!("the method is `{found}`, and only `{wanted}` is served"),
            )
        }
    }

    /// The request says something that is not understood.
    pub fn bad(reason: impl Into<String>) -> Refused {
        Refused::new(
            Reason::Malformed,
            StatusCode::BAD_REQUEST,
            "the request was not understood; the log of the server says why",
            reason,
        )
    }

    /// What somebody sent who has proved himself: he may know the reason.
    pub fn openly(status: StatusCode, reason: String) -> Refused {
        Refused { why: Reason::Malformed, status, said: None, reason, header: None }
    }

    /// The body is longer than is taken.
    pub fn too_long(reason: String) -> Refused {
        Refused::new(Reason::TooLong, StatusCode::PAYLOAD_TOO_LARGE, "the body is too long", reason)
    }

    /// The body does not come in time.
    pub fn slow(reason: String) -> Refused {
        Refused::new(Reason::Slow, StatusCode::REQUEST_TIMEOUT, "the request did not come in time", reason)
    }

    /// Nobody has shown who he is. One sentence for all: it does not tell a forger how near he came.
    pub fn unsigned(reason: impl Into<String>) -> Refused {
        Refused::new(Reason::Unsigned, StatusCode::UNAUTHORIZED, "the signature is missing or wrong", reason)
    }

    /// It comes from a kind of sender that is not configured.
    pub fn unknown(sender: Sender) -> Refused {
        let name = sender.as_str();
        let field = if sender == Sender::Plain { "secrets" } else { "senders" };
        Refused::unsigned(format!(
            "by its headers it is the sender `{name}`, which is not configured\nhint: name it under `{field}:` of \
             `webhook`, or post to `/webhook/gitops/NAME` of one that is"
        ))
    }

    /// An authentic sender delivers what it may not.
    pub fn not_yours(sender: &str, why: &Ignored) -> Refused {
        Refused::new(
            Reason::Forbidden,
            StatusCode::FORBIDDEN,
            "these credentials may not deliver this; the log of the server says why",
            format!("`{sender}` may not deliver this: {}", Refused::because(why)),
        )
    }

    /// An authentic message has no time, and its sender must send one.
    pub fn undated(sender: &str) -> Refused {
        Refused::bad(format!(
            "the message has no time, and `{sender}` has `require_dated`\nhint: send a `timestamp` with it"
        ))
    }

    /// An authentic message declares values, and its sender may not.
    pub fn not_to_declare(sender: &str) -> Refused {
        Refused::new(
            Reason::Forbidden,
            StatusCode::FORBIDDEN,
            "these credentials may not deliver this; the log of the server says why",
            format!(
                "`declared` came with the message, and `{sender}` may not send it\nhint: leave it out, or set `declared: true` \
                 for `{sender}` under `senders:` of `webhook`"
            ),
        )
    }

    /// A message that declares values has no time: who kept it could bring them back whenever he likes.
    pub fn undated_values() -> Refused {
        Refused::bad("the message has `declared` and no time\nhint: send a `timestamp` with it")
    }

    /// A message declares values before they are in force, or when they do not come into force.
    pub fn early_values(phase: Phase) -> Refused {
        Refused::bad(format!(
            "the message has `declared` and the phase `{}`\nhint: send `declared` with the phase `finished`",
            phase.as_str()
        ))
    }

    /// The reason, with what it is about.
    pub fn because(why: &Ignored) -> String {
        match &why.detail {
            Some(detail) => format!("{} (`{detail}`)", why.reason),
            None => why.reason.to_owned(),
        }
    }

    /// The request is not meant for this host, or not made by who may make it.
    pub fn not_for_us(reason: String) -> Refused {
        Refused::new(
            Reason::Misdirected,
            StatusCode::MISDIRECTED_REQUEST,
            "nothing is served to this request",
            reason,
        )
    }

    /// It cannot be taken now; the same request is welcome later.
    pub fn later(reason: impl Into<String>) -> Refused {
        Refused {
            header: Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            ..Refused::new(Reason::Busy, StatusCode::SERVICE_UNAVAILABLE, "not now, try again", reason)
        }
    }

    /// The sender's address is not one that may send.
    pub fn uninvited(reason: String) -> Refused {
        Refused::new(Reason::Uninvited, StatusCode::FORBIDDEN, "not from here", reason)
    }

    /// The sender's address has shown too many wrong signatures, and is not heard for a while.
    pub fn silenced(over: Duration) -> Refused {
        // Rounded up: who comes back then is heard.
        let seconds = over.as_secs().saturating_add(1);
        Refused {
            header: Some((RETRY_AFTER, HeaderValue::from(seconds))),
            ..Refused::new(
                Reason::Silenced,
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests that prove nothing came from this address",
                format!("its address is not heard for another {seconds} s"),
            )
        }
    }

    /// The answer for a caller who may know the reason.
    pub fn answer_openly(self) -> Answer {
        let mut answer = json(self.status, &Said { error: self.reason.into() });
        answer.headers_mut().extend(self.header);
        answer
    }

    /// The answer for the caller.
    pub fn answer(self) -> Answer {
        let mut answer =
            json(self.status, &Said { error: self.said.map_or(Cow::Owned(self.reason), Cow::Borrowed) });
        answer.headers_mut().extend(self.header);
        answer
    }
}

impl From<Unreadable> for Refused {
    fn from(why: Unreadable) -> Refused {
        let refused = Refused::bad(why.to_string());
        match why {
            Unreadable::MediaType { .. } => Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..refused },
            _ => refused,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Refused {
        Refused::bad(why.to_string())
    }
}

/// An answer in JSON, with a newline at its end for those who read it on a terminal.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let (status, text) = match serde_json::to_vec(body) {
        Ok(mut text) => {
            text.push(b'\n');
            (status, text)
        }
        // Only a map with keys that are no texts cannot be written, and none is answered.
        Err(error) => {
            tracing::error!("an answer cannot be written as JSON: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
