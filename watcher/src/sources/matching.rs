//! Which keys the patterns of a source mean now, each looked up once.

use std::{collections::HashMap, fs, path::Path};

use super::SourceError;
use crate::{
    declared::Only,
    kernel::expand,
    model::{Key, Pattern},
};

/// The most keys that all patterns may mean together.
const MOST_KEYS: usize = 100_000;

/// The most patterns: each one walks directories.
const MOST_PATTERNS: usize = 1_000;

/// The keys of a host that patterns mean.
pub(super) struct Matching<'r> {
    root: &'r Path,
    found: HashMap<(Pattern, Only), Vec<Key>>,
    keys: usize,
    /// Which bound was passed; from then on nothing is looked up.
    passed: Option<SourceError>,
}

impl<'r> Matching<'r> {
    pub fn new(root: &'r Path) -> Matching<'r> {
        Matching { root, found: HashMap::new(), keys: 0, passed: None }
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
        let (mut keys, more) = expand(self.root, pattern);
        keys.retain(|key| match only {
            Only::All => true,
            Only::Disks => self.is_of_a_disk(key),
        });
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
