//! One declared key: what is known of it, which hints wait for its re-read, and how each of its rules stands.

use std::time::Duration;

use crate::{
    deploys::Pin,
    judge::State,
    model::{
        Boottime, Capture, DeploymentId, Finding, Hint, IfAbsent, Key, Owner, Revision, SeenBy, TouchReason,
        Value, Writer,
    },
};

/// How many hints of one key wait for one read; more are counted only.
const HINTS: usize = 256;

/// How long the value asked for is waited for, where the hint comes before the write.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shortest pause before a key is read again, where a rule lets nothing settle.
const SHORTEST: Duration = Duration::from_millis(10);

/// What is known of a key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Not read yet.
    Nothing,
    /// It was read; `None`: the key did not exist.
    Value(Option<Value>),
}

/// A key of the configuration.
pub struct Tracked {
    /// The key.
    pub key: Key,
    /// What is known of its value.
    pub known: Known,
    /// Each rule that names it.
    pub checks: Vec<Check>,
    /// When a hint last said it was written.
    pub written: Option<Boottime>,
    /// Its last change, for the finding that may follow. Boxed, as what most keys never have.
    pub last_change: Option<Box<Circumstance>>,
    /// The deployment in whose window it last changed.
    pub changed_in: Option<DeploymentId>,
    /// What held when it was asked of the slow reader: its answer tells of the time before.
    pub asked_under: Option<Pin>,
    /// Whether it was told that it cannot be read.
    pub unreadable: bool,
    /// Whether it appeared while driftd ran.
    pub late: bool,
    /// Whether it was there at a reading.
    pub was_there: bool,
    /// When it is read again because a write that was announced was not there yet.
    pub again: Option<Boottime>,
    /// Whether it waits in the loop's list of keys to read.
    pub dirty: bool,
    /// When it is read because rtnetlink said something about it; what is seen until then is rtnetlink's news.
    pub netlink: Option<Boottime>,
    hints: Vec<Hint>,
    uncounted: u64,
    pause: Duration,
}

/// One rule on one key.
pub struct Check {
    /// The place of the rule in the configuration.
    pub rule: usize,
    /// How it stands.
    pub state: State,
    /// The open finding. Boxed, as what most checks do not have.
    pub finding: Option<Box<Finding>>,
    /// What it means that the key does not exist.
    pub if_absent: IfAbsent,
    /// Whether a pattern of the rule means the key, and the rule does not write it out.
    pub by_pattern: bool,
    /// Whether a reading was judged by the rule as it is now.
    pub judged: bool,
    /// Whether it departs since it was first read.
    pub from_the_start: bool,
    /// What the host had when a deployment was confirmed. Boxed, as what most rules do not ask for.
    pub captured: Option<Box<Capture>>,
    /// The next reading may become what is expected.
    pub capturing: Option<Capturing>,
}

/// A deployment that is confirmed, for a rule that captures.
pub struct Capturing {
    /// Its commit.
    pub commit: Revision,
    /// The deployment whose window it closed: what changed in that is captured anew.
    pub window: Option<DeploymentId>,
}

/// What is known of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstance {
    /// What was in force before.
    pub previous: Option<Value>,
    /// What the writer asked for.
    pub requested: Option<Value>,
    /// Who did it.
    pub writer: Option<Writer>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// What it is pinned to.
    pub pin: Pin,
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

impl Check {
    /// A rule that was not judged yet.
    pub fn new(rule: usize, if_absent: IfAbsent, by_pattern: bool) -> Check {
        Check {
            rule,
            state: State::Quiet,
            finding: None,
            if_absent,
            by_pattern,
            judged: false,
            from_the_start: false,
            captured: None,
            capturing: None,
        }
    }

    /// Whether a deployment that closed a window captures, for a key that last changed in another or the same: the
    /// first captures all, a later one what changed in its window. A key with an open finding keeps its expectation,
    /// so that no deploy launders a drift.
    pub fn captures(&self, window: Option<&DeploymentId>, changed_in: Option<&DeploymentId>) -> bool {
        let anew = self.captured.is_none() || (window.is_some() && window == changed_in);
        anew && self.state != State::Open
    }
}

impl Tracked {
    /// A key of which nothing is known.
    pub fn new(key: Key) -> Tracked {
        Tracked {
            key,
            known: Known::Nothing,
            checks: Vec::new(),
            written: None,
            last_change: None,
            changed_in: None,
            asked_under: None,
            unreadable: false,
            late: false,
            was_there: false,
            again: None,
            dirty: false,
            netlink: None,
            hints: Vec::new(),
            uncounted: 0,
            pause: Duration::ZERO,
        }
    }

    /// The value that is known, where reading it once more would say and do nothing: no hint waits for it, and every
    /// rule is content with it and waits for nothing.
    pub fn at_rest(&self) -> Option<&Value> {
        let Known::Value(Some(value)) = &self.known else { return None };
        let waits = !self.hints.is_empty()
            || self.uncounted > 0
            || self.netlink.is_some()
            || self.again.is_some()
            || self.unreadable;
        let content =
            |check: &Check| check.judged && check.state == State::Quiet && check.capturing.is_none();
        // A literal value may hold a tab that is another than a space.
        let plain = matches!(&self.key, Key::Sysctl { column: None, .. }) && !self.key.is_literal();
        (!waits && plain && self.checks.iter().all(content)).then_some(value)
    }

