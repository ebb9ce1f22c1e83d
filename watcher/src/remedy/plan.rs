//! From a departure to the one write that cures it, or the reason why driftd does not write. Pure.

use crate::model::{Expectation, Key, Value};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is written.
    pub key: Key,
    /// What to it.
    pub value: Value,
}

/// Why driftd does not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever writes it runs a program as root.
    #[error(
        "{0} names a program that the kernel starts, and driftd never writes one\nhint: write it by hand, after a look at who changed it"
    )]
    Program(Key),
    /// It would have to be told what was written.
    #[error("{0} is a secret, which driftd neither shows nor writes\nhint: write it by hand")]
    Secret(Key),
    /// It is written by no one, or not by driftd.
    #[error("{0} is {1}\nhint: {2}")]
    Surface(Key, &'static str, &'static str),
    /// No value is the declared one.
    #[error(
        "{0} is expected to be {1}, and that is no single value to write\nhint: declare one, with `expect`"
    )]
    NoSingleValue(Key, String),
    /// Only a write of its counterpart sets it to 0, and what that one is to be is not known.
    #[error("{0} is 0 only where {1} counts, and nothing says what that is to be\nhint: declare {1} too")]
    Counterpart(Key, Key),
    /// It does not exist.
    #[error(
        "{0} does not exist here, and driftd does not make it\nhint: what brings it, a module or an interface?"
    )]
    Absent(Key),
    /// A value that could be a path or a command.
    #[error(
        "what is expected of {0} looks like the path of a program, and driftd never writes one\nhint: write it by hand"
    )]
    Path(Key),
}

/// What cures a departure of a key from what is expected. `captured` is what the host had when the deployment was confirmed.
///
/// # Errors
/// There is no such write, or it is not for driftd.
pub fn plan(
    key: &Key,
    expectation: &Expectation,
    captured: Option<&Value>,
    live: Option<&Value>,
) -> Result<Step, Refusal> {
    writable(key)?;
    let value = match expectation {
        Expectation::Equal(value) => Value::canonical(key, value),
        Expectation::Captured(_) => match captured {
            Some(value) => value.clone(),
            None => return Err(Refusal::NoSingleValue(key.clone(), "what was never captured".into())),
        },
        Expectation::Near(value, _) => match value.whole() {
            Some(whole) => Value::canonical(key, &whole.to_string()),
            None => return Err(Refusal::NoSingleValue(key.clone(), value.to_string())),
        },
        Expectation::OneOf(_) => {
            return Err(Refusal::NoSingleValue(key.clone(), "one of several".into()));
        }
        Expectation::Matches(pattern) => {
            return Err(Refusal::NoSingleValue(key.clone(), format!("a match of `{pattern}`")));
        }
        Expectation::Range { .. } | Expectation::Share { .. } => {
            return Err(Refusal::NoSingleValue(key.clone(), "within bounds".into()));
        }
    };
    // The list of keys that name a program is of the kernels that are known.
    if value.as_str().contains('/') || value.as_str().starts_with('|') {
        return Err(Refusal::Path(key.clone()));
    }
    if live.is_none() {
        return Err(Refusal::Absent(key.clone()));
    }
    Ok(Step { key: key.clone(), value })
}

/// The same write where the key has a counterpart: a 0 says that the other one is to count, and the kernel refuses it or
/// takes it for both (mm/page-writeback.c `dirty_bytes_handler`, mm/util.c `overcommit_kbytes_handler`). `other` is what the
/// other one is to be.
///
/// # Errors
/// That is not known, or 0 as well.
pub fn through_counterpart(step: Step, other: impl FnOnce(&Key) -> Option<Value>) -> Result<Step, Refusal> {
    let Some(counterpart) = step.key.counterpart().filter(|_| step.value.as_str() == "0") else {
        return Ok(step);
    };
    match other(&counterpart).filter(|value| value.as_str() != "0") {
        Some(value) => Ok(Step { key: counterpart, value }),
        None => Err(Refusal::Counterpart(step.key, counterpart)),
    }
}

/// The parts of /sys that driftd writes: files that hold a number or a choice, and set nothing in motion. `*` is one
/// component, and the file is anywhere below.
const SYSFS: [&str; 10] = [
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/kernel/mm/hugepages",
    "/sys/kernel/mm/ksm",
    "/sys/kernel/mm/lru_gen",
    "/sys/kernel/mm/numa",
    "/sys/kernel/mm/swap",
    "/sys/block/*/queue",
    "/sys/devices/system/cpu/*/cpufreq",
    "/sys/devices/system/cpu/cpufreq",
    "/sys/devices/system/cpu/intel_pstate",
];

