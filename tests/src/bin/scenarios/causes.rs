//! Why a key departs, where that is neither a plain write nor a deployment's own: a write of another key set it too, the
//! kernel made something else of the right value, a deployment left it wrong, it came up wrong, nobody can be named.

use std::process;

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{Link, Sysctl},
    mode::Mode,
};

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_key_that_a_write_of_its_counterpart_set_to_0_names_that_key_and_its_writer",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: counterpart,
    },
    Scenario {
        claim: "forwarding_of_an_interface_that_a_write_of_ip_forward_set_names_that_key_and_its_writer",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: forwarding,
    },
    Scenario {
        claim: "a_right_value_of_which_the_kernel_made_another_is_clamped_and_not_drift_of_its_writer",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: clamped,
    },
    Scenario {
        claim: "what_a_deployment_left_wrong_is_found_at_its_end_as_not_applied",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: not_applied,
    },
    Scenario {
        claim: "an_interface_that_comes_up_wrong_appeared_late",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: appeared_late,
    },
];

const RATIO: &str = "vm.dirty_ratio";

fn counterpart(mode: Mode) {
    // Put back in the other order: writing 0 to either sets the other to 0.
    let ratio = Sysctl::of(RATIO);
    let bytes = Sysctl::of("vm.dirty_bytes");
    assert_ne!(ratio.original, "0", "this kernel counts by the ratio, as all do by default");
    let home = Home::new(mode, &Settings::rules(&[expect("dirty", RATIO, &ratio.original)]));
    let mut driftd = home.start();
    driftd.mark();
    bytes.write("104857600");
    let opened = driftd.wait_for_opened(RATIO, "0");
    assert_eq!(opened["cause"], "coupled key", "{opened}");
    assert_eq!(opened["writer"]["pid"], process::id(), "{opened}");
    assert_eq!(opened["detail"], "a write of vm.dirty_bytes sets it too", "{opened}");
    ratio.restore();
    driftd.wait_for_healed(RATIO);
}

fn forwarding(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let key = format!("net.ipv4.conf.{}.forwarding", link.name);
    let switch = Sysctl::of("net.ipv4.ip_forward");
    switch.write("0");
    let home = Home::new(mode, &Settings::rules(&[expect("forwarding", &key, "0")]));
    let mut driftd = home.start();
    driftd.mark();
    switch.write("1");
    let opened = driftd.wait_for_opened(&key, "1");
    assert_eq!(opened["cause"], "coupled key", "{opened}");
    assert_eq!(opened["writer"]["pid"], process::id(), "{opened}");
}

fn clamped(mode: Mode) {
    // The kernel rounds it up to a power of two (net/core/sysctl_net_core.c, `rps_sock_flow_sysctl`).
    const KEY: &str = "net.core.rps_sock_flow_entries";
    let entries = Sysctl::of(KEY);
    let rule = format!("entries: {{ keys: {KEY}, one_of: [{}, 1000] }}", entries.original);
    let home = Home::new(mode, &Settings::rules(&[rule]));
    let mut driftd = home.start();
    driftd.mark();
    entries.write("1000");
    let opened = driftd.wait_for_opened(KEY, "1024");
    assert_eq!(opened["cause"], "kernel clamped", "{opened}");
    assert_eq!(opened["requested"], "1000", "{opened}");
    // A wrong value is its writer's, whatever the kernel makes of it.
    entries.restore();
    driftd.wait_for_healed(KEY);
    driftd.mark();
    entries.write("3000");
    let opened = driftd.wait_for_opened(KEY, "4096");
    assert_eq!(opened["cause"], "unknown", "{opened}");
}

fn not_applied(mode: Mode) {
    const KEY: &str = "vm.swappiness";
    let swappiness = Sysctl::of(KEY);
    let other = if swappiness.original == "61" { "62" } else { "61" };
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start();
    let message = |phase: &str| format!(r#"{{"commit":"aaaaaa","app":"web","id":"1","phase":"{phase}"}}"#);
    let started = driftd.post("", &message("started"));
    assert_eq!(started.status, 202, "{started:?}");
    driftd.mark();
    swappiness.write(other);
    driftd.wait_for_kind("change", KEY);
    let finished = driftd.post("?wait=30", &message("finished"));
    assert_eq!(finished.status, 409, "{finished:?}");
    let finding = &finished.body["findings"][0];
    assert_eq!(finding["cause"], "the deploy did not apply", "{finding}");
    assert_eq!(finding["commit"], "aaaaaa", "{finding}");
}

fn appeared_late(mode: Mode) {
    let rules = ["late: { keys: link.driftd*.mtu, expect: 1300 }".to_owned()];
    let settings =
        Settings { sweep: crate::links::swept_only_without_netlink(mode), ..Settings::rules(&rules) };
    let home = Home::new(mode, &settings);
    let mut driftd = home.start();
    driftd.mark();
    let link = Link::with_mtu("driftd0", 1400).expect("an interface can be made");
    let opened = driftd.wait_for_opened(&link.key(), "1400");
    assert_eq!(opened["cause"], "appeared late", "{opened}");
    assert_eq!(opened["declared_by"]["file"].as_str().map(|file| file.ends_with(".yaml")), Some(true));
}
