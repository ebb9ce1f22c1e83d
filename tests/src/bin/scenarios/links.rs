//! MTUs: each change is seen, whatever way it comes, and a bond's slaves are told apart from the bond.

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::{Link, MtuWay},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::assert_is_me};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "an_mtu_changed_by_netlink_ioctl_or_sysfs_is_a_finding_and_heals",
        modes: &Mode::ALL,
        needs: Needs::Link,
        run: every_way,
    },
    Scenario {
        claim: "a_bonds_mtu_and_its_slaves_are_findings_each_of_its_own",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::Netlink],
        needs: Needs::Bond,
        run: bond,
    },
    Scenario { claim: "an_equal_mtu_opens_nothing", modes: &Mode::PROBES, needs: Needs::Link, run: equal },
];

fn every_way(mode: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    let (key, original) = (link.key(), link.mtu());
    let home = Home::new(mode, &Settings::rules(&[expect("mtu", &key, &original)]));
    let mut driftd = home.start();
    for way in [MtuWay::Netlink, MtuWay::Ioctl, MtuWay::Sysfs] {
        driftd.mark();
        link.set_mtu(way, 1400);
        let opened = driftd.wait_for_opened(&key, "1400");
        assert_eq!(opened["expected"], original, "{way:?}: {opened}");
        assert_eq!(opened["seen_by"], mode.link_seen_by(), "{way:?}: {opened}");
        match mode {
            Mode::Kprobe | Mode::Fexit => assert_is_me(&opened["writer"]),
            Mode::Cgroup | Mode::Netlink | Mode::None => {
                assert_eq!(opened["writer"], Value::Null, "{opened}")
            }
        }
        link.set_mtu(way, 1500);
        driftd.wait_for_healed(&key);
    }
}

fn bond(mode: Mode) {
    let (one, two) = (Link::new("driftd0").expect("an interface"), Link::new("driftd1").expect("another"));
    let bond = Link::bond("driftdb0", &[&one, &two]).expect("a bond can be made");
    let links = [&bond, &one, &two];
    let rules = links.map(|link| expect(link.name, &link.key(), &link.mtu()));
    let home = Home::new(mode, &Settings::rules(&rules));
    let mut driftd = home.start();
    bond.set_mtu(MtuWay::Netlink, 1400);
    for link in links {
        assert_eq!(link.mtu(), "1400", "{}", link.name);
        let opened = driftd.wait_for_opened(&link.key(), "1400");
        assert_eq!(opened["seen_by"], mode.link_seen_by(), "{opened}");
        if mode.is_hook() {
            assert_is_me(&opened["writer"]);
        }
    }
    bond.set_mtu(MtuWay::Netlink, 1500);
    for link in links {
        driftd.wait_for_healed(&link.key());
    }
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
