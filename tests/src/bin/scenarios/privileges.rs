//! With less than root has, and where others were first: driftd starts, says what it lacks and what would cure that,
//! and finds drift all the same.

use std::fs;

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{CapabilitySet as Cap, Confined, Exclusive, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

const KEY: &str = "vm.swappiness";

/// How many sysctls are declared where there are fewer descriptors than keys.
const MANY: usize = 200;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "of_all_capabilities_of_root_a_few_do_and_no_other_is_missed",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: sys_admin_alone,
    },
    Scenario {
        claim: "without_syslog_the_owner_of_a_sysctl_is_not_known_and_that_is_said",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: without_syslog,
    },
    Scenario {
        claim: "without_sys_admin_fexit_is_taken_and_each_further_capability_is_missed_by_name",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: without_sys_admin,
    },
    Scenario {
        claim: "without_any_capability_it_starts_says_so_and_finds_drift",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: without_any,
    },
    Scenario {
        claim: "where_somebody_else_holds_the_hierarchy_the_next_plan_is_taken_and_the_reason_given",
        modes: &[Mode::Kprobe],
        needs: Needs::Root,
        run: exclusive,
    },
    Scenario {
        claim: "where_somebody_else_holds_the_hierarchy_probes_that_need_it_are_refused",
        modes: &[Mode::Cgroup],
        needs: Needs::Root,
        run: exclusive_and_forced,
    },
    Scenario {
        claim: "the_limit_of_descriptors_is_raised_as_far_as_it_goes",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: raised,
    },
    Scenario {
        claim: "with_fewer_descriptors_than_keys_every_key_is_watched",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: few_descriptors,
    },
];

