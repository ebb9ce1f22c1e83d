//! What systemd-sysctl and `sysctl --system` apply, on a real kernel, and what driftd says that they would apply.
//!
//! Every key is first given a value that nobody declares, so that it shows afterwards which ones were written. Then
//! driftd must have named exactly these, with exactly the values that are in force.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use driftd_tests::host::{read, write};
use serde_json::Value;

use crate::{
    Scenario,
    host::{json, sh, start_with, typed},
    journal::Journal,
};

/// The claims.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { claim: "what_systemd_sysctl_applies_is_what_sysctl_d_declares_key_by_key", run: systemd },
    Scenario { claim: "what_procps_applies_is_what_the_source_procps_declares_key_by_key", run: procps },
    Scenario { claim: "explain_shows_the_file_that_wins_and_those_it_overrides", run: explain },
    Scenario { claim: "systemd_sysctl_applied_again_heals_what_drifted", run: applied_again },
];

/// The files, in the order in which they count, with what is tried in each.
const FILES: [(&str, &str); 19] = [
    (
        "etc/sysctl.conf",
        "# read by systemd-sysctl only because of Debian's link\nfs.aio-max-nr = 100001\nvm.swappiness = 61\n",
    ),
    (
        "usr/lib/sysctl.d/20-order.conf",
        "vm.swappiness = 1\nvm.overcommit_ratio = 1\nvm.watermark_scale_factor = 11\nvm.stat_interval = 1\nvm.page-cluster = 1\n",
    ),
    (
        "usr/local/lib/sysctl.d/21-order.conf",
        "vm.overcommit_ratio = 2\nvm.watermark_scale_factor = 12\nvm.stat_interval = 2\nvm.page-cluster = 2\n",
    ),
    (
        "run/sysctl.d/22-order.conf",
        "vm.watermark_scale_factor = 13\nvm.stat_interval = 3\nvm.page-cluster = 3\n",
    ),
    ("etc/sysctl.d/23-order.conf", "vm.stat_interval = 4\nvm.page-cluster = 4\n"),
    // One name in several places: /etc, then /run, then /usr/local/lib count, and an empty file masks.
    ("usr/lib/sysctl.d/24-same.conf", "fs.lease-break-time = 41\n"),
    ("run/sysctl.d/24-same.conf", "fs.lease-break-time = 42\n"),
    ("usr/lib/sysctl.d/10-masked.conf", "kernel.panic = 1\n"),
    ("etc/sysctl.d/10-masked.conf", ""),
    ("usr/lib/sysctl.d/11-masked.conf", "kernel.panic = 2\n"),
    ("usr/lib/sysctl.d/12-masked.conf", "kernel.panic = 3\n"),
    ("etc/sysctl.d/26-other.conf.dpkg-old", "kernel.panic = 4\n"),
    // A hidden file is one for procps alone.
    ("etc/sysctl.d/.27-hidden.conf", "kernel.msgmnb = 16001\n"),
    (
        "etc/sysctl.d/30-spelling.conf",
        "# a comment\n   ; another\n\t# and one behind a tab\n\nkernel.msgmax=8001\n  kernel.sem   =   32000 1024000 \t500   32000  \n\
         net/core/somaxconn = 4001\nkernel.domainname = example.com ; no comment here\nkernel.core_pattern = core.%p # nor here\n\
         net.ipv4.tcp_rmem = 4096 65536 6291456\nnet.ipv4.conf.eth0/100.log_martians = 1\nnet/ipv4/conf/eth0.100/secure_redirects = 1\n\
         kernel.absent = 1\n-kernel.absent_ignored = 1\nthis is no assignment\nvm.user_reserve_kbytes = 100 # hundred\n\
         kernel.shmmni = 4001\nkernel/shmmni = 4002\nnet.ipv4.ip_local_port_range = 10000 \t 20001\nvm.dirty_expire_centisecs = 0x800\n",
    ),
    ("etc/sysctl.d/31-crlf.conf", "vm.dirty_writeback_centisecs = 501\r\n"),
    ("etc/sysctl.d/32-last.conf", "vm.vfs_cache_pressure = 99"),
    (
        "usr/lib/sysctl.d/40-glob.conf",
        "net.ipv4.conf.default.rp_filter = 2\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n\
         net.ipv4.conf.hub0.rp_filter = 1\nnet.ipv4.conf.e*.accept_redirects = 0\nnet/ipv4/conf/eth?/send_redirects = 0\n\
         net.ipv4.conf.[el]*.shared_media = 0\nnet.ipv4.conf.[!el]*.proxy_arp = 1\nnet.ipv4.conf.*.no_such_leaf = 1\n",
    ),
    (
        "etc/sysctl.d/50-later.conf",
        "# a key that is named beats a glob of any file, and a later glob an earlier one\nnet.ipv4.conf.eth0/100.rp_filter = 0\n\
         net.ipv4.conf.eth*.accept_redirects = 1\n# the same glob with another value moves to the end\n\
         net.ipv4.conf.*.arp_ignore = 1\nnet.ipv4.conf.e*.arp_ignore = 2\nnet.ipv4.conf.*.arp_ignore = 3\n\
         # and with the same value stays where it was\nnet.ipv4.conf.*.arp_announce = 1\nnet.ipv4.conf.e*.arp_announce = 2\n\
         net.ipv4.conf.*.arp_announce = 1\n# taken back, and brought back\nkernel.sysrq = 1\n-kernel.sysrq\n\
         -vm.extfrag_threshold\nvm.extfrag_threshold = 501\n# a glob taken back\nnet.ipv4.conf.*.arp_notify = 1\n-net.ipv4.conf.*.arp_notify\n",
    ),
    ("etc/sysctl.d/28-directory.conf/keep", ""),
];

