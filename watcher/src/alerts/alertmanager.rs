//! What is open as alerts of Prometheus's Alertmanager (its api/v2/openapi.yaml): told again while it is open, and once more
//! with its end when it healed. Nothing here posts.
//!
//! What moves stands in the annotations: another label would be another alert.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    message::{Letterhead, advice, link},
    push::told,
    render::message,
};
use crate::model::{Routing, Status, What};

/// The alerts of what is open, as far as they are for it.
pub fn firing(status: &Status, routing: &Routing, head: &Letterhead) -> Value {
    let alerts = told(status, routing).into_iter().map(|finding| {
        let what = What::Finding(Box::new(finding.clone()));
        let advice = advice(finding);
        let mut annotations = json!({
            "summary": message(&what),
            "expected": finding.expected,
            "declared_by": finding.declared_by.to_string(),
            "finding": finding.finding,
            "look": advice.look,
        });
        // Every annotation is a text: what is not known has none.
        let known = [
            ("actual", finding.actual.as_ref().map(|actual| actual.as_str().to_owned())),
            ("commit", finding.commit.as_ref().map(|commit| commit.as_str().to_owned())),
            ("commit_link", link(&what, head)),
            ("revert", advice.revert),
            ("adopt", advice.adopt),
        ];
        for (name, value) in known {
            if let (Value::Object(annotations), Some(value)) = (&mut annotations, value) {
                annotations.insert(name.into(), value.into());
            }
        }
        json!({
            "labels": {
                "alertname": "KernelStateDrift",
                "server": head.server,
                "key": finding.key.to_string(),
                "rule": finding.rule,
                "severity": finding.severity,
            },
            "annotations": annotations,
            "startsAt": finding.opened,
        })
    });
    alerts.collect()
}

/// What is posted: the alerts there are, and those told before that are no more, with their end.
pub fn body(told: Option<&Value>, firing: &Value, now: Timestamp) -> Value {
    let alerts = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let mut all = alerts(firing);
    let labels: Vec<Value> =
        all.iter().map(|alert| alert.get("labels").cloned().unwrap_or_default()).collect();
    for mut alert in told.map(alerts).unwrap_or_default() {
        let ended = alert.get("labels").is_some_and(|ended| !labels.contains(ended));
        if let (true, Value::Object(fields)) = (ended, &mut alert) {
            fields.insert("endsAt".into(), json!(now));
            all.push(alert);
        }
    }
    Value::Array(all)
}
