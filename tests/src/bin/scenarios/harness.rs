//! What the other scenarios take for granted: that what they do to the kernel happens.

use driftd_tests::{
    host::{self, ChildCgroup, Link, MtuWay, Namespace, ProcMount, StuckWriters, Sysctl, Way},
    mode::Mode,
};

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "the_harness_changes_sysctls_in_every_way_and_puts_them_back",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: sysctls,
    },
    Scenario {
        claim: "the_harness_changes_mtus_in_every_way",
        modes: &[Mode::None],
        needs: Needs::Link,
        run: links,
    },
    Scenario {
        claim: "the_harness_makes_bonds_whose_slaves_follow_their_mtu",
        modes: &[Mode::None],
        needs: Needs::Bond,
        run: bond,
    },
    Scenario {
        claim: "the_harness_can_hold_writers_in_the_kernel_and_let_them_go",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: stuck_writers,
    },
];

fn sysctls(_: Mode) {
    let swappiness = Sysctl::of("vm.swappiness");
    for (way, value) in [(Way::Write, "61"), (Way::Pwrite, "62"), (Way::Writev, "63")] {
        host::write_by(swappiness.path(), way, value).expect("root may write");
        assert_eq!(host::read(swappiness.path()), value, "{way:?}");
    }
    ChildCgroup::new().write(swappiness.path(), "64");
    assert_eq!(host::read(swappiness.path()), "64");
    host::write(&ProcMount::new().path(swappiness.path()), "65").expect("root may write there too");
    assert_eq!(host::read(swappiness.path()), "65");
    assert!(host::write(swappiness.path(), "much").is_err());
    let (path, original) = (swappiness.path().to_owned(), swappiness.original.clone());
    drop(swappiness);
    assert_eq!(host::read(&path), original);

    let somaxconn = Sysctl::of("net.core.somaxconn");
    host::in_new_network(|| host::write(somaxconn.path(), "77")).expect("root may write there");
    assert_eq!(host::read(somaxconn.path()), somaxconn.original, "another namespace's value is another");
    host::write_from_new(Namespace::Network, somaxconn.path(), "78").expect("root may write from there");
    assert_eq!(host::read(somaxconn.path()), "78", "the descriptor decides whose value it is");
}

fn links(_: Mode) {
    let link = Link::new("driftd0").expect("an interface can be made");
    for (way, mtu) in [(MtuWay::Netlink, 1400), (MtuWay::Ioctl, 1401), (MtuWay::Sysfs, 1402)] {
        link.set_mtu(way, mtu);
        assert_eq!(link.mtu(), mtu.to_string(), "{way:?}");
    }
}

fn bond(_: Mode) {
    let slave = Link::new("driftd0").expect("an interface can be made");
    let bond = Link::bond("driftdb0", &[&slave]).expect("a bond can be made");
    bond.set_mtu(MtuWay::Netlink, 1400);
    assert_eq!((bond.mtu().as_str(), slave.mtu().as_str()), ("1400", "1400"));
}

fn stuck_writers(_: Mode) {
    let page_cluster = Sysctl::of("vm.page-cluster");
    let stuck = StuckWriters::start(20, page_cluster.path());
    let swappiness = Sysctl::of("vm.swappiness");
    swappiness.write("61");
    assert_eq!(host::read(swappiness.path()), "61");
    drop(stuck);
    assert_eq!(host::read(page_cluster.path()), page_cluster.original, "zeros are refused");
}
