//! The scenarios: what driftd promises, tried on a real kernel. The name of each is its claim; before it stands the
//! plan it is tried under. In the VM every scenario runs. On a developer's machine those run that it allows, and one
//! line says what is left out and why.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a scenario that cannot go on says so and stops, as a test does"
)]

mod absences;
mod authority;
mod blindness;
mod boot;
mod bypass;
mod causes;
mod deployments;
mod fights;
mod harness;
mod incident;
mod lifecycle;
mod links;
mod lockdown;
mod losses;
mod namespaces;
mod peers;
mod pressure;
mod privileges;
mod remedies;
mod sinks;
mod store;
mod storms;
mod sysctls;

use std::{
    env, panic,
    process::{Command, ExitCode},
};

use driftd_tests::{
    host::{self, Link},
    mode::{Mode, in_vm},
};
use libtest_mimic::{Arguments, ColorSetting, Trial};

/// One claim, and the modes it must hold in.
struct Scenario {
    claim: &'static str,
    modes: &'static [Mode],
    needs: Needs,
    run: fn(Mode),
}

/// What a scenario needs of the machine besides its mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: any user may run it.
    Nothing,
    /// Root, as whoever writes sysctls must be.
    Root,
    /// An interface of its own.
    Link,
    /// A bond.
    Bond,
    /// An io_uring.
    Ring,
    /// Git, and nothing else: the VM that boots no more than PID 1 has no programs.
    Git,
    /// A kernel of its own: it is no longer the same for others meanwhile.
    Vm,
}

impl Needs {
    /// Why this machine cannot offer it, if it cannot. In the VM all is there, or its scenarios fail.
    fn missing(self) -> Option<&'static str> {
        if self == Needs::Git {
            let git = Command::new("git").arg("--version").output();
            return git.is_err().then_some("there is no git");
        }
        if in_vm() {
            return None;
        }
        match self {
            Needs::Root | Needs::Link | Needs::Bond | Needs::Ring
                if !rustix::process::geteuid().is_root() =>
            {
                Some("not root")
            }
            Needs::Link if Link::new("driftd9").is_err() => Some("this kernel has neither dummy nor veth"),
            Needs::Vm => Some("it changes the kernel for all"),
            Needs::Bond if Link::bond("driftd9", &[]).is_err() => Some("this kernel has no bonding"),
            Needs::Ring if !host::has_rings() => Some("there is no io_uring to be had"),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    if let Some(code) =
        host::confine().or_else(host::rewrite).or_else(host::act).or_else(host::serve).or_else(host::press)
    {
        return code;
    }
    let (options, filters): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let mut arguments = Arguments::from_iter(["scenarios".to_owned()].into_iter().chain(options));
    // One after the other: all change the one kernel there is.
    arguments.test_threads = Some(1);
    arguments.color.get_or_insert(ColorSetting::Never);

    let all = [
        // First: it is about the boot, and driftd must see that it was not long ago.
        boot::SCENARIOS,
        harness::SCENARIOS,
        sysctls::SCENARIOS,
        storms::SCENARIOS,
        bypass::SCENARIOS,
        causes::SCENARIOS,
        links::SCENARIOS,
        absences::SCENARIOS,
        namespaces::SCENARIOS,
        losses::SCENARIOS,
        blindness::SCENARIOS,
        pressure::SCENARIOS,
        lifecycle::SCENARIOS,
        store::SCENARIOS,
        sinks::SCENARIOS,
        privileges::SCENARIOS,
        fights::SCENARIOS,
        remedies::SCENARIOS,
        deployments::SCENARIOS,
        authority::SCENARIOS,
        peers::SCENARIOS,
        incident::SCENARIOS,
        // After it nothing reads the kernel's memory any more.
        lockdown::SCENARIOS,
    ];
    let mut trials = Vec::new();
    let mut left_out: Vec<(&str, usize)> = Vec::new();
    for scenario in all.into_iter().flatten() {
        for &mode in scenario.modes {
            let name = format!("{mode}::{}", scenario.claim);
            if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
                continue;
            }
            if let Some(why) = mode.missing().or_else(|| scenario.needs.missing()) {
                match left_out.iter_mut().find(|(reason, _)| *reason == why) {
                    Some((_, count)) => *count += 1,
                    None => left_out.push((why, 1)),
                }
                continue;
            }
            let run = scenario.run;
            trials.push(Trial::test(name, move || {
                run(mode);
                Ok(())
            }));
        }
    }
    // The runner prints what a panic says; where it was is all there is to add, and a backtrace would bury both.
    panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => println!("panicked at {place}"),
        None => println!("panicked"),
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (why, count) in left_out {
        println!("{count} scenarios left out here: {why}; the VM runs them");
    }
    conclusion.exit_code()
}
