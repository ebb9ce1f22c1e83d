//! The hub: takes the gitops-status JSON of many pipelines and hosts, keeps the last of each, and shows all with their
//! age.
//!
//! `POST /api/status` is authenticated as the webhook is. All that is kept is read on loopback by anybody, and at the
//! gate by who proves himself. What a status says is `report`'s, what outlives a restart `kept`'s.

mod kept;
mod report;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::watch, time::timeout};

use self::kept::{Kept, Unkept};
pub use self::report::Report;
use super::{
    HttpError, Secret,
    answer::{Answer, Refused, json},
    body::Bodies,
    connection::Limits,
    door::DoorError,
    gate::{Call, Gate},
    reading::{Guard, HEADERS, Pages},
    secrets::{SecretError, Token},
    signature::{Claim, Keys, PLAIN, Scheme, Spelling, Unsigned},
};
use crate::config;

/// Where a status is posted.
const POST: &str = "/api/status";

/// Where all of them are read.
const ALL: &str = "/status.json";

/// The bound hub, not yet serving.
pub struct Hub {
    gate: Gate,
    pages: Option<Pages>,
    desk: Desk,
}

/// What the requests share.
struct Desk {
    /// What proves that a sender may send, the stronger first.
    keys: Vec<(Scheme, Keys)>,
    bodies: Bodies,
    limits: Limits,
    kept: Kept,
}

/// What is answered to a status that was taken.
#[derive(Serialize)]
struct Taken<'a> {
    status: &'static str,
    server: &'a str,
    repo: &'a str,
}

impl Hub {
    /// Reads what senders prove themselves by, the certificate, and what was kept in `state`; and binds the addresses.
    ///
    /// # Errors
    /// There is no usable secret or token, or no usable certificate; what was kept cannot be read; or an address cannot
    /// be had.
    pub async fn bind(
        settings: &config::Hub,
        http: Option<&config::Http>,
        state: &Path,
    ) -> Result<Hub, HttpError> {
        let keys = keys(&settings.secrets, &settings.tokens).map_err(DoorError::from)?;
        let kept = Kept::load(state)?;
        let gate = Gate::bind(settings.listen, &settings.tls, &settings.callers, state).await?;
        let pages = match http {
            Some(http) => Some(Pages::bind(http).await?),
            None => None,
        };
        let limits = gate.limits;
        Ok(Hub { gate, pages, desk: Desk { keys, bodies: Bodies::new(), limits, kept } })
    }

    /// Where to post: `https://127.0.0.1:8444/api/status`.
    pub fn url(&self) -> String {
        self.gate.url(POST)
    }

    /// Where all is read without credentials, if anywhere: `http://127.0.0.1:9757/`.
    pub fn page(&self) -> Option<String> {
        self.pages.as_ref().map(Pages::url)
    }

    /// How many statuses are kept.
    pub fn kept(&self) -> usize {
        self.desk.kept.count()
    }

    /// Serves until asked to stop; requests in hand then have a grace of 2 s.
    pub async fn serve(self, stop: watch::Receiver<bool>) {
        let Hub { gate, pages, desk } = self;
        let desk = Arc::new(desk);
        let reading = async {
            let Some(pages) = pages else { return };
            let desk = desk.clone();
            let read = move |request: Request<Incoming>, guard: Arc<Guard>| {
                let desk = desk.clone();
                async move { desk.read(&request, &guard) }
            };
            pages.open(read, stop.clone()).await;
        };
        let desk = desk.clone();
        let serve = move |call| {
            let desk = desk.clone();
            async move { desk.serve(call).await }
        };
        tokio::join!(reading, gate.open(serve, stop.clone()));
    }
}

