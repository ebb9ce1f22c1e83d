//! GitHub as a sink, against one that keeps issues and statuses as its documentation says. What the real one does besides,
//! no test here knows.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    super::endpoint::{Asked, Behave, Endpoint},
    Home, all_sent, file, finding, open,
};
use crate::model::{Entry, Finding, FindingId, What};

pub(super) const SHA: &str = "a1b2c3a1b2c3a1b2c3a1b2c3a1b2c3a1b2c3a1b2";

/// What a repository holds.
#[derive(Default)]
pub(super) struct Repository {
    pub(super) issues: Vec<Value>,
    statuses: Vec<Value>,
    deployment_statuses: Vec<Value>,
}

/// Answers as GitHub does (docs.github.com/rest): the path is that below `/repos/acme/infra`.
fn respond(repository: &mut Repository, asked: &Asked) -> (u16, String) {
    let (method, path) = asked.line();
    let path = path.strip_prefix("/api/v3/repos/acme/infra").unwrap();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (status, answer) = match (method, parts.as_slice()) {
        ("GET", ["commits", "a1b2c3"]) => (200, json!({ "sha": SHA })),
        ("GET", ["commits", _]) => (422, json!({ "message": "No commit found for SHA" })),
        ("POST", ["statuses", SHA]) => {
            repository.statuses.push(asked.json());
            (201, json!({}))
        }
        ("GET", ["deployments"]) => {
            assert!(query.contains(&format!("sha={SHA}")), "{query}");
            (200, json!([{ "id": 7 }]))
        }
        ("GET", ["deployments", "7", "statuses"]) => {
            (200, json!(repository.deployment_statuses.last().into_iter().collect::<Vec<_>>()))
        }
        ("POST", ["deployments", "7", "statuses"]) => {
            repository.deployment_statuses.push(asked.json());
            (201, json!({}))
        }
        ("GET", ["issues"]) => {
            let label =
                form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "labels").unwrap().1;
            let of = |issue: &&Value| issue["labels"].as_array().unwrap().iter().any(|l| *l == *label);
            (200, json!(repository.issues.iter().rev().filter(of).collect::<Vec<_>>()))
        }
        ("POST", ["issues"]) => {
            let mut issue = asked.json();
            issue["number"] = json!(repository.issues.len());
            issue["state"] = json!("open");
            repository.issues.push(issue.clone());
            (201, issue)
        }
        ("PATCH", ["issues", number]) => {
            let issue = &mut repository.issues[number.parse::<usize>().unwrap()];
            for (name, value) in asked.json().as_object().unwrap() {
                issue[name] = value.clone();
            }
            (200, issue.clone())
        }
        other => panic!("{other:?}"),
    };
    (status, answer.to_string())
}

async fn github() -> (Endpoint, Arc<Mutex<Repository>>) {
    github_with(|_| None).await
}

/// One that has this trouble.
pub(super) async fn github_with(
    trouble: impl FnMut(&Asked) -> Option<Behave> + Send + 'static,
) -> (Endpoint, Arc<Mutex<Repository>>) {
    let repository = Arc::new(Mutex::new(Repository::default()));
    let behind = repository.clone();
    let respond = move |asked: &Asked| respond(&mut behind.lock().unwrap(), asked);
    (Endpoint::start_with(trouble, respond).await, repository)
}

/// A home with this one sink, and the file of its token.
pub(super) fn home(endpoint: &Endpoint, more: &str) -> (Home, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let token = file(&files, "token", "t0ken");
    let url = format!("http://{}/api/v3", endpoint.address);
    let sink = format!(
        "    github: {{ repository: acme/infra, url: \"{url}\", token: {}{more} }}\n",
        token.display()
    );
    (Home::start(&sink), files)
}

pub(super) fn verdict(commit: &str, status: &str, findings: &[Finding]) -> Entry {
    let time = "2026-08-01T10:20:00Z".parse().unwrap();
    let verdict = json!({
        "deployment": "d1", "commit": commit, "app": "web", "status": status, "keys": 3, "findings": findings,
    });
    Entry { time, what: What::Verdict(serde_json::from_value(verdict).unwrap()) }
}

