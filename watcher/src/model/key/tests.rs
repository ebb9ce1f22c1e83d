//! Spellings, and what they mean.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(spelling: &str, canonical: &str, path: &str) {
    let key: Key = spelling.parse().unwrap();
    assert_eq!((key.to_string().as_str(), key.path().as_str()), (canonical, path), "of {spelling}");
    assert_eq!(canonical.parse::<Key>().unwrap(), key, "the canonical spelling is accepted");
}

#[test]
fn every_spelling_has_one_canonical_form() {
    for spelling in ["vm.swappiness", "vm/swappiness", "/proc/sys/vm/swappiness"] {
        check(spelling, "vm.swappiness", "/proc/sys/vm/swappiness");
    }
    for spelling in ["net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"] {
        check(spelling, "net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter");
    }
    for spelling in ["link.eth0.100.mtu", "/sys/class/net/eth0.100/mtu"] {
        check(spelling, "link.eth0.100.mtu", "/sys/class/net/eth0.100/mtu");
    }
    check("/proc/sys/fs/file-nr:allocated", "fs.file-nr:allocated", "/proc/sys/fs/file-nr");
    check("kernel.printk:[0]", "kernel.printk:[0]", "/proc/sys/kernel/printk");
    check("/proc/meminfo:Active(anon)", "/proc/meminfo:Active(anon)", "/proc/meminfo");
    check("/proc/net/dev", "/proc/net/dev", "/proc/net/dev");
    check("/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev");
    for key in [
        "/proc/pressure/memory:some.avg10",
        "/proc/pressure/io:full.total",
        "/proc/cmdline",
        "/proc/cmdline:mitigations",
    ] {
        check(key, key, key.split(':').next().unwrap());
    }
    check("/proc/[pid]/stat:state=D", "/proc/[pid]/stat:state=D", "/proc");
    let throttled = "/sys/fs/cgroup/system.slice/mysql.service/cpu.stat:nr_throttled";
    check(throttled, throttled, throttled.split(':').next().unwrap());
    let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
    check(thp, thp, thp);
}

#[track_caller]
fn check_refused(spelling: &str, wanted: &str) {
    let error = spelling.parse::<Key>().unwrap_err();
    assert!(error.wanted.contains(wanted), "{error}");
}

#[test]
fn what_is_no_key_is_refused_with_what_was_wanted() {
    check_refused("", "two separators");
    check_refused("swappiness", "at least two components");
    check_refused("/proc/sys/../../etc/shadow", "`..` are not followed");
    check_refused("/sys/../etc/shadow", "`..` are not followed");
    check_refused("/etc/shadow", "what can be watched");
    check_refused("/proc/meminfo", "a field");
    check_refused("/proc/meminfo:", "a field's name");
    check_refused("/proc/net/dev:eth0.bytes", "INTERFACE.COUNTER");
    check_refused("fs.file-nr:used", "a column is");
    check_refused("kernel.printk:[01]", "a column is");
    check_refused("/proc/pressure/memory", "a resource and an average");
    check_refused("/proc/pressure/disk:some.avg10", "a resource and an average");
    check_refused("/proc/[pid]/stat:state=DD", "a state of processes");
    check_refused("/proc/cmdline:a=b", "the name of a boot parameter");
    check_refused("/sys/kernel/mm/x:y", "only those of cgroups");
    check_refused("vm.stat_refresh", "acts when it is read");
    check_refused("net.ipv4.conf.*.rp_filter", "one key, written out");
    check_refused("link.averyveryverylongname.mtu", "an interface's name");
}

#[test]
fn what_moves_by_itself_is_known() {
    for (key, moves) in [
        ("/proc/meminfo:MemAvailable", true),
        ("/proc/net/dev", true),
        ("fs.file-nr", true),
        ("fs.file-nr:allocated", true),
        ("fs.file-nr:max", false),
        ("vm.swappiness", false),
        ("/proc/pressure/cpu:some.avg60", true),
        ("/proc/[pid]/stat:state=D", true),
        ("/proc/cmdline:mitigations", false),
        ("/sys/fs/cgroup/system.slice/memory.max", false),
        ("/sys/fs/cgroup/system.slice/memory.current", true),
        ("/sys/fs/cgroup/system.slice/cpu.stat:nr_throttled", true),
    ] {
        assert_eq!(key.parse::<Key>().unwrap().moves_by_itself(), moves, "{key}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_takes_round_trips(text in ".{0,40}") {
        if let Ok(key) = text.parse::<Key>() {
            prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        }
    }

    #[test]
    fn any_path_of_a_probe_round_trips(parts in proptest::collection::vec("[a-z0-9._-]{1,12}", 2..6)) {
        if let Ok(key) = Key::sysctl(&parts.join("/")) {
            prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        }
    }
}
