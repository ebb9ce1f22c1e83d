//! `cargo xtask fuzz`: builds the targets of tests/fuzz with counters of coverage in them, and lets libFuzzer feed them.
//!
//! What libFuzzer finds worth keeping beside the committed corpus stays under target/fuzz; so does what broke a target.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{packages, process, root, tally::Tally, target};

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The targets, by the names of the directories in tests/fuzz/corpus; all of them where none is named
    targets: Vec<String>,
    /// Feed each of them so many texts
    #[arg(long, conflicts_with = "time")]
    runs: Option<u32>,
    /// Feed each of them for so many seconds
    #[arg(long, default_value_t = 60)]
    time: u32,
}

/// How long libFuzzer goes on.
#[derive(Clone, Copy)]
enum Until {
    Runs(u32),
    Seconds(u32),
}

/// As many texts each target is fed in `cargo xtask test`, and which they are follows from the code alone.
const SHORT: u32 = 2000;

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        bail!("found `{unknown}`, wanted one of {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let until = options.runs.map_or(Until::Seconds(options.time), Until::Runs);
    let program = build()?;
    let mut broken = Vec::new();
    for name in chosen {
        // It grows from one time to the next.
        let kept = made(&target().join("fuzz/corpus").join(name))?;
        let mut fuzz = fuzz(&program, name, &kept, until)?;
        if !fuzz
            .arg("-print_final_stats=1")
            .status()
            .with_context(|| format!("cannot start {fuzz:?}"))?
            .success()
        {
            broken.push(name.as_str());
        }
    }
    match broken.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        broken => {
            bail!("these broke: {}\nhint: {}", broken.join(", "), hint())
        }
    }
}

/// The short form, the same each time.
pub fn short() -> Result<Tally> {
    let program = build()?;
    let mut tally = Tally::default();
    for name in targets()? {
        let kept = target().join("fuzz/short").join(&name);
        if kept.exists() {
            fs::remove_dir_all(&kept).with_context(|| format!("cannot empty {}", kept.display()))?;
        }
        let begun = Instant::now();
        let output = fuzz(&program, &name, &made(&kept)?, Until::Runs(SHORT))?
            .args(["-seed=1", "-verbosity=0"])
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (word, one) = match output.status.success() {
            true => ("ok", Tally { passed: 1, failed: 0 }),
            false => ("FAILED", Tally::FAILURE),
        };
        println!("fuzz {name} ... {word} ({SHORT} texts in {:.1} s)", begun.elapsed().as_secs_f32());
        if one.failed > 0 {
            println!("{}\nhint: {}", String::from_utf8_lossy(&output.stderr).trim(), hint());
        }
        tally += one;
    }
    Ok(tally)
}

/// libFuzzer with a target: what it finds goes to `kept`, what is committed is read.
fn fuzz(program: &Path, name: &str, kept: &Path, until: Until) -> Result<Command> {
    let broken = made(&target().join("fuzz/broken"))?;
    let mut fuzz = Command::new(program);
    fuzz.env("DRIFTD_FUZZ", name).arg(kept).arg(corpus().join(name));
    fuzz.arg(match until {
        Until::Runs(runs) => format!("-runs={runs}"),
        Until::Seconds(seconds) => format!("-max_total_time={seconds}"),
    });
    // Longer is none of the corpus, and no text may take ten seconds: a thousandth is more than most.
    fuzz.args(["-max_len=4096", "-timeout=10"]);
    fuzz.arg(format!("-artifact_prefix={}/{name}-", broken.display()));
    Ok(fuzz)
}

fn hint() -> String {
    format!(
        "the texts that did it are in {}; put each into tests/fuzz/corpus under its target, and \
         `cargo test --package driftd-fuzz` shows it until it is mended, and for ever after",
        target().join("fuzz/broken").display()
    )
}

/// Builds the program. Only the crates of the workspace are built anew: tests/fuzz/counting says why.
fn build() -> Result<PathBuf> {
    packages::install(&[("c++", "g++")])?;
    let mut cargo = process::cargo();
    cargo.env("RUSTC_WORKSPACE_WRAPPER", root().join("tests/fuzz/counting"));
    // The packages that `cargo xtask test` builds for the scenarios are named too, so that all they depend on is built once.
    cargo.args(["build", "--quiet", "--locked", "--package", "watcher", "--package", "driftd-tests"]);
    cargo.args(["--package", "driftd-fuzz", "--bin", "fuzz", "--features", "driftd-fuzz/libfuzzer"]);
    process::check(&mut cargo)?;
    Ok(target().join("debug/fuzz"))
}

fn corpus() -> PathBuf {
    root().join("tests/fuzz/corpus")
}

/// A directory, made where it is not there.
fn made(directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory.to_owned())
}

/// The names of the targets, in order: each has its corpus.
fn targets() -> Result<Vec<String>> {
    let unlisted = || format!("cannot list {}", corpus().display());
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus()).with_context(unlisted)? {
        names.push(entry.with_context(unlisted)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
