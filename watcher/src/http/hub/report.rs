//! The gitops-status JSON as it comes in: its six fields checked, whatever stands beside them kept as it is.
//!
//! Nothing here is believed: the sender is authentic, and what it says is its own word.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::senders::excerpt;

/// The longest status, in bytes: some thousand files.
const LONGEST: usize = 64 * 1024;

/// The longest name, in characters.
const NAME: usize = 1024;

/// How far ahead of our clock a status may be: a further one would be the last for as long.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// One status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was deployed.
    pub repo: String,
    /// Where.
    pub server: String,
    /// How it stands, in a word.
    pub sync_status: String,
    /// How many files departed.
    pub drift_count: u64,
    /// Which.
    pub files: Vec<File>,
    /// When that was looked at, as the sender spells it.
    pub last_check: String,
    /// All else that the sender says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A file that departed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// All else that the sender says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Why an authentic status is not taken. The sender is told.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It is longer than any is.
    #[error("the body has {0} bytes, and a status at most {LONGEST}")]
    Long(usize),
    /// It is no JSON, or not of the form.
    #[error("the body is not the gitops-status JSON: {:.200}; docs/hub.md shows it", .0.to_string())]
    Form(#[from] serde_json::Error),
    /// It is something other than an object; the parser alone would take an array for one.
    #[error("the body is not the gitops-status JSON: wanted an object; docs/hub.md shows it")]
    NotAnObject,
    /// Fields are not there, or are not what they should be: all of them at once.
    #[error("{0}; docs/hub.md shows the gitops-status JSON")]
    Fields(Mistakes),
    /// It is ahead of our time.
    #[error("`last_check` is {found}, more than five minutes ahead of the time here, {now}")]
    Ahead {
        /// What it says.
        found: Timestamp,
        /// What we say.
        now: Timestamp,
    },
}

/// What is wrong with the fields of a status.
#[derive(Debug, Default)]
pub struct Mistakes {
    told: Vec<String>,
    untold: usize,
}

impl Mistakes {
    /// So many are told: a status may have thousands of files.
    const MOST_TOLD: usize = 10;

    /// Notes it where a field is not what it should be.
    fn check(&mut self, field: &str, found: Option<&Value>, wanted: &str, is_right: impl Fn(&Value) -> bool) {
        let found = match found {
            Some(value) if is_right(value) => return,
            _ if self.told.len() == Mistakes::MOST_TOLD => {
                self.untold += 1;
                return;
            }
            None => "not there".to_owned(),
            Some(Value::String(text)) => format!("the text `{}`", excerpt(text)),
            Some(Value::Array(_)) => "an array".to_owned(),
            Some(Value::Object(_)) => "an object".to_owned(),
            Some(other) => format!("`{}`", excerpt(&other.to_string())),
        };
        self.told.push(format!("`{field}` is {found}, wanted {wanted}"));
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        if self.untold > 0 {
            write!(f, "; and {} more", self.untold)?;
        }
        Ok(())
    }
}

impl Report {
    /// Reads an authentic body.
    ///
    /// # Errors
    /// It is not of the form.
    pub fn read(body: &[u8], now: Timestamp) -> Result<Report, Wrong> {
        if body.len() > LONGEST {
            return Err(Wrong::Long(body.len()));
        }
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Wrong::NotAnObject);
        }
        let mut said: Map<String, Value> = serde_json::from_slice(body)?;
        let mistakes = mistakes(&said);
        if !mistakes.told.is_empty() {
            return Err(Wrong::Fields(mistakes));
        }
        // These two are the hub's own words.
        said.remove("received");
        said.remove("age_seconds");
        let report: Report = serde_json::from_value(Value::Object(said))?;
        match report.checked() {
            found if found.duration_since(now) > AHEAD => Err(Wrong::Ahead { found, now }),
            _ => Ok(report),
        }
    }

    /// When the sender looked; what cannot be read was long ago.
    pub fn checked(&self) -> Timestamp {
        self.last_check.parse().unwrap_or(Timestamp::MIN)
    }
}

/// What is wrong with what was said.
fn mistakes(said: &Map<String, Value>) -> Mistakes {
    const NAMED: &str = "a name of 1 to 1024 characters that can be shown";
    let mut mistakes = Mistakes::default();
    let shown = |text: &str| text.chars().count() <= NAME && !text.chars().any(char::is_control);
    let text = |is_right: &dyn Fn(&str) -> bool, value: &Value| value.as_str().is_some_and(is_right);
    let name = |value: &Value| text(&|name| !name.is_empty() && shown(name), value);
    let is_word = |word: &str| {
        (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    let is_time = |time: &str| time.parse::<Timestamp>().is_ok();

    mistakes.check("server", said.get("server"), NAMED, name);
    // driftd's own is empty before the first deployment.
    let wanted = "at most 1024 characters that can be shown";
    mistakes.check("repo", said.get("repo"), wanted, |repo| text(&shown, repo));
    let wanted = "`SYNCED`, `OUT_OF_SYNC`, or another word in capitals";
    mistakes.check("sync_status", said.get("sync_status"), wanted, |word| text(&is_word, word));
    mistakes.check("drift_count", said.get("drift_count"), "a whole number, 0 or more", Value::is_u64);
    let wanted = "a time in RFC 3339, such as `2026-01-31T12:00:00Z`";
    mistakes.check("last_check", said.get("last_check"), wanted, |time| text(&is_time, time));
    mistakes.check("files", said.get("files"), "an array of objects with a `name`", Value::is_array);
    for (index, file) in said.get("files").and_then(Value::as_array).into_iter().flatten().enumerate() {
        match file {
            Value::Object(file) => {
                mistakes.check(&format!("files[{index}].name"), file.get("name"), NAMED, name);
            }
            other => {
                let wanted = "an object with a `name`";
                mistakes.check(&format!("files[{index}]"), Some(other), wanted, Value::is_object);
            }
        }
    }
    mistakes
}
