//! Any course of events: what holds at every step, and what is open at the end.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::host::{Host, MTU, SWAPPINESS, THP, WINDOW, at_least, captures, expects};
use crate::{
    judge::{Judgement, judge},
    kernel::Reader,
    model::{Announcement, Cause, Key, Phase, Rule, Source},
    watch::{Counts, Input},
};

/// What may happen.
#[derive(Clone, Debug)]
enum Event {
    /// A process writes, and the kprobe sees it.
    Write(usize, u32, u8),
    /// A process is about to write, and the cgroup program sees it.
    Announced(usize, u32, u8),
    /// Something writes, and nobody sees it.
    Silent(usize, u8),
    /// Two write in turns, so often, with a pause after each.
    Turns(usize, usize, u64),
    /// A key goes away.
    Remove(usize),
    /// The kernel refuses a write.
    Refused(usize, u32),
    Pass(u64),
    Lost,
    /// A deployment of an application moves.
    Deploy(bool, Phase, u8),
    /// With a configuration that was edited; a key was written while nobody looked.
    Restart(usize, u8),
    Kill,
}

/// Keys, the values they take, and whether probes see their writes.
const KEYS: [(&str, [&str; 3], bool); 3] = [
    (SWAPPINESS, ["59", "60", "61"], true),
    (MTU, ["1400", "1500", "9000"], true),
    (THP, ["[always] madvise never", "always [madvise] never", "always madvise [never]"], false),
];

