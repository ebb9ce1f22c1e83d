//! Connections: how many at once, who must go when there are more, how long each may take, and how they end.
//!
//! Nothing here knows what is served. hyper's `http1` and `http2` are driven directly: hyper-util's `auto` waits for
//! ever for a peer that says nothing (hyperium/hyper#3756). Nothing here wakes up while nothing happens.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response,
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{answer::Answer, callers::Share};

/// How much and how long a peer may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. For a further one the oldest of those is closed that have proved nothing, of the address
    /// that has most of them; where all have proved something, it waits in the kernel's queue.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the header of the request, from the first byte on or the connection; over HTTP/2, for the next one too.
    pub header: Duration,
    /// For the body of the request.
    pub body: Duration,
    /// For the request from its header to what became of it; a wait for a verdict comes on top.
    pub request: Duration,
    /// For the peer to take the answer and close.
    pub linger: Duration,
    /// For all of it, whatever of the above it hangs in: a peer that takes a long answer byte by byte.
    pub whole: Duration,
    /// Until one of the wrong signatures of an address is forgotten: see [`Callers`](super::callers::Callers).
    pub forgotten: Duration,
    /// For requests in hand, once we are asked to stop.
    pub grace: Duration,
}

impl Limits {
    /// What the listeners start with. Senders give up after 5 to 15 s (facts: GitHub 10 s, Flux 15 s, Gitea 5 s), so
    /// nothing is gained by more.
    pub const USUAL: Limits = Limits {
        // Each takes 40 KiB or so with TLS, and a body of 64 KiB at the most (see `webhook`).
        connections: 128,
        handshake: Duration::from_secs(5),
        header: Duration::from_secs(5),
        body: Duration::from_secs(10),
        request: Duration::from_secs(15),
        linger: Duration::from_secs(1),
        // The above, the longest wait for a verdict (300 s), and a little.
        whole: Duration::from_secs(330),
        // Ten a minute.
        forgotten: Duration::from_secs(6),
        grace: Duration::from_secs(2),
    };
}

/// How long to leave `accept` alone after it failed: it fails for as long as descriptors are short.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The most a request's header may have, in bytes, with the part of the body that comes along with it. Senders'
/// headers are well below 4 KiB.
const BUFFER: usize = 16 * 1024;

/// Returns when we are asked to stop, or when nobody is left to ask.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}

/// The place of a connection among the others. What is here is dispensable until it is kept.
#[derive(Clone, Default)]
pub struct Seat(Arc<AtomicBool>);

impl Seat {
    /// The connection has proved whose it is: it makes room for no other.
    pub fn keep(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that is open.
struct Open {
    share: Option<Share>,
    seat: Seat,
    task: AbortHandle,
}

/// Which of the open connections, oldest first, makes room for another.
fn dispensable(open: &[Open]) -> Option<usize> {
    let dispensable = || open.iter().enumerate().filter(|(_, open)| !open.seat.0.load(Ordering::Relaxed));
    let count = |share| dispensable().filter(|(_, open)| open.share == share).count();
    // Of several that are equal the last is taken: from the back, the oldest.
    dispensable().rev().max_by_key(|(_, open)| count(open.share)).map(|(at, _)| at)
}

/// Accepts connections until asked to stop, and serves each in a task of its own. `share` says whose a connection is:
/// nobody's share of the seats grows at the cost of others. Returns when all have ended, at the latest after the grace.
pub async fn accept<C, F: Future<Output = ()> + Send + 'static>(
    listener: impl Fn(&mut Context<'_>) -> Poll<io::Result<C>>,
    share: impl Fn(&C) -> Option<Share>,
    serve: impl Fn(C, Seat) -> F,
    limits: &Limits,
    stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let mut open: Vec<Open> = Vec::new();
    let mut failing = false;
    loop {
        let full = open.len() >= limits.connections;
        tokio::select! {
            biased;
            () = stopped(stop.clone()) => break,
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                };
                // One that made room is gone from here already.
                open.retain(|open| open.task.id() != id);
                tell(ended.map(drop));
            }
            accepted = poll_fn(&listener), if !full || dispensable(&open).is_some() => match accepted {
                Ok(connection) => {
                    failing = false;
                    if full && let Some(at) = dispensable(&open) {
                        open.remove(at).task.abort();
                    }
                    let (share, seat) = (share(&connection), Seat::default());
                    let task = tasks.spawn(serve(connection, seat.clone()));
                    open.push(Open { share, seat, task });
                }
                // The peer went away while it stood in the queue.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("cannot accept connections, trying on: {error}");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = tasks.join_next().await {
            tell(ended);
        }
    };
    if timeout(limits.grace, all_ended).await.is_err() {
        tracing::warn!("{} requests did not end in time and are broken off", tasks.len());
    }
}

/// A connection that panicked is told; the others go on.
fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection broke: {error}");
    }
}

