//! What runs in the guest: builds our programs for it, and packs them with a kernel's modules and, where there is one,
//! the userland they run in.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{initramfs::Archive, matrix::Userland, modules, process, userland};

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
    /// Its name among the binaries of tests/, in a userland.
    pub fn name(self, userland: Userland) -> &'static str {
        match (self, userland) {
            (Program::Scenarios, Userland::Bare) => "scenarios",
            (Program::Scenarios, Userland::Systemd) => "scenarios-systemd",
            (Program::Bench, _) => "bench",
        }
    }
}

/// The programs, built.
#[derive(Debug)]
pub struct Built {
    directory: PathBuf,
}

impl Built {
    /// Builds driftd, our PID 1 and these, static: in the bare guest there is nothing else to load.
    pub fn new(programs: &[&str]) -> Result<Built> {
        let target = match env::consts::ARCH {
            "x86_64" => "x86_64-unknown-linux-gnu",
            other => bail!("no VM can be started on `{other}` yet: x86_64 is wanted"),
        };
        let directory = crate::target().join("guest");
        println!("building driftd and the {} for the VM", programs.join(" and the "));
        let mut cargo = process::cargo();
        cargo
            .args(["build", "--quiet", "--locked", "--profile", "guest", "--target", target])
            .arg("--target-dir")
            .arg(&directory)
            .args(["--package", "watcher", "--package", "driftd-tests"])
            .args(["--bin", "driftd", "--bin", "init"])
            .args(programs.iter().flat_map(|program| ["--bin", program]))
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        process::check(&mut cargo)?;
        Ok(Built { directory: directory.join(target).join("guest") })
    }

    /// The bytes of one.
    pub fn read(&self, program: &str) -> Result<Vec<u8>> {
        let path = self.directory.join(program);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// What is packed for a boot.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'a> {
    pub program: Program,
    pub userland: Userland,
    /// The root that the userland needs.
    pub root: Option<&'a Path>,
    /// The kernel's modules.
    pub modules: Option<&'a Path>,
}

/// Packs a file with this name; where it is.
pub fn pack(built: &Built, packing: Packing, name: &str) -> Result<PathBuf> {
    let bytes =
        packed(built, packing).with_context(|| format!("cannot pack what runs on the kernel {name}"))?;
    let path = crate::target().join("vm").join(format!("{name}.cpio"));
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn packed(built: &Built, packing: Packing) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let mut bytes = Vec::new();
    match packing.userland {
        Userland::Bare => {
            for directory in ["bin", "dev", "proc", "run", "sys", "tmp"] {
                archive.directory(directory);
            }
            archive.program("init", &built.read("init")?);
            archive.program("bin/driftd", &built.read("driftd")?);
            // PID 1 knows one program, by the name of the scenarios.
            archive.program("bin/scenarios", &built.read(packing.program.name(packing.userland))?);
        }
        Userland::Systemd => {
            let root = packing.root.context("there is no root to lay it over")?;
            bytes = fs::read(root).with_context(|| format!("cannot read {}", root.display()))?;
            userland::lay_over(&mut archive, built)?;
        }
    }
    archive.directory("modules");
    let mut order = String::new();
    if let Some(directory) = packing.modules {
        for module in modules::load_order(directory, &modules::WANTED)? {
            archive.file(&format!("modules/{}.ko", module.name), &module.content);
            order += &format!("{}.ko\n", module.name);
        }
    }
    archive.file("modules/order", order.as_bytes());
    bytes.extend(archive.finish());
    Ok(bytes)
}
