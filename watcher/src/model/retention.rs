//! How long what was recorded is kept.

use std::time::Duration;

/// How long what was recorded is kept: until it is too old or too much, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The age at which an entry is forgotten.
    pub age: Duration,
    /// How many bytes may be in use.
    pub size: u64,
}

impl Default for Retention {
    /// A year, as auditors ask for it, and no more than a small disk can spare.
    fn default() -> Retention {
        Retention { age: Duration::from_secs(366 * 24 * 60 * 60), size: 1 << 30 }
    }
}
