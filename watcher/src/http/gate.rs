//! The gate: connections of senders, over TLS or plainly on loopback, and who of them is heard at all.
//!
//! What is served behind it is not known here. What is refused is told here, with the sender's address and its name for
//! the message.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use hyper::{Request, StatusCode, body::Incoming, http::request::Parts};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::{
    HttpError,
    answer::{Answer, Refused},
    body::Arriving,
    callers::{Caller, Callers, Share, Told, WRONG},
    connection::{self, Limits, Seat},
    outcomes::{Outcome, Outcomes, Reason},
    senders,
    tls::{self, Tls},
};
use crate::config;

/// A bound listener for senders, not yet serving.
pub struct Gate {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    tls: Option<Tls>,
    callers: config::Callers,
    pub(super) limits: Limits,
    pub(super) outcomes: Arc<Outcomes>,
}

/// A request that is heard.
pub struct Call {
    /// Its head.
    pub head: Parts,
    /// Its body, as it comes.
    pub body: Arriving,
    /// Whose address it is from.
    pub from: IpAddr,
    /// The sender's own name for it, for the log.
    pub delivery: Option<String>,
    /// The place of its connection: kept once it has proved whose it is.
    pub seat: Seat,
}

/// What the connections share.
struct Inside<S> {
    tls: Option<Tls>,
    callers: Callers,
    limits: Limits,
    outcomes: Arc<Outcomes>,
    stop: watch::Receiver<bool>,
    serve: S,
}

impl Gate {
    /// Reads the certificate and binds the address. `state_dir` keeps a self-signed certificate.
    ///
    /// # Errors
    /// There is no usable certificate, the address cannot be had, or it is another than loopback and the settings say
    /// plain.
    pub async fn bind(
        listen: SocketAddr,
        tls: &config::Tls,
        callers: &config::Callers,
        state_dir: &Path,
    ) -> Result<Gate, HttpError> {
        if *tls == config::Tls::Plain && !listen.ip().to_canonical().is_loopback() {
            return Err(HttpError::PlainInTheOpen(listen));
        }
        let tls = Tls::load(tls, listen.ip(), state_dir)?;
        let bind = |source| HttpError::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let outcomes = Arc::default();
        Ok(Gate { listener, address, tls, callers: callers.clone(), limits: Limits::USUAL, outcomes })
    }

    /// Where a path is, with the port that was really bound: `https://127.0.0.1:8787/webhook/gitops`.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Has every request served that may be heard, until asked to stop; requests in hand then have a grace of 2 s.
    pub async fn open<S, F>(self, serve: S, stop: watch::Receiver<bool>)
    where
        S: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Answer, Refused>> + Send + 'static,
    {
        let Gate { listener, tls, callers, limits, outcomes, .. } = self;
        let callers = Callers::new(callers, limits.forgotten);
        let inside = Arc::new(Inside { tls, callers, limits, outcomes, stop: stop.clone(), serve });
        let share = |(_, peer): &(TcpStream, SocketAddr)| Some(Share::of(peer.ip()));
        let serve = |(stream, peer), seat| inside.clone().connected(stream, peer, seat);
        connection::accept(move |cx| listener.poll_accept(cx), share, serve, &limits, stop).await;
    }
}

impl<S, F> Inside<S>
where
    S: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Answer, Refused>> + Send + 'static,
{
    /// Serves one connection from its first byte to its last.
    async fn connected(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        if !self.callers.connects(peer.ip()) {
            return self.turned_away(peer);
        }
        let inside = self.clone();
        let answer = move |request| inside.clone().answer(request, peer, seat.clone());
        let (limits, stop) = (&self.limits, self.stop.clone());
        let ended = match &self.tls {
            None => connection::serve(stream, limits, stop, answer).await,
            Some(tls) => match timeout(limits.handshake, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::H2) => {
                    connection::serve_h2(stream, limits, stop, answer).await
                }
                Ok(Ok(stream)) => connection::serve(stream, limits, stop, answer).await,
                Ok(Err(error)) => return self.no_handshake(peer, &error),
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
        self.outcomes.count(Outcome::Refused(Reason::Uninvited));
        match self.callers.hold_against(peer.ip()) {
            Told::No => {}
            Told::Yes => tracing::warn!(%peer, "a connection is not taken: its address is not in `allow`"),
            Told::Last => tracing::warn!(
                %peer,
                "a connection is not taken: its address is not in `allow`; further ones are told no more for a while"
            ),
        }
    }

    /// The answer to a request.
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr, seat: Seat) -> Answer {
        let (head, body) = request.into_parts();
        let body = Arriving::new(body, self.limits.linger);
        let caller = self.callers.caller(peer, &head.headers);
        let delivery = senders::delivery(&head.headers);
        let (refused, told) = match self.callers.refuses(&caller) {
            Some(refused) => refused,
            None => {
                match (self.serve)(Call { head, body, from: caller.sender, delivery: delivery.clone(), seat })
                    .await
                {
                    Ok(answer) => return answer,
                    Err(refused) if refused.status == StatusCode::UNAUTHORIZED => {
                        (refused, self.callers.hold_against(caller.sender))
                    }
                    Err(refused) => (refused, Told::Yes),
                }
            }
        };
        self.outcomes.count(Outcome::Refused(refused.why));
        tell(&caller, delivery.as_deref(), &refused, told);
        refused.answer()
    }

    /// A handshake that failed is told, because a sender that mistrusts the certificate looks like this. A peer that
    /// only opens and closes the connection, as health checks do, is not worth a line.
    fn no_handshake(&self, peer: SocketAddr, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                tracing::debug!(%peer, "no TLS handshake: {error}");
            }
            _ => {
                self.outcomes.count(Outcome::Refused(Reason::Handshake));
                tracing::warn!(
                    %peer,
                    "no TLS handshake: {error}\nhint: does the sender use `https://`, and trust the certificate?"
                );
            }
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
