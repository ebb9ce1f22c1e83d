//! From a reading to what it means: change or touch, finding opened or healed.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Watch,
    fight::fought,
    found::shown,
    hints::{Explained, Quiet},
    tracked::{Capturing, Circumstance, Known},
};
use crate::{
    deploys::Pin,
    judge::{Judgement, State, Step, judge_adopted, settled, step},
    kernel::ReadError,
    model::{
        Boottime, Capture, Change, Expectation, Finding, Healing, IfAbsent, Key, Loss, Now, Rule, Touch,
        TouchReason, Value, What,
    },
};

/// How long after the boot the first look still tells how the host came up.
const SOON: Duration = Duration::from_secs(15 * 60);

impl Watch {
    /// Takes one reading of the key at a place; what it shows is pinned to this.
    pub(super) fn observe(&mut self, at: usize, read: Result<Option<Value>, ReadError>, pin: &Pin, now: Now) {
        let value = match read {
            Ok(value) => value,
            Err(error) => return self.unreadable(at, &error, now),
        };
        if self.doubt(at, value.as_ref(), pin) {
            return;
        }
        let Some(tracked) = self.keys.get_mut(at) else { return };
        tracked.unreadable = false;
        // Not there at first, and there now: it came late.
        tracked.late |= value.is_some() && !tracked.was_there && tracked.known == Known::Value(None);
        tracked.was_there |= value.is_some();
        let before = std::mem::replace(&mut tracked.known, Known::Value(value.clone()));
        if before == Known::Nothing && pin.in_window && tracked.is_other_than_captured(value.as_ref()) {
            // An earlier run saw the window open. What had departed before that is a finding, and kept.
            tracked.changed_in = pin.deployment.clone();
        }
        let moves = tracked.key.moves_by_itself();
        let changed = matches!(&before, Known::Value(before) if *before != value) && !moves;
        let settle = tracked.checks.iter().filter_map(|c| self.rules.get(c.rule)).map(|r| r.settle).min();
        let settle = settle.unwrap_or(Rule::DEFAULT_SETTLE);
        let mut explained = tracked.explain(value.as_ref(), changed, settle, now.boot);
        // One such moment for a key, however many writes were announced.
        if let Some(before) = std::mem::replace(&mut tracked.again, explained.again) {
            self.timers.remove(&(before, at));
        }
        if let Some(again) = explained.again {
            self.timers.insert((again, at));
        }
        let quiet = std::mem::take(&mut explained.quiet);
        if changed && let Known::Value(previous) = before {
            if let Some(sweep) = &mut self.sweep {
                sweep.changed += 1;
            }
            self.changed(at, previous, value.clone(), explained, pin, now);
        } else {
            self.judge_key(at, value.as_ref(), pin, before == Known::Nothing, now);
        }
        if let Some(tracked) = self.keys.get_mut(at) {
            tracked.mover.take_if(|mover| !mover.goes_on(now.boot));
        }
        if moves {
            self.look_again(at, now);
        }
        for quiet in quiet {
            self.touched(at, quiet, value.clone(), pin, now);
        }
    }

