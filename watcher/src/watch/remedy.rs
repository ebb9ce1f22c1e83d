//! When a remedy is due, and what became of it: the loop's side of `remedy/`, which plans and writes.
//!
//! Here is what is owed; `decide` says what is to happen with it, `carry` gives the order and takes what became of it, `ask`
//! answers to people.

mod ask;
mod carry;
mod decide;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use self::decide::Due;
use super::{
    Watch,
    tracked::{Check, Known, Tracked},
};
use crate::{
    model::{
        Act, Boottime, Finding, FindingId, Key, Limits, Now, Outcome, Person, Remedied, Remedy, Rule, Value,
        What, Writer,
    },
    remedy::{Hand, first},
};

/// Why a daemon without the right to write does not.
pub const NO_RIGHT: &str = "this driftd only watches\nhint: `driftd run --revert`, or the unit `driftd-revert.service` in the place of \
                            `driftd.service`, may write";

/// How long after a write of ours a change without a writer may still be its.
const OURS: Duration = Duration::from_secs(5);

/// How long no order is given after one that could not be recorded: by then it is known whether that goes on.
const PAUSE: Duration = Duration::from_secs(1);

/// How many attempts are remembered for a key and a rule. The limits of a rule count no more than a hundred.
const ATTEMPTS: usize = 100;

/// What is known of remedies.
pub struct Remedies {
    /// What writes; none where this daemon may not.
    hand: Option<Hand>,
    waiting: Vec<Waiting>,
    in_hand: Option<InHand>,
    /// Whether driftd is about to end, so that no further order is given.
    ends: bool,
    /// When each key was written under a rule, as far as the limits count.
    attempts: HashMap<(Arc<str>, Key), VecDeque<Timestamp>>,
    ours: Option<Ours>,
    /// When an order is given again, where one could not be recorded.
    not_before: Option<Boottime>,
}

/// A finding whose remedy is due.
struct Waiting {
    finding: FindingId,
    rule: Arc<str>,
    key: Key,
    /// Who asked for it; none: its rule.
    asked: Option<(Person, Reply)>,
    /// What an earlier run said of it, which is not said again.
    said: Option<Said>,
}

/// What became of it, what would be written, and why it is not.
type Said = (Outcome, Option<Value>, Option<String>);

type Reply = oneshot::Sender<Result<Vec<Remedied>, String>>;

/// The order that is being carried out.
struct InHand {
    /// What is recorded of it: as if nothing more were heard.
    remedied: Remedied,
    /// What is then in force, where it helps.
    wanted: Value,
    reply: Option<Reply>,
}

/// The last write of ours, by which a change is known for it.
struct Ours {
    finding: FindingId,
    keys: [Key; 2],
    value: Value,
    /// Until when; none while it is under way.
    until: Option<Boottime>,
}

impl Remedies {
    /// Where nothing was done yet.
    pub fn new(hand: Option<Hand>) -> Remedies {
        let (waiting, attempts) = (Vec::new(), HashMap::new());
        Remedies { hand, waiting, in_hand: None, ends: false, attempts, ours: None, not_before: None }
    }

    /// Whether a write is under way.
    pub fn is_under_way(&self) -> bool {
        self.in_hand.is_some()
    }

    fn owe(&mut self, finding: &Finding, asked: Option<(Person, Reply)>, said: Option<Said>) {
        let is_in_hand =
            self.in_hand.as_ref().is_some_and(|in_hand| in_hand.remedied.finding == finding.finding);
        let is_owed = self.waiting.iter().any(|waiting| waiting.finding == finding.finding);
        if asked.is_some() || !(is_in_hand || is_owed) {
            let (finding, rule, key) = (finding.finding.clone(), finding.rule.clone(), finding.key.clone());
            self.waiting.push(Waiting { finding, rule, key, asked, said });
        }
    }

    fn count(&mut self, remedied: &Remedied, at: Timestamp) {
        if remedied.counts() && remedied.remedy == Act::Revert && remedied.asked_by.is_none() {
            let (rule, key) = (remedied.rule.clone(), remedied.key.clone());
            let attempts = self.attempts.entry((rule, key)).or_default();
            if attempts.len() >= ATTEMPTS {
                attempts.pop_front();
            }
            attempts.push_back(at);
        }
    }

    /// How often a key was reverted under a rule, as far as the limits look back.
    fn attempts(&self, rule: &Arc<str>, key: &Key, limits: &Limits, now: Timestamp) -> usize {
        let within = SignedDuration::try_from(limits.within).unwrap_or(SignedDuration::MAX);
        let attempts = self.attempts.get(&(rule.clone(), key.clone())).into_iter().flatten();
        attempts.filter(|at| now.duration_since(**at) < within).count()
    }
}

