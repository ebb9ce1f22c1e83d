//! What is lost is told and swept: it costs time, and never leaves a wrong state.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{StuckWriters, Sysctl},
    mode::Mode,
};
use rustix::process::Signal;

use crate::{Needs, Scenario};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "of_20000_writes_through_a_ring_of_one_page_the_loss_is_told_and_the_last_value_found",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: burst,
    },
    Scenario {
        claim: "twenty_writers_stuck_in_the_kernel_hide_nobody_elses_write",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: stuck_writers,
    },
    Scenario {
        claim: "twenty_writers_stuck_in_the_kernel_cost_fexit_nothing",
        modes: &[Mode::Fexit],
        needs: Needs::Root,
        run: stuck_writers_cost_nothing,
    },
];

fn burst(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let rules = [expect("swappiness", KEY, &swappiness.original)];
    let home = Home::new(mode, &Settings { ring: 4096, ..Settings::rules(&rules) });
    let mut driftd = home.start();
    // Stopped, so that the ring is sure to be full; that it is read while it fills is the other scenarios' case.
    driftd.signal(Signal::STOP);
    for round in 0..20_000 {
        swappiness.write(if round % 2 == 0 { "61" } else { "62" });
    }
    swappiness.write("77");
    driftd.signal(Signal::CONT);
    driftd.wait_for_opened(KEY, "77");
    let loss = driftd.wait_for("a loss", |line| line["kind"] == "loss");
    assert!(loss["count"].as_u64().is_some_and(|count| count > 10_000), "{loss}");
    driftd.wait_for("the sweep after it", |line| line["kind"] == "sweep" && line["reason"] == "loss");
    swappiness.restore();
    driftd.wait_for_healed(KEY);
}

fn stuck_writers(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start();
    let stuck = StuckWriters::start(20, Sysctl::of("vm.page-cluster").path());
    driftd.mark();
    let other = if swappiness.original == "61" { "62" } else { "61" };
    swappiness.write(other);
    driftd.wait_for_opened(KEY, other);
    driftd.wait_for("the loss of the result", |line| line["kind"] == "loss");
    driftd.wait_for("the sweep after it", |line| line["kind"] == "sweep" && line["reason"] == "loss");
    drop(stuck);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
}

fn stuck_writers_cost_nothing(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]));
    let mut driftd = home.start();
    // They write a key that is not declared: no result of theirs is waited for.
    let stuck = StuckWriters::start(20, Sysctl::of("vm.page-cluster").path());
    driftd.mark();
    let other = if swappiness.original == "61" { "62" } else { "61" };
    swappiness.write(other);
    assert_eq!(driftd.wait_for_opened(KEY, other)["seen_by"], "fexit");
    driftd.fence();
    assert!(driftd.said().iter().all(|line| line["kind"] != "loss"), "a result was lost");
    drop(stuck);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
}
