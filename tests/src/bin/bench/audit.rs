//! A path watch of the kernel's audit, as `auditctl -w PATH -p wa` sets it, with this process in auditd's place where
//! there is none: it takes the records and does nothing with them. What was set is put back, but for one thing that the
//! kernel does not forget before the next boot: that audit was once on (`audit_ever_enabled`, kernel/audit.c).
//!
//! The messages are those of include/uapi/linux/audit.h.

use std::{
    fmt, io,
    os::unix::ffi::OsStrExt,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use driftd_tests::host::netlink;
use netlink_sys::{Socket, protocols::NETLINK_AUDIT};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Kinds of messages.
const GET: u16 = 1000;
const SET: u16 = 1001;
const ADD_RULE: u16 = 1011;
const DEL_RULE: u16 = 1012;

/// What of the status is set.
const ENABLED: u32 = 0x1;
const PID: u32 = 0x4;
const BACKLOG_LIMIT: u32 = 0x10;

/// How many records may wait, as Debian's auditd sets it. With the kernel's own 64 writers would be made to wait.
const BACKLOG: u32 = 8192;

/// A watch at work.
pub struct Watch {
    control: Socket,
    rule: Vec<u32>,
    /// What there was before.
    before: Status,
    /// Takes the records, where this process is auditd; how many came.
    records: Option<JoinHandle<usize>>,
    stop: Arc<AtomicBool>,
}

/// The first words of `struct audit_status`.
struct Status {
    enabled: u32,
    pid: u32,
    backlog_limit: u32,
}

impl Watch {
    /// Sets the watch.
    pub fn start(path: &Path) -> io::Result<Watch> {
        let control = netlink::connect(NETLINK_AUDIT)?;
        let before = status(&control)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut records = None;
        // An auditd that is there takes the records itself.
        if before.pid == 0 {
            let socket = netlink::connect(NETLINK_AUDIT)?;
            ask(&socket, SET, &settings(PID | BACKLOG_LIMIT, 0, process::id(), BACKLOG))?;
            let stop = Arc::clone(&stop);
            records = Some(thread::spawn(move || take(&socket, &stop)));
        }
        let watch = Watch { control, rule: rule(path), before, records, stop };
        ask(&watch.control, SET, &settings(ENABLED, 1, 0, 0))?;
        ask(&watch.control, ADD_RULE, &watch.rule)?;
        Ok(watch)
    }

    /// Takes the watch away; how many records came to this process, or `usize::MAX` where an auditd took them.
    pub fn stop(mut self) -> usize {
        self.undo();
        self.records.take().map_or(usize::MAX, |records| records.join().unwrap_or_default())
    }

    fn undo(&mut self) {
        let Status { enabled, pid, backlog_limit } = self.before;
        // The first fails where the rule could not be set; nothing can be done about the others.
        let _ = ask(&self.control, DEL_RULE, &std::mem::take(&mut self.rule));
        let _ = ask(&self.control, SET, &settings(ENABLED, enabled, 0, 0));
        if pid == 0 {
            let _ = ask(&self.control, SET, &settings(PID | BACKLOG_LIMIT, 0, 0, backlog_limit));
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.rule.is_empty() {
            self.undo();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Takes records until it is told to stop; how many.
fn take(socket: &Socket, stop: &AtomicBool) -> usize {
    let mut count = 0;
    let mut buffer = Vec::with_capacity(1 << 16);
    while !stop.load(Ordering::Relaxed) {
        let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&pause)).is_ok_and(|ready| ready > 0) {
            buffer.clear();
            count += usize::from(socket.recv(&mut buffer, 0).is_ok());
        }
    }
    count
}

fn status(socket: &Socket) -> io::Result<Status> {
    let words = ask(socket, GET, &[])?;
    match *words.as_slice() {
        [_, enabled, _, pid, _, backlog_limit, ..] => Ok(Status { enabled, pid, backlog_limit }),
        _ => Err(io::Error::other(format!("audit's status has {} words", words.len()))),
    }
}

/// `struct audit_status`, of which the mask says what counts.
fn settings(mask: u32, enabled: u32, pid: u32, backlog_limit: u32) -> [u32; 10] {
    [mask, enabled, 0, pid, 0, backlog_limit, 0, 0, 0, 0]
}

/// `struct audit_rule_data` for a watch of writes and of changed attributes.
fn rule(path: &Path) -> Vec<u32> {
    const FILTER_EXIT: u32 = 4;
    const ALWAYS: u32 = 2;
    const EQUAL: u32 = 0x4000_0000;
    /// Fields, and how many there may be.
    const WATCH: u32 = 105;
    const PERM: u32 = 106;
    const FIELDS: usize = 64;
    /// AUDIT_PERM_WRITE and AUDIT_PERM_ATTR.
    const WRITE_OR_ATTRIBUTE: u32 = 2 | 8;
    let bytes = path.as_os_str().as_bytes();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let table = |first, second| {
        let mut table = [0; FIELDS];
        table[0] = first;
        table[1] = second;
        table
    };
    let mut words = vec![FILTER_EXIT, ALWAYS, 2];
    // Every system call: the kernel narrows it down by PERM.
    words.extend([u32::MAX; 64]);
    words.extend(table(WATCH, PERM));
    words.extend(table(length, WRITE_OR_ATTRIBUTE));
    words.extend(table(EQUAL, EQUAL));
    words.push(length);
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        words.push(u32::from_ne_bytes(word));
    }
    words
}

/// Sends a message and waits for the answer: the words of the status that was asked for, or none where the message is
/// acknowledged.
fn ask(socket: &Socket, kind: u16, payload: &[u32]) -> io::Result<Vec<u32>> {
    // The status is sent by another thread of the kernel, after the acknowledgement if there is to be one.
    let flags = if kind == GET { 0 } else { libc::NLM_F_ACK };
    let body: Vec<u8> = payload.iter().flat_map(|word| word.to_ne_bytes()).collect();
    netlink::send(socket, kind, flags, &body)?;
    loop {
        let (message, _) = socket.recv_from_full()?;
        if let Some(acknowledged) = netlink::acknowledged(&message) {
            return acknowledged.map(|()| Vec::new());
        }
        // Another is a record, once this socket is auditd's.
        if netlink::kind(&message) == kind {
            let words = message.get(netlink::HEADER..).unwrap_or_default().chunks_exact(4);
            return Ok(words.filter_map(|word| word.try_into().ok().map(u32::from_ne_bytes)).collect());
        }
    }
}
