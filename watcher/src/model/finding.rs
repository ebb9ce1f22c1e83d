//! Findings: one rule's departure on one key, from its opening to its healing.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeploymentId, Key, Revision, SeenBy, Severity, Source, Value, Writer};

/// The name of one finding, unique over hosts (UUID version 7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(pub Box<str>);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a finding is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// The key departs from what is declared.
    Opened,
    /// It does no longer.
    Healed,
}

/// Why a key departs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It was right under the deployment in force, and was changed.
    #[serde(rename = "changed after the deploy")]
    ChangedAfterDeploy,
    /// It was wrong when the deployment ended.
    #[serde(rename = "the deploy did not apply")]
    DeployDidNotApply,
    /// It was wrong when driftd first looked, and no deployment was known.
    #[serde(rename = "never in force since boot")]
    NeverInForce,
    /// It came up wrong: the interface, module or device appeared after driftd had started.
    #[serde(rename = "appeared late")]
    AppearedLate,
    /// None of these can be told.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Cause {
    /// The words for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::ChangedAfterDeploy => "changed after the deploy",
            Cause::DeployDidNotApply => "the deploy did not apply",
            Cause::NeverInForce => "never in force since boot",
            Cause::AppearedLate => "appeared late",
            Cause::Unknown => "unknown",
        }
    }
}

/// One rule's departure on one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub finding: FindingId,
    /// Opened or healed.
    pub state: FindingState,
    /// The key.
    pub key: Key,
    /// The rule.
    pub rule: Arc<str>,
    /// How loud.
    pub severity: Severity,
    /// What the rule expects, in words a person reads: `10`, `one of 1, 2`, `at least 2GiB`.
    pub expected: String,
    /// What is in force; `None` where the key does not exist or cannot be read.
    pub actual: Option<Value>,
    /// What the value does not say: the names of the processes that were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was in force before.
    pub previous: Option<Value>,
    /// What the writer asked for.
    pub requested: Option<Value>,
    /// The commit last delivered when it happened.
    pub commit: Option<Revision>,
    /// The commit whose baseline declared the expected value.
    pub declared_commit: Option<Revision>,
    /// Where the expected value is declared.
    pub declared_by: Source,
    /// Why it departs.
    pub cause: Cause,
    /// Who did it; `None` is `unattributed`.
    pub writer: Option<Writer>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// The deployment in force when it happened.
    pub deployment: Option<DeploymentId>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it healed.
    pub healed: Option<Timestamp>,
}
