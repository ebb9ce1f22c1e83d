//! The other parties on a host: docker, TuneD, systemd-sysctl, sysctl(8), a package, the loader of modules. What they
//! write, in their order and way, and what is told of it; each names the report of somebody to whom it happened. They
//! are stand-ins, in a cgroup and by a name of theirs. Coupled keys stand in `causes`, what happens in a pod's namespace
//! in `namespaces`, what changes nothing in `sysctls`.

use std::{fs, path::Path};

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, Service, Sysctl},
    mode::Mode,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "docker_that_turns_forwarding_on_is_named_with_its_unit_for_all_that_follows",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: docker,
    },
    Scenario {
        claim: "a_limit_that_a_package_lowers_is_one_conflict_and_drift_of_who_applied_it",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: package,
    },
    Scenario {
        claim: "what_sysctl_d_says_of_connection_tracking_is_judged_when_the_module_comes",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: conntrack,
    },
    Scenario {
        claim: "bridge_netfilter_that_is_loaded_late_is_missing_until_then_and_heals",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: bridge,
    },
    Scenario {
        claim: "transparent_huge_pages_that_a_profile_switches_on_are_found_and_heal",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: huge_pages,
    },
    Scenario {
        claim: "fewer_huge_pages_than_a_deployment_asked_for_are_the_kernels_doing_and_its_verdict_says_so",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: fewer_pages,
    },
    Scenario {
        claim: "a_declared_core_pattern_that_the_kernel_cuts_off_is_clamped",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: core_pattern,
    },
    Scenario {
        claim: "a_start_of_tuned_that_writes_its_profile_and_then_sysctl_d_again_pages_nobody",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: tuned,
    },
    Scenario {
        claim: "what_a_deployment_that_died_left_behind_is_found_when_its_time_is_over",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: died,
    },
];

const SWAPPINESS: &str = "vm.swappiness";

/// A tree with files of sysctl.d, each `(name, content)`.
#[track_caller]
pub fn tree(files: &[(&str, &str)]) -> TempDir {
    let tree = tempfile::tempdir().expect("there is room for a directory");
    let directory = tree.path().join("etc/sysctl.d");
    fs::create_dir_all(&directory).expect("it can be made");
    for (name, content) in files {
        fs::write(directory.join(name), content).expect("it can be written");
    }
    tree
}

/// The section that declares what such a tree says.
pub fn declared_from(tree: &TempDir) -> String {
    format!("declared_from:\n  - sysctl.d: {}\n", tree.path().display())
}

/// A message of a deployment; its id is the commit.
fn message(commit: &str, phase: &str) -> String {
    format!(r#"{{"commit":"{commit}","app":"hosts","id":"{commit}","phase":"{phase}"}}"#)
}

/// Delivers a commit to a host that is in sync.
#[track_caller]
fn deliver(driftd: &Daemon<'_>, commit: &str) {
    let answer = driftd.post("?wait=30", &message(commit, "finished"));
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("SYNCED")), "{answer:?}");
}

/// Fails unless a finding is of a service's process.
#[track_caller]
fn assert_by(finding: &Value, service: [&str; 2], pid: u32) {
    let [unit, program] = service;
    let writer = &finding["writer"];
    assert_eq!((&writer["unit"], &writer["comm"]), (&unit.into(), &program.into()), "{finding}");
    assert_eq!(writer["pid"], pid, "{finding}");
}

/// Fails unless a finding was declared there.
#[track_caller]
pub fn assert_declared(finding: &Value, file: &str, line: u64) {
    let by = &finding["declared_by"];
    assert!(by["file"].as_str().is_some_and(|path| path.ends_with(file)), "{finding}");
    assert_eq!(by["line"], line, "{finding}");
}

/// docker/for-linux#840. libnetwork/drivers/bridge/setup_ip_forwarding.go: `os.WriteFile` of "1\n".
fn docker(mode: Mode) {
    const DOCKER: [&str; 2] = ["docker.service", "dockerd"];
    let switch = Sysctl::of("net.ipv4.ip_forward");
    switch.write("0");
    let of_all = "net.ipv4.conf.all.forwarding";
    let tree = tree(&[("60-hardening.conf", "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.forwarding = 0\n")]);
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&[]) });
    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    driftd.mark();
    let docker = Service::new(DOCKER[0], DOCKER[1]);
    let pid = docker.write(&[(switch.path(), "1\n")]);
    let opened = driftd.wait_for_opened("net.ipv4.ip_forward", "1");
    assert_by(&opened, DOCKER, pid);
    assert_eq!(opened["cause"], "changed after the deploy", "{opened}");
    assert_eq!((&opened["previous"], &opened["requested"]), (&"0".into(), &"1".into()), "{opened}");
    assert_eq!(opened["commit"], "aaaaaa", "{opened}");
    assert_declared(&opened, "60-hardening.conf", 1);
    let along = driftd.wait_for_opened(of_all, "1");
    assert_by(&along, DOCKER, pid);
    assert_eq!(along["cause"], "coupled key", "{along}");
    assert_declared(&along, "60-hardening.conf", 2);
}

