//! The loopback listener for reading. What it serves is what the Unix socket serves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_io_timeout::TimeoutStream;

use super::{
    super::{
        HttpError,
        connection::{self, Limits, Seat},
    },
    Guard, Reading, answer,
    feed::LIFE,
};
use crate::config::Http;

/// How many at once, and how long: a page in a browser, a scraper, a dashboard.
pub const LIMITS: Limits = Limits {
    connections: 64,
    whole: Duration::from_secs(LIFE.as_secs() + 60),
    grace: Duration::from_secs(1),
    ..Limits::USUAL
};

/// How long a reader may take nothing of what waits for it before it is cut off.
pub const STALL: Duration = Duration::from_secs(10);

/// The bound listener, not yet serving.
pub struct Pages {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    pub(super) stall: Duration,
}

impl Pages {
    /// Binds the address.
    ///
    /// # Errors
    /// It is not of the loopback interface, or cannot be had.
    pub async fn bind(settings: &Http) -> Result<Pages, HttpError> {
        let listen = settings.listen;
        if !listen.ip().is_loopback() {
            return Err(HttpError::PlainInTheOpen(listen));
        }
        let bind = |source| HttpError::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Pages { listener, address, guard: Guard::Loopback(settings.hosts.clone()), stall: STALL })
    }

    /// Where the page is, with the port that was really bound.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves what driftd knows, until asked to stop.
    pub async fn serve(self, reading: Arc<Reading>, stop: watch::Receiver<bool>) {
        let answer = move |request, guard: Arc<Guard>| {
            let reading = reading.clone();
            async move { answer(&reading, request, &guard, &LIMITS).await }
        };
        self.open(answer, stop).await;
    }

    /// Has every request answered, until asked to stop; the answer asks the guard.
    pub async fn open<B, F>(
        self,
        answer: impl Fn(Request<Incoming>, Arc<Guard>) -> F + Clone + Send + Sync + 'static,
        stop: watch::Receiver<bool>,
    ) where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
    {
        let Pages { listener, guard, stall, .. } = self;
        let (guard, stopping) = (Arc::new(guard), stop.clone());
        let serve = move |(stream, reader): (_, SocketAddr), seat: Seat| {
            // Nobody proves anything here: none makes room for another, and each has its time.
            seat.keep();
            let (answer, guard, stop) = (answer.clone(), guard.clone(), stopping.clone());
            async move {
                let answer = |request| answer(request, guard.clone());
                let mut stream = Box::pin(TimeoutStream::new(stream));
                stream.as_mut().set_write_timeout_pinned(Some(stall));
                if let Err(error) = connection::serve(stream, &LIMITS, stop, answer).await {
                    tracing::debug!(%reader, "a connection of a reader ended early: {error}");
                }
            }
        };
        connection::accept(move |cx| listener.poll_accept(cx), |_| None, serve, &LIMITS, stop).await;
    }
}