fn without_server(text: &str) -> String {
    let server = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = |before: &str| (format!("{before}{server}"), format!("{before}SERVER"));
    ["driftd/", "driftd on ", "driftd: ", "\"server\":\"", "On `", "\"title\":\""]
        .map(named)
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[tokio::test]
async fn the_delivered_commit_and_its_deployment_say_what_came_of_it() {
    let (mut endpoint, repository) = github().await;
    let (mut home, _files) = home(&endpoint, ", issues: false, deployment_status: true");
    home.record(vec![verdict("a1b2c3", "OUT_OF_SYNC", &[open()])]).await;
    let first = endpoint.asked().await;
    assert_eq!(first.header("authorization"), "Bearer t0ken");
    assert_eq!(first.header("x-github-api-version"), "2022-11-28");
    home.until(all_sent).await;
    home.record(vec![verdict("a1b2c3", "SYNCED", &[])]).await;
    while repository.lock().unwrap().deployment_statuses.len() < 2 {
        endpoint.asked().await;
    }
    let repository = repository.lock().unwrap();
    insta::assert_snapshot!(without_server(&json!(repository.statuses).to_string()), @r#"[{"context":"driftd/SERVER","description":"driftd on SERVER: 1 of 3 keys depart; vm.swappiness is 61, expected 10","state":"failure"},{"context":"driftd/SERVER","description":"driftd on SERVER: 3 keys are as declared","state":"success"}]"#);
    insta::assert_snapshot!(without_server(&json!(repository.deployment_statuses).to_string()), @r#"[{"auto_inactive":false,"description":"driftd on SERVER: 1 of 3 keys depart; vm.swappiness is 61, expected 10","state":"failure"},{"auto_inactive":false,"description":"driftd on SERVER: 3 keys are as declared","state":"success"}]"#);
    drop(repository);
    home.end();
}

#[tokio::test]
async fn that_this_host_is_in_sync_does_not_take_back_what_another_host_said() {
    let (mut endpoint, repository) = github().await;
    let other = json!({ "state": "failure", "description": "driftd on another: 1 of 3 keys depart" });
    repository.lock().unwrap().deployment_statuses.push(other);
    let (mut home, _files) =
        home(&endpoint, ", issues: false, commit_status: false, deployment_status: true");
    home.record(vec![verdict(SHA, "SYNCED", &[])]).await;
    while !endpoint.asked().await.line().1.contains("/statuses?") {}
    home.until(all_sent).await;
    assert_eq!(repository.lock().unwrap().deployment_statuses.len(), 1);
    home.end();
}

#[tokio::test]
async fn a_commit_that_github_does_not_know_is_given_up_with_what_github_said() {
    let (endpoint, _repository) = github().await;
    let (mut home, _files) = home(&endpoint, ", issues: false");
    home.record(vec![verdict("dddddd", "SYNCED", &[])]).await;
    let found = home.until(|found| found.iter().any(|sink| sink.dead == 1)).await;
    assert_eq!(found[0].why.as_deref(), Some("answered 422: No commit found for SHA"));
    home.end();
}

/// The numbers and states of the issues, and how many findings each shows.
pub(super) fn issues(repository: &Mutex<Repository>) -> Vec<(String, usize)> {
    let shown = |issue: &Value| issue["body"].as_str().unwrap().matches("\n- ").count();
    let issues = &repository.lock().unwrap().issues;
    issues.iter().map(|issue| (issue["state"].as_str().unwrap().to_owned(), shown(issue))).collect()
}

/// Has the sink look, and waits until the issues are so.
async fn until(
    home: &Home,
    endpoint: &mut Endpoint,
    repository: &Mutex<Repository>,
    wanted: &[(&str, usize)],
) {
    home.record(vec![finding("any", "healed")]).await;
    let wanted: Vec<_> = wanted.iter().map(|(state, shown)| ((*state).to_owned(), *shown)).collect();
    while issues(repository) != wanted {
        endpoint.asked().await;
    }
}

fn another(finding: &str, key: &str) -> Finding {
    Finding { finding: FindingId(finding.into()), key: key.parse().unwrap(), ..open() }
}

#[tokio::test]
async fn each_rule_with_open_findings_has_one_issue_that_is_kept_up_to_date_and_closed_when_all_healed() {
    let (mut endpoint, repository) = github().await;
    let (mut home, _files) = home(&endpoint, ", commit_status: false");
    let found = home.stands();
    found.lock().unwrap().push(open());
    until(&home, &mut endpoint, &repository, &[("open", 1)]).await;
    let mut issue = repository.lock().unwrap().issues[0].clone();
    let body = without_server(issue["body"].take().as_str().unwrap());
    let (before, rest) = body.split_once(" | 20").unwrap();
    insta::assert_snapshot!(format!("{before} | SINCE{}", rest.split_once('Z').unwrap().1), @r#"
    <!-- driftd {"findings":["f1"],"rule":"f1","server":"SERVER"} -->
    On `SERVER` the kernel departs from the rule `f1` (`/etc/driftd.yaml:7`).

    | key | live | expected | since | by | commit |
    |---|---|---|---|---|---|
    | `vm.swappiness` | `61` | `10` | SINCE | `unattributed, seen by sweep` | [`a1b2c3`](https://git.example.org/infra/commit/a1b2c3) |

    - revert: `sysctl -w vm.swappiness=10`; adopt: `driftd adopt vm.swappiness --format patch`; more: `driftd history vm.swappiness`

    This issue is kept by driftd, and closed when all is as declared.
    "#);
    insta::assert_snapshot!(without_server(&issue.to_string()), @r#"{"body":null,"labels":["driftd","driftd: SERVER"],"number":0,"state":"open","title":"SERVER: the kernel departs from `f1`"}"#);

    found.lock().unwrap().push(another("f2", "vm.dirty_ratio"));
    until(&home, &mut endpoint, &repository, &[("open", 2)]).await;
    found.lock().unwrap().remove(0);
    until(&home, &mut endpoint, &repository, &[("open", 1)]).await;
    found.lock().unwrap().clear();
    until(&home, &mut endpoint, &repository, &[("closed", 1)]).await;
    let body = repository.lock().unwrap().issues[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("\nHealed: all is as declared."), "{body}");
    // The rule departs once more: it is the same ticket.
    found.lock().unwrap().push(another("f3", "vm.swappiness"));
    until(&home, &mut endpoint, &repository, &[("open", 1)]).await;
    home.end();
}

#[tokio::test]
async fn after_a_restart_the_same_issue_goes_on_and_one_that_a_person_closed_stays_closed_until_there_is_news()
 {
    let (mut endpoint, repository) = github().await;
    let (mut first, _files) = home(&endpoint, ", commit_status: false");
    first.stands().lock().unwrap().push(open());
    until(&first, &mut endpoint, &repository, &[("open", 1)]).await;
    first.end();
    repository.lock().unwrap().issues[0]["state"] = json!("closed");

    let (mut second, _files) = home(&endpoint, ", commit_status: false");
    let found = second.stands();
    found.lock().unwrap().push(open());
    endpoint.unseen();
    endpoint.asked().await;
    assert_eq!(issues(&repository), [("closed".to_owned(), 1)], "a person closed it");
    found.lock().unwrap().push(another("f2", "vm.dirty_ratio"));
    until(&second, &mut endpoint, &repository, &[("open", 2)]).await;
    second.end();
}

#[tokio::test]
async fn nothing_that_others_chose_is_a_mention_or_ends_the_mark_of_an_issue() {
    let (mut endpoint, repository) = github().await;
    let (mut home, _files) = home(&endpoint, ", commit_status: false");
    let found = home.stands();
    let rule = "--> @everyone `x` | <!--".into();
    found.lock().unwrap().push(Finding { rule, ..open() });
    until(&home, &mut endpoint, &repository, &[("open", 1)]).await;
    let body = repository.lock().unwrap().issues[0]["body"].as_str().unwrap().to_owned();
    assert_eq!(body.matches("-->").count(), 2, "the end of the mark, and the name within backticks: {body}");
    assert!(body.contains(r"`--> @everyone 'x' \| <!--`"), "{body}");
    found.lock().unwrap().clear();
    until(&home, &mut endpoint, &repository, &[("closed", 1)]).await;
    home.end();
}
