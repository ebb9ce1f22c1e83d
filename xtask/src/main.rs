//! What a developer of driftd runs: `cargo xtask COMMAND`. Arguments in, exit code out; one file per command.

mod bench;
mod bpf;
mod claims;
mod crash;
mod fuzz;
mod guest;
mod initramfs;
mod kernels;
mod matrix;
mod modules;
mod packages;
mod process;
mod qemu;
mod run;
mod sources;
mod table;
mod tally;
mod test;
mod tidy;
mod userland;
mod vm;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "What a developer of driftd runs")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build driftd and start it with a development configuration, made on first use under target/dev/
    Run(run::Options),
    /// Run every test: unit tests, the fuzz targets for a moment, the scenarios on this kernel, the scenarios on Debian's kernels in a VM
    Test(test::Options),
    /// Boot Debian's kernels under qemu and run the scenarios there
    Vm(vm::Options),
    /// Build the programs for the kernel, or check that the committed ones are those of the sources
    Bpf(bpf::Options),
    /// Measure driftd, side by side with what it is compared with, and write docs/benchmarks.md
    Bench(bench::Options),
    /// Kill driftd at random points, 1,000 times, and hold what it told and answered against its store
    Crash(crash::Options),
    /// Feed whatever libFuzzer thinks of to every place where bytes come in, and see that nothing breaks
    Fuzz(fuzz::Options),
    /// Check the rules of the repository: who imports whom, and how files look
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Vm(options) => vm::run(&options),
        Command::Bpf(options) => bpf::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> &'static Path {
    // The manifest of this crate is one level below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds, and where all that these commands make is kept.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}