/// What senders prove themselves by, the stronger kind first.
fn keys(secrets: &[PathBuf], tokens: &[PathBuf]) -> Result<Vec<(Scheme, Keys)>, SecretError> {
    let mut keys = Vec::new();
    if !secrets.is_empty() {
        let secrets = secrets.iter().map(|file| Secret::load(file)).collect::<Result<_, _>>()?;
        keys.push((Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 }, Keys::Secrets(secrets)));
    }
    if !tokens.is_empty() {
        let tokens = tokens.iter().map(|file| Token::load(file)).collect::<Result<_, _>>()?;
        keys.push((Scheme::Bearer, Keys::Tokens(tokens)));
    }
    if keys.is_empty() { Err(SecretError::None) } else { Ok(keys) }
}

impl Desk {
    /// What a sender may: post its status, and read all of them.
    async fn serve(&self, Call { head, body, seat, .. }: Call) -> Result<Answer, Refused> {
        let path = head.uri.path();
        match (path, head.method == Method::POST) {
            (POST, true) => {
                let (claim, keys) = self.claim(&head.headers)?;
                let body = timeout(self.limits.body, self.bodies.whole(body)).await.map_err(|_| {
                    Refused::slow(format!("the body did not come in {:?}", self.limits.body))
                })??;
                let now = Timestamp::now();
                let ((), authentic) = claim.verify([((), keys)], body)?;
                let signed = authentic.fresh(now)?;
                seat.keep();
                self.take(signed.body(), now).await
            }
            (ALL, false) if head.method == Method::GET => {
                let (claim, keys) = self.claim(&head.headers)?;
                claim.verify([((), keys)], Bytes::copy_from_slice(path.as_bytes()))?;
                seat.keep();
                Ok(self.all())
            }
            (POST, false) => Err(Refused::method(&head.method, "POST")),
            (ALL, _) => Err(Refused::method(&head.method, "GET")),
            _ => Err(Refused::not_here(path)),
        }
    }

    /// What a request shows, and what it is compared with: of two kinds of proof the stronger counts.
    fn claim(&self, headers: &HeaderMap) -> Result<(Claim, &Keys), Unsigned> {
        let shown = self.keys.iter().find(|(scheme, _)| headers.contains_key(scheme.header()));
        let (scheme, keys) = shown.or(self.keys.first()).ok_or(Unsigned::Missing { header: PLAIN })?;
        Ok((Claim::of(*scheme, headers)?, keys))
    }

    /// Keeps an authentic status, and answers when it is kept for good.
    async fn take(&self, body: &[u8], now: Timestamp) -> Result<Answer, Refused> {
        let report = Report::read(body, now)
            .map_err(|wrong| Refused::openly(StatusCode::BAD_REQUEST, wrong.to_string()))?;
        let (server, repo) = (report.server.clone(), report.repo.clone());
        match self.kept.keep(report, now).await {
            Ok(()) => {}
            Err(Unkept::Unwritable(why)) => return Err(Refused::later(why)),
            Err(why @ Unkept::Older { .. }) => {
                return Err(Refused::openly(StatusCode::CONFLICT, why.to_string()));
            }
            Err(why @ Unkept::Full(_)) => {
                return Err(Refused::openly(StatusCode::INSUFFICIENT_STORAGE, why.to_string()));
            }
        }
        Ok(json(StatusCode::OK, &Taken { status: "kept", server: &server, repo: &repo }))
    }

    /// What who is on this host reads.
    fn read<B>(&self, request: &Request<B>, guard: &Guard) -> Answer {
        let answered = guard.admit(request).and_then(|()| match request.uri().path() {
            ALL => Ok(self.all()),
            "/healthz" => Ok(Response::new(Full::new(Bytes::from_static(b"ok\n")))),
            path => Err(Refused::not_here(path)),
        });
        let mut answer = answered.unwrap_or_else(Refused::answer_openly);
        answer.headers_mut().extend(HEADERS.map(|(name, value)| (Some(name), value)));
        answer
    }

    /// All that is kept, as rows.
    fn all(&self) -> Answer {
        json(StatusCode::OK, &self.kept.rows(Timestamp::now()))
    }
}