impl Watch {
    /// Takes up what an earlier run left: what it was about to write, how often it did, which findings it is done with.
    pub(super) fn recall_remedies(
        &mut self,
        remedied: Vec<(Timestamp, Remedied)>,
        cut_off: Vec<Remedied>,
        now: Now,
    ) {
        for (at, remedied) in &remedied {
            self.remedies.count(remedied, *at);
        }
        // What the rules did last, but for what was about to be done once more. What people asked for is theirs.
        let mut last: HashMap<FindingId, Remedied> = HashMap::new();
        for (_, remedied) in remedied.into_iter().filter(|(_, remedied)| remedied.asked_by.is_none()) {
            last.insert(remedied.finding.clone(), remedied);
        }
        for cut in cut_off {
            if cut.asked_by.is_none() {
                last.remove(&cut.finding);
            }
            let reason =
                Some("driftd ended before it was heard of again; what is in force is read now".to_owned());
            let cut = Remedied { reason, ..cut };
            self.remedies.count(&cut, now.wall);
            self.tell(now, What::Remedy(Box::new(cut)));
        }
        for finding in self.findings() {
            match last.remove(&finding.finding) {
                Some(last) if last.is_final() => {}
                Some(last) => self.owe(&finding, Some((last.outcome, last.requested, last.reason))),
                None => self.owe(&finding, None),
            }
        }
    }

    /// Forgets the attempts that no rule looks back to any more.
    fn age_attempts(&mut self, now: Now) {
        let limits = self.rules.iter().filter_map(|rule| match rule.remedy {
            Remedy::Revert(limits) => Some(limits.within),
            Remedy::Notify | Remedy::Adopt => None,
        });
        let within =
            SignedDuration::try_from(limits.max().unwrap_or_default()).unwrap_or(SignedDuration::MAX);
        self.remedies.attempts.retain(|_, attempts| {
            attempts.back().is_some_and(|last| now.wall.duration_since(*last) < within)
        });
    }

    /// A finding is open: where its rule has a remedy, that is due.
    pub(super) fn owe(&mut self, finding: &Finding, said: Option<Said>) {
        let remedy = self.rules.iter().find(|rule| rule.name == finding.rule).map(|rule| rule.remedy);
        if remedy.is_some_and(|remedy| remedy != Remedy::Notify) {
            self.remedies.owe(finding, None, said);
        }
    }

    /// Something new is declared, or in force: what was adopted is over where a deployment is through, and what was given
    /// up is decided again, by the limits of its rule.
    pub(super) fn begin_anew(&mut self, deployed: bool) {
        let mut over = Vec::new();
        for tracked in self.keys.iter_mut().filter(|_| deployed) {
            for check in tracked.checks.iter_mut().filter(|check| check.adopted.is_some()) {
                // A key that was at rest with what was adopted is judged again.
                (check.adopted, check.judged) = (None, false);
                over.push(tracked.key.clone());
            }
        }
        over.iter().for_each(|key| self.redeclare(key));
        for finding in self.findings() {
            self.owe(&finding, None);
        }
    }

    /// Gives no further order; whether one is under way.
    pub(super) fn end_writing(&mut self) -> bool {
        self.remedies.ends = true;
        self.remedies.is_under_way()
    }

    /// Does what is due, as far as a deploy's window and the order in hand let it.
    pub(super) fn remedy_due(&mut self, now: Now) {
        let window = self.ledger.window().map(|window| window.commit.short().to_owned());
        if let Some(hand) = &self.remedies.hand {
            hand.hold(window.is_some());
        }
        if let Some(commit) = window {
            // Who asked does not want it a quarter of an hour later.
            for waiting in self.remedies.waiting.extract_if(.., |waiting| waiting.asked.is_some()) {
                if let Some((_, reply)) = waiting.asked {
                    let _ = reply.send(Err(in_window(&commit)));
                }
            }
            return;
        }
        // Who gave up does not want it later either.
        self.remedies
            .waiting
            .retain(|waiting| waiting.asked.as_ref().is_none_or(|(_, reply)| !reply.is_closed()));
        // What comes of the order in hand decides what is due next.
        if self.remedies.is_under_way() || self.remedies.ends || self.is_unrecorded(now) {
            return;
        }
        let (mut orders, mut later) = (Vec::new(), Vec::new());
        for waiting in std::mem::take(&mut self.remedies.waiting) {
            match self.decide(&waiting, now) {
                Due::Over => {
                    if let Some((_, reply)) = waiting.asked {
                        let _ = reply.send(Err(format!("{} is as expected again", waiting.key)));
                    }
                }
                Due::Wait => later.push(waiting),
                Due::Adopt => {
                    if let Err(why) = self.adopt(&waiting.rule, &waiting.key, None, now) {
                        self.say(waiting, Act::Adopt, (Outcome::Refused, None, Some(why)), now);
                    }
                }
                Due::Tell(said) => self.say(waiting, Act::Revert, said, now),
                Due::Rest(act, said) => {
                    self.say_once(&waiting, act, &said, now);
                    later.push(Waiting { said: Some(said), ..waiting });
                }
                Due::Order(order) => orders.push((waiting, order)),
            }
        }
        let keys: Vec<&Key> = orders.iter().map(|(_, order)| &order.key).collect();
        let asked = orders.iter().position(|(waiting, _)| waiting.asked.is_some());
        if let Some(at) = asked.or_else(|| first(&keys, sets)) {
            let (waiting, order) = orders.swap_remove(at);
            self.give(waiting, order, now);
        }
        later.extend(orders.into_iter().map(|(waiting, _)| waiting));
        self.remedies.waiting.extend(later);
    }

