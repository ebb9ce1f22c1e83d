//! Deployments: authentic messages that a commit was delivered, and what is answered to them.

use std::{fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{DeploymentNews, DeploymentStatus, Finding, Key};

/// What was delivered: a Git commit, an OCI artifact, or a version of a chart.
///
/// Its text tells which: a commit is 6 to 64 lower-case hex digits and nothing more, an artifact `oci:sha256:` and 64
/// of them, a chart `chart:` and its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Revision(Box<str>);

/// Why a text is no revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRevision {
    /// It is no Git commit.
    #[error("`{}` is not a commit: 6 to 64 hex digits are wanted", .0.escape_debug())]
    Git(String),
    /// It is no digest of an OCI artifact.
    #[error("`{}` is not a digest: `sha256:` and 64 hex digits are wanted", .0.escape_debug())]
    Oci(String),
    /// It is no version of a chart.
    #[error("`{}` is not a chart's version: one such as `1.4.2` is wanted", .0.escape_debug())]
    Chart(String),
}

/// The longest version of a chart, in bytes. Helm takes Semantic Versioning 2.0.0, whose texts have no bound.
const VERSION: usize = 128;

impl Revision {
    /// A Git commit: 6 to 64 hex digits.
    ///
    /// # Errors
    /// It has other characters, or fewer or more.
    pub fn git(text: &str) -> Result<Revision, InvalidRevision> {
        match (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => Ok(Revision(text.to_ascii_lowercase().into())),
            false => Err(InvalidRevision::Git(beginning(text))),
        }
    }

    /// An OCI artifact by its digest: `sha256:` and 64 hex digits.
    ///
    /// # Errors
    /// It is of another form.
    pub fn oci(digest: &str) -> Result<Revision, InvalidRevision> {
        match digest.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Revision(format!("oci:sha256:{}", hex.to_ascii_lowercase()).into()))
            }
            _ => Err(InvalidRevision::Oci(beginning(digest))),
        }
    }

    /// A chart by its version, as `1.4.2`, `v1.4.2-rc.1` or `1.4.2+a1b2c3`.
    ///
    /// # Errors
    /// It is of another form.
    pub fn chart(version: &str) -> Result<Revision, InvalidRevision> {
        let known = |b: u8| b.is_ascii_alphanumeric() || b".+-_".contains(&b);
        let digits = version.strip_prefix('v').unwrap_or(version);
        match version.len() <= VERSION
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && version.bytes().all(known)
        {
            true => Ok(Revision(format!("chart:{version}").into())),
            false => Err(InvalidRevision::Chart(beginning(version))),
        }
    }

    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may be the same as another: of two commits one may be shortened.
    pub fn may_be(&self, other: &Revision) -> bool {
        let shortens = |a: &str, b: &str| !a.contains(':') && b.starts_with(a);
        self == other || shortens(&self.0, &other.0) || shortens(&other.0, &self.0)
    }

    /// As much of it as a person needs: twelve digits, or the version.
    pub fn short(&self) -> &str {
        let most = match self.0.split_once(':') {
            None => 12,
            Some(("oci", _)) => "oci:sha256:".len() + 12,
            Some(_) => self.0.len(),
        };
        self.0.get(..most).unwrap_or(&self.0)
    }
}

/// What came from outside may be long: the start of it is enough to find it by.
fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Revision, InvalidRevision> {
        match text.split_once(':') {
            Some(("oci", digest)) => Revision::oci(digest),
            Some(("chart", version)) => Revision::chart(version),
            _ => Revision::git(text),
        }
    }
}

impl TryFrom<String> for Revision {
    type Error = InvalidRevision;

    fn try_from(text: String) -> Result<Revision, InvalidRevision> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> String {
        revision.0.into()
    }
}

impl fmt::Display for Revision {
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

/// Values that came with a message, in its order: what each key is to be.
pub type Values = Arc<[(Key, Box<str>)]>;

/// A deployment, as long as it matters: in its window, or in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its name.
    pub id: DeploymentId,
    /// What it delivers.
    pub commit: Revision,
    /// The application; each has its own deployment in force.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The repository.
    pub repo: Option<String>,
    /// Whether neither id nor date came with it.
    pub undated: bool,
    /// The values that came with it, where it is in force.
    pub declared: Values,
    /// Whether a message said that it began, so that it has a window.
    pub announced: bool,
}

