//! The clocks: the one place that looks at them.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::model::{Boottime, Now};

/// This moment, on both clocks.
pub fn now() -> Now {
    let boot = clock_gettime(ClockId::Boottime);
    let nanos = u64::try_from(boot.tv_sec).unwrap_or(0) * 1_000_000_000;
    Now { boot: Boottime { nanos: nanos + u64::try_from(boot.tv_nsec).unwrap_or(0) }, wall: Timestamp::now() }
}
