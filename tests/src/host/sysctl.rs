//! Writing sysctls, in each way a program can.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

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

/// The way a value reaches the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// write(2).
    Write,
    /// pwrite(2) at position 0.
    Pwrite,
    /// writev(2), one segment for each byte.
    Writev,
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

/// Writes a value in the given way, in one call.
pub fn write_by(path: &Path, way: Way, value: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    let written = match way {
        Way::Write => file.write(value.as_bytes())?,
        Way::Pwrite => file.write_at(value.as_bytes(), 0)?,
        Way::Writev => {
            let bytes: Vec<IoSlice<'_>> = value.as_bytes().chunks(1).map(IoSlice::new).collect();
            file.write_vectored(&bytes)?
        }
    };
    match written == value.len() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{written} of {} bytes were taken", value.len()))),
    }
}
