//! How things stand, for a status page, Alertmanager or GitHub's issues: posted at each transition, and every two minutes as a sign of life.
//!
//! Nothing waits in the outbox for it: what counts is how things stand, and each try says how they stand then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, sleep_until},
};

use super::{
    alertmanager,
    deliver::lot,
    github::Github,
    message::Letterhead,
    patience::{Answer, Circuit, wait},
    post::Post,
};
use crate::model::{Finding, Routing, Status, Summary};

/// How often the state is posted where it does not move: Alertmanager forgets what it did not hear of for five minutes.
const HEARTBEAT: Duration = Duration::from_secs(120);

/// How often the issues are looked at where nothing moves: of the 5,000 requests an hour that GitHub answers to a user,
/// many hosts may have to make do.
const LOOK: Duration = Duration::from_secs(3600);

/// How long the issues are left alone after they were written, or may have been: GitHub's lists are a moment behind, and what
/// was not in them yet would be opened once more.
const SETTLE: Duration = Duration::from_secs(5);

/// How long is waited for more after something was recorded: a burst is one transition.
const GATHER: Duration = Duration::from_millis(250);

/// How long until the daemon is asked again when it did not say how things stand.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the daemon how things stand.
pub type AskStatus = mpsc::Sender<oneshot::Sender<Status>>;

/// Who is told how things stand.
pub enum Board {
    /// A status page: the gitops-status JSON. With the name of driftd's own configuration: see [`Summary::of`].
    Page(Post, Box<str>),
    /// Alertmanager, of these findings.
    Alertmanager(Post, Routing),
    /// The issues of GitHub, about these findings.
    Issues(Github, Routing),
}

impl Board {
    /// The state, without the time at which it was looked at.
    pub(super) fn state(&self, status: &Status, head: &Letterhead) -> Value {
        match self {
            Board::Page(_, config) => {
                let mut state = page(status, head, config);
                if let Value::Object(fields) = &mut state {
                    fields.remove("last_check");
                }
                state
            }
            Board::Alertmanager(_, routing) => alertmanager::firing(status, routing, head),
            Board::Issues(_, routing) => serde_json::to_value(told(status, routing)).unwrap_or_default(),
        }
    }

    /// What of a state is a transition where it moves. The value of an open finding is not: where it moves by itself there
    /// would be no end of it.
    pub(super) fn transition(&self, state: &Value) -> Value {
        let mut transition = state.clone();
        let moving = match self {
            Board::Page(..) => return transition,
            Board::Alertmanager(..) => "annotations",
            Board::Issues(..) => "actual",
        };
        for one in transition.as_array_mut().into_iter().flatten() {
            if let Value::Object(fields) = one {
                fields.remove(moving);
            }
        }
        transition
    }

    /// Tells it, after this was told the last time.
    async fn tell(&self, status: &Status, head: &Letterhead, before: Option<&Value>) -> Answer {
        let (post, body) = match self {
            Board::Page(post, config) => (post, page(status, head, config)),
            Board::Alertmanager(post, routing) => {
                let firing = alertmanager::firing(status, routing, head);
                (post, alertmanager::body(before, &firing, Timestamp::now()))
            }
            Board::Issues(github, routing) => return github.keep(&told(status, routing), head).await,
        };
        post.post(HeaderMap::new(), body.to_string().into_bytes()).await
    }

    /// How often it hears from us where nothing moves.
    pub fn heartbeat(&self) -> Duration {
        match self {
            Board::Page(..) | Board::Alertmanager(..) => HEARTBEAT,
            Board::Issues(..) => LOOK,
        }
    }

    /// How long it is left alone after it was told, or may have been.
    fn rest(&self) -> Duration {
        match self {
            Board::Page(..) | Board::Alertmanager(..) => Duration::ZERO,
            Board::Issues(..) => SETTLE,
        }
    }
}

/// The open findings that a sink is told of.
pub(super) fn told<'s>(status: &'s Status, routing: &Routing) -> Vec<&'s Finding> {
    status.findings.iter().filter(|finding| routing.takes_finding(finding)).collect()
}

fn page(status: &Status, head: &Letterhead, config: &str) -> Value {
    serde_json::to_value(Summary::of(status, &head.server, config)).unwrap_or_default()
}

/// A sink that is told how things stand.
pub struct Push {
    /// Its name.
    pub sink: Arc<str>,
    /// What it is.
    pub board: Board,
    /// What is said of this host.
    pub head: Arc<Letterhead>,
    /// Who knows how things stand.
    pub status: AskStatus,
    /// Moves whenever something was recorded.
    pub news: watch::Receiver<u64>,
    /// How often it lives.
    pub heartbeat: Duration,
}

impl Push {
    /// Posts until the daemon is gone.
    pub async fn run(mut self) {
        let mut circuit = Circuit::default();
        let mut tries = 0;
        let mut posted: Option<(Value, Instant)> = None;
        loop {
            self.news.borrow_and_update();
            let (reply, status) = oneshot::channel();
            if self.status.send(reply).await.is_err() {
                return;
            }
            let Some(status) = status.await.ok().filter(|status| status.last_sweep.is_some()) else {
                // It is busy, or has not looked at all that is declared yet.
                sleep(PAUSE).await;
                continue;
            };
            let state = self.board.state(&status, &self.head);
            let due = match &posted {
                Some((last, at)) if self.board.transition(last) == self.board.transition(&state) => {
                    *at + self.heartbeat
                }
                Some(_) | None => Instant::now(),
            };
            if due > Instant::now() {
                tokio::select! {
                    moved = self.news.changed() => match moved {
                        Ok(()) => sleep(GATHER).await,
                        Err(_) => return,
                    },
                    () = sleep_until(due.into()) => {}
                }
                continue;
            }
            let told = posted.as_ref().map(|(told, _)| told);
            let answer = self.board.tell(&status, &self.head, told).await;
            match (circuit.is_failing(), &answer) {
                (_, Answer::Taken) => {
                    if circuit.is_failing() {
                        tracing::info!("`{}` takes the state again", self.sink);
                    }
                    (posted, tries) = (Some((state, Instant::now())), 0);
                    sleep(self.board.rest()).await;
                }
                (false, Answer::Later { why, .. } | Answer::Refused(why)) => {
                    tracing::warn!("`{}` does not take the state: {why}; it is tried again", self.sink);
                }
                (true, _) => {}
            }
            // A state that is refused may be another one the next time.
            let answer = match answer {
                Answer::Refused(why) => Answer::Later { why, after: None },
                other => other,
            };
            circuit.take(&answer, Instant::now(), lot());
            if let Answer::Later { after, .. } = answer {
                sleep(wait(tries, lot()).max(after.unwrap_or_default()).max(self.board.rest())).await;
                tries = tries.saturating_add(1);
            }
        }
    }
}