    /// Whether what is to be written could not be recorded now.
    fn is_unrecorded(&self, now: Now) -> bool {
        self.status.unrecorded.is_some() || self.remedies.not_before.is_some_and(|until| now.boot < until)
    }

    /// Says what is not done, and why.
    fn say(&mut self, mut waiting: Waiting, remedy: Act, said: Said, now: Now) {
        match waiting.asked.take() {
            Some((_, reply)) => drop(reply.send(Err(said.2.unwrap_or_default()))),
            None => self.say_once(&waiting, remedy, &said, now),
        }
    }

    /// The same, of what a rule would have done: what was not said before.
    fn say_once(&mut self, waiting: &Waiting, remedy: Act, said: &Said, now: Now) {
        if waiting.said.as_ref() == Some(said) {
            return;
        }
        let (outcome, requested, reason) = said.clone();
        if let Some(told) = self.remedied(waiting, outcome, requested, reason) {
            self.tell(now, What::Remedy(Box::new(Remedied { remedy, ..told })));
        }
    }

    /// The finding that waits, where it is still open: its key, its rule, and how that stands.
    fn finding_of(&self, waiting: &Waiting) -> Option<(&Tracked, &Rule, &Check)> {
        let tracked = self.keys.get(*self.by_key.get(&waiting.key)?)?;
        let is_it = |check: &&Check| check.finding.as_ref().is_some_and(|f| f.finding == waiting.finding);
        let check = tracked.checks.iter().find(is_it)?;
        Some((tracked, self.rules.get(check.rule)?, check))
    }

    /// What is told of a finding that waits.
    fn remedied(
        &self,
        waiting: &Waiting,
        outcome: Outcome,
        requested: Option<Value>,
        reason: Option<String>,
    ) -> Option<Remedied> {
        let (tracked, rule, check) = self.finding_of(waiting)?;
        let previous = match &tracked.known {
            Known::Value(value) if waiting.key.is_secret() => value.as_ref().map(|_| Value::secret()),
            Known::Value(value) => value.clone(),
            Known::Nothing => None,
        };
        Some(Remedied {
            finding: waiting.finding.clone(),
            key: waiting.key.clone(),
            rule: waiting.rule.clone(),
            severity: check.finding.as_ref().map_or(rule.severity, |finding| finding.severity),
            muted: check.finding.as_ref().is_some_and(|finding| finding.muted.is_some()),
            remedy: Act::Revert,
            outcome,
            actual: if outcome == Outcome::Interrupted { None } else { previous.clone() },
            previous,
            requested,
            through: None,
            reason,
            declared_by: rule.source.clone(),
            asked_by: waiting.asked.as_ref().map(|(person, _)| person.clone()),
            commit: self.ledger.pin().commit,
            unwritten: false,
        })
    }

    /// The finding that driftd put right by a change, where the change is its own.
    pub(super) fn put_right(
        &self,
        key: &Key,
        writer: Option<&Writer>,
        value: Option<&Value>,
        now: Boottime,
    ) -> Option<FindingId> {
        let ours = self.remedies.ours.as_ref()?;
        let in_time = ours.until.is_none_or(|until| now < until);
        let by_us = match writer {
            // What a write of ours sets too is ours as well.
            Some(writer) => writer.pid == std::process::id(),
            None => value == Some(&ours.value) && ours.keys.contains(key),
        };
        (in_time && by_us).then(|| ours.finding.clone())
    }
}

/// Whether a write of one key sets another too.
fn sets(key: &Key, other: &Key) -> bool {
    matches!(key, Key::Sysctl { name, .. } if other.movers().iter().any(|mover| **mover == **name))
}

fn in_window(commit: &str) -> String {
    format!(
        "{commit} is being deployed, and nothing is written meanwhile\nhint: when it is through, ask again"
    )
}
