//! `cargo xtask bench`: builds driftd as it is released, has it measured (tests/src/bin/bench), side by side with what
//! it is compared with, and writes docs/benchmarks.md. It reports: no figure of it makes anything fail.

mod page;

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::page::Machine;
use crate::{
    packages::{self, Needed},
    process,
};

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A short run, that is printed and not written down
    #[arg(long)]
    quick: bool,
    /// Leave the VM out, and with it the cost of kprobes
    #[arg(long)]
    no_vm: bool,
    /// Measure an audit watch here too, and not in the VM alone. New processes of this machine then pay for audit until
    /// it is booted again
    #[arg(long)]
    audit: bool,
    /// The plan to measure here
    #[arg(long, default_value = "cgroup")]
    plan: String,
    /// Only these measurements, printed and not written down [default: all]
    only: Vec<String>,
}

/// What is measured here, in this order (tests/src/bin/bench/main.rs).
const MEASUREMENTS: [&str; 13] = [
    "start", "load", "latency", "revert", "cost", "sweep", "many", "deliver", "door", "burst", "idle", "day",
    "ask",
];

/// The plans whose cost is measured in the VM.
const VM_PLANS: &str = "kprobe,fexit,cgroup";

/// What driftd is measured beside.
const NEEDED: [Needed; 1] = [("webhook", "webhook")];

/// Figures by name. The name ends with the unit.
type Figures = BTreeMap<String, f64>;

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    ensure!(
        process::is_root(),
        "not root: driftd could load no program, and no sysctl could be written\n\
         hint: `sudo -E $(command -v cargo) xtask bench`"
    );
    packages::install(&NEEDED)?;
    let all: Vec<String> = MEASUREMENTS.map(str::to_owned).to_vec();
    let names = if options.only.is_empty() { &all } else { &options.only };
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "watcher", "--package", "driftd-tests"]);
    process::check(cargo.args(["--bin", "driftd", "--bin", "bench"]))?;
    // Before the first measurement: what it then shows is others' load.
    let mut machine = Machine::this(&options.plan)?;
    if options.quick {
        machine.facts.push("a short run: fewer samples, and fewer idle seconds".to_owned());
    }

    let mut words = names.clone();
    words.push(format!("plans={}", options.plan));
    words.extend(options.quick.then(|| "quick".to_owned()));
    words.extend(options.audit.then(|| "audit".to_owned()));
    // Below target/, which is on a disk: the store is to wait for one as it does where it is used.
    let scratch = crate::target().join("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let mut bench = Command::new(crate::target().join("release/bench"));
    bench.args(&words).env("TMPDIR", &scratch);
    let (here, ok) = figures_of(&mut bench)?;
    ensure!(ok, "a measurement could not go on");

    let mut guest = Figures::new();
    if !options.no_vm && names.iter().any(|name| name == "cost") {
        let mut vm = Command::new(env::current_exe().context("this program has no path")?);
        // Always a short run: under emulation a whole one takes longer than all else together.
        vm.args(["vm", "--program", "bench", "cost", "audit", "quick", &format!("plans={VM_PLANS}")]);
        let (figures, ok) = figures_of(&mut vm)?;
        ensure!(ok, "the measurement in the VM could not go on");
        guest = figures;
    }
    let text = page::page(&machine, &here, &guest);
    let path = crate::root().join("docs/benchmarks.md");
    if options.quick || !options.only.is_empty() {
        println!("\n{text}");
    } else {
        let kept = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, page::with_kept(&text, &kept))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\n{text}\nwritten to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a program that tells figures; these, and whether it ended well.
fn figures_of(command: &mut Command) -> Result<(Figures, bool)> {
    let mut figures = Figures::new();
    let ok = process::watch(command, |line| figures.extend(figure(line)))?;
    Ok((figures, ok))
}

/// The figure of a line `bench: NAME NUMBER`. Before what a guest says, `cargo xtask vm` says which guest.
fn figure(line: &str) -> Option<(String, f64)> {
    let line = line.split_once(" | ").map_or(line, |(_, line)| line);
    let (name, number) = line.trim().strip_prefix("bench: ")?.split_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_line_of_its_own() {
        for line in ["bench: latency.p50_ns 871.5", "6.1 | bench: latency.p50_ns 871.5\r"] {
            assert_eq!(figure(line), Some(("latency.p50_ns".to_owned(), 871.5)));
        }
        for other in ["", "bench: ", "bench: latency", "bench: latency fast", "x bench: latency 1"] {
            assert_eq!(figure(other), None, "{other}");
        }
    }
}
