//! What was recorded, for those who read over HTTP: one thread reads the store, one question after the other.
//!
//! The loop never waits for it, and a question that cannot be taken is refused at once.

use std::path::Path;

use tokio::sync::{mpsc, oneshot};

use super::{super::answer::Refused, Reading};
use crate::store::{Reader, StoreError};

/// A question to the store, with its answer's way back inside.
pub type Ask = Box<dyn FnOnce(&Reader) + Send>;

/// Answers until nobody can ask any more. The store is opened for each: few ask, nothing is held in memory while nobody
/// does, and a store that is damaged may be another one by the next time.
pub fn answer_asks(state: &Path, mut asks: mpsc::Receiver<Ask>) {
    while let Some(ask) = asks.blocking_recv() {
        match Reader::open(state) {
            Ok(Some(reader)) => ask(&reader),
            Ok(None) => tracing::error!("the store is gone, and nothing is read from it"),
            Err(error) => tracing::error!("nothing is read from the store: {error}"),
        }
    }
}

impl Reading {
    /// Asks the store. It answers in the order it was asked: who asks waits for those before.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        // Who asked may have gone: then it is not worth the reading.
        let ask = move |reader: &Reader| {
            if !reply.is_closed() {
                drop(reply.send(question(reader)));
            }
        };
        self.asks
            .try_send(Box::new(ask))
            .map_err(|full| Refused::later(format!("too many read the store: {full}")))?;
        let answer = answer.await.map_err(|_| Refused::later("the store cannot be read"))?;
        answer.map_err(|error| Refused::later(error.to_string()))
    }
}