/// guard/listen#472. systemd-sysctl adds the newline (src/basic/fileio.c, `write_string_stream_ts`).
fn package(mode: Mode) {
    const KEY: &str = "fs.inotify.max_user_watches";
    const APPLIED_BY: [&str; 2] = ["systemd-sysctl.service", "systemd-sysctl"];
    let watches = Sysctl::of(KEY);
    watches.write("524288");
    let tree = tree(&[("50-package.conf", "fs.inotify.max_user_watches=65536\n")]);
    let values = tree.path().join("hosts.yaml");
    fs::write(&values, "declared:\n  fs.inotify.max_user_watches: 524288\n").expect("it can be written");
    let sections = format!("{}  - declared: {}\n", declared_from(&tree), values.display());
    let home = Home::new(mode, &Settings { sections: &sections, ..Settings::rules(&[]) });
    let checked = home.command(&["config", "check"]);
    let said =
        [checked.stdout, checked.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert_eq!(checked.status.code(), Some(0), "{said}");
    let about: Vec<&str> = said.lines().filter(|line| line.contains(KEY)).collect();
    assert_eq!(about.len(), 1, "{said}");
    assert!(
        ["65536", "524288", "50-package.conf:1", "hosts.yaml:2"].iter().all(|w| said.contains(w)),
        "{said}"
    );

    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    driftd.mark();
    let apply = Service::new(APPLIED_BY[0], APPLIED_BY[1]);
    let pid = apply.write(&[(watches.path(), "65536\n")]);
    let opened = driftd.wait_for_opened(KEY, "65536");
    assert_by(&opened, APPLIED_BY, pid);
    assert_eq!(opened["expected"], "524288", "{opened}");
    assert_declared(&opened, "hosts.yaml", 2);
    let explained = home.command(&["explain", KEY]).stdout;
    let explained = String::from_utf8_lossy(&explained);
    assert!(["50-package.conf", "hosts.yaml"].iter().all(|w| explained.contains(w)), "{explained}");
}

/// systemd#43362: at the boot the key is not there yet, sysctl.d is passed over, and the default stays.
fn conntrack(mode: Mode) {
    const MAX: &str = "net.netfilter.nf_conntrack_max";
    const LOOSE: &str = "net.netfilter.nf_conntrack_tcp_loose";
    let max = host::read(&host::path(MAX));
    // With `-` in front, that a key is not there is no departure; without, it is.
    let content = format!("-{MAX} = 1234567\n{LOOSE} = 0\n");
    let tree = tree(&[("90-conntrack.conf", &content)]);
    // Where a probe watches, no sweep finds what comes with the module.
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&[]) });
    host::unload_conntrack().expect("nobody else uses it");
    let mut driftd = home.start();
    let missing =
        driftd.wait_for("what is missing", |line| line["kind"] == "finding" && line["key"] == LOOSE);
    assert_eq!((&missing["expected"], &missing["actual"]), (&"0".into(), &Value::Null), "{missing}");
    driftd.mark();
    host::load_conntrack().expect("it can be loaded again");
    let late = driftd.wait_for_opened(MAX, &max);
    assert_eq!(late["cause"], "appeared late", "{late}");
    assert_eq!((&late["writer"], &late["previous"]), (&Value::Null, &Value::Null), "{late}");
    assert_declared(&late, "90-conntrack.conf", 1);
    // What was missing is wrong now: the finding is the same one, until systemd-sysctl runs again.
    let there = driftd.wait_for_kind("change", LOOSE);
    assert_eq!(there["actual"], "1", "{there}");
    let applied = [(host::path(MAX), "1234567\n"), (host::path(LOOSE), "0\n")];
    let applied = applied.each_ref().map(|(path, text)| (path.as_path(), *text));
    Service::new("systemd-sysctl.service", "systemd-sysctl").write(&applied);
    for key in [MAX, LOOSE] {
        driftd.wait_for_healed(key);
    }
    // Loaded once more it has its own values again, for the other scenarios.
    drop(driftd);
    host::unload_conntrack().and_then(|()| host::load_conntrack()).expect("nobody else uses it");
}

