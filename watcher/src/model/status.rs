//! The state of a running driftd at a glance: what `driftd status` shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeploymentNews, Finding, Key, SinkStanding, Started, VerdictStatus};

/// The state of a running driftd at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What it watches and how.
    pub watching: Started,
    /// Since when it runs.
    pub since: Timestamp,
    /// Whether all that is declared is in force, as of now.
    pub status: VerdictStatus,
    /// The deployment in force.
    pub deployment: Option<DeploymentNews>,
    /// The deployment whose window is open.
    pub window: Option<DeploymentNews>,
    /// What is open.
    pub findings: Vec<Finding>,
    /// What cannot be read, and so may be anything.
    #[serde(default)]
    pub unreadable: Vec<Key>,
    /// Why the baseline is still the one before: what is wrong with the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// When the last sweep ended.
    pub last_sweep: Option<Timestamp>,
    /// Why the probes see nothing now, where that is so.
    #[serde(default)]
    pub blind: Option<String>,
    /// Why nothing can be recorded now, where that is so. What happens is kept in memory meanwhile.
    #[serde(default)]
    pub unrecorded: Option<String>,
    /// The sinks for which messages wait or were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkStanding>,
    /// How often something was missed since the start.
    pub losses: u64,
    /// Writes of keys that are not declared, since the start.
    pub undeclared: u64,
    /// Writes of keys that belong to another namespace, since the start.
    pub foreign: u64,
}