/// Serves the one request of a connection, over HTTP/1.1.
///
/// # Errors
/// The peer did not speak HTTP/1, was too slow to say what it wants, or went away.
pub async fn serve<B, F>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F + Unpin,
) -> hyper::Result<()>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
    F: Future<Output = Response<B>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        Box::pin(async move { Ok::<_, Infallible>(answer.await) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(BUFFER)
        // One request each: there is then no idle connection to watch (hyperium/hyper#3828).
        .keep_alive(false)
        .serve_connection(TokioIo::new(io), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = stopped(stop) => {
            // Closes a connection that has asked for nothing yet.
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
        () = sleep(limits.whole) => {
            tracing::debug!("a connection is broken off after {:?}", limits.whole);
            return Ok(());
        }
    };
    let _gone = timeout(limits.linger, linger(connection.into_parts().io.into_inner())).await;
    ended
}

/// How many requests of one connection are served at once over HTTP/2. A sender has one.
const STREAMS: u32 = 4;

/// How many requests one connection may make over HTTP/2, whatever becomes of them: what opens and resets one after
/// the other (CVE-2023-44487) has to connect anew.
const REQUESTS: usize = 100;

/// How much of what nobody has read yet is taken from a peer over HTTP/2, in bytes, for each request and in all.
const WINDOW: u32 = 64 * 1024;

/// The requests of an HTTP/2 connection.
#[derive(Clone, Copy, Default)]
struct Requests {
    in_hand: usize,
    all: usize,
}

/// A request in hand: from its header until there is an answer, or nobody who wants one.
struct InHand(Arc<watch::Sender<Requests>>);

impl InHand {
    fn take(requests: &Arc<watch::Sender<Requests>>) -> InHand {
        requests.send_modify(|requests| {
            requests.in_hand += 1;
            requests.all += 1;
        });
        InHand(requests.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.send_modify(|requests| requests.in_hand = requests.in_hand.saturating_sub(1));
    }
}

/// Serves the requests of a connection, over HTTP/2.
///
/// # Errors
/// The peer did not speak HTTP/2, or went away.
pub async fn serve_h2<F: Future<Output = Answer> + Send + 'static>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) -> hyper::Result<()> {
    let (requests, heard) = watch::channel(Requests::default());
    let requests = Arc::new(requests);
    let service = service_fn(move |request: Request<Incoming>| {
        let in_hand = InHand::take(&requests);
        let is_head = request.method() == Method::HEAD;
        let answer = answer(request);
        async move {
            let mut answer = answer.await;
            // Over HTTP/1 hyper leaves it out by itself; here it would break the stream (RFC 9110, section 9.3.2).
            if is_head {
                *answer.body_mut() = Full::default();
            }
            drop(in_hand);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(BUFFER as u32)
        .max_pending_accept_reset_streams(Some(STREAMS as usize * 2))
        .max_local_error_reset_streams(Some(STREAMS as usize * 2))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut whole = pin!(sleep(limits.whole));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopped(stop) => {
            // What is in hand is answered: as long as that takes, or until the grace is over.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = unused(heard.clone(), Duration::ZERO) => {}
                () = whole.as_mut() => {}
            }
        }
        () = unused(heard.clone(), limits.header) => connection.as_mut().graceful_shutdown(),
        () = whole.as_mut() => {}
    }
    match timeout(limits.linger, connection).await {
        Ok(ended) => ended,
        Err(_late) => Ok(()),
    }
}

/// Returns when no request has been in hand for so long, or when there have been as many as there may be.
async fn unused(mut heard: watch::Receiver<Requests>, for_so_long: Duration) {
    loop {
        // Nobody to hear from any more: the connection ends by itself.
        let Ok(requests) = heard.wait_for(|requests| requests.in_hand == 0).await.map(|requests| *requests)
        else {
            return std::future::pending().await;
        };
        if requests.all >= REQUESTS {
            return;
        }
        tokio::select! {
            _news = heard.wait_for(|now| now.all > requests.all) => {}
            () = sleep(for_so_long) => return,
        }
    }
}

/// Says that nothing more comes, and takes what the peer still sends. A socket that is closed with bytes unread is
/// reset, and the reset can overtake the answer: a sender of too long a body would never learn that it was.
async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    io.shutdown().await?;
    let mut unread = [0; 4096];
    while io.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
