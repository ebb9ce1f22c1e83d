//! Claims about the store, over real SQLite in a directory of its own.

mod keep;
mod query;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc::{Sender, channel};

use super::{Batch, Past, Reader, Store, StoreError, Work, schema::file};
use crate::model::{
    Capture, Delivered, DeploymentId, DeploymentNews, DeploymentStatus, Entry, Finding, FindingState, Key,
    Loss, Phase, Value, What,
};

mod known;

const SINK: &str = "output";

fn time(millis: i64) -> Timestamp {
    "2026-08-01T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_millis(millis)
}

fn entry(millis: i64, what: What) -> Entry {
    Entry { time: time(millis), what }
}

/// An entry that is known by its text.
fn note(text: &str) -> Entry {
    entry(0, What::Loss(Loss { what: text.into(), count: None }))
}

fn finding(id: &str, state: FindingState, actual: &str) -> Finding {
    let text = format!(
        r#"{{"finding":"{id}","state":"opened","key":"vm.swappiness","rule":"r","severity":"warning","expected":"60",
        "actual":"{actual}","previous":null,"requested":null,"commit":null,"declared_commit":null,
        "declared_by":{{"file":"f","line":1}},"cause":"unknown","writer":null,"seen_by":"sweep","deployment":null,
        "opened":"2026-08-01T10:00:00Z","healed":null}}"#
    );
    Finding { state, ..serde_json::from_str(&text).unwrap() }
}

fn told_of(id: &str, state: FindingState) -> Entry {
    entry(0, What::Finding(Box::new(finding(id, state, "61"))))
}

fn news(id: &str, app: &str, environment: Option<&str>, status: DeploymentStatus, millis: i64) -> Entry {
    entry(
        millis,
        What::Deployment(DeploymentNews {
            deployment: DeploymentId(id.into()),
            commit: "a1b2c3".parse().unwrap(),
            app: Some(app.into()),
            environment: environment.map(Into::into),
            repo: None,
            status,
            undated: true,
        }),
    )
}

fn entries(entries: impl IntoIterator<Item = Entry>) -> Batch {
    Batch { entries: entries.into_iter().collect(), ..Batch::default() }
}

/// One run of the writer over all of this, to its end.
fn write(state: &Path, work: Vec<Work>) {
    let (sender, inbox) = channel(work.len().max(1));
    work.into_iter().for_each(|work| assert!(sender.try_send(work).is_ok()));
    drop(sender);
    let (bell, _rung) = sync_channel(1);
    Store::open(state, vec![SINK]).unwrap().run(inbox, bell);
}

fn record(state: &Path, batch: Batch) {
    write(state, vec![Work::Record(batch)]);
}

fn reader(state: &Path) -> Reader {
    Reader::open(state).unwrap().unwrap()
}

fn past(state: &Path) -> Past {
    reader(state).past().unwrap()
}

