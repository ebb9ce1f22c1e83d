//! The journal as it takes entries: a socket in its place, and its protocol read back.

use std::{
    io::{IoSliceMut, Read, Seek},
    mem::MaybeUninit,
};

use rustix::{
    fs::fcntl_get_seals,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use tempfile::TempDir;

use super::*;
use crate::model::{Entry, Mute};

/// Takes the place of journald.
struct Listener {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Listener {
    fn start() -> Listener {
        let dir = tempfile::tempdir().unwrap();
        Listener { socket: UnixDatagram::bind(dir.path().join("socket")).unwrap(), dir }
    }

    fn journal(&self) -> Journal {
        Journal::at(&self.dir.path().join("socket")).unwrap()
    }

    /// The next entry, by datagram or in a file that is sealed.
    fn next(&self) -> Vec<(String, String)> {
        let mut bytes = vec![0; 1 << 20];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let read = recvmsg(&self.socket, &mut slices, &mut control, RecvFlags::empty()).unwrap().bytes;
        let sent = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        bytes.truncate(read);
        if let Some(file) = sent {
            assert_eq!(read, 0, "the file is all there is");
            let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
            assert_eq!(fcntl_get_seals(&file).unwrap(), all);
            let mut file = std::fs::File::from(file);
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
        }
        decoded(&bytes)
    }
}

/// The protocol, read as its description says.
fn decoded(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| b"=\n".contains(byte)).unwrap();
        let name = std::str::from_utf8(&bytes[..end]).unwrap().to_owned();
        let (from, length) = match bytes[end] {
            b'=' => (end + 1, bytes[end..].iter().position(|byte| *byte == b'\n').unwrap() - 1),
            _ => {
                let length = u64::from_le_bytes(bytes[end + 1..end + 9].try_into().unwrap());
                (end + 9, usize::try_from(length).unwrap())
            }
        };
        fields.push((name, std::str::from_utf8(&bytes[from..from + length]).unwrap().to_owned()));
        assert_eq!(bytes[from + length], b'\n');
        bytes = &bytes[from + length + 1..];
    }
    fields
}

fn finding(actual: &str) -> Row {
    let entry: Entry = serde_json::from_value(serde_json::json!({
        "time": "2026-08-01T10:20:00Z", "kind": "finding", "finding": "f", "state": "opened", "key": "vm.swappiness",
        "rule": "swappiness", "severity": "critical", "expected": "10", "actual": actual, "previous": "10",
        "requested": null, "commit": "a1b2c3", "declared_commit": null,
        "declared_by": { "file": "/etc/driftd.yaml", "line": 7 }, "cause": "changed after the deploy",
        "writer": { "pid": 4242, "tid": 4242, "comm": "a\nb", "uid": 0, "login_uid": 1000, "session_id": 3,
            "parent_pid": 4200, "parent_comm": "bash", "cgroup_id": 1, "unit": "session-3.scope" },
        "seen_by": "kprobe", "deployment": "d", "opened": "2026-08-01T10:20:00Z", "healed": null
    }))
    .unwrap();
    Row { number: 7, entry }
}

