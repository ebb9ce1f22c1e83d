//! What was recorded, for those who read over HTTP: one question to the store after the other, on a thread that is there
//! only while somebody asks.
//!
//! The loop never waits for it, and a question that cannot be taken is refused at once.

use super::{super::answer::Refused, Reading};
use crate::store::{Reader, StoreError};

impl Reading {
    /// Asks the store. It answers in the order it was asked: who asks waits for those before.
    ///
    /// It is opened for each question: few ask, nothing is held in memory while nobody does, and a store that is damaged
    /// may be another one by the next time.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let _place = self
            .asking
            .try_acquire()
            .map_err(|_| Refused::later("as many read the store as may wait for it"))?;
        // Who asked may go away while the store is read: its turn lasts until that is over.
        let turn = self.turn.clone().acquire_owned().await;
        let state = self.state.clone();
        let read = move || {
            let _turn = turn;
            Reader::open(&state)?.map(|reader| question(&reader)).transpose()
        };
        let answer = tokio::task::spawn_blocking(read).await;
        let answer =
            answer.map_err(|broken| Refused::later(format!("the store cannot be read: {broken}")))?;
        let answer = answer.map_err(|error| Refused::later(error.to_string()))?;
        answer.ok_or_else(|| Refused::later("the store is gone"))
    }
}
