//! The hints of one key that wait for its re-read, and what they say of it: who did it, which writes opened nothing, and
//! whether to read again.

use std::time::Duration;

use crate::model::{Boottime, Hint, Key, Owner, SeenBy, TouchReason, Value, Writer};

/// How many hints of one key wait for one read; more are counted only.
const HINTS: usize = 256;

/// How long the value asked for is waited for, where the hint comes before the write.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The shortest pause before a key is read again, where a rule lets nothing settle.
const SHORTEST: Duration = Duration::from_millis(10);

/// Hints that wait.
#[derive(Debug, Default)]
pub struct Hints {
    waiting: Vec<Hint>,
    /// How many more there were than are kept.
    uncounted: u64,
    /// How long was last waited for a write that was announced.
    pause: Duration,
    /// The last call that was taken into account while it was under way: its result is no further write.
    early: Option<(u32, Boottime)>,
}

/// What a reading showed.
pub struct Reading<'a> {
    /// The key.
    pub key: &'a Key,
    /// Its value; `None` where it does not exist.
    pub value: Option<&'a Value>,
    /// Whether that is another than before.
    pub changed: bool,
    /// Whether rtnetlink said something about the key.
    pub netlink: bool,
}

/// A write that opened nothing.
#[derive(Debug, PartialEq)]
pub struct Quiet {
    /// Who wrote.
    pub writer: Option<Writer>,
    /// Why it is no more than a touch.
    pub reason: TouchReason,
    /// What was asked for.
    pub requested: Option<Value>,
    /// What it returned.
    pub result: Option<i64>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// How many such writes.
    pub writes: u64,
}

/// What the hints of a key say about a reading.
#[derive(Debug, PartialEq)]
pub struct Explained {
    /// The hint that explains the new value.
    pub culprit: Option<Culprit>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// Writes that explain nothing.
    pub quiet: Vec<Quiet>,
    /// How many writes stand behind the change.
    pub writes: u64,
    /// When to read again: a write that was announced is not there yet.
    pub again: Option<Boottime>,
}

/// Who wrote the value that is in force.
#[derive(Debug, PartialEq)]
pub struct Culprit {
    /// The process.
    pub writer: Option<Writer>,
    /// What it asked for.
    pub requested: Option<Value>,
}

impl Hints {
    /// Whether none waits, and none was left uncounted.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.uncounted == 0
    }

    /// Whether somebody asked for this value, and the kernel took it or may take it yet.
    pub fn explain_exactly(&self, key: &Key, value: &Value) -> bool {
        let taken = |hint: &&Hint| hint.result.is_none_or(|result| result >= 0);
        self.waiting.iter().filter(taken).any(|hint| requested(key, hint).as_ref() == Some(value))
    }

    /// Takes a hint; it waits for the next reading. What is told of a call again, with its result, takes the place of what
    /// was told while it was under way.
    pub fn push(&mut self, hint: Hint) {
        self.pause = Duration::ZERO;
        if hint.result.is_some() {
            let same = |told: &&mut Hint| told.result.is_none() && call(told) == call(&hint);
            if let Some(told) = self.waiting.iter_mut().find(same) {
                *told = hint;
                return;
            }
        }
        if self.waiting.len() >= HINTS {
            // The newest says what should be in force now; the one it replaces is still counted.
            self.waiting.pop();
            self.uncounted += 1;
        }
        self.waiting.push(hint);
    }

    /// Explains a reading by the hints that waited for it. Hints whose write is still to come go on waiting, and the
    /// key is to be read again: after `settle` at the earliest.
    pub fn explain(&mut self, reading: &Reading<'_>, settle: Duration, now: Boottime) -> Explained {
        let &Reading { key, value, changed, netlink } = reading;
        let hints = std::mem::take(&mut self.waiting);
        let uncounted = std::mem::take(&mut self.uncounted);
        let requested = |hint: &Hint| requested(key, hint);
        let culprit = if changed { culprit(&hints, value, requested) } else { None };
        let mut explained = Explained {
            seen_by: seen_by(&hints, culprit, netlink),
            culprit: culprit
                .and_then(|at| hints.get(at))
                .map(|hint| Culprit { writer: hint.writer.clone(), requested: requested(hint) }),
            quiet: Vec::new(),
            writes: uncounted,
            again: None,
        };
        let last_effective = hints.iter().rposition(|hint| requested(hint).as_ref() == value);
        let (mut waiting, mut recheck) = (Vec::new(), false);
        let namespaced = key.may_be_namespaced();
        for (at, hint) in hints.into_iter().enumerate() {
            let is_early = hint.result.is_none();
            // Counted when it was told of while it was under way. It may yet be who did it.
            let is_known = !is_early && self.early.is_some() && self.early == call(&hint);
            let asked = requested(&hint);
            let later_restored = last_effective.is_some_and(|last| at < last);
            let reason = match hint.result {
                Some(result) if result < 0 => Some(TouchReason::Refused),
                // Part of the change that was seen.
                _ if changed && culprit.is_some_and(|culprit| at <= culprit) => None,
                _ if asked.is_some() && asked.as_ref() == value => Some(TouchReason::Equal),
                _ if later_restored => {
                    // Where the hint comes before the write, two writers may yet write in the other order.
                    recheck |= hint.result.is_none();
                    Some(TouchReason::Restored)
                }
                Some(_) => Some(TouchReason::Ineffective),
                // The probe speaks before the write, or its result is missing: it may still come.
                None if now.since(hint.time) < PATIENCE => {
                    waiting.push(hint);
                    continue;
                }
                // Refused, in all likelihood; the probe cannot know.
                None if !namespaced => Some(TouchReason::Ineffective),
                // Or another namespace's: nothing of the host's was touched.
                None => continue,
            };
            if is_early && (reason.is_none() || asked.as_ref() == value) {
                self.early = call(&hint).or(self.early);
            }
            match reason {
                _ if is_known => self.early = None,
                None => explained.writes += 1,
                // Another namespace's, for all we know: it is not for the host's record.
                Some(_) if namespaced && hint.owner == Owner::Unknown => {}
                Some(reason) => explained.quiet.push(Quiet {
                    writer: hint.writer,
                    reason,
                    requested: asked,
                    result: hint.result,
                    seen_by: hint.seen_by,
                    writes: 1,
                }),
            }
        }
        // Where nothing changed, those that were only counted go with the last of the others.
        if !changed && let Some(last) = explained.quiet.last_mut() {
            last.writes += std::mem::take(&mut explained.writes);
        }
        if recheck {
            explained.again = Some(now.after(settle.max(SHORTEST)));
        }
        if !waiting.is_empty() {
            // At once, at settle, then ever more slowly.
            self.pause = match self.pause.is_zero() {
                true => settle.max(SHORTEST),
                false => self.pause.saturating_mul(2).min(PATIENCE),
            };
            explained.again = Some(now.after(self.pause));
            self.waiting = waiting;
        }
        explained
    }
}

