//! The webhook listener: `POST /webhook/gitops`, and a path of its own for each sender beneath it, and nothing else; over
//! TLS, or plainly on loopback.
//!
//! A request goes through fixed steps, each within a limit: path, length, claim, body, proof, meaning, loop. What
//! comes out at the end is [`Posted`]; what it moves is decided by who takes it.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Incoming},
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use super::{
    HttpError, MAX_BODY,
    answer::{Answer, Refused, json},
    connection::{self, Limits, stopped},
    door::{Door, Opened, Opening, PATH},
    senders::{self, Manner},
    tls,
};
use crate::{
    config::{self, Tls},
    model::{Announcement, DeploymentId, Ignored, Phase, Receipt, Revision, Verdict, VerdictStatus},
};

/// The longest wait for a verdict that may be asked for, in seconds.
const MAX_WAIT: u64 = 300;

/// An authentic message on its way to the loop.
#[derive(Debug)]
pub enum Posted {
    /// It tells of a deployment.
    Delivery(Delivery),
    /// It counts for nothing, and is answered already.
    Ignored(Ignored),
}

/// A message that tells of a deployment.
#[derive(Debug)]
pub struct Delivery {
    /// What it says.
    pub announcement: Announcement,
    /// Takes what became of it, once that is durable. Dropped, the sender is told to try again.
    pub reply: oneshot::Sender<Receipt>,
    /// Takes the verdict, where the sender waits for one. Dropped, the sender is told that it is not known.
    pub verdict: Option<oneshot::Sender<Verdict>>,
}

/// The bound listener, not yet serving.
pub struct Webhook {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    door: Door,
    limits: Limits,
}

/// What the connections share.
struct Desk {
    tls: Option<TlsAcceptor>,
    door: Door,
    limits: Limits,
    deliveries: mpsc::Sender<Posted>,
    stop: watch::Receiver<bool>,
}

impl Webhook {
    /// Reads the secrets and the certificate, and binds the address. `state_dir` keeps a self-signed certificate.
    ///
    /// # Errors
    /// There is no usable secret or certificate, the address cannot be had, or it is another than loopback and the
    /// settings say plain.
    pub async fn bind(settings: &config::Webhook, state_dir: &Path) -> Result<Webhook, HttpError> {
        let listen = settings.listen;
        if settings.tls == Tls::Plain && !listen.ip().to_canonical().is_loopback() {
            return Err(HttpError::PlainInTheOpen(listen));
        }
        let door = Door::load(&settings.credentials)?;
        let tls = tls::acceptor(&settings.tls, listen.ip(), state_dir)?;
        let bind = |source| HttpError::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Webhook { listener, address, tls, door, limits: Limits::USUAL })
    }

    /// Where to post, with the port that was really bound: `https://127.0.0.1:8787/webhook/gitops`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{PATH}", self.address)
    }

    /// Serves until asked to stop; requests in hand then have a grace of 2 s.
    ///
    /// Nothing waits for room in `deliveries`: where it is full, the sender is told to try again.
    pub async fn serve(self, deliveries: mpsc::Sender<Posted>, stop: watch::Receiver<bool>) {
        let Webhook { listener, tls, door, limits, .. } = self;
        let desk = Arc::new(Desk { tls, door, limits, deliveries, stop: stop.clone() });
        let serve = |(stream, sender)| desk.clone().connected(stream, sender);
        connection::accept(move |cx| listener.poll_accept(cx), serve, &limits, stop).await;
    }
}

/// What is answered to a delivery that was taken.
#[derive(Serialize)]
struct Taken<'a> {
    deployment: &'a DeploymentId,
    commit: &'a Revision,
    status: Standing,
    verdict: String,
}

/// What became of a delivery that was taken, in a word.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    Accepted,
    Known,
    Ignored,
}

/// What is answered to an authentic message that counts for nothing.
#[derive(Serialize)]
struct Passed {
    status: Standing,
    reason: String,
}

