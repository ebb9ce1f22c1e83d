//! Deployments: authentic messages that a commit was delivered, and what is answered to them.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeploymentNews, DeploymentStatus, Finding, Key};

/// A commit: 6 to 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CommitId(Box<str>);

/// Why a text is no commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a commit: 6 to 64 hex digits are wanted", .0.escape_debug())]
pub struct InvalidCommit(pub String);

impl CommitId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = InvalidCommit;

    fn from_str(text: &str) -> Result<CommitId, InvalidCommit> {
        match (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => Ok(CommitId(text.to_ascii_lowercase().into())),
            // What came from outside may be long: the start of it is enough to find it by.
            false => Err(InvalidCommit(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = InvalidCommit;

    fn try_from(text: String) -> Result<CommitId, InvalidCommit> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(commit: CommitId) -> String {
        commit.0.into()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one deployment, unique over hosts (UUID version 7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub Box<str>);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A deployment, as long as it matters: in its window, or in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its name.
    pub id: DeploymentId,
    /// What it delivers.
    pub commit: CommitId,
    /// The application; each has its own deployment in force.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// Whether neither id nor date came with it.
    pub undated: bool,
}

impl Deployment {
    /// What is told of it.
    pub fn news(&self, status: DeploymentStatus) -> DeploymentNews {
        DeploymentNews {
            deployment: self.id.clone(),
            commit: self.commit.clone(),
            app: self.app.clone(),
            environment: self.environment.clone(),
            status,
            undated: self.undated,
        }
    }
}

/// A message that was taken, as long as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The sender's own name for it.
    pub id: Option<String>,
    /// What of the deployment it told.
    pub phase: Phase,
    /// What it delivered.
    pub commit: CommitId,
    /// The application.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// When it came.
    pub at: Timestamp,
    /// The deployment it is about.
    pub deployment: DeploymentId,
}

/// What of a deployment a message tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It begins: its window opens.
    Started,
    /// It is through: its window closes, and the verdict is made.
    #[default]
    Finished,
    /// It broke off: its window closes, and the deployment in force before stays so.
    Failed,
}

impl Phase {
    /// The word for it, as in the messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Started => "started",
            Phase::Finished => "finished",
            Phase::Failed => "failed",
        }
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Phase, String> {
        [Phase::Started, Phase::Finished, Phase::Failed]
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no phase"))
    }
}

/// A message whose signature was right, read and checked, and not yet judged against what came before.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// What was delivered.
    pub commit: CommitId,
    /// The application.
    pub app: Option<String>,
    /// What of the deployment it tells.
    pub phase: Phase,
    /// The sender's own name for the message: the same again is a retry.
    pub id: Option<String>,
    /// When the sender says it was made.
    pub timestamp: Option<Timestamp>,
    /// The environment.
    pub environment: Option<String>,
    /// The Git ref.
    pub reference: Option<String>,
    /// The repository.
    pub repo: Option<String>,
    /// SHA-256 of the raw body: tells an identical message where neither id nor timestamp do.
    pub digest: [u8; 32],
}

/// What became of an announcement. It is answered only after it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Receipt {
    /// A new deployment, or the next phase of one.
    Accepted(DeploymentId),
    /// The same message as before, or the revision that is in force already: answered as the first time.
    Known(DeploymentId),
    /// Not taken, and why.
    Refused(Refusal),
    /// It could not be written down; the sender should try again.
    NotRecorded,
}

/// Why an authentic announcement was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Dated too far from now: an old message replayed, or a clock that is off.
    #[error(
        "dated {timestamp}, more than five minutes from the time here\nhint: compare the clocks of the two hosts"
    )]
    Stale {
        /// The date it bears.
        timestamp: Timestamp,
    },
    /// The id was used for another message.
    #[error("the id `{0}` came before with another content\nhint: give each message an id of its own")]
    IdReused(String),
}

/// The answer for one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// What it delivered.
    pub commit: CommitId,
    /// The application.
    pub app: Option<String>,
    /// In one word.
    pub status: VerdictStatus,
    /// How many keys were compared.
    pub keys: usize,
    /// What is open.
    pub findings: Vec<Finding>,
    /// What departs and is no finding yet, because another deployment's window is open.
    #[serde(default)]
    pub held: Vec<Key>,
    /// What cannot be read, and so may be anything.
    #[serde(default)]
    pub unreadable: Vec<Key>,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictStatus {
    /// What is declared is in force.
    #[serde(rename = "SYNCED")]
    Synced,
    /// It is not, or that cannot be told.
    #[serde(rename = "OUT_OF_SYNC")]
    OutOfSync,
}

impl VerdictStatus {
    /// The word, as the gitops-status JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictStatus::Synced => "SYNCED",
            VerdictStatus::OutOfSync => "OUT_OF_SYNC",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_six_to_sixty_four_hex_digits() {
        for good in ["a1b2c3", "A1B2C3", &"0".repeat(40), &"f".repeat(64)] {
            assert_eq!(good.parse::<CommitId>().unwrap().as_str(), good.to_ascii_lowercase());
        }
        for bad in ["", "a1b2c", "a1b2cg", " a1b2c3", "main", &"0".repeat(65), "a1b2c3\n"] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad:?}");
        }
    }
}
