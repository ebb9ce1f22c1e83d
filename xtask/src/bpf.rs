//! `cargo xtask bpf`: builds the programs for the kernel, one object per architecture, and notes beside them from
//! which sources and with what they were built. `--check` builds them once more, beside the committed ones, and
//! compares ([`check`]).
//!
//! The objects are committed, so that a stable toolchain alone builds the daemon (facts: the compiler for
//! `bpfel-unknown-none` is Debian's `rustc-web`, with a prebuilt core; or Rust 1.95.0 with `rust-src`).

mod check;
mod tools;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::tools::{Tools, Versions};

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Build the objects anew, beside the committed ones, and compare
    #[arg(long)]
    check: bool,
}

/// The architectures: as the programs are told, and as the file is named.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// What to do about objects that are not those of the sources.
const HINT: &str = "hint: `cargo xtask bpf` builds the objects anew; commit them with the change";

/// What is noted beside the objects.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Notes {
    /// SHA-256 over the sources, as [`sources`] takes them.
    sources: String,
    #[serde(flatten)]
    versions: Versions,
    /// SHA-256 of each object, by architecture.
    objects: BTreeMap<String, String>,
}

impl Notes {
    /// Reads them, and makes sure that the objects beside them and the tree's sources are those they speak of.
    fn committed() -> Result<Notes> {
        let path = objects().join("BUILT.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let notes: Notes = toml::from_str(&text)
            .with_context(|| format!("{} is not what it was\n{HINT}", path.display()))?;
        let found = sources()?;
        ensure!(
            notes.sources == found,
            "the objects were built from other sources: digest {}, and the tree has {found}\n{HINT}",
            notes.sources
        );
        for architecture in ARCHITECTURES {
            let found = digest(&object(&objects(), architecture))?;
            let noted = notes.objects.get(architecture).map_or("none", String::as_str);
            ensure!(noted == found, "{architecture}.o is {found}, and its note says {noted}\n{HINT}");
        }
        Ok(notes)
    }
}

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    match options.check {
        true => check::check(),
        false => build().map(|()| ExitCode::SUCCESS),
    }
}

fn build() -> Result<()> {
    let tools = Tools::find()?.map_err(|why| anyhow!(why))?;
    let notes = Notes { sources: sources()?, versions: tools.versions()?, objects: tools.build(&objects())? };
    let text = format!("# Written by `cargo xtask bpf`.\n{}", toml::to_string(&notes)?);
    fs::write(objects().join("BUILT.toml"), &text)?;
    print!("{text}");
    Ok(())
}

/// Where the objects are.
fn objects() -> PathBuf {
    crate::root().join("watcher-ebpf/objects")
}

/// The object for an architecture in a directory.
fn object(directory: &Path, architecture: &str) -> PathBuf {
    directory.join(format!("{architecture}.o"))
}

fn digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of everything the objects are made of: the two crates, and the locked versions of what they use.
fn sources() -> Result<String> {
    let root = crate::root();
    let mut files = BTreeSet::new();
    for place in ["watcher-ebpf/src", "watcher-common/src"] {
        gather(&root.join(place), &mut files)?;
    }
    files.extend(["watcher-ebpf/Cargo.toml", "watcher-common/Cargo.toml"].map(|file| root.join(file)));
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(format!("{} {}\n", name.display(), text.len()));
        hash.update(text);
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    for line in locked(&lock, "watcher-ebpf")? {
        hash.update(format!("{line}\n"));
    }
    Ok(hex(&hash.finalize()))
}

fn gather(directory: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => gather(&path, files)?,
            false => drop(files.insert(path)),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// What a package uses, directly and not, as `name version checksum`, in order. A feature that only user space asks
/// for is counted too: the lock file does not know features.
fn locked(lock: &str, package: &str) -> Result<BTreeSet<String>> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock cannot be understood")?;
    let mut found = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(wanted) = open.pop() {
        // `name`, or `name version` where there are several.
        let (name, version) = wanted.split_once(' ').map_or((&*wanted, None), |(n, v)| (n, Some(v)));
        let Some(package) =
            lock.package.iter().find(|p| p.name == name && version.is_none_or(|v| p.version == v))
        else {
            bail!("Cargo.lock has no package `{wanted}`");
        };
        let line = format!("{name} {} {}", package.version, package.checksum.as_deref().unwrap_or("-"));
        if found.insert(line) {
            open.extend(package.dependencies.iter().cloned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_objects_are_made_of_is_followed_through_the_lock_file() {
        let lock = r#"
            [[package]]
            name = "a"
            version = "1.0.0"
            dependencies = ["b 2.0.0", "c"]
            [[package]]
            name = "b"
            version = "1.0.0"
            checksum = "old"
            [[package]]
            name = "b"
            version = "2.0.0"
            checksum = "new"
            dependencies = ["c"]
            [[package]]
            name = "c"
            version = "3.0.0"
            checksum = "x"
            [[package]]
            name = "unused"
            version = "1.0.0"
        "#;
        let found: Vec<_> = locked(lock, "a").unwrap().into_iter().collect();
        assert_eq!(found, ["a 1.0.0 -", "b 2.0.0 new", "c 3.0.0 x"]);
        assert!(locked(lock, "missing").is_err());
    }

    #[test]
    fn the_committed_objects_are_those_of_the_sources() {
        Notes::committed().unwrap();
    }
}
