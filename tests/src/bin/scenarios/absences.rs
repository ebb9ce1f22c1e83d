//! What goes and comes back, or gets another's name: an interface, a module, a cgroup. That it is gone is drift, and
//! what comes under its name is judged anew.

use std::fs;

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, ChildCgroup, Link, MtuWay, Network, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{
    Needs, Scenario,
    links::{heard_by, swept_only_without_netlink},
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "an_interface_that_goes_and_comes_back_is_judged_again_and_so_are_its_sysctls",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: interface,
    },
    Scenario {
        claim: "where_interfaces_change_names_each_name_is_judged_by_who_has_it_now",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: renamed,
    },
    Scenario {
        claim: "an_interface_moved_to_another_network_namespace_is_gone_here_whatever_happens_to_it_there",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: moved,
    },
    Scenario {
        claim: "the_sysctls_of_an_interface_with_a_dot_in_its_name_are_watched",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: dotted,
    },
    Scenario {
        claim: "the_sysctls_and_parameters_of_a_module_that_goes_and_comes_back_are_judged_again",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: module,
    },
    Scenario {
        claim: "the_limit_of_a_cgroup_that_goes_and_comes_back_is_judged_again",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Vm,
        run: cgroup,
    },
];

/// The sysctl that the scenarios change below an interface's name.
fn rp_filter(interface: &str) -> (String, std::path::PathBuf) {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    (path.clone(), path.into())
}

/// Waits until a key is told to be gone.
#[track_caller]
fn wait_until_gone(driftd: &mut Daemon<'_>, key: &str) -> Value {
    driftd.wait_for(&format!("{key} to be gone"), |line| {
        line["kind"] == "change" && line["key"] == key && line["actual"] == Value::Null
    })
}

/// Waits until a key is told to have changed to this.
#[track_caller]
fn wait_for_change(driftd: &mut Daemon<'_>, key: &str, actual: &str) -> Value {
    driftd.wait_for(&format!("{key} to become {actual}"), |line| {
        line["kind"] == "change" && line["key"] == key && line["actual"] == actual
    })
}

/// A key's name as driftd prints it: with dots.
fn canonical(interface: &str) -> String {
    format!("net.ipv4.conf.{}.rp_filter", interface.replace('.', "/"))
}

fn interface(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let (mtu, conf, (spelled, file)) = (link.key(), canonical(link.name), rp_filter(link.name));
    let original = host::read(&file);
    let rules = [expect("mtu", &mtu, &link.mtu()), expect("filter", &spelled, &original)];
    let settings = Settings { sweep: swept_only_without_netlink(mode), ..Settings::rules(&rules) };
    let home = Home::new(mode, &settings);
    let mut driftd = home.start();
    drop(link);
    for key in [&mtu, &conf] {
        let gone = wait_until_gone(&mut driftd, key);
        assert_eq!(gone["seen_by"], heard_by(mode), "{gone}");
        driftd.wait_for("its finding", |line| line["kind"] == "finding" && line["key"] == **key);
    }
    let _link = Link::new("driftd0").expect("an interface can be made");
    for key in [&mtu, &conf] {
        driftd.wait_for_healed(key);
    }
    // What is read now is the file of the interface that is there now.
    driftd.mark();
    let other = if original == "2" { "1" } else { "2" };
    host::write(&file, other).expect("root may write");
    if mode != Mode::Netlink {
        driftd.wait_for_opened(&conf, other);
    }
}

fn renamed(mode: Mode) {
    let mut first = Link::new("driftd0").expect("an interface can be made");
    let mut second = Link::with_mtu("driftd1", 1400).expect("another can be made");
    let (mtu, conf, (spelled, file)) = (first.key(), canonical(first.name), rp_filter(first.name));
    let original = host::read(&file);
    let other = if original == "2" { "1" } else { "2" };
    host::write(&rp_filter(second.name).1, other).expect("root may write");
    let rules = [expect("mtu", &mtu, &first.mtu()), expect("filter", &spelled, &original)];
    let settings = Settings { sweep: swept_only_without_netlink(mode), ..Settings::rules(&rules) };
    let home = Home::new(mode, &settings);
    let mut driftd = home.start();
    first.rename("driftd2");
    second.rename("driftd0");
    for (key, value) in [(&mtu, "1400"), (&conf, other)] {
        let change = wait_for_change(&mut driftd, key, value);
        assert_eq!(change["seen_by"], heard_by(mode), "{change}");
        driftd.wait_for("its finding", |line| line["kind"] == "finding" && line["key"] == **key);
    }
    second.rename("driftd1");
    first.rename("driftd0");
    for key in [&mtu, &conf] {
        driftd.wait_for_healed(key);
    }
}