/// nixpkgs#44541.
fn bridge(mode: Mode) {
    const KEY: &str = "net.bridge.bridge-nf-call-iptables";
    let tree = tree(&[("k8s.conf", "net.bridge.bridge-nf-call-iptables = 1\n")]);
    // Where a probe watches, no sweep finds what comes with the module.
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&[]) });
    // Our PID 1 has loaded it with all the others, and nothing uses it.
    host::unload_module("br_netfilter").expect("nobody else uses it");
    let mut driftd = home.start();
    let missing = driftd.wait_for("what is missing", |line| line["kind"] == "finding" && line["key"] == KEY);
    assert_eq!((&missing["expected"], &missing["actual"]), (&"1".into(), &Value::Null), "{missing}");
    host::load_module("br_netfilter").expect("it can be loaded again");
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!((&healed["finding"], &healed["actual"]), (&missing["finding"], &"1".into()), "{healed}");
}

/// redis#3176. TuneD writes the word and no newline (tuned/utils/commands.py, `write_to_file`).
fn huge_pages(mode: Mode) {
    const KEY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let file: &Path = KEY.as_ref();
    let choices = host::read(file);
    let original = choices.split(['[', ']']).nth(1).expect("one of the choices is in force").to_owned();
    host::write(file, "never").expect("root may switch them off");
    let home =
        Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&[expect("thp", KEY, "never")]) });
    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    driftd.mark();
    let tuned = Service::new("tuned.service", "tuned");
    tuned.write(&[(file, "always")]);
    let opened = driftd.wait_for_opened(KEY, "always");
    assert_eq!(opened["cause"], "changed after the deploy", "{opened}");
    assert_eq!(opened["previous"], "never", "{opened}");
    tuned.write(&[(file, "never")]);
    driftd.wait_for_healed(KEY);
    host::write(file, &original).expect("what was can be again");
}

/// spdk#702.
fn fewer_pages(mode: Mode) {
    const KEY: &str = "vm.nr_hugepages";
    // What is kept free is none of theirs, so that the guest has something to live on.
    let reserve = Sysctl::of("vm.min_free_kbytes");
    reserve.write("262144");
    deploy_clamped(mode, KEY, "4096", |pages| {
        drop(reserve);
        pages.to_owned()
    });
}

/// systemd#26261.
fn core_pattern(mode: Mode) {
    let asked = format!("|/usr/lib/{} %P %u %g %s %t", "collect/".repeat(16));
    // `CORENAME_MAX_SIZE` is 128, with the zero at the end (include/linux/binfmts.h).
    let cut = asked[..127].to_owned();
    deploy_clamped(mode, "kernel.core_pattern", &asked, |_| cut);
}

/// A deployment declares a value in sysctl.d and runs `sysctl --system`, which writes it with a newline; the kernel makes
/// another of it, which `in_force` is told and names once more.
#[track_caller]
fn deploy_clamped(mode: Mode, key: &str, asked: &str, in_force: impl FnOnce(&str) -> String) {
    const RUNNER: [&str; 2] = ["runner.service", "sysctl"];
    let sysctl = Sysctl::of(key);
    let tree = tree(&[("80-hosts.conf", &format!("{key} = {}\n", sysctl.original))]);
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&[]) });
    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    let started = driftd.post("", &message("bbbbbb", "started"));
    assert_eq!(started.status, 202, "{started:?}");
    driftd.mark();
    let file = tree.path().join("etc/sysctl.d/80-hosts.conf");
    fs::write(file, format!("{key} = {asked}\n")).expect("it can be written");
    let runner = Service::new(RUNNER[0], RUNNER[1]);
    let pid = runner.write(&[(sysctl.path(), &format!("{asked}\n"))]);
    let in_force = in_force(&host::read(sysctl.path()));
    assert_ne!(in_force, asked, "the kernel did as it was told");
    let change = driftd.wait_for_kind("change", key);
    assert_by(&change, RUNNER, pid);
    assert_eq!((&change["requested"], &change["in_window"]), (&asked.into(), &true.into()), "{change}");
    let finished = driftd.post("?wait=30", &message("bbbbbb", "finished"));
    assert_eq!(finished.status, 409, "{finished:?}");
    let finding = &finished.body["findings"][0];
    assert_eq!((&finding["key"], &finding["cause"]), (&key.into(), &"kernel clamped".into()), "{finding}");
    assert_eq!((&finding["expected"], &finding["actual"]), (&asked.into(), &in_force.into()), "{finding}");
    assert_eq!((&finding["requested"], &finding["commit"]), (&asked.into(), &"bbbbbb".into()), "{finding}");
}

