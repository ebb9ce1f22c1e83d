//! The first and only file system of the VM: a cpio archive in the kernel's `newc` form
//! (Documentation/driver-api/early-userspace/buffer-format.rst), written here because it is a header and a loop.
//!
//! What goes into it is decided elsewhere (guest.rs, userland.rs); here are the bytes alone.

use std::{io::Read, path::Path};

use anyhow::{Context, Result, bail};
use tar::EntryType;

/// An archive being written. The kernel unpacks several that follow one another as if they were one, and the later
/// one's files replace those of the same name.
#[derive(Debug)]
pub struct Archive {
    bytes: Vec<u8>,
    /// The number of the next file: each needs its own, or the kernel takes them for one.
    inode: u32,
}

/// What an entry has besides its name and content.
#[derive(Clone, Copy, Debug, Default)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    /// Seconds since 1970.
    modified: u32,
    /// Of a device, its major and minor number.
    device: (u32, u32),
}

/// The bits that say what a file is (inode(7)).
const KIND: u32 = 0o170_000;
const FIFO: u32 = 0o010_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const DIRECTORY: u32 = 0o040_000;
const BLOCK_DEVICE: u32 = 0o060_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

impl Archive {
    /// One with nothing in it.
    pub fn new() -> Archive {
        Archive { bytes: Vec::new(), inode: 1 }
    }

    /// Adds a directory; those above it must be there.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, Meta { mode: DIRECTORY | 0o755, ..Meta::default() }, &[]);
    }

    /// Adds a file that can be run.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, Meta { mode: REGULAR | 0o755, ..Meta::default() }, content);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, Meta { mode: REGULAR | 0o644, ..Meta::default() }, content);
    }

    /// Adds a file that its owner alone may read.
    pub fn secret(&mut self, path: &str, content: &[u8]) {
        self.entry(path, Meta { mode: REGULAR | 0o600, ..Meta::default() }, content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, Meta { mode: LINK | 0o777, ..Meta::default() }, to.as_bytes());
    }

    /// Adds what a tar archive holds, with its owners, modes and devices; without what the caller leaves out by its
    /// path.
    ///
    /// # Errors
    /// The archive cannot be read, or holds what cannot be had here.
    pub fn tar(&mut self, tar: impl Read, leave_out: impl Fn(&str) -> bool) -> Result<()> {
        let mut tar = tar::Archive::new(tar);
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let path = path.to_str().with_context(|| format!("{path:?} is no name in UTF-8"))?;
            let path = path.trim_start_matches("./").trim_end_matches('/');
            if path.is_empty() || path == "." || leave_out(path) {
                continue;
            }
            let header = entry.header();
            let kind = header.entry_type();
            // Only of a device are these numbers.
            let device = match kind {
                EntryType::Char | EntryType::Block => (header.device_major()?, header.device_minor()?),
                _ => (None, None),
            };
            let meta = Meta {
                mode: header.mode()? & 0o7777,
                uid: narrow(header.uid()?)?,
                gid: narrow(header.gid()?)?,
                modified: narrow(header.mtime()?)?,
                device: (device.0.unwrap_or(0), device.1.unwrap_or(0)),
            };
            let to = entry.link_name()?.map(std::borrow::Cow::into_owned);
            let to = to.as_deref().and_then(Path::to_str).unwrap_or_default();
            let mut content = Vec::new();
            let (kind, target) = match kind {
                EntryType::Regular => {
                    entry.read_to_end(&mut content)?;
                    (REGULAR, String::new())
                }
                EntryType::Directory => (DIRECTORY, String::new()),
                EntryType::Symlink => (LINK, to.to_owned()),
                // Another name of a file before it. A symbolic link does for whoever opens it.
                EntryType::Link => (LINK, format!("/{}", to.trim_start_matches("./"))),
                EntryType::Char => (CHARACTER_DEVICE, String::new()),
                EntryType::Block => (BLOCK_DEVICE, String::new()),
                EntryType::Fifo => (FIFO, String::new()),
                other => bail!("`{path}` is a {other:?}, which cannot be packed"),
            };
            content.extend(target.bytes());
            self.entry(path, Meta { mode: kind | meta.mode, ..meta }, &content);
        }
        Ok(())
    }

    /// Its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", Meta::default(), &[]);
        self.bytes
    }

    /// One entry: the header of thirteen numbers in eight hex digits each, the name, the content, both padded to
    /// a multiple of four bytes.
    fn entry(&mut self, path: &str, meta: Meta, content: &[u8]) {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let Meta { mode, uid, gid, modified, device } = meta;
        let links = if mode & KIND == DIRECTORY { 2 } else { 1 };
        let header = [
            self.inode,
            mode,
            uid,
            gid,
            links,
            modified,
            size(content.len()),
            0, // device it is on, major
            0, // minor
            device.0,
            device.1,
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

/// A number as the archive can hold it.
fn narrow(number: u64) -> Result<u32> {
    u32::try_from(number).with_context(|| format!("{number} does not fit into 32 bits"))
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

    /// An entry of a tar archive, as mmdebstrap writes it.
    fn add(tar: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, to: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4750);
        header.set_uid(0);
        header.set_gid(42);
        header.set_mtime(0);
        header.set_size(content.len().try_into().unwrap());
        // As GNU tar leaves them where there is no device.
        for numbers in [329..337, 337..345] {
            header.as_mut_bytes()[numbers].fill(0);
        }
        if kind == EntryType::Char {
            header.set_device_major(5).unwrap();
            header.set_device_minor(1).unwrap();
        }
        match to {
            "" => tar.append_data(&mut header, path, content).unwrap(),
            to => tar.append_link(&mut header, path, to).unwrap(),
        }
    }

    #[test]
    fn what_a_tar_holds_keeps_its_kind_owner_mode_and_device() {
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, EntryType::Directory, "./", "", b"");
        add(&mut tar, EntryType::Directory, "./usr/", "", b"");
        add(&mut tar, EntryType::Regular, "./usr/su", "", b"su");
        add(&mut tar, EntryType::Link, "./usr/other", "./usr/su", b"");
        add(&mut tar, EntryType::Symlink, "./bin", "usr", b"");
        add(&mut tar, EntryType::Char, "./console", "", b"");
        add(&mut tar, EntryType::Regular, "./usr/doc", "", b"long");
        let tar = tar.into_inner().unwrap();
        let mut archive = Archive::new();
        archive.tar(tar.as_slice(), |path| path == "usr/doc").unwrap();

        let mut wanted = Archive::new();
        let meta = |mode| Meta { mode: mode | 0o4750, gid: 42, ..Meta::default() };
        wanted.entry("usr", meta(DIRECTORY), b"");
        wanted.entry("usr/su", meta(REGULAR), b"su");
        wanted.entry("usr/other", meta(LINK), b"/usr/su");
        wanted.entry("bin", meta(LINK), b"usr");
        wanted.entry("console", Meta { device: (5, 1), ..meta(CHARACTER_DEVICE) }, b"");
        let text = |archive: Archive| String::from_utf8_lossy(&archive.finish()).into_owned();
        assert_eq!(text(archive), text(wanted));
    }
}
