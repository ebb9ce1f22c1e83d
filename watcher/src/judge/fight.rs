//! Who fights over a key: two writers that overwrite each other, each again with its own value. Told from the last few
//! changes of a key, of which the writer is known and which are no deploy's and not our own; whoever calls sees to that.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use crate::model::{Boottime, Value, Writer};

/// How many changes in a row make a fight: each of the two wrote its own again after the other did.
const TURNS: usize = 4;

/// What comes later than this after a change is no answer to it. Tools that put things right by the clock do so every
/// half an hour or oftener, for the most part (Puppet's `runinterval`, Chef's `interval`).
const ANSWER: Duration = Duration::from_secs(60 * 60);

/// How long two have rested at the least: the pauses of a loop that sleeps for a few milliseconds are longer on a busy
/// host than they ever were before.
const REST: Duration = Duration::from_secs(1);

/// For how long one goes on of which an earlier run knew who fights, and how often.
const RECALLED: Duration = Duration::from_secs(10 * 60);

/// A change: who put which value in force, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who did.
    pub writer: Writer,
    /// The value.
    pub value: Value,
    /// When.
    pub at: Boottime,
}

/// The last few changes of a key, and the fight that they show.
#[derive(Debug, Default, PartialEq)]
pub struct Turns {
    last: VecDeque<Turn>,
    fight: Option<Fight>,
}

/// Two writers that keep overwriting each other.
#[derive(Debug, PartialEq)]
pub struct Fight {
    /// What each of them wrote when it was recognised, the last one last; nobody where an earlier run knew.
    pub sides: Option<[Turn; 2]>,
    /// When one of them last overwrote the other.
    last: Boottime,
    /// The longest time that the other let that be.
    pause: Duration,
    /// When both have rested, if neither overwrites the other before.
    pub until: Boottime,
}

impl Turns {
    /// A fight that an earlier run recognised.
    pub fn recalled(now: Boottime) -> Turns {
        let fight = Fight { sides: None, last: now, pause: Duration::ZERO, until: now.after(RECALLED) };
        Turns { last: VecDeque::new(), fight: Some(fight) }
    }

    /// Takes a change. Both sides must rest for `settle` at the least.
    pub fn take(&mut self, turn: Turn, settle: Duration) {
        if self.fight.take_if(|fight| fight.until <= turn.at).is_some() {
            // They begin anew.
            self.last.clear();
        }
        if let Some(fight) = &mut self.fight
            && fight.sides.iter().flatten().any(|side| is_of_one_side(side, &turn))
        {
            fight.go_on(turn.at, settle);
        }
        if self.last.back().is_some_and(|before| turn.at.since(before.at) > ANSWER) {
            self.last.clear();
        }
        if self.last.len() >= TURNS {
            self.last.pop_front();
        }
        self.last.push_back(turn);
        // One that goes on is known already.
        if self.fight.as_ref().is_none_or(|fight| fight.sides.is_none()) {
            self.fight = recognise(self.last.make_contiguous(), settle).or(self.fight.take());
        }
    }

    /// A change by nobody that is known: who overwrote whom cannot be told. Where two fight already, and it is the value of
    /// one of them, they go on.
    pub fn take_unknown(&mut self, value: &Value, at: Boottime, settle: Duration) {
        self.interrupt();
        if let Some(fight) = self.fight.as_mut().filter(|fight| at < fight.until)
            && fight.sides.iter().flatten().any(|side| side.value == *value)
        {
            fight.go_on(at, settle);
        }
    }

    /// Something else changed the key. What goes on already does until both have rested.
    pub fn interrupt(&mut self) {
        self.last.clear();
    }

    /// The fight that goes on now.
    pub fn fight(&self, now: Boottime) -> Option<&Fight> {
        self.fight.as_ref().filter(|fight| now < fight.until)
    }
}

impl Fight {
    /// What is said of it, with its values as they are `shown`.
    pub fn detail(&self, shown: impl Fn(Value) -> Value) -> Option<String> {
        let mut said = String::new();
        for Turn { writer, value, .. } in self.sides.as_ref()? {
            let and = if said.is_empty() { "" } else { ", and " };
            let value = shown(value.clone());
            let value = if value.as_str().is_empty() { "nothing" } else { value.as_str() };
            let _ = write!(said, "{and}{writer} writes {value}");
        }
        Some(said)
    }

