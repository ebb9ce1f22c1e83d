//! Facts to plan: what will be watched how, and why. Pure; every decision rests on a fact, never on a version.

use std::path::PathBuf;

use super::facts::{Capabilities, Cgroup2, Facts, Kprobes};
use crate::model::Probes;

/// What will be watched how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Writes of sysctls.
    pub sysctl: SysctlPlan,
    /// Changes of MTUs.
    pub link: LinkPlan,
    /// Whether rtnetlink is listened to, alone or for what the hook misses.
    pub netlink: bool,
    /// Why so: one sentence for each decision that is not the first choice, with the cure where there is one.
    pub reasons: Vec<String>,
}

/// How writes of sysctls are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlPlan {
    /// kprobe and kretprobe on `proc_sys_write`; where a cgroup2 hierarchy is there, values from `cgroup/sysctl`.
    Kprobe {
        /// The mount point of the hierarchy.
        cgroup2: Option<PathBuf>,
    },
    /// The `cgroup/sysctl` program alone.
    Cgroup {
        /// The mount point of the hierarchy.
        cgroup2: PathBuf,
    },
    /// Not at all: only a sweep finds them.
    Swept,
}

impl SysctlPlan {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            SysctlPlan::Kprobe { .. } => "kprobe",
            SysctlPlan::Cgroup { .. } => "cgroup",
            SysctlPlan::Swept => "swept",
        }
    }
}

/// How changes of MTUs are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPlan {
    /// kprobe and kretprobe on the function that sets an MTU.
    Kprobe {
        /// Its name.
        function: &'static str,
    },
    /// rtnetlink: without a writer.
    Netlink,
    /// Not at all: only a sweep finds them.
    Swept,
}

impl LinkPlan {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkPlan::Kprobe { .. } => "kprobe",
            LinkPlan::Netlink => "netlink",
            LinkPlan::Swept => "swept",
        }
    }
}

/// The probes that the configuration forces cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`probes: {forced}` cannot be had here: {reason}")]
pub struct Impossible {
    forced: &'static str,
    reason: String,
}

/// Decides. Forced probes that cannot be had are an error; with [`Probes::Auto`] there always is a plan.
pub fn plan(facts: &Facts, wanted: Probes) -> Result<Plan, Impossible> {
    let kprobe = kprobe(facts);
    let cgroup = cgroup(facts);
    let mut reasons = Vec::new();
    let sysctl = match wanted {
        Probes::Kprobe => {
            kprobe.clone().map_err(|reason| Impossible { forced: "kprobe", reason })?;
            SysctlPlan::Kprobe { cgroup2: cgroup.clone().ok() }
        }
        Probes::Cgroup => SysctlPlan::Cgroup {
            cgroup2: cgroup.clone().map_err(|reason| Impossible { forced: "cgroup", reason })?,
        },
        Probes::Netlink | Probes::None => SysctlPlan::Swept,
        Probes::Auto => match (&kprobe, cgroup.clone()) {
            (Ok(()), cgroup2) => SysctlPlan::Kprobe { cgroup2: cgroup2.ok() },
            (Err(_), Ok(cgroup2)) => SysctlPlan::Cgroup { cgroup2 },
            (Err(_), Err(_)) => SysctlPlan::Swept,
        },
    };
    let link = match (wanted, facts.mtu_function) {
        (Probes::Kprobe | Probes::Auto, Some(function)) if kprobe.is_ok() => LinkPlan::Kprobe { function },
        (Probes::None, _) => LinkPlan::Swept,
        _ => LinkPlan::Netlink,
    };
    match wanted {
        Probes::Auto => {}
        forced => reasons.push(format!("the configuration says `probes: {}`", forced.as_str())),
    }
    if matches!(wanted, Probes::Auto | Probes::Kprobe) {
        if let Err(reason) = &kprobe {
            reasons.push(format!("no kprobes: {reason}"));
        }
        if let Err(reason) = &cgroup {
            reasons.push(format!("no `cgroup/sysctl` program: {reason}"));
        }
        if kprobe.is_ok() && facts.mtu_function.is_none() {
            reasons.push("no kprobe for MTUs: the kernel has no function of a known name".into());
        }
        if kprobe.is_ok() && (facts.roots.net == 0 || facts.roots.global == 0) {
            reasons.push(
                "whose sysctl is written cannot be told: kallsyms hides its addresses\n\
                 hint: give CAP_SYSLOG, or set kernel.kptr_restrict to 0 or 1"
                    .into(),
            );
        }
    }
    Ok(Plan { sysctl, link, netlink: wanted != Probes::None, reasons })
}

/// Whether kprobes can be had, or why not.
fn kprobe(facts: &Facts) -> Result<(), String> {
    match facts.kprobes {
        Kprobes::Absent => return Err("this kernel has none (CONFIG_KPROBES)".into()),
        Kprobes::Paranoid => {
            return Err("kernel.perf_event_paranoid is above 2 and CAP_SYS_ADMIN is missing\n\
                        hint: give CAP_SYS_ADMIN, or set kernel.perf_event_paranoid to 2"
                .into());
        }
        Kprobes::Refused => return Err("the kernel refused them".into()),
        Kprobes::Permitted => {}
    }
    if facts.ftrace_enabled == Some(false) {
        return Err("kernel.ftrace_enabled is 0, and they would never fire\n\
                    hint: `sysctl -w kernel.ftrace_enabled=1`, then restart driftd"
            .into());
    }
    privileged(facts, &[Capabilities::BPF, Capabilities::PERFMON])?;
    facts.offsets.as_ref().map_err(Clone::clone)?;
    match facts.sysctl_function {
        true => Ok(()),
        false => Err("the kernel has no function `proc_sys_write`".into()),
    }
}

