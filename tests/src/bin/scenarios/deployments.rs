//! Deployments: only an authentic message moves the baseline, its answer is the verdict, and no deployment launders a
//! drift.

use driftd_tests::{
    daemon::{Daemon, Home, Settings},
    host::Sysctl,
    mode::Mode,
    webhook,
};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::home};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_signed_webhook_delivers_and_is_answered_202",
        modes: &[Mode::None],
        needs: Needs::Nothing,
        run: delivers,
    },
    Scenario {
        claim: "a_webhook_that_waits_is_answered_with_the_verdict",
        modes: &[Mode::None],
        needs: Needs::Nothing,
        run: waits_for_the_verdict,
    },
    Scenario {
        claim: "a_wrong_or_missing_signature_is_answered_401_and_moves_nothing",
        modes: &[Mode::None],
        needs: Needs::Nothing,
        run: wrong_signature,
    },
    Scenario {
        claim: "malformed_bodies_are_answered_400_and_move_nothing",
        modes: &[Mode::None],
        needs: Needs::Nothing,
        run: malformed,
    },
    Scenario {
        claim: "the_verdict_on_a_host_out_of_sync_is_409_with_the_findings",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::None],
        needs: Needs::Root,
        run: out_of_sync,
    },
    Scenario {
        claim: "writes_in_the_window_of_a_deployment_are_its_own",
        modes: &Mode::PROBES,
        needs: Needs::Root,
        run: window,
    },
    Scenario {
        claim: "no_deployment_captures_anew_a_key_with_an_open_finding",
        modes: &[Mode::Kprobe, Mode::Fexit, Mode::Cgroup, Mode::None],
        needs: Needs::Root,
        run: not_captured_anew,
    },
];