/// The links: away, to nowhere, and Debian's own.
const LINKS: [(&str, &str); 3] = [
    ("etc/sysctl.d/11-masked.conf", "/dev/null"),
    ("etc/sysctl.d/12-masked.conf", "./nowhere"),
    ("etc/sysctl.d/99-sysctl.conf", "../sysctl.conf"),
];

/// Keys below /proc/sys, and a value of each that nobody declares: those of the files, those that files of Debian's own
/// declare, and some that must stay as they are.
const KEYS: [(&str, &str); 34] = [
    ("fs/aio-max-nr", "77777"),
    ("fs/lease-break-time", "77"),
    ("fs/protected_fifos", "0"),
    ("fs/protected_hardlinks", "0"),
    ("fs/protected_regular", "0"),
    ("fs/protected_symlinks", "0"),
    ("kernel/core_pattern", "nobody declares this"),
    ("kernel/domainname", "nobody declares this"),
    ("kernel/msgmax", "7777"),
    ("kernel/msgmnb", "7777"),
    ("kernel/panic", "77"),
    ("kernel/pid_max", "77777"),
    ("kernel/sem", "777 77777 77 777"),
    ("kernel/shmmni", "777"),
    ("kernel/sysrq", "7"),
    ("kernel/threads-max", "7777"),
    ("net/core/netdev_budget", "777"),
    ("net/core/somaxconn", "777"),
    ("net/ipv4/ip_local_port_range", "7778 17777"),
    ("net/ipv4/tcp_keepalive_time", "777"),
    ("net/ipv4/tcp_rmem", "4097 77777 777777"),
    ("vm/admin_reserve_kbytes", "7777"),
    ("vm/dirty_expire_centisecs", "777"),
    ("vm/dirty_writeback_centisecs", "777"),
    ("vm/extfrag_threshold", "777"),
    ("vm/max_map_count", "77777"),
    ("vm/oom_dump_tasks", "7"),
    ("vm/overcommit_ratio", "77"),
    ("vm/page-cluster", "7"),
    ("vm/stat_interval", "77"),
    ("vm/swappiness", "77"),
    ("vm/user_reserve_kbytes", "7777"),
    ("vm/vfs_cache_pressure", "77"),
    ("vm/watermark_scale_factor", "77"),
];

