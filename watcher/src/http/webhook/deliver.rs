//! What is posted to `/webhook/gitops`, and to a path of its own for each sender beneath it.
//!
//! A request goes through fixed steps, each within a limit: path, claim, body, proof, meaning, loop. What comes out at
//! the end is [`Posted`]; what it moves is decided by who takes it.

use std::{net::IpAddr, time::Duration};

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    super::{
        answer::{Answer, Refused, json},
        callers::Told,
        connection::stopped,
        door::{Opened, Opening},
        gate::Call,
        outcomes::Outcome,
        senders::{self, Manner},
        verdict::{self, Form},
    },
    Desk,
};
use crate::model::{Announcement, DeploymentId, Ignored, Phase, Receipt, Revision, Verdict};

/// The longest wait for a verdict that may be asked for, in seconds.
const MAX_WAIT: u64 = 300;

/// An authentic message on its way to the loop.
#[derive(Debug)]
pub enum Posted {
    /// It tells of a deployment.
    Delivery(Delivery),
    /// It counts for nothing, and is answered already.
    Ignored(Ignored),
}

/// A message that tells of a deployment.
#[derive(Debug)]
pub struct Delivery {
    /// What it says.
    pub announcement: Announcement,
    /// The name of the credential it proved itself by: who may ask for the verdict.
    pub credential: Box<str>,
    /// Takes what became of it, once that is durable. Dropped, the sender is told to try again.
    pub reply: oneshot::Sender<Receipt>,
    /// Takes the verdict, where the sender waits for one. Dropped, the sender is told that it is not known.
    pub verdict: Option<oneshot::Sender<Verdict>>,
}

/// What is answered to a delivery that was taken.
#[derive(Serialize)]
struct Taken<'a> {
    deployment: &'a DeploymentId,
    commit: &'a Revision,
    status: Standing,
    verdict: String,
}

/// What became of a delivery that was taken, in a word.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    Accepted,
    Known,
    Ignored,
}

/// What is answered to an authentic message that counts for nothing.
#[derive(Serialize)]
struct Passed {
    status: Standing,
    reason: String,
}

/// What is answered where the verdict is not known in time.
#[derive(Serialize)]
struct NotKnown<'a> {
    error: &'static str,
    deployment: &'a DeploymentId,
    verdict: String,
}

impl Desk {
    pub(super) async fn deliver(&self, call: Call) -> Result<Answer, Refused> {
        let deadline = Instant::now() + self.limits.request;
        let Call { head, body, from, delivery, seat } = call;
        let passed = |sender: &str, why| self.ignored(sender, from, why, delivery.as_deref());
        let place = self.door.at(head.uri.path())?;
        if head.method != Method::POST {
            return Err(Refused::method(&head.method, "POST"));
        }
        let wait = wait(head.uri.query())?;
        let asked = place.claim(&head.headers)?;
        let body = timeout(self.limits.body, self.bodies.whole(body))
            .await
            .map_err(|_| Refused::slow(format!("the body did not come in {:?}", self.limits.body)))??;
        let Opened { sender, manner, what } = asked.open(&head.headers, body, Timestamp::now())?;
        let announcement = match what {
            Opening::Announced(announcement) => *announcement,
            // Answered at once, it needs no seat: an old message that somebody sends again takes none away.
            Opening::Ignored(why) => return Ok(passed(&sender, why)),
        };

        seat.keep();
        let commit = announcement.commit.clone();
        // Only the end of a deployment is judged.
        let wait = wait.filter(|_| announcement.phase == Phase::Finished);
        let (reply, receipt) = oneshot::channel();
        let (verdict, waiting) = wait
            .map(|wait| (wait, oneshot::channel()))
            .map_or((None, None), |(wait, (sender, receiver))| (Some(sender), Some((wait, receiver))));
        self.deliveries
            .try_send(Posted::Delivery(Delivery { announcement, credential: sender.clone(), reply, verdict }))
            .map_err(|full| Refused::later(format!("the loop takes no delivery: {full}")))?;
        let receipt = timeout_at(deadline, receipt)
            .await
            .map_err(|_| Refused::later("the delivery was not recorded in time"))?
            .map_err(|_| Refused::later("the loop stopped before the delivery was recorded"))?;
        let (deployment, status) = match receipt {
            Receipt::Accepted(deployment) => (deployment, Standing::Accepted),
            Receipt::Known(deployment) => (deployment, Standing::Known),
            Receipt::Refused(refusal) if manner == Manner::Hook => {
                let why = senders::Ignored::refused(&refusal);
                return Ok(passed(&sender, why));
            }
            Receipt::Refused(refusal) => return Err(refusal.into()),
            Receipt::NotRecorded => return Err(Refused::later("the delivery could not be recorded")),
        };
        self.outcomes.count(match status {
            Standing::Known => Outcome::Known,
            Standing::Accepted | Standing::Ignored => Outcome::Accepted,
        });
        let path = verdict::path(&deployment);
        match waiting {
            None => {
                let taken = Taken { deployment: &deployment, commit: &commit, status, verdict: path };
                Ok(json(StatusCode::ACCEPTED, &taken))
            }
            Some((wait, receiver)) => Ok(match self.verdict(wait, receiver).await {
                Some(verdict) => verdict::of(&verdict, Form::wanted(&head.headers)),
                None => {
                    let error = "the verdict was not known in time";
                    json(
                        StatusCode::GATEWAY_TIMEOUT,
                        &NotKnown { error, deployment: &deployment, verdict: path },
                    )
                }
            }),
        }
    }

