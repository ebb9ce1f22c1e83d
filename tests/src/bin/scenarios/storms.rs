//! One write that the kernel makes many of: it is one change, and one finding at the most.

use driftd_tests::{
    daemon::{Home, Settings, expect, is_opened},
    host::{self, HeldRtnl, RestartedWrite, Sysctl},
    mode::Mode,
};

use crate::{Needs, Scenario, sysctls::assert_is_me};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    claim: "a_write_that_the_kernel_restarts_a_thousand_times_is_one_change_and_one_finding",
    modes: &Mode::ALL,
    needs: Needs::Vm,
    run: restarted,
}];

/// How often the write is restarted at the least. The teardown of one network namespace did it 65 times.
const RESTARTS: u64 = 1000;

fn restarted(mode: Mode) {
    const KEY: &str = "net.ipv4.ip_forward";
    let forward = Sysctl::of(KEY);
    let value = if forward.original == "1" { "0" } else { "1" };
    let rules = [expect("forward", KEY, &forward.original)];
    // Room for all: what becomes of records that have none is the losses' scenario.
    let home = Home::new(mode, &Settings { ring: 4 * 1024 * 1024, ..Settings::rules(&rules) });
    let mut driftd = home.start();
    let lock = HeldRtnl::take();
    let write = RestartedWrite::start(forward.path(), value);
    write.wait_for_calls(RESTARTS);
    // Each try shows the new value for a moment before it takes it back (`devinet_sysctl_forward`, net/ipv4/devinet.c),
    // and with two processors that can be seen.
    let is_original = |_| host::read(forward.path()) == forward.original;
    assert!((0..100).any(is_original), "nothing was written yet");
    drop(lock);
    write.join();

    let opened = driftd.wait_for_opened(KEY, value);
    assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{opened}");
    if Mode::PROBES.contains(&mode) {
        assert_is_me(&opened["writer"]);
    }
    driftd.fence();
    let said: Vec<_> = driftd.said().iter().filter(|line| line["key"] == KEY).collect();
    let [change, finding] = said.as_slice() else { panic!("a change and a finding: {said:?}") };
    assert!(change["kind"] == "change" && is_opened(finding, KEY), "{said:?}");
    if mode.is_hook() {
        assert_eq!(change["writes"], 1, "what was restarted was no write: {change}");
    }
    forward.restore();
    driftd.wait_for_healed(KEY);
}