/// What is answered where the verdict is not known in time.
#[derive(Serialize)]
struct NotKnown<'a> {
    error: &'static str,
    deployment: &'a DeploymentId,
    verdict: String,
}

impl Desk {
    /// Serves one connection from its first byte to its last.
    async fn connected(self: Arc<Desk>, stream: TcpStream, sender: SocketAddr) {
        let answer = |request| self.answer(request, sender);
        let (limits, stop) = (&self.limits, self.stop.clone());
        let ended = match &self.tls {
            None => connection::serve(stream, limits, stop, answer).await,
            Some(tls) => match timeout(limits.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection::serve(stream, limits, stop, answer).await,
                Ok(Err(error)) => return no_handshake(sender, &error),
                Err(_late) => return tracing::debug!(%sender, "no TLS handshake in {:?}", limits.handshake),
            },
        };
        match ended {
            Err(error) if error.is_parse() => tracing::warn!(%sender, "not HTTP as it should be: {error}"),
            Err(error) => tracing::debug!(%sender, "the connection ended early: {error}"),
            Ok(()) => {}
        }
    }

    /// The answer to a request. What is refused is told here, with the sender's address and its name for the message.
    async fn answer(&self, request: Request<Incoming>, sender: SocketAddr) -> Answer {
        let delivery = senders::delivery(request.headers());
        self.deliver(request, delivery.as_deref()).await.unwrap_or_else(|refused| {
            let status = refused.status.as_u16();
            tracing::warn!(%sender, delivery, status, "a request was refused: {}", refused.reason);
            refused.answer()
        })
    }

    async fn deliver(&self, request: Request<Incoming>, delivery: Option<&str>) -> Result<Answer, Refused> {
        let deadline = Instant::now() + self.limits.request;
        let (head, body) = request.into_parts();
        let place = self.door.at(head.uri.path())?;
        if head.method != Method::POST {
            return Err(Refused::method(&head.method, "POST"));
        }
        let wait = wait(head.uri.query())?;
        let body = announced_length(body)?;
        let asked = place.claim(&head.headers)?;
        let body = timeout(self.limits.body, whole(body))
            .await
            .map_err(|_| Refused::slow(format!("the body did not come in {:?}", self.limits.body)))??;
        let Opened { sender, manner, what } = asked.open(&head.headers, body, Timestamp::now())?;
        let announcement = match what {
            Opening::Announced(announcement) => *announcement,
            Opening::Ignored(why) => return Ok(self.ignored(&sender, why, delivery)),
        };

        let commit = announcement.commit.clone();
        // Only the end of a deployment is judged.
        let wait = wait.filter(|_| announcement.phase == Phase::Finished);
        let (reply, receipt) = oneshot::channel();
        let (verdict, waiting) = wait
            .map(|wait| (wait, oneshot::channel()))
            .map_or((None, None), |(wait, (sender, receiver))| (Some(sender), Some((wait, receiver))));
        self.deliveries
            .try_send(Posted::Delivery(Delivery { announcement, reply, verdict }))
            .map_err(|full| Refused::later(format!("the loop takes no delivery: {full}")))?;
        let receipt = timeout_at(deadline, receipt)
            .await
            .map_err(|_| Refused::later("the delivery was not recorded in time"))?
            .map_err(|_| Refused::later("the loop stopped before the delivery was recorded"))?;
        let (deployment, status) = match receipt {
            Receipt::Accepted(deployment) => (deployment, Standing::Accepted),
            Receipt::Known(deployment) => (deployment, Standing::Known),
            Receipt::Refused(refusal) if manner == Manner::Hook => {
                let why = senders::Ignored::refused(&refusal);
                return Ok(self.ignored(&sender, why, delivery));
            }
            Receipt::Refused(refusal) => return Err(refusal.into()),
            Receipt::NotRecorded => return Err(Refused::later("the delivery could not be recorded")),
        };
        let verdict = format!("/api/v1/deployments/{deployment}");
        match waiting {
            None => {
                let taken = Taken { deployment: &deployment, commit: &commit, status, verdict };
                Ok(json(StatusCode::ACCEPTED, &taken))
            }
            Some((wait, receiver)) => Ok(match self.verdict(wait, receiver).await {
                Some(verdict) => json(status_of(verdict.status), &verdict),
                None => {
                    let error = "the verdict was not known in time";
                    json(StatusCode::GATEWAY_TIMEOUT, &NotKnown { error, deployment: &deployment, verdict })
                }
            }),
        }
    }

