//! The messages that were taken of late: which one comes again, which repeats a failure, which is of another time. What a
//! message leads to, `ledger` says.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Announcement, Delivered, DeploymentId, Phase, Refusal};

/// How far a dated message may be from now, either way (Standard Webhooks, "reference tolerance").
pub const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How long an identical message without id and date is a retry; later it is a new deployment.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// How many messages are remembered. More than that many within five minutes come from no pipeline.
const REMEMBERED: usize = 1024;

/// The messages that are remembered, the last taken last.
#[derive(Debug)]
pub struct Messages(VecDeque<Delivered>);

impl Messages {
    /// Those that an earlier run took, oldest first.
    pub fn new(taken: Vec<Delivered>) -> Messages {
        let skip = taken.len().saturating_sub(REMEMBERED);
        Messages(taken.into_iter().skip(skip).collect())
    }

    /// The deployment of the same message, if it came before.
    ///
    /// # Errors
    /// Its id was used for another message, or it is new and dated too far from now.
    pub fn earlier(&self, new: &Announcement, now: Timestamp) -> Result<Option<DeploymentId>, Refusal> {
        // One run of a pipeline may deliver several applications under one id.
        let same = |old: &&Delivered| old.phase == new.phase && old.whose() == new.whose();
        for old in self.0.iter().rev().filter(same) {
            match (&new.id, &old.id) {
                (Some(id), Some(earlier)) if id == earlier => {
                    return match old.commit.may_be(&new.commit) {
                        true => Ok(Some(old.deployment.clone())),
                        false => Err(Refusal::IdReused(id.clone())),
                    };
                }
                (new_id, old_id) if old.digest == new.digest => {
                    let is_soon = now.duration_since(old.at).abs() <= RETRY;
                    // A date in what was signed makes it one of a kind, whatever id nobody signed stands beside it: GitHub's
                    // delivery can be changed by whoever kept a message.
                    if new.timestamp.is_some() || (new_id.is_none() && old_id.is_none() && is_soon) {
                        return Ok(Some(old.deployment.clone()));
                    }
                }
                _ => {}
            }
        }
        // Whatever its date, a message that came before is known.
        match new.timestamp {
            Some(timestamp) if now.duration_since(timestamp).abs() > FRESH => {
                Err(Refusal::Stale { timestamp })
            }
            _ => Ok(None),
        }
    }

    /// The deployment that failed with the message before, where this one says that it failed again. A controller that
    /// tries for ever says so for ever, and only the first time is news.
    pub fn failed_before(&self, new: &Announcement) -> Option<DeploymentId> {
        let same = |old: &&Delivered| old.whose() == new.whose();
        let last = self.0.iter().rev().find(same)?;
        let again =
            new.phase == Phase::Failed && last.phase == Phase::Failed && last.commit.may_be(&new.commit);
        again.then(|| last.deployment.clone())
    }

    /// Remembers a message that was taken, and of which deployment it is.
    pub fn remember(&mut self, announcement: &Announcement, deployment: DeploymentId, at: Timestamp) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Delivered {
            id: announcement.id.clone(),
            phase: announcement.phase,
            commit: announcement.commit.clone(),
            app: announcement.app.clone(),
            environment: announcement.environment.clone(),
            digest: announcement.digest,
            at,
            deployment,
        });
    }

    /// The one taken last.
    pub fn last(&self) -> Option<&Delivered> {
        self.0.back()
    }
}