fn moved(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let (mtu, conf, (spelled, file)) = (link.key(), canonical(link.name), rp_filter(link.name));
    let rules = [expect("mtu", &mtu, &link.mtu()), expect("filter", &spelled, &host::read(&file))];
    let settings = Settings { sweep: swept_only_without_netlink(mode), ..Settings::rules(&rules) };
    let home = Home::new(mode, &settings);
    let mut driftd = home.start();
    let network = Network::new();
    network.take(&link);
    for key in [&mtu, &conf] {
        let gone = wait_until_gone(&mut driftd, key);
        assert_eq!(gone["seen_by"], heard_by(mode), "{gone}");
        driftd.wait_for("its finding", |line| line["kind"] == "finding" && line["key"] == **key);
    }
    driftd.mark();
    network.enter(|| link.set_mtu(MtuWay::Netlink, 1300));
    network.give_back(&link);
    let back = driftd.wait_for_kind("change", &mtu);
    assert_eq!((&back["previous"], &back["actual"]), (&Value::Null, &"1300".into()), "{back}");
    assert_eq!(back["seen_by"], heard_by(mode), "{back}");
    driftd.wait_for_healed(&conf);
    link.set_mtu(MtuWay::Netlink, 1500);
    driftd.wait_for_healed(&mtu);
}

fn dotted(mode: Mode) {
    let link = Link::new("driftd0.100").expect("an interface may have a dot in its name");
    let (conf, (_, file)) = (canonical(link.name), rp_filter(link.name));
    let original = host::read(&file);
    let home = Home::new(mode, &Settings::rules(&[expect("filter", &conf, &original)]));
    let mut driftd = home.start();
    let other = if original == "2" { "1" } else { "2" };
    host::write(&file, other).expect("root may write");
    let opened = driftd.wait_for_opened("net.ipv4.conf.driftd0/100.rp_filter", other);
    assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{opened}");
    host::write(&file, &original).expect("root may write");
    driftd.wait_for_healed(&conf);
}

fn module(mode: Mode) {
    const SYSCTL: &str = "net.netfilter.nf_conntrack_tcp_loose";
    const PARAMETER: &str = "/sys/module/nf_conntrack/parameters/hashsize";
    let (sysctl, parameter) = (host::path(SYSCTL), PARAMETER.as_ref());
    let rules =
        [expect("loose", SYSCTL, &host::read(&sysctl)), expect("hash", PARAMETER, &host::read(parameter))];
    let home = Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&rules) });
    let mut driftd = home.start();
    host::unload_conntrack().expect("nobody else uses it");
    for key in [SYSCTL, PARAMETER] {
        wait_until_gone(&mut driftd, key);
        driftd.wait_for("its finding", |line| line["kind"] == "finding" && line["key"] == key);
    }
    host::load_conntrack().expect("it can be loaded again");
    for key in [SYSCTL, PARAMETER] {
        driftd.wait_for_healed(key);
    }
    driftd.mark();
    let loose = Sysctl::of(SYSCTL);
    let other = if loose.original == "1" { "0" } else { "1" };
    loose.write(other);
    driftd.wait_for_opened(SYSCTL, other);
}

fn cgroup(mode: Mode) {
    let cgroup = ChildCgroup::new();
    cgroup.offer("pids");
    let limit = cgroup.path().join("pids.max");
    let key = limit.display().to_string();
    fs::write(&limit, "100").expect("root may limit a cgroup");
    let home =
        Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&[expect("pids", &key, "100")]) });
    let mut driftd = home.start();
    drop(cgroup);
    wait_until_gone(&mut driftd, &key);
    driftd.wait_for("its finding", |line| line["kind"] == "finding" && line["key"] == key);
    let _cgroup = ChildCgroup::new();
    wait_for_change(&mut driftd, &key, "max");
    fs::write(&limit, "100").expect("root may limit a cgroup");
    driftd.wait_for_healed(&key);
}