    fn unreadable(&mut self, at: usize, error: &ReadError, now: Now) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        if !std::mem::replace(&mut tracked.unreadable, true) {
            self.status.losses += 1;
            self.tell(now, What::Loss(Loss { what: error.to_string(), count: None }));
        }
    }

    fn changed(
        &mut self,
        at: usize,
        previous: Option<Value>,
        value: Option<Value>,
        explained: Explained,
        pin: &Pin,
        now: Now,
    ) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        let seen_by = explained.seen_by;
        // Whoever wrote the key itself did it; else who wrote one that sets it too.
        let read = |key: &Key| self.reader.read(key).ok().flatten();
        let mover = tracked.mover.clone().filter(|mover| explained.culprit.is_none() && mover.did(read));
        let (writer, requested, seen_by) = match (explained.culprit, &mover) {
            (Some(culprit), _) => (culprit.writer, culprit.requested, seen_by),
            (None, Some(mover)) => (mover.writer.clone(), None, mover.seen_by),
            (None, None) => (None, None, seen_by),
        };
        let circumstance = Circumstance { previous, requested, writer, seen_by, mover, pin: pin.clone() };
        tracked.last_change = Some(Box::new(circumstance.clone()));
        tracked.checks.iter_mut().for_each(|check| check.expects_anew = false);
        if pin.in_window {
            tracked.changed_in = pin.deployment.clone();
        }
        let key = tracked.key.clone();
        let shown = shown(&key);
        let remedies = self.put_right(&key, circumstance.writer.as_ref(), value.as_ref(), now.boot);
        self.take_turn(at, &circumstance, value.as_ref(), remedies.is_some(), now);
        // What follows for the rules decides what the change is told as, and is told after it.
        let place = self.batch.entries.len();
        // In a deploy's window every step is the deploy's, and is told as it is.
        let restored = self.judge_key(at, value.as_ref(), pin, false, now) && !pin.in_window;
        let Circumstance { previous, requested, writer, seen_by, .. } = circumstance;
        let writes = explained.writes.max(1);
        let what = match restored {
            // Told each time, because the change it ends was told.
            true => What::Touch(Touch {
                key,
                actual: value.map(shown),
                requested: requested.map(shown),
                result: None,
                writer,
                seen_by,
                commit: pin.commit.clone(),
                reason: TouchReason::Restored,
                writes,
            }),
            false => What::Change(Change {
                key,
                previous: previous.map(shown),
                requested: requested.map(shown),
                actual: value.map(shown),
                writer,
                seen_by,
                commit: pin.commit.clone(),
                deployment: pin.deployment.clone(),
                in_window: pin.in_window,
                writes,
                remedies,
            }),
        };
        self.tell(now, what);
        if let Some(rest) = self.batch.entries.get_mut(place..) {
            rest.rotate_right(1);
        }
    }

    fn touched(&mut self, at: usize, quiet: Quiet, value: Option<Value>, pin: &Pin, now: Now) {
        let Some(tracked) = self.keys.get(at) else { return };
        let shown = shown(&tracked.key);
        let touch = Touch {
            key: tracked.key.clone(),
            actual: value.map(shown),
            requested: quiet.requested.map(shown),
            result: quiet.result,
            writer: quiet.writer,
            seen_by: quiet.seen_by,
            commit: pin.commit.clone(),
            reason: quiet.reason,
            writes: quiet.writes,
        };
        if let Some(touch) = self.touches.take(touch, now.boot) {
            self.tell(now, What::Touch(touch));
        }
    }

    /// Judges a key under each of its rules. True where all that followed is that departures went away before they
    /// were findings.
    fn judge_key(&mut self, at: usize, value: Option<&Value>, pin: &Pin, first: bool, now: Now) -> bool {
        let Some(tracked) = self.keys.get_mut(at) else { return false };
        let mut checks = std::mem::take(&mut tracked.checks);
        let turns = tracked.turns.take();
        let fight = turns.as_ref().and_then(|turns| turns.fight(now.boot));
        let written = tracked.written;
        let changed_in = tracked.changed_in.clone();
        let key = tracked.key.clone();
        let was_there = tracked.was_there;
        let (mut restored, mut departs, mut healed) = (false, false, false);
        let mut muted = Vec::new();
        for check in &mut checks {
            let Some(rule) = self.rules.get(check.rule) else { continue };
            // What the window still held when it was asked for comes before what is captured at its end.
            let before = |c: &Capturing| pin.in_window && c.window == pin.deployment;
            if let Some(value) = value
                && let Some(Capturing { commit, window }) = check.capturing.take_if(|c| !before(c))
                && check.captures(window.as_ref(), changed_in.as_ref())
            {
                let (rule, key, value) = (rule.name.clone(), key.clone(), value.clone());
                let capture = Capture { rule, key, value, commit };
                check.captured = Some(Box::new(capture.clone()));
                self.batch.captures.push(capture);
            }
            let captured = check.captured.as_ref().map(|capture| &capture.value);
            let judgement = match (value, check.if_absent) {
                (None, IfAbsent::Ignore) => Judgement::Unjudged,
                (None, IfAbsent::Wait) if !was_there => Judgement::Unjudged,
                _ => {
                    let expectation = settled(&rule.expectation, |of| self.reader.read(of).ok().flatten());
                    judge_adopted(&key, &expectation, captured, check.adopted.as_deref(), value)
                }
            };
            // While two fight over it, it departs until they rest, and has nothing to settle.
            let fought = fight.and_then(|fight| fought(fight, &key, rule, check, &mut self.reader));
            let (judgement, written) = match fought {
                Some(_) => (Judgement::Departs, None),
                None => (judgement, written),
            };
            if fought.is_some() && check.state != State::Open {
                check.state = State::Quiet;
            }
            // What depends on another key is judged anew at each reading, however it is itself.
            check.judged = !matches!(rule.expectation, Expectation::Share { .. });
            let came_up_so = first && self.saw_the_boot && is_soon(now.boot);
            check.from_the_start = judgement == Judgement::Departs && (came_up_so || check.from_the_start);
            match step(&mut check.state, judgement, rule, written, pin.in_window, now.boot) {
                // Held: another deployment's verdict may wait until it has settled.
                Step::Stay => match check.state {
                    State::Departing { due, .. } if due > now.boot => drop(self.timers.insert((due, at))),
                    _ => {}
                },
                Step::Wait(due) => drop(self.timers.insert((due, at))),
                Step::Restored => restored = true,
                Step::Open => {
                    let finding = self.finding(at, check, value, pin, now);
                    let finding = finding.map(|finding| match &fought {
                        Some(fought) => Box::new(fought.named(finding)),
                        None => Box::new(finding),
                    });
                    if let Some(mute) = finding.as_ref().and_then(|finding| finding.muted.as_ref()) {
                        muted.push(mute.clone());
                    }
                    check.finding = finding.clone();
                    if let Some(finding) = finding {
                        self.owe(&finding, None);
                        self.tell(now, What::Finding(finding));
                    }
                }
                Step::Heal => {
                    healed = true;
                    if let Some(finding) = check.finding.take() {
                        self.tell_healed(*finding, value.cloned(), Healing::InSync, now);
                    }
                }
            }
            departs |= check.state != State::Quiet;
            if let (Some(fought), Some(finding)) = (&fought, &mut check.finding) {
                self.goes_on_fought(finding, fought, value, now);
            }
            if let Some(finding) = &mut check.finding
                && finding.actual.as_ref() != value
                && !key.is_secret()
            {
                finding.actual = value.cloned();
                self.batch.moved.push(Finding::clone(finding));
            }
        }
        if let Some(tracked) = self.keys.get_mut(at) {
            (tracked.checks, tracked.turns) = (checks, turns);
        }
        muted.iter().for_each(|mute| self.muted(mute));
        restored && !departs && !healed
    }
}

/// Whether a first look of now tells how the host came up: soon after the boot, and nobody recorded anything since.
pub(super) fn saw_the_boot(last: Option<Timestamp>, now: Now) -> bool {
    let up = Duration::from_nanos(now.boot.nanos);
    is_soon(now.boot)
        && last.is_none_or(|last| Duration::try_from(now.wall.duration_since(last)).is_ok_and(|ago| ago > up))
}

/// Whether what is first looked at now came up as it is: a rule can be new long after the boot.
fn is_soon(now: Boottime) -> bool {
    Duration::from_nanos(now.nanos) < SOON
}
