//! The way out of the outbox for one sink: claimed, sent, marked, one after the other. Each sink has a task of its own, so
//! that one that hangs delays no other.
//!
//! What becomes of a try is written before the next one is made. What was sent and not marked when the process died is
//! sent again under the same id.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc::Sender, oneshot, watch},
    time::{sleep, sleep_until},
};

use super::{
    message::Letterhead,
    patience::{Answer, Circuit, wait},
    remote::Remote,
};
use crate::store::{LONGEST, Message, Next, Outcome, Reader, Stale, StoreError, Together, Work};

/// How long a store that cannot be read is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// One sink with what it needs.
pub struct Delivery {
    /// Its name.
    pub sink: Arc<str>,
    /// The sink.
    pub remote: Remote,
    /// How old a message may become.
    pub give_up: Duration,
    /// How long is waited for more, which are then sent as one; nothing where each is sent alone.
    pub group: Duration,
    /// After how long it is told again of what is still open.
    pub remind: Option<Duration>,
    /// What each message says of this host.
    pub head: Arc<Letterhead>,
    /// The outbox.
    pub reader: Rc<Reader>,
    /// Who writes what became of it.
    pub work: Sender<Work>,
    /// Moves whenever there may be something to send.
    pub news: watch::Receiver<u64>,
}

/// What there is to do next.
enum Turn {
    Send(Vec<Message>),
    Bind(Together),
    Wait(Option<Duration>),
}

impl Delivery {
    /// Sends until the store is gone. Dropped while a try is under way, the next run makes it again under the same id.
    pub async fn run(mut self) {
        let mut circuit = Circuit::default();
        loop {
            // Before looking: what is committed meanwhile is looked at again.
            self.news.borrow_and_update();
            if let Some(until) = circuit.rests(Instant::now()) {
                sleep_until(until.into()).await;
                continue;
            }
            let turn = self.turn(Timestamp::now()).unwrap_or_else(|error| {
                tracing::error!("what is to be sent to `{}` cannot be read: {error}", self.sink);
                Turn::Wait(Some(PAUSE))
            });
            match turn {
                Turn::Send(messages) => {
                    let Some(first) = messages.first() else { continue };
                    let answer = match first.orphaned {
                        true => Answer::Refused("one before it about the same was given up".into()),
                        false => self.remote.send(&messages, &self.head).await,
                    };
                    let (now, lot) = (Timestamp::now(), lot());
                    if !first.orphaned {
                        self.tell_trouble(&circuit, &answer);
                        circuit.take(&answer, Instant::now(), lot);
                    }
                    let stale = stale(&answer, self.give_up, now);
                    let outcome = self.outcome(answer, first, now, lot);
                    if let Outcome::Dead { why, .. } = &outcome {
                        tracing::error!(
                            "a message to `{}` is given up: {why}\nhint: `driftd alerts retry` sends it again",
                            self.sink
                        );
                    }
                    let entries = messages.iter().map(|message| message.row.number).collect();
                    if !self.note(entries, outcome, stale).await {
                        return;
                    }
                }
                Turn::Bind(Together { id, entries }) => {
                    tracing::info!("{} messages to `{}` go as one", entries.len(), self.sink);
                    if !self.note(entries, Outcome::Together(id), None).await {
                        return;
                    }
                }
                Turn::Wait(limit) => tokio::select! {
                    moved = self.news.changed() => if moved.is_err() { return },
                    () = sleep(limit.unwrap_or_default()), if limit.is_some() => {}
                },
            }
        }
    }

    fn turn(&self, now: Timestamp) -> Result<Turn, StoreError> {
        if self.remote.sums()
            && let Some(together) = self.reader.burst(&self.sink, now)?
        {
            return Ok(Turn::Bind(together));
        }
        Ok(match self.reader.next_messages(&self.sink, self.group, now)? {
            Next::Send(messages) => Turn::Send(messages),
            Next::At(due) => {
                let left = Duration::try_from(due.duration_since(now)).unwrap_or_default();
                // A due time far away is one of a clock that was set back.
                Turn::Wait(Some(left.min(LONGEST.unsigned_abs())))
            }
            Next::Nothing => Turn::Wait(None),
        })
    }

    /// Says so where a sink fails, and where it does no longer.
    fn tell_trouble(&self, before: &Circuit, answer: &Answer) {
        match (before.is_failing(), answer) {
            (false, Answer::Later { why, .. }) => {
                tracing::warn!("`{}` takes no message: {why}; it is tried again", self.sink);
            }
            (true, Answer::Taken) => tracing::info!("`{}` takes messages again", self.sink),
            _ => {}
        }
    }

    /// Has it written what became of a message; false where the store is gone.
    async fn note(&self, entries: Box<[i64]>, outcome: Outcome, stale: Option<Stale>) -> bool {
        let (noted, written) = oneshot::channel();
        let tried = Work::Tried { sink: self.sink.clone(), entries, outcome, stale, noted };
        self.work.send(tried).await.is_ok() && written.await.is_ok()
    }

    /// What becomes of messages after an answer; they go and come together, so that the first says it of all.
    fn outcome(&self, answer: Answer, first: &Message, now: Timestamp, lot: u32) -> Outcome {
        outcome(answer, first, (self.give_up, self.remind), now, lot)
    }
}

/// What becomes of a message after an answer.
fn outcome(
    answer: Answer,
    message: &Message,
    (give_up, remind): (Duration, Option<Duration>),
    now: Timestamp,
    lot: u32,
) -> Outcome {
    match answer {
        Answer::Taken => Outcome::Sent { again: remind.and_then(|remind| now.checked_add(remind).ok()) },
        Answer::Refused(why) => Outcome::Dead { at: now, why },
        Answer::Later { why, after } => {
            let rest = wait(message.tries, lot).max(after.unwrap_or_default());
            let due = now.checked_add(rest).unwrap_or(now);
            let age = due.duration_since(message.since);
            match age > SignedDuration::try_from(give_up).unwrap_or(SignedDuration::MAX) {
                true => Outcome::Dead { at: now, why: too_old(give_up, &why) },
                false => Outcome::Later { due, why },
            }
        }
    }
}

/// What else is too old after an answer.
fn stale(answer: &Answer, give_up: Duration, now: Timestamp) -> Option<Stale> {
    let Answer::Later { why, .. } = answer else { return None };
    let before = now.checked_sub(SignedDuration::try_from(give_up).ok()?).ok()?;
    Some(Stale { before, at: now, why: too_old(give_up, why) })
}

fn too_old(give_up: Duration, why: &str) -> String {
    format!("not taken within {give_up:?}: {why}")
}

/// A number that no other host draws in the same moment.
pub(super) fn lot() -> u32 {
    // Each of these hashes under keys of its own.
    (RandomState::new().build_hasher().finish() >> 32) as u32
}
