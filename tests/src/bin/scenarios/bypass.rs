//! Values that change although nobody wrote their sysctl: those in a group are read with the one that was written, and are
//! its writer's; a sweep finds each of the others, and blames nobody.

use std::{collections::BTreeMap, path::Path};

use driftd_tests::{
    daemon::{Daemon, Home, Settings, expect},
    host::{self, Advertised, Link, Router, Sysctl},
    mode::Mode,
};
use rustix::system::{RebootCommand, reboot, sethostname};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::assert_is_me};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "what_changes_along_with_a_written_sysctl_is_its_writers_in_a_group_and_else_found_by_the_sweep",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: changes_along,
    },
    Scenario {
        claim: "what_changes_without_a_write_of_its_sysctl_is_found_all_the_same_and_blamed_on_nobody",
        modes: &Mode::ALL,
        needs: Needs::Vm,
        run: changes_unwritten,
    },
];

/// A key, and its value after the change.
type After<'a> = (&'a str, &'a str);

/// One way in which values change.
struct Row<'a> {
    /// In which words it is told when it fails.
    what: &'a str,
    /// The sysctl that is written, and of which there is a hint.
    written: Option<After<'a>>,
    /// What else changes.
    along: &'a [After<'a>],
    /// What is declared too and does not change.
    unmoved: &'a [&'a str],
    /// Does it; nothing where writing the sysctl does.
    change: Box<dyn Fn() + 'a>,
    /// The sysctl whose old value brings all the others back.
    brings_back: &'a str,
    /// By what the others are noticed.
    noticed: Noticed,
}

/// By what a change is noticed of which no hint tells.
enum Noticed {
    /// It is in a group with the sysctl that is written, and read with it where a hint tells of that.
    Group,
    /// rtnetlink tells that something of the interface changed, so that its sysctls are read at once.
    Rtnetlink,
    /// By the next sweep and nothing else.
    Sweep,
}

/// What a new interface has from `net.ipv4.conf.default`, and follows when that changes: 0 in the beginning. It follows
/// only until somebody writes the default, which new interfaces then take for their own (`devinet_conf_proc`,
/// net/ipv4/devinet.c): each mode needs another.
const INHERITED: [&str; 6] =
    ["log_martians", "rp_filter", "arp_ignore", "arp_announce", "arp_accept", "disable_policy"];

fn changes_along(mode: Mode) {
    let leaf = Mode::ALL.iter().position(|other| *other == mode).and_then(|at| INHERITED.get(at));
    let leaf = leaf.expect("there is one for each mode");
    let [of_all, of_default, of_new] =
        ["all", "default", "driftd0"].map(|name| format!("net.ipv4.conf.{name}.{leaf}"));
    let (inherits, inherits_not) = ([(of_new.as_str(), "1")], [of_all.as_str()]);
    let write = |written, along, unmoved, brings_back| Row {
        what: "a write",
        written: Some(written),
        along,
        unmoved,
        change: Box::new(|| {}),
        brings_back,
        noticed: Noticed::Group,
    };
    let rows = [
        write(("vm.dirty_bytes", "1048576"), &[("vm.dirty_ratio", "0")], &[], "vm.dirty_ratio"),
        write(("vm.overcommit_kbytes", "1000"), &[("vm.overcommit_ratio", "0")], &[], "vm.overcommit_ratio"),
        write(
            ("net.ipv4.ip_forward", "1"),
            &[
                ("net.ipv4.conf.all.forwarding", "1"),
                ("net.ipv4.conf.default.forwarding", "1"),
                ("net.ipv4.conf.lo.forwarding", "1"),
                ("net.ipv4.conf.all.accept_redirects", "0"),
            ],
            &[],
            "net.ipv4.ip_forward",
        ),
        write(
            ("net.ipv4.conf.all.forwarding", "1"),
            &[
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv4.conf.default.forwarding", "1"),
                ("net.ipv4.conf.lo.forwarding", "1"),
            ],
            &[],
            "net.ipv4.conf.all.forwarding",
        ),
        write(
            ("net.ipv6.conf.all.disable_ipv6", "1"),
            &[("net.ipv6.conf.default.disable_ipv6", "1"), ("net.ipv6.conf.lo.disable_ipv6", "1")],
            &[],
            "net.ipv6.conf.all.disable_ipv6",
        ),
        write(
            ("net.ipv6.conf.all.ignore_routes_with_linkdown", "1"),
            &[
                ("net.ipv6.conf.default.ignore_routes_with_linkdown", "1"),
                ("net.ipv6.conf.lo.ignore_routes_with_linkdown", "1"),
            ],
            &[],
            "net.ipv6.conf.all.ignore_routes_with_linkdown",
        ),
        // Two names of one number, and in no group: few know the second.
        Row {
            noticed: Noticed::Sweep,
            ..write(("vm.nr_hugepages", "4"), &[("vm.nr_hugepages_mempolicy", "4")], &[], "vm.nr_hugepages")
        },
        write((&of_default, "1"), &inherits, &inherits_not, &of_default),
        // It counts for all interfaces, and shows in none.
        write(
            ("net.ipv4.conf.all.rp_filter", "2"),
            &[],
            &["net.ipv4.conf.default.rp_filter", "net.ipv4.conf.driftd0.rp_filter"],
            "net.ipv4.conf.all.rp_filter",
        ),
    ];
    let _link = Link::new("driftd0").expect("an interface can be made");
    check(mode, &rows);
}

