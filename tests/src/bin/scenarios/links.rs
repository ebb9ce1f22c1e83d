//! MTUs: each change is seen, whatever way it comes, and an interface that follows another is told apart from it.

use driftd_tests::{
    daemon::{Home, Settings, expect, is_opened},
    host::{self, Link, MtuWay},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::assert_is_me};

/// The modes in which the kernel says at once that an MTU changed.
const HEARD: [Mode; 4] = [Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::Netlink];

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "an_mtu_changed_by_netlink_ioctl_or_sysfs_is_a_finding_and_heals",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: every_way,
    },
    Scenario {
        claim: "a_bonds_mtu_and_its_slaves_are_findings_each_of_its_own",
        modes: &HEARD,
        needs: Needs::Bond,
        run: bond,
    },
    Scenario {
        claim: "an_interface_that_takes_the_mtu_of_the_bond_it_joins_is_a_finding",
        modes: &HEARD,
        needs: Needs::Bond,
        run: enslaved,
    },
    Scenario {
        claim: "a_vlan_that_follows_the_mtu_of_its_interface_is_a_finding_of_its_own",
        modes: &HEARD,
        needs: Needs::Vm,
        run: vlan,
    },
    Scenario {
        claim: "an_interface_that_appears_with_another_mtu_is_a_finding",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: created,
    },
    Scenario {
        claim: "an_interface_is_declared_by_any_of_its_names",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: other_name,
    },
    Scenario {
        claim: "an_mtu_that_a_tunnel_changes_by_itself_is_found_by_the_sweep",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: tunnel,
    },
    Scenario { claim: "an_equal_mtu_opens_nothing", modes: &Mode::PROBES, needs: Needs::Link, run: equal },
];

/// A host with these rules, on which no sweep finds first what rtnetlink should tell.
fn watching(mode: Mode, rules: &[String]) -> Home {
    Home::new(mode, &Settings { sweep: swept_only_without_netlink(mode), ..Settings::rules(rules) })
}

fn every_way(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let (key, original) = (link.key(), link.mtu());
    let home = watching(mode, &[expect("mtu", &key, &original)]);
    let mut driftd = home.start();
    for way in [MtuWay::Netlink, MtuWay::Ioctl, MtuWay::Sysfs] {
        driftd.mark();
        link.set_mtu(way, 1400);
        let opened = driftd.wait_for_opened(&key, "1400");
        assert_eq!(opened["expected"], original, "{way:?}: {opened}");
        assert_seen(mode, &opened);
        link.set_mtu(way, 1500);
        driftd.wait_for_healed(&key);
    }
}

fn bond(mode: Mode) {
    let (one, two) = (Link::new("driftd0").expect("an interface"), Link::new("driftd1").expect("another"));
    let bond = Link::bond("driftdb0", &[&one, &two]).expect("a bond can be made");
    let links = [&bond, &one, &two];
    let rules = links.map(|link| expect(link.name, &link.key(), &link.mtu()));
    let home = watching(mode, &rules);
    let mut driftd = home.start();
    bond.set_mtu(MtuWay::Netlink, 1400);
    for link in links {
        assert_eq!(link.mtu(), "1400", "{}", link.name);
        assert_seen(mode, &driftd.wait_for_opened(&link.key(), "1400"));
    }
    bond.set_mtu(MtuWay::Netlink, 1500);
    for link in links {
        driftd.wait_for_healed(&link.key());
    }
}

/// Fails unless a finding names how its MTU was noticed, and who set it where that is known.
#[track_caller]
fn assert_seen(mode: Mode, opened: &Value) {
    assert_eq!(opened["seen_by"], mode.link_seen_by(), "{opened}");
    match mode.is_hook() {
        true => assert_is_me(&opened["writer"]),
        false => assert_eq!(opened["writer"], Value::Null, "{opened}"),
    }
}

fn enslaved(mode: Mode) {
    let slave = Link::new("driftd0").expect("an interface can be made");
    let bond = Link::bond("driftdb0", &[]).expect("a bond can be made");
    bond.set_mtu(MtuWay::Netlink, 1400);
    let home = watching(mode, &[expect("slave", &slave.key(), &slave.mtu())]);
    let mut driftd = home.start();
    slave.enslave_to(&bond).expect("the bond takes it");
    assert_seen(mode, &driftd.wait_for_opened(&slave.key(), "1400"));
    bond.set_mtu(MtuWay::Netlink, 1500);
    driftd.wait_for_healed(&slave.key());
}

fn vlan(mode: Mode) {
    let parent = Link::new("driftd0").expect("an interface can be made");
    let vlan = Link::vlan("driftd0.100", &parent, 100).expect("a VLAN can be made");
    let rules = [&parent, &vlan].map(|link| expect(&link.name.replace('.', "_"), &link.key(), &link.mtu()));
    let home = watching(mode, &rules);
    let mut driftd = home.start();
    parent.set_mtu(MtuWay::Netlink, 1400);
    assert_seen(mode, &driftd.wait_for_opened(&parent.key(), "1400"));
    // Newer kernels (7.3) let a thread of their own set it later, and that is then who did it.
    let follows = driftd.wait_for_opened(&vlan.key(), "1400");
    assert_eq!(follows["seen_by"], mode.link_seen_by(), "{follows}");
    for link in [&parent, &vlan] {
        link.set_mtu(MtuWay::Sysfs, 1500);
        driftd.wait_for_healed(&link.key());
    }
}

