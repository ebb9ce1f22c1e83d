//! Announcements to deployments, and deployments to verdicts.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Reread, Watch,
    tracked::{Capturing, Check, Tracked},
};
use crate::{
    deploys::{Outcome, Pin},
    http::Delivery,
    judge::State,
    model::{
        Boottime, Delivered, Deployment, DeploymentId, DeploymentStatus, Expectation, Finding, Key, Now,
        Receipt, Revision, Rule, SweepReason, Values, Verdict, VerdictStatus, What, without_source,
    },
};

/// Verdicts that are to be given.
#[derive(Default)]
pub struct Verdicts {
    pending: Vec<Pending>,
}

impl Verdicts {
    /// Whether a deployment ended and its verdict is not given yet.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

struct Pending {
    deployment: Deployment,
    /// Whether it is news, and recorded; else it is only answered.
    record: bool,
    waiting: Vec<oneshot::Sender<Verdict>>,
}

/// What moved the ledger, and is told when all is known of the time until then.
pub enum Moved {
    /// A message that was taken.
    By(Box<Message>),
    /// The time-out of a window.
    TimedOut(Deployment),
}

/// A message that was taken.
pub struct Message {
    deployment: Deployment,
    status: DeploymentStatus,
    /// The window that it closed.
    window: Option<DeploymentId>,
    reread: Option<Reread>,
    credential: Box<str>,
    /// What is remembered of it, so that it is a retry when it comes again.
    remembered: Option<Delivered>,
    reply: oneshot::Sender<Receipt>,
    verdict: Option<oneshot::Sender<Verdict>>,
}

impl Watch {
    pub(super) fn delivered(&mut self, delivery: Delivery, reread: Option<Reread>, now: Now) {
        let Delivery { announcement, credential, reply, verdict } = delivery;
        let window = self.ledger.window_of(&announcement).map(|deployment| deployment.id.clone());
        let before = self.ledger.pin();
        let id = DeploymentId(Uuid::now_v7().to_string().into());
        let last = self.ledger.last_delivered().cloned();
        let outcome = self.ledger.announce(&announcement, id, now);
        // What is remembered is written down, also where it moved nothing: it is a retry after a restart too.
        let remembered = self.ledger.last_delivered().filter(|new| Some(*new) != last.as_ref()).cloned();
        let (deployment, status) = match outcome {
            Outcome::Refused(refusal) => {
                self.batch.delivered.extend(remembered);
                return drop(reply.send(Receipt::Refused(refusal)));
            }
            Outcome::Known(id) => {
                // One that is no longer in force is answered with how things are now, as every retry is.
                let known = Deployment {
                    id: id.clone(),
                    commit: announcement.commit,
                    app: announcement.app,
                    environment: announcement.environment,
                    repo: announcement.repo,
                    undated: announcement.id.is_none() && announcement.timestamp.is_none(),
                    declared: Values::default(),
                    announced: false,
                };
                self.owe_verdict(&known, false, verdict);
                self.batch.delivered.extend(remembered);
                self.batch.deliverers.push((id.clone(), credential));
                return self.reply(reply, Receipt::Known(id));
            }
            Outcome::Started(deployment) => (deployment, DeploymentStatus::Started),
            Outcome::Finished(deployment) => (deployment, DeploymentStatus::Finished),
            Outcome::Failed(deployment) => (deployment, DeploymentStatus::Failed),
        };
        // What drifted before the deploy is found before it, and what changed in a window and no probe told at its end.
        if status == DeploymentStatus::Started || before.in_window {
            self.sweep_under(&before, SweepReason::Deployment, now);
        }
        let message = Message { deployment, status, window, reread, credential, remembered, reply, verdict };
        self.after_doubts(before, Moved::By(Box::new(message)), now);
    }

    /// Answers when it is durable.
    fn reply(&mut self, reply: oneshot::Sender<Receipt>, receipt: Receipt) {
        self.batch.done.push(Box::new(move |durable| {
            let _ = reply.send(if durable { receipt } else { Receipt::NotRecorded });
        }));
    }

    pub(super) fn window_timed_out(&mut self, deployment: Deployment, before: &Pin, now: Now) {
        if before.in_window {
            self.sweep_under(before, SweepReason::Deployment, now);
        }
        self.after_doubts(before.clone(), Moved::TimedOut(deployment), now);
    }

    /// Takes what moved the ledger: all is known of the time until then.
    pub(super) fn take_moved(&mut self, moved: Moved, now: Now) {
        let message = match moved {
            Moved::By(message) => *message,
            Moved::TimedOut(deployment) => {
                self.tell(now, What::Deployment(deployment.news(DeploymentStatus::TimedOut)));
                return self.sweep(SweepReason::Deployment, now);
            }
        };
        let Message { deployment, status, window, reread, credential, remembered, reply, verdict } = message;
        if status == DeploymentStatus::Started {
            self.forget_window(&deployment.id);
        }
        self.take_message(&deployment, status, now);
        if status == DeploymentStatus::Finished {
            self.batch.declared.push((deployment.id.clone(), deployment.declared.clone()));
            if let Some(reread) = reread {
                self.take_baseline(reread, Some(&deployment.id), now);
            }
            self.owe_verdict(&deployment, true, verdict);
            self.capture(&deployment.commit, window.as_ref());
            self.begin_anew(true);
            self.forget_fights();
        }
        if status != DeploymentStatus::Started {
            self.sweep(SweepReason::Deployment, now);
        }
        self.batch.delivered.extend(remembered);
        self.batch.deliverers.push((deployment.id.clone(), credential));
        self.reply(reply, Receipt::Accepted(deployment.id));
    }

