//! Entries: what is recorded first and told then. One entry is one line, one row, one message.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{DeploymentId, Finding, FindingId, Key, Remedied, Revision, SeenBy, Value, Verdict, Writer};

/// Something that happened and is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// driftd started.
    Start(Started),
    /// A deployment moved.
    Deployment(DeploymentNews),
    /// A deployment was judged.
    Verdict(Verdict),
    /// A key has another value than before.
    Change(Change),
    /// A key was written and is none the worse.
    Touch(Touch),
    /// A finding opened or healed.
    Finding(Box<Finding>),
    /// Something was done about a finding, or was not.
    Remedy(Box<Remedied>),
    /// Something was missed; a sweep follows.
    Loss(Loss),
    /// Every declared key was read.
    Sweep(Sweep),
    /// An authentic message counted for nothing.
    Ignored(Ignored),
}

impl What {
    /// The word for the kind, as in the lines.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Start(_) => Kind::Start,
            What::Deployment(_) => Kind::Deployment,
            What::Verdict(_) => Kind::Verdict,
            What::Change(_) => Kind::Change,
            What::Touch(_) => Kind::Touch,
            What::Finding(_) => Kind::Finding,
            What::Remedy(_) => Kind::Remedy,
            What::Loss(_) => Kind::Loss,
            What::Sweep(_) => Kind::Sweep,
            What::Ignored(_) => Kind::Ignored,
        }
        .as_str()
    }

    /// The commit last delivered when it happened, or that it is about.
    pub fn commit(&self) -> Option<&Revision> {
        match self {
            What::Deployment(news) => Some(&news.commit),
            What::Verdict(verdict) => Some(&verdict.commit),
            What::Change(change) => change.commit.as_ref(),
            What::Touch(touch) => touch.commit.as_ref(),
            What::Finding(finding) => finding.commit.as_ref(),
            What::Remedy(remedied) => remedied.commit.as_ref(),
            What::Start(_) | What::Loss(_) | What::Sweep(_) | What::Ignored(_) => None,
        }
    }

    /// The key it is about, where it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            What::Change(change) => Some(&change.key),
            What::Touch(touch) => Some(&touch.key),
            What::Finding(finding) => Some(&finding.key),
            What::Remedy(remedied) => Some(&remedied.key),
            What::Start(_)
            | What::Deployment(_)
            | What::Verdict(_)
            | What::Loss(_)
            | What::Sweep(_)
            | What::Ignored(_) => None,
        }
    }
}

/// A kind of entry, by itself: what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Kind {
    /// driftd started.
    Start,
    /// A deployment moved.
    Deployment,
    /// A deployment was judged.
    Verdict,
    /// A key has another value than before.
    Change,
    /// A key was written and is none the worse.
    Touch,
    /// A finding opened or healed.
    Finding,
    /// Something was done about a finding, or was not.
    Remedy,
    /// Something was missed.
    Loss,
    /// Every declared key was read.
    Sweep,
    /// An authentic message counted for nothing.
    Ignored,
}

impl Kind {
    /// The kind of this word; `None` where there is none.
    pub fn of(word: &str) -> Option<Kind> {
        Kind::VARIANTS.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// The words for all of them.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Kind::VARIANTS.iter().map(|kind| kind.as_str())
    }

    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Deployment => "deployment",
            Kind::Verdict => "verdict",
            Kind::Change => "change",
            Kind::Touch => "touch",
            Kind::Finding => "finding",
            Kind::Remedy => "remedy",
            Kind::Loss => "loss",
            Kind::Sweep => "sweep",
            Kind::Ignored => "ignored",
        }
    }
}

/// driftd started: what it watches, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The version of the program.
    pub version: String,
    /// How writes of sysctls are noticed: `kprobe`, `cgroup`, `swept`.
    pub sysctl: String,
    /// How changes of MTUs are noticed: `kprobe`, `netlink`, `swept`.
    pub link: String,
    /// How rises of pressure are noticed: `psi`, `swept`; not said by versions before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<String>,
    /// Why so, one sentence each.
    pub reasons: Vec<String>,
    /// How many keys are declared.
    pub keys: usize,
    /// Where the webhook listens.
    pub webhook: Option<String>,
    /// Where the page is, beside the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// A deployment moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentNews {
    /// Which.
    pub deployment: DeploymentId,
    /// What it delivers.
    pub commit: Revision,
    /// The application.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// What became of it.
    pub status: DeploymentStatus,
    /// Whether neither an id nor a timestamp came with it.
    pub undated: bool,
}