/// A message with an id of its own.
fn message(id: &str, commit: &str, phase: &str) -> String {
    format!(r#"{{"commit":"{commit}","app":"web-backend","id":"{id}","phase":"{phase}"}}"#)
}

/// The announcement's short form for swappiness.
fn short() -> String {
    "memory_limits: \"/proc/sys/vm/swappiness\"".to_owned()
}

#[track_caller]
fn wait_for_deployment(driftd: &mut Daemon<'_>, commit: &str, status: &str) -> Value {
    driftd.wait_for(&format!("deployment {commit} {status}"), |line| {
        line["kind"] == "deployment" && line["commit"] == commit && line["status"] == status
    })
}

fn delivers(mode: Mode) {
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let mut driftd = home.start();
    let answer = driftd.post("", r#"{"commit":"a1b2c3","app":"web-backend"}"#);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["commit"], "a1b2c3", "{answer:?}");
    assert_eq!(answer.body["status"], "accepted", "{answer:?}");
    let id = answer.body["deployment"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.body["verdict"], format!("/api/v1/deployments/{id}"), "{answer:?}");
    let deployment = wait_for_deployment(&mut driftd, "a1b2c3", "finished");
    assert_eq!(deployment["deployment"], id, "{deployment}");
    assert_eq!(deployment["app"], "web-backend", "{deployment}");
    assert_eq!(deployment["undated"], true, "{deployment}");
    let verdict = driftd.wait_for("the verdict", |line| line["kind"] == "verdict");
    assert_eq!(verdict["deployment"], id, "{verdict}");
    assert_eq!(verdict["status"], "SYNCED", "{verdict}");
    // The same once more is a retry, and answered as the first time.
    let again = driftd.post("", r#"{"commit":"a1b2c3","app":"web-backend"}"#);
    assert_eq!((again.status, again.body["deployment"].as_str()), (202, Some(id.as_str())), "{again:?}");
}

fn waits_for_the_verdict(mode: Mode) {
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let driftd = home.start();
    let answer = driftd.post("?wait=30", &message("1", "a1b2c3", "finished"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["status"], "SYNCED", "{answer:?}");
    assert_eq!(answer.body["commit"], "a1b2c3", "{answer:?}");
}

fn wrong_signature(mode: Mode) {
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let mut driftd = home.start();
    let body = message("1", "bad123", "finished");
    let wrong = webhook::signature("another secret", &body);
    let empty = webhook::signature("", &body);
    for header in [wrong.as_str(), empty.as_str(), "X-Hub-Signature-256: sha256=", "X-Other: none"] {
        let answer = driftd.post_signed("", header, &body);
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
    }
    // What is authentic goes through after it, and is the only deployment there is.
    driftd.post("?wait=30", &message("2", "a1b2c3", "finished"));
    wait_for_deployment(&mut driftd, "a1b2c3", "finished");
    let told = driftd.said().iter().find(|line| line["commit"] == "bad123").cloned();
    assert_eq!(told, None, "what is not authentic moves nothing");
}

fn malformed(mode: Mode) {
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let mut driftd = home.start();
    for body in
        ["", "{", "[]", r#"{"app":"web"}"#, r#"{"commit":"main"}"#, r#"{"commit":"a1b2c3","phase":"over"}"#]
    {
        let answer = driftd.post("", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    driftd.post("?wait=30", &message("1", "a1b2c3", "finished"));
    wait_for_deployment(&mut driftd, "a1b2c3", "finished");
    let deployments = driftd.said().iter().filter(|line| line["kind"] == "deployment").count();
    assert_eq!(deployments, 1, "what is malformed moves nothing");
}

fn out_of_sync(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let other = swappiness.other();
    swappiness.write(other);
    let opened = driftd.wait_for_opened(KEY, other);
    let answer = driftd.post("?wait=30", &message("1", "a1b2c3", "finished"));
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(answer.body["status"], "OUT_OF_SYNC", "{answer:?}");
    let finding = &answer.body["findings"][0];
    assert_eq!(finding["finding"], opened["finding"], "{answer:?}");
    assert_eq!((&finding["key"], &finding["actual"]), (&Value::from(KEY), &Value::from(other)), "{answer:?}");
}

fn window(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let mut driftd = home.start();
    driftd.post("?wait=30", &message("1", "aaaaaa", "finished"));
    wait_for_deployment(&mut driftd, "aaaaaa", "finished");

    let started = driftd.post("", &message("2", "bbbbbb", "started"));
    assert_eq!(started.status, 202, "{started:?}");
    wait_for_deployment(&mut driftd, "bbbbbb", "started");
    driftd.mark();
    let other = swappiness.other();
    swappiness.write(other);
    let change = driftd.wait_for_kind("change", KEY);
    assert_eq!(change["in_window"], true, "{change}");
    assert_eq!(change["commit"], "bbbbbb", "{change}");
    assert_eq!(change["deployment"], started.body["deployment"], "{change}");
    driftd.fence_in_window();
    driftd.assert_nothing_opened(KEY);

    // What the deployment set is what it is captured with.
    let finished = driftd.post("?wait=30", &message("3", "bbbbbb", "finished"));
    assert_eq!((finished.status, finished.body["status"].as_str()), (200, Some("SYNCED")), "{finished:?}");
    driftd.mark();
    swappiness.restore();
    let opened = driftd.wait_for_opened(KEY, &swappiness.original);
    assert_eq!(opened["expected"], other, "{opened}");
    assert_eq!(opened["commit"], "bbbbbb", "{opened}");
    assert_eq!(opened["declared_commit"], "bbbbbb", "{opened}");
    assert_eq!(opened["cause"], "changed after the deploy", "{opened}");
}

fn not_captured_anew(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = Home::new(mode, &Settings::rules(&[short()]));
    let mut driftd = home.start();
    let first = driftd.post("?wait=30", &message("1", "aaaaaa", "finished"));
    assert_eq!(first.status, 200, "{first:?}");
    let other = swappiness.other();
    swappiness.write(other);
    let opened = driftd.wait_for_opened(KEY, other);
    assert_eq!(opened["declared_commit"], "aaaaaa", "{opened}");
    driftd.mark();
    // The same commit again, and then another: the drift is nobody's new normal.
    for (id, commit) in [("2", "aaaaaa"), ("3", "bbbbbb")] {
        let answer = driftd.post("?wait=30", &message(id, commit, "finished"));
        assert_eq!(answer.status, 409, "{commit}: {answer:?}");
        assert_eq!(answer.body["findings"][0]["finding"], opened["finding"], "{commit}: {answer:?}");
    }
    swappiness.restore();
    let healed = driftd.wait_for_healed(KEY);
    assert_eq!(healed["finding"], opened["finding"], "{healed}");
    driftd.assert_nothing_opened(KEY);
}