/// TuneD's plugin_sysctl.py: the profile first, then what sysctl.d says (`reapply_sysctl`); no newlines.
fn tuned(mode: Mode) {
    const ROWS: [(&str, &str, &str); 3] =
        [(SWAPPINESS, "1", "10"), ("vm.dirty_background_ratio", "3", "9"), ("vm.dirty_ratio", "15", "40")];
    let sysctls = ROWS.map(|(key, declared, _)| {
        let sysctl = Sysctl::of(key);
        sysctl.write(declared);
        sysctl
    });
    let tree =
        tree(&[("90-hosts.conf", &ROWS.map(|(key, declared, _)| format!("{key} = {declared}\n")).concat())]);
    // So long that all is as declared again before; the slow rule of the fence settles later still.
    let slow = Sysctl::of("vm.page-cluster");
    let rules = [
        format!("hosts: {{ keys: [{}], settle: 5s }}", ROWS.map(|(key, ..)| key).join(", ")),
        format!("slow: {{ keys: vm.page-cluster, expect: {}, settle: 6s }}", slow.original),
    ];
    let home = Home::new(mode, &Settings { sections: &declared_from(&tree), ..Settings::rules(&rules) });
    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    driftd.mark();
    let writes = |of: fn(&(&str, &'static str, &'static str)) -> &'static str| {
        sysctls.each_ref().map(Sysctl::path).into_iter().zip(ROWS.each_ref().map(of))
    };
    let writes: Vec<_> = writes(|row| row.2).chain(writes(|row| row.1)).collect();
    let tuned = Service::new("tuned.service", "tuned");
    let pid = tuned.write(&writes);
    for (key, declared, _) in ROWS {
        // Whether the first write is seen as a change, or not until the second is over, is a matter of moments.
        let touch = driftd.wait_for(&format!("the last write of {key}"), |line| {
            line["kind"] == "touch" && line["key"] == key && line["requested"] == declared
        });
        assert_eq!(touch["actual"], declared, "{touch}");
        assert_by(&touch, ["tuned.service", "tuned"], pid);
    }
    slow.write(if slow.original == "4" { "5" } else { "4" });
    driftd
        .wait_for("the slower finding", |line| line["kind"] == "finding" && line["key"] == "vm.page-cluster");
    for (key, ..) in ROWS {
        driftd.assert_nothing_opened(key);
    }
}

/// fleetdm/fleet#16117: what a deploy mutes must not stay mute when it dies.
fn died(mode: Mode) {
    const RUNNER: [&str; 2] = ["runner.service", "sysctl"];
    let swappiness = Sysctl::of(SWAPPINESS);
    let tree = tree(&[("80-hosts.conf", &format!("{SWAPPINESS} = {}\n", swappiness.original))]);
    let sections = format!("{}deploy_timeout: 10s\n", declared_from(&tree));
    let home = Home::new(mode, &Settings { sections: &sections, ..Settings::rules(&[]) });
    let mut driftd = home.start();
    deliver(&driftd, "aaaaaa");
    let started = driftd.post("", &message("bbbbbb", "started"));
    assert_eq!(started.status, 202, "{started:?}");
    driftd.mark();
    let other = swappiness.other();
    let runner = Service::new(RUNNER[0], RUNNER[1]);
    let pid = runner.write(&[(swappiness.path(), &format!("{other}\n"))]);
    let change = driftd.wait_for_kind("change", SWAPPINESS);
    assert_eq!((&change["commit"], &change["in_window"]), (&"bbbbbb".into(), &true.into()), "{change}");
    driftd.wait_for("the end of its time", |line| {
        line["kind"] == "deployment" && line["commit"] == "bbbbbb" && line["status"] == "timed-out"
    });
    let opened = driftd.wait_for_opened(SWAPPINESS, other);
    assert_by(&opened, RUNNER, pid);
    assert_eq!((&opened["commit"], &opened["cause"]), (&"bbbbbb".into(), &"the deploy did not apply".into()));
    swappiness.restore();
    driftd.wait_for_healed(SWAPPINESS);
    // From then on it is under what was in force before.
    driftd.mark();
    swappiness.write(other);
    let after = driftd.wait_for_opened(SWAPPINESS, other);
    assert_eq!((&after["commit"], &after["cause"]), (&"aaaaaa".into(), &"changed after the deploy".into()));
}
