//! Claims about the questions that people ask of the store, and about what stands beside a verdict.

use rusqlite::Connection;

use super::{
    super::{DeploymentRow, Filter, schema::file},
    *,
};
use crate::model::{Change, Expected, Kind, Snapshot, Source, Verdict, VerdictStatus};

fn change(millis: i64, key: &str, commit: Option<&str>) -> Entry {
    let value = |text: &str| Some(Value::canonical(&key.parse().unwrap(), text));
    entry(
        millis,
        What::Change(Change {
            key: key.parse().unwrap(),
            previous: value("60"),
            requested: None,
            actual: value("61"),
            writer: None,
            seen_by: crate::model::SeenBy::Sweep,
            commit: commit.map(|commit| commit.parse().unwrap()),
            deployment: None,
            in_window: false,
            writes: 1,
            remedies: None,
        }),
    )
}

fn verdict(id: &str, millis: i64, status: VerdictStatus) -> Entry {
    entry(
        millis,
        What::Verdict(Verdict {
            deployment: DeploymentId(id.into()),
            commit: "a1b2c3".parse().unwrap(),
            app: None,
            status,
            keys: 2,
            findings: Vec::new(),
            held: Vec::new(),
            unreadable: Vec::new(),
            broken: None,
        }),
    )
}

fn snapshot(id: &str, expected: &str, values: &[(&str, Option<&str>)]) -> Snapshot {
    let baseline = Expected {
        key: "vm.swappiness".parse().unwrap(),
        rule: "r".into(),
        expected: Some(expected.into()),
        declared_by: Source { file: "f".into(), line: 3 },
        declared_commit: None,
    };
    let value = |(key, value): &(&str, Option<&str>)| {
        let key: Key = key.parse().unwrap();
        let value = value.map(|value| Value::canonical(&key, value));
        (key, value)
    };
    Snapshot {
        deployment: DeploymentId(id.into()),
        baseline: vec![baseline],
        values: values.iter().map(value).collect(),
    }
}

/// Six entries, and the numbers of those that a filter lets through.
#[track_caller]
fn check_filter(filter: &Filter, wanted: &[i64]) {
    let state = dir();
    record(
        state.path(),
        entries([
            change(0, "vm.swappiness", None),
            change(500, "fs.file-max", Some("a1b2c3")),
            note("x"),
            change(1000, "vm.swappiness", Some("a1ffff")),
            told_of("f", FindingState::Opened),
            change(1001, "vm.swappiness", Some("b00000")),
        ]),
    );
    let reader = reader(state.path());
    let numbers = |rows: Vec<crate::store::Row>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(numbers(reader.oldest(filter, 100).unwrap()), wanted);
    assert_eq!(numbers(reader.newest(filter, 100).unwrap()), wanted, "both are told oldest first");
    let some = wanted.len().min(2);
    assert_eq!(numbers(reader.oldest(filter, some).unwrap()), wanted[..some]);
    assert_eq!(numbers(reader.newest(filter, some).unwrap()), wanted[wanted.len() - some..]);
}

#[test]
fn a_filter_lets_through_what_fits_all_it_says() {
    let all = Filter::default();
    let key = |key: &str| Some(key.parse().unwrap());
    check_filter(&all, &[1, 2, 3, 4, 5, 6]);
    check_filter(&Filter { kinds: vec![Kind::Change], ..all.clone() }, &[1, 2, 4, 6]);
    check_filter(&Filter { kinds: vec![Kind::Loss, Kind::Finding], ..all.clone() }, &[3, 5]);
    check_filter(&Filter { key: key("/proc/sys/vm/swappiness"), ..all.clone() }, &[1, 4, 5, 6]);
    check_filter(&Filter { key: key("vm.overcommit_ratio"), ..all.clone() }, &[]);
    check_filter(&Filter { commit: Some("a1".into()), ..all.clone() }, &[2, 4]);
    check_filter(&Filter { commit: Some("A1B2C3".into()), ..all.clone() }, &[2]);
    check_filter(&Filter { commit: Some("%".into()), ..all.clone() }, &[]);
    check_filter(&Filter { since: Some(time(1000)), ..all.clone() }, &[4, 6]);
    // As text `10:00:00.5Z` stands before `10:00:00Z`.
    check_filter(&Filter { until: Some(time(500)), ..all.clone() }, &[1, 3, 5]);
    check_filter(&Filter { since: Some(time(500)), until: Some(time(1001)), ..all.clone() }, &[2, 4]);
    check_filter(&Filter { after: Some(4), ..all.clone() }, &[5, 6]);
    check_filter(&Filter { before: Some(3), key: key("vm.swappiness"), ..all.clone() }, &[1]);
}

