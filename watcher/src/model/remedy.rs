//! Remedies: what a rule lets driftd do about a finding, and what was done about one.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{FindingId, Key, Revision, Severity, Source, Value};

/// What a rule lets driftd do about a finding, besides telling it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing.
    #[default]
    Notify,
    /// It writes the value that is expected.
    Revert(Limits),
    /// It takes the live value for the expected one, until the next deployment.
    Adopt,
}

/// How far a rule lets driftd go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a key is reverted within `within` at the most (`at_most:`).
    pub at_most: u32,
    /// In which time (`in:`).
    pub within: Duration,
    /// Whether it is only told what would be written (`dry_run:`).
    pub dry_run: bool,
}

impl Default for Limits {
    /// Often enough for a tool that runs twice, and few enough that a fight ends before anybody is paged twice.
    fn default() -> Limits {
        Limits { at_most: 3, within: Duration::from_secs(600), dry_run: false }
    }
}

/// driftd did something about a finding, or did not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remedied {
    /// The finding.
    pub finding: FindingId,
    /// The key.
    pub key: Key,
    /// The rule.
    pub rule: Arc<str>,
    /// How loud the finding is.
    pub severity: Severity,
    /// Whether no sink is told of the finding now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// What was to be done.
    pub remedy: Act,
    /// What became of it.
    pub outcome: Outcome,
    /// What was judged, and in force before.
    pub previous: Option<Value>,
    /// What was written, would be, or is expected from now on.
    pub requested: Option<Value>,
    /// The key that was written in its place, where only that one sets it: the counterpart of a coupled key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Key>,
    /// What was in force afterwards; `None` where that was not read.
    pub actual: Option<Value>,
    /// Why it was not done, or did not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the expected value is declared.
    pub declared_by: Source,
    /// Who asked for it; `None`: the rule.
    pub asked_by: Option<Person>,
    /// The commit last delivered when it happened.
    pub commit: Option<Revision>,
    /// Whether it came to no write, for something else than the kernel's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unwritten: bool,
}

impl Remedied {
    /// Whether the kernel was written to, or may have been: what the limits of a rule count.
    pub fn counts(&self) -> bool {
        !self.unwritten
            && match self.outcome {
                Outcome::Done | Outcome::Failed | Outcome::Interrupted => true,
                Outcome::DryRun | Outcome::Refused | Outcome::Stopped => false,
            }
    }

    /// Whether a rule is done with the finding by it, also after a restart.
    pub fn is_final(&self) -> bool {
        match self.outcome {
            Outcome::Stopped => true,
            Outcome::Failed => !self.unwritten,
            Outcome::Done | Outcome::DryRun | Outcome::Refused | Outcome::Interrupted => false,
        }
    }
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// The expected value is written.
    Revert,
    /// The live value is expected from now on.
    Adopt,
}

impl Act {
    /// The word for it, as in rules and lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Act::Revert => "revert",
            Act::Adopt => "adopt",
        }
    }
}

/// What became of a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done, and a re-read shows it.
    Done,
    /// It would have been done.
    DryRun,
    /// It may not be done.
    Refused,
    /// It was tried.
    Failed,
    /// It was done as often as the rule allows, and is not done any more for this finding.
    Stopped,
    /// driftd ended while it was done. So it stands in the store until more is known.
    Interrupted,
}

impl Outcome {
    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::DryRun => "dry-run",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
            Outcome::Interrupted => "interrupted",
        }
    }
}

/// The process that asked, at the other end of the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its process id, as driftd's own namespace counts (unix(7), `SO_PEERCRED`).
    pub pid: u32,
    /// Its user id.
    pub uid: u32,
    /// Its login uid, that survives `sudo` (`None` where none was set).
    pub login_uid: Option<u32>,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Person { pid, uid, login_uid } = self;
        write!(f, "uid {uid}")?;
        if let Some(login) = login_uid.filter(|login| login != uid) {
            write!(f, ", login uid {login}")?;
        }
        write!(f, ", pid {pid}")
    }
}

/// A live value that is expected in the place of the declared one, until the next deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Adopted {
    /// The rule.
    pub rule: Arc<str>,
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Value,
}
