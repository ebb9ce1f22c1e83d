//! Which option of which section sets which key, and to what.

use super::super::{Only, Target};
use crate::model::{Expectation, Pattern, Quantity};

/// What an option sets.
pub(super) type Sets = Vec<(Target, Expectation)>;

/// What an option of a plugin sets, its variables put in. `devices` is the option of that name of its section.
///
/// # Errors
/// Why it is not understood.
pub(super) fn sets(plugin: &str, devices: &str, name: &str, value: &str) -> Result<Sets, String> {
    if value.contains('\n') {
        return Err("a value of several lines".into());
    }
    match plugin {
        "sysctl" => sysctl(name, value),
        "sysfs" => sysfs(name, value),
        "vm" => vm(name, value),
        "cpu" => cpu(devices, name, value),
        "disk" => disk(devices, name, value),
        _ => Err(unknown(plugin)),
    }
}

/// The plugins whose options set keys.
pub(super) const KNOWN: [&str; 5] = ["sysctl", "sysfs", "vm", "cpu", "disk"];

/// Why the options of any other plugin are not understood.
pub(super) fn unknown(plugin: &str) -> String {
    format!("the plugin `{plugin}` is none of {}", KNOWN.join(", "))
}

fn one(target: Result<Target, &'static str>, expectation: Expectation) -> Result<Sets, String> {
    Ok(vec![(target?, expectation)])
}

fn equal(value: &str) -> Expectation {
    Expectation::Equal(value.into())
}

/// `>N` sets at least, `<N` at most; the value is not touched where it is already there.
fn modified(value: &str) -> Result<Expectation, String> {
    let number = |text: &str| match text.trim().parse::<i128>() {
        Ok(number) => number.to_string().parse::<Quantity>().map_err(|error| error.to_string()),
        Err(_) => Err(format!("wanted a number behind the `{}`", value.chars().next().unwrap_or_default())),
    };
    Ok(match (value.strip_prefix('>'), value.strip_prefix('<')) {
        (Some(min), _) => Expectation::Range { min: Some(number(min)?), max: None },
        (_, Some(max)) => Expectation::Range { min: None, max: Some(number(max)?) },
        (None, None) => equal(value),
    })
}

/// `plugin_sysctl.py`. Quotes around the whole value are taken off.
fn sysctl(name: &str, value: &str) -> Result<Sets, String> {
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    if Pattern::is_glob(name) {
        return Err("a pattern, which this plugin has not".into());
    }
    one(Target::sysctl(name), modified(unquoted)?)
}

/// `plugin_sysfs.py`: writes what it is given.
fn sysfs(name: &str, value: &str) -> Result<Sets, String> {
    if !name.starts_with("/sys/") {
        return Err("wanted a path below /sys".into());
    }
    if value.starts_with(['>', '<']) {
        return Err("this plugin has no `>` and `<`: it writes them".into());
    }
    // As `os.path.normpath` has it, without `..`, which the target refuses.
    let parts: Vec<&str> = name.split('/').filter(|part| !["", "."].contains(part)).collect();
    one(Target::parse(&format!("/{}", parts.join("/"))), equal(value))
}

/// `plugin_vm.py`. A part of the memory is written to the ratio, a number to the bytes.
fn vm(name: &str, value: &str) -> Result<Sets, String> {
    const HUGEPAGES: &str = "/sys/kernel/mm/transparent_hugepage";
    match name {
        "transparent_hugepages" | "transparent_hugepage" => match value {
            "always" | "never" | "madvise" => {
                one(Target::parse(&format!("{HUGEPAGES}/enabled")), equal(value))
            }
            _ => Err("wanted `always`, `madvise` or `never`".into()),
        },
        "transparent_hugepage.defrag" => one(Target::parse(&format!("{HUGEPAGES}/defrag")), equal(value)),
        "dirty_bytes" | "dirty_background_bytes" | "dirty_ratio" | "dirty_background_ratio" => {
            let (key, number) = match value.strip_suffix('%') {
                Some(part) => (name.replace("_bytes", "_ratio"), part),
                None => (name.to_owned(), value),
            };
            if number.parse::<u64>().is_err() {
                return Err("wanted a number or a part such as `10%`".into());
            }
            one(Target::sysctl(&format!("vm.{key}")), equal(number))
        }
        _ => Err("no option of `[vm]` has this name".into()),
    }
}

/// `plugin_cpu.py`: of the governors between bars the first that the processor has is set.
fn cpu(devices: &str, name: &str, value: &str) -> Result<Sets, String> {
    if name != "governor" {
        return Err("of `[cpu]` the governor alone is understood".into());
    }
    let governors: Vec<Box<str>> = value.split('|').map(|governor| governor.trim().into()).collect();
    let expectation = match governors.as_slice() {
        [one] => Expectation::Equal(one.clone()),
        _ => Expectation::OneOf(governors),
    };
    // Not `cpu*`: /sys/devices/system/cpu holds cpufreq and cpuidle too.
    let devices = named(devices)?.unwrap_or_else(|| vec!["cpu[0-9]*"]);
    let path = |device: &str| format!("/sys/devices/system/cpu/{device}/cpufreq/scaling_governor");
    devices.into_iter().map(|device| Ok((target(&path(device), Only::All)?, expectation.clone()))).collect()
}

/// `plugin_disk.py`.
fn disk(devices: &str, name: &str, value: &str) -> Result<Sets, String> {
    let (leaf, expectation) = match name {
        "elevator" => ("scheduler", equal(value)),
        "readahead" => ("read_ahead_kb", readahead(value)?),
        _ => return Err("of `[disk]` the elevator and the readahead alone are understood".into()),
    };
    let devices = named(devices)?.unwrap_or_else(|| vec!["*"]);
    let path = |device: &str| format!("/sys/block/{device}/queue/{leaf}");
    devices.into_iter().map(|device| Ok((target(&path(device), Only::Disks)?, expectation.clone()))).collect()
}

