//! What was so before driftd looked for the first time: the kernel set it at the boot, and nobody can be blamed.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, Service, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{
    Needs, Scenario,
    peers::{assert_declared, declared_from, tree},
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_sysctl_set_on_the_kernels_command_line_is_found_at_the_first_look_and_blamed_on_nobody",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: command_line,
    },
    Scenario {
        claim: "what_a_profile_of_tuned_overrode_at_the_boot_was_never_in_force",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: overridden,
    },
];

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

/// confluentinc/cp-ansible#1362: sysctl.d says 1, and after a reboot it is 30, as TuneD's virtual-guest has it.
fn overridden(mode: Mode) {
    const KEY: &str = "vm.swappiness";
    let swappiness = Sysctl::of(KEY);
    let tree = tree(&[("99-kafka.conf", "# Kafka\nvm.swappiness = 1\n")]);
    let tuned = Service::new("tuned.service", "tuned");
    for (service, value) in
        [(&Service::new("systemd-sysctl.service", "systemd-sysctl"), "1\n"), (&tuned, "30")]
    {
        service.write(&[(swappiness.path(), value)]);
    }
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&[]) });
    let mut driftd = home.start();
    let opened = driftd.wait_for_opened(KEY, "30");
    assert_eq!((&opened["expected"], &opened["cause"]), (&"1".into(), &"never in force since boot".into()));
    assert_eq!((&opened["writer"], &opened["commit"]), (&Value::Null, &Value::Null), "{opened}");
    assert_declared(&opened, "99-kafka.conf", 2);
    swappiness.write("1");
    driftd.wait_for_healed(KEY);
}
