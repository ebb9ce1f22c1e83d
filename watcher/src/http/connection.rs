//! Connections: how many at once, how long each may take, and how they end. HTTP/1.1 only, one request each.
//!
//! Nothing here knows what is served. hyper's `http1` is driven directly: hyper-util's `auto` waits for ever for a
//! peer that says nothing (hyperium/hyper#3756). Nothing here wakes up while nothing happens.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::answer::Answer;

/// How much and how long a peer may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the header of the request, from the first byte on or the connection.
    pub header: Duration,
    /// For the body of the request.
    pub body: Duration,
    /// For the request from its header to what became of it; a wait for a verdict comes on top.
    pub request: Duration,
    /// For the peer to take the answer and close.
    pub linger: Duration,
    /// For all of it, whatever of the above it hangs in: a peer that takes a long answer byte by byte.
    pub whole: Duration,
    /// For requests in hand, once we are asked to stop.
    pub grace: Duration,
}

impl Limits {
    /// What the listeners start with. Senders give up after 5 to 15 s (facts: GitHub 10 s, Flux 15 s, Gitea 5 s), so
    /// nothing is gained by more.
    pub const USUAL: Limits = Limits {
        connections: 64,
        handshake: Duration::from_secs(5),
        header: Duration::from_secs(5),
        body: Duration::from_secs(10),
        request: Duration::from_secs(15),
        linger: Duration::from_secs(1),
        // The above, the longest wait for a verdict (300 s), and a little.
        whole: Duration::from_secs(330),
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

/// Accepts connections until asked to stop, and serves each in a task of its own. Returns when all have ended, at
/// the latest after the grace.
pub async fn accept<C, F: Future<Output = ()> + Send + 'static>(
    listener: impl Fn(&mut Context<'_>) -> Poll<io::Result<C>>,
    serve: impl Fn(C) -> F,
    limits: &Limits,
    stop: watch::Receiver<bool>,
) {
    let mut open = JoinSet::new();
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = stopped(stop.clone()) => break,
            Some(ended) = open.join_next(), if !open.is_empty() => tell(ended),
            accepted = poll_fn(&listener), if open.len() < limits.connections => match accepted {
                Ok(connection) => {
                    failing = false;
                    open.spawn(serve(connection));
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
        while let Some(ended) = open.join_next().await {
            tell(ended);
        }
    };
    if timeout(limits.grace, all_ended).await.is_err() {
        tracing::warn!("{} requests did not end in time and are broken off", open.len());
    }
}

/// A connection that panicked is told; the others go on.
fn tell(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a connection broke: {error}");
    }
}

/// Serves the one request of a connection.
///
/// # Errors
/// The peer did not speak HTTP/1, was too slow to say what it wants, or went away.
pub async fn serve<F: Future<Output = Answer>>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F + Unpin,
) -> hyper::Result<()> {
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

/// Says that nothing more comes, and takes what the peer still sends. A socket that is closed with bytes unread is
/// reset, and the reset can overtake the answer: a sender of too long a body would never learn that it was.
async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    io.shutdown().await?;
    let mut unread = [0; 4096];
    while io.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        time::{Duration, Instant},
    };

    use super::*;

    #[tokio::test]
    async fn an_accept_that_keeps_failing_does_not_spin() {
        let (stop, stopped) = watch::channel(false);
        let failures = Cell::new(0);
        let listener = |_: &mut Context<'_>| {
            failures.set(failures.get() + 1);
            stop.send_replace(failures.get() >= 3);
            Poll::Ready(Err::<(), _>(io::Error::other("too many open files")))
        };
        let began = Instant::now();
        accept(listener, |()| async {}, &Limits::USUAL, stopped).await;
        assert!(began.elapsed() >= 3 * BACK_OFF, "three failures, a pause after each");
    }

    #[tokio::test]
    async fn what_does_not_end_within_the_grace_is_broken_off() {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let alive = Cell::new(Some(alive));
        let listener = |_: &mut Context<'_>| match alive.take() {
            Some(alive) => Poll::Ready(Ok(alive)),
            None => Poll::Pending,
        };
        let serve = |alive| {
            stop.send_replace(true);
            async move {
                std::future::pending::<()>().await;
                drop(alive);
            }
        };
        let limits = Limits { grace: Duration::from_millis(20), ..Limits::USUAL };
        accept(listener, serve, &limits, stopped).await;
        assert!(ended.await.is_err(), "its task is gone");
    }
}