/// Whether a path is below one of them.
fn is_harmless(path: &str) -> bool {
    SYSFS.iter().any(|tree| {
        let mut parts = path.split('/');
        let below =
            tree.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || part == wanted));
        below && parts.next().is_some()
    })
}

/// Whether a key may be written by driftd at all, whatever is expected of it.
///
/// # Errors
/// It may not, and why.
pub fn writable(key: &Key) -> Result<(), Refusal> {
    if key.names_program() {
        return Err(Refusal::Program(key.clone()));
    }
    if key.is_secret() {
        return Err(Refusal::Secret(key.clone()));
    }
    let refused = |what, hint| Err(Refusal::Surface(key.clone(), what, hint));
    match key {
        Key::Sysctl { column: Some(_), .. } => {
            refused("one column of a line, which is written whole", "declare the whole line")
        }
        _ if key.moves_by_itself() => {
            refused("a figure that the kernel counts, and nobody writes", "see what moves it")
        }
        Key::Sysctl { column: None, .. } | Key::Link { .. } => Ok(()),
        Key::Sysfs { path, field: None } if path.starts_with("/sys/fs/cgroup/") => refused(
            "the service manager's, which would set it again",
            "`systemctl set-property UNIT` puts it right, and keeps it so",
        ),
        Key::Sysfs { path, field: None } if is_harmless(path) => Ok(()),
        Key::Sysfs { .. } => {
            refused("in a part of /sys where a write may set something in motion", "write it by hand")
        }
        Key::Cmdline { .. } => {
            refused("what the kernel was booted with", "change the boot loader, and reboot")
        }
        Key::Meminfo { .. } | Key::NetDev { .. } | Key::Pressure { .. } | Key::Processes { .. } => {
            refused("a figure that the kernel counts, and nobody writes", "see what moves it")
        }
    }
}

