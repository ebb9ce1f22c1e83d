//! When a deployment counts: what the configuration says of the sender's messages, against what one of them says.
//!
//! Pure. A list that is not there asks for nothing; one that is there is not met by a message that does not say.

use super::senders::{Announced, Ignored, Workflow};
use crate::{config::Only, model::NamePattern};

/// Why a deployment does not count under these lists. Nothing where it does.
pub fn why_not(only: &Only, announced: &Announced) -> Option<Ignored> {
    let of = &announced.announcement;
    if let Some(Workflow { is_run: true, .. }) = announced.workflow
        && (only.workflows.is_none() || only.branches.is_none())
    {
        return Some(Ignored {
            reason: "a workflow's run counts only where `workflows` and `branches` say which deploys",
            detail: None,
        });
    }
    // What no workflow is behind is not narrowed by `workflows`: a deployment that somebody made by hand, say.
    let (workflows, workflow) = match &announced.workflow {
        Some(workflow) => (&only.workflows, [workflow.name.as_deref(), workflow.path.as_deref()]),
        None => (&None, [None, None]),
    };
    let branch = of.reference.as_deref();
    let short = branch.map(|branch| branch.strip_prefix("refs/heads/").unwrap_or(branch));
    [
        (&only.repositories, [of.repo.as_deref(), None], "the repository is none of `repositories`"),
        (workflows, workflow, "the workflow is none of `workflows`"),
        (&only.branches, [short, branch], "the branch is none of `branches`"),
        (&only.environments, [of.environment.as_deref(), None], "the environment is none of `environments`"),
        (&only.apps, [of.app.as_deref(), None], "the application is none of `apps`"),
    ]
    .into_iter()
    .find_map(|(patterns, said, reason)| unmet(patterns.as_deref()?, said, reason))
}

/// The reason, where none of the patterns matches any of what was said.
fn unmet(patterns: &[NamePattern], said: [Option<&str>; 2], reason: &'static str) -> Option<Ignored> {
    let said = said.into_iter().flatten();
    let met = said.clone().any(|said| patterns.iter().any(|pattern| pattern.matches(said)));
    (!met).then(|| Ignored { reason, detail: said.last().map(super::senders::excerpt) })
}
