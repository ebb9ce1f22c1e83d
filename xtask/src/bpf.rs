//! `cargo xtask bpf`: builds the programs for the kernel, one object per architecture, and notes beside them from
//! which sources and with what they were built. `--check` compares these notes with the tree.
//!
//! The objects are committed, so that a stable toolchain alone builds the daemon (facts: the compiler for
//! `bpfel-unknown-none` is Debian's `rustc-web`, with a prebuilt core; or Rust 1.95.0 with `rust-src`).

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::process;

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only compare the committed objects with the sources
    #[arg(long)]
    check: bool,
}

/// The architectures: as the programs are told, and as the file is named.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The linker's version. Its LLVM must not be older than the compiler's.
const LINKER: &str = "0.13.0";

/// The LLVM that the linker is built with, and whose `llvm-strip` takes the debug information away. `LLVM_PREFIX` in
/// the environment names another place.
const LLVM: &str = "/usr/lib/llvm-22";

/// The compiler elsewhere than on Debian: its LLVM is the linker's, and it builds `core` from `rust-src`.
const TOOLCHAIN: &str = "1.95.0";

/// Debian's packages: the compiler, its core for BPF, and what the linker is built with.
const PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22", "llvm-22-dev"];

/// What is noted beside the objects.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Notes {
    /// SHA-256 over the sources, as [`sources`] takes them.
    sources: String,
    compiler: String,
    linker: String,
    /// SHA-256 of each object, by architecture.
    objects: BTreeMap<String, String>,
}

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    match options.check {
        true => check()?,
        false => build()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<()> {
    let path = objects().join("BUILT.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let notes: Notes =
        toml::from_str(&text).with_context(|| format!("{} is not what it was", path.display()))?;
    let hint = "hint: `cargo xtask bpf` builds the objects anew; commit them with the change";
    let found = sources()?;
    ensure!(
        notes.sources == found,
        "the objects were built from other sources: digest {}, and the tree has {found}\n{hint}",
        notes.sources
    );
    for architecture in ARCHITECTURES {
        let found = digest(&object(architecture))?;
        let noted = notes.objects.get(architecture).map_or("none", String::as_str);
        ensure!(noted == found, "{architecture}.o is {found}, and its note says {noted}\n{hint}");
    }
    println!("the objects are those of the sources ({}, {})", notes.compiler, notes.linker);
    Ok(())
}

fn build() -> Result<()> {
    let tools = Tools::find()?;
    fs::create_dir_all(objects())?;
    let mut digests = BTreeMap::new();
    for architecture in ARCHITECTURES {
        tools.build(architecture)?;
        digests.insert(architecture.to_owned(), digest(&object(architecture))?);
    }
    let notes = Notes {
        sources: sources()?,
        compiler: process::output(Command::new(&tools.rustc).arg("--version"))?.trim().to_owned(),
        linker: process::output(Command::new(&tools.linker).arg("--version"))?.trim().to_owned(),
        objects: digests,
    };
    let text = format!("# Written by `cargo xtask bpf`.\n{}", toml::to_string(&notes)?);
    fs::write(objects().join("BUILT.toml"), &text)?;
    print!("{text}");
    Ok(())
}

/// Where the objects are.
fn objects() -> PathBuf {
    crate::root().join("watcher-ebpf/objects")
}

fn object(architecture: &str) -> PathBuf {
    objects().join(format!("{architecture}.o"))
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

/// The programs that build.
struct Tools {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Whether `core` comes with the compiler; else it is built along.
    has_core: bool,
    linker: PathBuf,
    strip: PathBuf,
}

impl Tools {
    /// Finds them; on Debian, as root, installs what is missing.
    fn find() -> Result<Tools> {
        match Path::new("/etc/debian_version").exists() {
            true => Tools::debian(),
            false => Tools::elsewhere(),
        }
    }

    fn elsewhere() -> Result<Tools> {
        let strip = llvm().join("bin/llvm-strip");
        let which = |program| {
            let path =
                process::output(Command::new("rustup").args(["which", "--toolchain", TOOLCHAIN, program]));
            path.map(|path| PathBuf::from(path.trim()))
        };
        let found = which("cargo").and_then(|cargo| Ok((cargo, which("rustc")?)));
        // TOOLCHAIN/bin/rustc, and beside its `bin` the sources.
        let sources =
            |rustc: &Path| rustc.ancestors().nth(2).map(|root| root.join("lib/rustlib/src/rust/library"));
        match found {
            Ok((cargo, rustc)) if sources(&rustc).is_some_and(|dir| dir.exists()) && strip.exists() => {
                Ok(Tools { cargo, rustc, has_core: false, linker: linker()?, strip })
            }
            _ => bail!(
                "the compiler for BPF is missing\n\
                 hint: `rustup toolchain install {TOOLCHAIN} --component rust-src`, and LLVM 22 with its headers \
                 (LLVM_PREFIX names where, if not {LLVM}); `bpf-linker` {LINKER} is then built by this command"
            ),
        }
    }

    fn debian() -> Result<Tools> {
        let installed = |package: &&str| {
            process::output(Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]))
                .is_ok_and(|status| status.ends_with("ok installed"))
        };
        let missing: Vec<_> = PACKAGES.into_iter().filter(|package| !installed(package)).collect();
        if !missing.is_empty() {
            let missing = missing.join(" ");
            ensure!(
                process::is_root(),
                "the compiler for BPF is missing\nhint: `apt-get install {missing}`, or run this command as root"
            );
            let mut install = Command::new("apt-get");
            install.args(["install", "--yes", "--no-install-recommends"]).args(missing.split(' '));
            if process::check(&mut install).is_err() {
                process::check(Command::new("apt-get").arg("update"))?;
                process::check(&mut install)?;
            }
        }
        Ok(Tools {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            has_core: true,
            linker: linker()?,
            strip: llvm().join("bin/llvm-strip"),
        })
    }

    /// Builds one object and puts it in its place.
    fn build(&self, architecture: &str) -> Result<()> {
        let root = crate::root();
        let target = crate::target().join("bpf").join(architecture);
        let home = cargo_home()?;
        // The paths of this machine must not be in the object: the same sources then give the same bytes anywhere.
        let mut flags = vec![
            "--cfg".to_owned(),
            format!("bpf_target_arch=\"{architecture}\""),
            "-Cdebuginfo=2".to_owned(),
            format!("-Clinker={}", self.linker.display()),
            "-Clink-arg=--btf".to_owned(),
            format!("--remap-path-prefix={}=.", root.display()),
            format!("--remap-path-prefix={}=cargo", home.display()),
        ];
        // The sources of a registry lie in a directory of its host's name. The last rule that fits is taken.
        for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten() {
            flags.push(format!("--remap-path-prefix={}=registry", registry.path().display()));
        }
        let mut cargo = Command::new(&self.cargo);
        cargo
            .current_dir(root)
            .args(["build", "--locked", "--release", "--package", "watcher-ebpf"])
            .args(["--target", "bpfel-unknown-none", "--target-dir"])
            .arg(&target)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("AYA_BPF_TARGET_ARCH", architecture)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        if !self.has_core {
            cargo.args(["-Z", "build-std=core"]);
        }
        // What the cargo that runs this program says is not for the other one.
        for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"] {
            cargo.env_remove(variable);
        }
        process::check(&mut cargo)?;
        let object = object(architecture);
        fs::copy(target.join("bpfel-unknown-none/release/watcher-ebpf"), &object)?;
        // Debug information is of no use to the kernel; BTF stays.
        process::check(Command::new(&self.strip).arg("-g").arg(&object))
    }
}

fn llvm() -> PathBuf {
    env::var_os("LLVM_PREFIX").map_or_else(|| LLVM.into(), PathBuf::from)
}

fn cargo_home() -> Result<PathBuf> {
    let default = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(default)
        .context("neither CARGO_HOME nor HOME is set")
}

/// The linker of the pinned version; built below target/ where it is missing.
fn linker() -> Result<PathBuf> {
    let is_pinned = |path: &Path| {
        process::output(Command::new(path).arg("--version")).is_ok_and(|version| version.contains(LINKER))
    };
    if let Some(path) = process::find("bpf-linker").filter(|path| is_pinned(path)) {
        return Ok(path);
    }
    let place = crate::target().join("bpf-linker");
    let path = place.join("bin/bpf-linker");
    if !is_pinned(&path) {
        let mut install = process::cargo();
        install
            .args(["install", "bpf-linker", "--version", LINKER, "--locked"])
            .args(["--no-default-features", "--features", "llvm-22", "--root"])
            .arg(&place)
            .env("LLVM_PREFIX", llvm());
        process::check(&mut install)?;
    }
    Ok(path)
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
        check().unwrap();
    }
}
