//! When a remedy is due, and what became of it: the loop's side of `remedy/`, which plans and writes.
//!
//! Here it is decided; `carry` gives the order and takes what became of it, `ask` answers to people.

mod ask;
mod carry;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::{
    Watch,
    fight::fought_over,
    found::declared_commit,
    tracked::{Check, Known, Tracked},
};
use crate::{
    judge::{Judgement, judge},
    model::{
        Act, Boottime, Expectation, Finding, FindingId, Key, Limits, Now, Outcome, Person, Remedied, Remedy,
        Rule, Value, What, Writer,
    },
    remedy::{Hand, Order, Refusal, Step, first, plan, through_counterpart},
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

/// What is to happen with a finding whose remedy is due.
enum Due {
    /// Nothing any more: it is over.
    Over,
    /// Nothing yet: what is in force is not known.
    Wait,
    /// It is told, and that is all.
    Tell(Said),
    /// It is told, and decided again when two who fight have rested.
    Rest(Act, Said),
    /// The live value is taken.
    Adopt,
    /// It is written.
    Order(Order),
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

    /// What is to happen with a finding. Decided anew each time: much may have happened meanwhile.
    fn decide(&self, waiting: &Waiting, now: Now) -> Due {
        let Some((tracked, rule, check)) = self.finding_of(waiting) else { return Due::Over };
        if tracked.asked_under.is_some() {
            return Due::Wait;
        }
        let live = match &tracked.known {
            Known::Value(value) => value.as_ref(),
            Known::Nothing => return Due::Wait,
        };
        let fight = fought_over(tracked, check, now.boot);
        let limits = match (rule.remedy, &waiting.asked) {
            (_, Some(_)) => None,
            (Remedy::Notify, None) => return Due::Over,
            (Remedy::Adopt, None) => {
                return match fight {
                    Some(why) => Due::Rest(Act::Adopt, (Outcome::Refused, None, Some(why))),
                    None => Due::Adopt,
                };
            }
            (Remedy::Revert(limits), None) => Some(limits),
        };
        let step = match self.plan(&waiting.key, rule, check, live, waiting.asked.is_none()) {
            Ok(step) => step,
            Err(why) => return Due::Tell((Outcome::Refused, None, Some(why))),
        };
        let refused = |why: String| Due::Tell((Outcome::Refused, Some(step.value.clone()), Some(why)));
        if let Some(limits) = limits {
            let declared = declared_commit(rule, check.captured.as_deref());
            if let Some(unannounced) = self.ledger.unannounced(declared.as_ref()) {
                let app = unannounced.app.as_deref().unwrap_or("an application without a name");
                return refused(format!(
                    "{app} is deployed without a word when that begins, so that a deploy cannot be told from drift\n\
                     hint: let its sender send `started` too, or send `started` and `finished` of {} once where it is no more; \
                     `driftd revert {}` works all the same",
                    unannounced.commit.short(),
                    waiting.key
                ));
            }
            if fight.is_some() {
                return Due::Rest(Act::Revert, (Outcome::Refused, Some(step.value), fight));
            }
            if limits.dry_run {
                return Due::Tell((Outcome::DryRun, Some(step.value), None));
            }
            let attempts = self.remedies.attempts(&rule.name, &waiting.key, &limits, now.wall);
            if attempts >= limits.at_most as usize {
                let who = check.finding.as_ref().and_then(|finding| finding.writer.as_ref());
                let reason = fought(attempts, limits.within, who, &waiting.key);
                return Due::Tell((Outcome::Stopped, Some(step.value), Some(reason)));
            }
        }
        if self.remedies.hand.is_none() {
            return refused(NO_RIGHT.into());
        }
        let Some(judged) = live.cloned() else { return Due::Over };
        Due::Order(Order { key: waiting.key.clone(), judged, step })
    }

    /// What is to be written so that a key is as a rule expects it, and no other rule departs for it. Where no person asks
    /// (`by_rule`), a rule must let driftd write what is written.
    fn plan(
        &self,
        key: &Key,
        rule: &Rule,
        check: &Check,
        live: Option<&Value>,
        by_rule: bool,
    ) -> Result<Step, String> {
        let step = planned(key, rule, check, live).map_err(|refusal| refusal.to_string())?;
        self.agree(&step, rule)?;
        let lets = |rule: &Rule| matches!(rule.remedy, Remedy::Revert(limits) if !limits.dry_run);
        let counterpart = |other: &Key, by_rule: bool| {
            let tracked = self.keys.get(*self.by_key.get(other)?)?;
            let known = |check: &Check| {
                let rule = self.rules.get(check.rule).filter(|rule| !by_rule || lets(rule))?;
                planned(other, rule, check, live).ok().map(|step| step.value)
            };
            tracked.checks.iter().find_map(known)
        };
        let written = through_counterpart(step.clone(), |other| counterpart(other, by_rule));
        let written = written.map_err(|refusal| match &refusal {
            Refusal::Counterpart(key, other) if by_rule && counterpart(other, false).is_some() => format!(
                "{key} is 0 only where {other} counts, and no rule lets driftd write that one\n\
                 hint: `remedy: revert` for {other} too; `driftd revert {key}` works all the same"
            ),
            _ => refusal.to_string(),
        })?;
        if written.key != step.key {
            self.agree(&written, rule)?;
        }
        Ok(written)
    }

    /// Whether no other rule departs for a write.
    fn agree(&self, step: &Step, rule: &Rule) -> Result<(), String> {
        let Step { key, value } = step;
        let at = self.by_key.get(key).and_then(|at| self.keys.get(*at));
        for other in at.into_iter().flat_map(|tracked| &tracked.checks) {
            let Some(other_rule) = self.rules.get(other.rule).filter(|other| other.name != rule.name) else {
                continue;
            };
            let captured = other.captured.as_ref().map(|capture| &capture.value);
            let judged = judge(key, &other_rule.expectation, captured, Some(value));
            // What is a part of another key is not known here, and does not speak for a value.
            let is_share = matches!(other_rule.expectation, Expectation::Share { .. });
            if judged == Judgement::Departs && other.adopted.is_none() && !is_share {
                return Err(format!(
                    "the rule `{}` ({}) expects something else of {key} than `{}` ({})\nhint: let them agree",
                    other_rule.name, other_rule.source, rule.name, rule.source
                ));
            }
        }
        Ok(())
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

/// What cures a departure under one rule, as if there were no other.
fn planned(key: &Key, rule: &Rule, check: &Check, live: Option<&Value>) -> Result<Step, Refusal> {
    if let Some(value) = check.adopted.as_deref() {
        return plan(key, &Expectation::Equal(value.as_str().into()), None, live);
    }
    plan(key, &rule.expectation, check.captured.as_ref().map(|capture| &capture.value), live)
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

/// Why a key is not put back any more.
fn fought(attempts: usize, within: Duration, who: Option<&Writer>, key: &Key) -> String {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
    let who = match who {
        Some(writer) => format!("{} (pid {}) wrote it again", writer.comm, writer.pid),
        None => "it was written again".into(),
    };
    format!(
        "it was put back {times} within {within:#}, and {who}: two that fight\n\
         hint: stop the other, or declare what it writes; then `driftd revert {key}`"
    )
}