    /// What counts for nothing is recorded too, and the sender need not wait for it: where there is no room for it, it
    /// is in the log alone, and of an address that sends many it is in neither.
    fn ignored(&self, sender: &str, from: IpAddr, why: senders::Ignored, delivery: Option<&str>) -> Answer {
        self.outcomes.count(Outcome::Ignored);
        let reason = Refused::because(&why);
        let answer = json(StatusCode::OK, &Passed { status: Standing::Ignored, reason: reason.clone() });
        let told = self.idle.note(from);
        if told == Told::No {
            tracing::debug!(delivery, "a message of `{sender}` is ignored: {reason}");
            return answer;
        }
        tracing::info!(delivery, "a message of `{sender}` is ignored: {reason}");
        if told == Told::Last {
            tracing::info!("{from} sent many such; for a while further ones are answered, and not recorded");
        }
        let ignored = Ignored {
            sender: sender.to_owned(),
            reason: why.reason.to_owned(),
            detail: why.detail,
            count: 1,
        };
        let _ = self.deliveries.try_send(Posted::Ignored(ignored));
        answer
    }

    /// The verdict, if it comes in time and before we are asked to stop.
    async fn verdict(&self, wait: Duration, verdict: oneshot::Receiver<Verdict>) -> Option<Verdict> {
        tokio::select! {
            biased;
            verdict = timeout(wait, verdict) => verdict.ok()?.ok(),
            () = stopped(self.stop.clone()) => None,
        }
    }
}

/// How long the sender waits for the verdict, by its query.
fn wait(query: Option<&str>) -> Result<Option<Duration>, Refused> {
    let Some(query) = query.filter(|q| !q.is_empty()) else { return Ok(None) };
    let wrong = || {
        let query: String = query.chars().take(80).collect();
        Refused::bad(format!(
            "the query is `{}`, and only `wait=SECONDS` is known, once, from 1 to {MAX_WAIT}",
            query.escape_debug()
        ))
    };
    let seconds = query.strip_prefix("wait=").ok_or_else(wrong)?;
    // `parse` alone would take `+5` as well.
    let seconds =
        Some(seconds).filter(|s| s.bytes().all(|b| b.is_ascii_digit())).and_then(|s| s.parse().ok());
    match seconds {
        Some(seconds @ 1..=MAX_WAIT) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(wrong()),
    }
}
