//! Values that come with a message: from whom they are taken, in what they may come.

use super::*;
use crate::http::door::Opened;

const DOOR: &str = "
  senders:
    plain: { secrets: DIR/secret }
    values: { sender: plain, secrets: DIR/new, declared: true, apps: web }
    standard: { secrets: DIR/whsec, declared: true }
    cloudevents: { tokens: DIR/token, declared: true }
";

/// A message of the plain form with values, and more.
fn body(more: &str) -> String {
    format!(r#"{{"commit":"a1b2c3","app":"web"{more},"declared":{{"vm.swappiness":10}}}}"#)
}

const DATED: &str = r#","timestamp":"2026-08-01T10:15:00Z""#;

/// What becomes of a message: the values that are taken, or why it is not.
fn values(path: &str, lines: &[(&'static str, String)], body: &str) -> String {
    let (_dir, door) = built(DOOR);
    let headers: HeaderMap = lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let asked = door.at(path).and_then(|place| place.claim(&headers));
    match asked.and_then(|asked| asked.open(&headers, Bytes::copy_from_slice(body.as_bytes()), now())) {
        Ok(Opened { what: Opening::Announced(announcement), .. }) => {
            let declared = announcement.declared.iter().flat_map(|declared| declared.iter());
            declared.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        }
        Ok(opened) => format!("{opened:?}"),
        Err(refused) => format!("{} {}", refused.status.as_u16(), refused.reason),
    }
}

/// The proof of the plain form, by the secret of the sender that may declare.
fn by_values(body: &str) -> Lines {
    let line = header(&Secret::new(b"next").unwrap(), body.as_bytes());
    vec![("X-Hub-Signature-256", line.split_once(": ").unwrap().1.to_owned())]
}

#[track_caller]
fn check(body: &str, wanted: &str) {
    assert_eq!(values("/webhook/gitops", &by_values(body), body), wanted);
}

#[test]
fn values_come_from_credentials_that_may_declare_and_from_no_others() {
    check(&body(DATED), "vm.swappiness=10");
    let dated = body(DATED);
    insta::assert_snapshot!(values("/webhook/gitops", &proof(HUB, dated.as_bytes()), &dated), @"
    403 `declared` came with the message, and `plain` may not send it
    hint: leave it out, or set `declared: true` for `plain` under `senders:` of `webhook`
    ");
    // That there are none is said too, and is refused like some.
    let none = r#"{"commit":"a1b2c3","timestamp":"2026-08-01T10:15:00Z","declared":{}}"#;
    let told = values("/webhook/gitops", &proof(HUB, none.as_bytes()), none);
    assert!(told.starts_with("403 `declared` came"), "{told}");
    // What the credentials are for bounds what they declare for.
    let other = body(DATED).replace("web", "db");
    let told = values("/webhook/gitops", &by_values(&other), &other);
    assert!(told.starts_with("403 `values` may not deliver this"), "{told}");
}

#[test]
fn values_must_be_dated_and_come_when_they_are_in_force() {
    check(&body(""), "400 the message has `declared` and no time\nhint: send a `timestamp` with it");
    check(
        &body(&format!(r#"{DATED},"phase":"started""#)),
        "400 the message has `declared` and the phase `started`\nhint: send `declared` with the phase `finished`",
    );
}

#[test]
fn cloudevents_and_standard_webhooks_carry_values_in_the_form() {
    let token = || proof(Scheme::Bearer, b"");
    let dated = body(DATED);
    let event = format!(r#"{{"specversion":"1.0","type":"deploy","source":"/ci","id":"7","data":{dated}}}"#);
    let structured = [token(), vec![("Content-Type", "application/cloudevents+json".into())]].concat();
    assert_eq!(values("/webhook/gitops", &structured, &event), "vm.swappiness=10");
    let attributes = ["ce-specversion", "ce-id", "ce-source"].map(|name| (name, "1".to_owned()));
    let binary = [token(), attributes.to_vec()].concat();
    assert_eq!(values("/webhook/gitops", &binary, &dated), "vm.swappiness=10");
    // The time of a Standard Webhook is in its headers.
    let data = format!(r#"{{"type":"deploy.succeeded","data":{}}}"#, body(""));
    let signed = proof(Scheme::Standard, data.as_bytes());
    assert_eq!(values("/webhook/gitops", &signed, &data), "vm.swappiness=10");
}

#[test]
fn a_rule_a_remedy_and_a_key_that_names_a_program_are_refused_and_told() {
    for (more, wanted) in [
        (
            r#","remedy":"revert""#,
            "400 `remedy` came with the message, and only the host's own configuration may say that\nhint: leave it out",
        ),
        (
            r#","drift_rules":{"a":{"keys":"vm.swappiness","remedy":"revert"}}"#,
            "400 `drift_rules` came with the message, and only the host's own configuration may say that\nhint: leave it out",
        ),
    ] {
        check(&body(&format!("{DATED}{more}")), wanted);
    }
    let with = |values: &str| body(DATED).replace(r#"{"vm.swappiness":10}"#, values);
    let told = |values: &str| self::values("/webhook/gitops", &by_values(&with(values)), &with(values));
    let remedy = told(r#"{"vm.swappiness":{"expect":10,"remedy":"revert"}}"#);
    assert!(remedy.contains("neither a text nor a whole number"), "{remedy}");
    for key in ["kernel.core_pattern", "/proc/sys/kernel/modprobe", "kernel/poweroff_cmd"] {
        let program = told(&format!(r#"{{"{key}":"/bin/sh"}}"#));
        assert!(program.starts_with("400 ") && program.contains("names a program"), "{program}");
    }
}
