//! Files that people really have, each line of them declared or listed; and what two of them disagree about.
//!
//! The files of others lie beside the workspace, where they lie at all: several licences do not allow them in it. Of each
//! kind there is one of our own in tests/fixtures/baselines, so that the same is always asked.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    file::Root,
    load::{load, parse},
};
use crate::declared::{Kind, Request};

/// What a file says: how many lines declare, and the numbers of those not understood.
struct Real {
    file: &'static str,
    kind: Kind,
    declares: usize,
    not_understood: &'static [usize],
}

const fn sysctl(file: &'static str, declares: usize) -> Real {
    Real { file, kind: Kind::SysctlD, declares, not_understood: &[] }
}

const fn tuned(file: &'static str, declares: usize, not_understood: &'static [usize]) -> Real {
    Real { file, kind: Kind::Tuned, declares, not_understood }
}

/// Files of the kinds that are read. Beside them lie Ansible defaults, MachineConfigs, saptune notes and tmpfiles.d, which
/// are not.
const SHARED: [Real; 14] = [
    sysctl("bottlerocket-release-sysctl.conf", 25),
    sysctl("debian12-50-pid-max.conf", 1),
    sysctl("debian12-99-protect-links.conf", 4),
    sysctl("debian12-etc-sysctl.conf", 0),
    tuned("tuned-aws.conf", 0, &[7, 14, 21]),
    tuned("tuned-latency-performance.conf", 4, &[9, 11, 12, 13, 16, 42]),
    tuned("tuned-mssql.conf", 12, &[7, 10, 30, 31, 32, 33]),
    tuned("tuned-network-latency.conf", 9, &[7, 23, 25, 28]),
    tuned("tuned-network-throughput.conf", 4, &[7]),
    tuned("tuned-openshift.conf", 13, &[7, 10, 13, 34, 36]),
    tuned("tuned-oracle.conf", 19, &[7]),
    tuned("tuned-postgresql.conf", 5, &[7, 14, 50, 55]),
    tuned("tuned-throughput-performance.conf", 6, &[13, 14, 15, 16, 19, 40, 76, 79]),
    tuned("tuned-virtual-guest.conf", 2, &[7]),
];

const OURS: [Real; 4] = [
    sysctl("sysctl.d/root/usr/lib/sysctl.d/40-glob.conf", 9),
    Real {
        file: "sysctl.d/root/etc/sysctl.d/30-spelling.conf",
        kind: Kind::SysctlD,
        declares: 16,
        not_understood: &[12, 15, 19, 20],
    },
    tuned("tuned/root/usr/lib/tuned/base/tuned.conf", 5, &[6, 20, 23]),
    Real { file: "declared/kernel.yaml", kind: Kind::Declared, declares: 5, not_understood: &[] },
];

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/baselines")
}

fn shared() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/baselines");
    shared.is_dir().then_some(shared)
}

fn request(directory: &Path, file: &str, kind: Kind) -> Request {
    Request::File { kind, path: directory.join(file) }
}

/// The numbers of the lines that are neither empty nor comments, and say something of a key for all that a simple look
/// can tell.
fn lines_that_say_something(text: &str, kind: Kind) -> BTreeSet<usize> {
    let of_tuned = ["[", "summary=", "type=", "uname_regex=", "cpuinfo_regex=", "thunderx_", "swappiness="];
    let of_others: [&str; 1] = ["declared:"];
    let passed_over = if kind == Kind::Tuned { of_tuned.as_slice() } else { of_others.as_slice() };
    let says = |line: &str| {
        let line = line.trim();
        let nothing = ["#", ";"].iter().chain(passed_over).any(|start| line.starts_with(start));
        !line.is_empty() && !nothing
    };
    text.lines().enumerate().filter(|(_, line)| says(line)).map(|(index, _)| index + 1).collect()
}