/// Number and text of what is still to be told.
fn untold(reader: &Reader) -> Vec<(i64, String)> {
    let rows = reader.untold(SINK, 0, 1000).unwrap();
    let text = |what: What| if let What::Loss(loss) = what { loss.what } else { what.kind().into() };
    rows.into_iter().map(|row| (row.number, text(row.entry.what))).collect()
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A writer on its thread.
struct Running {
    work: Sender<Work>,
    rung: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(state: &Path) -> Running {
        Running::run(Store::open(state, vec![SINK]).unwrap())
    }

    fn run(store: Store) -> Running {
        let (work, inbox) = channel(16);
        let (bell, rung) = sync_channel(1);
        Running { work, rung, thread: thread::spawn(move || store.run(inbox, bell)) }
    }

    /// Sends a batch, and gives what its sender was told when it was told.
    fn record(&self, mut batch: Batch) -> bool {
        let (done, durable) = sync_channel(1);
        batch.done.push(Box::new(move |durable| done.send(durable).unwrap()));
        assert!(self.work.blocking_send(Work::Record(batch)).is_ok());
        durable.recv().unwrap()
    }

    fn end(self) {
        drop(self.work);
        self.thread.join().unwrap();
    }
}

#[test]
fn the_next_run_finds_open_findings_as_they_last_were_and_no_healed_ones() {
    use FindingState::{Healed, Opened};
    let state = dir();
    record(
        state.path(),
        entries([told_of("healed", Opened), told_of("healed", Healed), told_of("open", Opened)]),
    );
    let moved = finding("open", Opened, "62");
    record(state.path(), Batch { moved: vec![moved.clone()], ..Batch::default() });
    assert_eq!(past(state.path()).findings, [moved]);
}

#[test]
fn the_next_run_finds_what_was_captured_last() {
    let state = dir();
    let capture = |key: &str, text: &str, commit: &str| {
        let key: Key = key.parse().unwrap();
        Capture {
            rule: "r".into(),
            value: Value::canonical(&key, text),
            key,
            commit: commit.parse().unwrap(),
        }
    };
    let captures = [
        capture("kernel.core_pattern", "|/bin/dump \"%p\"", "aaaaaa"),
        capture("vm.swappiness", "60", "aaaaaa"),
        capture("vm.swappiness", "61", "bbbbbb"),
    ];
    record(state.path(), Batch { captures: captures.to_vec(), ..Batch::default() });
    assert_eq!(past(state.path()).captures, [&captures[0], &captures[2]].map(Clone::clone));
}

/// The course of deployments, and what the next run takes for in force and for under way.
#[track_caller]
fn check_deployments(course: &[Entry], in_force: &[&str], under_way: &[(&str, i64)]) {
    let state = dir();
    record(state.path(), entries([]));
    course.iter().for_each(|news| record(state.path(), entries([news.clone()])));
    let past = past(state.path());
    assert_eq!(past.in_force.iter().map(|d| &*d.id.0).collect::<Vec<_>>(), in_force);
    let found: Vec<_> = past.under_way.iter().map(|(d, started)| (&*d.id.0, *started)).collect();
    assert_eq!(found, under_way.iter().map(|(id, at)| (*id, time(*at))).collect::<Vec<_>>());
    assert!(past.in_force.iter().all(|d| d.undated && d.commit.as_str() == "a1b2c3"));
}

#[test]
fn of_each_application_and_environment_the_deployment_that_finished_last_is_in_force() {
    use DeploymentStatus::{Failed, Finished, Started, TimedOut};
    let (web, db) = (
        |id, status, at| news(id, "web", None, status, at),
        |id, status, at| news(id, "db", None, status, at),
    );
    check_deployments(&[], &[], &[]);
    check_deployments(
        &[web("1", Finished, 1), db("2", Finished, 2), web("3", Finished, 3)],
        &["2", "3"],
        &[],
    );
    check_deployments(&[web("1", Finished, 1), web("2", Started, 2)], &["1"], &[("2", 2)]);
    check_deployments(&[web("1", Finished, 1), web("2", Started, 2), web("2", Failed, 3)], &["1"], &[]);
    check_deployments(&[web("1", Started, 1), web("1", TimedOut, 2)], &[], &[]);
    check_deployments(&[web("1", Started, 1), web("1", TimedOut, 2), web("1", Finished, 3)], &["1"], &[]);
    let staging = news("2", "web", Some("staging"), Finished, 2);
    check_deployments(&[web("1", Finished, 1), staging], &["1", "2"], &[]);
    // The same once more: in force all the while, and the last in force when it finished.
    let again = [web("1", Finished, 1), db("2", Finished, 2), web("1", Started, 3)];
    check_deployments(&again, &["1", "2"], &[("1", 3)]);
    let ends = |end| again.iter().cloned().chain([web("1", end, 4)]).collect::<Vec<_>>();
    check_deployments(&ends(Failed), &["1", "2"], &[]);
    check_deployments(&ends(TimedOut), &["1", "2"], &[]);
    check_deployments(&ends(Finished), &["2", "1"], &[]);
    check_deployments(&[web("1", Finished, 1), web("1", Failed, 2)], &["1"], &[]);
}

#[test]
fn a_deployments_repository_is_kept_whichever_of_its_messages_named_it() {
    use DeploymentStatus::{Finished, Started};
    let said = |repo: Option<&str>, mut entry: Entry| {
        if let What::Deployment(news) = &mut entry.what {
            news.repo = repo.map(Into::into);
        }
        entry
    };
    let state = dir();
    let course = [
        said(Some("acme/web"), news("1", "web", None, Started, 1)),
        said(None, news("1", "web", None, Finished, 2)),
        said(None, news("2", "db", None, Started, 3)),
        said(Some("acme/db"), news("2", "db", None, Finished, 4)),
        said(None, news("3", "cache", None, Finished, 5)),
        said(Some("acme/next"), news("4", "web", None, Started, 6)),
    ];
    course.into_iter().for_each(|news| record(state.path(), entries([news])));
    let past = past(state.path());
    let repos: Vec<_> = past.in_force.iter().map(|d| d.repo.as_deref()).collect();
    assert_eq!(repos, [Some("acme/web"), Some("acme/db"), None]);
    assert_eq!(past.under_way[0].0.repo.as_deref(), Some("acme/next"));
    let listed = Reader::open(state.path()).unwrap().unwrap().deployments(None, 9).unwrap();
    let repos: Vec<_> = listed.iter().map(|row| row.news.repo.as_deref()).collect();
    assert_eq!(repos, [Some("acme/next"), None, Some("acme/db"), Some("acme/web")]);
}

#[test]
fn the_next_run_finds_the_last_1024_messages_oldest_first() {
    let state = dir();
    let message = |n: i64| Delivered {
        app: None,
        environment: None,
        id: (n % 2 == 0).then(|| n.to_string()),
        phase: [Phase::Started, Phase::Finished, Phase::Failed][n as usize % 3],
        commit: "a1b2c3".parse().unwrap(),
        digest: [n as u8; 32],
        at: time(n),
        deployment: DeploymentId(n.to_string().into()),
    };
    let delivered: Vec<_> = (0..1030).map(message).collect();
    record(state.path(), Batch { delivered: delivered.clone(), ..Batch::default() });
    assert_eq!(past(state.path()).delivered, delivered[6..]);
    // What is not found any more is not kept either.
    let db = Connection::open(file(state.path())).unwrap();
    let kept: i64 = db.query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1024);
}

