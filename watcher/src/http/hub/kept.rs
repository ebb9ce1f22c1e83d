//! What is kept: the last status of each sender, in memory for who reads, and each in a file of its own, so that it is
//! there after a restart. A sender is one server with one repository.
//!
//! To forget a sender, remove its file while the hub does not run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{super::HttpError, report::Report};

/// How many senders there may be. A hub that forgot one for another would show a fleet in order that is not.
const MOST: usize = 4096;

/// The longest file, in bytes: a status, and a little.
const LONGEST: u64 = 128 * 1024;

/// The last status of each sender.
pub struct Kept {
    dir: PathBuf,
    last: Mutex<BTreeMap<(String, String), Last>>,
    /// One is written after the other, so that file and memory hold the same.
    writing: tokio::sync::Mutex<()>,
}

/// A status, and when it came.
#[derive(Clone, Serialize, Deserialize)]
struct Last {
    received: Timestamp,
    report: Report,
}

/// A status as it is shown: as it came, and its age.
#[derive(Serialize)]
pub struct Row {
    #[serde(flatten)]
    report: Report,
    /// When it came.
    received: Timestamp,
    /// How long ago that is, in seconds.
    age_seconds: i64,
}

/// Why a status is not kept.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// What is kept is newer: this one was on the way for long, or is sent again by somebody else.
    #[error("`last_check` is {found}, and what is kept of this server and repository is newer: {kept}")]
    Older {
        /// What it says.
        found: Timestamp,
        /// What is kept.
        kept: Timestamp,
    },
    /// There are too many.
    #[error("{MOST} senders are kept already, and at most as many; those in `{}` that are gone can be removed", .0.display())]
    Full(PathBuf),
    /// It cannot be written.
    #[error("{0}")]
    Unwritable(String),
}

impl Kept {
    /// Reads what was kept in a state directory; makes the directory where there is none. A file that cannot be read is
    /// told and left as it is.
    ///
    /// # Errors
    /// The directory cannot be had.
    pub fn load(state: &Path) -> Result<Kept, HttpError> {
        let dir = state.join("hub");
        let failed = |source| HttpError::Hub { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(failed)?;
        let mut last = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(one) => drop(last.insert(sender(&one.report), one)),
                Err(error) => tracing::warn!("the status in `{}` is not read: {error}", path.display()),
            }
        }
        Ok(Kept { dir, last: Mutex::new(last), writing: tokio::sync::Mutex::new(()) })
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.last().len()
    }

    /// Keeps a status in the place of the sender's last, for good before this returns.
    ///
    /// # Errors
    /// It is older than the last, there are too many senders, or it cannot be written.
    pub async fn keep(&self, report: Report, received: Timestamp) -> Result<(), Unkept> {
        let _one_at_a_time = self.writing.lock().await;
        let whose = sender(&report);
        {
            let last = self.last();
            match last.get(&whose) {
                // The same again is a retry: what it says has grown no younger.
                Some(kept) if kept.report == report => return Ok(()),
                Some(kept) if kept.report.checked() > report.checked() => {
                    return Err(Unkept::Older { found: report.checked(), kept: kept.report.checked() });
                }
                None if last.len() >= MOST => return Err(Unkept::Full(self.dir.clone())),
                _ => {}
            }
        }
        let one = Last { received, report };
        let (path, copy) = (self.dir.join(name(&whose)), one.clone());
        // The disk may be slow: nobody who reads waits for it.
        let written = tokio::task::spawn_blocking(move || {
            write(&path, &copy).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
        });
        written.await.map_err(|error| Unkept::Unwritable(error.to_string()))?.map_err(Unkept::Unwritable)?;
        self.last().insert(whose, one);
        Ok(())
    }

    /// All that is kept, by server and repository.
    pub fn rows(&self, now: Timestamp) -> Vec<Row> {
        let row = |Last { received, report }: &Last| Row {
            report: report.clone(),
            received: *received,
            age_seconds: now.duration_since(*received).as_secs().max(0),
        };
        self.last().values().map(row).collect()
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<(String, String), Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells one sender from another.
fn sender(report: &Report) -> (String, String) {
    (report.server.clone(), report.repo.clone())
}

/// A file's name that no server's name can make another: nothing of what was sent is part of it.
fn name((server, repo): &(String, String)) -> String {
    let digest = Sha256::new().chain_update(server).chain_update([0]).chain_update(repo).finalize();
    let mut name = String::new();
    for byte in digest {
        // To a string it cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".json"
}

fn read(path: &Path) -> io::Result<Last> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Writes a file whole or not at all, and comes back when it is on the disk.
fn write(path: &Path, one: &Last) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(one)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(server: &str) -> Report {
        let body = super::super::tests::body(server, "2026-08-01T10:20:00Z");
        Report::read(body.as_bytes(), "2026-08-01T10:20:00Z".parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_hub_that_is_full_takes_no_further_sender_and_forgets_none() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::load(state.path()).unwrap();
        let now = "2026-08-01T10:20:00Z".parse().unwrap();
        for number in 1..MOST {
            let report = report(&format!("web-{number}"));
            kept.last().insert(sender(&report), Last { received: now, report });
        }
        kept.keep(report("web-0"), now).await.unwrap();
        let error = kept.keep(report("one-too-many"), now).await.unwrap_err();
        assert!(matches!(error, Unkept::Full(_)), "{error}");
        let newer = Report { last_check: "2026-08-01T10:21:00Z".into(), ..report("web-7") };
        kept.keep(newer, now).await.unwrap();
        assert_eq!(kept.count(), MOST);
    }

    #[test]
    fn what_is_no_status_is_left_as_it_is_and_the_others_are_read() {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("hub");
        fs::create_dir(&dir).unwrap();
        let one = Last { received: Timestamp::UNIX_EPOCH, report: report("web-01") };
        write(&dir.join(name(&sender(&one.report))), &one).unwrap();
        fs::write(dir.join("broken.json"), "{").unwrap();
        fs::write(dir.join("half.new"), "{").unwrap();
        let (kept, log) = super::super::super::testing::logged(|| Kept::load(state.path()).unwrap());
        assert_eq!(kept.count(), 1);
        assert!(log.contains("broken.json") && !log.contains("half.new"), "{log}");
        assert_eq!(fs::read_to_string(dir.join("broken.json")).unwrap(), "{");
    }

    #[test]
    fn no_name_leads_out_of_the_directory_and_no_two_senders_share_a_file() {
        let of = |server: &str, repo: &str| name(&(server.to_owned(), repo.to_owned()));
        assert!(of("../../etc/passwd", "").bytes().all(|b| b.is_ascii_hexdigit() || b".json".contains(&b)));
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
