//! Every kind of sink, in every kind of trouble: nothing is lost, nothing comes under another id, and what is about one finding
//! comes in its order.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    super::endpoint::{Asked, Behave, Endpoint},
    Home, all_sent, file, finding, github, open,
};
use crate::{
    model::{Entry, Finding, FindingId},
    store::Outcome,
};

/// How an endpoint answers the first time, what is said of that, and how long it is left alone then.
#[derive(Clone, Copy)]
struct Trouble {
    behave: Behave,
    why: &'static str,
    least: Duration,
}

const TROUBLES: [Trouble; 5] = [
    Trouble { behave: Behave::Say(500, None), why: "answered 500", least: Duration::from_millis(400) },
    Trouble {
        behave: Behave::Say(429, Some(("Retry-After", "2"))),
        why: "answered 429",
        least: Duration::from_millis(1900),
    },
    // What is left of a second when it is said counts, too.
    Trouble { behave: Behave::UsedUp(3), why: "answered 403", least: Duration::from_millis(1900) },
    Trouble { behave: Behave::Hang, why: "no answer within 5s", least: Duration::from_millis(5400) },
    Trouble { behave: Behave::BreakOff, why: "the answer broke off", least: Duration::from_millis(400) },
];

impl Trouble {
    /// Only who hangs is given up soon, and not too soon: the limit is that of the next try, too, and a machine may be slow.
    fn limit(&self) -> &'static str {
        match self.behave {
            Behave::Hang => "5s",
            Behave::Say(..) | Behave::UsedUp(_) | Behave::BreakOff => "1m",
        }
    }
}