fn changes_unwritten(mode: Mode) {
    let router = Router::new("driftd0");
    // A module that comes again has its own value, and knows nothing of the one that was set.
    let loose = Sysctl::of("net.netfilter.nf_conntrack_tcp_loose");
    assert_eq!(loose.original, "1", "nobody has set it yet");
    loose.write("0");
    let rows = [
        // The kernel tells of every RTM_SETLINK with attributes of a family (`do_setlink`, net/core/rtnetlink.c).
        Row {
            noticed: Noticed::Rtnetlink,
            ..row(
                "RTM_SETLINK with IFLA_INET_CONF",
                &[("net.ipv4.conf.lo.rp_filter", "2")],
                || host::set_rp_filter_of_lo(2).expect("root may set it"),
                "net.ipv4.conf.lo.rp_filter",
            )
        },
        row(
            "RTM_SETNEIGHTBL",
            &[("net.ipv4.neigh.lo.app_solicit", "7")],
            || host::set_app_probes_of_lo(7).expect("root may set it"),
            "net.ipv4.neigh.lo.app_solicit",
        ),
        row(
            "huge pages of sysfs",
            &[("vm.nr_hugepages", "4")],
            || write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4"),
            "vm.nr_hugepages",
        ),
        row(
            "hashsize of the module nf_conntrack",
            &[("net.netfilter.nf_conntrack_buckets", "16384")],
            || write("/sys/module/nf_conntrack/parameters/hashsize", "16384"),
            "net.netfilter.nf_conntrack_buckets",
        ),
        row(
            "sethostname(2)",
            &[("kernel.hostname", "third")],
            || sethostname(b"third").expect("root may set it"),
            "kernel.hostname",
        ),
        row(
            "syslog(2)",
            &[("kernel.printk:[0]", "3")],
            || host::set_console_level(3).expect("root may set it"),
            "kernel.printk:[0]",
        ),
        row(
            "reboot(2)",
            &[("kernel.ctrl-alt-del", "0")],
            || reboot(RebootCommand::CadOff).expect("root may say so"),
            "kernel.ctrl-alt-del",
        ),
        row(
            "a router's advertisement with a hop limit",
            &[("net.ipv6.conf.driftd0.hop_limit", "99")],
            || router.advertise(Advertised::HopLimit(99)),
            "net.ipv6.conf.driftd0.hop_limit",
        ),
        row(
            "a router's advertisement with an MTU",
            &[("net.ipv6.conf.driftd0.mtu", "1400")],
            || router.advertise(Advertised::Mtu(1400)),
            "net.ipv6.conf.driftd0.mtu",
        ),
        row(
            "IPCTNL_MSG_TIMEOUT_DEFAULT_SET",
            &[("net.netfilter.nf_conntrack_udp_timeout", "77")],
            || host::set_timeout_of_udp(77).expect("root may set it"),
            "net.netfilter.nf_conntrack_udp_timeout",
        ),
        row(
            "a module that is unloaded and loaded again",
            &[("net.netfilter.nf_conntrack_tcp_loose", "1")],
            || {
                host::unload_conntrack().expect("nobody else uses it");
                host::load_conntrack().expect("it can be loaded again");
            },
            "net.netfilter.nf_conntrack_tcp_loose",
        ),
    ];
    check(mode, &rows);
}

