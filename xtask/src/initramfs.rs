//! The first and only file system of the VM: a cpio archive in the kernel's `newc` form
//! (Documentation/driver-api/early-userspace/buffer-format.rst), written here because it is a header and a loop.
//!
//! It holds our PID 1, driftd, the scenarios, the modules they need, and the order to load these in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::modules;

/// An archive being written.
struct Archive {
    bytes: Vec<u8>,
    /// The number of the next file: each needs its own, or the kernel takes them for one.
    inode: u32,
}

/// The bits that say what a file is (inode(7)).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

impl Archive {
    fn new() -> Archive {
        Archive { bytes: Vec::new(), inode: 1 }
    }

    fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o755, content);
    }

    fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o644, content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// One entry: the header of thirteen numbers in eight hex digits each, the name, the content, both padded to
    /// a multiple of four bytes.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let links = if mode & DIRECTORY != 0 { 2 } else { 1 };
        let header = [
            self.inode,
            mode,
            0, // uid
            0, // gid
            links,
            0, // time of modification
            size(content.len()),
            0, // device it is on, major
            0, // minor
            0, // device it is, major
            0, // minor
            size(path.len() + 1),
            0, // checksum, not used in this form
        ];
        self.bytes.extend(b"070701");
        for number in header {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        self.inode += 1;
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The whole archive. The programs are `(path inside, path here)`.
pub fn build(programs: &[(&str, PathBuf)], modules_dir: Option<&Path>) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for directory in ["bin", "dev", "modules", "proc", "run", "sys", "tmp"] {
        archive.directory(directory);
    }
    for (inside, here) in programs {
        let content = fs::read(here).with_context(|| format!("cannot read {}", here.display()))?;
        archive.program(inside, &content);
    }
    let mut order = String::new();
    if let Some(directory) = modules_dir {
        for module in modules::load_order(directory, &modules::WANTED)? {
            archive.file(&format!("modules/{}.ko", module.name), &module.content);
            order += &format!("{}.ko\n", module.name);
        }
    }
    archive.file("modules/order", order.as_bytes());
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_kernel_documents() {
        let mut archive = Archive::new();
        archive.program("init", b"hello");
        let bytes = archive.finish();
        let header = "070701\
            00000001000081ed0000000000000000000000010000000000000005\
            000000000000000000000000000000000000000500000000";
        assert_eq!(&bytes[..110], header.as_bytes());
        assert_eq!(&bytes[110..124], b"init\0\0hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(&bytes[234..], b"TRAILER!!!\0\0\0\0");
        assert!(bytes.len().is_multiple_of(4));
    }
}
