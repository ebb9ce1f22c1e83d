//! Whether the programs still see: a write of nothing to a sysctl of no consequence, which they must report.
//!
//! The kernel runs every program before `write(2)` comes back, so that what was not in the ring then was not seen.
//! `kernel.ftrace_enabled=0`, debugfs `kprobes/enabled=0`, a program detached by somebody else: none of them is told to
//! whoever is blinded by it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use watcher_common::{Header, SysctlValues};

use super::{
    facts::switch,
    plan::{Hook, Plan, SysctlPlan},
};

/// The sysctl, as probes name it: a number that nothing follows from when it is written (kernel/sysctl.c,
/// `proc_dointvec_minmax` alone), and of which a write of no bytes changes nothing (`do_proc_dointvec`).
const SYSCTL: &str = "kernel/sysctl_writes_strict";

/// The sysctl that blinds kprobes and fexit, as probes name it.
pub const SWITCH: &str = "kernel/ftrace_enabled";

/// The canary: writes, and knows who must hear it.
pub struct Canary {
    root: PathBuf,
    file: File,
    hook: Option<Hook>,
    values: bool,
}

/// Which programs heard it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The one at the entry of `proc_sys_write`.
    pub hook: bool,
    /// The `cgroup/sysctl` program.
    pub values: bool,
}

/// Whether a record is about a write of ours.
pub fn is_ours(header: &Header, name: &str) -> bool {
    header.tgid == process::id() && name == SYSCTL
}

impl Canary {
    /// One for this plan, if there is a program in it.
    pub fn open(root: &Path, plan: &Plan) -> io::Result<Option<Canary>> {
        let (hook, values) = match &plan.sysctl {
            SysctlPlan::Hook { hook, cgroup2 } => (Some(*hook), cgroup2.is_some()),
            SysctlPlan::Cgroup { .. } => (None, true),
            SysctlPlan::Swept => return Ok(None),
        };
        let file = OpenOptions::new().write(true).open(root.join("proc/sys").join(SYSCTL))?;
        Ok(Some(Canary { root: root.to_owned(), file, hook, values }))
    }

    /// Writes. When it is back, the records are in the ring.
    pub fn sing(&self) -> io::Result<()> {
        (&self.file).write(&[]).map(drop)
    }

    /// Why not all that must have heard it did; `None` where they did.
    pub fn unheard(&self, heard: Heard) -> Option<String> {
        if let Some(hook) = self.hook
            && !heard.hook
        {
            let off = |file| switch(&self.root, file) == Some(false);
            let why = if off("proc/sys/kernel/ftrace_enabled") {
                "kernel.ftrace_enabled is 0\nhint: `sysctl -w kernel.ftrace_enabled=1`"
            } else if hook == Hook::Kprobe && off("sys/kernel/debug/kprobes/enabled") {
                "`kprobes/enabled` of debugfs is 0\nhint: `echo 1 > /sys/kernel/debug/kprobes/enabled`"
            } else {
                "no switch of the kernel's says why\nhint: restart driftd"
            };
            return Some(format!("blind: the {} programs see no writes: {why}", hook.as_str()));
        }
        (self.values && !heard.values).then(|| {
            "blind: the `cgroup/sysctl` program sees no writes: somebody detached it\nhint: restart driftd".into()
        })
    }
}

/// Whether a record may be about it where the programs do not learn who runs: nobody else writes nothing.
pub fn is_nameless(record: &SysctlValues, name: &str) -> bool {
    record.header.tgid == 0 && record.requested_length < 0 && name == SYSCTL
}

#[cfg(test)]
mod tests {
    use super::{
        super::plan::{LinkPlan, PressurePlan},
        *,
    };
    use crate::test_host::host;

    #[track_caller]
    fn check(files: &[(&str, &str)], hook: Option<Hook>, heard: Heard, wanted: Option<&str>) {
        let sysctl = format!("proc/sys/{SYSCTL}");
        let root = host(&[files, &[(&sysctl, "1\n")]].concat());
        let sysctl = match hook {
            Some(hook) => SysctlPlan::Hook { hook, cgroup2: Some("/".into()) },
            None => SysctlPlan::Cgroup { cgroup2: "/".into(), identity: watcher_common::Identity::Memory },
        };
        let plan = Plan {
            sysctl,
            link: LinkPlan::Swept,
            pressure: PressurePlan::Swept,
            netlink: false,
            reasons: vec![],
        };
        let canary = Canary::open(root.path(), &plan).unwrap().unwrap();
        canary.sing().unwrap();
        let unheard = canary.unheard(heard);
        assert!(unheard.as_deref().unwrap_or("sees").contains(wanted.unwrap_or("sees")), "{unheard:?}");
        assert_eq!(unheard.is_some(), wanted.is_some());
    }

    #[test]
    fn whoever_did_not_hear_is_named_and_so_is_the_switch_that_blinds_it() {
        let all = Heard { hook: true, values: true };
        let (no_hook, no_values) = (Heard { hook: false, ..all }, Heard { values: false, ..all });
        let ftrace = ("proc/sys/kernel/ftrace_enabled", "0\n");
        let debugfs = ("sys/kernel/debug/kprobes/enabled", "0\n");
        let kprobe = Some(Hook::Kprobe);
        check(&[ftrace, debugfs], kprobe, all, None);
        check(&[ftrace], kprobe, no_hook, Some("kprobe programs see no writes: kernel.ftrace_enabled is 0"));
        check(&[debugfs], kprobe, no_hook, Some("`kprobes/enabled` of debugfs is 0"));
        check(&[debugfs], Some(Hook::Fexit), no_hook, Some("no switch"));
        check(&[], kprobe, no_values, Some("`cgroup/sysctl` program sees no writes"));
        check(&[], None, no_hook, None);
        check(&[], None, no_values, Some("somebody detached it"));
    }

    #[test]
    fn a_plan_without_programs_has_no_canary_and_a_missing_sysctl_is_an_error() {
        let root = host(&[]);
        let mut plan = Plan {
            sysctl: SysctlPlan::Swept,
            link: LinkPlan::Swept,
            pressure: PressurePlan::Swept,
            netlink: false,
            reasons: vec![],
        };
        assert!(Canary::open(root.path(), &plan).unwrap().is_none());
        plan.sysctl = SysctlPlan::Hook { hook: Hook::Kprobe, cgroup2: None };
        assert!(Canary::open(root.path(), &plan).is_err());
    }
}
