//! One declared key as it stands now: what is in force, and what each rule expects of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Key, Severity, Source, Surface, Value};

/// A declared key as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// The key.
    pub key: Key,
    /// The kind of place it lives in.
    pub surface: Surface,
    /// What is in force; `None` where it does not exist, cannot be read, or was not read yet.
    pub actual: Option<Value>,
    /// How a write or a rise of it is noticed before the next sweep, in the words of [`Started`](super::Started);
    /// `swept`: not at all.
    #[serde(default)]
    pub watched_by: Box<str>,
    /// Whether it can be read.
    pub readable: bool,
    /// What each rule says of it.
    pub rules: Vec<RuleStanding>,
}

/// What one rule says of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStanding {
    /// The rule.
    pub rule: Arc<str>,
    /// What it expects, in words a person reads.
    pub expected: String,
    /// How loud a departure is.
    pub severity: Severity,
    /// Where it is declared.
    pub declared_by: Source,
    /// How it stands.
    pub standing: Standing,
}

/// How a rule stands on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// In order.
    Quiet,
    /// It departs, and is no finding yet.
    Departing,
    /// A finding is open.
    Open,
}
