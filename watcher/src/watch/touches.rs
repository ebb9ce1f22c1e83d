//! Touches of one key by one writer coalesce: the first is told at once, the others of its minute together.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{Boottime, Key, Touch, TouchReason};

/// How long touches gather.
const MINUTE: Duration = Duration::from_secs(60);

/// How many writers are kept apart; those beyond that gather as nobody in particular, whatever they call themselves.
const WRITERS: usize = 1024;

/// Who touched what, and why it was no more than that.
type Who = (Key, Option<(u32, Box<str>)>, TouchReason);

/// Touches that gather.
#[derive(Default)]
pub struct Touches {
    gathering: BTreeMap<Who, Gathering>,
}

struct Gathering {
    until: Boottime,
    /// All since the first, which was told.
    later: Option<Touch>,
}

impl Touches {
    /// Takes a touch; gives it back where it is to be told at once.
    pub fn take(&mut self, touch: Touch, now: Boottime) -> Option<Touch> {
        let writer = touch.writer.as_ref().map(|w| (w.uid, w.comm.clone()));
        let mut who = (touch.key.clone(), writer, touch.reason);
        if self.gathering.len() >= WRITERS && !self.gathering.contains_key(&who) {
            who.1 = None;
        }
        if let Some(gathering) = self.gathering.get_mut(&who) {
            let before = gathering.later.as_ref().map_or(0, |earlier| earlier.writes);
            gathering.later = Some(Touch { writes: touch.writes + before, ..touch });
            return None;
        }
        self.gathering.insert(who, Gathering { until: now.after(MINUTE), later: None });
        Some(touch)
    }

    /// Gives what gathered long enough; with no time, all.
    pub fn flush(&mut self, now: Option<Boottime>) -> Vec<Touch> {
        let over = |gathering: &Gathering| now.is_none_or(|now| gathering.until <= now);
        if !self.gathering.values().any(over) {
            return Vec::new();
        }
        self.gathering.extract_if(.., |_, gathering| over(gathering)).filter_map(|(_, g)| g.later).collect()
    }

    /// When [`Touches::flush`] is due next.
    pub fn deadline(&self) -> Option<Boottime> {
        self.gathering.values().map(|gathering| gathering.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeenBy;

    fn touch(key: &str, writes: u64) -> Touch {
        Touch {
            key: key.parse().unwrap(),
            actual: None,
            requested: None,
            result: None,
            writer: None,
            seen_by: SeenBy::Kprobe,
            commit: None,
            reason: TouchReason::Equal,
            writes,
        }
    }

    fn at(secs: u64) -> Boottime {
        Boottime { nanos: secs * 1_000_000_000 }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_of_its_minute_together() {
        let mut touches = Touches::default();
        assert!(touches.take(touch("vm.swappiness", 1), at(0)).is_some());
        assert!(touches.take(touch("vm.swappiness", 2), at(1)).is_none());
        assert!(touches.take(touch("vm.swappiness", 3), at(59)).is_none());
        assert!(touches.take(touch("fs.file-max", 1), at(1)).is_some());
        assert_eq!(touches.flush(Some(at(59))), []);
        assert_eq!(touches.deadline(), Some(at(60)));
        let later = touches.flush(Some(at(60)));
        assert_eq!(later.iter().map(|t| t.writes).collect::<Vec<_>>(), [5]);
        assert!(touches.take(touch("vm.swappiness", 1), at(60)).is_some(), "a new minute");
    }

    #[test]
    fn writers_beyond_those_kept_apart_gather_together() {
        let mut touches = Touches::default();
        let by = |uid: u32| {
            let writer = crate::model::Writer { uid, ..crate::model::Writer::of(1) };
            Touch { writer: Some(writer), ..touch("vm.swappiness", 1) }
        };
        let told = (0..3000).filter(|uid| touches.take(by(*uid), at(0)).is_some()).count();
        assert_eq!(told, WRITERS + 1);
        assert_eq!(touches.flush(None).iter().map(|t| t.writes).sum::<u64>(), 3000 - told as u64);
    }

    #[test]
    fn a_minute_without_more_tells_nothing() {
        let mut touches = Touches::default();
        touches.take(touch("vm.swappiness", 1), at(0));
        assert_eq!(touches.flush(Some(at(60))), []);
        assert_eq!(touches.deadline(), None);
    }
}
