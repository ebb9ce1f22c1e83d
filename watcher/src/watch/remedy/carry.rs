//! An order is given, and what became of it is told. Nothing is written that is not recorded as begun, in the same transaction
//! as its finding where it can be; one order is in hand at a time.

use super::{InHand, OURS, Ours, PAUSE, Reply, Waiting};
use crate::{
    model::{Key, Now, Outcome, Remedied, Value, What},
    remedy::{Applied, Hand, Order},
    watch::{Watch, mark},
};

impl Watch {
    /// Gives an order, once it is recorded that it is given.
    pub(super) fn give(&mut self, waiting: Waiting, order: Order, now: Now) {
        let Some(remedied) =
            self.remedied(&waiting, Outcome::Interrupted, Some(order.step.value.clone()), None)
        else {
            return;
        };
        let through = Some(order.step.key.clone()).filter(|key| *key != order.key);
        let remedied = Remedied { through, ..remedied };
        let reply = waiting.asked.map(|(_, reply)| reply);
        let grip = match self.remedies.hand.as_mut().map(Hand::grip) {
            Some(Ok(grip)) => grip,
            Some(Err(error)) => {
                let reason = Some(format!("the thread that writes cannot be started: {error}"));
                return self.conclude(Remedied { outcome: Outcome::Failed, reason, ..remedied }, reply, now);
            }
            None => return,
        };
        self.remedies.ours = Some(Ours {
            finding: remedied.finding.clone(),
            keys: [order.key.clone(), order.step.key.clone()],
            value: order.step.value.clone(),
            until: None,
        });
        self.batch.begun.push(remedied.clone());
        // Where its counterpart is written, that is what sets it to 0.
        let wanted = match &remedied.through {
            Some(_) => Value::canonical(&order.key, "0"),
            None => order.step.value.clone(),
        };
        self.remedies.in_hand = Some(InHand { remedied, wanted, reply });
        self.batch.done.push(Box::new(move |durable| grip.order(order, durable)));
    }

    /// Takes what became of the order in hand.
    pub(in crate::watch) fn applied(&mut self, applied: Applied, now: Now) {
        let Some(InHand { remedied, wanted, reply }) = self.remedies.in_hand.take() else { return };
        let failed = |reason: String| (Outcome::Failed, None, Some(reason));
        // The kernel said nothing to it.
        let unwritten = !matches!(applied, Applied::Written(_) | Applied::Refused(_));
        let is_unread = matches!(applied, Applied::Unread(_));
        let (outcome, actual, reason) = match applied {
            Applied::Written(Ok(actual)) if actual.as_ref() == Some(&wanted) => (Outcome::Done, actual, None),
            Applied::Written(Ok(actual)) => (
                Outcome::Failed,
                actual,
                Some("the kernel made something else of it, or somebody did".into()),
            ),
            Applied::Written(Err(error)) => {
                failed(format!("it was written, and cannot be read again: {error}"))
            }
            Applied::Moved(actual) => {
                let reason = "it is another value than the one that was judged, so nothing was written";
                (Outcome::Failed, actual, Some(reason.into()))
            }
            Applied::Unread(error) => failed(format!("nothing was written: {error}")),
            Applied::Refused(error) => failed(refused(&error)),
            Applied::Held => {
                let reason = "a deploy began first, so nothing was written".to_owned();
                (Outcome::Refused, remedied.previous.clone(), Some(reason))
            }
            Applied::Unrecorded => {
                self.remedies.not_before = Some(now.boot.after(PAUSE));
                failed("it could not be recorded first, so nothing was written".into())
            }
        };
        if let Some(ours) = &mut self.remedies.ours {
            ours.until = Some(now.boot.after(OURS));
        }
        for key in std::iter::once(&remedied.key).chain(&remedied.through) {
            let moved = match key {
                Key::Sysctl { name, .. } => self.by_mover.get(&**name),
                _ => None,
            };
            for at in self.by_key.get(key).into_iter().chain(moved.into_iter().flatten()) {
                if let Some(tracked) = self.keys.get_mut(*at) {
                    mark(tracked, *at, &mut self.dirty);
                }
            }
        }
        let (finding, rule, key) = (remedied.finding.clone(), remedied.rule.clone(), remedied.key.clone());
        // Whoever overwrote what was done, before it is read again, leaves no change to be seen. Where it helped, the finding
        // is over by then.
        let again = remedied.asked_by.is_none() && (outcome == Outcome::Done || unwritten && !is_unread);
        self.conclude(Remedied { outcome, actual, reason, unwritten, ..remedied }, reply, now);
        if again {
            self.remedies.waiting.push(Waiting { finding, rule, key, asked: None, said: None });
        }
    }

    /// Tells what became of a remedy, and whoever asked for it, once that is recorded.
    fn conclude(&mut self, remedied: Remedied, reply: Option<Reply>, now: Now) {
        self.remedies.count(&remedied, now.wall);
        self.age_attempts(now);
        if let Some(reply) = reply {
            self.answer_recorded(reply, vec![remedied.clone()]);
        }
        self.tell(now, What::Remedy(Box::new(remedied)));
    }

    pub(super) fn answer_recorded(&mut self, reply: Reply, remedied: Vec<Remedied>) {
        self.batch.done.push(Box::new(move |durable| {
            let answer = match durable {
                true => Ok(remedied),
                false => Err("what was done could not be recorded\nhint: `driftd status` says why".into()),
            };
            let _ = reply.send(answer);
        }));
    }
}

/// What the kernel's refusal means.
fn refused(error: &std::io::Error) -> String {
    let hint = match error.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "\nhint: `ProtectKernelTunables=` in a unit does that; driftd-revert.service is without it"
        }
        _ => "",
    };
    format!("the kernel refused the write: {error}{hint}")
}