/// The place of the key that is to be written first: one that a later write of another sets no more. `sets` says whether a
/// write of its first key sets its second one too; of two that set each other either may be first.
pub fn first(keys: &[&Key], sets: impl Fn(&Key, &Key) -> bool) -> Option<usize> {
    let is_set = |key: &Key| keys.iter().any(|other| *other != key && sets(other, key) && !sets(key, other));
    keys.iter().position(|key| !is_set(key)).or((!keys.is_empty()).then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(value: &str) -> Expectation {
        Expectation::Equal(value.into())
    }

    #[track_caller]
    fn check(key: &str, expectation: &Expectation, wanted: Result<&str, &str>) {
        let key: Key = key.parse().unwrap();
        let live = Value::canonical(&key, "61");
        let planned = plan(&key, expectation, None, Some(&live));
        let words =
            planned.map(|step| format!("{} = {}", step.key, step.value)).map_err(|error| error.to_string());
        match wanted {
            Ok(wanted) => assert_eq!(words.as_deref(), Ok(wanted)),
            Err(wanted) => {
                assert!(words.as_ref().is_err_and(|said| said.contains(wanted)), "{key}: {words:?}")
            }
        }
    }

    #[test]
    fn what_is_declared_is_what_is_written() {
        check("vm.swappiness", &equal("0xa"), Ok("vm.swappiness = 10"));
        check(
            "net.ipv4.tcp_rmem",
            &equal("4096\t131072  6291456"),
            Ok("net.ipv4.tcp_rmem = 4096 131072 6291456"),
        );
        check("/sys/class/net/eth0/mtu", &equal("9000"), Ok("link.eth0.mtu = 9000"));
        let near = Expectation::Near("1GiB".parse().unwrap(), crate::model::Margin::Percent(500));
        check("vm.dirty_bytes", &near, Ok("vm.dirty_bytes = 1073741824"));
        let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
        check(thp, &equal("madvise"), Ok("/sys/kernel/mm/transparent_hugepage/enabled = madvise"));
        check("/sys/block/sda/queue/scheduler", &equal("none"), Ok("/sys/block/sda/queue/scheduler = none"));
    }

    #[test]
    fn a_key_that_names_a_program_is_never_written_whatever_it_is_called() {
        for key in [
            "kernel.core_pattern",
            "/proc/sys/kernel/modprobe",
            "kernel/hotplug",
            "kernel.poweroff_cmd",
            "kernel.reboot-cmd",
            "kernel.usermodehelper.bset",
            "fs.binfmt_misc.status",
            "fs.binfmt_misc.python3",
            "fs.ocfs2.nm.hb_ctl_path",
            "/sys/kernel/uevent_helper",
            "/sys/module/nfs/parameters/cache_getent",
        ] {
            check(key, &equal("core"), Err("names a program"));
        }
        // And what no list knows yet.
        for value in ["/bin/sh", "|/bin/sh", "|sh", "a /b"] {
            check("kernel.new_helper", &equal(value), Err("looks like the path of a program"));
        }
    }

    #[test]
    fn what_driftd_does_not_write_is_said_with_what_to_do_instead() {
        let one = equal("1");
        check("net.ipv6.conf.all.stable_secret", &one, Err("is a secret"));
        check("kernel.printk:[0]", &one, Err("one column"));
        check("fs.file-nr", &one, Err("that the kernel counts"));
        check("/proc/meminfo:MemAvailable", &one, Err("that the kernel counts"));
        check("/proc/cmdline:mitigations", &one, Err("booted with"));
        check("/sys/fs/cgroup/a.slice/memory.max", &one, Err("systemctl set-property"));
        for path in [
            "/sys/power/state",
            "/sys/block/sda/device/delete",
            "/sys/devices/system/cpu/microcode/reload",
            "/sys/devices/system/cpu/cpu1/online",
            "/sys/block/sda/queue",
        ] {
            check(path, &one, Err("set something in motion"));
        }
    }

    #[test]
    fn only_a_single_value_is_written_and_only_where_there_is_something() {
        let one_of = Expectation::OneOf(vec!["1".into(), "2".into()]);
        check("vm.swappiness", &one_of, Err("no single value"));
        check("vm.swappiness", &Expectation::Range { min: None, max: None }, Err("no single value"));
        check("vm.swappiness", &Expectation::Captured(None), Err("no single value"));
        let key: Key = "vm.swappiness".parse().unwrap();
        let captured = Value::canonical(&key, "60");
        let live = Value::canonical(&key, "61");
        let planned = plan(&key, &Expectation::Captured(None), Some(&captured), Some(&live));
        assert_eq!(planned, Ok(Step { key: key.clone(), value: captured }));
        assert_eq!(plan(&key, &equal("1"), None, None), Err(Refusal::Absent(key)));
    }

    #[test]
    fn a_pair_of_which_one_counts_is_written_by_the_one_that_counts() {
        let key = |text: &str| text.parse::<Key>().unwrap();
        let (bytes, ratio) = (key("vm.dirty_bytes"), key("vm.dirty_ratio"));
        let step = |key: &Key, value| Step { key: key.clone(), value: Value::canonical(key, value) };
        let twenty = Some(Value::canonical(&ratio, "20"));
        assert_eq!(through_counterpart(step(&bytes, "0"), |_| twenty.clone()), Ok(step(&ratio, "20")));
        assert_eq!(through_counterpart(step(&ratio, "20"), |_| None), Ok(step(&ratio, "20")));
        let none = through_counterpart(step(&bytes, "0"), |_| None);
        assert_eq!(none, Err(Refusal::Counterpart(bytes.clone(), ratio.clone())));
        let both = through_counterpart(step(&bytes, "0"), |_| Some(Value::canonical(&ratio, "0")));
        assert!(both.is_err());
        let other = key("vm.swappiness");
        assert_eq!(through_counterpart(step(&other, "0"), |_| None), Ok(step(&other, "0")));
    }

    #[test]
    fn what_sets_others_too_is_written_before_them() {
        let key = |text: &str| text.parse::<Key>().unwrap();
        let (all, eth0, other) =
            (key("net.ipv4.ip_forward"), key("net.ipv4.conf.eth0.forwarding"), key("vm.swappiness"));
        let sets = |a: &Key, b: &Key| (a, b) == (&all, &eth0);
        assert_eq!(first(&[&eth0, &all], sets), Some(1));
        assert_eq!(first(&[&eth0, &other, &all], sets), Some(1));
        assert_eq!(first(&[&eth0], sets), Some(0));
        assert_eq!(first(&[], sets), None);
        // Two that set each other have no order.
        assert_eq!(first(&[&eth0, &all], |_, _| true), Some(0));
    }
}
