//! `cargo xtask bpf --check`: whether the committed objects are what the sources make. How much can be said depends on
//! what builds them here:
//!
//! - the very versions that are noted: the objects are built anew and must be the same bit for bit;
//! - other versions: they are built anew, and where they differ the scenarios run once, in the VM, on the new ones;
//! - none, and no way to get any: the digests are compared, and it is said that this was all.
//!
//! The committed objects are never touched.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};

use super::{ARCHITECTURES, HINT, Notes, object, objects, tools::Tools};
use crate::{process, tidy};

/// The check.
pub fn check() -> Result<ExitCode> {
    let notes = Notes::committed()?;
    let tools = match Tools::find()? {
        Ok(tools) => tools,
        Err(why) => {
            println!("\n{}", loud(&format!("ONLY DIGESTS WERE COMPARED, AND NOTHING WAS BUILT: {why}")));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let scratch = crate::target().join("bpf/check");
    let versions = tools.versions()?;
    let built = tools.build(&scratch.join("objects"))?;
    let other: Vec<_> =
        ARCHITECTURES.into_iter().filter(|a| built.get(*a) != notes.objects.get(*a)).collect();
    if versions == notes.versions {
        ensure!(
            other.is_empty(),
            "built anew with the same compiler and linker, other bytes come out for {}: look at {}\n{HINT}",
            other.join(" and "),
            scratch.join("objects").display()
        );
        println!("built anew, the objects are those of the sources, bit for bit ({versions})");
        return Ok(ExitCode::SUCCESS);
    }
    let due =
        format!("A REFRESH OF THE OBJECTS IS DUE: built with {}, and here is {versions}", notes.versions);
    if other.is_empty() {
        println!("built anew, the objects are the same bit for bit\n\n{}", loud(&format!("{due}\n{HINT}")));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} comes out otherwise: the scenarios run once on what was built anew", other.join(" and "));
    let tree = tree_with(&scratch.join("objects"), &scratch.join("tree"))?;
    // A target directory of its own: cargo takes two copies of a workspace that share one for the same, and what was
    // built of the other for fresh. The kernels alone are not fetched again.
    let (target, kernels) = (scratch.join("target"), crate::target().join("vm"));
    for directory in [&target, &kernels] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    match symlink(&kernels, target.join("vm")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot link to {}", kernels.display()));
        }
        _ => {}
    }
    let mut vm = process::cargo();
    vm.current_dir(&tree).args(["xtask", "vm", "--all"]).env("CARGO_TARGET_DIR", &target);
    let passed = process::check(&mut vm);
    println!("\n{}", loud(&format!("{due}\n{HINT}")));
    passed.context("the scenarios fail on the objects that were built anew").map(|()| ExitCode::SUCCESS)
}

/// Copies the tree as it is now, with other objects in it; says where.
fn tree_with(built: &Path, to: &Path) -> Result<PathBuf> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", to.display()));
        }
        _ => {}
    }
    let copy = |from: &Path, to: &Path| -> Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display())).map(drop)
    };
    // A file that is deleted and not yet committed is still tracked.
    for file in tidy::tracked()?.iter().filter(|file| crate::root().join(file).exists()) {
        copy(&crate::root().join(file), &to.join(file))?;
    }
    let place = objects();
    let place = to.join(place.strip_prefix(crate::root()).unwrap_or(&place));
    for architecture in ARCHITECTURES {
        copy(&object(built, architecture), &object(&place, architecture))?;
    }
    Ok(to.to_owned())
}

/// A text that nobody overlooks.
fn loud(text: &str) -> String {
    text.lines().map(|line| format!("*** {line}\n")).collect()
}
