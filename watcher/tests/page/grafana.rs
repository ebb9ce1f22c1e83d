//! The dashboards: what they ask for is there.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::daemon::Daemon;

fn dashboard(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrations/grafana").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().into_iter().flatten()
}

/// All that looks like a metric of ours in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("driftd_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_that_a_dashboard_or_an_alert_asks_for_is_served() {
    let daemon = Daemon::start(0);
    daemon.deliver(r#"{"commit":"a1b2c3d4e5f6","app":"web-backend","id":"1"}"#);
    let served = metrics(&daemon.get("metrics"));
    let rules =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrations/prometheus/driftd.rules.yaml");
    let rules = fs::read_to_string(rules).expect("the rules are there");
    let wanted = metrics(&format!("{}{rules}", dashboard("driftd-prometheus.json")));
    assert!(wanted.len() > 10, "{wanted:?}");
    assert_eq!(wanted.difference(&served).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_column_of_the_dashboard_for_infinity_is_in_the_status() {
    let daemon = Daemon::start(0);
    let rows: Value = serde_json::from_str(&daemon.get("status.json?array=1")).expect("it is JSON");
    let row = rows[0].as_object().expect("a row is an object");
    let dashboard = dashboard("driftd-infinity.json");
    for panel in panels(&dashboard) {
        let target = &panel["targets"][0];
        assert_eq!(target["url"], "${url}/status.json?array=1");
        for column in target["columns"].as_array().expect("it names columns") {
            let selector = column["selector"].as_str().unwrap_or_default();
            let first = selector.split('.').next().unwrap_or_default();
            assert!(row.contains_key(first), "{selector}");
        }
    }
}
