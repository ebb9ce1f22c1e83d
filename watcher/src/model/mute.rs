//! A mute: until when what departs under a rule is recorded and shown, and no sink under `alerts:` is told.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Until when no sink is told of a rule's findings, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// The end: from this moment on they are.
    pub until: Timestamp,
    /// Why, in the words of whoever muted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

impl Mute {
    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }
}

impl fmt::Display for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "muted until {}", self.until)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
