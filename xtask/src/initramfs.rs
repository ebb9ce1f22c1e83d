//! The first and only file system of the VM: a cpio archive in the kernel's `newc` form
//! (Documentation/driver-api/early-userspace/buffer-format.rst), written here because it is a header and a loop.
//!
//! It holds our PID 1, driftd, the scenarios, the modules they need, and the order to load these in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

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

/// What the scenarios need and Debian builds as modules.
const MODULES: [&str; 3] = ["dummy", "bonding", "veth"];

/// The whole archive. The programs are `(path inside, path here)`.
pub fn build(programs: &[(&str, PathBuf)], modules: Option<&Path>) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for directory in ["bin", "dev", "modules", "proc", "run", "sys", "tmp"] {
        archive.directory(directory);
    }
    for (inside, here) in programs {
        let content = fs::read(here).with_context(|| format!("cannot read {}", here.display()))?;
        archive.program(inside, &content);
    }
    let mut order = String::new();
    if let Some(directory) = modules {
        for module in load_order(directory, &MODULES)? {
            archive.file(&format!("modules/{}.ko", module.name), &module.content);
            order += &format!("{}.ko\n", module.name);
        }
    }
    archive.file("modules/order", order.as_bytes());
    Ok(archive.finish())
}

/// A module, read.
struct Module {
    name: String,
    content: Vec<u8>,
}

/// The modules wanted and those they need, each after what it needs. What is not there is built in, or the
/// scenario that needs it will say so.
///
/// What a module needs stands in the module: `modules.dep` is made on installation, and nothing is installed here.
fn load_order(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    list(&directory.join("kernel"), &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order, 0)?;
    }
    Ok(order)
}

/// Adds a module after those it needs.
fn add(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<Module>, depth: u32) -> Result<()> {
    if depth > 16 {
        bail!("the modules that `{name}` needs go round in a circle");
    }
    let Some(path) = files.get(name) else { return Ok(()) };
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    for needed in needs(&content) {
        add(&needed, files, order, depth + 1)?;
    }
    order.push(Module { name: name.to_owned(), content });
    Ok(())
}

/// Finds the module files below a directory, by the name the kernel calls them by.
fn list(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".ko")) {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The modules that a module needs: the `depends=` text in its `.modinfo` section, where texts end with a zero.
fn needs(module: &[u8]) -> Vec<String> {
    let mut texts = module.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
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

    #[test]
    fn a_module_comes_after_what_it_needs_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let drivers = dir.path().join("kernel/drivers/net");
        fs::create_dir_all(&drivers).unwrap();
        for (file, info) in [
            ("bonding.ko", "license=GPL\0depends=tls,ip6-tunnel\0name=bonding\0"),
            ("tls.ko", "depends=\0"),
            ("ip6-tunnel.ko", "\0depends=tls\0"),
            ("dummy.ko", "\0depends=\0"),
        ] {
            fs::write(drivers.join(file), info).unwrap();
        }
        let order = load_order(dir.path(), &["dummy", "bonding", "veth"]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["dummy", "tls", "ip6_tunnel", "bonding"]);
    }
}
