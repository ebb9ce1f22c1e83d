//! What stands beside a verdict: what was expected of each declared key, and what was in force.

use serde::{Deserialize, Serialize};

use super::{DeploymentId, Key, Revision, Source, Value};

/// All that was declared and in force when a deployment was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The baseline: what each rule expected of each of its keys.
    pub baseline: Vec<Expected>,
    /// Each declared key with what was in force; `None` where it did not exist. One that could not be read is left out.
    pub values: Vec<(Key, Option<Value>)>,
}

/// What one rule expected of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The key.
    pub key: Key,
    /// The rule.
    pub rule: String,
    /// What it expected, in words a person reads; `None` where nothing was expected yet.
    pub expected: Option<String>,
    /// Where that is declared.
    pub declared_by: Source,
    /// The commit whose deployment was confirmed when the value was captured, where it was.
    pub declared_commit: Option<Revision>,
}