/// Which call a hint tells of.
fn call(hint: &Hint) -> Option<(u32, Boottime)> {
    hint.writer.as_ref().map(|writer| (writer.tid, hint.time))
}

/// What a hint says was asked for. The whole line is written; of it a column is one word, or none where the line is
/// short and the kernel leaves the rest as it is.
pub(super) fn requested(key: &Key, hint: &Hint) -> Option<Value> {
    let text = hint.requested.as_deref()?;
    match key {
        Key::Sysctl { column: Some(_), .. } => {
            text.split_whitespace().nth(key.column_index()?).map(|word| Value::canonical(key, word))
        }
        _ => Some(Value::canonical(key, text)),
    }
}

/// The place of the hint that explains a new value: the last that asked for exactly it; else the last that the kernel
/// took (it may have clamped the value). What could not be told to be the host's must have asked for it.
fn culprit(
    hints: &[Hint],
    value: Option<&Value>,
    requested: impl Fn(&Hint) -> Option<Value>,
) -> Option<usize> {
    let taken = |hint: &Hint| hint.result.is_none_or(|result| result >= 0);
    let exact =
        hints.iter().rposition(|hint| taken(hint) && value.is_some() && requested(hint).as_ref() == value);
    exact.or_else(|| {
        hints.iter().rposition(|hint| hint.result.is_some_and(|r| r >= 0) && hint.owner == Owner::Host)
    })
}