    fn take_message(&mut self, deployment: &Deployment, status: DeploymentStatus, now: Now) {
        // What is first looked at after this may be the deploy's doing.
        self.saw_the_boot = false;
        self.tell(now, What::Deployment(deployment.news(status)));
    }

    /// Lets the rules that capture do so at the next reading: see [`super::tracked::Check::captures`].
    fn capture(&mut self, commit: &Revision, window: Option<&DeploymentId>) {
        for check in self.keys.iter_mut().flat_map(|tracked| &mut tracked.checks) {
            let captures = |rule: &Rule| matches!(rule.expectation, Expectation::Captured(_));
            if self.rules.get(check.rule).is_some_and(captures) {
                check.capturing = Some(Capturing { commit: commit.clone(), window: window.cloned() });
            }
        }
    }

    /// The commit in force, deployed once more, begins anew.
    fn forget_window(&mut self, id: &DeploymentId) {
        for tracked in &mut self.keys {
            tracked.changed_in.take_if(|deployment| deployment == id);
        }
    }

    fn owe_verdict(&mut self, of: &Deployment, record: bool, waiting: Option<oneshot::Sender<Verdict>>) {
        if !record && waiting.is_none() {
            return;
        }
        if let Some(pending) = self.verdicts.pending.iter_mut().find(|p| p.deployment.id == of.id) {
            pending.record |= record;
            pending.waiting.extend(waiting);
        } else {
            let waiting = waiting.into_iter().collect();
            self.verdicts.pending.push(Pending { deployment: of.clone(), record, waiting });
        }
    }

    /// Gives the verdicts that can be given: all is read, and nothing that was just written has yet to settle.
    pub(super) fn give_verdicts(&mut self, now: Now) {
        if self.verdicts.pending.is_empty() || self.sweep.is_some() || self.is_settling(now.boot) {
            return;
        }
        let findings = self.findings();
        let (held, unreadable) = (self.held(), self.unreadable_keys());
        let broken = self.status.broken.as_deref().map(without_source);
        let in_sync = findings.is_empty() && held.is_empty() && unreadable.is_empty() && broken.is_none();
        let status = match in_sync {
            true => VerdictStatus::Synced,
            false => VerdictStatus::OutOfSync,
        };
        for Pending { deployment, record, waiting } in std::mem::take(&mut self.verdicts.pending) {
            let verdict = Verdict {
                deployment: deployment.id,
                commit: deployment.commit,
                app: deployment.app,
                status,
                keys: self.keys.len() - self.free.len(),
                findings: findings.clone(),
                held: held.clone(),
                unreadable: unreadable.clone(),
                broken: broken.clone(),
            };
            if record {
                let snapshot = self.snapshot(&verdict.deployment);
                self.batch.snapshots.push(snapshot);
                self.tell(now, What::Verdict(verdict.clone()));
            }
            self.batch.done.push(Box::new(move |durable| {
                if durable {
                    waiting.into_iter().for_each(|waiting| drop(waiting.send(verdict.clone())));
                }
            }));
        }
    }

    /// The findings that are open.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.keys
            .iter()
            .flat_map(|key| &key.checks)
            .filter_map(|check| check.finding.as_deref().cloned())
            .collect()
    }

    /// The keys that cannot be read.
    pub(super) fn unreadable_keys(&self) -> Vec<Key> {
        self.keys.iter().filter(|tracked| tracked.unreadable).map(|tracked| tracked.key.clone()).collect()
    }

    /// The keys that depart, and are no findings only because a window is open. What a rule will capture at the end of
    /// that window does not depart.
    fn held(&self) -> Vec<Key> {
        if self.ledger.window().is_none() {
            return Vec::new();
        }
        let departs = |tracked: &Tracked, check: &Check| {
            let captured_anew = tracked.changed_in.as_ref().is_some_and(|id| self.ledger.is_open(id));
            matches!(check.state, State::Departing { .. })
                && self.rules.get(check.rule).is_some_and(|rule| {
                    rule.hold <= rule.settle
                        && !(captured_anew && matches!(rule.expectation, Expectation::Captured(_)))
                })
        };
        let held =
            self.keys.iter().filter(|tracked| tracked.checks.iter().any(|check| departs(tracked, check)));
        held.map(|tracked| tracked.key.clone()).collect()
    }

    /// Whether a departure is about to be a finding, or not, within the time its rule lets writes settle. One that
    /// must hold for longer (`for:`) is not waited for.
    fn is_settling(&self, now: Boottime) -> bool {
        self.keys.iter().flat_map(|key| &key.checks).any(|check| match check.state {
            State::Departing { since, .. } => self
                .rules
                .get(check.rule)
                .is_some_and(|rule| rule.hold <= rule.settle && now < since.after(rule.settle)),
            State::Quiet | State::Open => false,
        })
    }
}
