//! The stream: what was recorded, and what is from now on, as server-sent events (HTML Living Standard, 9.2).
//!
//! Each event has the number of its entry as `id`, so that a browser that comes back misses nothing. A stream takes
//! from the store what its reader has room for: nothing is queued for a slow one.

use std::{
    convert::Infallible,
    fmt::Write,
    future::ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as now},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, sleep_until},
};

use super::{super::connection::stopped, Reading, Refused, news::Heard};
use crate::store::{Filter, Row};

/// How many entries go out at once.
const PIECE: usize = 256;

/// How often something is sent where nothing happens, so that both ends learn that the other is gone.
const PULSE: Duration = Duration::from_secs(15);

/// How long one stream lasts; a browser opens the next by itself, where the last one ended.
pub const LIFE: Duration = Duration::from_secs(10 * 60);

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub enum Beginning {
    /// After the entry of this number.
    After(i64),
    /// With so many of the past.
    Last(usize),
}

/// A stream, as the body of an answer.
pub struct Feed {
    next: Next,
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, State)>> + Send>>;

/// Where a stream is.
struct State {
    reading: Arc<Reading>,
    news: Heard,
    filter: Filter,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// A stream from a beginning on. It gives its place back when it ends.
    ///
    /// # Errors
    /// The store cannot be read, or not be watched.
    pub async fn open(
        reading: Arc<Reading>,
        filter: Filter,
        beginning: Beginning,
        place: OwnedSemaphorePermit,
    ) -> Result<Feed, Refused> {
        let news = reading.news.hear().map_err(|error| Refused::later(error.to_string()))?;
        let past = filter.clone();
        let (after, reset) = reading
            .ask(move |reader| {
                let newest = reader.last_number()?;
                Ok(match beginning {
                    // A number that was never given: the store is another than the reader knew.
                    Beginning::After(after) => (after.min(newest), after > newest),
                    Beginning::Last(0) => (newest, false),
                    Beginning::Last(count) => {
                        let first = reader.newest(&past, count)?.first().map(|row| row.number);
                        (first.map_or(newest, |first| first - 1), false)
                    }
                })
            })
            .await?;
        let until = Instant::now() + LIFE;
        let state =
            State { reading, news, filter: Filter { after: Some(after), ..filter }, until, _place: place };
        // Said at once, so that the reader knows that it is connected; it comes back after two seconds.
        let hello = if reset { "retry: 2000\nevent: reset\ndata: {}\n\n" } else { "retry: 2000\n\n" };
        Ok(Feed { next: Box::pin(ready(Some((Bytes::from(hello), state)))) })
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match now!(self.next.as_mut().poll(cx)) {
            Some((bytes, state)) => {
                self.next = Box::pin(state.next());
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            None => {
                self.next = Box::pin(ready(None));
                Poll::Ready(None)
            }
        }
    }
}

impl State {
    /// What is sent next; nothing at the end.
    async fn next(mut self) -> Option<(Bytes, State)> {
        loop {
            // Marked before the store is read, so that what is recorded in between is looked for again.
            self.news.mark_unchanged();
            let filter = self.filter.clone();
            let rows = match self.reading.ask(move |reader| reader.oldest(&filter, PIECE)).await {
                Ok(rows) => rows,
                Err(refused) => {
                    tracing::warn!("a stream ends: {}", refused.reason);
                    return None;
                }
            };
            if let Some(last) = rows.last() {
                self.filter.after = Some(last.number);
                return Some((events(&rows).into(), self));
            }
            tokio::select! {
                biased;
                () = stopped(self.reading.stop.clone()) => return None,
                changed = self.news.changed() => changed?,
                () = sleep_until(self.until) => return None,
                () = sleep(PULSE) => return Some((Bytes::from_static(b":\n\n"), self)),
            }
        }
    }
}

fn events(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        // JSON has no line ends in it, so that each event's data is one line.
        match serde_json::to_string(row) {
            Ok(json) => drop(write!(text, "id: {}\ndata: {json}\n\n", row.number)),
            Err(error) => tracing::error!("the entry {} cannot be written as JSON: {error}", row.number),
        }
    }
    text
}
