//! What happens in another namespace is not this host's drift; what reaches this host from there is.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, Sysctl},
    mode::Mode,
};

use serde_json::Value;

use crate::{Needs, Scenario, sysctls::assert_is_me};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_sysctl_written_in_another_network_namespace_opens_nothing_here",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: sysctls_elsewhere,
    },
    Scenario {
        claim: "an_mtu_set_in_another_network_namespace_opens_nothing_here",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::Netlink],
        needs: Needs::Root,
        run: mtu_elsewhere,
    },
    Scenario {
        claim: "a_descriptor_opened_here_and_written_from_another_network_namespace_is_drift_here",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: descriptor_carried_away,
    },
    Scenario {
        claim: "writes_in_another_network_namespace_are_counted_and_shown_only_when_asked_for",
        modes: &Mode::HOOKS,
        needs: Needs::Root,
        run: foreign_writes,
    },
];

fn sysctls_elsewhere(mode: Mode) {
    const KEYS: [&str; 3] = ["net.ipv4.ip_forward", "net.core.somaxconn", "net.ipv4.conf.lo.rp_filter"];
    let sysctls = KEYS.map(Sysctl::of);
    let mut index = 0;
    let rules = sysctls.each_ref().map(|sysctl| {
        index += 1;
        expect(&format!("rule{index}"), KEYS[index - 1], &sysctl.original)
    });
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    host::in_new_network(|| {
        for sysctl in &sysctls {
            sysctl.write(if sysctl.original == "1" { "0" } else { "1" });
        }
    });
    driftd.fence();
    for (key, sysctl) in KEYS.into_iter().zip(&sysctls) {
        assert_eq!(host::read(sysctl.path()), sysctl.original, "{key} is another one there");
        driftd.assert_nothing_happened_to(key);
    }
}

fn mtu_elsewhere(mode: Mode) {
    let mtu = host::read("/sys/class/net/lo/mtu".as_ref());
    let home = Home::new(mode, &Settings::rules(&[expect("mtu", "link.lo.mtu", &mtu)]));
    let mut driftd = home.start();
    host::in_new_network(|| host::set_mtu_of_lo(1400));
    assert_eq!(host::read("/sys/class/net/lo/mtu".as_ref()), mtu, "this is another lo");
    driftd.fence();
    driftd.assert_nothing_happened_to("link.lo.mtu");
}

fn descriptor_carried_away(mode: Mode) {
    const KEY: &str = "net.core.somaxconn";
    let somaxconn = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("somaxconn", KEY, &somaxconn.original)]));
    let mut driftd = home.start();
    let other = if somaxconn.original == "4097" { "4098" } else { "4097" };
    host::write_from_new_network(somaxconn.path(), other).expect("root may write");
    let opened = driftd.wait_for_opened(KEY, other);
    assert_is_me(&opened["writer"]);
    somaxconn.restore();
    driftd.wait_for_healed(KEY);
}

fn foreign_writes(mode: Mode) {
    const KEY: &str = "net.core.somaxconn";
    let somaxconn = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("somaxconn", KEY, &somaxconn.original)]));
    let elsewhere = || host::in_new_network(|| somaxconn.write("4097"));

    let mut driftd = home.start();
    elsewhere();
    driftd.fence();
    let status = home.command(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("the status is JSON");
    assert_eq!(status["foreign"], 1, "{status}");
    assert!(!driftd.log().contains("another namespace"));

    let mut driftd = home.start_with(&["--foreign"]);
    elsewhere();
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
    let log = driftd.log();
    assert!(log.contains("another namespace") && log.contains("somaxconn"), "{log}");
}