#[test]
fn a_deployment_is_found_by_the_beginning_of_its_name_or_commit_with_its_verdict() {
    use DeploymentStatus::{Finished, Started};
    let state = dir();
    record(
        state.path(),
        entries([
            news("d1", "web", None, Finished, 0),
            verdict("d1", 10, VerdictStatus::OutOfSync),
            verdict("d1", 11, VerdictStatus::Synced),
            news("d2", "web", None, Finished, 1500),
            news("e3", "db", None, Started, 2000),
        ]),
    );
    let reader = reader(state.path());
    let said = |rows: Vec<DeploymentRow>| {
        let row = |row: &DeploymentRow| {
            let verdict = row.verdict.map_or("-", VerdictStatus::as_str);
            let force = if row.in_force { " in force" } else { "" };
            format!("{} {} {verdict}{force}", row.news.deployment, row.news.status.as_str())
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let all = ["e3 started -", "d2 finished - in force", "d1 finished SYNCED"];
    assert_eq!(said(reader.deployments(None, 9).unwrap()), all);
    assert_eq!(said(reader.deployments(None, 2).unwrap()), all[..2]);
    assert_eq!(said(reader.deployments(Some("D"), 9).unwrap()), all[1..]);
    assert_eq!(said(reader.deployments(Some("a1b2c3"), 9).unwrap()), all);
    assert_eq!(said(reader.deployments(Some("x"), 9).unwrap()), [""; 0]);
}

#[test]
fn beside_a_verdict_stands_what_was_expected_and_what_was_in_force() {
    let state = dir();
    let values = [("vm.swappiness", Some("61")), ("link.eth0.mtu", None)];
    for (id, expected) in [("d1", "60"), ("d2", "60"), ("d3", "70")] {
        let batch = entries([verdict(id, 0, VerdictStatus::OutOfSync)]);
        record(state.path(), Batch { snapshots: vec![snapshot(id, expected, &values)], ..batch });
    }
    let reader = reader(state.path());
    let given = reader.verdict(&DeploymentId("d2".into())).unwrap().unwrap();
    assert_eq!((given.entry, given.verdict.status), (2, VerdictStatus::OutOfSync));
    assert_eq!(given.baseline, snapshot("d2", "60", &values).baseline);
    let mut kept: Vec<_> = given.snapshot.into_iter().map(|snapped| (snapped.key, snapped.value)).collect();
    kept.sort_by_key(|(key, _)| *key != "vm.swappiness".parse().unwrap());
    assert_eq!(kept, snapshot("d2", "60", &values).values);
    assert!(reader.verdict(&DeploymentId("d9".into())).unwrap().is_none());
    let db = Connection::open(file(state.path())).unwrap();
    let baselines: i64 = db.query_row("SELECT count(*) FROM baselines", [], |row| row.get(0)).unwrap();
    assert_eq!(baselines, 2, "one that did not change is not written again");
}

#[test]
fn findings_are_found_by_their_state_with_the_entry_that_opened_them() {
    use FindingState::{Healed, Opened};
    let state = dir();
    record(
        state.path(),
        entries([told_of("1", Opened), note("x"), told_of("1", Healed), told_of("2", Opened)]),
    );
    let reader = reader(state.path());
    let said = |state| {
        let rows = reader.findings(state, 9).unwrap();
        rows.iter().map(|row| (row.finding.finding.to_string(), row.entry)).collect::<Vec<_>>()
    };
    assert_eq!(said(None), [("2".into(), Some(4)), ("1".into(), Some(1))]);
    assert_eq!(said(Some(Opened)), [("2".into(), Some(4))]);
    assert_eq!(said(Some(Healed)), [("1".into(), Some(1))]);
    assert_eq!(reader.keys().unwrap(), ["vm.swappiness".parse().unwrap()]);
}

/// What the database says to a change of what one run wrote.
#[track_caller]
fn check_refused(sql: &str, said: &str) {
    let state = dir();
    let batch = entries([
        told_of("healed", FindingState::Opened),
        told_of("healed", FindingState::Healed),
        told_of("open", FindingState::Opened),
        verdict("d", 0, VerdictStatus::Synced),
    ]);
    let snapshot = snapshot("d", "60", &[("vm.swappiness", Some("61"))]);
    record(state.path(), Batch { snapshots: vec![snapshot], ..batch });
    let db = Connection::open(file(state.path())).unwrap();
    assert_eq!(db.execute(sql, []).unwrap_err().to_string(), said, "{sql}");
}

#[test]
fn what_was_recorded_is_neither_changed_nor_deleted() {
    check_refused("UPDATE entries SET body = '{}'", "entries are not changed");
    check_refused("DELETE FROM entries", "entries are deleted by retention alone");
    check_refused("UPDATE verdicts SET status = 'SYNCED'", "verdicts are not changed");
    check_refused("DELETE FROM verdicts", "verdicts are deleted by retention alone");
    check_refused("UPDATE snapshots SET value = '60'", "snapshots are not changed");
    check_refused("DELETE FROM snapshots", "snapshots are deleted by retention alone");
    check_refused("UPDATE baselines SET body = '[]'", "baselines are not changed");
    check_refused("UPDATE findings SET state = 'opened'", "a finding that healed is not changed");
    check_refused(
        "UPDATE findings SET key = 'x' WHERE finding = 'open'",
        "a finding that healed is not changed",
    );
    check_refused(
        "DELETE FROM findings WHERE finding = 'open'",
        "findings are deleted by retention alone, and never while open",
    );
    check_refused(
        "DELETE FROM findings WHERE finding = 'healed'",
        "findings are deleted by retention alone, and never while open",
    );
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_with_all_it_holds() {
    let state = dir();
    record(state.path(), entries([]));
    let path = file(state.path());
    std::fs::remove_file(&path).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema/0001.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    for entry in [
        change(500, "vm.swappiness", Some("a1b2c3")),
        told_of("f", FindingState::Opened),
        told_of("f", FindingState::Healed),
        verdict("d", 7, VerdictStatus::Synced),
    ] {
        let body = serde_json::to_string(&entry).unwrap();
        let key = entry.what.key().map(ToString::to_string);
        old.execute(
            "INSERT INTO entries (time, kind, key, body) VALUES (?1, ?2, ?3, ?4)",
            (entry.time.to_string(), entry.what.kind(), key, body),
        )
        .unwrap();
    }
    let healed = serde_json::to_string(&finding("f", FindingState::Healed, "61")).unwrap();
    old.execute("INSERT INTO findings VALUES ('f', 'r', 'vm.swappiness', 'healed', ?1)", [healed]).unwrap();
    drop(old);
    record(state.path(), entries([note("new")]));
    let reader = reader(state.path());
    let half = Filter { since: Some(time(500)), commit: Some("a1b2c3".into()), ..Filter::default() };
    assert_eq!(reader.newest(&half, 9).unwrap().len(), 1);
    assert_eq!(reader.findings(None, 9).unwrap()[0].entry, Some(2));
    let verdict = reader.verdict(&DeploymentId("d".into())).unwrap().unwrap();
    assert_eq!((verdict.entry, verdict.snapshot.len(), verdict.baseline.len()), (4, 0, 0));
    assert_eq!(reader.last_number().unwrap(), 5);
}
