//! Writes of sysctls: each is seen, confirmed and told, whatever way it comes; what changes nothing opens nothing.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, ChildCgroup, ProcMount, Sysctl, Way},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_departure_opens_a_finding_and_its_end_heals_it",
        modes: &Mode::ALL,
        needs: Needs::Root,
        run: opens_and_heals,
    },
    Scenario {
        claim: "a_sysctl_changed_by_write_pwrite_or_writev_is_a_finding_that_names_the_writer",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: every_way,
    },
    Scenario {
        claim: "a_write_through_a_second_procfs_mount_is_the_same_keys",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: second_mount,
    },
    Scenario {
        claim: "a_write_from_a_child_cgroup_is_seen_and_names_the_cgroup",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: child_cgroup,
    },
    Scenario {
        claim: "an_equal_write_is_a_touch_and_opens_nothing",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: equal_write,
    },
    Scenario {
        claim: "a_refused_write_is_a_touch_and_opens_nothing",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: refused_write,
    },
    Scenario {
        claim: "a_value_changed_and_put_back_within_settle_is_a_touch",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: put_back,
    },
];

/// A home whose one rule expects of swappiness what it is.
fn home(mode: Mode, swappiness: &Sysctl) -> Home {
    Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]))
}

/// Two values that are not the present one.
fn others(swappiness: &Sysctl) -> [&'static str; 2] {
    match swappiness.original.as_str() {
        "61" => ["62", "63"],
        "62" => ["61", "63"],
        _ => ["61", "62"],
    }
}

fn opens_and_heals(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let [value, _] = others(&swappiness);
    swappiness.write(value);
    let opened = driftd.wait_for_opened(KEY, value);
    assert_eq!(opened["expected"], swappiness.original, "{opened}");
    assert_eq!(opened["rule"], "swappiness", "{opened}");
    assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{opened}");
    assert_eq!(opened["commit"], Value::Null, "no deployment is known: {opened}");
    swappiness.restore();
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!(healed["finding"], opened["finding"], "{healed}");
    assert_eq!(healed["actual"], swappiness.original, "{healed}");
}

fn every_way(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let [value, _] = others(&swappiness);
    for way in [Way::Write, Way::Pwrite, Way::Writev] {
        driftd.mark();
        host::write_by(swappiness.path(), way, value).expect("root may write");
        let change = driftd.wait_for_kind("change", KEY);
        assert_eq!(change["previous"], swappiness.original, "{way:?}: {change}");
        let opened = driftd.wait_for_opened(KEY, value);
        assert_eq!(opened["requested"], value, "{way:?}: {opened}");
        assert_eq!(opened["previous"], swappiness.original, "{way:?}: {opened}");
        assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{way:?}: {opened}");
        assert_is_me(&opened["writer"]);
        swappiness.restore();
        driftd.wait_for_healed(KEY);
    }
}

/// Fails unless a writer is this process.
#[track_caller]
pub fn assert_is_me(writer: &Value) {
    assert_eq!(writer["pid"], std::process::id(), "{writer}");
    assert_eq!(writer["uid"], 0, "{writer}");
    let me = rustix::process::getppid().map(|parent| parent.as_raw_pid());
    assert_eq!(writer["parent_pid"].as_i64(), me.map(i64::from), "{writer}");
}

fn second_mount(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let mount = ProcMount::new();
    let [value, _] = others(&swappiness);
    host::write(&mount.path(swappiness.path()), value).expect("root may write");
    let opened = driftd.wait_for_opened(KEY, value);
    assert_is_me(&opened["writer"]);
}

fn child_cgroup(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let cgroup = ChildCgroup::new();
    let [value, _] = others(&swappiness);
    let pid = cgroup.write(swappiness.path(), value);
    let opened = driftd.wait_for_opened(KEY, value);
    assert_eq!(opened["writer"]["pid"], pid, "{opened}");
    assert_eq!(opened["writer"]["comm"], "scenarios", "{opened}");
    assert_eq!(opened["writer"]["parent_pid"], std::process::id(), "{opened}");
    assert_eq!(opened["writer"]["cgroup_id"], cgroup.id(), "{opened}");
}

fn equal_write(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    swappiness.restore();
    let touch = driftd.wait_for_kind("touch", KEY);
    assert_eq!(touch["reason"], "equal", "{touch}");
    assert_eq!(touch["actual"], swappiness.original, "{touch}");
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
}

fn refused_write(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    host::write(swappiness.path(), "much").expect_err("the kernel wants a number");
    let touch = driftd.wait_for_kind("touch", KEY);
    assert_eq!(touch["requested"], "much", "{touch}");
    if mode.is_hook() {
        assert_eq!(touch["reason"], "refused", "{touch}");
        assert_eq!(touch["result"], -i64::from(libc::EINVAL), "{touch}");
    }
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
}

fn put_back(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    // So long that the value is back before; the slow rule of the fence settles later still.
    let rule = format!("swappiness: {{ keys: {KEY}, expect: {}, settle: 5s }}", swappiness.original);
    let slow = Sysctl::of("vm.page-cluster");
    let after = format!("slow: {{ keys: vm.page-cluster, expect: {}, settle: 6s }}", slow.original);
    let home = Home::new(mode, &Settings::rules(&[rule, after]));
    let mut driftd = home.start();
    let [value, _] = others(&swappiness);
    swappiness.write(value);
    let change = driftd.wait_for_kind("change", KEY);
    assert_eq!(change["actual"], value, "{change}");
    swappiness.restore();
    let touch = driftd.wait_for_kind("touch", KEY);
    assert_eq!(touch["reason"], "restored", "{touch}");
    // Nothing opens when the settle time of the departure is over: it is over before this one's.
    slow.write(if slow.original == "4" { "5" } else { "4" });
    driftd
        .wait_for("the slower finding", |line| line["kind"] == "finding" && line["key"] == "vm.page-cluster");
    driftd.assert_nothing_opened(KEY);
}
