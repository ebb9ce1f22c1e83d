//! What is lost is told and swept: it costs time, and never leaves a wrong state.

use std::thread;

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, Link, MtuWay, StuckWriters, Sysctl},
    mode::Mode,
};
use rustix::process::Signal;

use crate::{Needs, Scenario, sysctls::home};

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
    Scenario {
        claim: "of_more_news_of_interfaces_than_fit_the_loss_is_told_and_the_last_mtu_found",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::Netlink],
        needs: Needs::Link,
        run: overflow,
    },
    Scenario {
        claim: "writers_of_one_key_together_are_counted_each_or_told_as_lost_and_the_last_value_is_found",
        modes: &Mode::HOOKS,
        needs: Needs::Root,
        run: at_once,
    },
];

/// Changes whose messages are more than the socket of driftd has room for: each takes 2 KiB of it at least, and it has
/// 4 MiB (the kernel doubles what is asked for).
const NEWS: u32 = 4000;

/// Writers at once, and the writes of each.
const WRITERS: usize = 4;
const WRITES: usize = 100;

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
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let stuck = StuckWriters::start(20, Sysctl::of("vm.page-cluster").path());
    driftd.mark();
    let other = swappiness.other();
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
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    // They write a key that is not declared: no result of theirs is waited for.
    let stuck = StuckWriters::start(20, Sysctl::of("vm.page-cluster").path());
    driftd.mark();
    let other = swappiness.other();
    swappiness.write(other);
    assert_eq!(driftd.wait_for_opened(KEY, other)["seen_by"], "fexit");
    driftd.fence();
    assert!(driftd.said().iter().all(|line| line["kind"] != "loss"), "a result was lost");
    drop(stuck);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
}

fn overflow(mode: Mode) {
    let (noise, link) = (Link::new("driftd0").expect("an interface"), Link::new("driftd1").expect("another"));
    let (key, original) = (link.key(), link.mtu());
    let rules = [expect("mtu", &key, &original)];
    // Only what follows a loss may find it.
    let home = Home::new(mode, &Settings { sweep: Some("1h"), ..Settings::rules(&rules) });
    let mut driftd = home.start();
    driftd.signal(Signal::STOP);
    for round in 0..NEWS {
        noise.set_mtu(MtuWay::Netlink, if round % 2 == 0 { 1300 } else { 1301 });
    }
    // There is no room left to tell of this one.
    link.set_mtu(MtuWay::Netlink, 1400);
    driftd.signal(Signal::CONT);
    driftd.wait_for_opened(&key, "1400");
    driftd.wait_for("the loss", |line| {
        line["kind"] == "loss" && line["what"].as_str().is_some_and(|what| what.contains("rtnetlink"))
    });
    driftd.wait_for("the sweep after it", |line| line["kind"] == "sweep" && line["reason"] == "loss");
    // And what comes then is heard again.
    link.set_mtu(MtuWay::Netlink, 1500);
    driftd.wait_for_healed(&key);
}

fn at_once(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let rules = [expect("swappiness", KEY, &swappiness.original)];
    // All of them fit: the writers may be done before driftd has its turn.
    let home = Home::new(mode, &Settings { ring: 4 << 20, ..Settings::rules(&rules) });
    let mut driftd = home.start();
    let path = swappiness.path();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for round in 0..WRITES {
                    // No two at once write the same.
                    let value = (20 + writer * 20 + round % 2).to_string();
                    host::write(path, &value).expect("root may write");
                }
            });
        }
    });
    let last = host::read(path);
    driftd.wait_for("the value that was last", |line| {
        (line["kind"] == "change" || line["kind"] == "finding")
            && line["key"] == KEY
            && line["actual"] == *last
    });
    // Until the results that did not come within a second are told as lost: each fence takes half a second at least.
    (0..4).for_each(|_| driftd.fence());
    let status = home.command(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("the status is JSON");
    let open = status["findings"].as_array().into_iter().flatten().find(|finding| finding["key"] == KEY);
    assert_eq!(open.map(|finding| &finding["actual"]), Some(&last.as_str().into()), "{status:#}");
    // What is gathered for a minute is told when it ends.
    let (_, said) = driftd.terminate();
    let of_key = said.iter().filter(|line| line["key"] == KEY && line["kind"] != "finding");
    let counted: u64 = of_key.filter_map(|line| line["writes"].as_u64()).sum();
    let losses = said.iter().filter(|line| line["kind"] == "loss");
    let lost: u64 = losses.filter_map(|line| line["count"].as_u64()).sum();
    match mode.may_miss() {
        true => assert!(counted + lost >= (WRITERS * WRITES) as u64, "{counted}, {lost}: {said:#?}"),
        false => assert_eq!((counted, lost), ((WRITERS * WRITES) as u64, 0), "{said:#?}"),
    }
}
