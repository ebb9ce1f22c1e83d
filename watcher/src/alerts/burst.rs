//! Bursts: of what happens too often to be read singly, the journal has the beginning and one summary. Nothing here tells
//! anything.

use std::{
    collections::BTreeSet,
    fmt::Write,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    model::{Key, What},
    store::Row,
};

/// How long a burst is gathered, by the time of its entries, and by the clock.
const WINDOW: Duration = Duration::from_secs(10);

/// How many changes and touches of one window are told singly.
const WRITES: usize = 100;

/// How many findings: each of them is news, until there are more than anyone reads.
const FINDINGS: usize = 1000;

/// How many keys a summary names.
const NAMED: usize = 5;

/// How many keys are told apart; a summary of more says so.
const KEYS: usize = 10_000;

/// What was held back, as one summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// The number of the first entry.
    pub first: i64,
    /// The number of the last.
    pub last: i64,
    /// How many changes.
    pub changes: u64,
    /// How many touches.
    pub touches: u64,
    /// How many findings opened or healed.
    pub findings: u64,
    /// Of which keys.
    pub keys: BTreeSet<Key>,
}

impl Burst {
    /// The summary as a sentence.
    pub fn sentence(&self) -> String {
        let counts = [(self.changes, "change"), (self.touches, "touch"), (self.findings, "finding")];
        let counted =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| match (count, what) {
                (1, what) => format!("1 {what}"),
                (count, &"touch") => format!("{count} touches"),
                (count, what) => format!("{count} {what}s"),
            });
        let mut text = counted.collect::<Vec<_>>().join(", ");
        let _ = write!(text, " more within {} s, of {} keys: ", WINDOW.as_secs(), self.keys.len());
        text.push_str(&named(&self.keys));
        text.push_str("; `driftd events` has each");
        text
    }
}

/// The keys that a summary names.
pub(super) fn named(keys: &BTreeSet<Key>) -> String {
    let named: Vec<_> = keys.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if keys.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// What was told of the present window, and what was held back.
#[derive(Debug, Default)]
pub struct Bursts {
    begun: Option<Timestamp>,
    writes: usize,
    findings: usize,
    held: Option<(Burst, Instant)>,
}

impl Bursts {
    /// Takes the next entry: a burst that ended before it, and whether it is told singly.
    pub fn take(&mut self, row: &Row, now: Instant) -> (Option<Burst>, bool) {
        let (count, most) = match &row.entry.what {
            What::Change(_) | What::Touch(_) => (&mut self.writes, WRITES),
            What::Finding(_) => (&mut self.findings, FINDINGS),
            _ => return (None, true),
        };
        let time = row.entry.time;
        // A clock that was set back begins a window too.
        let in_window = self.begun.is_some_and(|begun| {
            Duration::try_from(time.duration_since(begun)).is_ok_and(|since| since < WINDOW)
        });
        if in_window && *count >= most {
            self.hold(row, now);
            return (None, false);
        }
        let before = if in_window {
            *count += 1;
            None
        } else {
            self.begin(time, &row.entry.what);
            self.flush()
        };
        (before, true)
    }

    fn begin(&mut self, time: Timestamp, what: &What) {
        let is_finding = matches!(what, What::Finding(_));
        self.begun = Some(time);
        self.writes = usize::from(!is_finding);
        self.findings = usize::from(is_finding);
    }

    fn hold(&mut self, row: &Row, now: Instant) {
        let begun = || (Burst { first: row.number, ..Burst::default() }, now + WINDOW);
        let (burst, _) = self.held.get_or_insert_with(begun);
        burst.last = row.number;
        match &row.entry.what {
            What::Change(_) => burst.changes += 1,
            What::Touch(_) => burst.touches += 1,
            _ => burst.findings += 1,
        }
        if burst.keys.len() < KEYS
            && let Some(key) = row.entry.what.key()
        {
            burst.keys.insert(key.clone());
        }
    }

    /// When what is held back is told at the latest; nothing where there is nothing.
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, due)| *due)
    }

    /// What is held back, as one.
    pub fn flush(&mut self) -> Option<Burst> {
        self.held.take().map(|(burst, _)| burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Entry;

    fn row(number: i64, second: i64, kind: &str) -> Row {
        let json = match kind {
            "touch" => serde_json::json!({
                "kind": "touch", "key": format!("net.ipv4.conf.eth{}.rp_filter", number % 7), "actual": "1",
                "requested": "1", "result": 2, "writer": null, "seen_by": "kprobe", "commit": null,
                "reason": "equal", "writes": 1
            }),
            _ => serde_json::json!({ "kind": "loss", "what": "something", "count": null }),
        };
        let mut json = json;
        let time = Timestamp::from_second(1_800_000_000 + second).unwrap();
        json["time"] = serde_json::json!(time);
        let entry: Entry = serde_json::from_value(json).unwrap();
        Row { number, entry }
    }

    #[test]
    fn of_a_burst_the_beginning_is_told_and_then_one_summary() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        let told: Vec<_> = (1..=20_000).map(|number| bursts.take(&row(number, 0, "touch"), now)).collect();
        assert_eq!(told.iter().filter(|(_, alone)| *alone).count(), WRITES);
        assert!(told.iter().all(|(before, _)| before.is_none()));
        assert_eq!(bursts.due(), Some(now + WINDOW));
        let burst = bursts.flush().unwrap();
        assert_eq!((burst.first, burst.last, burst.touches), (101, 20_000, 19_900));
        insta::assert_snapshot!(burst.sentence(), @"19900 touches more within 10 s, of 7 keys: net.ipv4.conf.eth0.rp_filter, net.ipv4.conf.eth1.rp_filter, net.ipv4.conf.eth2.rp_filter, net.ipv4.conf.eth3.rp_filter, net.ipv4.conf.eth4.rp_filter, …; `driftd events` has each");
        assert_eq!((bursts.due(), bursts.flush()), (None, None));
    }

    #[test]
    fn what_is_no_write_is_told_in_the_midst_of_a_burst() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        (1..=200).for_each(|number| drop(bursts.take(&row(number, 0, "touch"), now)));
        assert_eq!(bursts.take(&row(201, 0, "loss"), now), (None, true));
    }

    #[test]
    fn the_next_window_tells_the_summary_first_and_begins_anew() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        (1..=101).for_each(|number| drop(bursts.take(&row(number, 0, "touch"), now)));
        let (before, alone) = bursts.take(&row(102, 10, "touch"), now);
        assert_eq!((before.map(|burst| (burst.first, burst.last)), alone), (Some((101, 101)), true));
        assert_eq!(bursts.take(&row(103, 10, "touch"), now), (None, true));
    }
}
