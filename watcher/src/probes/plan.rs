//! Facts to plan: what will be watched how, and why. Pure; every decision rests on a fact, never on a version.

use std::path::PathBuf;

use watcher_common::Identity;

use super::facts::{Capabilities, Cgroup2, Facts, Kprobes, Lockdown};
use crate::model::{Probes, SeenBy};

/// What will be watched how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Writes of sysctls.
    pub sysctl: SysctlPlan,
    /// Changes of MTUs.
    pub link: LinkPlan,
    /// Rises of pressure.
    pub pressure: PressurePlan,
    /// Whether rtnetlink is listened to, alone or for what the hook misses.
    pub netlink: bool,
    /// Why so: one sentence for each decision that is not the first choice, with the cure where there is one.
    pub reasons: Vec<String>,
}

/// The form of the programs that stand at the entry and the return of a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// kprobe and kretprobe.
    Kprobe,
    /// fentry and fexit: the same records, for less privilege on Debian, and no return is ever missed.
    Fexit,
}

impl Hook {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.seen_by().as_str()
    }

    /// How that is told of a change.
    pub fn seen_by(self) -> SeenBy {
        match self {
            Hook::Kprobe => SeenBy::Kprobe,
            Hook::Fexit => SeenBy::Fexit,
        }
    }
}

/// How writes of sysctls are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlPlan {
    /// Programs on `proc_sys_write`; where a cgroup2 hierarchy is there, values from `cgroup/sysctl`.
    Hook {
        /// Their form.
        hook: Hook,
        /// The mount point of the hierarchy.
        cgroup2: Option<PathBuf>,
    },
    /// The `cgroup/sysctl` program alone.
    Cgroup {
        /// The mount point of the hierarchy.
        cgroup2: PathBuf,
        /// By what it learns who writes.
        identity: Identity,
    },
    /// Not at all: only a sweep finds them.
    Swept,
}

impl SysctlPlan {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            SysctlPlan::Hook { hook, .. } => hook.as_str(),
            SysctlPlan::Cgroup { .. } => "cgroup",
            SysctlPlan::Swept => "swept",
        }
    }
}

/// How changes of MTUs are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPlan {
    /// Programs on the function that sets an MTU.
    Hook {
        /// Their form.
        hook: Hook,
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
            LinkPlan::Hook { hook, .. } => hook.as_str(),
            LinkPlan::Netlink => "netlink",
            LinkPlan::Swept => "swept",
        }
    }
}

/// How rises of pressure are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressurePlan {
    /// By PSI triggers.
    Psi,
    /// Not at all: only a sweep finds them.
    Swept,
}

impl PressurePlan {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PressurePlan::Psi => "psi",
            PressurePlan::Swept => "swept",
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
    let mut reasons = Vec::new();
    if wanted != Probes::Auto {
        reasons.push(format!("the configuration says `probes: {}`", wanted.as_str()));
    }
    let impossible = |reason| Impossible { forced: wanted.as_str(), reason };
    // The first of these forms that can be had, and why none before it.
    let forms: &[Hook] = match wanted {
        Probes::Auto => &[Hook::Kprobe, Hook::Fexit],
        Probes::Kprobe => &[Hook::Kprobe],
        Probes::Fexit => &[Hook::Fexit],
        Probes::Cgroup | Probes::Netlink | Probes::None => &[],
    };
    let mut hook = None;
    for form in forms {
        match has(facts, *form) {
            Ok(()) => {
                hook = Some(*form);
                break;
            }
            Err(reason) if wanted != Probes::Auto => return Err(impossible(reason)),
            Err(reason) => reasons.push(format!("no {}: {reason}", form.as_str())),
        }
    }
    let sysctl = match (wanted, hook) {
        (Probes::Netlink | Probes::None, _) => SysctlPlan::Swept,
        (_, Some(hook)) => {
            let cgroup2 = cgroup(facts);
            if let Err(reason) = &cgroup2 {
                reasons.push(format!("no `cgroup/sysctl` program: {reason}"));
            }
            SysctlPlan::Hook { hook, cgroup2: cgroup2.ok() }
        }
        (_, None) => match cgroup(facts) {
            Ok(cgroup2) => SysctlPlan::Cgroup { cgroup2, identity: facts.identity },
            Err(reason) if wanted == Probes::Cgroup => return Err(impossible(reason)),
            Err(reason) => {
                reasons.push(format!("no `cgroup/sysctl` program: {reason}"));
                SysctlPlan::Swept
            }
        },
    };
    let link = match (wanted, hook, facts.mtu_function) {
        (Probes::None, ..) => LinkPlan::Swept,
        (_, Some(hook), Some(function)) => LinkPlan::Hook { hook, function },
        _ => LinkPlan::Netlink,
    };
    if hook.is_some() && facts.mtu_function.is_none() {
        reasons.push("no program on changes of MTUs: the kernel has no function of a known name".into());
    }
    if hook.is_some() && (facts.roots.net == 0 || facts.roots.global == 0) {
        reasons.push(
            "whose sysctl is written cannot be told: kallsyms hides its addresses\n\
             hint: give CAP_SYSLOG, or set kernel.kptr_restrict to 0 or 1"
                .into(),
        );
    }
    let pressure = match (wanted, &facts.psi) {
        (Probes::None, _) => PressurePlan::Swept,
        (_, Ok(())) => PressurePlan::Psi,
        (_, Err(reason)) => {
            reasons.push(format!("no PSI triggers: {reason}"));
            PressurePlan::Swept
        }
    };
    if let SysctlPlan::Cgroup { identity, .. } = &sysctl {
        match identity {
            Identity::Memory => {}
            Identity::Helpers => reasons
                .push(format!("of a writer only pid, name, uid and cgroup are known: {}", unread(facts))),
            Identity::Nobody => reasons.push(format!("writers are not known: {}", unread(facts))),
        }
    }
    Ok(Plan { sysctl, link, pressure, netlink: wanted != Probes::None, reasons })
}