/// In KiB, or in sectors of 512 bytes with an `s` behind white space.
fn readahead(value: &str) -> Result<Expectation, String> {
    if value.starts_with(['>', '<']) {
        return modified(value);
    }
    let mut words = value.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<u64>().ok());
    match (number, words.next()) {
        (Some(number), None) => Ok(equal(&number.to_string())),
        (Some(sectors), Some(unit)) if unit.starts_with('s') => Ok(equal(&(sectors / 2).to_string())),
        _ => Err("wanted a number of KiB, or of sectors as in `8192 s`".into()),
    }
}

/// The devices that are named; `None` for all there are.
fn named(devices: &str) -> Result<Option<Vec<&str>>, String> {
    let names: Vec<&str> = devices.split([',', ';', ' ', '\t']).filter(|device| !device.is_empty()).collect();
    if names.iter().any(|name| name.starts_with('!') || name.contains('/')) {
        return Err("`devices` with `!` is not understood".into());
    }
    Ok((!names.is_empty() && names != ["*"]).then_some(names))
}

/// A path with or without wildcards. One disk that is named is still one that must be a disk.
fn target(path: &str, only: Only) -> Result<Target, String> {
    if Pattern::is_glob(path) {
        return Ok(Target::pattern(path, only)?);
    }
    Ok(Target::parse(path)?)
}

/// The options that any section may have; what they are for is said in `profile`.
pub(super) const OF_ANY_SECTION: [&str; 7] =
    ["type", "enabled", "replace", "drop", "devices", "uname_regex", "cpuinfo_regex"];

/// The options that any section may have and that are not heeded: programs that run, and the order of sections.
pub(super) const NOT_HEEDED: [&str; 5] =
    ["script_pre", "script_post", "prepend", "priority", "devices_udev_regex"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, option: &str, wanted: &str) {
        let (plugin, devices) = section.split_once(' ').unwrap_or((section, "*"));
        let (name, value) = option.split_once('=').unwrap();
        let said = match sets(plugin, devices, name, value) {
            Ok(sets) => {
                let said = sets.iter().map(|(target, expectation)| match expectation {
                    Expectation::Equal(value) => format!("{target} = {value}"),
                    Expectation::OneOf(values) => format!("{target} is one of {}", values.join(" ")),
                    Expectation::Range { min: Some(min), .. } => format!("{target} >= {min}"),
                    Expectation::Range { max: Some(max), .. } => format!("{target} <= {max}"),
                    other => format!("{other:?}"),
                });
                said.collect::<Vec<_>>().join(", ")
            }
            Err(why) => format!("not: {why}"),
        };
        assert_eq!(said, wanted);
    }

    #[test]
    fn each_option_sets_its_key() {
        check("sysctl", "vm.swappiness=10", "vm.swappiness = 10");
        check("sysctl", "net.ipv4.tcp_rmem=\"4096 131072 1\"", "net.ipv4.tcp_rmem = 4096 131072 1");
        check("sysctl", "kernel.pid_max=>4194304", "kernel.pid_max >= 4194304");
        check("sysctl", "kernel.pid_max=< 5", "kernel.pid_max <= 5");
        check("sysctl", "kernel.pid_max=>many", "not: wanted a number behind the `>`");
        check("sysctl", "kernel.*=1", "not: a pattern, which this plugin has not");
        check("sysfs", "/sys//module/a/parameters/b=1", "/sys/module/a/parameters/b = 1");
        check("sysfs", "/sys/block/*/queue/rotational=0", "/sys/block/*/queue/rotational = 0");
        check("sysfs", "/sys/class/net/eth0/mtu=9000", "link.eth0.mtu = 9000");
        check("sysfs", "/proc/sys/a/b=1", "not: wanted a path below /sys");
        check("sysfs", "/sys/../etc/a=1", "not: `.` and `..` are not followed");
        check("vm", "transparent_hugepages=never", "/sys/kernel/mm/transparent_hugepage/enabled = never");
        check("vm", "transparent_hugepages=on", "not: wanted `always`, `madvise` or `never`");
        check("vm", "dirty_bytes=40%", "vm.dirty_ratio = 40");
        check("vm", "dirty_background_bytes=67108864", "vm.dirty_background_bytes = 67108864");
        check("vm", "dirty_bytes=>5", "not: wanted a number or a part such as `10%`");
    }

    #[test]
    fn options_of_devices_are_patterns() {
        let governor = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor";
        check("cpu", "governor=performance", &format!("{governor} = performance"));
        check("cpu", "governor=schedutil|ondemand", &format!("{governor} is one of schedutil ondemand"));
        check("cpu", "boost=1", "not: of `[cpu]` the governor alone is understood");
        check("disk", "elevator=none", "/sys/block/*/queue/scheduler = none");
        check("disk", "readahead=>4096", "/sys/block/*/queue/read_ahead_kb >= 4096");
        check("disk", "readahead=8192 sectors", "/sys/block/*/queue/read_ahead_kb = 4096");
        check(
            "disk sda,nvme*",
            "elevator=none",
            "/sys/block/sda/queue/scheduler = none, /sys/block/nvme*/queue/scheduler = none",
        );
        check("disk !sda", "elevator=none", "not: `devices` with `!` is not understood");
        check("net", "a=1", "not: the plugin `net` is none of sysctl, sysfs, vm, cpu, disk");
    }
}