#[test]
fn an_entry_is_to_be_told_until_it_was_and_keeps_its_number_over_restarts() {
    let state = dir();
    record(state.path(), entries([note("a"), note("b"), note("c")]));
    let all = [(1, "a".into()), (2, "b".into()), (3, "c".into())];
    assert_eq!(untold(&reader(state.path())), all);
    assert_eq!(untold(&reader(state.path())), all, "asking is not telling");
    write(state.path(), vec![Work::Told { sink: SINK, entry: 2 }, Work::Told { sink: "other", entry: 3 }]);
    assert_eq!(untold(&reader(state.path())), all[2..]);
    write(state.path(), vec![Work::Told { sink: SINK, entry: 3 }]);
    record(state.path(), entries([note("d")]));
    assert_eq!(untold(&reader(state.path())), [(4, "d".into())], "no number comes twice");
    let reader = reader(state.path());
    assert_eq!(reader.last_number().unwrap(), 4);
}

#[test]
fn a_batch_is_done_only_when_it_can_be_read() {
    let state = dir();
    let running = Running::start(state.path());
    let seen = Arc::new(AtomicUsize::new(0));
    let (path, seen_then) = (state.path().to_owned(), seen.clone());
    let mut batch = entries([note("a"), note("b")]);
    batch.done.push(Box::new(move |durable| {
        assert!(durable);
        seen_then.store(untold(&reader(&path)).len(), SeqCst);
    }));
    assert!(running.record(batch));
    assert_eq!(seen.load(SeqCst), 2);
    running.end();
}

#[test]
fn readers_see_what_is_committed_while_the_writer_runs() {
    let state = dir();
    let running = Running::start(state.path());
    let reader = reader(state.path());
    for n in 1..4 {
        assert!(running.record(entries([note("a")])));
        running.rung.recv().unwrap();
        assert_eq!(untold(&reader).len(), n);
    }
    running.end();
}

#[test]
fn close_ends_the_waiting_for_the_bell_and_not_the_writing() {
    let state = dir();
    let running = Running::start(state.path());
    assert!(running.work.blocking_send(Work::Close).is_ok());
    while running.rung.recv().is_ok() {}
    assert!(running.record(entries([note("after")])));
    running.end();
    assert_eq!(untold(&reader(state.path())).len(), 1);
}

/// Two open findings of one rule on one key: the index refuses the second.
fn refused() -> Batch {
    entries([told_of("1", FindingState::Opened), told_of("2", FindingState::Opened)])
}

