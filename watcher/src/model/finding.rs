//! Findings: one rule's departure on one key, from its opening to its healing.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeploymentId, Key, Mute, Revision, SeenBy, Severity, Source, Value, Writer};

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

/// Why a finding is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Healing {
    /// The key is as declared again, or need not be any more while it does not exist.
    #[serde(rename = "in sync")]
    InSync,
    /// What it was is expected from now on: it was adopted.
    #[serde(rename = "adopted")]
    Adopted,
    /// Nothing declares it any more: it may be as wrong as before.
    #[serde(rename = "no longer declared")]
    Undeclared,
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
    /// A write of another key set it too: see [`Key::movers`].
    #[serde(rename = "coupled key")]
    CoupledKey,
    /// What the rule expects was written, and the kernel made something else of it.
    #[serde(rename = "kernel clamped")]
    KernelClamped,
    /// Two writers keep overwriting each other: both are named in the detail.
    #[serde(rename = "fight")]
    Fight,
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
            Cause::CoupledKey => "coupled key",
            Cause::KernelClamped => "kernel clamped",
            Cause::Fight => "fight",
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
    /// The value that puts it right, where the rule has one: what is expected, or the first of those that may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Value>,
    /// What is in force; `None` where the key does not exist or cannot be read.
    pub actual: Option<Value>,
    /// What the value does not say: the names of the processes that were counted, who fights with whom.
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
    /// Why it is over; none while it is open, and for those that earlier versions recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healing: Option<Healing>,
    /// The mute under which it was opened: until that ends no sink under `alerts:` is told of it, nor that it healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<Mute>,
    /// Whether its rule is muted and it had been told before: no sink is reminded of it meanwhile; that it healed is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hushed: bool,
}
