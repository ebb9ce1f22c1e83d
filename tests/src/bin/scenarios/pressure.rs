//! Pressure: PSI triggers say that it rises, a look at it now and then that it fell, and while neither is so nobody is
//! awake.

use std::{fs, path::Path, thread, time::Duration};

use driftd_tests::{
    daemon::{Daemon, Home, Settings, is_healed, is_opened},
    host::{self, ChildCgroup, Pressure, SmallDisk, Stalled},
    mode::Mode,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "pressure_that_rises_in_a_cgroup_is_a_finding_at_once_and_heals_when_it_fell",
        modes: &[Mode::Kprobe, Mode::Netlink, Mode::None],
        needs: Needs::Vm,
        run: risen,
    },
    Scenario {
        claim: "while_nothing_happens_to_guarded_pressure_nothing_is_awake",
        modes: &[Mode::Cgroup],
        needs: Needs::Vm,
        run: asleep,
    },
    Scenario {
        claim: "pressure_of_a_cgroup_that_goes_is_gone_at_once_and_guarded_again_when_it_is_back",
        modes: &[Mode::Kprobe],
        needs: Needs::Vm,
        run: gone,
    },
    Scenario {
        claim: "where_no_pressure_is_measured_that_is_said_and_its_keys_are_absent",
        modes: &[Mode::Kprobe],
        needs: Needs::Vm,
        run: unmeasured,
    },
];

/// A rule that lets an average be so many percent, and its key.
fn at_most(cgroup: &ChildCgroup, average: &str, max: u32) -> (String, String) {
    let key = format!("{}/{average}", cgroup.path().display());
    (format!("pressure: {{ keys: \"{key}\", max: {max} }}"), key)
}

#[track_caller]
fn wait_for_rise(driftd: &mut Daemon<'_>, key: &str) -> Value {
    driftd.wait_for(&format!("a finding that {key} rose"), |line| is_opened(line, key))
}

/// How a rise is noticed. Without probes the sweep, once a second, finds it.
fn seen_by(mode: Mode) -> &'static str {
    if mode == Mode::None { "sweep" } else { "psi" }
}

fn risen(mode: Mode) {
    let cgroup = ChildCgroup::new();
    cgroup.offer("memory");
    fs::write(cgroup.path().join("memory.high"), "4M").expect("root may limit a cgroup");
    for (pressure, average) in
        [(Pressure::Cpu, "cpu.pressure:some.avg10"), (Pressure::Memory, "memory.pressure:some.avg10")]
    {
        let (rule, key) = at_most(&cgroup, average, 15);
        // Where triggers are, no sweep may find first what they should have found.
        let sweep = (mode != Mode::None).then_some("1h");
        let home = Home::new(mode, &Settings { sweep, ..Settings::rules(&[rule]) });
        let mut driftd = home.start();
        let start = driftd.wait_from_the_start("the start", |line| line["kind"] == "start");
        assert_eq!(start["pressure"], if mode == Mode::None { "swept" } else { "psi" }, "{start}");
        let stalled = Stalled::start(pressure, cgroup.path());
        let opened = wait_for_rise(&mut driftd, &key);
        assert_eq!(opened["seen_by"], seen_by(mode), "{opened}");
        let percent: f64 =
            opened["actual"].as_str().and_then(|text| text.parse().ok()).expect("it is a number");
        assert!(percent > 15.0, "{opened}");
        // Told when it came to be too much, and not when a sweep came by: it rises by a fifth of what is left.
        assert!(percent < 50.0, "{opened}");
        drop(stalled);
        driftd.wait_for_healed(&key);
    }
}

fn asleep(mode: Mode) {
    let cgroup = ChildCgroup::new();
    let (rule, key) = at_most(&cgroup, "cpu.pressure:some.avg10", 15);
    let home = Home::new(mode, &Settings::rules(&[rule]));
    let mut driftd = home.start();
    // It was awake, and all that follows from it is over; so is what the start leaves to be done.
    let stalled = Stalled::start(Pressure::Cpu, cgroup.path());
    wait_for_rise(&mut driftd, &key);
    drop(stalled);
    driftd.wait_for_healed(&key);
    driftd.fence();
    // What is measured is a time in which nothing happens: there is nothing to wait for. The looks at what has just
    // healed, and what was still to be written of it, are over after some of it.
    thread::sleep(Duration::from_secs(6));
    let before = host::switches(driftd.pid());
    thread::sleep(Duration::from_secs(10));
    let after = host::switches(driftd.pid());
    assert_eq!(after - before, 0, "somebody was awake");
}

fn gone(mode: Mode) {
    let cgroup = ChildCgroup::new();
    let (rule, key) = at_most(&cgroup, "cpu.pressure:some.avg10", 15);
    let home = Home::new(mode, &Settings::rules(&[rule]));
    let mut driftd = home.start();
    drop(cgroup);
    let opened = wait_for_rise(&mut driftd, &key);
    assert_eq!((&opened["actual"], &opened["seen_by"]), (&Value::Null, &"psi".into()), "{opened}");
    let cgroup = ChildCgroup::new();
    driftd.signal(Signal::HUP);
    driftd.wait_for("it to be back", |line| is_healed(line, &key));
    driftd.mark();
    let _stalled = Stalled::start(Pressure::Cpu, cgroup.path());
    let opened = wait_for_rise(&mut driftd, &key);
    assert_eq!(opened["seen_by"], "psi", "{opened}");
}

fn unmeasured(mode: Mode) {
    // As with `psi=0`: nothing is there.
    let _nothing = SmallDisk::mount(Path::new("/proc/pressure"), 4096);
    let key = "/proc/pressure/memory:some.avg10";
    let home = Home::new(mode, &Settings::rules(&[format!("pressure: {{ keys: \"{key}\", max: 15 }}")]));
    let mut driftd = home.start();
    let start = driftd.wait_from_the_start("the start", |line| line["kind"] == "start");
    assert_eq!(start["pressure"], "swept", "{start}");
    let reasons = start["reasons"].to_string();
    assert!(
        reasons.contains("no PSI triggers: the kernel measures no pressure\\nhint: boot with `psi=1`"),
        "{start}"
    );
    let absent = driftd.wait_from_the_start("its finding", |line| is_opened(line, key));
    assert_eq!(absent["actual"], Value::Null, "{absent}");
}
