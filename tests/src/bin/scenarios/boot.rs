//! What was so before driftd looked for the first time: the kernel set it at the boot, and nobody can be blamed.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    claim: "a_sysctl_set_on_the_kernels_command_line_is_found_at_the_first_look_and_blamed_on_nobody",
    modes: &Mode::ALL,
    needs: Needs::Vm,
    run: command_line,
}];

/// The sysctl that every boot sets (xtask/src/qemu.rs).
const SYSCTL: &str = "vm.vfs_cache_pressure";

/// What it is where nobody sets it.
const DEFAULT: &str = "100";

fn command_line(mode: Mode) {
    let words = host::read("/proc/cmdline".as_ref());
    let set = words.split_whitespace().find_map(|word| {
        let (key, value) = word.strip_prefix("sysctl.")?.split_once('=')?;
        (key == SYSCTL).then_some(value)
    });
    let set = set.unwrap_or_else(|| panic!("nothing sets {SYSCTL} in `{words}`"));
    assert_ne!(set, DEFAULT, "what sets it changes it");
    let sysctl = Sysctl::of(SYSCTL);
    let home = Home::new(mode, &Settings::rules(&[expect("pressure", SYSCTL, DEFAULT)]));
    let mut driftd = home.start();
    let opened = driftd.wait_for_opened(SYSCTL, set);
    assert_eq!(opened["cause"], "never in force since boot", "{opened}");
    assert_eq!(opened["seen_by"], "sweep", "{opened}");
    assert_eq!(opened["writer"], Value::Null, "{opened}");
    sysctl.write(DEFAULT);
    driftd.wait_for_healed(SYSCTL);
}
