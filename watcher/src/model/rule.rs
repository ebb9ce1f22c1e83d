//! What is declared: rules, the expectations in them, and where they stand.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{Key, Mute, Pattern, Quantity, Remedy, Revision, TextPattern};

/// One rule of the configuration: keys, what is expected of each, and how a departure is treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The rule's name, unique in a configuration.
    pub name: Arc<str>,
    /// The keys that are written out, each once.
    pub keys: Vec<Key>,
    /// Patterns of further keys.
    pub patterns: Vec<Pattern>,
    /// What it means that a key does not exist, where the rule says it.
    pub if_absent: Option<IfAbsent>,
    /// What is expected of each of the keys.
    pub expectation: Expectation,
    /// How loud a departure is.
    pub severity: Severity,
    /// How long a departure must hold before it is a finding (`for:`).
    pub hold: Duration,
    /// How long after a write a departure stays quiet (`settle:`), so that change-and-restore pages nobody.
    pub settle: Duration,
    /// Until when no sink is told of its findings.
    pub mute: Option<Mute>,
    /// What is done about a finding (`remedy:`). Nothing but the local configuration sets it.
    pub remedy: Remedy,
    /// Where the rule stands.
    pub source: Source,
    /// The commit that declared what it expects, where that is known.
    pub commit: Option<Revision>,
}

impl Rule {
    /// Whether a pattern of it means a key.
    pub fn means(&self, key: &Key) -> bool {
        self.patterns.iter().any(|pattern| pattern.means(key))
    }

    /// The settle time of a rule that names none: long enough for a tool that writes a key twice, short enough to
    /// be told at once.
    pub const DEFAULT_SETTLE: Duration = Duration::from_millis(100);
}

/// What it means that a declared key does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// It departs. Of a key that is written out, where the rule does not say.
    Drift,
    /// Nothing. Of a key that a pattern stands for, where the rule does not say.
    Ignore,
    /// Nothing, until it is there for the first time; from then on it departs.
    Wait,
}

/// What is expected of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// What the host had when the deployment was confirmed; beyond the margin, if there is one.
    Captured(Option<Margin>),
    /// This value. Written for one key, it is canonical for each key of the rule.
    Equal(Box<str>),
    /// One of these values.
    OneOf(Vec<Box<str>>),
    /// A value that, in canonical form and as a whole, matches this.
    Matches(TextPattern),
    /// A quantity between the two, both included. At least one is given.
    Range {
        /// The least.
        min: Option<Quantity>,
        /// The most.
        max: Option<Quantity>,
    },
    /// A quantity of at most, or of at least, this part of another key's.
    Share {
        /// Which of the two.
        bound: Bound,
        /// The part, in thousandths of a percent.
        thousandths: u32,
        /// The other key: a sysctl or a field of /proc/meminfo.
        of: Key,
    },
    /// A quantity no further than the margin from this one.
    Near(Quantity, Margin),
}

impl Expectation {
    /// The sysctl whose writes move what is expected, by its name with `/` between its components.
    pub fn depends_on(&self) -> Option<&Arc<str>> {
        match self {
            Expectation::Share { of: Key::Sysctl { name, .. }, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether one value alone is expected, and no other is right.
    pub fn is_one_value(&self) -> bool {
        matches!(self, Expectation::Captured(None) | Expectation::Equal(_))
    }
}

/// Which way a bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At least.
    Least,
    /// At most.
    Most,
}

/// How far a value may be from the expected one.
#[derive(Clone, Debug, PartialEq)]
pub enum Margin {
    /// By this quantity.
    Absolute(Quantity),
    /// By this part of the expected value, in thousandths of a percent, so that 0.5% is exact.
    Percent(u32),
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Margin::Absolute(quantity) => quantity.fmt(f),
            Margin::Percent(thousandths) => write!(f, "{}%", f64::from(*thousandths) / 1000.0),
        }
    }
}

/// How loud a departure is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look at it today.
    #[default]
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// The word for it, as in rules and lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Where a declared value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The file.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