fn created(mode: Mode) {
    let rule = "mtu: { keys: link.driftd0.mtu, expect: 1500 }".to_owned();
    let home = watching(mode, &[rule]);
    let mut driftd = home.start();
    // It is not there yet, and that is a finding, too.
    driftd.wait_for("the finding of the start", |line| line["kind"] == "finding");
    driftd.mark();
    let link = Link::with_mtu("driftd0", 1400).expect("an interface can be made");
    let change = driftd.wait_for_kind("change", &link.key());
    assert_eq!((&change["previous"], &change["actual"]), (&Value::Null, &"1400".into()), "{change}");
    assert_eq!(change["seen_by"], heard_by(mode), "{change}");
    link.set_mtu(MtuWay::Netlink, 1500);
    driftd.wait_for_healed(&link.key());
}

fn other_name(mode: Mode) {
    const UPLINK: &str = "link.driftd-uplink-of-the-host.mtu";
    let link = Link::new("driftd0").expect("an interface can be made");
    let home = watching(mode, &[expect("mtu", UPLINK, "1500")]);
    let mut driftd = home.start();
    let missing = driftd.wait_for("that nothing is called so", |line| is_opened(line, UPLINK));
    assert_eq!(missing["actual"], Value::Null, "{missing}");
    // Of one that is down the kernel tells no further name (`netdev_state_change`, net/core/dev.c): the sweep finds it.
    host::set_up(link.name).expect("the interface can be up");
    link.altname("driftd-uplink-of-the-host", true);
    driftd.wait_for_healed(UPLINK);
    driftd.mark();
    link.set_mtu(MtuWay::Netlink, 1400);
    let opened = driftd.wait_for_opened(&link.key(), "1400");
    assert_seen(mode, &opened);
    let explained = home.command(&["explain", UPLINK]).stdout;
    let explained = String::from_utf8_lossy(&explained);
    assert!(explained.contains(&link.key()) && explained.contains("1400"), "{explained}");
    // The line that declares it by the other name is the one that is changed.
    let patch = home.command(&["adopt", UPLINK, "--format", "patch"]).stdout;
    let patch = String::from_utf8_lossy(&patch);
    assert!(patch.lines().any(|line| line.starts_with('+') && line.contains("1400")), "{patch}");
    // Gone for a moment, it keeps its finding, which heals when it is back as declared.
    driftd.mark();
    let key = link.key();
    drop(link);
    driftd.wait_for("that it is gone", |line| {
        line["kind"] == "change" && line["key"] == *key && line["actual"] == Value::Null
    });
    let link = Link::new("driftd0").expect("an interface can be made");
    host::set_up(link.name).expect("the interface can be up");
    let healed = driftd.wait_for_healed(&key);
    assert_eq!(healed["actual"], "1500", "{healed}");
    link.set_mtu(MtuWay::Netlink, 1400);
    driftd.wait_for_opened(&key, "1400");
}

/// How it is noticed that an interface comes, goes, or gets another name: no probe is on that.
pub fn heard_by(mode: Mode) -> &'static str {
    if mode == Mode::None { "sweep" } else { "netlink" }
}

/// No sweep may find what rtnetlink should say.
pub fn swept_only_without_netlink(mode: Mode) -> Option<&'static str> {
    Some(if mode == Mode::None { "1s" } else { "1h" })
}

fn tunnel(mode: Mode) {
    let tunnel = Link::gre("driftdg0").expect("a tunnel can be made");
    let (key, original) = (tunnel.key(), tunnel.mtu());
    let rules = [expect("mtu", &key, &original)];
    let home = Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&rules) });
    let mut driftd = home.start();
    tunnel.give_key();
    let smaller = tunnel.mtu();
    assert_eq!((original.as_str(), smaller.as_str()), ("1476", "1472"), "a key is four bytes");
    let opened = driftd.wait_for_opened(&key, &smaller);
    assert_eq!((&opened["seen_by"], &opened["writer"]), (&"sweep".into(), &Value::Null), "{opened}");
    tunnel.set_mtu(MtuWay::Netlink, 1476);
    driftd.wait_for_healed(&key);
}

fn equal(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let key = link.key();
    let home = Home::new(mode, &Settings::rules(&[expect("mtu", &key, &link.mtu())]));
    let mut driftd = home.start();
    link.set_mtu(MtuWay::Netlink, 1500);
    link.set_mtu(MtuWay::Sysfs, 1500);
    driftd.fence();
    driftd.assert_nothing_happened_to(&key);
}