/// The reasons of a start, as one text.
fn reasons(start: &Value) -> String {
    let reasons = start["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    reasons.collect::<Vec<_>>().join("\n")
}

/// Starts with all of root but this, whatever plan that leads to; drift is found, and its words must be among the
/// reasons. How sysctls and links are watched then.
#[track_caller]
fn check(without: Cap, words: &[&str]) -> (String, String) {
    let swappiness = Sysctl::of(KEY);
    let rules = [expect("swappiness", KEY, &swappiness.original)];
    let settings = Settings { probes: Some("auto"), sweep: Some("1s"), ..Settings::rules(&rules) };
    let home = Home::new(Mode::Kprobe, &settings);
    let (mut driftd, start) = home.start_confined(Confined::without(without));
    let reasons = reasons(&start);
    for word in words {
        assert!(reasons.contains(word), "without {without:?} `{word}` is a reason: {start:#}");
    }
    assert_eq!(reasons.is_empty(), words.is_empty(), "without {without:?}: {start:#}");
    let other = swappiness.other();
    swappiness.write(other);
    driftd.wait_for_opened(KEY, other);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
    let (status, _) = driftd.terminate();
    assert_eq!(status.code(), Some(0), "without {without:?}: {status}");
    let word = |surface: &str| start[surface].as_str().unwrap_or_default().to_owned();
    (word("sysctl"), word("link"))
}

fn sys_admin_alone(_: Mode) {
    // Only these are asked for; without any one of the others there is no less than without all of them.
    let mut needed = Cap::SYS_ADMIN | Cap::SYSLOG | Cap::SYS_RESOURCE;
    // Before Linux 6.1 nobody may write the files of pressure (`psi_proc_init`, kernel/sched/psi.c), but who needs no
    // permission.
    let pressure = fs::metadata("/proc/pressure/memory");
    if pressure.is_ok_and(|file| file.permissions().readonly()) {
        needed |= Cap::DAC_OVERRIDE;
    }
    assert_eq!(check(Cap::all() - needed, &[]), ("kprobe".to_owned(), "kprobe".to_owned()));
}

fn without_syslog(_: Mode) {
    let plan = check(Cap::SYSLOG, &["whose sysctl is written cannot be told", "hint: give CAP_SYSLOG"]);
    assert_eq!(plan, ("kprobe".to_owned(), "kprobe".to_owned()));
}

fn without_sys_admin(_: Mode) {
    let plan = check(Cap::SYS_ADMIN, &["CAP_SYS_ADMIN is missing", "hint: give CAP_SYS_ADMIN"]);
    assert_eq!(plan, ("fexit".to_owned(), "fexit".to_owned()));
    for (one, name) in
        [(Cap::BPF, "CAP_BPF"), (Cap::PERFMON, "CAP_PERFMON"), (Cap::NET_ADMIN, "CAP_NET_ADMIN")]
    {
        check(Cap::SYS_ADMIN | one, &[&format!("missing privileges: {name}"), "hint: "]);
    }
}

fn without_any(_: Mode) {
    let (sysctl, link) =
        check(Cap::all(), &["missing privileges: ", "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "hint: "]);
    assert_eq!((sysctl.as_str(), link.as_str()), ("swept", "netlink"));
}

fn exclusive(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let rules = [expect("swappiness", KEY, &swappiness.original)];
    let home = Home::new(mode, &Settings { probes: Some("auto"), ..Settings::rules(&rules) });
    let _exclusive = Exclusive::attach();
    let (mut driftd, start) = home.start_planned();
    assert_eq!((&start["sysctl"], &start["link"]), (&"kprobe".into(), &"kprobe".into()), "{start:#}");
    let reasons = reasons(&start);
    for word in
        ["`sysctl_values` cannot be attached", "Operation not permitted", "no `cgroup/sysctl` program"]
    {
        assert!(reasons.contains(word), "`{word}` is a reason: {start:#}");
    }
    // Without the values of the other program the writer is still known, and what it wrote is read.
    let other = swappiness.other();
    swappiness.write(other);
    let opened = driftd.wait_for_opened(KEY, other);
    crate::sysctls::assert_is_me(&opened["writer"]);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
}

fn exclusive_and_forced(mode: Mode) {
    let rules = [expect("swappiness", KEY, &Sysctl::of(KEY).original)];
    let home = Home::new(mode, &Settings::rules(&rules));
    let _exclusive = Exclusive::attach();
    let refused = home.command(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    for word in ["`probes: cgroup` cannot be had here", "`sysctl_values` cannot be attached", "not permitted"]
    {
        assert!(said.contains(word), "`{word}` is said: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn raised(mode: Mode) {
    let rules = [expect("swappiness", KEY, &Sysctl::of(KEY).original)];
    let home = Home::new(mode, &Settings::rules(&rules));
    let files = Some((64, 4096));
    let (driftd, _) = home.start_confined(Confined { without: Cap::empty(), files });
    assert_eq!(driftd.limit("Max open files"), ["4096".to_owned(), "4096".to_owned()]);
}

fn few_descriptors(mode: Mode) {
    let keys = plain_sysctls(MANY);
    let declared = keys
        .iter()
        .enumerate()
        .map(|(n, (key, value))| format!("many{n}: {{ keys: {key}, expect: \"{value}\" }}"));
    let swappiness = Sysctl::of(KEY);
    let mut rules: Vec<String> = declared.collect();
    rules.push(expect("swappiness", KEY, &swappiness.original));
    let home = Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&rules) });
    let files = Some((64, 64));
    let (mut driftd, start) = home.start_confined(Confined { without: Cap::empty(), files });
    assert!(start["keys"].as_u64().is_some_and(|keys| keys > MANY as u64), "{start}");
    let other = swappiness.other();
    swappiness.write(other);
    driftd.wait_for_opened(KEY, other);
    swappiness.restore();
    driftd.wait_for_healed(KEY);
    let loss = driftd.said().iter().find(|line| line["kind"] == "loss").cloned();
    assert_eq!(loss, None, "a key that cannot be read is told as a loss");
}

/// So many sysctls that hold one number and stay as they are: those of one network interface.
#[track_caller]
fn plain_sysctls(count: usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for of in ["conf/lo", "conf/all", "conf/default", "neigh/lo", "neigh/default"] {
            let directory = format!("/proc/sys/net/{family}/{of}");
            for file in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                // Some can only be written, and some are not set.
                if let Ok(value) = std::fs::read_to_string(file.path())
                    && value.trim().parse::<i64>().is_ok()
                {
                    found.push((file.path().display().to_string(), value.trim().to_owned()));
                }
            }
        }
    }
    assert!(found.len() >= count, "there are only {} plain sysctls", found.len());
    found.truncate(count);
    found
}
