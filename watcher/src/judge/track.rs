//! A departure over time: when it becomes a finding, when the finding heals.

use super::Judgement;
use crate::model::{Boottime, Rule};

/// Where a rule stands with one of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// As declared, or not judged.
    #[default]
    Quiet,
    /// It departs, and it is not a finding yet.
    Departing {
        /// Since when.
        since: Boottime,
        /// From when on it is one, if it still departs then.
        due: Boottime,
    },
    /// It is a finding.
    Open,
}

/// What follows from one judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Look again at this moment.
    Wait(Boottime),
    /// The departure is a finding now.
    Open,
    /// The finding is healed.
    Heal,
    /// The departure went away before it was a finding.
    Restored,
}

/// Takes one judgement, made at `now`, of a value that was written at `written` (`None`: no hint says so), and gives
/// what follows. A departure settles from the moment it was first seen: a second write does not put it off. While
/// `held`, in a deploy's window, nothing opens: its end decides.
pub fn step(
    state: &mut State,
    judgement: Judgement,
    rule: &Rule,
    written: Option<Boottime>,
    held: bool,
    now: Boottime,
) -> Step {
    match (judgement, *state) {
        (Judgement::Departs, State::Open) => Step::Stay,
        (Judgement::Departs, before) => {
            let (since, due) = match before {
                State::Departing { since, due } => (since, due),
                _ => (now, now.after(rule.hold).max(written.map_or(now, |at| at.after(rule.settle)))),
            };
            if held {
                *state = State::Departing { since, due };
                return Step::Stay;
            }
            match due <= now {
                true => {
                    *state = State::Open;
                    Step::Open
                }
                false => {
                    *state = State::Departing { since, due };
                    Step::Wait(due)
                }
            }
        }
        (Judgement::InSync | Judgement::Unjudged, before) => {
            *state = State::Quiet;
            match before {
                State::Quiet => Step::Stay,
                State::Departing { .. } => Step::Restored,
                State::Open => Step::Heal,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Expectation, Severity, Source};

    fn rule(hold: u64, settle: u64) -> Rule {
        Rule {
            name: "r".into(),
            keys: Vec::new(),
            expectation: Expectation::Captured(None),
            severity: Severity::Warning,
            hold: Duration::from_millis(hold),
            settle: Duration::from_millis(settle),
            mute: None,
            patterns: Vec::new(),
            if_absent: None,
            remedy: crate::model::Remedy::Notify,
            source: Source { file: "f".into(), line: 1 },
            commit: None,
        }
    }

    fn at(millis: u64) -> Boottime {
        Boottime { nanos: millis * 1_000_000 }
    }

    use Judgement::{Departs, InSync};

    /// Judgements at moments in milliseconds, the first of them just written, and the step that follows each.
    #[track_caller]
    fn check(rule: &Rule, course: &[(u64, Judgement, bool, Step)]) {
        let mut state = State::default();
        for (n, (millis, judgement, held, wanted)) in course.iter().enumerate() {
            let written = (n == 0).then_some(at(*millis));
            assert_eq!(
                step(&mut state, *judgement, rule, written, *held, at(*millis)),
                *wanted,
                "at {millis}"
            );
        }
    }

    #[test]
    fn a_written_departure_is_a_finding_after_it_settled_and_heals_at_once() {
        check(
            &rule(0, 100),
            &[
                (0, Departs, false, Step::Wait(at(100))),
                (50, Departs, false, Step::Wait(at(100))),
                (100, Departs, false, Step::Open),
                (101, Departs, false, Step::Stay),
                (102, InSync, false, Step::Heal),
                (103, InSync, false, Step::Stay),
            ],
        );
    }

    #[test]
    fn changed_and_restored_within_settle_opens_nothing() {
        check(
            &rule(0, 100),
            &[(0, Departs, false, Step::Wait(at(100))), (99, InSync, false, Step::Restored)],
        );
    }

    #[test]
    fn a_departure_that_must_hold_opens_only_when_it_did() {
        check(
            &rule(30_000, 100),
            &[
                (0, Departs, false, Step::Wait(at(30_000))),
                (29_999, InSync, false, Step::Restored),
                (30_000, Departs, false, Step::Wait(at(60_000))),
                (60_000, Departs, false, Step::Open),
            ],
        );
    }

    #[test]
    fn in_a_window_nothing_opens_and_its_end_decides() {
        check(
            &rule(0, 100),
            &[
                (0, Departs, true, Step::Stay),
                (5000, Departs, true, Step::Stay),
                (5001, Departs, false, Step::Open),
            ],
        );
    }

    #[test]
    fn a_departure_found_by_a_sweep_opens_at_once() {
        let mut state = State::default();
        assert_eq!(step(&mut state, Departs, &rule(0, 100), None, false, at(5)), Step::Open);
    }

    /// One look at a key, in milliseconds.
    #[derive(Debug)]
    struct Look {
        now: u64,
        departs: bool,
        held: bool,
        written: Option<u64>,
    }

    /// The model: the looks since it was last in sync; due is counted from the first of them.
    fn is_open(looks: &[Look], hold: u64, settle: u64) -> bool {
        let since = looks.iter().rposition(|look| !look.departs).map_or(0, |last| last + 1);
        let Some(first) = looks.get(since) else { return false };
        let due = (first.now + hold).max(first.written.map_or(0, |written| written + settle));
        looks[since..].iter().any(|look| !look.held && look.now >= due)
    }

    proptest! {
        /// Against a model that knows no state: it looks at the whole course anew at each step.
        #[test]
        fn it_is_open_exactly_when_it_departed_without_a_break_and_was_looked_at_outside_a_window_when_it_was_due(
            course in proptest::collection::vec((0u64..80, any::<bool>(), any::<bool>(), proptest::option::of(0u64..50)), 1..60),
            hold in 0u64..200,
            settle in 0u64..200,
        ) {
            let rule = rule(hold, settle);
            let (mut state, mut now, mut looks) = (State::default(), 1000, Vec::new());
            for (pause, departs, held, written_ago) in course {
                now += pause;
                let written = written_ago.map(|ago| now - ago);
                looks.push(Look { now, departs, held, written });
                let judgement = if departs { Departs } else { InSync };
                step(&mut state, judgement, &rule, written.map(at), held, at(now));
                prop_assert_eq!(state == State::Open, is_open(&looks, hold, settle), "{:?}", &looks);
            }
        }

        #[test]
        fn openings_and_healings_alternate(course in proptest::collection::vec((0u64..80, any::<bool>(), any::<bool>()), 1..60)) {
            let rule = rule(50, 100);
            let (mut state, mut now, mut open) = (State::default(), 0, false);
            for (pause, departs, held) in course {
                now += pause;
                let judgement = if departs { Departs } else { InSync };
                match step(&mut state, judgement, &rule, None, held, at(now)) {
                    Step::Open => { prop_assert!(!open && departs && !held); open = true; }
                    Step::Heal => { prop_assert!(open && !departs); open = false; }
                    Step::Wait(due) => prop_assert!(!open && departs && due > at(now)),
                    Step::Restored => prop_assert!(!open && !departs),
                    Step::Stay => {}
                }
                prop_assert_eq!(open, state == State::Open);
            }
        }
    }
}
