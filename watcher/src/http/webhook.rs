//! The webhook listener: connections of senders, over TLS, or plainly on loopback.
//!
//! What is served is next door: `deliver` takes what is posted to `/webhook/gitops` and beneath it, `recall` tells the
//! verdict to who delivered. Nothing else is served. Who is heard at all is decided here, before either.

mod deliver;
mod recall;

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use hyper::{Request, StatusCode, body::Incoming};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};

pub use deliver::{Delivery, Posted};

use super::{
    HttpError,
    answer::{Answer, Refused},
    body::Bodies,
    callers::{Caller, Callers, Share, Told, WRONG},
    connection::{self, Limits, Seat},
    door::{Door, PATH},
    senders,
    tls::{self, Tls},
    verdict::{self, Question},
};
use crate::config;

/// The bound listener, not yet serving.
pub struct Webhook {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    door: Door,
    callers: config::Callers,
    limits: Limits,
}

/// What the connections share.
struct Desk {
    tls: Option<Tls>,
    door: Door,
    callers: Callers,
    bodies: Bodies,
    limits: Limits,
    deliveries: mpsc::Sender<Posted>,
    questions: mpsc::Sender<Question>,
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
        if settings.tls == config::Tls::Plain && !listen.ip().to_canonical().is_loopback() {
            return Err(HttpError::PlainInTheOpen(listen));
        }
        let door = Door::load(&settings.credentials)?;
        let tls = Tls::load(&settings.tls, listen.ip(), state_dir)?;
        let callers = settings.callers.clone();
        let bind = |source| HttpError::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Webhook { listener, address, tls, door, callers, limits: Limits::USUAL })
    }

    /// Where to post, with the port that was really bound: `https://127.0.0.1:8787/webhook/gitops`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{PATH}", self.address)
    }

    /// Serves until asked to stop; requests in hand then have a grace of 2 s.
    ///
    /// Nothing waits for room in the channels: where one is full, the sender is told to try again.
    pub async fn serve(
        self,
        deliveries: mpsc::Sender<Posted>,
        questions: mpsc::Sender<Question>,
        stop: watch::Receiver<bool>,
    ) {
        let Webhook { listener, tls, door, callers, limits, .. } = self;
        let (bodies, callers) = (Bodies::new(limits.linger), Callers::new(callers, limits.forgotten));
        let desk = Desk { tls, door, callers, bodies, limits, deliveries, questions, stop: stop.clone() };
        let desk = Arc::new(desk);
        let share = |(_, peer): &(TcpStream, SocketAddr)| Some(Share::of(peer.ip()));
        let serve = |(stream, peer), seat| desk.clone().connected(stream, peer, seat);
        connection::accept(move |cx| listener.poll_accept(cx), share, serve, &limits, stop).await;
    }
}

impl Desk {
    /// Serves one connection from its first byte to its last.
    async fn connected(self: Arc<Desk>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        if !self.callers.connects(peer.ip()) {
            return self.turned_away(peer);
        }
        let desk = self.clone();
        let answer = move |request| desk.clone().answer(request, peer, seat.clone());
        let (limits, stop) = (&self.limits, self.stop.clone());
        let ended = match &self.tls {
            None => connection::serve(stream, limits, stop, answer).await,
            Some(tls) => match timeout(limits.handshake, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::H2) => {
                    connection::serve_h2(stream, limits, stop, answer).await
                }
                Ok(Ok(stream)) => connection::serve(stream, limits, stop, answer).await,
                Ok(Err(error)) => return no_handshake(peer, &error),
                Err(_late) => return tracing::debug!(%peer, "no TLS handshake in {:?}", limits.handshake),
            },
        };
        match ended {
            Err(error) if error.is_parse() => tracing::warn!(%peer, "not HTTP as it should be: {error}"),
            Err(error) => tracing::debug!(%peer, "the connection ended early: {error}"),
            Ok(()) => {}
        }
    }

    /// Who is not in `allow` is not heard at all.
    fn turned_away(&self, peer: SocketAddr) {
        match self.callers.hold_against(peer.ip()) {
            Told::No => {}
            Told::Yes => tracing::warn!(%peer, "a connection is not taken: its address is not in `allow`"),
            Told::Last => tracing::warn!(
                %peer,
                "a connection is not taken: its address is not in `allow`; further ones are told no more for a while"
            ),
        }
    }

    /// The answer to a request. What is refused is told here, with the sender's address and its name for the message.
    async fn answer(self: Arc<Desk>, request: Request<Incoming>, peer: SocketAddr, seat: Seat) -> Answer {
        let caller = self.callers.caller(peer, request.headers());
        let delivery = senders::delivery(request.headers());
        let (refused, told) = match self.callers.refuses(&caller) {
            Some(refused) => refused,
            None => match self.serve(request, delivery.as_deref(), &seat).await {
                Ok(answer) => return answer,
                Err(refused) if refused.status == StatusCode::UNAUTHORIZED => {
                    (refused, self.callers.hold_against(caller.sender))
                }
                Err(refused) => (refused, Told::Yes),
            },
        };
        tell(&caller, delivery.as_deref(), &refused, told);
        refused.answer()
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        delivery: Option<&str>,
        seat: &Seat,
    ) -> Result<Answer, Refused> {
        match verdict::asked(request.uri().path()) {
            Some(deployment) => self.recall(deployment, &request, seat).await,
            None => self.deliver(request, delivery, seat).await,
        }
    }
}

/// Tells of a refusal, as long as it does not fill the log.
fn tell(sender: &Caller, delivery: Option<&str>, refused: &Refused, told: Told) {
    let (status, reason) = (refused.status.as_u16(), &refused.reason);
    match told {
        Told::No => tracing::debug!(%sender, delivery, status, "a request was refused: {reason}"),
        Told::Yes | Told::Last => {
            tracing::warn!(%sender, delivery, status, "a request was refused: {reason}");
        }
    }
    if told == Told::Last {
        tracing::warn!(
            "{} was refused {WRONG} times for what it is or shows; for a while it is answered 429, unheard, and others \
             as before\nhint: where senders share a proxy, name it in `proxies`, and each counts for itself",
            sender.sender
        );
    }
}

/// A handshake that failed is told, because a sender that mistrusts the certificate looks like this. A peer that
/// only opens and closes the connection, as health checks do, is not worth a line.
fn no_handshake(peer: SocketAddr, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::debug!(%peer, "no TLS handshake: {error}");
        }
        _ => tracing::warn!(
            %peer,
            "no TLS handshake: {error}\nhint: does the sender use `https://`, and trust the certificate?"
        ),
    }
}

#[cfg(test)]
mod tests;
