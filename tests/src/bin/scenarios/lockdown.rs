//! A kernel locked down for confidentiality: nothing may read its memory, and driftd does with less. There is no way back
//! from it, so these come last.

use std::fs;

use driftd_tests::{
    daemon::{Home, Settings, driftd, expect},
    host::Sysctl,
    mode::Mode,
};

use crate::{Needs, Scenario};

/// The claims.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "locked_down_for_confidentiality_the_program_without_memory_still_tells_of_writes",
        modes: &[Mode::Cgroup],
        needs: Needs::Vm,
        run: tells_of_writes,
    },
    Scenario {
        claim: "locked_down_for_confidentiality_a_hook_is_refused_and_the_next_plan_is_taken",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: next_plan,
    },
];

/// Locks the kernel down; a second time it would be refused.
fn lock_down() {
    const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
    let now = fs::read_to_string(LOCKDOWN).expect("our PID 1 mounted securityfs");
    if !now.contains("[confidentiality]") {
        fs::write(LOCKDOWN, "confidentiality").expect("the kernel can be locked down");
    }
}

fn tells_of_writes(mode: Mode) {
    lock_down();
    let swappiness = Sysctl::of("vm.swappiness");
    let home =
        Home::new(mode, &Settings::rules(&[expect("swappiness", "vm.swappiness", &swappiness.original)]));
    let mut driftd = home.start();
    let start = driftd.wait_for("the start", |line| line["kind"] == "start");
    swappiness.write("61");
    let opened = driftd.wait_for_opened("vm.swappiness", "61");
    assert_eq!(opened["seen_by"], "cgroup");
    let reasons = start["reasons"].to_string();
    assert!(reasons.contains("locked down for confidentiality"), "{reasons}");
    // Before 6.1 no helper names the task in a program of this kind, and then nobody is named.
    match reasons.contains("writers are not known") {
        true => assert!(opened["writer"].is_null(), "{opened}"),
        false => assert_eq!(opened["writer"]["pid"], std::process::id(), "{opened}"),
    }
    swappiness.restore();
    driftd.wait_for_healed("vm.swappiness");
    assert!(driftd.said().iter().all(|line| line["kind"] != "loss"), "nothing was lost, and it is not blind");
}

fn next_plan(mode: Mode) {
    lock_down();
    let output = driftd().arg("doctor").output().expect("driftd can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    for wanted in [
        "sysctls are watched by cgroup",
        &format!("no {mode}: the kernel is locked down for confidentiality"),
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
}
