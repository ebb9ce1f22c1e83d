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
    // Were there such sysctls, they would not be links.
    for name in ["link/eth0/mtu", "link/mtu"] {
        check(name, &format!("/proc/sys/{name}"), &format!("/proc/sys/{name}"));
    }
    check("/proc/sys/fs/file-nr:allocated", "fs.file-nr:allocated", "/proc/sys/fs/file-nr");
    for (number, name) in [("[0]", "allocated"), ("[1]", "unused"), ("[2]", "max")] {
        check(&format!("fs.file-nr:{number}"), &format!("fs.file-nr:{name}"), "/proc/sys/fs/file-nr");
    }
    check("fs.file-nr:[3]", "fs.file-nr:[3]", "/proc/sys/fs/file-nr");
    check("kernel.printk:[0]", "kernel.printk:[0]", "/proc/sys/kernel/printk");
    check("/proc/meminfo:Active(anon)", "/proc/meminfo:Active(anon)", "/proc/meminfo");
    check("/proc/net/dev", "/proc/net/dev", "/proc/net/dev");
    check("/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev:eth0.1.rx_dropped", "/proc/net/dev");
    for key in [
        "/proc/pressure/memory:some.avg10",
        "/proc/pressure/io:full.total",
        "/sys/fs/cgroup/io.pressure:full.avg60",
        "/sys/fs/cgroup/system.slice/mysql.service/memory.pressure:some.avg10",
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
fn check_interface(key: &str, interface: Option<&str>, of_eth7: &str) {
    let key: Key = key.parse().unwrap();
    assert_eq!((key.interface(), key.of_interface(&"eth7".into()).to_string()), (interface, of_eth7.into()));
}

#[test]
fn a_key_of_an_interface_is_that_of_another_by_its_name_alone() {
    check_interface("link.uplink-of-the-host.mtu", Some("uplink-of-the-host"), "link.eth7.mtu");
    check_interface("/proc/net/dev:enp3s0.rx_dropped", Some("enp3s0"), "/proc/net/dev:eth7.rx_dropped");
    check_interface(
        "/sys/class/net/a/queues/rx-0/rps_cpus",
        Some("a"),
        "/sys/class/net/eth7/queues/rx-0/rps_cpus",
    );
    for key in ["/proc/net/dev", "/sys/class/net", "net.ipv4.conf.a.forwarding", "vm.swappiness"] {
        check_interface(key, None, key);
    }
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
    for counter in Key::NET_DEV_COUNTERS {
        let (side, counter) = counter.split_once('_').unwrap();
        let counters = format!("for {side} ");
        let error = "/proc/net/dev:lo.rx_drop".parse::<Key>().unwrap_err();
        let (_, listed) = error.wanted.split_once(&counters).unwrap();
        assert!(listed.split("for tx").next().unwrap().contains(counter), "{side} {counter}: {error}");
    }
    for other in ["exec:foo", "unit:mysql.service:ActiveState", "file:/etc/rsyslog.conf"] {
        check_refused(other, "what can be watched");
    }
    check_refused("fs.file-nr:used", "a column is");
    check_refused("kernel.printk:[01]", "a column is");
    check_refused("/proc/pressure/memory", "a resource and an average");
    check_refused("/proc/pressure/disk:some.avg10", "a resource and an average");
    check_refused("/sys/fs/cgroup/a.slice/memory.pressure", "an average");
    check_refused("/sys/fs/cgroup/a.slice/memory.pressure:avg10", "an average");
    check_refused("/proc/[pid]/stat:state=DD", "a state of processes");
    check_refused("/proc/cmdline:a=b", "the name of a boot parameter");
    check_refused("/sys/kernel/mm/x:y", "only those of cgroups");
    // A space, a control character of ASCII and one beyond it, and white space beyond it.
    for blank in [' ', '\u{7f}', '\u{85}', '\u{2028}'] {
        check_refused(&format!("vm.a{blank}b"), "no white space or control characters");
        check_refused(&format!("link.a{blank}b.mtu"), "an interface's name");
    }
    check_refused("vm.stat_refresh", "acts when it is read");
    check_refused("net.ipv4.conf.*.rp_filter", "one key, written out");
    for pattern in ["link.eth?.mtu", "link.*.mtu", "/proc/net/dev:eth?.rx_bytes"] {
        check_refused(
            pattern,
            if pattern.starts_with('/') { "INTERFACE.COUNTER" } else { "an interface's name" },
        );
    }
    check_refused(&format!("link.{}.mtu", "n".repeat(128)), "an interface's name");
}

#[test]
fn what_moves_by_itself_is_known() {
    for (key, moves) in [
        ("/proc/meminfo:MemAvailable", true),
        ("/proc/net/dev", true),
        ("fs.file-nr", true),
        ("fs.file-nr:allocated", true),
        ("fs.file-nr:max", false),
        ("fs.file-nr:[1]", true),
        ("fs.file-nr:[2]", false),
        ("/proc/meminfo:MemTotal", false),
        ("/proc/meminfo:SwapTotal", false),
        ("/proc/meminfo:HugePages_Total", false),
        ("/proc/meminfo:Hugepagesize", false),
        ("/proc/meminfo:CommitLimit", false),
        ("/proc/meminfo:HugePages_Free", true),
        ("/proc/meminfo:DirectMap4k", true),
        ("vm.swappiness", false),
        ("/proc/pressure/cpu:some.avg60", true),
        ("/proc/[pid]/stat:state=D", true),
        ("/proc/cmdline:mitigations", false),
        ("/sys/fs/cgroup/system.slice/memory.max", false),
        ("/sys/fs/cgroup/system.slice/memory.pressure:some.avg10", true),
        ("/sys/fs/cgroup/system.slice/memory.current", true),
        ("/sys/fs/cgroup/system.slice/cpu.stat:nr_throttled", true),
    ] {
        assert_eq!(key.parse::<Key>().unwrap().moves_by_itself(), moves, "{key}");
    }
}

#[test]
fn what_names_a_program_is_known() {
    for (key, names) in [
        ("kernel.core_pattern", true),
        ("kernel.modprobe", true),
        ("kernel.poweroff_cmd", true),
        ("fs.binfmt_misc.register", true),
        ("/sys/kernel/uevent_helper", true),
        ("/sys/fs/cgroup/memory/release_agent", true),
        ("/sys/module/nfs/parameters/cache_getent", true),
        ("/sys/class/net/eth0/device/driver/module/parameters/debug", true),
        ("kernel.hostname", false),
        ("kernel.core_uses_pid", false),
        ("/sys/kernel/mm/transparent_hugepage/enabled", false),
    ] {
        assert_eq!(key.parse::<Key>().unwrap().names_program(), names, "{key}");
    }
}

#[test]
fn what_is_delivered_declares_settings_and_nothing_that_root_alone_may_read() {
    for (key, barred) in [
        ("vm.swappiness", None),
        ("link.eth0.mtu", None),
        ("/proc/pressure/memory:some.avg10", None),
        ("/proc/cmdline:mitigations", None),
        ("/sys/block/sda/queue/scheduler", None),
        ("/sys/class/net/eth0/queues/rx-0/rps_cpus", None),
        ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", None),
        ("/sys/fs/cgroup/system.slice/memory.max", None),
        ("/sys/fs/cgroup/system.slice/memory.pressure:some.avg10", None),
        ("/sys/kernel/mm/transparent_hugepage/enabled", None),
        ("kernel.core_pattern", Some(Barred::Program)),
        ("/sys/module/drbd/parameters/usermode_helper", Some(Barred::Program)),
        ("/sys/block/sda/device/driver/module/parameters/x", Some(Barred::Program)),
        ("net.ipv4.tcp_fastopen_key", Some(Barred::Secret)),
        ("/sys/firmware/efi/efivars/x-8be4df61", Some(Barred::Place)),
        ("/sys/firmware/qemu_fw_cfg/by_name/opt/secret/raw", Some(Barred::Place)),
        ("/sys/class/dmi/id/product_serial", Some(Barred::Place)),
        ("/sys/class/net/eth0/device/resource0", Some(Barred::Place)),
        ("/sys/class/net/eth0/device/rom", Some(Barred::Place)),
        ("/sys/class/iscsi_session/session1/password", Some(Barred::Place)),
        ("/sys/kernel/debug/x", Some(Barred::Place)),
        ("/sys/kernel/tracing/trace", Some(Barred::Place)),
        ("/sys/kernel/security/lockdown", Some(Barred::Place)),
        ("/sys/fs/pstore/dmesg-efi-1", Some(Barred::Place)),
        ("/sys/kernel/mmx/a", Some(Barred::Place)),
        ("/sys/class/net/eth0/device/driver/x", Some(Barred::Place)),
        ("/sys/block/sda/device/subsystem/drivers_probe", Some(Barred::Place)),
    ] {
        assert_eq!(key.parse::<Key>().unwrap().barred(), barred, "{key}");
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