/// An application and an environment: each pair has its own deployment in force.
pub type Whose<'n> = (Option<&'n str>, Option<&'n str>);

impl Deployment {
    /// The application and the environment.
    pub fn whose(&self) -> Whose<'_> {
        (self.app.as_deref(), self.environment.as_deref())
    }

    /// What is told of it.
    pub fn news(&self, status: DeploymentStatus) -> DeploymentNews {
        DeploymentNews {
            deployment: self.id.clone(),
            commit: self.commit.clone(),
            app: self.app.clone(),
            environment: self.environment.clone(),
            repo: self.repo.clone(),
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
    pub commit: Revision,
    /// The application.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// SHA-256 of what was signed.
    pub digest: [u8; 32],
    /// When it came.
    pub at: Timestamp,
    /// The deployment it is about.
    pub deployment: DeploymentId,
}

impl Delivered {
    /// The application and the environment.
    pub fn whose(&self) -> Whose<'_> {
        (self.app.as_deref(), self.environment.as_deref())
    }
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
    pub commit: Revision,
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
    /// The values it declares, where it says any (`declared`).
    pub declared: Option<Values>,
    /// SHA-256 of what was signed, the raw body and an id signed beside it: tells an identical message.
    pub digest: [u8; 32],
}

impl Announcement {
    /// The application and the environment.
    pub fn whose(&self) -> Whose<'_> {
        (self.app.as_deref(), self.environment.as_deref())
    }

    /// One of a test, of the application `web`, with nothing that need not be there.
    #[cfg(test)]
    pub fn of(phase: Phase, commit: &str) -> Announcement {
        let mut digest = [phase as u8; 32];
        digest.iter_mut().zip(commit.bytes()).for_each(|(to, from)| *to = from);
        Announcement {
            commit: commit.parse().expect("a revision"),
            app: Some("web".into()),
            phase,
            id: None,
            timestamp: None,
            environment: None,
            reference: None,
            repo: None,
            declared: None,
            digest,
        }
    }
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
    pub commit: Revision,
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
    /// Why the baseline is still the one before: what is wrong with the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
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

impl FromStr for VerdictStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<VerdictStatus, String> {
        [VerdictStatus::Synced, VerdictStatus::OutOfSync]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no verdict"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_six_to_sixty_four_hex_digits() {
        for good in ["a1b2c3", "A1B2C3", &"0".repeat(40), &"f".repeat(64)] {
            assert_eq!(good.parse::<Revision>().unwrap().as_str(), good.to_ascii_lowercase());
        }
        for bad in ["", "a1b2c", "a1b2cg", " a1b2c3", "main", &"0".repeat(65), "a1b2c3\n"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_revision_says_of_which_type_it_is_and_reads_back_as_the_same() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for (made, text, short) in [
            (Revision::git("A1B2C3D4E5F6A7B8").unwrap(), "a1b2c3d4e5f6a7b8", "a1b2c3d4e5f6"),
            (Revision::oci(&digest).unwrap(), &format!("oci:{digest}"), "oci:sha256:0123456789ab"),
            (Revision::chart("1.4.2+a1b2c3").unwrap(), "chart:1.4.2+a1b2c3", "chart:1.4.2+a1b2c3"),
            (Revision::chart("v1.4.2-rc.1").unwrap(), "chart:v1.4.2-rc.1", "chart:v1.4.2-rc.1"),
        ] {
            assert_eq!((made.as_str(), made.short()), (text, short));
            assert_eq!(text.parse::<Revision>().unwrap(), made);
        }
        for bad in ["oci:", "oci:sha256:00", "oci:a1b2c3", "chart:", "chart:main", "chart:1 2", "git:a1b2c3"]
        {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
        assert!(Revision::chart(&"1".repeat(VERSION + 1)).is_err());
    }
}