#[track_caller]
fn check(directory: &Path, real: &Real) {
    let Real { file, kind, declares, not_understood } = real;
    let root = Root::open(&ours().join("sysctl.d/root")).unwrap();
    let parsed = parse(&request(directory, file, *kind), &root).unwrap();
    let declaring: BTreeSet<usize> = parsed.lines.iter().map(|line| line.source.line).collect();
    let listed: Vec<usize> = parsed.not_understood.iter().map(|line| line.source.line).collect();
    assert_eq!((declaring.len(), listed.as_slice()), (*declares, *not_understood), "{file}");
    let text = std::fs::read_to_string(directory.join(file)).unwrap();
    let mut told: BTreeSet<usize> = declaring.into_iter().chain(listed).collect();
    let there = lines_that_say_something(&text, *kind);
    assert_eq!(there.difference(&told).collect::<Vec<_>>(), Vec::<&usize>::new(), "dropped of {file}");
    // A section that says nothing, and what it is not known for, is listed by its head.
    told.retain(|line| !text.lines().nth(line - 1).unwrap().starts_with('['));
    assert_eq!(told, there, "{file}");
}

#[test]
fn each_line_of_a_real_file_is_declared_or_listed() {
    OURS.iter().for_each(|real| check(&ours(), real));
    if let Some(shared) = shared() {
        SHARED.iter().for_each(|real| check(&shared, real));
    }
}

/// What two files disagree about, each key once, with what holds and what was said before.
fn conflicts(directory: &Path, files: [(&str, Kind); 2]) -> Vec<String> {
    let requests = files.map(|(file, kind)| request(directory, file, kind));
    let loaded = load(&requests, &ours().join("sysctl.d/root")).unwrap();
    let line = |d: &crate::declared::Declaration| d.source.line.to_string();
    let conflicts = loaded.baseline.conflicts();
    let shown = conflicts.iter().map(|conflict| {
        let against: Vec<String> = conflict.against.iter().map(|declaration| line(declaration)).collect();
        format!("{} line {} against {}", conflict.declared.key, line(conflict.declared), against.join(" "))
    });
    shown.collect()
}

#[test]
fn two_files_that_contradict_each_other_are_one_conflict_a_key() {
    let files = [
        ("sysctl.d/root/usr/lib/sysctl.d/20-order.conf", Kind::SysctlD),
        ("tuned/root/etc/tuned/site/tuned.conf", Kind::Tuned),
    ];
    assert_eq!(conflicts(&ours(), files), Vec::<String>::new());
    let files = [
        ("sysctl.d/root/usr/lib/sysctl.d/20-order.conf", Kind::SysctlD),
        ("sysctl.d/root/run/sysctl.d/22-order.conf", Kind::SysctlD),
    ];
    assert_eq!(
        conflicts(&ours(), files),
        [
            "vm.max_map_count line 1 against 3",
            "vm.page-cluster line 3 against 5",
            "vm.stat_interval line 2 against 4"
        ]
    );
    let files = [
        ("sysctl.d/root/usr/lib/sysctl.d/20-order.conf", Kind::SysctlD),
        ("declared/kernel.yaml", Kind::Declared),
    ];
    assert_eq!(conflicts(&ours(), files), ["vm.swappiness line 3 against 1"]);
    let Some(shared) = shared() else { return };
    let files =
        [("tuned-throughput-performance.conf", Kind::Tuned), ("tuned-virtual-guest.conf", Kind::Tuned)];
    assert_eq!(
        conflicts(&shared, files),
        ["vm.dirty_ratio line 17 against 29", "vm.swappiness line 23 against 64"]
    );
    let files = [("bottlerocket-release-sysctl.conf", Kind::SysctlD), ("tuned-openshift.conf", Kind::Tuned)];
    assert_eq!(
        conflicts(&shared, files),
        [
            "net.ipv4.neigh.default.gc_thresh1 line 20 against 9",
            "net.ipv4.neigh.default.gc_thresh2 line 21 against 13",
            "net.ipv4.neigh.default.gc_thresh3 line 22 against 15",
            "net.ipv6.neigh.default.gc_thresh1 line 23 against 10",
            "net.ipv6.neigh.default.gc_thresh2 line 24 against 14",
            "net.ipv6.neigh.default.gc_thresh3 line 25 against 16",
            "vm.max_map_count line 26 against 67",
        ]
    );
}
