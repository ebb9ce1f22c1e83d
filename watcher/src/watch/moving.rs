//! Keys that move by themselves: for which a PSI trigger stands guard, and when they are read again although nobody said
//! anything. While nothing is wrong with them that is never, but for the sweep.

use std::{collections::HashSet, time::Duration};

use super::{
    Watch, mark,
    tracked::{Known, Tracked},
};
use crate::{
    judge::{State, most},
    model::{Key, Now, Rule, SeenBy},
    probes::{Rise, Stall, WINDOW},
};

/// How long after a trigger fired, and how often while it departs, a pressure is read again. The kernel forms its
/// averages every two seconds and a tick (`psi_period`, kernel/sched/psi.c): read sooner, they are still the same. What
/// made the trigger fire is in the average that is formed next.
const AVERAGED: Duration = Duration::from_millis(2050);

/// How often at most, and at least, a key without a trigger is read while it departs and must hold that: `for: 60s`
/// means all the time, not the beginning and the end of it.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(5);

impl Watch {
    /// Takes what a trigger said.
    pub(super) fn pressure(&mut self, rise: Rise, now: Now) {
        let key = match rise {
            Rise::Rose(key) => key,
            // When it was read it is known whether it can be set anew.
            Rise::Ended(key) => {
                self.stalls_moved = true;
                key
            }
        };
        let Some(at) = self.by_key.get(&key).copied() else { return };
        let Some(tracked) = self.keys.get_mut(at) else { return };
        mark(tracked, at, &mut self.dirty);
        let due = now.boot.after(AVERAGED);
        if let Some(before) = tracked.look.replace(due) {
            self.timers.remove(&(before, at));
        }
        self.timers.insert((due, at));
    }

    /// The triggers that are wanted, where a sweep was made since they were asked for last.
    pub fn moved_stalls(&mut self) -> Option<Vec<Stall>> {
        std::mem::take(&mut self.stalls_moved)
            .then(|| self.keys.iter().filter_map(|tracked| stall(tracked, &self.rules)).collect())
    }

    /// Takes note of the keys that have a trigger now.
    pub fn guarded(&mut self, keys: &HashSet<Key>) {
        for tracked in self.keys.iter_mut().filter(|tracked| matches!(tracked.key, Key::Pressure { .. })) {
            tracked.guarded = keys.contains(&tracked.key);
        }
    }

    /// Decides when a key that was just read and judged is read next.
    pub(super) fn look_again(&mut self, at: usize, now: Now) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        if tracked.look.is_some_and(|due| due > now.boot) {
            return;
        }
        tracked.look = pause(tracked, &self.rules).map(|pause| now.boot.after(pause));
        if let Some(due) = tracked.look {
            self.timers.insert((due, at));
        }
    }
}

/// How a finding of a key that nobody wrote was noticed.
pub(super) fn seen_by(tracked: &Tracked) -> SeenBy {
    match tracked.guarded && tracked.look.is_some() {
        true => SeenBy::Psi,
        false => SeenBy::Sweep,
    }
}

/// How long until a key is read again that is not in order; `None` where it can wait for a trigger or for the sweep.
fn pause(tracked: &Tracked, rules: &[Rule]) -> Option<Duration> {
    let mut wrong = tracked.checks.iter().filter(|check| check.state != State::Quiet);
    if tracked.guarded {
        return wrong.next().map(|_| AVERAGED);
    }
    let holds = wrong.filter(|check| matches!(check.state, State::Departing { .. }));
    let holds = holds.filter_map(|check| rules.get(check.rule)).map(|rule| rule.hold);
    holds.filter(|hold| !hold.is_zero()).min().map(|hold| (hold / 10).clamp(OFTEN, SELDOM))
}

