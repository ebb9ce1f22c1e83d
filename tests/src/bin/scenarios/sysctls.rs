//! Writes of sysctls: each is seen, confirmed and told, whatever way it comes; what changes nothing opens nothing.

use std::path::Path;

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{self, BindMount, ChildCgroup, ProcMount, Replacement, Sysctl, Way},
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
        claim: "a_sysctl_changed_by_any_call_that_writes_is_a_finding_that_names_the_writer",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: every_call,
    },
    Scenario {
        claim: "a_sysctl_changed_by_io_uring_is_a_finding_that_names_the_process_and_not_its_worker",
        modes: &Mode::PROBES,
        needs: Needs::Ring,
        run: every_ring,
    },
    Scenario {
        claim: "a_write_through_another_mount_of_procfs_is_the_same_keys",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: other_mounts,
    },
    Scenario {
        claim: "a_write_from_a_child_cgroup_is_seen_and_names_the_cgroup",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: child_cgroup,
    },
    Scenario {
        claim: "a_value_that_somebody_elses_program_replaced_is_told_as_it_is_in_force",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: replaced_value,
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
        claim: "a_write_from_a_bad_address_is_a_touch_and_opens_nothing",
        modes: &Mode::HOOKS,
        needs: Needs::Root,
        run: bad_address,
    },
    Scenario {
        claim: "a_write_at_a_position_that_the_kernel_ignores_is_a_touch_and_opens_nothing",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: ignored_position,
    },
    Scenario {
        claim: "of_two_writes_on_one_descriptor_the_first_counts_and_the_finding_says_so",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: one_descriptor,
    },
    Scenario {
        claim: "a_text_that_the_kernel_cut_or_put_into_the_old_one_is_told_as_it_is_in_force",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: cut_text,
    },
    Scenario {
        claim: "a_value_changed_and_put_back_within_settle_is_a_touch",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: put_back,
    },
];

/// A home whose one rule expects of swappiness what it is.
pub fn home(mode: Mode, swappiness: &Sysctl) -> Home {
    Home::new(mode, &Settings::rules(&[expect("swappiness", KEY, &swappiness.original)]))
}

/// Rules that expect of sysctls what they are.
pub fn as_they_are<'a>(sysctls: impl Iterator<Item = (&'a str, &'a Sysctl)>) -> Vec<String> {
    let rules = sysctls.enumerate();
    let rules =
        rules.map(|(at, (key, is))| expect(&format!("rule{at}"), key, &format!("\"{}\"", is.original)));
    rules.collect()
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

fn every_call(mode: Mode) {
    every_way(mode, &Way::CALLS);
}

fn every_ring(mode: Mode) {
    every_way(mode, &Way::RINGS);
}

