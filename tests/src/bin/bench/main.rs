//! The benchmark: measures driftd from outside and prints one line for each figure. `cargo xtask bench` starts it, on
//! this kernel and in the VM, and writes what it prints to docs/benchmarks.md.
//!
//! Nothing here is a test: no figure has a threshold. Every sysctl that is written gets back the value it had.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on says so and stops, as a test does"
)]

mod audit;
mod burst;
mod cost;
mod daemon;
mod deliver;
mod door;
mod figures;
mod idle;
mod keys;
mod latency;
mod load;
mod revert;
mod start;
mod store;
mod sweep;

use std::{env, process::ExitCode};

/// The sysctl that is written: it rates messages of the kernel's log, takes any number, and belongs to no namespace.
const KEY: &str = "kernel.printk_ratelimit_burst";

/// What is asked for.
struct Asked {
    /// The plans, in the configuration's words.
    plans: Vec<String>,
    /// Whether a short run will do.
    quick: bool,
    /// Whether an audit watch is measured too. What it switches on in the kernel stays until the next boot.
    audit: bool,
}

impl Asked {
    /// The first plan: what is measured under one plan is measured under this.
    fn plan(&self) -> &str {
        self.plans.first().map_or("cgroup", String::as_str)
    }

    /// How often: the first number, or the second where a short run will do.
    fn times<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// One measurement: it tells its figures as it goes.
type Measure = fn(&Asked);

/// What can be measured, by name.
const MEASUREMENTS: [(&str, Measure); 13] = [
    ("start", start::measure),
    ("load", load::measure),
    ("latency", latency::measure),
    ("revert", revert::measure),
    ("cost", cost::measure),
    ("sweep", sweep::measure),
    ("many", sweep::measure_many),
    ("deliver", deliver::measure),
    ("door", door::measure),
    ("burst", burst::measure),
    ("idle", idle::measure),
    ("day", store::measure_day),
    ("ask", store::measure_ask),
];

fn main() -> ExitCode {
    if let Some(code) = cost::write() {
        return code;
    }
    let mut asked = Asked { plans: Vec::new(), quick: false, audit: false };
    let mut names = Vec::new();
    for argument in env::args().skip(1) {
        match argument.split_once('=') {
            None if argument == "quick" => asked.quick = true,
            None if argument == "audit" => asked.audit = true,
            Some(("plans", plans)) => asked.plans = plans.split(',').map(str::to_owned).collect(),
            _ => names.push(argument),
        }
    }
    for name in &names {
        let Some((_, measure)) = MEASUREMENTS.iter().find(|(known, _)| known == name) else {
            let known: Vec<_> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
            eprintln!("error: found `{name}`, wanted one of {}", known.join(", "));
            return ExitCode::from(2);
        };
        measure(&asked);
    }
    // As the runners of tests close, so that the VM knows that all was done.
    println!("test result: ok. {} passed; 0 failed;", names.len());
    ExitCode::SUCCESS
}