/// The same of every interface there is, of those that are to come (`default`) and of all, last: what is written to
/// `default` goes to interfaces of which nobody wrote.
const OF_INTERFACES: [&str; 10] = [
    "accept_redirects",
    "arp_announce",
    "arp_ignore",
    "arp_notify",
    "log_martians",
    "proxy_arp",
    "rp_filter",
    "secure_redirects",
    "send_redirects",
    "shared_media",
];
const INTERFACES: [&str; 8] = ["dummy0", "eth0", "eth0.100", "eth1", "hub0", "lo", "all", "default"];

/// Every key with its value that nobody declares.
fn keys() -> Vec<(String, &'static str)> {
    let of_interfaces = INTERFACES.iter().flat_map(|interface| {
        OF_INTERFACES.iter().map(move |leaf| (format!("net/ipv4/conf/{interface}/{leaf}"), "7"))
    });
    KEYS.iter().map(|(key, value)| ((*key).to_owned(), *value)).chain(of_interfaces).collect()
}

/// Lays out the files and the interfaces, once.
fn lay_out() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        for (path, text) in FILES {
            let path = Path::new("/").join(path);
            fs::create_dir_all(path.parent().expect("it is in a directory"))
                .expect("a directory can be made");
            fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {path:?}: {error}"));
        }
        for (path, to) in LINKS {
            let path = Path::new("/").join(path);
            let _ = fs::remove_file(&path);
            symlink(to, &path).unwrap_or_else(|error| panic!("cannot link {path:?}: {error}"));
        }
        sh("for name in eth0 eth1 hub0; do ip link add $name type dummy; done
            ip link add link eth0 name eth0.100 type vlan id 100");
    });
}

/// What is in force of each key, by the name that driftd gives it.
fn in_force() -> BTreeMap<String, String> {
    let of = |(key, _): &(String, &str)| {
        (key.replace('.', "\0").replace('/', ".").replace('\0', "/"), words(&read(&path(key))))
    };
    keys().iter().map(of).collect()
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

/// A value with one blank between its parts.
fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Gives each key the value that nobody declares.
fn nobodys() {
    for (key, value) in keys() {
        write(&path(&key), value).unwrap_or_else(|error| panic!("cannot write `{value}` to {key}: {error}"));
        assert_eq!(words(&read(&path(&key))), value, "{key}");
    }
}

/// What driftd has to say of a source: the whole answer, and what departs: what is declared and what is in force.
fn check(source: &str) -> (Value, BTreeMap<String, (String, Option<String>)>) {
    let line = format!("driftd check --declared --source {source} --format json");
    let output = typed(&line);
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("`{line}`: {error}"));
    let text = |value: &Value| value.as_str().map(words);
    let findings = said["findings"].as_array().expect("there is a list of findings").iter();
    let departs = findings.map(|finding| {
        let expected = text(&finding["expected"]).expect("something is expected");
        (finding["key"].as_str().unwrap_or_default().to_owned(), (expected, text(&finding["actual"])))
    });
    let departs = departs.collect();
    (said, departs)
}

/// Has a program apply the files, and holds what it wrote against what driftd says of the source. Returns how many keys
/// were written.
fn holds(program: &str, source: &str) -> usize {
    lay_out();
    nobodys();
    let before = in_force();
    let (said, declared) = check(source);
    assert_eq!(said["compared"], declared.len(), "every key that is declared departs: {said}");
    // It ends with an error, because of the lines that are wrong on purpose.
    let output = typed(program);
    let after = in_force();

    let written: BTreeMap<&String, &String> =
        after.iter().filter(|(key, value)| before[*key] != **value).collect();
    // The kernel takes the number and passes over the rest.
    assert_eq!(after["vm.user_reserve_kbytes"], "100");
    let there: BTreeMap<&String, String> = declared
        .iter()
        .filter(|(_, (_, actual))| actual.is_some())
        .map(|(key, (expected, _))| (key, expected.clone()))
        .collect();
    let differ: Vec<String> = written
        .keys()
        .chain(there.keys())
        .filter(|key| {
            written.get(*key).map(|value| number(value)) != there.get(*key).map(|value| number(value))
        })
        .map(|key| {
            format!("{key}: {program} made {:?}, driftd declares {:?}", written.get(key), there.get(key))
        })
        .collect();
    assert!(differ.is_empty(), "{}\n{}", differ.join("\n"), crate::host::both(&output));

    let (said, left) = check(source);
    let absent: Vec<&str> = left.keys().map(String::as_str).collect();
    assert_eq!(absent, ["kernel.absent"], "what is left departs because it does not exist: {said}");
    assert_eq!(said["compared"], written.len() + 1, "{said}");
    let lines = said["not_understood"].as_array().expect("there is a list of lines").iter();
    let lines: Vec<&str> = lines.filter_map(|line| line["text"].as_str()).collect();
    assert!(lines.contains(&"this is no assignment"), "it is not listed: {said}");
    written.len()
}

