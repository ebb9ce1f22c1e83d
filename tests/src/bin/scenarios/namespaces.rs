//! What happens in another namespace is not this host's drift; what reaches this host from there is.

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, NOBODY, Namespace, Sysctl},
    mode::Mode,
};

use serde_json::Value;

use crate::{
    Needs, Scenario,
    sysctls::{as_they_are, assert_is_me},
};

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
        claim: "a_descriptor_opened_here_and_written_from_another_uts_or_ipc_namespace_is_whose_the_kernel_says",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: descriptor_of_the_writers,
    },
    Scenario {
        claim: "writes_in_another_network_namespace_are_counted_and_shown_only_when_asked_for",
        modes: &Mode::HOOKS,
        needs: Needs::Root,
        run: foreign_writes,
    },
    Scenario {
        claim: "a_sysctl_written_in_another_ipc_namespace_opens_nothing_here",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: ipc_elsewhere,
    },
    Scenario {
        claim: "a_name_set_in_another_uts_namespace_opens_nothing_here",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: names_elsewhere,
    },
    Scenario {
        claim: "the_hosts_own_ipc_limits_and_names_are_drift",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: hosts_own,
    },
    Scenario {
        claim: "what_nobody_writes_as_root_of_its_own_namespaces_opens_nothing_here",
        modes: &Mode::PROBES,
        needs: Needs::Vm,
        run: nobody_apart,
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
    host::write_from_new(Namespace::Network, somaxconn.path(), other).expect("root may write");
    let opened = driftd.wait_for_opened(KEY, other);
    assert_is_me(&opened["writer"]);
    somaxconn.restore();
    driftd.wait_for_healed(KEY);
}

/// A name of the host belongs to the namespace of who writes it, whatever the descriptor. So did the IPC limits before
/// 5.19; since then they belong to the descriptor's.
fn descriptor_of_the_writers(mode: Mode) {
    let rows = [(Namespace::Uts, "kernel.hostname", "guest"), (Namespace::Ipc, "kernel.shmmax", "4194304")];
    let sysctls = rows.map(|(_, key, _)| Sysctl::of(key));
    let rules = as_they_are(rows.map(|(_, key, _)| key).into_iter().zip(&sysctls));
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    let mut theirs = 0;
    for ((namespace, key, value), sysctl) in rows.into_iter().zip(&sysctls) {
        driftd.mark();
        host::write_from_new(namespace, sysctl.path(), value).expect("root may write");
        match host::read(sysctl.path()) == value {
            true => assert_is_me(&driftd.wait_for_opened(key, value)["writer"]),
            false => {
                theirs += 1;
                driftd.fence();
                assert_untouched(&mut driftd, key);
            }
        }
    }
    assert!(theirs > 0, "names are always the writer's");
    if mode.is_hook() {
        assert_eq!(foreign(&home), theirs);
    }
}

fn foreign_writes(mode: Mode) {
    const KEY: &str = "net.core.somaxconn";
    let somaxconn = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[expect("somaxconn", KEY, &somaxconn.original)]));
    let elsewhere = || host::in_new_network(|| somaxconn.write("4097"));

    let mut driftd = home.start();
    elsewhere();
    driftd.fence();
    assert_eq!(foreign(&home), 1);
    assert!(!driftd.log().contains("another namespace"));

    let mut driftd = home.start_with(&["--foreign"]);
    elsewhere();
    driftd.fence();
    driftd.assert_nothing_happened_to(KEY);
    let log = driftd.log();
    assert!(log.contains("another namespace") && log.contains("somaxconn"), "{log}");
}

/// How many writes of other namespaces the daemon has counted.
#[track_caller]
fn foreign(home: &Home) -> u64 {
    let status = home.command(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("the status is JSON");
    status["foreign"].as_u64().expect("it says how many")
}

/// Writes keys from a new namespace of a kind, in which each has another value afterwards and the host's have not.
#[track_caller]
fn elsewhere(mode: Mode, namespace: Namespace, rows: &[(&str, &str)]) {
    let sysctls: Vec<_> = rows.iter().map(|(key, _)| Sysctl::of(key)).collect();
    let rules = as_they_are(rows.iter().map(|(key, _)| *key).zip(&sysctls));
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    host::in_new(namespace, || {
        for (sysctl, (key, value)) in sysctls.iter().zip(rows) {
            sysctl.write(value);
            assert_eq!(host::read(sysctl.path()), *value, "{key} there");
        }
    });
    driftd.fence();
    for ((key, _), sysctl) in rows.iter().zip(&sysctls) {
        assert_eq!(host::read(sysctl.path()), sysctl.original, "{key} here");
        assert_untouched(&mut driftd, key);
    }
    if mode.is_hook() {
        assert_eq!(foreign(&home), rows.len() as u64, "each was seen, and known for what it was");
    }
}

/// After a fence: fails if anything was told of a key, be it a touch.
#[track_caller]
fn assert_untouched(driftd: &mut Daemon<'_>, key: &str) {
    let told: Vec<_> = driftd.said().iter().filter(|line| line["key"] == key).collect();
    assert!(told.is_empty(), "nothing had happened to {key}: {told:?}");
}

fn ipc_elsewhere(mode: Mode) {
    let rows = [("kernel.shmmax", "4194304"), ("kernel.msgmax", "4096"), ("fs.mqueue.msg_max", "11")];
    elsewhere(mode, Namespace::Ipc, &rows);
}

fn names_elsewhere(mode: Mode) {
    elsewhere(mode, Namespace::Uts, &[("kernel.hostname", "guest"), ("kernel.domainname", "example.org")]);
}

fn hosts_own(mode: Mode) {
    const ROWS: [(&str, &str); 4] = [
        ("kernel.shmmax", "4194304"),
        ("fs.mqueue.msg_max", "11"),
        ("kernel.hostname", "other"),
        ("kernel.domainname", "example.org"),
    ];
    let sysctls = ROWS.map(|(key, _)| Sysctl::of(key));
    let rules = as_they_are(ROWS.map(|(key, _)| key).into_iter().zip(&sysctls));
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    for ((key, value), sysctl) in ROWS.into_iter().zip(&sysctls) {
        sysctl.write(value);
        let opened = driftd.wait_for_opened(key, value);
        assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{opened}");
        if Mode::PROBES.contains(&mode) {
            assert_is_me(&opened["writer"]);
        }
        sysctl.restore();
        driftd.wait_for_healed(key);
    }
}

fn nobody_apart(mode: Mode) {
    const KEYS: [&str; 2] = ["net.ipv4.ip_forward", "user.max_net_namespaces"];
    let sysctls = KEYS.map(Sysctl::of);
    let rules = as_they_are(KEYS.into_iter().zip(&sysctls));
    let home = Home::new(mode, &Settings::rules(&rules));
    // Asked for or not, the host's record says nothing of it; asked for, the log says who it was.
    let mut driftd = home.start_with(&["--foreign"]);
    let pids = sysctls.each_ref().map(|sysctl| host::write_as_nobody_apart(sysctl.path(), "1"));
    driftd.fence();
    for (key, sysctl) in KEYS.into_iter().zip(&sysctls) {
        assert_eq!(host::read(sysctl.path()), sysctl.original, "{key} is another one there");
        assert_untouched(&mut driftd, key);
    }
    if mode.is_hook() {
        let log = driftd.log();
        for pid in pids {
            let told = log.lines().find(|line| line.contains(&format!("pid: {pid},")));
            let told = told.unwrap_or_else(|| panic!("no word of {pid}: {log}"));
            assert!(told.contains(&format!("uid: {NOBODY},")), "{told}");
        }
    }
}
