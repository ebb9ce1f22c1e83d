//! When what was tried in vain is tried again. Nothing here waits, looks at a clock or draws lots.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);

/// The longest.
const MOST: Duration = Duration::from_secs(300);

/// After how many failures in a row a sink rests: until then others of its messages are tried meanwhile.
const FAILURES: u32 = 3;

/// The longest that a sink may ask us to wait (`Retry-After`).
const ASKED: Duration = Duration::from_secs(3600);

/// What a sink said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It will never take this one.
    Refused(String),
    /// Not now: it cannot be reached, has trouble, or has too much to do.
    Later {
        /// Why.
        why: String,
        /// How long it asked us to wait.
        after: Option<Duration>,
    },
}

/// How long to wait after so many tries in vain: doubled each time, and somewhere in the upper half of that, so that many
/// hosts do not come back in the same moment. `lot` is drawn from all numbers alike.
pub fn wait(tries: u32, lot: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << tries.min(16)).min(MOST);
    let half = whole / 2;
    half + half.mul_f64(f64::from(lot) / f64::from(u32::MAX))
}

/// Whether a sink is tried: the circuit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circuit {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Circuit {
    /// Until when the sink rests.
    pub fn rests(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|until| *until > now)
    }

    /// Whether the last try was in vain.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Takes an answer. A sink that asks for time has it; one that fails again and again rests, and is then tried
    /// with one message.
    pub fn take(&mut self, answer: &Answer, now: Instant, lot: u32) {
        let Answer::Later { after, .. } = answer else {
            *self = Circuit::default();
            return;
        };
        self.failures = self.failures.saturating_add(1);
        let rest = match self.failures {
            failures if failures >= FAILURES => wait(failures, lot),
            _ => Duration::ZERO,
        };
        let rest = rest.max(after.unwrap_or_default().min(ASKED));
        self.rests_until = (rest > Duration::ZERO).then(|| now + rest);
    }
}

/// What `Retry-After` says (RFC 9110, section 10.2.3): seconds, or a date. What is neither says nothing.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(ASKED));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-08-01T10:20:00Z";

    fn later(after: Option<u64>) -> Answer {
        Answer::Later { why: "500".into(), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_five_minutes_and_never_less_than_its_half() {
        for (tries, least, most) in [
            (0, 500, 1000),
            (1, 1000, 2000),
            (5, 16_000, 32_000),
            (9, 150_000, 300_000),
            (u32::MAX, 150_000, 300_000),
        ] {
            assert_eq!(wait(tries, 0), Duration::from_millis(least), "after {tries} tries");
            assert_eq!(wait(tries, u32::MAX), Duration::from_millis(most), "after {tries} tries");
        }
    }

    #[track_caller]
    fn check_retry_after(text: &str, seconds: Option<u64>) {
        assert_eq!(retry_after(text, NOW.parse().unwrap()), seconds.map(Duration::from_secs), "of {text}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_an_hour_at_most() {
        check_retry_after("17", Some(17));
        check_retry_after(" 0 ", Some(0));
        check_retry_after("86400", Some(3600));
        check_retry_after("Sat, 01 Aug 2026 10:20:30 GMT", Some(30));
        check_retry_after("Sat, 01 Aug 2026 10:19:00 GMT", Some(0));
        check_retry_after("Sun, 02 Aug 2026 10:20:30 GMT", Some(3600));
        check_retry_after("soon", None);
        check_retry_after("-1", None);
        check_retry_after("", None);
    }

    #[test]
    fn a_sink_that_fails_three_times_in_a_row_rests_and_one_that_asks_for_time_has_it_at_once() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        circuit.take(&later(None), now, 0);
        circuit.take(&later(None), now, 0);
        assert_eq!(circuit.rests(now), None);
        circuit.take(&later(None), now, 0);
        assert_eq!(circuit.rests(now), Some(now + wait(3, 0)));
        assert_eq!(circuit.rests(now + wait(3, 0)), None, "one message is tried again");
        circuit.take(&later(None), now, 0);
        assert_eq!(circuit.rests(now), Some(now + wait(4, 0)), "in vain: it rests for longer");
        circuit.take(&Answer::Taken, now, 0);
        assert_eq!((circuit.rests(now), circuit.is_failing()), (None, false));
        circuit.take(&later(Some(60)), now, 0);
        assert_eq!(circuit.rests(now), Some(now + Duration::from_secs(60)));
    }

    #[test]
    fn a_message_that_is_refused_opens_no_circuit() {
        let mut circuit = Circuit::default();
        for _ in 0..9 {
            circuit.take(&Answer::Refused("400".into()), Instant::now(), 0);
        }
        assert!(!circuit.is_failing());
    }
}
