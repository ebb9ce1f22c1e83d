//! Reading over HTTP: how things stand, what was recorded, and a page that shows both. On the Unix socket and, where
//! the configuration has `http:`, on loopback.
//!
//! Nothing here changes anything but one: messages that were given up are sent again, asked on the socket alone. Nothing
//! here keeps state: what is so is asked of the loop, what was is read from
//! the store. Everything is bounded: connections, streams, how much one answer holds, how long it may take.

mod archive;
mod feed;
mod guard;
mod listener;
mod metrics;
mod news;
mod page;
mod parameters;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use guard::{Guard, HEADERS};
pub use listener::{LIMITS, Pages, STALL};
pub use parameters::Parameters;
pub use routes::{RETRY, STATUS, Served, answer};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::news::News;
use super::{answer::Refused, connection::Limits, outcomes::Outcomes};
use crate::{
    model::{Counters, Status, Watched},
    store::Work,
};

/// A question to the loop: how things stand.
#[derive(Debug)]
pub enum Query {
    /// At a glance.
    Status(oneshot::Sender<Status>),
    /// At a glance, with what was counted.
    Figures(oneshot::Sender<(Status, Counters)>),
    /// Every declared key.
    Keys(oneshot::Sender<Vec<Watched>>),
}

/// How many streams there are at once; each holds a connection.
const STREAMS: usize = 16;

/// How many who want to know what was recorded may wait for each other.
const ASKS: usize = 64;

/// What all that is read is read from.
pub struct Reading {
    queries: mpsc::Sender<Query>,
    state: PathBuf,
    asking: Semaphore,
    turn: Arc<Semaphore>,
    news: News,
    outcomes: Option<Arc<Outcomes>>,
    streams: Arc<Semaphore>,
    server: Box<str>,
    config: Box<str>,
    /// Weak: who reads does not keep the store from its end.
    work: Option<mpsc::WeakSender<Work>>,
    stop: watch::Receiver<bool>,
}

impl Reading {
    /// `state` is the directory of the store, `config` the name of the configuration as sources have it; `outcomes` are
    /// those of the webhook, where there is one.
    pub fn new(
        queries: mpsc::Sender<Query>,
        state: &Path,
        outcomes: Option<Arc<Outcomes>>,
        config: &str,
        stop: watch::Receiver<bool>,
    ) -> Reading {
        Reading {
            queries,
            state: state.to_owned(),
            asking: Semaphore::new(ASKS),
            turn: Arc::new(Semaphore::new(1)),
            news: News::of(state),
            outcomes,
            streams: Arc::new(Semaphore::new(STREAMS)),
            server: rustix::system::uname().nodename().to_string_lossy().into(),
            config: config.into(),
            work: None,
            stop,
        }
    }

    /// The same, that can ask the store for work too: what was given up is sent again.
    pub fn with_work(self, work: mpsc::WeakSender<Work>) -> Reading {
        Reading { work: Some(work), ..self }
    }

    /// Has messages that were given up sent again, of one sink or of all; how many they are.
    async fn requeue(&self, limits: &Limits, sink: Option<Box<str>>) -> Result<usize, Refused> {
        let gone = || Refused::later("the store takes nothing any more");
        let work = self.work.as_ref().and_then(mpsc::WeakSender::upgrade).ok_or_else(gone)?;
        let (reply, requeued) = oneshot::channel();
        work.send(Work::Requeue(sink, reply)).await.map_err(|_| gone())?;
        drop(work);
        tokio::time::timeout(limits.request, requeued)
            .await
            .map_err(|_| Refused::later("the store did not answer in time"))?
            .map_err(|_| gone())
    }

    /// Asks the loop. Nothing waits for room in its channel.
    async fn query<T>(
        &self,
        limits: &Limits,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.queries
            .try_send(query(reply))
            .map_err(|full| Refused::later(format!("the loop takes no query: {full}")))?;
        tokio::time::timeout(limits.request, answer)
            .await
            .map_err(|_| Refused::later("the loop did not answer in time"))?
            .map_err(|_| Refused::later("the loop stopped before it answered"))
    }
}
