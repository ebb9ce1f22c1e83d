//! How many descriptors there may be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is left for all but keys: connections, the store, programs and maps.
const OTHERS: u64 = 256;

/// Raises the limit of open descriptors as far as it goes, and gives how many of them may be kept for keys.
pub fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    // No limit at all is more than there are keys.
    usize::try_from(limit.unwrap_or(1 << 20).saturating_sub(OTHERS)).unwrap_or(usize::MAX)
}