/// Where the `cgroup/sysctl` program can be attached, or why not.
fn cgroup(facts: &Facts) -> Result<PathBuf, String> {
    privileged(facts, &[Capabilities::BPF, Capabilities::PERFMON, Capabilities::NET_ADMIN])?;
    facts.offsets.as_ref().map_err(Clone::clone)?;
    match &facts.cgroup2 {
        Cgroup2::Mounted(place) => Ok(place.clone()),
        Cgroup2::Absent => Err("no cgroup version 2 hierarchy is mounted\n\
         hint: `mount -t cgroup2 none /sys/fs/cgroup/unified`"
            .into()),
        Cgroup2::Refused => Err("the kernel refused it".into()),
    }
}

fn privileged(facts: &Facts, wanted: &[(u32, &'static str)]) -> Result<(), String> {
    let missing = facts.capabilities.missing(wanted).join(", ");
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "missing privileges: {missing}\n\
             hint: run driftd as root, or name them in AmbientCapabilities= of its unit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use watcher_common::Offsets;

    use super::{super::facts::Namespaces, *};
    use crate::probes::facts::{Part, Roots};

    /// A host that offers everything.
    fn host() -> Facts {
        Facts {
            capabilities: Capabilities::from_bits(u64::MAX),
            kprobes: Kprobes::Permitted,
            ftrace_enabled: Some(true),
            offsets: Ok(Offsets::NONE),
            sysctl_function: true,
            mtu_function: Some("dev_set_mtu_ext"),
            roots: Roots { net: 1, global: 2 },
            cgroup2: Cgroup2::Mounted("/sys/fs/cgroup".into()),
            host: Namespaces::default(),
        }
    }

    #[track_caller]
    fn check(facts: &Facts, wanted: Probes, sysctl: &str, link: &str, reason: &str) {
        let plan = plan(facts, wanted).unwrap();
        assert_eq!((plan.sysctl.as_str(), plan.link.as_str()), (sysctl, link));
        match reason {
            "" => assert_eq!(plan.reasons, Vec::<String>::new()),
            reason => assert!(plan.reasons.join("\n").contains(reason), "{:?}", plan.reasons),
        }
    }

    #[test]
    fn the_first_choice_needs_no_reason() {
        check(&host(), Probes::Auto, "kprobe", "kprobe", "");
    }

    #[test]
    fn each_missing_fact_leads_to_the_next_choice_and_is_named() {
        let without = |change: fn(&mut Facts)| {
            let mut facts = host();
            change(&mut facts);
            facts
        };
        let no_kprobes = without(|f| f.kprobes = Kprobes::Absent);
        check(&no_kprobes, Probes::Auto, "cgroup", "netlink", "this kernel has none");
        let paranoid = without(|f| f.kprobes = Kprobes::Paranoid);
        check(&paranoid, Probes::Auto, "cgroup", "netlink", "give CAP_SYS_ADMIN");
        let ftrace = without(|f| f.ftrace_enabled = Some(false));
        check(&ftrace, Probes::Auto, "cgroup", "netlink", "kernel.ftrace_enabled=1");
        check(
            &without(|f| f.cgroup2 = Cgroup2::Absent),
            Probes::Auto,
            "kprobe",
            "kprobe",
            "no cgroup version 2",
        );
        check(&without(|f| f.mtu_function = None), Probes::Auto, "kprobe", "netlink", "no kprobe for MTUs");
        check(&without(|f| f.roots.net = 0), Probes::Auto, "kprobe", "kprobe", "kallsyms hides");
        let no_btf = without(|f| f.offsets = Err("BTF has no `file.f_path`".into()));
        check(&no_btf, Probes::Auto, "swept", "netlink", "BTF has no `file.f_path`");
        let bare = without(|f| f.capabilities = Capabilities::default());
        check(&bare, Probes::Auto, "swept", "netlink", "missing privileges: CAP_BPF, CAP_PERFMON");
    }

    #[test]
    fn what_the_kernel_refuses_when_it_is_tried_is_done_without() {
        let without = |part| {
            let mut facts = host();
            facts.refuse(part);
            facts
        };
        check(&without(Part::Sysctl), Probes::Auto, "cgroup", "netlink", "the kernel refused them");
        check(&without(Part::Mtu), Probes::Auto, "kprobe", "netlink", "no kprobe for MTUs");
        check(&without(Part::Values), Probes::Kprobe, "kprobe", "kprobe", "the kernel refused it");
        check(&without(Part::All), Probes::Auto, "swept", "netlink", "the kernel refused");
        assert!(plan(&without(Part::Values), Probes::Cgroup).is_err());
    }

    #[test]
    fn forced_probes_are_taken_or_refused_but_never_replaced() {
        check(&host(), Probes::Kprobe, "kprobe", "kprobe", "`probes: kprobe`");
        check(&host(), Probes::Cgroup, "cgroup", "netlink", "`probes: cgroup`");
        check(&host(), Probes::Netlink, "swept", "netlink", "`probes: netlink`");
        check(&host(), Probes::None, "swept", "swept", "`probes: none`");
        let mut facts = host();
        facts.kprobes = Kprobes::Absent;
        facts.cgroup2 = Cgroup2::Absent;
        for (wanted, reason) in
            [(Probes::Kprobe, "this kernel has none"), (Probes::Cgroup, "no cgroup version 2")]
        {
            assert!(plan(&facts, wanted).unwrap_err().to_string().contains(reason));
        }
    }
}
