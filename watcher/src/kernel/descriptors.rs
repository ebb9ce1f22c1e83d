//! How many descriptors there may be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is left for all but keys: connections, the store, programs and maps, and up to 500 PSI triggers.
const OTHERS: u64 = 768;

/// Raises the limit of open descriptors as far as it goes, and gives how many of them may be kept for keys.
pub fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    // No limit at all is more than there are keys.
    usize::try_from(limit.unwrap_or(1 << 20).saturating_sub(OTHERS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_some_of_it_is_left_for_others() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // One less, so that it is known to have been raised, and is no worse for the tests beside this one.
        let less = maximum.map_or(1 << 20, |maximum| maximum - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(less), maximum }).unwrap();
        let for_keys = descriptors() as u64;
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
        assert_eq!(for_keys, maximum.unwrap_or(1 << 20) - OTHERS);
    }
}
