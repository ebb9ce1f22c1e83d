//! `driftd doctor`: what this host offers, what would be watched how, why so, and what would make it better.
//!
//! It attaches the programs as `driftd run` does, tries whether they see, and takes them away again. It changes nothing,
//! and a running daemon is not disturbed.

use std::{fmt::Write as _, io::Write, path::Path};

use serde::Serialize;

use super::exit;
use crate::{
    alerts::Output,
    config::{self, Config},
    kernel,
    model::Probes,
    probes::{self, Capabilities, Cgroup2, Facts, Interest, Join, Kprobes, Lockdown, Options, Probing},
};

/// What was found.
#[derive(Serialize)]
struct Report {
    /// How writes of sysctls would be noticed; `None` where the probes that the configuration forces cannot be had.
    sysctl: Option<&'static str>,
    /// How changes of MTUs would be noticed.
    link: Option<&'static str>,
    /// How rises of pressure would be noticed.
    pressure: Option<&'static str>,
    /// Why so, one sentence each, with the cure after `hint:`.
    reasons: Vec<String>,
    /// Why the programs see nothing, where they do not.
    blind: Option<String>,
    facts: Vec<Fact>,
    privileges: Vec<Privilege>,
}

/// Something about the host.
#[derive(Serialize)]
struct Fact {
    what: &'static str,
    is: String,
}

/// A capability.
#[derive(Serialize)]
struct Privilege {
    name: &'static str,
    /// Whether it is there, by itself or because CAP_SYS_ADMIN contains it.
    there: bool,
    /// What it is good for.
    why: &'static str,
}

/// The capabilities that matter, and what for (docs/kernels.md).
const PRIVILEGES: [((u32, &str), &str); 7] = [
    (Capabilities::BPF, "any program"),
    (Capabilities::PERFMON, "kprobe, fexit; who writes, with the plan cgroup"),
    (Capabilities::NET_ADMIN, "the `cgroup/sysctl` program"),
    (Capabilities::SYS_ADMIN, "kprobe where kernel.perf_event_paranoid is above 2"),
    (Capabilities::SYSLOG, "whose sysctl was written: addresses in kallsyms"),
    (Capabilities::SYS_PTRACE, "the numbers of the host's namespaces, from process 1"),
    (Capabilities::SYS_RESOURCE, "the ring before Linux 5.11, many open files"),
];

/// Looks, shows what was found, and says how it went: not well where forced probes cannot be had, or see nothing.
pub fn run(config: Option<&Config>, output: Output, mut out: impl Write) -> anyhow::Result<u8> {
    let wanted = config.map_or(Probes::Auto, |config| config.probes);
    let options = Options {
        ring: config.map_or(config::DEFAULT_RING, |config| config.ring),
        foreign: false,
        log: false,
    };
    let started = probes::start(Path::new("/"), wanted, options);
    let report = match started {
        Ok(mut probing) => {
            let blind = blind(&mut probing);
            Report {
                sysctl: Some(probing.plan.sysctl.as_str()),
                link: Some(probing.plan.link.as_str()),
                pressure: Some(probing.plan.pressure.as_str()),
                reasons: std::mem::take(&mut probing.plan.reasons),
                blind,
                ..report(&probing.facts)
            }
        }
        Err(error) => Report { reasons: vec![error.to_string()], ..report(&error.facts) },
    };
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&report)?)?,
        Output::Text => write!(out, "{}", text(&report))?,
    }
    Ok(match report.blind.is_some() || report.sysctl.is_none() {
        true => exit::UNREACHABLE,
        false => exit::IN_SYNC,
    })
}

/// Tries whether the programs see.
fn blind(probing: &mut Probing) -> Option<String> {
    let mut join = Join::new(Interest::default(), probing.hook(), probing.facts.host);
    let (canary, loaded) = (probing.canary.as_ref()?, probing.loaded.as_mut()?);
    if let Err(error) = canary.sing() {
        return Some(format!("whether the programs see cannot be tried: {error}"));
    }
    let (now, mut hints) = (kernel::now().boot, Vec::new());
    // Whatever else is written meanwhile is read and forgotten.
    while loaded.drain(PIECE, |record| join.take(record, now, &mut hints)) {}
    canary.unheard(join.heard())
}

/// How many records are taken at once.
const PIECE: usize = 4096;

fn report(facts: &Facts) -> Report {
    let there = |capability| facts.capabilities.has(capability);
    let privileges =
        PRIVILEGES.iter().map(|(c, why)| Privilege { name: c.1, there: there(*c), why }).collect();
    Report {
        sysctl: None,
        link: None,
        pressure: None,
        reasons: Vec::new(),
        blind: None,
        facts: words(facts),
        privileges,
    }
}

