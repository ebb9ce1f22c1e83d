//! Two writers that keep overwriting each other: which changes count for that, what it means for the rules and their
//! remedies, and what their finding says. Who fights is told by `judge`.

use super::{
    Watch,
    found::shown,
    tracked::{Check, Circumstance, Tracked},
};
use crate::{
    judge::{Fight, Judgement, Turn, Turns, judge_adopted, settled},
    kernel::Reader,
    model::{Boottime, Cause, Entry, Finding, Key, Now, Rule, Value, What},
};

/// A fight as a rule sees it that departs for it.
pub(super) struct Fought<'f> {
    fight: &'f Fight,
    /// The side whose value departs, and the other; nobody where who fights is not known any more.
    departs: Option<(&'f Turn, &'f Turn)>,
}

impl Watch {
    /// Takes a change for one of those by which a fight is known. What is a deploy's or our own is none.
    pub(super) fn take_turn(
        &mut self,
        at: usize,
        change: &Circumstance,
        value: Option<&Value>,
        is_ours: bool,
        now: Now,
    ) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        let before = tracked.fight(now.boot).map(|fight| fight.until);
        let settle = tracked.checks.iter().filter_map(|check| self.rules.get(check.rule));
        let settle = settle.map(|rule| rule.settle).max().unwrap_or_default();
        let counts = !is_ours && !change.pin.in_window;
        match (&change.writer, value, &mut tracked.turns) {
            (Some(writer), Some(value), turns) if counts => {
                let turn = Turn { writer: writer.clone(), value: value.clone(), at: now.boot };
                turns.get_or_insert_default().take(turn, settle);
            }
            (None, Some(value), Some(turns)) if counts => turns.take_unknown(value, now.boot, settle),
            (_, _, Some(turns)) => turns.interrupt(),
            (_, _, None) => {}
        }
        // It is looked at when both have rested.
        let until = tracked.fight(now.boot).map(|fight| fight.until);
        if until != before {
            before.map(|before| self.timers.remove(&(before, at)));
            until.map(|until| self.timers.insert((until, at)));
        }
    }

    /// A finding that an earlier run left open is of a fight: who fights is not known any more.
    pub(super) fn recall_fight(&mut self, key: &Key, now: Now) {
        let Some(at) = self.by_key.get(key).copied() else { return };
        let Some(tracked) = self.keys.get_mut(at) else { return };
        let turns = Turns::recalled(now.boot);
        if let Some(fight) = turns.fight(now.boot) {
            self.timers.insert((fight.until, at));
        }
        tracked.turns = Some(Box::new(turns));
    }

    /// A deployment is through: what departs now is judged afresh.
    pub(super) fn forget_fights(&mut self) {
        self.keys.iter_mut().for_each(|tracked| tracked.turns = None);
    }

    /// A finding that is open is of a fight from now on. It stays the same one, because a rule has one on a key; where it
    /// was another departure until now, it is told once more.
    pub(super) fn goes_on_fought(
        &mut self,
        finding: &mut Finding,
        fought: &Fought<'_>,
        value: Option<&Value>,
        now: Now,
    ) {
        let named = fought.named(finding.clone());
        if named == *finding {
            return;
        }
        let was = std::mem::replace(finding, named);
        if was.cause == Cause::Fight {
            return self.batch.moved.push(finding.clone());
        }
        if !finding.key.is_secret() {
            finding.actual = value.cloned();
        }
        // Counted it was when it opened.
        self.batch.entries.push(Entry { time: now.wall, what: What::Finding(Box::new(finding.clone())) });
    }
}

impl Fought<'_> {
    /// The finding as that of the fight: it names both. Who did it is the one whose value departs; of two that do, the last.
    pub(super) fn named(&self, finding: Finding) -> Finding {
        let Some((by, other)) = self.departs else { return finding };
        let shown = shown(&finding.key);
        Finding {
            cause: Cause::Fight,
            detail: self.fight.detail(shown),
            writer: Some(by.writer.clone()),
            previous: Some(shown(other.value.clone())),
            requested: None,
            ..finding
        }
    }
}

impl Tracked {
    /// The fight over it that goes on now.
    pub(super) fn fight(&self, now: Boottime) -> Option<&Fight> {
        self.turns.as_ref()?.fight(now)
    }
}

impl Check {
    /// Whether its open finding is that of a fight, which goes on or did.
    pub(super) fn is_of_fight(&self) -> bool {
        self.finding.as_ref().is_some_and(|finding| finding.cause == Cause::Fight)
    }
}

/// How a rule sees a fight over a key, where it departs for that, whichever of the two values is in force: where it does
/// not expect both. What must hold for a while before it is a finding departs like any other.
pub(super) fn fought<'f>(
    fight: &'f Fight,
    key: &Key,
    rule: &Rule,
    check: &Check,
    reader: &mut Reader,
) -> Option<Fought<'f>> {
    let Some([one, other]) = &fight.sides else {
        return check.is_of_fight().then_some(Fought { fight, departs: None });
    };
    if !rule.hold.is_zero() {
        return None;
    }
    let captured = check.captured.as_ref().map(|capture| &capture.value);
    let expectation = settled(&rule.expectation, |of| reader.read(of).ok().flatten());
    let departs = |side: &Turn| {
        let value = Some(&side.value);
        judge_adopted(key, &expectation, captured, check.adopted.as_deref(), value) == Judgement::Departs
    };
    let departs = [(other, one), (one, other)].into_iter().find(|(side, _)| departs(side))?;
    Some(Fought { fight, departs: Some(departs) })
}

/// Why no rule has a remedy for a finding: two fight over its key, and whoever writes it too is the third.
pub(super) fn fought_over(tracked: &Tracked, check: &Check, now: Boottime) -> Option<String> {
    let finding = check.finding.as_ref().filter(|finding| finding.cause == Cause::Fight)?;
    tracked.fight(now)?;
    let who = finding.detail.as_deref().unwrap_or("it is not known who");
    let key = &tracked.key;
    Some(format!(
        "two fight over it: {who}\nhint: stop one of them; when they rest the rule counts again, and `driftd revert {key}` \
         works at once"
    ))
}