/// Why the programs may not read the kernel's memory.
fn unread(facts: &Facts) -> String {
    if facts.lockdown == Some(Lockdown::Confidentiality) {
        return "the kernel is locked down for confidentiality".into();
    }
    if let Err(reason) = privileged(facts, &[Capabilities::PERFMON])
        .and(facts.offsets.as_ref().map(drop).map_err(Clone::clone))
    {
        return reason;
    }
    "the kernel refused a program that reads its memory".into()
}

/// Whether a form of hook can be had, or why not.
fn has(facts: &Facts, hook: Hook) -> Result<(), String> {
    match (hook, facts.kprobes) {
        (Hook::Kprobe, Kprobes::Absent) => return Err("this kernel has none (CONFIG_KPROBES)".into()),
        (Hook::Kprobe, Kprobes::Paranoid) => {
            return Err("kernel.perf_event_paranoid is above 2 and CAP_SYS_ADMIN is missing\n\
                        hint: give CAP_SYS_ADMIN, or set kernel.perf_event_paranoid to 2"
                .into());
        }
        (Hook::Kprobe, Kprobes::Refused) => return Err("the kernel refused it".into()),
        (Hook::Fexit, _) if facts.fexit_refused => return Err("the kernel refused it".into()),
        _ => {}
    }
    if facts.lockdown == Some(Lockdown::Confidentiality) {
        return Err("the kernel is locked down for confidentiality, and nothing may read its memory".into());
    }
    if facts.ftrace_enabled == Some(false) {
        return Err("kernel.ftrace_enabled is 0, and it would never fire\n\
                    hint: `sysctl -w kernel.ftrace_enabled=1`, then restart driftd"
            .into());
    }
    if hook == Hook::Kprobe && facts.kprobes_enabled == Some(false) {
        return Err("`kprobes/enabled` of debugfs is 0, and it would never fire\n\
                    hint: `echo 1 > /sys/kernel/debug/kprobes/enabled`, then restart driftd"
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
    privileged(facts, &[Capabilities::BPF, Capabilities::NET_ADMIN])?;
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
            fexit_refused: false,
            lockdown: Some(Lockdown::None),
            ftrace_enabled: Some(true),
            kprobes_enabled: Some(true),
            offsets: Ok(Offsets::NONE),
            sysctl_function: true,
            mtu_function: Some("dev_set_mtu_ext"),
            roots: Roots { net: 1, global: 2 },
            cgroup2: Cgroup2::Mounted("/sys/fs/cgroup".into()),
            identity: Identity::Memory,
            psi: Ok(()),
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

    fn without(change: fn(&mut Facts)) -> Facts {
        let mut facts = host();
        change(&mut facts);
        facts
    }

    #[test]
    fn each_missing_fact_leads_to_the_next_choice_and_is_named() {
        let auto = Probes::Auto;
        let no_kprobes = without(|f| f.kprobes = Kprobes::Absent);
        check(&no_kprobes, auto, "fexit", "fexit", "no kprobe: this kernel has none");
        let paranoid = without(|f| f.kprobes = Kprobes::Paranoid);
        check(&paranoid, auto, "fexit", "fexit", "give CAP_SYS_ADMIN");
        let debugfs = without(|f| f.kprobes_enabled = Some(false));
        check(&debugfs, auto, "fexit", "fexit", "echo 1 > /sys/kernel/debug/kprobes/enabled");
        let ftrace = without(|f| f.ftrace_enabled = Some(false));
        check(&ftrace, auto, "cgroup", "netlink", "kernel.ftrace_enabled=1");
        let no_cgroup = without(|f| f.cgroup2 = Cgroup2::Absent);
        check(&no_cgroup, auto, "kprobe", "kprobe", "no cgroup version 2");
        check(
            &without(|f| f.mtu_function = None),
            auto,
            "kprobe",
            "netlink",
            "no program on changes of MTUs",
        );
        check(&without(|f| f.roots.net = 0), auto, "kprobe", "kprobe", "kallsyms hides");
        let no_btf = without(|f| {
            f.offsets = Err("BTF has no `file.f_path`".into());
            f.identity = Identity::Helpers;
        });
        check(&no_btf, auto, "cgroup", "netlink", "uid and cgroup are known: BTF has no `file.f_path`");
        let locked = without(|f| {
            f.lockdown = Some(Lockdown::Confidentiality);
            f.identity = Identity::Helpers;
        });
        check(&locked, auto, "cgroup", "netlink", "uid and cgroup are known: the kernel is locked down");
        let bare = without(|f| f.capabilities = Capabilities::default());
        check(&bare, auto, "swept", "netlink", "missing privileges: CAP_BPF, CAP_PERFMON");
        let few = without(|f| {
            f.capabilities =
                Capabilities::from_bits(1 << Capabilities::BPF.0 | 1 << Capabilities::NET_ADMIN.0);
            f.identity = Identity::Helpers;
        });
        check(&few, auto, "cgroup", "netlink", "known: missing privileges: CAP_PERFMON");
    }

    #[test]
    fn pressure_is_watched_by_triggers_where_they_can_be_set_and_probes_are_wanted() {
        let pressure = |facts: &Facts, wanted| plan(facts, wanted).unwrap().pressure.as_str();
        assert_eq!(pressure(&host(), Probes::Auto), "psi");
        assert_eq!(pressure(&host(), Probes::Netlink), "psi");
        assert_eq!(pressure(&host(), Probes::None), "swept");
        let without = without(|f| f.psi = Err("the kernel measures no pressure".into()));
        assert_eq!(pressure(&without, Probes::Auto), "swept");
        check(&without, Probes::Auto, "kprobe", "kprobe", "no PSI triggers: the kernel measures no pressure");
    }

    #[test]
    fn what_the_kernel_refuses_when_it_is_tried_is_done_without() {
        let auto = Probes::Auto;
        let refused = |parts: &[Part]| {
            let mut facts = host();
            parts.iter().for_each(|part| facts.refuse(*part));
            facts
        };
        check(&refused(&[Part::Kprobe]), auto, "fexit", "fexit", "no kprobe: the kernel refused it");
        let no_hook = [Part::Kprobe, Part::Fexit];
        check(&refused(&no_hook), auto, "cgroup", "netlink", "no fexit: the kernel refused it");
        check(&refused(&[Part::Mtu]), auto, "kprobe", "netlink", "no program on changes of MTUs");
        check(&refused(&[Part::Cgroup]), Probes::Kprobe, "kprobe", "kprobe", "the kernel refused it");
        check(&refused(&[Part::All]), auto, "swept", "netlink", "the kernel refused");
        assert!(plan(&refused(&[Part::Cgroup]), Probes::Cgroup).is_err());
    }

    #[test]
    fn the_program_alone_learns_who_writes_by_ever_less_before_it_is_given_up() {
        let mut facts = host();
        for identity in [Identity::Memory, Identity::Helpers, Identity::Nobody] {
            let plan = plan(&facts, Probes::Cgroup).unwrap();
            assert_eq!(plan.sysctl, SysctlPlan::Cgroup { cgroup2: "/sys/fs/cgroup".into(), identity });
            facts.refuse(Part::Values);
        }
        assert!(plan(&facts, Probes::Cgroup).is_err());
    }

    #[test]
    fn forced_probes_are_taken_or_refused_but_never_replaced() {
        check(&host(), Probes::Kprobe, "kprobe", "kprobe", "`probes: kprobe`");
        check(&host(), Probes::Fexit, "fexit", "fexit", "`probes: fexit`");
        check(&host(), Probes::Cgroup, "cgroup", "netlink", "`probes: cgroup`");
        check(&host(), Probes::Netlink, "swept", "netlink", "`probes: netlink`");
        check(&host(), Probes::None, "swept", "swept", "`probes: none`");
        let mut facts = host();
        facts.kprobes = Kprobes::Absent;
        facts.fexit_refused = true;
        facts.cgroup2 = Cgroup2::Absent;
        for (wanted, reason) in [
            (Probes::Kprobe, "this kernel has none"),
            (Probes::Fexit, "the kernel refused it"),
            (Probes::Cgroup, "no cgroup version 2"),
        ] {
            assert!(plan(&facts, wanted).unwrap_err().to_string().contains(reason));
        }
    }
}
