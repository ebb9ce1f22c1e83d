//! The hub as it is packaged.

use std::fs;

use crate::{
    Scenario,
    host::{json, property, sh, typed},
};

/// The claims.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    claim: "the_hub_runs_as_nobody_in_particular_and_takes_a_status_that_curl_posts",
    run: hub,
}];

/// Its configuration, as packaging/driftd-hub.service says.
const CONFIG: &str = "state: /var/lib/driftd-hub\nhub: { listen: \"127.0.0.1:8444\", plain_http: true, \
                      secrets: /run/credentials/driftd-hub.service/secret }\nhttp: { listen: \"127.0.0.1:9758\" }\n";

/// A status, as pipelines send it.
const STATUS: &str = r#"{"repo":"acme/web","server":"web-01","sync_status":"SYNCED","drift_count":0,"files":[],"last_check":"2026-08-01T10:20:00Z"}"#;

fn hub() {
    fs::write("/etc/driftd/hub.yaml", CONFIG).expect("the configuration can be written");
    fs::write("/tmp/status.json", STATUS).expect("the status can be written");
    sh("install -m 600 /etc/driftd/plain.secret /etc/driftd/hub-secret && systemctl start driftd-hub");
    let user = sh(&format!("ps -o uid= -p {}", property("driftd-hub", "MainPID")));
    assert!(user.trim().parse::<u32>().is_ok_and(|uid| uid >= 61184), "it has a user of its own: {user}");
    sh(
        "curl --silent --show-error --fail-with-body http://127.0.0.1:8444/api/status --data-binary @/tmp/status.json \
        -H \"$(driftd sign --secret /etc/driftd/hub-secret < /tmp/status.json)\"",
    );
    let unsigned =
        typed("curl --silent --fail http://127.0.0.1:8444/api/status --data-binary @/tmp/status.json");
    assert!(!unsigned.status.success(), "who does not sign is refused");
    // What it keeps outlives it.
    sh("systemctl restart driftd-hub");
    let statuses = json("curl --silent --show-error --fail http://127.0.0.1:9758/status.json");
    assert_eq!(
        (statuses[0]["server"].as_str(), statuses[0]["sync_status"].as_str()),
        (Some("web-01"), Some("SYNCED"))
    );
    sh("systemctl stop driftd-hub");
    assert_eq!(property("driftd-hub", "Result"), "success");
}