#[test]
fn an_entry_is_a_sentence_and_each_of_its_fields_by_name() {
    let listener = Listener::start();
    listener.journal().tell(&finding("61"));
    let fields: Vec<_> =
        listener.next().into_iter().map(|(name, value)| format!("{name}={}", value.escape_debug())).collect();
    insta::assert_snapshot!(fields.join("\n"), @r"
    MESSAGE=critical: vm.swappiness is 61, expected 10 (rule swappiness, /etc/driftd.yaml:7), was 10; changed after the deploy; by a\\nb (pid 4242, uid 0, login uid 1000, parent bash 4200, unit session-3.scope), seen by kprobe, under commit a1b2c3
    MESSAGE_ID=177381260f7e4e2ca7537d282cef81a3
    PRIORITY=2
    SYSLOG_IDENTIFIER=driftd
    DRIFTD_ACTUAL=61
    DRIFTD_CAUSE=changed after the deploy
    DRIFTD_COMMIT=a1b2c3
    DRIFTD_DECLARED_BY=/etc/driftd.yaml:7
    DRIFTD_DEPLOYMENT=d
    DRIFTD_ENTRY=7
    DRIFTD_EXPECTED=10
    DRIFTD_FINDING=f
    DRIFTD_KEY=vm.swappiness
    DRIFTD_KIND=finding
    DRIFTD_OPENED=2026-08-01T10:20:00Z
    DRIFTD_PREVIOUS=10
    DRIFTD_RULE=swappiness
    DRIFTD_SEEN_BY=kprobe
    DRIFTD_SEVERITY=critical
    DRIFTD_STATE=opened
    DRIFTD_TIME=2026-08-01T10:20:00Z
    DRIFTD_WRITER_CGROUP_ID=1
    DRIFTD_WRITER_COMM=a\nb
    DRIFTD_WRITER_LOGINUID=1000
    DRIFTD_WRITER_PARENT_COMM=bash
    DRIFTD_WRITER_PARENT_PID=4200
    DRIFTD_WRITER_PID=4242
    DRIFTD_WRITER_SESSION_ID=3
    DRIFTD_WRITER_TID=4242
    DRIFTD_WRITER_UID=0
    DRIFTD_WRITER_UNIT=session-3.scope
    ");
}

#[test]
fn what_is_too_large_for_a_datagram_arrives_whole() {
    let listener = Listener::start();
    let long = "x".repeat(5 << 20);
    listener.journal().tell(&finding(&long));
    let fields = listener.next();
    assert!(fields.contains(&("DRIFTD_ACTUAL".into(), long)), "it has all its bytes");
    assert!(fields.contains(&("DRIFTD_WRITER_LOGINUID".into(), "1000".into())));
}

#[test]
fn every_kind_has_an_id_of_its_own_that_the_catalog_explains() {
    let catalog = include_str!("../../../../packaging/driftd.catalog");
    let explained: Vec<_> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    assert_eq!(explained, MESSAGE_IDS.map(|(_, id)| id));
    for (at, (name, id)) in MESSAGE_IDS.iter().enumerate() {
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        assert!(MESSAGE_IDS.iter().skip(at + 1).all(|(_, other)| other != id), "{name}");
    }
    for kind in crate::model::Kind::words() {
        assert!(MESSAGE_IDS.iter().any(|(name, _)| *name == kind), "{kind}");
    }
}

#[test]
fn a_journal_that_is_not_there_is_tried_again_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut journal = Journal::at(&path).unwrap();
    let telling = thread::spawn(move || journal.tell(&finding("61")));
    let listener = Listener { socket: UnixDatagram::bind(&path).unwrap(), dir };
    assert!(listener.next().iter().any(|(name, _)| name == "MESSAGE_ID"));
    telling.join().unwrap();
}

#[test]
fn a_muted_finding_is_only_worth_knowing_and_says_until_when() {
    let listener = Listener::start();
    let mut row = finding("61");
    let What::Finding(finding) = &mut row.entry.what else { unreachable!() };
    finding.muted =
        Some(Mute { until: "2026-12-01T00:00:00Z".parse().unwrap(), reason: Some("being moved".into()) });
    listener.journal().tell(&row);
    let fields = listener.next();
    let of = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
    assert_eq!(of("PRIORITY"), Some("6"));
    assert_eq!(of("DRIFTD_MUTED_UNTIL"), Some("2026-12-01T00:00:00Z"));
    assert_eq!(of("DRIFTD_MUTED_REASON"), Some("being moved"));
    assert!(
        of("MESSAGE").is_some_and(|text| text.ends_with(", muted until 2026-12-01T00:00:00Z (being moved)"))
    );
}
