//! What changes something: `revert` and `adopt`, on the status socket alone, and for its owner alone.
//!
//! The socket may be open to a group that reads; who asks for a change must be root, or the user that driftd runs as, by the
//! kernel's word for who is at the other end (unix(7), `SO_PEERCRED`). Nothing here decides whether it is done: the loop does.

use std::fmt;

use http_body_util::Either;
use hyper::{Method, Request, StatusCode};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
};

use super::{
    answer::{Refused, json},
    connection::Limits,
    reading::{HEADERS, Parameters, Served},
};
use crate::model::{Act, Key, Person, Remedied};

/// The path below which a remedy is asked for, by its word.
pub const REMEDIES: &str = "/api/v1/remedies/";

/// Somebody asks for a remedy.
pub struct Asked {
    /// What is to be done.
    pub act: Act,
    /// To which key.
    pub key: Key,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub person: Person,
    /// Who waits: what was done, recorded by then, or why nothing is.
    pub reply: oneshot::Sender<Result<Vec<Remedied>, String>>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} by {}", self.act.as_str(), self.key, self.person)
    }
}

/// What was done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    /// One for each finding.
    pub remedies: Vec<Remedied>,
}

/// Where a remedy can be asked for.
#[derive(Clone)]
pub struct Asking {
    asked: mpsc::Sender<Asked>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pid: u32,
    uid: u32,
}

impl Peer {
    /// By the kernel's word; `None` where it has none.
    pub fn of(stream: &UnixStream) -> Option<Peer> {
        let found = stream.peer_cred().ok()?;
        Some(Peer { pid: found.pid().and_then(|pid| u32::try_from(pid).ok())?, uid: found.uid() })
    }

    fn may_ask(self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }
}

impl Asking {
    /// What is asked goes to the loop on this channel.
    pub fn new(asked: mpsc::Sender<Asked>) -> Asking {
        Asking { asked }
    }

    /// Whether a request is for here.
    pub fn is_for<B>(request: &Request<B>) -> bool {
        request.uri().path().starts_with(REMEDIES)
    }

    /// Whether a request is let through that another part of the socket answers: who only reads is.
    pub fn lets<B>(request: &Request<B>, peer: Option<Peer>) -> bool {
        matches!(*request.method(), Method::GET | Method::HEAD) || peer.is_some_and(Peer::may_ask)
    }

    /// The answer to who may not ask for a change.
    pub fn refusal() -> Served {
        not_allowed().answer_openly().map(Either::Left)
    }

    /// The answer to a request. What is refused is told here.
    pub async fn answer<B>(&self, request: &Request<B>, peer: Option<Peer>, limits: &Limits) -> Served {
        let mut served = match self.carry_out(request, peer, limits).await {
            Ok(remedies) => json(StatusCode::OK, &Done { remedies }),
            Err(refused) => {
                tracing::info!(status = refused.status.as_u16(), "no remedy: {}", refused.reason);
                refused.answer_openly()
            }
        }
        .map(Either::Left);
        served.headers_mut().extend(HEADERS.map(|(name, value)| (Some(name), value)));
        served
    }

    async fn carry_out<B>(
        &self,
        request: &Request<B>,
        peer: Option<Peer>,
        limits: &Limits,
    ) -> Result<Vec<Remedied>, Refused> {
        let path = request.uri().path();
        let act = match path.strip_prefix(REMEDIES) {
            Some("revert") => Act::Revert,
            Some("adopt") => Act::Adopt,
            _ => return Err(Refused::not_here(path)),
        };
        if *request.method() != Method::POST {
            return Err(Refused::method(request.method(), "POST"));
        }
        let Some(peer) = peer.filter(|peer| peer.may_ask()) else {
            return Err(not_allowed());
        };
        let wanted = Parameters::of(request.uri().query(), &["key", "dry_run"])?;
        let key = wanted.key()?.ok_or_else(|| Refused::bad("no `key`, wanted the key that is meant"))?;
        let dry_run = wanted.switch("dry_run")?;
        let person = Person { pid: peer.pid, uid: peer.uid, login_uid: None };
        let (reply, answer) = oneshot::channel();
        let asked = Asked { act, key, dry_run, person, reply };
        self.asked
            .try_send(asked)
            .map_err(|full| Refused::later(format!("the loop takes no request: {full}")))?;
        tokio::time::timeout(limits.request, answer)
            .await
            .map_err(|_| Refused::later("the loop did not answer in time; what is done is recorded"))?
            .map_err(|_| Refused::later("the loop stopped before it answered"))?
            .map_err(|why| Refused::openly(StatusCode::CONFLICT, why))
    }
}

fn not_allowed() -> Refused {
    let why = "only root, or the user that driftd runs as, may ask for a change\nhint: `sudo`";
    Refused::openly(StatusCode::FORBIDDEN, why.into())
}