#[test]
fn a_batch_that_the_database_refuses_is_left_out_whole_and_told_so() {
    let state = dir();
    let running = Running::start(state.path());
    assert!(!running.record(refused()));
    assert!(running.record(entries([note("next")])));
    running.end();
    assert_eq!(untold(&reader(state.path())), [(1, "next".into())]);
    assert_eq!(past(state.path()).findings, []);
}

#[test]
fn the_directory_is_the_owners_alone() {
    let parent = dir();
    let state = parent.path().join("lib/driftd");
    Store::open(&state, vec![]).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn without_a_store_there_is_nothing_to_read_and_none_is_made() {
    let state = dir();
    assert!(Reader::open(state.path()).unwrap().is_none());
    assert!(!file(state.path()).exists());
}

/// What is said, with the directory left out.
fn said(error: &StoreError, state: &Path) -> String {
    error.to_string().replace(&state.display().to_string(), "STATE")
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_its_cure() {
    let state = dir();
    let path = state.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Store::open(&path.join("state"), vec![SINK]).err().unwrap();
    assert_snapshot!(said(&error, state.path()), @r#"
    `STATE/file/state` cannot be made the store's directory: Not a directory (os error 20)
    hint: name another one as `state:`, or run as root
    "#);
}

#[test]
fn a_batch_that_the_database_refuses_takes_no_other_along() {
    let state = dir();
    let (sender, answers) = sync_channel(9);
    let mut work = vec![];
    for (name, mut batch) in
        [("before", entries([note("a")])), ("refused", refused()), ("after", entries([note("b")]))]
    {
        let sender = sender.clone();
        batch.done.push(Box::new(move |durable| sender.send((name, durable)).unwrap()));
        work.push(Work::Record(batch));
    }
    // All are there before the writer is, so that it gathers them into one transaction.
    write(state.path(), work);
    drop(sender);
    assert_eq!(answers.iter().collect::<Vec<_>>(), [("before", true), ("refused", false), ("after", true)]);
    assert_eq!(untold(&reader(state.path())).len(), 2);
}

#[test]
fn deployments_are_in_the_order_of_time_and_not_of_its_spelling() {
    use DeploymentStatus::Finished;
    // As text `10:00:00.5Z` stands before `10:00:00Z`.
    let (first, second) = (news("1", "web", None, Finished, 0), news("2", "web", None, Finished, 500));
    check_deployments(&[first.clone(), second.clone()], &["2"], &[]);
    check_deployments(&[first, news("2", "db", None, Finished, 500)], &["1", "2"], &[]);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let state = dir();
    let path = file(state.path());
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("CREATE TABLE more (x); PRAGMA user_version = 99").unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let error = Store::open(state.path(), vec![SINK]).err().unwrap();
    assert_snapshot!(said(&error, state.path()), @r#"
    the store `STATE/driftd.db` is of version 99, and this driftd knows versions up to 10
    hint: install the newer driftd again, or move the file aside
    "#);
    assert_eq!(fs::read(&path).unwrap(), before);
    let beside: Vec<_> = fs::read_dir(state.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "only the lock is beside it: {beside:?}");
}

#[test]
fn a_file_that_is_no_database_is_said_to_be_none() {
    let state = dir();
    fs::write(file(state.path()), "not a database, and long enough to be looked at as one\n".repeat(40))
        .unwrap();
    let error = Store::open(state.path(), vec![SINK]).err().unwrap();
    assert_snapshot!(said(&error, state.path()), @r#"the store `STATE/driftd.db` cannot be read: file is not a database"#);
}

#[test]
fn a_directory_that_others_may_write_is_refused_and_left_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let error = Store::open(state.path(), vec![SINK]).err().unwrap();
    assert!(error.to_string().contains("no place for the store"), "{error}");
    assert_eq!(fs::metadata(state.path()).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_store_has_one_writer_at_a_time() {
    let state = tempfile::tempdir().unwrap();
    let first = Store::open(state.path(), vec![SINK]).unwrap();
    let error = Store::open(state.path(), vec![SINK]).err().unwrap();
    assert!(error.to_string().contains("another driftd writes the store"), "{error}");
    drop(first);
    assert!(Store::open(state.path(), vec![SINK]).is_ok());
}