    /// What counts for nothing is recorded too, and the sender need not wait for it: where there is no room for it, it
    /// is in the log alone.
    fn ignored(&self, sender: &str, why: senders::Ignored, delivery: Option<&str>) -> Answer {
        let reason = Refused::because(&why);
        tracing::info!(delivery, "a message of `{sender}` is ignored: {reason}");
        let ignored = Ignored {
            sender: sender.to_owned(),
            reason: why.reason.to_owned(),
            detail: why.detail,
            count: 1,
        };
        let _ = self.deliveries.try_send(Posted::Ignored(ignored));
        json(StatusCode::OK, &Passed { status: Standing::Ignored, reason })
    }

    /// The verdict, if it comes in time and before we are asked to stop.
    async fn verdict(&self, wait: Duration, verdict: oneshot::Receiver<Verdict>) -> Option<Verdict> {
        tokio::select! {
            biased;
            verdict = timeout(wait, verdict) => verdict.ok()?.ok(),
            () = stopped(self.stop.clone()) => None,
        }
    }
}

/// The status that makes `curl -f` fail a job whose deployment did not come into force.
fn status_of(verdict: VerdictStatus) -> StatusCode {
    match verdict {
        VerdictStatus::Synced => StatusCode::OK,
        VerdictStatus::OutOfSync => StatusCode::CONFLICT,
    }
}

/// How long the sender waits for the verdict, by its query.
fn wait(query: Option<&str>) -> Result<Option<Duration>, Refused> {
    let Some(query) = query.filter(|q| !q.is_empty()) else { return Ok(None) };
    let wrong = || {
        let query: String = query.chars().take(80).collect();
        Refused::bad(format!(
            "the query is `{}`, and only `wait=SECONDS` is known, once, from 1 to {MAX_WAIT}",
            query.escape_debug()
        ))
    };
    let seconds = query.strip_prefix("wait=").ok_or_else(wrong)?;
    // `parse` alone would take `+5` as well.
    let seconds =
        Some(seconds).filter(|s| s.bytes().all(|b| b.is_ascii_digit())).and_then(|s| s.parse().ok());
    match seconds {
        Some(seconds @ 1..=MAX_WAIT) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(wrong()),
    }
}

/// Refuses a body by the length it announces, before a byte of it is read.
fn announced_length(body: Incoming) -> Result<Incoming, Refused> {
    let announced = body.size_hint().lower();
    match announced > MAX_BODY as u64 {
        true => {
            Err(Refused::too_long(format!("a body of {announced} bytes, and at most {MAX_BODY} are taken")))
        }
        false => Ok(body),
    }
}

/// The whole body, if it is not too long. One that does not announce its length is cut off at the limit.
async fn whole(body: Incoming) -> Result<Bytes, Refused> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refused::too_long(format!("the body goes on past {MAX_BODY} bytes")))
        }
        Err(error) => Err(Refused::bad(format!("the body broke off: {error}"))),
    }
}

/// A handshake that failed is told, because a sender that mistrusts the certificate looks like this. A peer that
/// only opens and closes the connection, as health checks do, is not worth a line.
fn no_handshake(sender: SocketAddr, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::debug!(%sender, "no TLS handshake: {error}");
        }
        _ => tracing::warn!(
            %sender,
            "no TLS handshake: {error}\nhint: does the sender use `https://`, and trust the certificate?"
        ),
    }
}

#[cfg(test)]
mod tests;
