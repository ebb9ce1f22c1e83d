//! Every example of docs/rules.md means what its words say: judged against a host that is as declared, and against the same
//! host with one file changed.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use super::{Declared, Wanted};
use crate::{
    config,
    declared::{Committed, CommittedFile, Kind},
    judge::{Judgement, described, judge, settled},
    kernel::{Reader, expand},
    model::{IfAbsent, Key, Rule, Severity, Value},
    test_host::host,
};

const RULES: &str = include_str!("../../../docs/rules.md");

/// An example and the host that it is about.
struct Example {
    /// What stands in it and in no other one.
    with: &'static str,
    /// The files of the host, all as declared.
    host: &'static [(&'static str, &'static str)],
    /// How many pairs of a rule and a key are then in order; of no other pair is anything said.
    in_order: usize,
    /// Files changed so that all is still in order.
    allowed: &'static [(&'static str, &'static str)],
    /// Files changed, and what departs then: each key with what is expected, and how loud and how long where that is said.
    departs: &'static [(&'static str, &'static str, &'static [&'static str])],
}

const MYSQL: &str = "sys/fs/cgroup/system.slice/mysql.service/memory.max";
const CORE: &str = "proc/sys/kernel/core_pattern";
const THP: &str = "sys/kernel/mm/transparent_hugepage/enabled";
const SWAPPINESS: &str = "proc/sys/vm/swappiness";
const MEMINFO: &str = "proc/meminfo";
const RP_FILTER: [&str; 3] = [
    "proc/sys/net/ipv4/conf/all/rp_filter",
    "proc/sys/net/ipv4/conf/eth0/rp_filter",
    "proc/sys/net/ipv4/conf/hub0/rp_filter",
];
const CONNTRACK: &str = "proc/sys/net/netfilter/nf_conntrack_max";
const OF_HOST: &str = "proc/pressure/memory";
const OF_UNIT: &str = "sys/fs/cgroup/system.slice/mysql.service/memory.pressure";
const OF_MYSQL: &str = "sys/fs/cgroup/system.slice/mysql.service/io.pressure";

const EXAMPLES: [Example; 18] = [
    Example {
        with: "the short form",
        host: &[(MEMINFO, "MemTotal: 24684084 kB\n"), (SWAPPINESS, "10\n")],
        in_order: 3,
        allowed: &[],
        departs: &[
            (MEMINFO, "MemTotal: 16777216 kB\n", &["/proc/meminfo:MemTotal expected 24684084 kB"]),
            (SWAPPINESS, "60\n", &["vm.swappiness expected 10", "vm.swappiness expected 10 critical"]),
        ],
    },
    Example {
        with: "  forwarding:",
        host: &[("proc/sys/net/ipv4/ip_forward", "0\n"), ("proc/sys/net/ipv4/conf/all/forwarding", "0\n")],
        in_order: 2,
        allowed: &[],
        departs: &[("proc/sys/net/ipv4/ip_forward", "1\n", &["net.ipv4.ip_forward expected 0"])],
    },
    Example {
        with: "mysql_memory",
        host: &[
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            (THP, "always [madvise] never\n"),
            (CORE, "|/usr/bin/collect %p\n"),
            (MYSQL, "2147483648\n"),
        ],
        in_order: 4,
        allowed: &[],
        departs: &[
            (
                "proc/sys/net/ipv4/tcp_rmem",
                "4096\t131072\t1\n",
                &["net.ipv4.tcp_rmem expected 4096 131072 6291456"],
            ),
            (
                THP,
                "[always] madvise never\n",
                &["/sys/kernel/mm/transparent_hugepage/enabled expected madvise"],
            ),
            (CORE, "|/usr/bin/collect %p \n", &["kernel.core_pattern expected |/usr/bin/collect %p"]),
            (MYSQL, "max\n", &["/sys/fs/cgroup/system.slice/mysql.service/memory.max expected 2147483648"]),
        ],
    },
    Example {
        with: "keys: net.ipv4.conf.all.rp_filter",
        host: &[(RP_FILTER[0], "1\n")],
        in_order: 1,
        allowed: &[(RP_FILTER[0], "2\n")],
        departs: &[(RP_FILTER[0], "0\n", &["net.ipv4.conf.all.rp_filter expected one of 1, 2"])],
    },
    Example {
        with: "matches:",
        host: &[
            ("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n"),
            ("proc/sys/kernel/hostname", "db-17.example.org\n"),
        ],
        in_order: 2,
        allowed: &[("proc/sys/net/ipv4/tcp_congestion_control", "bbr3\n")],
        departs: &[
            (
                "proc/sys/net/ipv4/tcp_congestion_control",
                "cubic2\n",
                &["net.ipv4.tcp_congestion_control expected a match of `cubic|bbr[0-9]*`"],
            ),
            (
                "proc/sys/kernel/hostname",
                "old-db-17.example.org\n",
                &[r"kernel.hostname expected a match of `db-[0-9]+\.example\.org`"],
            ),
        ],
    },
    Example {
        with: "headroom:",
        host: &[
            (MEMINFO, "MemAvailable: 2097152 kB\nCommitLimit: 1000 kB\nCommitted_AS: 950 kB\n"),
            ("proc/sys/fs/file-max", "100000\n"),
        ],
        in_order: 3,
        allowed: &[("proc/sys/fs/file-max", "10000000\n")],
        departs: &[
            (
                MEMINFO,
                "MemAvailable: 2097151 kB\nCommitLimit: 1000 kB\nCommitted_AS: 951 kB\n",
                &[
                    "/proc/meminfo:MemAvailable expected at least 2GiB",
                    "/proc/meminfo:Committed_AS expected at most 95% of /proc/meminfo:CommitLimit",
                ],
            ),
            ("proc/sys/fs/file-max", "99999\n", &["fs.file-max expected 100000 to 10000000"]),
            ("proc/sys/fs/file-max", "10000001\n", &["fs.file-max expected 100000 to 10000000"]),
        ],
    },
    Example {
        with: "as_it_was",
        host: &[("proc/sys/vm/nr_hugepages", "4000\n"), ("proc/sys/vm/min_free_kbytes", "60000\n")],
        in_order: 2,
        allowed: &[("proc/sys/vm/nr_hugepages", "3980\n"), ("proc/sys/vm/min_free_kbytes", "63000\n")],
        departs: &[
            ("proc/sys/vm/nr_hugepages", "3979\n", &["vm.nr_hugepages expected 4000, give or take 0.5%"]),
            (
                "proc/sys/vm/min_free_kbytes",
                "63001\n",
                &["vm.min_free_kbytes expected 60000, give or take 5%"],
            ),
        ],
    },
    Example {
        with: "stuck_io",
        host: &[("proc/7/stat", "7 (dd) S 1\n"), ("proc/sys/net/core/somaxconn", "4096\n")],
        in_order: 2,
        allowed: &[],
        departs: &[
            ("proc/7/stat", "7 (dd) D 1\n", &["/proc/[pid]/stat:state=D expected at most 0 for 60s"]),
            ("proc/sys/net/core/somaxconn", "128\n", &["net.core.somaxconn expected 4096"]),
        ],
    },
    Example {
        with: "kernel.panic",
        host: &[("proc/sys/kernel/panic", "10\n")],
        in_order: 1,
        allowed: &[],
        departs: &[("proc/sys/kernel/panic", "0\n", &["kernel.panic expected 10 critical"])],
    },
    Example {
        with: "mute:",
        host: &[(SWAPPINESS, "10\n")],
        in_order: 1,
        allowed: &[],
        departs: &[(SWAPPINESS, "60\n", &["vm.swappiness expected 10"])],
    },
    Example {
        with: "remedy: revert",
        host: &[("sys/class/net/eth0/mtu", "9000\n")],
        in_order: 1,
        allowed: &[],
        departs: &[("sys/class/net/eth0/mtu", "1500\n", &["link.eth0.mtu expected 9000"])],
    },
    Example {
        with: "memory_pressure",
        host: &[
            (
                OF_HOST,
                "some avg10=99.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=20.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
            (
                OF_UNIT,
                "some avg10=99.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
            (
                OF_MYSQL,
                "some avg10=0.00 avg60=35.50 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
        ],
        in_order: 3,
        allowed: &[],
        departs: &[
            (
                OF_HOST,
                "some avg10=99.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=20.01 avg60=0.00 avg300=0.00 total=1\n",
                &["/proc/pressure/memory:full.avg10 expected at most 20 for 30s"],
            ),
            (
                OF_UNIT,
                "some avg10=99.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=21.00 avg60=0.00 avg300=0.00 total=1\n",
                &[
                    "/sys/fs/cgroup/system.slice/mysql.service/memory.pressure:full.avg10 expected at most 20 for 30s",
                ],
            ),
            (
                OF_MYSQL,
                "some avg10=0.00 avg60=35.51 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
                &["/sys/fs/cgroup/system.slice/mysql.service/io.pressure:some.avg60 expected at most 35.5"],
            ),
        ],
    },
    Example {
        with: "if_absent: wait",
        host: &[(RP_FILTER[0], "1\n"), (RP_FILTER[1], "2\n")],
        in_order: 2,
        allowed: &[],
        departs: &[
            (RP_FILTER[1], "0\n", &["net.ipv4.conf.eth0.rp_filter expected one of 1, 2"]),
            (CONNTRACK, "65536\n", &["net.netfilter.nf_conntrack_max expected 262144"]),
        ],
    },
    Example {
        with: "throughput-performance",
        host: &[
            ("etc/sysctl.d/10.conf", "vm.swappiness = 60\nvm.max_map_count = 65530\n"),
            (
                "usr/lib/tuned/throughput-performance/tuned.conf",
                "[sysctl]\nvm.swappiness=1\nkernel.panic=5\n",
            ),
            ("srv/infra/hosts/db/etc/sysctl.d/20.conf", "kernel.panic = 30\n"),
            ("srv/infra/kernel.yaml", "fs.file-max: 100000\nfs.nr_open: 1\n"),
            (SWAPPINESS, "10\n"),
            ("proc/sys/vm/max_map_count", "65530\n"),
            ("proc/sys/kernel/panic", "30\n"),
            ("proc/sys/fs/file-max", "100000\n"),
            ("proc/sys/fs/nr_open", "1048576\n"),
        ],
        in_order: 5,
        allowed: &[],
        departs: &[
            (SWAPPINESS, "60\n", &["vm.swappiness expected 10 critical"]),
            ("proc/sys/kernel/panic", "5\n", &["kernel.panic expected 30"]),
            ("proc/sys/fs/nr_open", "1\n", &["fs.nr_open expected 1048576"]),
        ],
    },
    Example {
        with: "hub0.rp_filter: 2",
        host: &[
            (SWAPPINESS, "10\n"),
            ("sys/class/net/eth0/mtu", "9000\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            (RP_FILTER[0], "1\n"),
            (RP_FILTER[1], "1\n"),
            (RP_FILTER[2], "2\n"),
        ],
        in_order: 6,
        allowed: &[],
        departs: &[
            (RP_FILTER[1], "2\n", &["net.ipv4.conf.eth0.rp_filter expected 1"]),
            (RP_FILTER[2], "1\n", &["net.ipv4.conf.hub0.rp_filter expected 2"]),
        ],
    },
    Example {
        with: "ref: live",
        host: &[("etc/sysctl.d/10.conf", "fs.nr_open = 1\n"), ("proc/sys/fs/nr_open", "1048576\n")],
        in_order: 1,
        allowed: &[],
        departs: &[("proc/sys/fs/nr_open", "1\n", &["fs.nr_open expected 1048576"])],
    },
    Example {
        with: "sizes:",
        host: &[
            (MEMINFO, "MemTotal: 24684084 kB\nHugePages_Total: 4096\n"),
            ("proc/sys/vm/dirty_bytes", "268435456\n"),
            ("proc/sys/vm/min_free_kbytes", "67584\n"),
        ],
        in_order: 4,
        allowed: &[(MEMINFO, "MemTotal: 16777216 kB\nHugePages_Total: 4096\n")],
        departs: &[
            (
                MEMINFO,
                "MemTotal: 24684080 kB\nHugePages_Total: 0\n",
                &[
                    "/proc/meminfo:MemTotal expected one of 16777216 kB, 24684084 kB",
                    "/proc/meminfo:HugePages_Total expected 4096",
                ],
            ),
            ("proc/sys/vm/dirty_bytes", "0\n", &["vm.dirty_bytes expected 268435456"]),
            ("proc/sys/vm/min_free_kbytes", "69206016\n", &["vm.min_free_kbytes expected 67584"]),
        ],
    },
    Example {
        with: "moving:",
        host: &[(MEMINFO, "MemAvailable: 1 kB\n"), ("proc/sys/fs/file-nr", "1\t0\t1000\n")],
        in_order: 1,
        allowed: &[(MEMINFO, "MemAvailable: 2 kB\n"), ("proc/sys/fs/file-nr", "2\t0\t1000\n")],
        departs: &[("proc/sys/fs/file-nr", "1\t0\t1001\n", &["fs.file-nr:max expected 1000"])],
    },
];

/// What is declared there, for the keys there are.
fn declared(text: &str, root: &Path) -> Vec<Rule> {
    let text = text.replace("/srv/infra", &format!("{}/srv/infra", root.display()));
    let mut config =
        config::parse("docs/rules.md", &text).unwrap_or_else(|why| panic!("{}", why.render(false)));
    let wanted = Arc::new(Wanted::take(&mut config));
    let file =
        |path: &str, text: &str| CommittedFile { path: path.into(), kind: Kind::Declared, text: text.into() };
    let files =
        vec![file("base/kernel.yaml", "fs.nr_open: 2"), file("hosts/db/kernel.yaml", "fs.nr_open: 1048576")];
    let of_git = |_| Committed { commit: "a1b2c3d4".parse().ok(), files: files.clone() };
    let committed: Vec<Committed> = wanted.repositories().map(of_git).collect();
    Declared::read(&wanted, &committed, root).unwrap().rules
}

/// Each pair of a rule and a key that is there, or has to be, with the value it has now.
fn values<'r>(rules: &'r [Rule], root: &Path) -> Vec<(&'r Rule, Key, Option<Value>)> {
    let mut reader = Reader::new(root, 0);
    let mut values = Vec::new();
    for rule in rules {
        let meant: BTreeSet<Key> = rule.patterns.iter().flat_map(|pattern| expand(root, pattern).0).collect();
        for key in rule.keys.iter().cloned().chain(meant) {
            let value = reader.read(&key).unwrap();
            if value.is_some() || rule.if_absent.unwrap_or(IfAbsent::Drift) == IfAbsent::Drift {
                values.push((rule, key, value));
            }
        }
    }
    values
}

/// How many pairs are in order, and what departs, where the host was at the deployment as `captured` has it.
fn judged(rules: &[Rule], captured: &[(&Rule, Key, Option<Value>)], root: &Path) -> (usize, Vec<String>) {
    let mut reader = Reader::new(root, 0);
    let (mut in_order, mut departs) = (0, Vec::new());
    for (rule, key, value) in values(rules, root) {
        let captured = captured.iter().find(|(other, of, _)| other.name == rule.name && *of == key);
        let captured = captured.and_then(|(.., value)| value.as_ref());
        let expectation = settled(&rule.expectation, |of| reader.read(of).unwrap());
        match judge(&key, &expectation, captured, value.as_ref()) {
            Judgement::InSync => in_order += 1,
            Judgement::Unjudged => {}
            Judgement::Departs => {
                let mut said = format!("{key} expected {}", described(&key, &rule.expectation, captured));
                if rule.severity != Severity::default() {
                    said.push_str(&format!(" {}", rule.severity.as_str()));
                }
                if !rule.hold.is_zero() {
                    said.push_str(&format!(" for {}s", rule.hold.as_secs()));
                }
                departs.push(said);
            }
        }
    }
    (in_order, departs)
}

fn check(text: &str, example: &Example) {
    let Example { with, host: files, in_order, allowed, departs } = example;
    let unchanged: &[&str] = &[];
    let allowed = allowed.iter().map(|(file, text)| (*file, *text, unchanged));
    for (file, changed, wanted) in allowed.chain(departs.iter().copied()) {
        let root = host(files);
        let rules = declared(text, root.path());
        let captured = values(&rules, root.path());
        assert_eq!(judged(&rules, &captured, root.path()), (*in_order, Vec::new()), "{with}: as declared");
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, changed).unwrap();
        let (_, departs) = judged(&rules, &captured, root.path());
        assert_eq!(departs, wanted, "{with}: with {} as `{changed}`", file.display());
    }
}

#[test]
fn each_example_of_the_rules_means_what_it_says() {
    let blocks: Vec<&str> =
        RULES.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    for example in &EXAMPLES {
        let with: Vec<_> = blocks.iter().filter(|block| block.contains(example.with)).collect();
        let [block] = with.as_slice() else { panic!("{} blocks with `{}`", with.len(), example.with) };
        check(block, example);
    }
    assert_eq!(blocks.len(), EXAMPLES.len(), "an example of docs/rules.md without a host");
}
