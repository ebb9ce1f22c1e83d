//! The programs that build the objects: found, installed or built where they are missing, and always of a pinned
//! version where their version can be chosen. Nothing here knows what is committed.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{ARCHITECTURES, digest, object};
use crate::process;

/// The linker's version. Its LLVM must not be older than the compiler's.
const LINKER: &str = "0.13.0";

/// The LLVM that the linker is built with, and whose `llvm-strip` takes the debug information away. `LLVM_PREFIX` in
/// the environment names another place.
const LLVM: &str = "/usr/lib/llvm-22";

/// The compiler elsewhere than on Debian: its LLVM is the linker's, and it builds `core` from `rust-src`.
const TOOLCHAIN: &str = "1.95.0";

/// Debian's packages: the compiler, its core for BPF, and what the linker is built with.
const PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22", "llvm-22-dev"];

/// With what the objects are built. The same versions and the same sources make the same bytes.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Versions {
    pub compiler: String,
    pub linker: String,
    /// Of the library that the linker is built with: it makes the code.
    pub llvm: String,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, LLVM {}", self.compiler, self.linker, self.llvm)
    }
}

/// The programs that build.
pub struct Tools {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Whether `core` comes with the compiler; else it is built along.
    has_core: bool,
    linker: PathBuf,
    strip: PathBuf,
}

impl Tools {
    /// Finds them; on Debian, as root, installs what is missing. The inner error says why they are not to be had
    /// here, and what to install.
    pub fn find() -> Result<Result<Tools, String>> {
        match Path::new("/etc/debian_version").exists() {
            true => Tools::debian(),
            false => Tools::elsewhere(),
        }
    }

    fn elsewhere() -> Result<Result<Tools, String>> {
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
                Ok(Ok(Tools { cargo, rustc, has_core: false, linker: linker()?, strip }))
            }
            _ => Ok(Err(format!(
                "the compiler for BPF is missing\n\
                 hint: `rustup toolchain install {TOOLCHAIN} --component rust-src`, and LLVM 22 with its headers \
                 (LLVM_PREFIX names where, if not {LLVM}); `bpf-linker` {LINKER} is then built by this command"
            ))),
        }
    }

    fn debian() -> Result<Result<Tools, String>> {
        let installed = |package: &&str| {
            process::output(Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]))
                .is_ok_and(|status| status.ends_with("ok installed"))
        };
        let missing: Vec<_> = PACKAGES.into_iter().filter(|package| !installed(package)).collect();
        if !missing.is_empty() {
            let missing = missing.join(" ");
            if !process::is_root() {
                return Ok(Err(format!(
                    "the compiler for BPF is missing\n\
                     hint: `apt-get install {missing}`, or run this command as root"
                )));
            }
            let mut install = Command::new("apt-get");
            install.args(["install", "--yes", "--no-install-recommends"]).args(missing.split(' '));
            if process::check(&mut install).is_err() {
                process::check(Command::new("apt-get").arg("update"))?;
                process::check(&mut install)?;
            }
        }
        Ok(Ok(Tools {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            has_core: true,
            linker: linker()?,
            strip: llvm().join("bin/llvm-strip"),
        }))
    }

    /// Their versions, as they say themselves.
    pub fn versions(&self) -> Result<Versions> {
        let version = |program: &Path| process::output(Command::new(program).arg("--version"));
        let strip = version(&self.strip)?;
        let llvm = strip.lines().find_map(|line| line.split_once("LLVM version "));
        let (_, llvm) =
            llvm.with_context(|| format!("`{}` does not say its version", self.strip.display()))?;
        Ok(Versions {
            compiler: version(&self.rustc)?.trim().to_owned(),
            linker: version(&self.linker)?.trim().to_owned(),
            llvm: llvm.trim().to_owned(),
        })
    }

    /// Builds all objects in a directory; the digest of each, by architecture.
    pub fn build(&self, directory: &Path) -> Result<BTreeMap<String, String>> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut digests = BTreeMap::new();
        for architecture in ARCHITECTURES {
            let object = object(directory, architecture);
            self.build_one(architecture, &object)?;
            digests.insert(architecture.to_owned(), digest(&object)?);
        }
        Ok(digests)
    }

    fn build_one(&self, architecture: &str, object: &Path) -> Result<()> {
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
        fs::copy(target.join("bpfel-unknown-none/release/watcher-ebpf"), object)?;
        // Debug information is of no use to the kernel; BTF stays.
        process::check(Command::new(&self.strip).arg("-g").arg(object))
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
