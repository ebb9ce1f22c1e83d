//! The journal of systemd, in its own protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): an entry as a sentence and,
//! beside it, each of its fields by name.
//!
//! Nothing here decides what is told. What is too large for a datagram goes as a sealed file in memory.

use std::{
    env,
    io::{self, IoSlice, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create},
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr},
};
use serde_json::Value;

use super::{burst::Burst, render::message};
use crate::{
    model::{FindingState, Outcome, Severity, VerdictStatus, What},
    store::Row,
};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long to wait before it is tried again to reach a journal that does not take an entry: it is restarted, say.
const PAUSE: Duration = Duration::from_secs(1);

/// The `MESSAGE_ID` of each kind, for `journalctl -x` and for those who match by it; packaging/driftd.catalog explains
/// them. One that was ever released is never changed.
pub const MESSAGE_IDS: [(&str, &str); 12] = [
    ("start", "29b2ca9d4a084b8a91305018646f8403"),
    ("deployment", "63c9020330704321a16f27ffa7af05e5"),
    ("verdict", "b2a5313584bd459ba5156752085373df"),
    ("change", "1b74f19156b3477aaea80c6ccb311297"),
    ("touch", "df82efa4c71d4356b22e63e9cb17f0d7"),
    ("finding", "177381260f7e4e2ca7537d282cef81a3"),
    ("remedy", "1db870e166df481486a65f177b97f2e2"),
    ("healed", "c0a588e73cf64ca6b54054306b5c58f0"),
    ("loss", "33a6de0e64eb4e2690ae8142fff8d23b"),
    ("sweep", "4d6ebffaeeba412e907c1cf42321745d"),
    ("ignored", "0308a004d1bb4811b0ed4a5779e46760"),
    ("burst", "657597bf783d4ff3895b152bf77b7c13"),
];

/// The journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    unheard: bool,
}

impl Journal {
    /// The journal that the standard output of this process goes to, if it goes to one: `$JOURNAL_STREAM` says which
    /// (systemd.exec(5)), and is inherited by programs whose output goes elsewhere.
    pub fn of_stdout() -> Option<Journal> {
        let stream = env::var("JOURNAL_STREAM").ok()?;
        let stdout = fstat(io::stdout()).ok()?;
        let is_it = stream == format!("{}:{}", stdout.st_dev, stdout.st_ino);
        is_it.then(|| Journal::at(Path::new(SOCKET)).ok()).flatten()
    }

    /// The journal that listens on a socket.
    pub(super) fn at(path: &Path) -> io::Result<Journal> {
        Ok(Journal { socket: UnixDatagram::unbound()?, path: path.to_owned(), unheard: false })
    }

    /// Tells an entry. It waits for as long as the journal takes nothing.
    pub fn tell(&mut self, row: &Row) {
        self.send(&fields(row));
    }

    /// Tells of many entries in one.
    pub fn tell_burst(&mut self, burst: &Burst) {
        self.send(&burst_fields(burst));
    }

    fn send(&mut self, fields: &[(String, String)]) {
        let bytes = encoded(fields);
        while let Err(error) = self.try_send(&bytes) {
            if !std::mem::replace(&mut self.unheard, true) {
                tracing::warn!("the journal takes nothing, and is tried again: {error}");
            }
            thread::sleep(PAUSE);
        }
        self.unheard = false;
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.send_to(bytes, &self.path) {
            Err(error) if too_large(&error) => self.send_file(bytes),
            sent => sent.map(drop),
        }
    }

