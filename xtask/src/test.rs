//! `cargo xtask test`: every test there is, in the order of how quickly it tells: the unit tests, the fuzz targets for a
//! moment, the scenarios on the kernel of this machine as far as it allows, the scenarios on Debian's kernels in a VM.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    fuzz,
    packages::{self, Needed},
    process,
    tally::Tally,
    vm,
};

/// What the tests of driftd run: those who deliver, who look at the page, and who read the metrics.
const NEEDED: [Needed; 4] =
    [("chromium", "chromium"), ("curl", "curl"), ("openssl", "openssl"), ("promtool", "prometheus")];

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Leave the VM out
    #[arg(long)]
    no_vm: bool,
    /// Write what came of the VM to docs/kernels.md, as `cargo xtask vm --all --write` does
    #[arg(long, conflicts_with = "no_vm")]
    write: bool,
}

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    packages::install(&NEEDED)?;
    let mut closing = Vec::new();
    let mut total = Tally::default();

    let tally = counted(process::cargo().args(["test", "--locked", "--no-fail-fast"]))?;
    closing.push(format!("unit tests: {tally}"));
    total += tally;

    let tally = fuzz::short()?;
    closing.push(format!("fuzz targets, for a moment: {tally}"));
    total += tally;

    let tally = scenarios_here()?;
    closing.push(format!("scenarios on this kernel: {tally}"));
    total += tally;

    if options.no_vm {
        closing.push("scenarios in a VM: left out, as asked".to_owned());
    } else {
        let report = vm::boot_all(&vm::Options::all(options.write))?;
        closing.extend(report.closing);
        total += report.tally;
    }

    println!();
    for line in closing {
        println!("{line}");
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the daemon and the scenarios and runs these on this machine's own kernel. They say themselves what it
/// does not offer.
fn scenarios_here() -> Result<Tally> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--locked", "--package", "watcher", "--package", "driftd-tests"]);
    process::check(cargo.args(["--bin", "driftd", "--bin", "scenarios"]))?;
    counted(&mut Command::new(crate::target().join("debug/scenarios")))
}

/// Runs a runner of tests, and counts. One that fails has at least one failure, whatever it says.
fn counted(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let ok = process::watch(command, |line| tally += Tally::of_line(line).unwrap_or_default())?;
    Ok(if ok { tally } else { tally.failed() })
}