fn rules() -> Vec<Rule> {
    let named = |name: &str, rule| Rule { name: name.into(), ..rule };
    vec![
        captures(&format!("{SWAPPINESS} {MTU} {THP}")),
        expects(SWAPPINESS, "60"),
        Rule { settle: Duration::ZERO, ..at_least(SWAPPINESS, "60") },
        named("mtu", Rule { settle: Duration::from_millis(300), ..at_least(MTU, "1500") }),
        named("thp", expects(THP, "madvise")),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let phase = prop_oneof![Just(Phase::Started), Just(Phase::Finished), Just(Phase::Failed)];
    prop_oneof![
        6 => (0..KEYS.len(), 1..4u32, 0..3u8).prop_map(|(key, pid, value)| Event::Write(key, pid, value)),
        1 => (0..KEYS.len(), 1..4u32, 0..3u8).prop_map(|(key, pid, value)| Event::Announced(key, pid, value)),
        2 => (0..KEYS.len(), 0..3u8).prop_map(|(key, value)| Event::Silent(key, value)),
        1 => (0..2usize, 1..7usize, 0..3_000u64).prop_map(|(key, times, pause)| Event::Turns(key, times, pause)),
        1 => Just(Event::Remove(1)),
        1 => (0..KEYS.len(), 1..4u32).prop_map(|(key, pid)| Event::Refused(key, pid)),
        5 => prop_oneof![0..150u64, 0..5_000u64, 0..70_000u64].prop_map(Event::Pass),
        1 => Just(Event::Lost),
        4 => (any::<bool>(), phase, 0..3u8).prop_map(|(app, phase, commit)| Event::Deploy(app, phase, commit)),
        2 => (0..KEYS.len(), 0..3u8).prop_map(|(key, value)| Event::Restart(key, value)),
        1 => Just(Event::Kill),
    ]
}

/// Lets it happen; gives what was said.
fn happen(host: &mut Host, event: &Event) -> Vec<String> {
    let value = |key: usize, value: u8| KEYS[key].1[usize::from(value)];
    match *event {
        Event::Write(key, pid, new) if KEYS[key].2 => host.write(pid, KEYS[key].0, value(key, new)),
        Event::Announced(key, pid, new) if KEYS[key].2 => {
            let hint = host.early(pid, KEYS[key].0, value(key, new));
            host.hints(&[hint])
        }
        Event::Refused(key, pid) if KEYS[key].2 => {
            let hint = host.hint(pid, KEYS[key].0, "-1", -22);
            host.hints(&[hint])
        }
        Event::Announced(..) | Event::Refused(..) => Vec::new(),
        Event::Write(key, _, new) | Event::Silent(key, new) => {
            host.set(KEYS[key].0, value(key, new));
            Vec::new()
        }
        Event::Turns(key, times, pause) => {
            let mut lines = Vec::new();
            for (pid, new) in [(5, 0), (6, 2)].into_iter().cycle().take(times) {
                lines.extend(host.write(pid, KEYS[key].0, value(key, new)));
                lines.extend(host.pass(pause));
            }
            lines
        }
        Event::Remove(key) => {
            if host.path(KEYS[key].0).exists() {
                host.remove(KEYS[key].0);
            }
            Vec::new()
        }
        Event::Pass(millis) => host.pass(millis),
        Event::Lost => host.handle(Input::Tally(Counts { lost: 1, ..Counts::default() })),
        Event::Deploy(app, phase, commit) => {
            let commit = ["aaaaaa", "bbbbbb", "cccccc"][usize::from(commit)];
            let message: Announcement = host.message(if app { "web" } else { "db" }, phase, commit);
            host.deliver(message)
        }
        Event::Restart(key, new) => {
            host.set(KEYS[key].0, value(key, new));
            // Somebody wrote a line at the top of the configuration.
            let moved =
                |rule: &mut Rule| rule.source = Source { line: rule.source.line + 1, ..rule.source.clone() };
            host.rules.iter_mut().for_each(moved);
            host.restart()
        }
        Event::Kill => host.kill(),
    }
}

/// The whole course. The harness holds that a rule has one open finding on a key at the most, that openings and
/// healings alternate, that the store knows the same ones, and that the loop never spins.
fn course(events: &[Event]) -> (Host, Vec<String>) {
    let mut host = Host::unwatched(&rules(), &[(SWAPPINESS, "60"), (MTU, "1500"), (THP, KEYS[2].1[1])]);
    let mut lines = host.handle(Input::Tick);
    for event in events {
        lines.extend(happen(&mut host, event));
    }
    (host, lines)
}

/// What departs by the files as they are, and by what was captured.
fn departing(host: &mut Host) -> BTreeSet<(String, Key)> {
    let captures = host.past().captures;
    let mut reader = Reader::new(host.path("/sys/x").parent().unwrap().parent().unwrap(), 64);
    let keys = host.rules.iter().flat_map(|rule| rule.keys.iter().map(move |key| (rule, key)));
    keys.filter(|(rule, key)| {
        let captured = captures.iter().find(|c| c.rule == rule.name && c.key == **key).map(|c| &c.value);
        let actual = reader.read(key).unwrap();
        judge(key, &rule.expectation, captured, actual.as_ref()) == Judgement::Departs
    })
    .map(|(rule, key)| (rule.name.to_string(), key.clone()))
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn after_a_sweep_outside_all_windows_exactly_what_departs_is_open(
        events in proptest::collection::vec(event(), 1..40),
    ) {
        let (mut host, _) = course(&events);
        // Every window times out, and a sweep follows.
        host.pass(WINDOW + 61_000);
        if host.open.values().any(|finding| finding.cause == Cause::Fight) {
            // Whoever fights has rested then.
            host.pass(2 * 60 * 60 * 1000);
        }
        prop_assert!(host.status().window.is_none());
        let open: BTreeSet<_> = host.open.keys().cloned().collect();
        prop_assert_eq!(&open, &departing(&mut host));
        let status: BTreeSet<_> =
            host.status().findings.iter().map(|f| (f.rule.to_string(), f.key.clone())).collect();
        prop_assert_eq!(&status, &open);
        // A restart changes none of it.
        host.kill();
        prop_assert_eq!(host.open.keys().cloned().collect::<BTreeSet<_>>(), open);
    }

    #[test]
    fn the_same_course_is_told_the_same_way(events in proptest::collection::vec(event(), 1..25)) {
        prop_assert_eq!(course(&events).1, course(&events).1);
    }
}