/// The trigger that fires before an average of the key is more than any of its rules lets it be; `None` where there is
/// no such bound, or nothing to set it on.
fn stall(tracked: &Tracked, rules: &[Rule]) -> Option<Stall> {
    let Key::Pressure { field: (_, field), .. } = &tracked.key else { return None };
    // A total only grows, and by less than any trigger is for.
    if &**field == "total" || !matches!(tracked.known, Known::Value(Some(_))) || tracked.unreadable {
        return None;
    }
    let bounds = tracked.checks.iter().filter_map(|check| {
        let captured = check.captured.as_ref().map(|capture| &capture.value);
        most(&rules.get(check.rule)?.expectation, captured)
    });
    Some(Stall { key: tracked.key.clone(), stalled: stalled(bounds.min()?)? })
}

/// For how long tasks are stalled within two seconds, at the least, where the average of a pressure comes to be above a
/// bound (in thousandths of a percent of the time); `None` where no average can be.
///
/// An average rises above a bound only where the sample that goes into it is above, of the two seconds before (ten, sixty
/// or three hundred seconds are how fast it forgets, not what a sample is of), and a sample is in whole percent
/// (`calc_avgs`, kernel/sched/psi.c). The trigger's two seconds begin at another moment, though, and of those before it
/// the kernel guesses that the stall was spread evenly (`window_update`): of a stall that lies across the border it may
/// see no more than half. So half of it is what the trigger is set to. Never too late, it may be too early: then the
/// key was read, and that is all.
fn stalled(bound: i128) -> Option<Duration> {
    let percent =
        u64::try_from(bound.div_euclid(1000).saturating_add(1).max(1)).ok().filter(|p| *p <= 100)?;
    Some(WINDOW / 2 * u32::try_from(percent).ok()? / 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_on_an_average_is_half_the_stall_that_the_next_percent_needs() {
        for (percent, millis) in [
            ("0", Some(10)),
            ("20", Some(210)),
            ("20.5", Some(210)),
            ("99.99", Some(1000)),
            ("100", None),
            ("-5", Some(10)),
        ] {
            let bound: crate::model::Quantity = percent.parse().unwrap();
            assert_eq!(stalled(bound.thousandths()), millis.map(Duration::from_millis), "at most {percent}");
        }
    }

    /// `window_update`, kernel/sched/psi.c, in milliseconds: the most that a trigger sees, of what was stalled until each
    /// moment, when it is looked at every 200 ms (a tenth of its window) from a moment on.
    fn seen(stalled: &[u64], from: usize) -> u64 {
        let (mut start, mut at_start, mut before, mut most) = (from, stalled[from], 0, 0);
        for now in (from..stalled.len()).step_by(200) {
            let (elapsed, mut growth) = ((now - start) as u64, stalled[now] - at_start);
            if elapsed > 2000 {
                (start, at_start, before) = (now, stalled[now], growth);
            } else {
                growth += before * (2000 - elapsed) / 2000;
            }
            most = most.max(growth);
        }
        most
    }

    proptest! {
        /// Against the kernel's own arithmetic: whatever a sample above the bound is made of, and wherever the trigger's
        /// windows begin, it fires until the sample is taken, but for the fifth of a second between two looks at it.
        #[test]
        fn whenever_a_sample_is_above_the_bound_the_trigger_fires(
            bound in 0u64..100,
            from in 0usize..2000,
            bursts in proptest::collection::vec((0usize..2000, 1usize..2000), 1..6),
        ) {
            // Two seconds without a stall, two of the sample, and the time until the trigger is looked at.
            let mut is_stalled = vec![false; 4201];
            for (at, length) in bursts {
                is_stalled[2000 + at..(2000 + at + length).min(4000)].fill(true);
            }
            let sum = |sum: &mut u64, is: &bool| { *sum += u64::from(*is); Some(*sum) };
            let until: Vec<u64> = is_stalled.iter().scan(0, sum).collect();
            let sample = (until[3999] - until[1999]) * 100 / 2000;
            prop_assume!(sample > bound);
            let threshold = super::stalled(i128::from(bound) * 1000).unwrap();
            prop_assert!(u128::from(seen(&until, from)) >= threshold.as_millis(), "{sample} {threshold:?}");
        }
    }
}
