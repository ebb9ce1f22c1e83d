//! Facts, plan, load, and again where the kernel refuses.

use std::path::Path;

use super::{
    canary::Canary,
    facts::{Facts, facts},
    load::{Loaded, Options, load},
    plan::{Hook, Impossible, Plan, SysctlPlan, plan},
};
use crate::model::Probes;

/// The probes at work.
pub struct Probing {
    /// What the host offers, less what it then refused.
    pub facts: Facts,
    /// What is watched how.
    pub plan: Plan,
    /// The programs, where the plan has some.
    pub loaded: Option<Loaded>,
    /// What tells whether they see.
    pub canary: Option<Canary>,
}

impl Probing {
    /// What is attached to functions of the kernel.
    pub fn hook(&self) -> Option<Hook> {
        match self.plan.sysctl {
            SysctlPlan::Hook { hook, .. } => Some(hook),
            SysctlPlan::Cgroup { .. } | SysctlPlan::Swept => None,
        }
    }
}

/// Why the probes that are asked for cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{impossible}{}", .refused.iter().map(|line| format!("\n{line}")).collect::<String>())]
pub struct StartError {
    /// What the host offers, less what it then refused.
    pub facts: Box<Facts>,
    impossible: Impossible,
    /// What the kernel said, a line for each thing that it refused.
    refused: Vec<String>,
}

/// Looks, decides, loads. What the kernel refuses for a reason that no fact showed leads to a plan without it; each time
/// there is less left to be refused.
pub fn start(root: &Path, wanted: Probes, options: Options) -> Result<Probing, StartError> {
    let mut facts = facts(root);
    let mut refused: Vec<String> = Vec::new();
    let (mut plan, loaded) = loop {
        let plan = match plan(&facts, wanted) {
            Ok(plan) => plan,
            Err(impossible) => return Err(StartError { facts: facts.into(), impossible, refused }),
        };
        match load(&facts, &plan, options) {
            Ok(loaded) => break (plan, loaded),
            Err(error) => {
                tracing::debug!("{error}");
                refused.push(without_log(&error.to_string()));
                facts.refuse(error.part(&plan));
            }
        }
    };
    plan.reasons.splice(0..0, refused);
    let canary = Canary::open(root, &plan).unwrap_or_else(|error| {
        plan.reasons.push(format!("whether the programs still see cannot be tried: {error}"));
        None
    });
    Ok(Probing { facts, plan, loaded, canary })
}

/// An error without the verifier's log behind it, which `--verbose` shows.
fn without_log(error: &str) -> String {
    let error = error.split(" Verifier output:").next().unwrap_or(error);
    error.lines().next().unwrap_or_default().to_owned()
}