/// A number as the kernel shows it, whatever way it was written.
fn number(value: &str) -> String {
    match value.strip_prefix("0x").map(|hex| i64::from_str_radix(hex, 16)) {
        Some(Ok(number)) => number.to_string(),
        _ => value.to_owned(),
    }
}

fn systemd() {
    let written = holds("/lib/systemd/systemd-sysctl", "sysctl.d");
    assert!(written > 60, "{written} keys were written");
    assert_eq!(read(Path::new("/proc/sys/kernel/msgmnb")), "7777", "it does not look at hidden files");
}

fn procps() {
    let written = holds("sysctl --system", "procps");
    assert!(written > 60, "{written} keys were written");
    assert_eq!(read(Path::new("/proc/sys/kernel/msgmnb")), "16001", "it looks at hidden files");
}

fn explain() {
    lay_out();
    typed("/lib/systemd/systemd-sysctl");
    start_with("declared_from: [sysctl.d]\n");
    let explained = json("driftd explain vm.stat_interval --format json");
    let declared = explained["declared"].as_array().expect("there is a chain").iter();
    let declared: Vec<_> = declared
        .map(|said| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&said["declared_by"]["file"]), text(&said["expected"]), said["overridden"].as_bool())
        })
        .collect();
    let wanted = [
        ("/usr/lib/sysctl.d/20-order.conf", "1", true),
        ("/usr/local/lib/sysctl.d/21-order.conf", "2", true),
        ("/run/sysctl.d/22-order.conf", "3", true),
        ("/etc/sysctl.d/23-order.conf", "4", false),
    ];
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(file, value, over)| ((*file).to_owned(), (*value).to_owned(), Some(*over)))
        .collect();
    assert_eq!((explained["actual"].as_str(), declared), (Some("4"), wanted), "{explained}");
}

fn applied_again() {
    lay_out();
    sh("systemctl restart systemd-sysctl || true");
    start_with("declared_from: [sysctl.d]\n");
    let mut journal = Journal::of_driftd();
    sh("sysctl -qw net.ipv4.conf.eth0/100.rp_filter=1");
    let opened = journal.wait_for(&[
        ("DRIFTD_KIND", "finding"),
        ("DRIFTD_KEY", "net.ipv4.conf.eth0/100.rp_filter"),
        ("DRIFTD_STATE", "opened"),
    ]);
    assert_eq!(opened["DRIFTD_DECLARED_BY"], "/etc/sysctl.d/50-later.conf:2", "{opened}");
    sh("systemctl restart systemd-sysctl || true");
    let change = journal.wait_for(&[
        ("DRIFTD_KIND", "change"),
        ("DRIFTD_KEY", "net.ipv4.conf.eth0/100.rp_filter"),
        ("DRIFTD_ACTUAL", "0"),
    ]);
    assert_eq!(change["DRIFTD_WRITER_COMM"], "systemd-sysctl", "{change}");
    assert_eq!(change["DRIFTD_WRITER_UNIT"], "systemd-sysctl.service", "{change}");
    journal.wait_for(&[
        ("DRIFTD_KIND", "finding"),
        ("DRIFTD_KEY", "net.ipv4.conf.eth0/100.rp_filter"),
        ("DRIFTD_STATE", "healed"),
    ]);
}
