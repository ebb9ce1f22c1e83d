//! Messages that count for nothing coalesce: the first for a reason is told at once, the others of its hour with the
//! next one after it. A busy repository must not fill the store with its pushes.
//!
//! Pure. There are few senders and few reasons, so that what is kept here is bounded by the configuration.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{Boottime, Ignored};

/// How long messages of one sender for one reason gather.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What gathers.
#[derive(Default)]
pub struct Passed {
    gathering: BTreeMap<(String, String), Gathering>,
}

struct Gathering {
    until: Boottime,
    untold: u64,
}

impl Passed {
    /// Takes a message; gives it back, with the count of all since the last, where it is to be told.
    pub fn take(&mut self, message: Ignored, now: Boottime) -> Option<Ignored> {
        let of = (message.sender.clone(), message.reason.clone());
        let gathering = self.gathering.entry(of).or_insert(Gathering { until: now, untold: 0 });
        gathering.untold += message.count;
        if now < gathering.until {
            return None;
        }
        gathering.until = now.after(HOUR);
        Some(Ignored { count: std::mem::take(&mut gathering.untold), ..message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_senders_messages_for_one_reason_one_an_hour_is_told_with_the_count_of_all() {
        let mut passed = Passed::default();
        let mut told = |secs: u64, sender: &str, reason: &str| {
            let message = Ignored { sender: sender.into(), reason: reason.into(), detail: None, count: 1 };
            passed.take(message, Boottime { nanos: secs * 1_000_000_000 }).map(|told| told.count)
        };
        assert_eq!(told(0, "github", "push"), Some(1));
        for secs in 1..1000 {
            assert_eq!(told(secs, "github", "push"), None);
        }
        assert_eq!(told(1000, "github", "ping"), Some(1), "another reason");
        assert_eq!(told(1001, "gitlab", "push"), Some(1), "another sender");
        assert_eq!(told(3600, "github", "push"), Some(1000));
        assert_eq!(told(3601, "github", "push"), None);
        assert_eq!(told(9000, "github", "push"), Some(2));
    }
}
