//! What the store weighs, and how soon the commands that read it answer.
//!
//! Values change in a UTS namespace of its own, so that nothing of this machine is written. That no probe sees; the sweeps of
//! deployments do, and what is recorded is the same.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use driftd_tests::host::{Namespace, in_new};
use rusqlite::Connection;

use crate::{
    Asked,
    daemon::Home,
    figures::{nanos, quantile, tell},
};

const DOMAIN: &str = "/proc/sys/kernel/domainname";

/// How many rules expect the same of the one key: as many findings open at once.
const RULES: usize = 50;

/// How many findings a day is to have.
const FINDINGS: usize = 1000;

/// How many entries the commands are asked over.
const ENTRIES: usize = 100_000;

/// And how many deployments: some months of a busy pipeline.
const DEPLOYMENTS: usize = 10_000;

/// Measures the day.
pub fn measure_day(_: &Asked) {
    in_new(Namespace::Uts, || {
        fs::write(DOMAIN, "right").expect("the name can be set");
        let home = home();
        let mut daemon = home.start();
        daemon.swept();
        for revision in 0..2 * FINDINGS / RULES {
            fs::write(DOMAIN, if revision % 2 == 0 { "wrong" } else { "right" }).expect("it can be set");
            let answer = daemon.deploy(revision + 1);
            assert!([200, 409].contains(&answer.status), "no verdict: {answer:?}");
        }
        // With its log, which is the most there is on the disk at a time.
        let files = fs::read_dir(home.path("state")).expect("it is there").flatten();
        let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        daemon.stop();
        let count = |table: &str| -> f64 {
            let sql = format!("SELECT count(*) FROM {table}");
            store(&home).query_row(&sql, [], |row| row.get(0)).expect("it can be counted")
        };
        tell("day.findings", count("findings"));
        tell("day.entries", count("entries"));
        tell("day.deployments", count("deployments"));
        tell("day.kib", bytes as f64 / 1024.0);
    });
}

/// Measures the commands.
pub fn measure_ask(asked: &Asked) {
    in_new(Namespace::Uts, || {
        fs::write(DOMAIN, "right").expect("the name can be set");
        let home = home();
        let mut daemon = home.start();
        daemon.swept();
        for revision in 1..=20 {
            fs::write(DOMAIN, if revision % 2 == 0 { "right" } else { "wrong" }).expect("it can be set");
            daemon.deploy(revision);
        }
        daemon.stop();
        // As many as a busy host records in some weeks: those that there are, again and again, a second apart.
        let store = store(&home);
        let there: i64 =
            store.query_row("SELECT max(id) FROM entries", [], |row| row.get(0)).expect("entries");
        store
            .execute(
                "WITH RECURSIVE more(n) AS (SELECT ?1 + 1 UNION ALL SELECT n + 1 FROM more WHERE n < ?2)
                 INSERT INTO entries (time, micros, kind, key, commit_id, body)
                 SELECT time, micros + (n - ?1) * 1000000, kind, key, commit_id, body
                 FROM more JOIN entries ON id = 1 + n % ?1",
                (there, ENTRIES as i64),
            )
            .expect("the store takes more");
        store
            .execute(
                "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < ?1)
                 INSERT INTO deployments
                 (deployment, commit_id, app, environment, status, undated, started, ended)
                 SELECT deployment || n, commit_id || n, app, environment, status, undated, started, ended
                 FROM more JOIN deployments AS d ON d.rowid = 1 + n % 20",
                [DEPLOYMENTS as i64],
            )
            .expect("the store takes more");
        let one: String = store
            .query_row("SELECT deployment FROM deployments ORDER BY rowid DESC LIMIT 1", [], |row| row.get(0))
            .expect("there is one");
        drop(store);
        let mut daemon = home.start();
        daemon.swept();
        tell("ask.entries", ENTRIES as f64);
        for (name, command) in [
            ("status", vec!["status"]),
            ("events", vec!["events"]),
            ("kind", vec!["events", "--kind", "finding", "--since", "2000-01-01"]),
            ("since", vec!["events", "--since", "1m"]),
            ("commit", vec!["events", "--commit", "00000005"]),
            ("key", vec!["events", "--key", "kernel.domainname", "--until", "2100-01-01"]),
            ("history", vec!["history", "kernel.domainname"]),
            ("deployments", vec!["deployments"]),
            ("deployment", vec!["deployments", &one]),
        ] {
            let mut samples: Vec<_> = (0..asked.times(50, 10)).map(|_| ask(&home, &command)).collect();
            tell(&format!("ask.{name}_ns"), quantile(&mut samples, 0.5));
        }
    });
}

/// From the start of a command to its end, in nanoseconds.
pub fn ask(home: &Home, command: &[&str]) -> f64 {
    let driftd = std::env::current_exe().expect("this program has a path").with_file_name("driftd");
    let mut driftd = Command::new(driftd);
    driftd.args(command).arg("--config").arg(home.path("driftd.yaml")).stdout(Stdio::null());
    let began = Instant::now();
    let status = driftd.status().expect("driftd can be started");
    let took = nanos(began.elapsed());
    assert!(matches!(status.code(), Some(0 | 1)), "{command:?} ended with {status}");
    took
}

fn home() -> Home {
    let rule = |n| format!("  r{n}: {{ keys: kernel.domainname, expect: right, settle: 0ms }}\n");
    Home::new("none", &(0..RULES).map(rule).collect::<String>())
}

fn store(home: &Home) -> Connection {
    Connection::open(home.path("state").join("driftd.db")).expect("there is a store")
}
