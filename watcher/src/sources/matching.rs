//! Which keys the patterns of a source mean now, each looked up once.

use std::{collections::HashMap, fs, path::Path};

use super::SourceError;
use crate::{
    declared::Only,
    kernel::expand_within,
    model::{Key, Pattern},
};

/// The most keys that all patterns may mean together.
const MOST_KEYS: usize = 100_000;

/// The most patterns: each one walks directories.
const MOST_PATTERNS: usize = 1_000;

/// The most names of directories that all patterns look at together: the loop waits meanwhile.
const MOST_NAMES: usize = 200_000;

/// The keys of a host that patterns mean.
pub(super) struct Matching<'r> {
    root: &'r Path,
    found: HashMap<(Pattern, Only), Vec<Key>>,
    keys: usize,
    /// How many names may still be looked at.
    left: usize,
    /// Which bound was passed; from then on nothing is looked up.
    passed: Option<SourceError>,
}

impl<'r> Matching<'r> {
    pub fn new(root: &'r Path) -> Matching<'r> {
        Matching { root, found: HashMap::new(), keys: 0, left: MOST_NAMES, passed: None }
    }

    /// The keys, in the order of their paths.
    pub fn keys(&mut self, pattern: &Pattern, only: Only) -> Vec<Key> {
        let asked = (pattern.clone(), only);
        if let Some(keys) = self.found.get(&asked) {
            return keys.clone();
        }
        if self.found.len() == MOST_PATTERNS {
            let most = MOST_PATTERNS;
            self.passed.get_or_insert(SourceError::TooManyMatches { most, of: "patterns" });
        }
        if self.passed.is_some() {
            return Vec::new();
        }
        let (mut keys, more) = expand_within(self.root, pattern, &mut self.left);
        keys.retain(|key| match only {
            Only::All => true,
            Only::Disks => self.is_of_a_disk(key),
        });
        if self.left == 0 {
            self.passed = Some(SourceError::TooManyMatches { most: MOST_NAMES, of: "names to look at" });
            return Vec::new();
        }
        self.keys += keys.len();
        if more || self.keys > MOST_KEYS {
            self.passed = Some(SourceError::TooManyMatches { most: MOST_KEYS, of: "keys" });
            return Vec::new();
        }
        self.found.insert(asked, keys.clone());
        keys
    }

    /// Whether everything was looked up.
    pub fn finish(self) -> Result<(), SourceError> {
        self.passed.map_or(Ok(()), Err)
    }

    /// Whether a key such as `/sys/block/sda/queue/scheduler` is one of a disk: loop devices, mapped ones and memory
    /// have no device behind them.
    fn is_of_a_disk(&self, key: &Key) -> bool {
        let path = key.path();
        let Some(name) = path.strip_prefix("/sys/block/").and_then(|rest| rest.split('/').next()) else {
            return false;
        };
        let disk = self.root.join("sys/block").join(name);
        let removable = fs::read_to_string(disk.join("removable"));
        disk.join("device").exists() && removable.is_ok_and(|removable| removable.trim() == "0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn patterns_look_at_so_many_names_and_no_more() {
        let root = host(&[("proc/sys/vm/a", "1\n"), ("proc/sys/vm/b", "1\n"), ("proc/sys/vm/c", "1\n")]);
        let pattern = |text| Pattern::parse(text).unwrap();
        let mut matching = Matching::new(root.path());
        matching.left = 7;
        assert_eq!(matching.keys(&pattern("vm.*"), Only::All).len(), 3);
        // What was looked up is not looked at again.
        assert_eq!(matching.keys(&pattern("vm.*"), Only::All).len(), 3);
        assert_eq!(matching.keys(&pattern("vm.b*"), Only::All).len(), 1);
        assert_eq!(matching.keys(&pattern("vm.c*"), Only::All), []);
        let told = matching.finish().unwrap_err().to_string();
        assert!(told.starts_with("found more than 200000 names to look at"), "{told}");
    }
}
