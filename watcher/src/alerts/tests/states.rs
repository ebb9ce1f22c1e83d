//! Sinks that are told how things stand: status pages and Alertmanager.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    super::{
        endpoint::{Asked, Behave, Endpoint},
        github::Github,
        message::Letterhead,
        post::Post,
        push::{Board, Push},
    },
    Home, finding, loss, open, status,
};
use crate::{
    config,
    model::{Finding, Routing, Severity, Status},
};

#[tokio::test]
async fn a_status_page_has_each_transition_and_not_the_same_twice() {
    let mut endpoint = Endpoint::start(&[Behave::Say(204, None), Behave::Say(503, None)]).await;
    let mut home =
        Home::start(&format!("    gitops_status: {{ url: \"http://{}/api/status\" }}\n", endpoint.address));
    let found = home.stands();
    let first = endpoint.asked().await;
    assert!(first.head.starts_with("POST /api/status HTTP/1.1\r\n"), "{}", first.head);
    let told = |asked: &Asked| (asked.json()["sync_status"].clone(), asked.json()["drift_count"].clone());
    assert_eq!(told(&first), (json!("SYNCED"), json!(0)));
    // A commit that moves nothing, then one that does, whose post fails the first time.
    home.record(vec![loss("nothing that a page shows")]).await;
    found.lock().unwrap().push(open());
    home.record(vec![finding("f1", "opened")]).await;
    for _ in 0..2 {
        assert_eq!(told(&endpoint.asked().await), (json!("OUT_OF_SYNC"), json!(1)));
    }
    found.lock().unwrap().clear();
    home.record(vec![finding("f1", "healed")]).await;
    assert_eq!(told(&endpoint.asked().await), (json!("SYNCED"), json!(0)));
    assert_eq!(endpoint.unseen(), 0);
    home.end();
}

#[tokio::test]
async fn alertmanager_has_what_is_open_and_its_end_when_it_healed() {
    let mut endpoint = Endpoint::start(&[Behave::Say(200, None), Behave::Say(503, None)]).await;
    let url = format!("http://{}/api/v2/alerts", endpoint.address);
    let mut home = Home::start(&format!("    alertmanager: {{ url: \"{url}\", severity: critical }}\n"));
    let found = home.stands();
    let quiet = Finding { severity: Severity::Warning, ..open() };
    found.lock().unwrap().extend([open(), quiet]);
    home.record(vec![finding("f1", "opened")]).await;
    let mut asked = endpoint.asked().await;
    if asked.json() == json!([]) {
        // It was asked before there was anything.
        asked = endpoint.asked().await;
    }
    assert!(asked.head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{}", asked.head);
    let mut alerts = asked.json();
    assert_eq!(alerts[0]["endsAt"], json!(null));
    alerts[0]["startsAt"] = json!("-");
    alerts[0]["labels"]["server"] = json!("-");
    insta::assert_snapshot!(serde_json::to_string_pretty(&alerts).unwrap(), @r#"
    [
      {
        "annotations": {
          "actual": "61",
          "adopt": "driftd adopt vm.swappiness --format patch",
          "commit": "a1b2c3",
          "commit_link": "https://git.example.org/infra/commit/a1b2c3",
          "declared_by": "/etc/driftd.yaml:7",
          "expected": "10",
          "finding": "f1",
          "look": "driftd history vm.swappiness",
          "revert": "sysctl -w vm.swappiness=10",
          "summary": "critical: vm.swappiness is 61, expected 10 (rule f1, /etc/driftd.yaml:7), was 10; changed after the deploy; unattributed, seen by sweep, under commit a1b2c3"
        },
        "labels": {
          "alertname": "KernelStateDrift",
          "key": "vm.swappiness",
          "rule": "f1",
          "server": "-",
          "severity": "critical"
        },
        "startsAt": "-"
      }
    ]
    "#);
    found.lock().unwrap().clear();
    home.record(vec![finding("f1", "healed")]).await;
    // That it could not be told the first time loses nothing.
    loop {
        let ended = endpoint.asked().await.json();
        if ended[0]["endsAt"].is_string() {
            assert_eq!(ended[0]["labels"]["key"], "vm.swappiness");
            break;
        }
    }
    home.end();
}

#[test]
fn that_the_value_of_an_open_finding_moves_is_no_transition_and_that_another_opens_is() {
    let url = config::Address::Written("http://127.0.0.1:9/".into());
    let to = config::Endpoint { url, token: None, ca: None };
    let post = || Post::new(&to, Duration::from_secs(1)).unwrap();
    let github = config::Github {
        api: to.clone(),
        repository: "acme/infra".into(),
        commit_status: false,
        deployment_status: false,
        issues: true,
    };
    let github = Github::new(&github, Duration::from_secs(1)).unwrap();
    let head = Letterhead { server: "web-01".into(), commit_link: None };
    let moved = Finding { actual: Some(serde_json::from_value(json!("62")).unwrap()), ..open() };
    let another = Finding { key: "vm.dirty_ratio".parse().unwrap(), opened: Timestamp::UNIX_EPOCH, ..open() };
    for board in [
        Board::Page(post(), "driftd.yaml".into()),
        Board::Alertmanager(post(), Routing::default()),
        Board::Issues(github, Routing::default()),
    ] {
        let opened = open().opened;
        let transition = |findings: Vec<Finding>| {
            let mut status = status(findings);
            (status.last_sweep, status.since) = (Some(opened), opened);
            board.transition(&board.state(&status, &head))
        };
        let before = Finding { opened, ..open() };
        let moved = Finding { opened, ..moved.clone() };
        assert_eq!(transition(vec![before.clone()]), transition(vec![moved]));
        assert_ne!(transition(vec![before.clone()]), transition(vec![before, another.clone()]));
    }
}

#[tokio::test]
async fn a_status_page_hears_that_we_live_where_nothing_moves() {
    let mut endpoint = Endpoint::start(&[]).await;
    let post = Post::new(
        &config::Endpoint {
            url: config::Address::Written(format!("http://{}/", endpoint.address).into()),
            token: None,
            ca: None,
        },
        Duration::from_secs(10),
    )
    .unwrap();
    let ((asks, mut asked), (_news, news)) = (mpsc::channel::<oneshot::Sender<Status>>(1), watch::channel(0));
    let push = Push {
        sink: "page".into(),
        board: Board::Page(post, "driftd.yaml".into()),
        head: Arc::new(Letterhead { server: "web-01".into(), commit_link: None }),
        status: asks,
        news,
        heartbeat: Duration::from_millis(50),
    };
    tokio::spawn(push.run());
    tokio::spawn(async move {
        while let Some(reply) = asked.recv().await {
            let _gone = reply.send(status(Vec::new()));
        }
    });
    for _ in 0..3 {
        assert_eq!(endpoint.asked().await.json()["server"], "web-01");
    }
}
