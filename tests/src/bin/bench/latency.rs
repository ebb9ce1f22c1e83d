//! From a write to its recorded change: until whoever reads the store sees the row. Both ends are of this process: the
//! moment after write(2) returned, and the moment after the row was read. A reader is woken as `driftd events -f` is, by
//! the file that driftd touches after each commit.

use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use driftd_tests::host::Sysctl;
use rusqlite::{Connection, OpenFlags, params};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    io::Errno,
};

use crate::{
    Asked, KEY,
    daemon::Home,
    figures::{nanos, quantile, tell},
};

/// Between two writes: long enough that what follows a record (telling, marking as told) is over.
const PAUSE: Duration = Duration::from_millis(10);

/// How long to wait for a change: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// Measures.
pub fn measure(asked: &Asked) {
    let key = Sysctl::of(KEY);
    let home = Home::new(asked.plan(), &format!("  burst: {{ keys: {KEY}, min: 0 }}\n"));
    let mut daemon = home.start();
    daemon.swept();
    let mut follower = Follower::new(&home.path("state"));
    let (mut recorded, mut told) = (Vec::new(), Vec::new());
    for round in 0..asked.times(1000, 200) {
        // Each value once, so that a row is known for its write's.
        let value = (1000 + round).to_string();
        thread::sleep(PAUSE);
        follower.forget();
        key.write(&value);
        let written = Instant::now();
        recorded.push(nanos(follower.wait_for(&value) - written));
        let told_as = |line: &serde_json::Value| line["kind"] == "change" && line["actual"] == value.as_str();
        told.push(nanos(daemon.wait_for("the change", told_as).0.saturating_duration_since(written)));
    }
    tell("latency.samples", recorded.len() as f64);
    tell("latency.p50_ns", quantile(&mut recorded, 0.5));
    tell("latency.p99_ns", quantile(&mut recorded, 0.99));
    tell("latency.max_ns", quantile(&mut recorded, 1.0));
    tell("latency.told_p50_ns", quantile(&mut told, 0.5));
    tell("latency.told_p99_ns", quantile(&mut told, 0.99));
}

/// Reads what is recorded, as it is recorded.
struct Follower {
    db: Connection,
    signal: OwnedFd,
    last: i64,
}

impl Follower {
    fn new(state: &Path) -> Follower {
        let signal = inotify::init(inotify::CreateFlags::NONBLOCK).expect("there is inotify");
        inotify::add_watch(&signal, state.join("driftd.lock"), inotify::WatchFlags::ATTRIB)
            .expect("driftd holds its lock");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(state.join("driftd.db"), flags).expect("there is a store");
        Follower { db, signal, last: 0 }
    }

    /// Takes all commits until now for seen.
    fn forget(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.signal, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => panic!("cannot read what inotify says: {error}"),
            }
        }
    }

    /// The moment when the change to this value was read.
    fn wait_for(&mut self, value: &str) -> Instant {
        let limit = Instant::now() + LIMIT;
        while !self.has(value) {
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            poll(&mut [PollFd::new(&self.signal, PollFlags::IN)], Some(&second))
                .expect("inotify can be polled");
            self.forget();
            assert!(Instant::now() < limit, "the change to {value} is not recorded");
        }
        Instant::now()
    }

    fn has(&mut self, value: &str) -> bool {
        let sql = "SELECT id, body FROM entries WHERE id > ?1 AND kind = 'change' AND key = ?2 ORDER BY id";
        let mut statement = self.db.prepare_cached(sql).expect("the store has entries");
        let rows = statement.query_map(params![self.last, KEY], |row| Ok((row.get(0)?, row.get(1)?)));
        for row in rows.expect("the store can be read") {
            let (id, body): (i64, String) = row.expect("a row can be read");
            self.last = id;
            let body: serde_json::Value = serde_json::from_str(&body).expect("a row holds JSON");
            if body["actual"] == value {
                return true;
            }
        }
        false
    }
}
