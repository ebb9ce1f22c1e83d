//! What runs in the guest: builds our programs for it, and packs them with a kernel's modules.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{initramfs, process};

/// The programs of the guest: where they are in it, and where they are here.
pub type Programs = Vec<(&'static str, PathBuf)>;

/// A program that runs in the guest, and closes as the runners of tests do, with how much passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// The scenarios
    #[default]
    Scenarios,
    /// The benchmark: see `cargo xtask bench`
    Bench,
}

impl Program {
    /// Its name among the binaries of tests/.
    fn name(self) -> &'static str {
        match self {
            Program::Scenarios => "scenarios",
            Program::Bench => "bench",
        }
    }
}

/// Builds what runs in the guest, static: there is nothing else in it to load. PID 1 knows one program, by the name of
/// the scenarios.
pub fn build_programs(program: Program) -> Result<Programs> {
    let target = match env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        other => bail!("no VM can be started on `{other}` yet: x86_64 is wanted"),
    };
    let dir = crate::target().join("guest");
    println!("building driftd and the {} for the VM", program.name());
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--quiet", "--locked", "--profile", "guest", "--target", target])
        .arg("--target-dir")
        .arg(&dir)
        .args(["--package", "watcher", "--package", "driftd-tests"])
        .args(["--bin", "driftd", "--bin", "init", "--bin", program.name()])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::check(&mut cargo)?;
    let built = dir.join(target).join("guest");
    Ok(vec![
        ("init", built.join("init")),
        ("bin/driftd", built.join("driftd")),
        ("bin/scenarios", built.join(program.name())),
    ])
}

/// Packs the programs with a kernel's modules; where the archive is.
pub fn pack(programs: &Programs, name: &str, modules: Option<&Path>) -> Result<PathBuf> {
    let archive = initramfs::build(programs, modules)
        .with_context(|| format!("cannot pack what runs on the kernel {name}"))?;
    let path = crate::target().join("vm").join(format!("{name}.cpio"));
    fs::write(&path, archive).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
