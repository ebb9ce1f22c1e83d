//! The keys there are to declare, and the rules that declare them.

use std::{
    collections::BTreeMap, fmt::Write, fs, os::unix::fs::PermissionsExt, path::Path, thread, time::Duration,
};

use serde_json::Value;

/// A sysctl and its value.
pub struct Declared {
    /// Its file.
    pub path: String,
    value: String,
}

/// What driftd refuses to read, because reading acts or is not allowed (`driftd check` says so of each).
const REFUSED: [&str; 3] = ["vm/stat_refresh", "vm/compact_memory", "vm/drop_caches"];

/// Every sysctl below a directory that can be read and has a value that is text and does not move by itself.
pub fn readable(directory: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    gather(Path::new(directory), &mut found);
    // What moves by itself shows in a moment; what moves more rarely costs a change in a sweep.
    thread::sleep(Duration::from_millis(300));
    found.retain(|key| fs::read_to_string(&key.path).is_ok_and(|now| now == key.value));
    found
}

fn gather(directory: &Path, found: &mut Vec<Declared>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            gather(&path, found);
            continue;
        }
        let may_be_read = fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o444 != 0);
        let Some(text) = path.to_str().filter(|_| may_be_read) else { continue };
        if REFUSED.iter().any(|refused| text.ends_with(refused)) {
            continue;
        }
        if let Ok(value) = fs::read_to_string(&path) {
            found.push(Declared { path: text.to_owned(), value });
        }
    }
}

/// Rules that expect of each key what there is: one for each value, because a configuration has at most a mebibyte.
pub fn rules(keys: &[Declared]) -> String {
    let mut by_value: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in keys {
        by_value.entry(key.value.trim_end()).or_default().push(&key.path);
    }
    let mut text = String::new();
    for (number, (value, paths)) in by_value.into_iter().enumerate() {
        // What is JSON's text is YAML's.
        let (value, paths) = (Value::from(value), Value::from(paths.join(" ")));
        let _ = writeln!(text, "  k{number}: {{ keys: {paths}, expect: {value} }}");
    }
    text
}