    /// One side overwrote the other.
    fn go_on(&mut self, at: Boottime, settle: Duration) {
        self.pause = self.pause.max(at.since(self.last)).min(ANSWER);
        self.last = at;
        self.until = at.after(rest(self.pause, settle));
    }
}

fn rest(pause: Duration, settle: Duration) -> Duration {
    pause.saturating_mul(2).max(settle).max(REST)
}

/// The fight that the last changes show.
fn recognise(turns: &[Turn], settle: Duration) -> Option<Fight> {
    let [first, second, third, fourth] = turns else { return None };
    let in_turns =
        first.value != second.value && is_of_one_side(first, third) && is_of_one_side(second, fourth);
    if !in_turns || is_one([&first.writer, &third.writer], [&second.writer, &fourth.writer]) {
        return None;
    }
    let pauses = turns.windows(2).filter_map(|pair| match pair {
        [before, after] => Some(after.at.since(before.at)),
        _ => None,
    });
    let pause = pauses.max().unwrap_or_default();
    let until = fourth.at.after(rest(pause, settle));
    Some(Fight { sides: Some([third.clone(), fourth.clone()]), last: fourth.at, pause, until })
}

/// Whether one side made both changes. A script that starts a program for each write is another process each time: it is
/// known by what it writes, and what is the same of all these.
fn is_of_one_side(one: &Turn, other: &Turn) -> bool {
    let (a, b) = (&one.writer, &other.writer);
    let alike = || {
        a.comm == b.comm
            && a.uid == b.uid
            && a.parent_comm == b.parent_comm
            && (a.unit.is_none() || b.unit.is_none() || a.unit == b.unit)
    };
    one.value == other.value && (a.pid == b.pid || alike())
}

/// Whether those who wrote the one value and those who wrote the other are one writer that writes both by itself.
fn is_one(ones: [&Writer; 2], others: [&Writer; 2]) -> bool {
    let pairs = || ones.into_iter().flat_map(move |one| others.map(|other| (one, other)));
    if pairs().any(|(one, other)| one.pid == other.pid) {
        return true;
    }
    let keeps = |[before, after]: [&Writer; 2]| before.pid == after.pid;
    match (keeps(ones), keeps(others)) {
        (true, true) => false,
        // A script that writes the one value itself, and the other by a program that it starts.
        (true, false) => pairs().any(|(one, other)| other.parent_pid == one.pid),
        (false, true) => pairs().any(|(one, other)| one.parent_pid == other.pid),
        // A script that starts a program for each. Init is the parent of many, and 0 is a parent that is not known.
        (false, false) => {
            pairs().filter(|(one, other)| one.parent_pid == other.parent_pid).any(|(one, other)| {
                is_in_one_place(one, other)
                    && (one.parent_pid > 1 || one.comm == other.comm && one.uid == other.uid)
            })
        }
    }
}

