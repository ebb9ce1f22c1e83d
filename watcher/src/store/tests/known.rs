//! What is known of a deployment, and by whom it may be asked.

use super::*;
use crate::model::{Known, Values, Verdict, VerdictStatus};

const ID: &str = "0198";

fn phase(status: DeploymentStatus, millis: i64) -> Batch {
    Batch {
        deliverers: vec![(DeploymentId(ID.into()), "plain".into())],
        ..entries([news(ID, "web", None, status, millis)])
    }
}

fn verdict(status: VerdictStatus) -> Batch {
    let verdict = Verdict {
        deployment: DeploymentId(ID.into()),
        commit: "a1b2c3".parse().unwrap(),
        app: Some("web".into()),
        status,
        keys: 1,
        findings: Vec::new(),
        held: Vec::new(),
        unreadable: Vec::new(),
        broken: None,
    };
    entries([entry(0, What::Verdict(verdict))])
}

fn known(state: &Path, credentials: &[&str]) -> Option<Known> {
    let credentials: Vec<Box<str>> = credentials.iter().map(|name| (*name).into()).collect();
    reader(state).known(&DeploymentId(ID.into()), &credentials).unwrap()
}

#[track_caller]
fn check(course: Vec<Batch>, status: DeploymentStatus, verdict: Option<VerdictStatus>) {
    let state = dir();
    write(state.path(), course.into_iter().map(Work::Record).collect());
    let known = known(state.path(), &["plain"]).unwrap();
    assert_eq!((known.status, known.verdict.map(|verdict| verdict.status)), (status, verdict));
}

#[test]
fn a_deployment_is_known_with_how_far_it_came_and_its_last_verdict() {
    use DeploymentStatus::{Failed, Finished, Started, TimedOut};
    use VerdictStatus::{OutOfSync, Synced};
    check(vec![phase(Started, 0)], Started, None);
    check(vec![phase(Started, 0), phase(Failed, 1)], Failed, None);
    check(vec![phase(Started, 0), phase(TimedOut, 1)], TimedOut, None);
    check(vec![phase(Started, 0), phase(Finished, 1)], Finished, None);
    check(vec![phase(Finished, 0), verdict(Synced)], Finished, Some(Synced));
    // Deployed once more: what it was found to be is told until it is judged anew, and never as the new one.
    let once_more = || vec![phase(Finished, 0), verdict(Synced), phase(Started, 1)];
    check(once_more(), Started, Some(Synced));
    let finished = || once_more().into_iter().chain([phase(Finished, 2)]);
    check(finished().collect(), Finished, None);
    check(finished().chain([verdict(OutOfSync)]).collect(), Finished, Some(OutOfSync));
}

#[test]
fn only_who_delivered_a_deployment_is_told_of_it() {
    let state = dir();
    record(state.path(), phase(DeploymentStatus::Finished, 0));
    assert!(known(state.path(), &["plain"]).is_some());
    assert!(known(state.path(), &["github", "plain"]).is_some());
    assert_eq!(known(state.path(), &["github"]), None);
    assert_eq!(known(state.path(), &[]), None);
    // Another that delivers the same revision has delivered it too.
    record(
        state.path(),
        Batch { deliverers: vec![(DeploymentId(ID.into()), "github".into())], ..Batch::default() },
    );
    assert!(known(state.path(), &["github"]).is_some());
}

#[test]
fn the_values_that_came_with_a_deployment_are_in_force_as_long_as_it_is() {
    use DeploymentStatus::{Finished, Started};
    let values = |value: &str| -> Values { [("vm.swappiness".parse().unwrap(), value.into())].into() };
    let came = |id: &str, app: &str, millis, declared: Values| {
        Work::Record(Batch {
            declared: vec![(DeploymentId(id.into()), declared)],
            ..entries([news(id, app, None, Finished, millis)])
        })
    };
    let state = dir();
    let in_force = |work| {
        write(state.path(), work);
        let in_force = reader(state.path()).in_force().unwrap().into_iter();
        in_force
            .map(|d| format!("{} {:?}", d.id, d.declared.iter().map(|v| &*v.1).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    let first = vec![came("1", "web", 1, values("10")), came("2", "db", 2, values("20"))];
    assert_eq!(in_force(first), [r#"1 ["10"]"#, r#"2 ["20"]"#]);
    // Under way it is in force as before; the next one has what came with it, which may be nothing.
    assert_eq!(
        in_force(vec![Work::Record(entries([news("1", "web", None, Started, 3)]))]),
        [r#"1 ["10"]"#, r#"2 ["20"]"#]
    );
    assert_eq!(in_force(vec![came("3", "web", 4, Values::default())]), [r#"2 ["20"]"#, "3 []"]);
    assert_eq!(in_force(vec![came("4", "db", 5, values("30"))]), ["3 []", r#"4 ["30"]"#]);
}