fn every_way(mode: Mode, ways: &[Way]) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let [value, _] = others(&swappiness);
    for &way in ways {
        driftd.mark();
        host::write_by(swappiness.path(), way, value)
            .unwrap_or_else(|e| panic!("cannot write ({way:?}): {e}"));
        let change = driftd.wait_for_kind("change", KEY);
        assert_eq!(change["previous"], swappiness.original, "{way:?}: {change}");
        let opened = driftd.wait_for_opened(KEY, value);
        assert_eq!(opened["requested"], value, "{way:?}: {opened}");
        assert_eq!(opened["previous"], swappiness.original, "{way:?}: {opened}");
        assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{way:?}: {opened}");
        assert_eq!(opened["writer"]["comm"], "scenarios", "{way:?}: {opened}");
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

fn other_mounts(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let (second, bind) = (ProcMount::new(), BindMount::of(swappiness.path()));
    let through_root =
        Path::new("/proc/self/root").join(swappiness.path().strip_prefix("/").expect("absolute"));
    let [value, _] = others(&swappiness);
    for path in [&second.path(swappiness.path()), bind.path(), &through_root] {
        driftd.mark();
        host::write(path, value).expect("root may write");
        let opened = driftd.wait_for_opened(KEY, value);
        assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{path:?}: {opened}");
        assert_is_me(&opened["writer"]);
        swappiness.restore();
        driftd.wait_for_healed(KEY);
    }
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

fn replaced_value(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    assert_ne!(swappiness.original, Replacement::VALUE);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let cgroup = ChildCgroup::new();
    let replacement = Replacement::attach(&cgroup);
    let [value, _] = others(&swappiness);
    let pid = cgroup.write(swappiness.path(), value);
    assert_eq!(host::read(swappiness.path()), Replacement::VALUE, "the program did it");
    let opened = driftd.wait_for_opened(KEY, Replacement::VALUE);
    assert_eq!(opened["writer"]["pid"], pid, "{opened}");
    assert_eq!(opened["requested"], Replacement::VALUE, "as the last program saw it: {opened}");
    drop(replacement);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
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

fn bad_address(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let error = host::write_from_nowhere(swappiness.path()).expect_err("nothing is there");
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "{error}");
    let touch = driftd.wait_for_kind("touch", KEY);
    assert_eq!(touch["reason"], "refused", "{touch}");
    assert_eq!(touch["result"], -i64::from(libc::EFAULT), "{touch}");
    assert_eq!(touch["requested"], Value::Null, "the kernel never had the value: {touch}");
    assert_is_me(&touch["writer"]);
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
}

fn ignored_position(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    assert_eq!(host::read(&host::path("kernel.sysctl_writes_strict")), "1", "as the kernel starts");
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let [value, _] = others(&swappiness);
    let written = host::write_at(swappiness.path(), 3, value).expect("the kernel says that all is well");
    assert_eq!(written, value.len(), "and that it took all");
    assert_eq!(host::read(swappiness.path()), swappiness.original, "and takes nothing");
    let touch = driftd.wait_for_kind("touch", KEY);
    assert_eq!(touch["reason"], "ineffective", "{touch}");
    assert_eq!(touch["requested"], value, "{touch}");
    assert_is_me(&touch["writer"]);
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
}

fn one_descriptor(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let [first, second] = others(&swappiness);
    let written = host::write_on(swappiness.path(), &[first, second]).expect("root may write");
    assert_eq!(written, [first.len(), second.len()], "the kernel says that it took both");
    assert_eq!(host::read(swappiness.path()), first, "and took the first");
    let opened = driftd.wait_for_opened(KEY, first);
    assert_eq!(opened["requested"], first, "{opened}");
    assert_is_me(&opened["writer"]);
    driftd.fence();
    let said = driftd.said();
    assert!(said.iter().all(|line| line["key"] != KEY || line["actual"] == first), "{said:?}");
}

fn cut_text(mode: Mode) {
    // As long as the kernel lets them be (__NEW_UTS_LEN and CORENAME_MAX_SIZE - 1), and twice that.
    let (host_name, core) = ("h".repeat(64), format!("core.{}", "c".repeat(122)));
    let hostname = Sysctl::of("kernel.hostname");
    let into_old = format!("{}-ish", &hostname.original[..1]);
    let rows = [
        ("kernel.hostname", 0, host_name.repeat(2), host_name.as_str()),
        ("kernel.core_pattern", 0, core.repeat(2), core.as_str()),
        ("kernel.hostname", 1, "-ish".to_owned(), into_old.as_str()),
    ];
    let keys = ["kernel.hostname", "kernel.core_pattern"].map(|key| (key, Sysctl::of(key)));
    let rules = as_they_are(keys.iter().map(|(key, sysctl)| (*key, sysctl)));
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    for (key, position, value, in_force) in rows {
        driftd.mark();
        let sysctl = Sysctl::of(key);
        let written = host::write_at(sysctl.path(), position, &value).expect("root may write");
        assert_eq!(written, value.len(), "{key}: the kernel says that it took all");
        let opened = driftd.wait_for_opened(key, in_force);
        assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{opened}");
        match mode.is_hook() {
            true => assert_is_me(&opened["writer"]),
            // The hint comes before the write, and asks for something else: it names nobody.
            false => assert_eq!(opened["writer"], Value::Null, "{opened}"),
        }
        sysctl.restore();
        driftd.wait_for_healed(key);
    }
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
