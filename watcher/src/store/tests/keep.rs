//! Claims about what is kept when there is no room, when it is old, and when the file is damaged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    super::{
        Filter, Next,
        backlog::{Backlog, MOST},
        begin,
        retain::{forget, size},
        schema::file,
    },
    *,
};
use crate::model::{
    Flapping, Outlet, Retention, Routing, Sweep, SweepReason, Values, Verdict, VerdictStatus,
};

/// A writer whose store another connection holds locked, as good as a full disk: nothing can be written.
struct Held {
    holder: Connection,
    running: Running,
    trouble: watch::Receiver<Option<String>>,
}

impl Held {
    fn start(state: &Path) -> Held {
        let store = Store::open(state, vec![SINK]).unwrap();
        store.db.busy_timeout(Duration::ZERO).unwrap();
        let trouble = store.trouble();
        let holder = Connection::open(file(state)).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        Held { holder, running: Running::run(store), trouble }
    }

    /// Waits until the writer says something else of its trouble.
    fn news(&mut self) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.trouble.changed()).unwrap();
        self.trouble.borrow_and_update().clone()
    }
}

#[test]
fn what_cannot_be_written_waits_in_memory_and_holds_up_nobody() {
    let state = dir();
    let mut held = Held::start(state.path());
    assert!(!held.running.record(entries([note("0")])), "who waits for it hears of it");
    let trouble = held.news().expect("it is said");
    assert_snapshot!(trouble, @r#"
    the store cannot be written: database is locked; what happens is kept in memory
    hint: free some room for it
    "#);
    // More than the channel holds.
    for n in 1..1000 {
        assert!(held.running.work.blocking_send(Work::Record(entries([note(&n.to_string())]))).is_ok());
    }
    held.holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(held.news(), None, "and that it is over");
    held.running.end();
    let told: Vec<_> = untold(&reader(state.path())).into_iter().map(|(_, text)| text).collect();
    assert_eq!(told, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let state = dir();
    let store = Store::open(state.path(), vec![SINK]).unwrap();
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.db.pragma_update(None, "max_page_count", pages).unwrap();
    let trouble = store.trouble();
    let running = Running::run(store);
    assert!(!running.record(entries((0..200).map(|_| note(&"x".repeat(1000))))));
    running.end();
    let said = trouble.borrow().clone().unwrap();
    assert!(said.contains("database or disk is full") && said.contains("hint: free some room"), "{said}");
}

fn sweep() -> Entry {
    entry(0, What::Sweep(Sweep { reason: SweepReason::Timer, keys: 1, changed: 1, micros: 1 }))
}

#[test]
fn memory_has_a_bound_and_keeps_what_the_next_run_needs() {
    use FindingState::{Healed, Opened};
    let mut backlog = Backlog::default();
    backlog.push(Work::Record(entries([told_of("before", Opened)])));
    for _ in 0..2 * MOST {
        backlog.push(Work::Record(entries([sweep()])));
    }
    assert_eq!(backlog.dropped, MOST as u64 + 1);
    backlog.push(Work::Record(entries([told_of("stays", Opened), note("x")])));
    // One that opened before all this must heal, and one that opened in here need not be told at all.
    backlog.push(Work::Record(entries([told_of("older", Healed), told_of("before", Healed)])));
    let left = |work: &Work| match work {
        Work::Record(batch) => {
            let finding = |entry: &Entry| match &entry.what {
                What::Finding(finding) => Some(format!("{} {:?}", finding.finding, finding.state)),
                _ => None,
            };
            batch.entries.iter().filter_map(finding).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(backlog.work.iter().flat_map(left).collect::<Vec<_>>(), ["stays Opened", "older Healed"]);
    assert_eq!(backlog.dropped, MOST as u64 + 1 + 1 + 2);
}

#[test]
fn memory_is_bounded_of_findings_that_move_on_and_of_batches_of_which_nothing_is_kept() {
    use FindingState::{Healed, Opened};
    let mut backlog = Backlog::default();
    let moved = |id: &str, actual: &str| {
        Work::Record(Batch { moved: vec![finding(id, Opened, actual)], ..Batch::default() })
    };
    for step in 0..100 {
        backlog.push(moved("one", &step.to_string()));
        backlog.push(moved("other", &step.to_string()));
    }
    let last = |work: &Work| match work {
        Work::Record(batch) => {
            batch.moved.iter().map(|finding| finding.actual.as_ref().unwrap().to_string()).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(backlog.work.iter().flat_map(last).collect::<Vec<_>>(), ["99", "99"]);
    // Its mute ended: it is told as opened, and opened before all this. That it healed must be written.
    let again = told_of("muted", Opened);
    backlog.push(Work::Record(entries([Entry { time: time(1), ..again }])));
    for _ in 0..2 * MOST {
        backlog.push(Work::Record(entries([sweep()])));
    }
    assert_eq!(backlog.work.len(), 2 + MOST, "empty batches are none");
    backlog.push(Work::Record(entries([told_of("muted", Healed)])));
    assert_eq!(backlog.work.len(), 2 + MOST + 1);
    assert_eq!(backlog.dropped, MOST as u64 + 1);
}

fn verdict(id: &str) -> Entry {
    let verdict = Verdict {
        deployment: DeploymentId(id.into()),
        commit: "a1b2c3".parse().unwrap(),
        app: None,
        status: VerdictStatus::Synced,
        keys: 0,
        findings: Vec::new(),
        held: Vec::new(),
        unreadable: Vec::new(),
        broken: None,
    };
    entry(0, What::Verdict(verdict))
}

/// Forgets all there is to forget an hour after the entries; gives the numbers of those that stay.
fn left(state: &Path, retention: Retention) -> Vec<i64> {
    let mut store = Store::open(state, Vec::new()).unwrap();
    while forget(&mut store.db, &retention, time(3_600_000)).unwrap() {}
    drop(store);
    reader(state).oldest(&Filter::default(), 9999).unwrap().iter().map(|row| row.number).collect()
}

const FOR_EVER: Retention = Retention { age: Duration::from_secs(9_999_999), size: u64::MAX };
const HOUR: Retention = Retention { age: Duration::from_secs(3600), ..FOR_EVER };

#[test]
fn what_is_too_old_is_forgotten_but_for_what_is_still_needed() {
    use DeploymentStatus::Finished;
    use FindingState::{Healed, Opened};
    let state = dir();
    let of = |rule: &str, id: &str, state| {
        let mut told = told_of(id, state);
        if let What::Finding(finding) = &mut told.what {
            finding.rule = rule.into();
        }
        told
    };
    let mut old = [
        told_of("open", Opened),                  // 1: its finding is open
        news("d1", "web", None, Finished, -2000), // 2
        verdict("d1"),                            // 3
        news("d2", "web", None, Finished, -1000), // 4
        verdict("d2"),                            // 5: of the deployment in force
        sweep(),                                  // 6
        of("other", "healed", Opened),            // 7
        of("other", "healed", Healed),            // 8
    ];
    old.iter_mut().for_each(|entry| entry.time = entry.time.min(time(-1)));
    record(state.path(), entries(old));
    write(state.path(), vec![Work::Told { sink: SINK, entry: 8 }]);
    // 9: as old, and not told yet; 10: young enough; 11: older again, and behind a younger one.
    let untold = Entry { time: time(-1), ..sweep() };
    record(state.path(), entries([untold.clone(), Entry { time: time(1), ..sweep() }, untold]));
    write(state.path(), vec![]);
    assert_eq!(left(state.path(), FOR_EVER), (1..=11).collect::<Vec<_>>());
    assert_eq!(left(state.path(), HOUR), [1, 5, 9, 10, 11]);
    let store = reader(state.path());
    assert_eq!(store.findings(None, 9).unwrap().len(), 1);
    assert_eq!(store.deployments(None, 9).unwrap().len(), 1);
    assert_eq!(store.verdict(&DeploymentId("d2".into())).unwrap().unwrap().entry, 5);
    let forgotten = store.forgotten().unwrap();
    assert_eq!(forgotten.iter().map(|f| (f.entries, &*f.why)).collect::<Vec<_>>(), [(6, "age")]);
    // What is no longer needed goes the next time.
    record(state.path(), entries([Entry { time: time(2), ..told_of("open", Healed) }]));
    assert_eq!(left(state.path(), HOUR), [5, 9, 10, 11, 12]);
    assert_eq!(past(state.path()).in_force.len(), 1);
}

/// A sink that is told of everything.
fn outlet() -> Outlet {
    Outlet { sink: "pager".into(), routing: Routing::default(), remind: None, flapping: Flapping::default() }
}

/// A deployment and its verdict.
fn deployed(number: usize) -> Batch {
    let id = format!("d{number}");
    let finished = news(&id, "web", None, DeploymentStatus::Finished, 0);
    let declared = vec![(DeploymentId(id.as_str().into()), Values::default())];
    Batch { declared, ..entries([finished, verdict(&id)]) }
}

/// Records deployments, which are told at home and wait for the sink; gives the writer as it goes on.
fn after(state: &Path, deployments: usize) -> Store {
    let open = || Store::open(state, vec![SINK]).unwrap().telling(vec![outlet()]).unwrap();
    let mut store = open();
    let all = (0..deployments).map(|number| Work::Record(deployed(number)));
    store.write(&all.chain([Work::Told { sink: SINK, entry: i64::MAX }]).collect::<Vec<_>>()).unwrap();
    drop(store);
    open()
}

/// How many steps SQLite's machine takes for what is done with it.
fn steps(db: &mut Connection) -> Arc<AtomicU64> {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = steps.clone();
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    db.progress_handler(1, Some(count)).unwrap();
    steps
}

#[track_caller]
fn check_steps(of: impl Fn(usize) -> u64) {
    let (few, many) = (of(200), of(2000));
    assert!(few > 20 && many < few + few / 10, "{few} and {many} steps");
}

#[test]
fn a_deployment_is_recorded_in_as_many_steps_after_two_thousand_as_after_two_hundred() {
    check_steps(|before| {
        let state = dir();
        let mut store = after(state.path(), before);
        let steps = steps(&mut store.db);
        store.write(&[Work::Record(deployed(before))]).unwrap();
        forget(&mut store.db, &FOR_EVER, time(3_600_000)).unwrap();
        steps.load(Ordering::Relaxed)
    });
}

#[test]
fn whose_turn_it_is_is_found_in_as_many_steps_where_two_thousand_wait_as_where_two_hundred_do() {
    check_steps(|waiting| {
        let state = dir();
        drop(after(state.path(), waiting));
        let mut reader = reader(state.path());
        let steps = steps(&mut reader.db);
        let group = Duration::from_secs(1);
        let next = reader.next_messages("pager", group, time(3_600_000)).unwrap();
        assert!(matches!(next, Next::Send(first) if first[0].row.number == 2));
        steps.load(Ordering::Relaxed)
    });
}

#[test]
fn what_departs_once_more_is_told_in_as_many_steps_after_two_thousand_times_as_after_two_hundred() {
    check_steps(|before| {
        let state = dir();
        let mut store = Store::open(state.path(), Vec::new()).unwrap().telling(vec![outlet()]).unwrap();
        let course = |number: usize| {
            let id = format!("f{number}");
            let mut opened_and_healed = [FindingState::Opened, FindingState::Healed].map(|s| told_of(&id, s));
            // Half an hour lies between two of them.
            opened_and_healed.iter_mut().for_each(|entry| entry.time = time(number as i64 * 1_800_000));
            Work::Record(entries(opened_and_healed))
        };
        store.write(&(0..before).map(course).collect::<Vec<_>>()).unwrap();
        let steps = steps(&mut store.db);
        store.write(&[course(before)]).unwrap();
        steps.load(Ordering::Relaxed)
    });
}

#[test]
fn what_is_too_much_is_forgotten_the_oldest_first() {
    let state = dir();
    for _ in 0..6 {
        record(state.path(), entries((0..1000).map(|_| note(&"x".repeat(500)))));
    }
    write(state.path(), vec![Work::Told { sink: SINK, entry: 9999 }]);
    let most = 2 << 20;
    let kept = left(state.path(), Retention { size: most, ..FOR_EVER });
    assert!(!kept.is_empty() && kept.last() == Some(&6000), "{} kept", kept.len());
    assert_eq!(kept, (kept[0]..=6000).collect::<Vec<_>>());
    let db = Connection::open(file(state.path())).unwrap();
    assert!(size(&db).unwrap() <= most);
    assert!(reader(state.path()).forgotten().unwrap().iter().all(|forgotten| forgotten.why == "size"));
    record(state.path(), entries([note("next")]));
    assert_eq!(reader(state.path()).last_number().unwrap(), 6001, "no number comes twice");
}

#[test]
fn the_writer_forgets_while_it_has_nothing_else_to_do() {
    let state = dir();
    record(state.path(), entries([Entry { time: time(0), ..sweep() }]));
    write(state.path(), vec![Work::Told { sink: SINK, entry: 1 }]);
    let store = Store::open(state.path(), vec![SINK]).unwrap().retaining(HOUR);
    let running = Running::run(store);
    let began = Instant::now();
    while reader(state.path()).forgotten().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is forgotten");
        thread::yield_now();
    }
    running.end();
    assert_eq!(reader(state.path()).last_number().unwrap(), 0);
}

/// Damages what one batch wrote, and shows what the next run says of it.
#[track_caller]
fn damaged(sql: &str) -> String {
    let state = dir();
    let delivered = Delivered {
        app: None,
        environment: None,
        id: None,
        phase: Phase::Finished,
        commit: "a1b2c3".parse().unwrap(),
        digest: [0; 32],
        at: time(0),
        deployment: DeploymentId("d".into()),
    };
    let batch =
        entries([told_of("f", FindingState::Opened), news("d", "web", None, DeploymentStatus::Finished, 0)]);
    record(state.path(), Batch { delivered: vec![delivered], ..batch });
    past(state.path());
    Connection::open(file(state.path())).unwrap().execute_batch(sql).unwrap();
    let reader = reader(state.path());
    let error = reader.past().err().or_else(|| reader.untold(SINK, 0, 9).err()).expect("it is noticed");
    said(&error, state.path())
}

#[test]
fn a_damaged_row_is_an_error_that_shows_it() {
    assert_snapshot!(damaged("UPDATE findings SET body = '{\"finding\":1}'"), @r#"
    the store `STATE/driftd.db` holds a row that cannot be read: `f` in `findings`: invalid type: integer `1`, expected a string at line 1 column 12 in `{"finding":1}`
    hint: restart driftd: it moves the file aside and begins a new one
    "#);
    assert_snapshot!(damaged("UPDATE deployments SET commit_id = 'main'"), @r#"
    the store `STATE/driftd.db` holds a row that cannot be read: `d` in `deployments`: `main` is not a commit: 6 to 64 hex digits are wanted
    hint: restart driftd: it moves the file aside and begins a new one
    "#);
    assert_snapshot!(damaged("UPDATE deliveries SET digest = x'00'"), @r#"
    the store `STATE/driftd.db` holds a row that cannot be read: `1` in `deliveries`: Conversion error from type Blob at index: 4, Cannot read 32 byte value out of 1 byte blob
    hint: restart driftd: it moves the file aside and begins a new one
    "#);
    assert_snapshot!(damaged("UPDATE deliveries SET at = 'yesterday'"), @r#"
    the store `STATE/driftd.db` holds a row that cannot be read: `1` in `deliveries`: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
    hint: restart driftd: it moves the file aside and begins a new one
    "#);
    assert_snapshot!(damaged("DROP TRIGGER entries_are_not_changed; UPDATE entries SET body = '{}'"), @r#"
    the store `STATE/driftd.db` holds a row that cannot be read: `1` in `entries`: missing field `time` at line 1 column 2 in `{}`
    hint: restart driftd: it moves the file aside and begins a new one
    "#);
    assert_snapshot!(damaged("DROP TABLE captures"), @r#"the store `STATE/driftd.db` cannot be read: no such table: captures"#);
}

/// Damages what one run wrote, and gives what the next says of it, without the directory.
fn begun_after(damage: impl FnOnce(&Path)) -> (TempDir, String) {
    let state = dir();
    record(state.path(), entries([told_of("f", FindingState::Opened)]));
    damage(state.path());
    let begun = begin(state.path(), &[SINK]).unwrap();
    assert!(begun.past.findings.is_empty());
    let said = begun.damage.expect("it is said").replace(&state.path().display().to_string(), "STATE");
    let at = said.find("damaged-").unwrap() + "damaged-".len();
    (state, said.replace(&said[at..at + 16], "TIME"))
}

#[test]
fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
    let (state, said) = begun_after(|state| {
        fs::write(file(state), "not a database, and long enough to be looked at as one\n".repeat(40))
            .unwrap();
    });
    assert_snapshot!(said, @r#"the store was damaged and is begun anew; the old file is `STATE/driftd.db.damaged-TIME`: the store `STATE/driftd.db` cannot be read: file is not a database"#);
    record(state.path(), entries([note("new")]));
    assert_eq!(untold(&reader(state.path())), [(1, "new".into())]);
    let aside = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.into_iter().find(|path| path.display().to_string().contains("damaged-")).unwrap();
    assert!(fs::read_to_string(aside).unwrap().starts_with("not a database"), "nothing is thrown away");

    let (_, said) = begun_after(|state| {
        Connection::open(file(state)).unwrap().execute_batch("UPDATE findings SET body = '{}'").unwrap();
    });
    assert_snapshot!(said, @"the store was damaged and is begun anew; the old file is `STATE/driftd.db.damaged-TIME`: the store `STATE/driftd.db` holds a row that cannot be read: `f` in `findings`: missing field `finding` at line 1 column 2 in `{}`");
    let (_, said) =
        begun_after(|state| super::super::begin::remember_damage(state, "database disk image is malformed"));
    assert_snapshot!(said, @r#"the store was damaged and is begun anew; the old file is `STATE/driftd.db.damaged-TIME`: the store `STATE/driftd.db` is damaged: database disk image is malformed"#);
}

#[test]
fn a_store_that_is_whole_is_begun_with_what_it_holds() {
    let state = dir();
    record(state.path(), entries([told_of("f", FindingState::Opened)]));
    let begun = begin(state.path(), &[SINK]).unwrap();
    assert_eq!((begun.past.findings.len(), begun.damage), (1, None));
    let error = begin(state.path(), &[SINK]).err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
}
