//! The webhook's door. What nobody signed opens nothing, whatever it says; what a sender signed is taken for that
//! sender's alone, and what comes out of it can be shown and stored.
//!
//! A request is written as over HTTP/1: the path, the headers, an empty line, the body. Before an authentic one stands a
//! line with who signs it.

mod request;
mod senders;

use std::collections::BTreeSet;

use hyper::StatusCode;
use jiff::Timestamp;
use watcher::{
    http::{Opened, Opening, PATH},
    model::{Announcement, Phase, Revision},
};

use self::request::Request;
pub use self::senders::config;
use self::senders::{DECLARES, SENDERS, Senders};

/// When everything here happens.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_785_579_300).expect("2026-08-01T10:15:00Z is a time")
}

/// What becomes of a request: what is opened, or the status of what is refused.
fn opened(senders: &Senders, request: &Request) -> Result<Opened, StatusCode> {
    let Request { path, headers, body } = request;
    let asked = senders.door.at(path).and_then(|place| place.claim(headers));
    asked.and_then(|asked| asked.open(headers, body.clone(), now())).map_err(|refused| {
        assert!(refused.status.is_client_error(), "{refused:?}");
        let is_fit = |c: char| !c.is_control() || c == '\n';
        assert!(refused.reason.chars().all(is_fit), "{refused:?} is fit for a log");
        refused.status
    })
}

/// No secret was used for any of this: they are made anew by each process.
pub fn unsigned(bytes: &[u8]) {
    senders::with(|senders| {
        let request = Request::read(bytes);
        let opened = opened(senders, &request);
        assert!(opened.is_err(), "{opened:?} of what nobody signed");
        let who = senders.door.who_asks(&request.path, &request.headers);
        assert!(who.is_err(), "{who:?} asks, and nobody signed");
    });
}

/// The first line says whose credentials are used.
pub fn announcement(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, rest) = bytes.split_at(end);
    let Some(sender) = SENDERS.iter().find(|sender| sender.name.as_bytes() == name) else { return };
    let mut request = Request::read(rest.get(1..).unwrap_or_default());
    senders::with(|senders| {
        senders.sign(sender, &mut request);
        match opened(senders, &request) {
            Ok(first) => {
                assert_eq!(*first.sender, *sender.name, "who signed is who sent");
                if let Opening::Ignored(why) = &first.what {
                    assert!(!why.reason.contains(char::is_control), "{why:?}");
                    assert!(
                        !why.detail.as_ref().is_some_and(|text| text.contains(char::is_control)),
                        "{why:?}"
                    );
                }
                if let Opening::Announced(announcement) = &first.what {
                    check(sender.name, announcement);
                }
            }
            Err(status) => {
                let own = request.path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/'));
                assert!(
                    own != Some(sender.name) || status != StatusCode::UNAUTHORIZED,
                    "what `{}` signed is not taken for its",
                    sender.name
                );
            }
        }
    });
}

/// Whether what is announced can be shown and stored, and told from what others announce.
fn check(sender: &str, announcement: &Announcement) {
    let Announcement { commit, app, id, environment, reference, repo, .. } = announcement;
    assert_eq!(commit.as_str().parse::<Revision>().as_ref(), Ok(commit));
    assert!(
        id.as_ref().is_none_or(|id| id.strip_prefix(sender).is_some_and(|id| id.starts_with('/'))),
        "{id:?}"
    );
    for text in [app, id, environment, reference, repo].into_iter().flatten() {
        assert!(!text.is_empty() && text.chars().count() <= 1024, "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let Some(declared) = &announcement.declared else { return };
    assert!(sender == DECLARES && announcement.timestamp.is_some() && announcement.phase == Phase::Finished);
    let keys: BTreeSet<_> = declared.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), declared.len(), "each key once: {declared:?}");
    for (key, value) in declared.iter() {
        assert!(
            !key.is_secret()
                && !key.names_program()
                && !value.contains(|c: char| c.is_control() && c != '\t'),
            "{key}: {value:?}"
        );
    }
}