    /// Whether it is forgotten when it is gone: only patterns mean it, and it is no finding.
    pub fn is_let_go(&self) -> bool {
        !self.checks.is_empty()
            && self.checks.iter().all(|check| {
                check.by_pattern && check.finding.is_none() && check.if_absent == IfAbsent::Ignore
            })
    }

    /// Whether a rule expects what the host had once, and that is another value.
    pub fn is_other_than_captured(&self, value: Option<&Value>) -> bool {
        let captured = self.checks.iter().filter_map(|check| check.captured.as_deref());
        captured.into_iter().any(|captured| Some(&captured.value) != value)
    }

    /// Takes a hint; it waits for the next reading.
    pub fn hint(&mut self, hint: Hint) {
        self.written = Some(self.written.map_or(hint.time, |before| before.max(hint.time)));
        self.pause = Duration::ZERO;
        if self.hints.len() >= HINTS {
            // The newest says what should be in force now; the one it replaces is still counted.
            self.hints.pop();
            self.uncounted += 1;
        }
        self.hints.push(hint);
    }

    /// Explains a reading by the hints that waited for it. Hints whose write is still to come go on waiting.
    pub fn explain(
        &mut self,
        value: Option<&Value>,
        changed: bool,
        settle: Duration,
        now: Boottime,
    ) -> Explained {
        let hints = std::mem::take(&mut self.hints);
        let uncounted = std::mem::take(&mut self.uncounted);
        let netlink = self.netlink.is_some();
        self.netlink.take_if(|due| *due <= now);
        let requested = |hint: &Hint| requested(&self.key, hint);
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
        let namespaced = self.key.may_be_namespaced();
        for (at, hint) in hints.into_iter().enumerate() {
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
            match reason {
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
            self.hints = waiting;
        }
        explained
    }
}

/// What a hint says was asked for. The whole line is written; of it a column is one word, or none where the line is
/// short and the kernel leaves the rest as it is.
fn requested(key: &Key, hint: &Hint) -> Option<Value> {
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

    fn at(millis: u64) -> Boottime {
        Boottime { nanos: millis * 1_000_000 }
    }

    fn writer(pid: u32) -> Writer {
        Writer {
            pid,
            tid: pid,
            comm: "sh".into(),
            uid: 0,
            login_uid: None,
            session_id: None,
            parent_pid: 1,
            parent_comm: "init".into(),
            cgroup_id: 1,
            unit: None,
        }
    }

    fn hint(pid: u32, requested: Option<&str>, result: Option<i64>) -> Hint {
        Hint {
            write: Write::Sysctl("vm/swappiness".into()),
            writer: Some(writer(pid)),
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
        let mut tracked = Tracked::new("vm.swappiness".parse().unwrap());
        hints.iter().cloned().for_each(|hint| tracked.hint(hint));
        let value = Value::canonical(&tracked.key, "61");
        let explained = tracked.explain(Some(&value), changed, Duration::from_millis(100), at(millis));
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
        let mut tracked = Tracked::new("net.ipv4.ip_forward".parse().unwrap());
        tracked.hint(hint(1, Some("61"), None));
        let value = Value::canonical(&tracked.key, "61");
        let settle = Duration::from_millis(100);
        assert_eq!(tracked.explain(Some(&value), false, settle, at(0)).quiet, []);
        // Where it explains a change of the host's, it is the host's.
        tracked.hint(hint(1, Some("61"), None));
        assert!(tracked.explain(Some(&value), true, settle, at(0)).culprit.is_some());
    }

    #[test]
    fn a_flood_of_hints_ends_in_a_pause_that_does_not_overflow() {
        let mut tracked = Tracked::new("vm.swappiness".parse().unwrap());
        let value = Value::canonical(&tracked.key, "61");
        tracked.hint(hint(1, Some("62"), None));
        for _ in 0..2000 {
            let again = tracked.explain(Some(&value), false, Duration::from_millis(100), at(1)).again;
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
        let mut tracked = Tracked::new("vm.swappiness".parse().unwrap());
        tracked.hint(hint(1, Some("62"), None));
        let (mut now, mut pauses) = (at(0), Vec::new());
        let value = Value::canonical(&tracked.key, "61");
        while let Some(again) = tracked.explain(Some(&value), false, Duration::from_millis(100), now).again {
            pauses.push(again.since(now).as_millis());
            now = again;
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200]);
    }

    #[test]
    fn a_key_at_rest_under_one_rule_costs_less_than_half_a_kilobyte() {
        let bytes = size_of::<Tracked>() + size_of::<Check>();
        assert!(bytes < 512, "{bytes} bytes; box what most keys never have");
    }

    #[test]
    fn more_hints_than_are_kept_are_counted() {
        let many: Vec<_> = (0..20_000).map(|_| hint(1, Some("61"), Some(3))).collect();
        let mut tracked = Tracked::new("vm.swappiness".parse().unwrap());
        many.into_iter().for_each(|hint| tracked.hint(hint));
        let value = Value::canonical(&tracked.key, "61");
        let explained = tracked.explain(Some(&value), false, Duration::from_millis(100), at(0));
        assert_eq!(explained.quiet.iter().map(|q| q.writes).sum::<u64>(), 20_000);
    }
}
