//! What became of the requests at the webhook, counted since the start.
//!
//! The words are ours and few, never what came from outside: as labels of a metric they have a bound.

use std::sync::atomic::{AtomicU64, Ordering};

use strum::VariantArray;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A deployment moved.
    Accepted,
    /// A retry, or the revision that is in force.
    Known,
    /// Authentic, and counts for nothing.
    Ignored,
    /// A verdict was told to who delivered.
    Recalled,
    /// It is refused.
    Refused(Reason),
}

/// Why a request is refused: one class for what has one cure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Reason {
    /// No proof, or a wrong one.
    Unsigned,
    /// Authentic, and not for these credentials to deliver.
    Forbidden,
    /// Not of the form, too old, or an id that came before.
    Malformed,
    /// Another path or method, or another host.
    Misdirected,
    /// Too long a body.
    TooLong,
    /// Too slow a body.
    Slow,
    /// From an address that may not send.
    Uninvited,
    /// From an address that showed too many wrong proofs.
    Silenced,
    /// It could not be taken just then.
    Busy,
    /// No TLS handshake: a sender that mistrusts the certificate, for one.
    Handshake,
}

impl Reason {
    /// The word for it, as in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unsigned => "unsigned",
            Reason::Forbidden => "forbidden",
            Reason::Malformed => "malformed",
            Reason::Misdirected => "misdirected",
            Reason::TooLong => "too_long",
            Reason::Slow => "slow",
            Reason::Uninvited => "uninvited",
            Reason::Silenced => "silenced",
            Reason::Busy => "busy",
            Reason::Handshake => "handshake",
        }
    }
}

impl Outcome {
    /// Those of requests that were served.
    pub const SERVED: [Outcome; 4] = [Outcome::Accepted, Outcome::Known, Outcome::Ignored, Outcome::Recalled];

    /// The word for it, as in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Known => "known",
            Outcome::Ignored => "ignored",
            Outcome::Recalled => "recalled",
            Outcome::Refused(reason) => reason.as_str(),
        }
    }

    /// Its place among the counts.
    fn place(self) -> usize {
        match self {
            Outcome::Accepted => 0,
            Outcome::Known => 1,
            Outcome::Ignored => 2,
            Outcome::Recalled => 3,
            Outcome::Refused(reason) => 4 + reason as usize,
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Outcomes([AtomicU64; 14]);

impl Outcomes {
    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
        if let Some(count) = self.0.get(outcome.place()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome.place()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_count_and_a_word_of_its_own() {
        let refused = Reason::VARIANTS.iter().copied().map(Outcome::Refused);
        let all: Vec<Outcome> = Outcome::SERVED.into_iter().chain(refused).collect();
        let outcomes = Outcomes::default();
        for (at, outcome) in all.iter().enumerate() {
            (0..=at).for_each(|_| outcomes.count(*outcome));
        }
        let counts: Vec<u64> = all.iter().map(|outcome| outcomes.of(*outcome)).collect();
        assert_eq!(counts, (1..=14).collect::<Vec<u64>>());
        let mut words: Vec<_> = all.iter().map(|outcome| outcome.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all.len());
    }
}
