//! The gitops-status JSON as it comes in: its six fields checked, whatever stands beside them kept as it is.
//!
//! Nothing here is believed: the sender is authentic, and what it says is its own word.

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
#[serde(expecting = "an object with a `name`")]
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
    /// A name is empty, too long, or would do something to a terminal.
    #[error("`{field}` is `{}`, wanted {wanted}", excerpt(.found))]
    Text {
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        wanted: &'static str,
    },
    /// It is ahead of our time.
    #[error("`last_check` is {found}, more than five minutes ahead of the time here, {now}")]
    Ahead {
        /// What it says.
        found: Timestamp,
        /// What we say.
        now: Timestamp,
    },
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
        let mut report: Report = serde_json::from_slice(body)?;
        // These two are the hub's own words.
        report.more.remove("received");
        report.more.remove("age_seconds");
        let shown = |text: &str| text.chars().count() <= NAME && !text.chars().any(char::is_control);
        let check = |field, found: &str, is_right: bool, wanted| match is_right {
            true => Ok(()),
            false => Err(Wrong::Text { field, found: found.to_owned(), wanted }),
        };
        let Report { server, repo, sync_status, .. } = &report;
        let name = "a name of 1 to 1024 characters that can be shown";
        check("server", server, !server.is_empty() && shown(server), name)?;
        // driftd's own is empty before the first deployment.
        check("repo", repo, shown(repo), "at most 1024 characters that can be shown")?;
        for File { name: file, .. } in &report.files {
            check("files[].name", file, !file.is_empty() && shown(file), name)?;
        }
        let word = (1..=64).contains(&sync_status.len())
            && sync_status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        check("sync_status", sync_status, word, "`SYNCED`, `OUT_OF_SYNC`, or another word in capitals")?;
        let wanted = "a time in RFC 3339, such as `2026-01-31T12:00:00Z`";
        let checked: Result<Timestamp, _> = report.last_check.parse();
        check("last_check", &report.last_check, checked.is_ok(), wanted)?;
        match checked {
            Ok(found) if found.duration_since(now) > AHEAD => Err(Wrong::Ahead { found, now }),
            _ => Ok(report),
        }
    }

    /// When the sender looked; what cannot be read was long ago.
    pub fn checked(&self) -> Timestamp {
        self.last_check.parse().unwrap_or(Timestamp::MIN)
    }
}