/// What became of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentStatus {
    /// Its window is open.
    Started,
    /// It is in force.
    Finished,
    /// It broke off.
    Failed,
    /// Its window closed without a word from the sender.
    TimedOut,
}

impl DeploymentStatus {
    /// The status of this word; `None` where there is none.
    pub fn of(word: &str) -> Option<DeploymentStatus> {
        DeploymentStatus::VARIANTS.iter().copied().find(|status| status.as_str() == word)
    }

    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            DeploymentStatus::Started => "started",
            DeploymentStatus::Finished => "finished",
            DeploymentStatus::Failed => "failed",
            DeploymentStatus::TimedOut => "timed-out",
        }
    }
}

impl FromStr for DeploymentStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<DeploymentStatus, String> {
        use DeploymentStatus::{Failed, Finished, Started, TimedOut};
        [Started, Finished, Failed, TimedOut]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no status of a deployment"))
    }
}

/// A key has another value than before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What was in force before; `None` where the key did not exist or was not known.
    pub previous: Option<Value>,
    /// What the writer asked for.
    pub requested: Option<Value>,
    /// What is in force now; `None` where the key is gone.
    pub actual: Option<Value>,
    /// Who did it; `None` is `unattributed`.
    pub writer: Option<Writer>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// The commit last delivered when it happened.
    pub commit: Option<Revision>,
    /// The deployment whose window it fell into, or that was in force.
    pub deployment: Option<DeploymentId>,
    /// Whether it fell into the deployment's window.
    pub in_window: bool,
    /// How many writes of the key this one read confirms.
    pub writes: u64,
    /// The finding that driftd itself was putting right by it, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedies: Option<FindingId>,
}

/// Writes that opened nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touch {
    /// The key.
    pub key: Key,
    /// What is in force.
    pub actual: Option<Value>,
    /// What the writer asked for, the last time.
    pub requested: Option<Value>,
    /// What the last write returned: bytes, or a negative errno.
    pub result: Option<i64>,
    /// Who wrote.
    pub writer: Option<Writer>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// The commit last delivered when it happened.
    pub commit: Option<Revision>,
    /// Why it is no more than a touch.
    pub reason: TouchReason,
    /// How many writes.
    pub writes: u64,
}

/// Why a write is no more than a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "lowercase")]
pub enum TouchReason {
    /// The value asked for was in force already.
    Equal,
    /// The kernel refused it.
    Refused,
    /// The value was changed and put back before the departure settled.
    Restored,
    /// The value did not move: the kernel took the write and ignored it (a position past the end, for one), or
    /// refused it where no probe sees the result.
    Ineffective,
}

impl TouchReason {
    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            TouchReason::Equal => "equal",
            TouchReason::Refused => "refused",
            TouchReason::Restored => "restored",
            TouchReason::Ineffective => "ineffective",
        }
    }
}

/// Something was missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// What was missed, in words: `records the ring had no room for`.
    pub what: String,
    /// How many, where they can be counted.
    pub count: Option<u64>,
}

/// An authentic message counted for nothing: it told of something else than a deployment, or of one that is not ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ignored {
    /// The sender, by its name in the configuration.
    pub sender: String,
    /// Why.
    pub reason: String,
    /// What it was about, from the last such message.
    pub detail: Option<String>,
    /// How many, since it was told the last time.
    pub count: u64,
}

/// Every declared key was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Why.
    pub reason: SweepReason,
    /// How many keys were read.
    pub keys: usize,
    /// How many had another value than was known.
    pub changed: usize,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// Why a sweep was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "lowercase")]
pub enum SweepReason {
    /// driftd started.
    Start,
    /// It is time.
    Timer,
    /// Something was missed.
    Loss,
    /// A deployment ended.
    Deployment,
    /// The clock or the machine jumped.
    Jump,
    /// The configuration was read again.
    Reload,
}

impl SweepReason {
    /// The word for it, as in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            SweepReason::Start => "start",
            SweepReason::Timer => "timer",
            SweepReason::Loss => "loss",
            SweepReason::Deployment => "deployment",
            SweepReason::Jump => "jump",
            SweepReason::Reload => "reload",
        }
    }
}

/// What the host had when a deployment was confirmed: the expectation of a rule that captures.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// The rule.
    pub rule: std::sync::Arc<str>,
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The commit that was in force.
    pub commit: Revision,
}