    /// Sends what is too large for a datagram: in a file that nobody can change any more.
    fn send_file(&self, bytes: &[u8]) -> io::Result<()> {
        let file: OwnedFd = memfd_create("driftd-journal", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = std::fs::File::from(file);
        file.write_all(bytes)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let descriptors = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let address = SocketAddrUnix::new(&self.path)?;
        sendmsg_addr(&self.socket, &address, &[IoSlice::new(&[])], &mut control, SendFlags::empty())?;
        Ok(())
    }
}

fn too_large(error: &io::Error) -> bool {
    [Errno::MSGSIZE, Errno::NOBUFS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The fields of an entry: what `--output json` prints, each under its name in capitals with `DRIFTD_` before it, those
/// of the writer with `WRITER_`.
fn fields(row: &Row) -> Vec<(String, String)> {
    let mut fields = head(id_name(&row.entry.what), message(&row.entry.what), priority(&row.entry.what));
    if let Ok(Value::Object(map)) = serde_json::to_value(row) {
        for (name, value) in map {
            match (&*name, value) {
                ("writer", Value::Object(writer)) => {
                    for (name, value) in writer {
                        // As the kernel and audit call it.
                        push(
                            &mut fields,
                            &format!("writer_{}", name.replace("login_uid", "loginuid")),
                            value,
                        );
                    }
                }
                ("declared_by", source) => {
                    let (file, line) = (source.get("file"), source.get("line"));
                    let file = file.and_then(Value::as_str).unwrap_or_default();
                    let line = line.and_then(Value::as_u64).unwrap_or_default();
                    push(&mut fields, "declared_by", format!("{file}:{line}").into());
                }
                ("muted", Value::Object(mute)) => {
                    for (name, value) in mute {
                        push(&mut fields, &format!("muted_{name}"), value);
                    }
                }
                (name, value) => push(&mut fields, name, value),
            }
        }
    }
    fields
}

fn burst_fields(burst: &Burst) -> Vec<(String, String)> {
    let mut fields = head("burst", burst.sentence(), 4);
    push(&mut fields, "kind", "burst".into());
    for (name, count) in [
        ("first_entry", burst.first),
        ("entry", burst.last),
        ("changes", burst.changes.cast_signed()),
        ("touches", burst.touches.cast_signed()),
        ("findings", burst.findings.cast_signed()),
        ("keys", i64::try_from(burst.keys.len()).unwrap_or(i64::MAX)),
    ] {
        push(&mut fields, name, count.into());
    }
    fields
}

fn head(name: &str, message: String, priority: u8) -> Vec<(String, String)> {
    let id = MESSAGE_IDS.iter().find(|(known, _)| *known == name).map_or("", |(_, id)| id);
    vec![
        ("MESSAGE".into(), message),
        ("MESSAGE_ID".into(), id.into()),
        ("PRIORITY".into(), priority.to_string()),
        ("SYSLOG_IDENTIFIER".into(), "driftd".into()),
    ]
}

/// What is not known has no field. What is no single value is JSON.
fn push(fields: &mut Vec<(String, String)>, name: &str, value: Value) {
    let text = match value {
        Value::Null => return,
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.push((format!("DRIFTD_{}", name.to_ascii_uppercase()), text));
}

/// The name under which an entry has its `MESSAGE_ID`.
fn id_name(what: &What) -> &'static str {
    match what {
        What::Finding(finding) if finding.state == FindingState::Healed => "healed",
        what => what.kind(),
    }
}

/// How loud, as syslog(3) counts.
fn priority(what: &What) -> u8 {
    const CRITICAL: u8 = 2;
    const WARNING: u8 = 4;
    const NOTICE: u8 = 5;
    const INFO: u8 = 6;
    match what {
        What::Finding(finding) if finding.muted.is_some() => INFO,
        What::Finding(finding) => match (finding.state, finding.severity) {
            (FindingState::Healed, _) => NOTICE,
            (FindingState::Opened, Severity::Critical) => CRITICAL,
            (FindingState::Opened, Severity::Warning) => WARNING,
            (FindingState::Opened, Severity::Info) => INFO,
        },
        What::Verdict(verdict) if verdict.status == VerdictStatus::OutOfSync => WARNING,
        What::Remedy(remedied) => match remedied.outcome {
            Outcome::Done | Outcome::DryRun => NOTICE,
            Outcome::Refused | Outcome::Failed | Outcome::Stopped | Outcome::Interrupted => WARNING,
        },
        What::Loss(_) => WARNING,
        What::Start(_) | What::Deployment(_) | What::Verdict(_) | What::Change(_) => NOTICE,
        What::Touch(_) | What::Sweep(_) | What::Ignored(_) => INFO,
    }
}

/// The fields as the journal takes them: `NAME=value`, and what has a line end in it by its length.
fn encoded(fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests;