fn is_in_one_place(one: &Writer, other: &Writer) -> bool {
    match (&one.unit, &other.unit) {
        (Some(one), Some(other)) => one == other,
        _ => one.cgroup_id == other.cgroup_id,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_millis(100);

    /// Somebody, by the name, the process and the parent's process.
    fn who(comm: &str, pid: u32, parent: u32) -> Writer {
        let parent_comm = if parent == 1 { "systemd" } else { "sh" };
        Writer { comm: comm.into(), parent_pid: parent, parent_comm: parent_comm.into(), ..Writer::of(pid) }
    }

    fn of_unit(unit: &str, writer: Writer) -> Writer {
        Writer { unit: Some(unit.into()), ..writer }
    }

    fn at(millis: u64) -> Boottime {
        Boottime { nanos: millis * 1_000_000 }
    }

    fn turn(writer: &Writer, value: &str, millis: u64) -> Turn {
        let value = Value::canonical(&"vm.swappiness".parse().unwrap(), value);
        Turn { writer: writer.clone(), value, at: at(millis) }
    }

    /// What changes, one a second, show.
    fn shown(course: &[(&Writer, &str)]) -> Turns {
        let mut turns = Turns::default();
        for (n, (writer, value)) in course.iter().enumerate() {
            turns.take(turn(writer, value, n as u64 * 1000), SETTLE);
        }
        turns
    }

    /// Whether four changes by these, 61 and 60 in turns, are a fight.
    #[track_caller]
    fn check(writers: [Writer; 4], is_fight: bool) {
        let [a, b, c, d] = &writers;
        let turns = shown(&[(a, "61"), (b, "60"), (c, "61"), (d, "60")]);
        assert_eq!(turns.fight(at(3000)).is_some(), is_fight, "{writers:?}");
    }

    #[test]
    fn two_processes_that_write_in_turns_fight_whatever_they_have_in_common() {
        let (a, b) = (who("tuned", 7, 1), who("sysctl", 8, 1));
        check([a.clone(), b.clone(), a, b], true);
        let (a, b) = (who("sh", 7, 100), who("sh", 8, 100));
        check([a.clone(), b.clone(), a, b], true);
        // One started the other.
        let (a, b) = (who("sh", 7, 100), who("sh", 8, 7));
        check([a.clone(), b.clone(), a, b], true);
    }

    #[test]
    fn scripts_that_start_a_program_for_each_write_are_told_apart_by_what_they_write_and_who_started_it() {
        let by = |pid, parent| who("sysctl", pid, parent);
        check([by(11, 7), by(12, 8), by(13, 7), by(14, 8)], true);
        // Started anew each time, as by cron.
        check([by(11, 21), by(12, 22), by(13, 23), by(14, 24)], true);
        // Against a daemon.
        check([by(11, 7), who("tuned", 8, 1), by(13, 7), who("tuned", 8, 1)], true);
        // Services that begin anew each time.
        let service = |unit: &str, pid| of_unit(unit, who("sysctl", pid, 1));
        check([service("a", 11), service("b", 12), service("a", 13), service("b", 14)], true);
    }

    #[test]
    fn one_that_writes_both_values_fights_with_nobody() {
        let one = who("sh", 7, 1);
        check([one.clone(), one.clone(), one.clone(), one], false);
        let by = |pid, parent| who("sysctl", pid, parent);
        check([by(11, 7), by(12, 7), by(13, 7), by(14, 7)], false);
        // Two programs of one script; one of them, and the script itself; a script that itself begins anew.
        let tee = |pid, parent| who("tee", pid, parent);
        check([by(11, 7), tee(12, 7), by(13, 7), tee(14, 7)], false);
        check([by(11, 7), who("sh", 7, 1), by(13, 7), who("sh", 7, 1)], false);
        check([who("sh", 7, 1), by(11, 7), who("sh", 7, 1), by(13, 7)], false);
        check([by(11, 7), by(12, 7), by(13, 8), by(14, 8)], false);
        // One service that writes the one and then the other.
        let service = |pid| of_unit("a", who("sysctl", pid, 1));
        check([service(11), service(12), service(13), service(14)], false);
        // Where nothing else is known of them.
        check([by(11, 0), by(12, 0), by(13, 0), by(14, 0)], false);
    }

    #[test]
    fn where_a_third_takes_part_it_is_no_fight_of_two() {
        let (a, b, c) = (who("a", 7, 1), who("b", 8, 1), who("c", 9, 1));
        check([a.clone(), b.clone(), c.clone(), b.clone()], false);
        let turns = shown(&[(&a, "61"), (&b, "60"), (&c, "59"), (&a, "61"), (&b, "60"), (&c, "59")]);
        assert_eq!(turns.fight(at(5000)), None);
    }

    #[test]
    fn each_must_write_its_own_value_again() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let none = [
            &[(&a, "61"), (&b, "60"), (&a, "61")][..],
            &[(&a, "61"), (&b, "60"), (&a, "62"), (&b, "60")],
            &[(&a, "61"), (&b, "60"), (&a, "61"), (&b, "59")],
        ];
        for course in none {
            assert_eq!(shown(course).fight(at(3000)), None, "{course:?}");
        }
    }

    #[test]
    fn what_happens_in_between_or_an_hour_later_is_no_answer() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let mut turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61")]);
        turns.interrupt();
        turns.take(turn(&b, "60", 3000), SETTLE);
        assert_eq!(turns.fight(at(3000)), None);
        let hour = 60 * 60 * 1000;
        let mut turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61")]);
        turns.take(turn(&b, "60", 2000 + hour + 1), SETTLE);
        assert_eq!(turns.fight(at(2000 + hour + 1)), None);
    }

    #[test]
    fn it_is_over_when_both_rested_for_twice_their_longest_pause() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let mut turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")]);
        assert_eq!(turns.fight(at(4999)).unwrap().until, at(5000));
        assert_eq!(turns.fight(at(5000)), None);
        // A longer pause is remembered; that somebody else wrote is no overwriting of theirs.
        turns.take(turn(&a, "61", 4500), SETTLE);
        assert_eq!(turns.fight(at(4500)).unwrap().until, at(7500));
        turns.take(turn(&b, "60", 4600), SETTLE);
        assert_eq!(turns.fight(at(4600)).unwrap().until, at(7600));
        turns.take(turn(&who("c", 9, 1), "10", 7000), SETTLE);
        assert_eq!(turns.fight(at(7000)).unwrap().until, at(7600));
    }

    #[test]
    fn what_one_of_them_writes_goes_on_with_it_also_where_nobody_saw_who_it_was() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let mut turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")]);
        turns.take_unknown(&turn(&a, "59", 0).value, at(4000), SETTLE);
        assert_eq!(turns.fight(at(4000)).unwrap().until, at(5000));
        turns.take_unknown(&turn(&a, "61", 0).value, at(4500), SETTLE);
        assert_eq!(turns.fight(at(4500)).unwrap().until, at(7500));
    }

    #[test]
    fn one_that_is_over_begins_anew_with_two_overwrites_of_each() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let mut turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")]);
        for (writer, value, seconds) in [(&a, "61", 5), (&b, "60", 6), (&a, "61", 7)] {
            turns.take(turn(writer, value, seconds * 1000), SETTLE);
            assert_eq!(turns.fight(at(seconds * 1000)), None);
        }
        turns.take(turn(&b, "60", 8000), SETTLE);
        assert!(turns.fight(at(8000)).is_some());
    }

    #[test]
    fn both_rest_for_a_second_and_for_settle_at_the_least() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        for (settle, rest) in [(0, 1000), (5000, 5000)] {
            let mut turns = Turns::default();
            for (n, (writer, value)) in
                [(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")].into_iter().enumerate()
            {
                turns.take(turn(writer, value, n as u64 * 10), Duration::from_millis(settle));
            }
            assert_eq!(turns.fight(at(30)).unwrap().until, at(30 + rest));
        }
    }

    #[test]
    fn one_that_was_recalled_goes_on_for_ten_minutes_or_is_recognised_again() {
        let (a, b) = (who("a", 7, 1), who("b", 8, 1));
        let mut turns = Turns::recalled(at(0));
        assert_eq!(turns.fight(at(599_999)).unwrap().detail(|value| value), None);
        assert_eq!(turns.fight(at(600_000)), None);
        for (n, (writer, value)) in [(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")].into_iter().enumerate() {
            assert!(turns.fight(at(n as u64 * 1000)).unwrap().sides.is_none());
            turns.take(turn(writer, value, n as u64 * 1000), SETTLE);
        }
        assert_eq!(turns.fight(at(3000)).unwrap().until, at(5000));
    }

    #[test]
    fn it_says_who_writes_what() {
        let (a, b) = (of_unit("tuned.service", who("tuned", 7, 1)), who("sysctl", 8, 100));
        let turns = shown(&[(&a, "61"), (&b, "60"), (&a, "61"), (&b, "60")]);
        let detail = turns.fight(at(3000)).unwrap().detail(|value| value).unwrap();
        insta::assert_snapshot!(detail, @"tuned (pid 7, uid 0, parent systemd 1, unit tuned.service) writes 61, and sysctl (pid 8, uid 0, parent sh 100) writes 60");
    }

    proptest! {
        #[test]
        fn whatever_happens_little_is_kept_and_a_fight_is_over_after_two_hours(
            course in proptest::collection::vec((0u32..4, 0u32..3, 0u64..5_000_000), 0..60),
        ) {
            let (mut turns, mut now) = (Turns::default(), 0);
            for (pid, value, pause) in course {
                now += pause;
                turns.take(turn(&who("w", pid + 7, 1), &value.to_string(), now), SETTLE);
                prop_assert!(turns.last.len() <= TURNS);
                if let Some(fight) = turns.fight(at(now)) {
                    prop_assert!(fight.until <= at(now).after(2 * ANSWER));
                }
            }
            prop_assert_eq!(turns.fight(at(now).after(2 * ANSWER)), None);
        }
    }
}
