//! Sysctls and other small files: reading them, writing them, putting back what they held.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::way::{Way, write_by};

/// A sysctl that gets back the value it had.
#[derive(Debug)]
pub struct Sysctl {
    path: PathBuf,
    /// The value it had.
    pub original: String,
}

impl Sysctl {
    /// Remembers the value of a sysctl, named with dots.
    #[track_caller]
    pub fn of(name: &str) -> Sysctl {
        let path = path(name);
        Sysctl { original: read(&path), path }
    }

    /// Writes it.
    #[track_caller]
    pub fn write(&self, value: &str) {
        write(&self.path, value).unwrap_or_else(|e| panic!("cannot write `{value}` to {:?}: {e}", self.path));
    }

    /// Writes what it had.
    #[track_caller]
    pub fn restore(&self) {
        self.write(&self.original);
    }

    /// Another value than it had, for one that takes 61 and 62.
    pub fn other(&self) -> &'static str {
        if self.original == "61" { "62" } else { "61" }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        // Read first: on the way out of a scenario that failed, or passed, an equal write would be one more event.
        if fs::read_to_string(&self.path).is_ok_and(|now| now.trim_end() != self.original) {
            let _ = write(&self.path, &self.original);
        }
    }
}

/// The file of a sysctl named with dots.
pub fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

/// What a file shows, without the newline.
#[track_caller]
pub fn read(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {path:?}: {e}"));
    text.trim_end().to_owned()
}

/// Writes a value by write(2), in one call and without making a file.
pub fn write(path: &Path, value: &str) -> io::Result<()> {
    write_by(path, Way::Write, value)
}
