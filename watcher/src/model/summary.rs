//! The gitops-status JSON: one host's state in the form that status pages and dashboards already read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::{Finding, Revision, Status, VerdictStatus, in_short};

/// The gitops-status JSON: the six fields of the form, then ours.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    repo: &'a str,
    server: &'a str,
    sync_status: VerdictStatus,
    drift_count: usize,
    files: Vec<File>,
    last_check: String,
    commit: Option<&'a Revision>,
    deployment: Option<&'a str>,
    environment: Option<&'a str>,
    findings: usize,
    unreadable: usize,
    blind: Option<&'a str>,
    broken: Option<String>,
    keys: usize,
    driftd: &'a str,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct File {
    name: String,
}

impl<'a> Summary<'a> {
    /// The summary of a state. `config` is driftd's own configuration: a key that a rule of it names is known by its own
    /// name, and not by that file's.
    pub fn of(status: &'a Status, server: &'a str, config: &str) -> Summary<'a> {
        let name = |finding: &Finding| match &*finding.declared_by.file {
            file if file == config => finding.key.to_string(),
            file => file.to_owned(),
        };
        let departing = status.findings.iter().map(name);
        let names: BTreeSet<_> = departing.chain(status.unreadable.iter().map(ToString::to_string)).collect();
        let files: Vec<_> = names.into_iter().map(|name| File { name }).collect();
        let deployment = status.deployment.as_ref();
        Summary {
            repo: deployment.and_then(|d| d.repo.as_deref().or(d.app.as_deref())).unwrap_or(""),
            server,
            sync_status: status.status,
            drift_count: files.len(),
            files,
            last_check: seconds(status.last_sweep.unwrap_or(status.since)),
            commit: deployment.map(|d| &d.commit),
            deployment: deployment.map(|d| &*d.deployment.0),
            environment: deployment.and_then(|d| d.environment.as_deref()),
            findings: status.findings.len(),
            unreadable: status.unreadable.len(),
            blind: status.blind.as_deref(),
            broken: status.broken.as_deref().map(in_short),
            keys: status.watching.keys,
            driftd: &status.watching.version,
        }
    }
}

/// RFC 3339 in whole seconds, as the form has it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}