/// A sink that takes messages by HTTP.
struct Kind {
    /// Its settings, but for the time limit.
    settings: fn(SocketAddr, &TempDir) -> String,
    /// Two entries of which the second must not come before the first.
    entries: fn() -> [Entry; 2],
    /// What is in the body of each.
    words: [&'static str; 2],
}

fn opened_and_healed() -> [Entry; 2] {
    [finding("f1", "opened"), finding("f1", "healed")]
}

const KINDS: [Kind; 4] = [
    Kind {
        settings: |at, _| format!("sink: webhook, url: \"http://{at}/hook\""),
        entries: opened_and_healed,
        words: ["driftd.finding.opened", "driftd.finding.healed"],
    },
    Kind {
        settings: |at, _| format!("sink: webhook, url: \"http://{at}/hook\", form: cloudevents"),
        entries: opened_and_healed,
        words: ["driftd.finding.opened", "driftd.finding.healed"],
    },
    Kind {
        settings: |at, _| format!("sink: slack, url: \"http://{at}/\", group: 0s"),
        entries: opened_and_healed,
        words: [": critical: vm.swappiness is 61", ": healed: vm.swappiness"],
    },
    Kind {
        settings: |at, files| {
            let token = file(files, "token", "t0ken");
            let token = token.display();
            format!("sink: github, repository: a/b, url: \"http://{at}/\", token: {token}, issues: false")
        },
        entries: || {
            ["OUT_OF_SYNC", "SYNCED"]
                .map(|status| Entry { time: Timestamp::now(), ..github::verdict(github::SHA, status, &[]) })
        },
        words: [r#""state":"failure""#, r#""state":"success""#],
    },
];

/// What is the same each time a message is sent.
fn content(asked: &Asked) -> String {
    let moves = ["webhook-timestamp:", "webhook-signature:"];
    let head = asked.head.lines().filter(|line| !moves.iter().any(|name| line.starts_with(name)));
    head.chain([&*String::from_utf8_lossy(&asked.body)]).collect::<Vec<_>>().join("\n")
}

async fn check(kind: &Kind, trouble: &Trouble) {
    let mut endpoint = Endpoint::start(&[trouble.behave]).await;
    let files = tempfile::tempdir().unwrap();
    let settings = (kind.settings)(endpoint.address, &files);
    let mut home = Home::start(&format!("    it: {{ {settings}, timeout: {} }}\n", trouble.limit()));
    let what = format!("{:?}: {settings}", trouble.behave);
    let begun = Instant::now();
    home.record((kind.entries)().into()).await;
    let first = endpoint.asked().await;
    assert_eq!(home.why().await, trouble.why, "{what}");
    let again = endpoint.asked().await;
    assert!(begun.elapsed() >= trouble.least, "after {:?}: {what}", begun.elapsed());
    assert_eq!(content(&again), content(&first), "the same message under the same id: {what}");
    let next = endpoint.asked().await;
    for (asked, word) in [(&first, kind.words[0]), (&next, kind.words[1])] {
        assert!(content(asked).contains(word), "`{word}` is not in {}: {what}", content(asked));
    }
    home.until(all_sent).await;
    assert_eq!(endpoint.unseen(), 0, "{what}");
    home.end();
}

#[tokio::test]
async fn whatever_takes_messages_has_each_of_them_in_order_and_under_its_id_whatever_trouble_it_has() {
    let mut checks = JoinSet::new();
    for kind in KINDS {
        // One after the other: all at once would be slow enough to be a trouble of its own.
        checks.spawn(async move {
            for trouble in &TROUBLES {
                check(&kind, trouble).await;
            }
        });
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

/// A sink that is told how things stand.
struct StateKind {
    settings: &'static str,
    /// Whether a body says that there is a finding open, and whether it says that there is none.
    says: fn(&serde_json::Value) -> (bool, bool),
}

const STATES: [StateKind; 2] = [
    StateKind {
        settings: "sink: gitops_status",
        says: |body| (body["sync_status"] == "OUT_OF_SYNC", body["sync_status"] == "SYNCED"),
    },
    StateKind {
        settings: "sink: alertmanager",
        says: |body| {
            (
                body[0]["labels"]["key"] == "vm.swappiness" && body[0]["endsAt"].is_null(),
                body[0]["endsAt"].is_string(),
            )
        },
    },
];

async fn check_state(kind: &StateKind, trouble: &Trouble) {
    let what = format!("{:?}: {}", trouble.behave, kind.settings);
    let mut endpoint = Endpoint::start(&[trouble.behave]).await;
    let (at, limit, begun) = (endpoint.address, trouble.limit(), Instant::now());
    let mut home =
        Home::start(&format!("    it: {{ {}, url: \"http://{at}/\", timeout: {limit} }}\n", kind.settings));
    let found = home.stands();
    found.lock().unwrap().push(open());
    let first = endpoint.asked().await;
    let again = endpoint.asked().await;
    assert!(begun.elapsed() >= trouble.least, "after {:?}: {what}", begun.elapsed());
    for asked in [&first, &again] {
        assert!((kind.says)(&asked.json()).0, "{}: {what}", asked.json());
    }
    found.lock().unwrap().clear();
    home.record(vec![finding("f1", "healed")]).await;
    let healed = endpoint.asked().await;
    assert!((kind.says)(&healed.json()).1, "{}: {what}", healed.json());
    assert_eq!(endpoint.unseen(), 0, "{what}");
    home.end();
}

#[tokio::test]
async fn whatever_is_told_how_things_stand_hears_of_it_and_of_its_end_whatever_trouble_it_has() {
    let mut checks = JoinSet::new();
    for kind in STATES {
        checks.spawn(async move {
            for trouble in &TROUBLES {
                check_state(&kind, trouble).await;
            }
        });
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

/// GitHub has this trouble the first time it is to make an issue: it made it, where it did not say that it would not.
async fn check_issue(trouble: Trouble) {
    let mut left = vec![trouble.behave];
    // When it was asked to make one, before it answered: what is waited for begins with the answer.
    let posted = Arc::new(Mutex::new(Vec::new()));
    let asked = posted.clone();
    let troubled = move |request: &Asked| match request.line() {
        ("POST", _) => {
            asked.lock().unwrap().push(Instant::now());
            left.pop()
        }
        _ => None,
    };
    let (mut endpoint, repository) = github::github_with(troubled).await;
    let more = format!(", commit_status: false, timeout: {}", trouble.limit());
    let (mut home, _files) = github::home(&endpoint, &more);
    let found = home.stands();
    found.lock().unwrap().push(open());
    // Where it was made, and not said so, it must be looked for before it is made again.
    let (made, seen) = match trouble.behave {
        Behave::Say(..) | Behave::UsedUp(_) => (2, "POST"),
        Behave::Hang | Behave::BreakOff => (1, "GET"),
    };
    let mut closed = false;
    // What it was not told the first time it is told, and then that it is over.
    while !closed {
        let asked = endpoint.asked().await;
        let method = asked.line().0;
        closed = method == "PATCH" && asked.json()["state"] == "closed";
        if method == seen && github::issues(&repository) == [("open".to_owned(), 1)] {
            found.lock().unwrap().clear();
            home.record(vec![finding("f1", "healed")]).await;
        }
    }
    let posted = posted.lock().unwrap().clone();
    assert_eq!(posted.len(), made, "{:?}: an issue is made once", trouble.behave);
    assert_eq!(repository.lock().unwrap().issues.len(), 1, "{:?}", trouble.behave);
    if let [first, second] = posted.as_slice() {
        let between = second.duration_since(*first);
        assert!(between >= Duration::from_millis(4900), "{:?}: after {between:?}", trouble.behave);
    }
    home.end();
}

#[tokio::test]
async fn an_issue_is_made_once_whatever_trouble_github_has() {
    let mut checks = JoinSet::new();
    for trouble in TROUBLES {
        checks.spawn(check_issue(trouble));
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

#[tokio::test]
async fn an_issue_that_github_refuses_keeps_none_of_the_others_from_being_written() {
    let troubled = |asked: &Asked| {
        let refused = asked.line().0 == "POST" && asked.json()["title"].as_str().unwrap().contains("`bad`");
        refused.then_some(Behave::Say(422, None))
    };
    let (mut endpoint, repository) = github::github_with(troubled).await;
    let (mut home, _files) = github::home(&endpoint, ", commit_status: false");
    let found = home.stands();
    let of = |rule: &str| Finding { finding: FindingId(rule.into()), rule: rule.into(), ..open() };
    found.lock().unwrap().extend(["bad", "good"].map(of));
    while github::issues(&repository) != [("open".to_owned(), 1)] {
        endpoint.asked().await;
    }
    assert!(repository.lock().unwrap().issues[0]["title"].as_str().unwrap().ends_with("`good`"));
    home.end();
}

#[tokio::test]
async fn an_issue_about_ever_so_many_findings_is_no_longer_than_github_takes_and_stays_closed_when_closed() {
    let (mut endpoint, repository) = github::github_with(|_| None).await;
    let (mut first, files) = github::home(&endpoint, ", commit_status: false");
    let many = |number: i64| Finding {
        finding: FindingId(uuid::Uuid::now_v7().to_string().into()),
        key: format!("net.ipv4.conf.eth{number}.rp_filter").parse().unwrap(),
        actual: Some(serde_json::from_value(json!("é".repeat(5000))).unwrap()),
        opened: Timestamp::from_second(1_800_000_000 + number).unwrap(),
        ..open()
    };
    let all: Vec<_> = (0..10_000).map(many).collect();
    let found = first.stands();
    found.lock().unwrap().extend(all.iter().cloned());
    while repository.lock().unwrap().issues.is_empty() {
        endpoint.asked().await;
    }
    let body = repository.lock().unwrap().issues[0]["body"].as_str().unwrap().to_owned();
    assert!(body.len() < 65_536, "{} bytes", body.len());
    assert!(body.contains("| `net.ipv4.conf.eth0.rp_filter` |"), "{body}");
    let shown = body.matches("\n| `net").count();
    assert!(shown > 20 && body.contains(&format!("and {} more", 10_000 - shown)), "{body}");
    first.end();

    // A person closes it; some heal; then there is one more.
    repository.lock().unwrap().issues[0]["state"] = json!("closed");
    let (mut second, _files) = github::home(&endpoint, ", commit_status: false");
    drop(files);
    let found = second.stands();
    found.lock().unwrap().extend(all.iter().skip(5000).cloned());
    endpoint.unseen();
    // It looks at the issue, and again when another rule departs, which is told after all that is to be said of this one.
    endpoint.asked().await;
    found.lock().unwrap().push(Finding { rule: "another".into(), ..many(20_000) });
    second.record(vec![finding("any", "opened")]).await;
    loop {
        let asked = endpoint.asked().await;
        assert_ne!(asked.line().0, "PATCH", "nothing in it is new");
        if asked.line().0 == "POST" {
            break;
        }
    }
    assert_eq!(repository.lock().unwrap().issues[0]["state"], "closed");
    found.lock().unwrap().push(many(20_001));
    second.record(vec![finding("any", "opened")]).await;
    while repository.lock().unwrap().issues[0]["state"] != "open" {
        endpoint.asked().await;
    }
    assert_eq!(repository.lock().unwrap().issues.len(), 2);
    second.end();
}

/// What a program does the first time, and what is said of that.
async fn check_program(script: &str, why: &str) {
    let files = tempfile::tempdir().unwrap();
    let (told, tried) = (files.path().join("told"), files.path().join("tried"));
    let script = format!(
        "echo $DRIFTD_MESSAGE_ID >> {0}; if [ -e {1} ]; then cat >> {0}; echo >> {0}; else touch {1}; {script}; fi",
        told.display(),
        tried.display()
    );
    let limit = if script.contains("sleep") { "5s" } else { "1m" };
    let mut home = Home::start(&format!(
        "    it: {{ sink: exec, program: [/bin/sh, -c, {script:?}], timeout: {limit} }}\n"
    ));
    home.record(opened_and_healed().into()).await;
    assert_eq!(home.why().await, why, "{script}");
    home.until(all_sent).await;
    let told = std::fs::read_to_string(told).unwrap();
    let lines: Vec<_> = told.lines().collect();
    let [first, again, opened, next, healed] = lines.as_slice() else { panic!("{told}") };
    assert_eq!(again, first, "the same message under the same id");
    assert_ne!(next, first);
    assert!(opened.contains("driftd.finding.opened") && healed.contains("driftd.finding.healed"), "{told}");
    home.end();
}

#[tokio::test]
async fn a_program_has_each_message_in_order_and_under_its_id_whatever_trouble_it_has() {
    check_program("exit 7", "`/bin/sh` ended with exit status: 7").await;
    check_program("exec sleep 1000", "`/bin/sh` did not end within 5s, and was killed").await;
    let killed = "`/bin/sh` ended with signal: 9 (SIGKILL)";
    check_program("head -c 1 > /dev/null; exec 0<&-; kill -9 $$", killed).await;
}

#[tokio::test]
async fn a_program_that_needs_no_more_than_the_beginning_of_a_message_has_it() {
    let mut home = Home::start("    it: { sink: exec, program: [/bin/sh, -c, 'exec 0<&-'] }\n");
    home.record(vec![super::loss(&"x".repeat(1 << 20))]).await;
    let tried = home.tried.as_mut().unwrap().recv().await;
    assert_eq!(tried, Some(Outcome::Sent { again: None }));
    home.until(all_sent).await;
    home.end();
}
