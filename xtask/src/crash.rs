//! `cargo xtask crash`: the long form of watcher/tests/crash/. It kills the daemon at random points, many times over.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::process;

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How often it is killed
    #[arg(default_value_t = 1000)]
    kills: u32,
}

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    if !process::is_root() {
        println!("not root: no value changes while it runs, and findings come of changed rules alone");
    }
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--package", "watcher", "--test", "crash", "--", "--nocapture"]);
    process::check(cargo.env("DRIFTD_KILLS", options.kills.to_string()))?;
    Ok(ExitCode::SUCCESS)
}
