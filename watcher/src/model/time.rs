//! The two clocks, as values: nothing here looks at one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Time since boot, suspend included (CLOCK_BOOTTIME, as `bpf_ktime_get_boot_ns` counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boottime {
    /// Nanoseconds.
    pub nanos: u64,
}

impl Boottime {
    /// The moment this much later.
    pub fn after(self, duration: Duration) -> Boottime {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Boottime { nanos: self.nanos.saturating_add(nanos) }
    }

    /// How long ago `earlier` was; zero where it is later.
    pub fn since(self, earlier: Boottime) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

/// One moment on both clocks: the first measures, the second is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since boot: what durations are measured with.
    pub boot: Boottime,
    /// Wall time: what people read.
    pub wall: Timestamp,
}
