//! What the tests of several rooms need; nothing of it is in the daemon.

use std::fs;

use tempfile::TempDir;

/// A root directory with these files, by their paths below it.
pub fn host(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}
