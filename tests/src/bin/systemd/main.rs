//! The scenarios of the packaged unit, in a VM that boots into Debian's systemd: what the manuals tell a person to type,
//! typed. The name of each is its claim. They run one after the other on one host, each on its own account.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a scenario that cannot go on says so and stops, as a test does"
)]

mod applied;
mod host;
mod hub;
mod journal;
mod person;
mod unit;

use std::{fs, panic, process::ExitCode};

use driftd_tests::{guest, mode::in_vm};
use libtest_mimic::{Arguments, ColorSetting, Trial};

/// One claim.
struct Scenario {
    claim: &'static str,
    run: fn(),
}

fn main() -> ExitCode {
    if !in_vm() {
        eprintln!(
            "error: this host is not the VM, and what is tried here changes a host\nhint: `cargo xtask vm --boot 6.1-systemd`"
        );
        return ExitCode::FAILURE;
    }
    guest::begin();
    let verdict = match guest::prepare() {
        Ok(()) if scenarios() => "ok".to_owned(),
        Ok(()) => "failed".to_owned(),
        Err(error) => format!("failed: {error}"),
    };
    guest::end(&verdict);
    ExitCode::FAILURE
}

/// Runs them; whether all passed.
fn scenarios() -> bool {
    let mut arguments = Arguments::from_iter(["scenarios"]);
    // One after the other: there is one host.
    arguments.test_threads = Some(1);
    arguments.color = Some(ColorSetting::Never);
    let filters = filters();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    // First what was so when the host had booted.
    let all = [unit::SCENARIOS, person::SCENARIOS, applied::SCENARIOS, hub::SCENARIOS];
    let trials = all.into_iter().flatten().filter_map(|scenario| {
        let name = format!("systemd::{}", scenario.claim);
        let run = scenario.run;
        wanted(&name).then(|| {
            Trial::test(name, move || {
                run();
                Ok(())
            })
        })
    });
    // The runner prints what a panic says; where it was is all there is to add, and a backtrace would bury both.
    panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => println!("panicked at {place}"),
        None => println!("panicked"),
    }));
    !libtest_mimic::run(&arguments, trials.collect()).has_failed()
}

/// What the host asked for: what stands behind `--` on the kernel's command line.
fn filters() -> Vec<String> {
    let line = fs::read_to_string("/proc/cmdline").expect("procfs is mounted");
    let asked = line.split_once(" -- ").map_or("", |(_, asked)| asked);
    asked.split_whitespace().map(str::to_owned).collect()
}