/// The facts in words.
fn words(facts: &Facts) -> Vec<Fact> {
    let known = |number: u32| if number == 0 { "not known".to_owned() } else { number.to_string() };
    let switch = |switch: Option<bool>| match switch {
        Some(true) => "1",
        Some(false) => "0: programs attach and never fire",
        None => "not there",
    };
    let hidden = facts.roots.net == 0 || facts.roots.global == 0;
    vec![
        Fact {
            what: "kprobes",
            is: match facts.kprobes {
                Kprobes::Permitted => "permitted",
                Kprobes::Absent => "absent: the kernel was built without (CONFIG_KPROBES)",
                Kprobes::Paranoid => {
                    "not permitted: kernel.perf_event_paranoid is above 2, CAP_SYS_ADMIN missing"
                }
                Kprobes::Refused => "refused by the kernel",
            }
            .into(),
        },
        Fact {
            what: "fexit",
            is: if facts.fexit_refused { "refused by the kernel" } else { "not refused" }.into(),
        },
        Fact { what: "lockdown", is: facts.lockdown.map_or("not known", Lockdown::as_str).into() },
        Fact { what: "kernel.ftrace_enabled", is: switch(facts.ftrace_enabled).into() },
        Fact { what: "kprobes/enabled", is: switch(facts.kprobes_enabled).into() },
        Fact {
            what: "BTF",
            is: match &facts.offsets {
                Ok(_) => "has all offsets".into(),
                Err(error) => error.clone(),
            },
        },
        Fact {
            what: "sysctl function",
            is: if facts.sysctl_function { "proc_sys_write" } else { "none" }.into(),
        },
        Fact { what: "MTU function", is: facts.mtu_function.unwrap_or("none of a known name").into() },
        Fact { what: "sysctl roots", is: if hidden { "hidden" } else { "known" }.into() },
        Fact {
            what: "cgroup2",
            is: match &facts.cgroup2 {
                Cgroup2::Mounted(place) => place.display().to_string(),
                Cgroup2::Absent => "not mounted".into(),
                Cgroup2::Refused => "mounted, and the kernel refused the program".into(),
            },
        },
        Fact {
            what: "PSI triggers",
            is: match &facts.psi {
                Ok(()) => "permitted".into(),
                Err(reason) => reason.lines().next().unwrap_or_default().to_owned(),
            },
        },
        Fact {
            what: "namespaces",
            is: format!(
                "net {}, ipc {}, uts {}, user {}",
                known(facts.host.net),
                known(facts.host.ipc),
                known(facts.host.uts),
                known(facts.host.user)
            ),
        },
    ]
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    match (report.sysctl, report.link, report.pressure) {
        (Some(sysctl), Some(link), Some(pressure)) => {
            let _ = writeln!(text, "sysctls are watched by {sysctl}, MTUs by {link}, pressure by {pressure}");
        }
        _ => text.push_str("driftd does not start\n"),
    }
    for line in report.blind.iter().chain(&report.reasons) {
        let _ = writeln!(text, "  {}", line.replace('\n', "\n    "));
    }
    text.push_str("\nthis host\n");
    for Fact { what, is } in &report.facts {
        let _ = writeln!(text, "  {what:<22} {is}");
    }
    text.push_str("\nprivileges\n");
    for Privilege { name, there, why } in &report.privileges {
        let there = if *there { "yes" } else { "MISSING" };
        let _ = writeln!(text, "  {name:<22} {there:<8} {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn what_is_missing_stands_with_what_it_is_good_for() {
        let root = host(&[
            ("proc/self/status", "CapEff:\t000000c000001000\n"),
            ("proc/sys/kernel/perf_event_paranoid", "3\n"),
            ("proc/sys/kernel/ftrace_enabled", "1\n"),
            ("sys/bus/event_source/devices/kprobe/type", "6\n"),
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
        ]);
        let mut report = report(&probes::facts(root.path()));
        (report.sysctl, report.link, report.pressure) = (Some("cgroup"), Some("netlink"), Some("swept"));
        report.reasons = vec!["no kprobe: kernel.perf_event_paranoid is above 2\nhint: set it to 2".into()];
        insta::assert_snapshot!(text(&report), @"
        sysctls are watched by cgroup, MTUs by netlink, pressure by swept
          no kprobe: kernel.perf_event_paranoid is above 2
            hint: set it to 2

        this host
          kprobes                not permitted: kernel.perf_event_paranoid is above 2, CAP_SYS_ADMIN missing
          fexit                  not refused
          lockdown               integrity
          kernel.ftrace_enabled  1
          kprobes/enabled        not there
          BTF                    /sys/kernel/btf/vmlinux cannot be read: No such file or directory (os error 2)
          sysctl function        none
          MTU function           none of a known name
          sysctl roots           hidden
          cgroup2                not mounted
          PSI triggers           the kernel measures no pressure
          namespaces             net not known, ipc not known, uts not known, user not known

        privileges
          CAP_BPF                yes      any program
          CAP_PERFMON            yes      kprobe, fexit; who writes, with the plan cgroup
          CAP_NET_ADMIN          yes      the `cgroup/sysctl` program
          CAP_SYS_ADMIN          MISSING  kprobe where kernel.perf_event_paranoid is above 2
          CAP_SYSLOG             MISSING  whose sysctl was written: addresses in kallsyms
          CAP_SYS_PTRACE         MISSING  the numbers of the host's namespaces, from process 1
          CAP_SYS_RESOURCE       MISSING  the ring before Linux 5.11, many open files
        ");
    }
}