fn seen_by(hints: &[Hint], culprit: Option<usize>, netlink: bool) -> SeenBy {
    match culprit.and_then(|at| hints.get(at)).or(hints.last()) {
        Some(hint) => hint.seen_by,
        None if netlink => SeenBy::Netlink,
        None => SeenBy::Sweep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Write;

    const SETTLE: Duration = Duration::from_millis(100);

    /// A reading of 61.
    fn read(hints: &mut Hints, key: &str, changed: bool, now: Boottime) -> Explained {
        let key = key.parse().unwrap();
        let value = Value::canonical(&key, "61");
        hints.explain(&Reading { key: &key, value: Some(&value), changed, netlink: false }, SETTLE, now)
    }

    fn at(millis: u64) -> Boottime {
        Boottime { nanos: millis * 1_000_000 }
    }

    fn hint(pid: u32, requested: Option<&str>, result: Option<i64>) -> Hint {
        Hint {
            write: Write::Sysctl("vm/swappiness".into()),
            writer: Some(Writer::of(pid)),
            time: at(0),
            result,
            old: None,
            requested: requested.map(Into::into),
            owner: if result.is_some() { Owner::Host } else { Owner::Unknown },
            seen_by: if result.is_some() { SeenBy::Kprobe } else { SeenBy::Cgroup },
        }
    }

    /// Explains a reading of 61, made at `millis`, that is a change or is not: who did it, what is quiet (writer,
    /// reason, count), how many writes, when to read again.
    #[track_caller]
    fn check(
        hints: &[Hint],
        changed: bool,
        millis: u64,
        culprit: Option<u32>,
        quiet: &[(u32, TouchReason, u64)],
        writes: u64,
        again: Option<u64>,
    ) {
        let mut waiting = Hints::default();
        hints.iter().cloned().for_each(|hint| waiting.push(hint));
        let explained = read(&mut waiting, "vm.swappiness", changed, at(millis));
        assert_eq!(explained.culprit.map(|c| c.writer.unwrap().pid), culprit);
        let got: Vec<_> =
            explained.quiet.iter().map(|q| (q.writer.as_ref().unwrap().pid, q.reason, q.writes)).collect();
        assert_eq!(got, quiet);
        assert_eq!((explained.writes, explained.again), (writes, again.map(at)));
    }

    use TouchReason::{Equal, Ineffective, Refused, Restored};

    #[test]
    fn the_last_who_asked_for_the_value_in_force_did_it() {
        let hints = [
            hint(1, Some("61\n"), Some(3)),
            hint(2, Some("62\n"), Some(3)),
            hint(3, Some("61\n"), Some(3)),
            hint(4, Some("99\n"), Some(-22)),
        ];
        check(&hints, true, 0, Some(3), &[(4, Refused, 1)], 3, None);
    }

    #[test]
    fn a_value_that_the_kernel_clamped_is_its_writers() {
        check(&[hint(1, Some("4096"), Some(5))], true, 0, Some(1), &[], 1, None);
        check(&[hint(1, None, Some(5))], true, 0, Some(1), &[], 1, None);
    }

    #[test]
    fn equal_refused_restored_and_ineffective_writes_are_touches() {
        check(&[hint(1, Some("61\n"), Some(3))], false, 0, None, &[(1, Equal, 1)], 0, None);
        check(&[hint(1, Some("-1"), Some(-22))], false, 0, None, &[(1, Refused, 1)], 0, None);
        let restored = [hint(1, Some("62"), Some(2)), hint(2, Some("61"), Some(2))];
        check(&restored, false, 0, None, &[(1, Restored, 1), (2, Equal, 1)], 0, None);
        check(&[hint(1, Some("62"), Some(2))], false, 0, None, &[(1, Ineffective, 1)], 0, None);
    }

    #[test]
    fn a_hint_that_comes_before_its_write_is_waited_for_and_then_names_nobody() {
        let early = [hint(1, Some("62"), None)];
        check(&early, false, 0, None, &[], 0, Some(100));
        check(&early, false, 5000, None, &[(1, Ineffective, 1)], 0, None);
        // A change to another value than the one asked for is not its writer's.
        check(&early, true, 0, None, &[], 0, Some(100));
        check(&[hint(1, Some("61"), None)], true, 0, Some(1), &[], 1, None);
    }

    #[test]
    fn what_may_be_another_namespaces_is_not_for_the_record() {
        let mut hints = Hints::default();
        hints.push(hint(1, Some("61"), None));
        assert_eq!(read(&mut hints, "net.ipv4.ip_forward", false, at(0)).quiet, []);
        // Where it explains a change of the host's, it is the host's.
        hints.push(hint(1, Some("61"), None));
        assert!(read(&mut hints, "net.ipv4.ip_forward", true, at(0)).culprit.is_some());
    }

    #[test]
    fn a_flood_of_hints_ends_in_a_pause_that_does_not_overflow() {
        let mut hints = Hints::default();
        hints.push(hint(1, Some("62"), None));
        for _ in 0..2000 {
            let again = read(&mut hints, "vm.swappiness", false, at(1)).again;
            assert!(again.is_some_and(|again| again <= at(1).after(PATIENCE)));
        }
    }

    #[test]
    fn two_announced_writes_are_read_once_more_in_case_they_come_in_the_other_order() {
        let hints = [hint(1, Some("62"), None), hint(2, Some("61"), None)];
        check(&hints, false, 0, None, &[(1, Restored, 1), (2, Equal, 1)], 0, Some(100));
    }

    #[test]
    fn each_wait_is_twice_as_long_as_the_one_before() {
        let mut hints = Hints::default();
        hints.push(hint(1, Some("62"), None));
        let (mut now, mut pauses) = (at(0), Vec::new());
        while let Some(again) = read(&mut hints, "vm.swappiness", false, now).again {
            pauses.push(again.since(now).as_millis());
            now = again;
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200]);
    }

    #[test]
    fn more_hints_than_are_kept_are_counted() {
        let mut hints = Hints::default();
        (0..20_000).for_each(|_| hints.push(hint(1, Some("61"), Some(3))));
        let explained = read(&mut hints, "vm.swappiness", false, at(0));
        assert_eq!(explained.quiet.iter().map(|q| q.writes).sum::<u64>(), 20_000);
    }
}