/// One way in which a value changes and no sysctl is written.
fn row<'a>(what: &'a str, along: &'a [After<'a>], change: impl Fn() + 'a, brings_back: &'a str) -> Row<'a> {
    let change = Box::new(change);
    Row { what, written: None, along, unmoved: &[], change, brings_back, noticed: Noticed::Sweep }
}

#[track_caller]
fn write(path: &str, value: &str) {
    host::write(Path::new(path), value).unwrap_or_else(|e| panic!("cannot write {path}: {e}"));
}

/// Goes through the rows with one daemon that is asked for each of their keys.
#[track_caller]
fn check(mode: Mode, rows: &[Row<'_>]) {
    let keys = rows.iter().flat_map(|row| {
        let after = row.written.iter().chain(row.along).map(|(key, _)| *key);
        after.chain(row.unmoved.iter().copied())
    });
    let sysctls: BTreeMap<&str, Sysctl> = keys.map(|key| (key, of(key))).collect();
    let rules = sysctls.iter().enumerate();
    let rules =
        rules.map(|(at, (key, is))| expect(&format!("rule{at}"), &quoted(key), &quoted(&now(key, is))));
    let rules: Vec<String> = rules.collect();
    // The sweeps are asked for, so that none falls between a module's going and its coming. Only what is written is
    // left to the timer, where no hint tells of it.
    let sweep = rows.iter().all(|row| row.written.is_none()).then_some("1h");
    let home = Home::new(mode, &Settings { sweep, ..Settings::rules(&rules) });
    let mut driftd = home.start();
    let mut sweeps = Sweeps(0);
    for row in rows {
        driftd.mark();
        if let Some((key, value)) = row.written {
            sysctls[key].write(value);
            let opened = driftd.wait_for_opened(key, value);
            assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{}: {opened}", row.what);
            if Mode::PROBES.contains(&mode) {
                assert_is_me(&opened["writer"]);
            }
        }
        (row.change)();
        let is_heard = matches!(row.noticed, Noticed::Group) && Mode::PROBES.contains(&mode);
        if !is_heard {
            sweeps.sweep(&mut driftd);
        }
        for (key, value) in row.along {
            let opened = driftd.wait_for_opened(key, value);
            let what = format!("{}: {opened}", row.what);
            let by_rtnetlink = matches!(row.noticed, Noticed::Rtnetlink) && mode != Mode::None;
            match row.written {
                Some((written, _)) if is_heard => {
                    assert_eq!(opened["seen_by"], mode.sysctl_seen_by(), "{what}");
                    assert_eq!(opened["cause"], "coupled key", "{what}");
                    assert_eq!(opened["detail"], format!("a write of {written} sets it too"), "{what}");
                    assert_is_me(&opened["writer"]);
                }
                _ => {
                    let seen_by = if by_rtnetlink { "netlink" } else { "sweep" };
                    assert_eq!(opened["seen_by"], seen_by, "{what}");
                    assert_eq!(opened["writer"], Value::Null, "{what}");
                }
            }
        }
        if is_heard {
            // Nothing else changed either.
            sweeps.sweep(&mut driftd);
        }
        sysctls[row.brings_back].restore();
        if !is_heard {
            sweeps.sweep(&mut driftd);
        }
        for (key, _) in row.written.iter().chain(row.along) {
            driftd.wait_for_healed(key);
        }
        for key in row.unmoved {
            driftd.assert_nothing_happened_to(key);
        }
    }
}

/// The sysctl of a key, which may be one column of it.
#[track_caller]
fn of(key: &str) -> Sysctl {
    Sysctl::of(key.split(':').next().unwrap_or(key))
}

/// The value a key has now.
fn now(key: &str, sysctl: &Sysctl) -> String {
    let value = match key.contains(':') {
        true => sysctl.original.split_whitespace().next().unwrap_or_default(),
        false => &sysctl.original,
    };
    value.to_owned()
}

/// As YAML takes for one text whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Sweeps at the moment they are wanted: each is what a deployment brings with it.
struct Sweeps(u32);

impl Sweeps {
    #[track_caller]
    fn sweep(&mut self, driftd: &mut Daemon<'_>) {
        self.0 += 1;
        let answer = driftd.post("", &format!(r#"{{"commit":"{:06x}","id":"{}"}}"#, self.0, self.0));
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}
