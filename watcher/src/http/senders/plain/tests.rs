//! The plain form: what is read of it, and what is refused.

use proptest::prelude::*;

use sha2::{Digest, Sha256};

use super::{super::tests::signed, *};

fn outcome(body: &[u8]) -> Result<Announcement, String> {
    match parse(&HeaderMap::new(), &signed(body)) {
        Ok(Outcome::Deployment(announced)) => Ok(announced.announcement),
        Ok(Outcome::Ignored(ignored)) => panic!("{ignored:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn parsed(body: &str) -> Result<Announcement, String> {
    outcome(body.as_bytes())
}

fn plain(body: &str) -> Announcement {
    let digest = Sha256::digest(body).into();
    Announcement { app: None, digest, ..Announcement::of(Phase::Finished, "a1b2c3") }
}

#[test]
fn the_announced_form_is_read_as_it_stands() {
    let body = r#"{"commit":"a1b2c3","app":"web-backend"}"#;
    assert_eq!(parsed(body).unwrap(), Announcement { app: Some("web-backend".into()), ..plain(body) });
}

#[test]
fn every_field_of_the_form_is_read() {
    let body = r#"{"commit":"A1B2C3","app":"web","phase":"started","id":"run-17","timestamp":"2026-01-31T13:00:00+01:00",
        "environment":"prod","ref":"refs/heads/main","repo":"https://git.example/infra.git","run":{"more":[1]}}"#;
    let wanted = Announcement {
        app: Some("web".into()),
        phase: Phase::Started,
        id: Some("run-17".into()),
        timestamp: Some("2026-01-31T12:00:00Z".parse().unwrap()),
        environment: Some("prod".into()),
        reference: Some("refs/heads/main".into()),
        repo: Some("https://git.example/infra.git".into()),
        ..plain(body)
    };
    assert_eq!(parsed(body).unwrap(), wanted);
}

#[test]
fn nulls_and_empty_texts_are_absent_and_seconds_are_a_time() {
    let body = r#" {"commit":"a1b2c3","app":null,"environment":"","ref":"","timestamp":1769860800} "#;
    let timestamp = Some("2026-01-31T12:00:00Z".parse().unwrap());
    assert_eq!(parsed(body).unwrap(), Announcement { timestamp, ..plain(body) });
}

#[test]
fn the_longest_texts_pass() {
    let (name, url) = ("ü".repeat(NAME), "u".repeat(URL));
    let body = format!(r#"{{"commit":"a1b2c3","app":"{name}","repo":"{url}"}}"#);
    assert_eq!(parsed(&body).unwrap(), Announcement { app: Some(name), repo: Some(url), ..plain(&body) });
}

#[track_caller]
fn check_refused(body: &str, wanted: &str) {
    let error = parsed(body).unwrap_err();
    assert!(error.contains(wanted), "{error}");
    assert!(error.len() < 1024 && !error.contains('\x1b'), "{error}");
}

#[test]
fn what_is_not_of_the_form_is_refused_with_its_reason() {
    for (body, wanted) in [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        (r#"["a1b2c3",null,null,null,null,null,null,null,null]"#, "not a JSON object"),
        (r#""a1b2c3""#, "not a JSON object"),
        ("{", "EOF"),
        ("{}", "missing field `commit`"),
        (r#"{"commit":"a1b2c3"} x"#, "trailing characters"),
        (r#"{"commit":"a1b2c3","commit":"b1b2c3"}"#, "duplicate field `commit`"),
        (r#"{"commit":null}"#, "invalid type: null"),
        (r#"{"commit":1234567}"#, "invalid type: integer"),
        (r#"{"commit":"main"}"#, "in `commit`: `main` is not a commit"),
        (r#"{"commit":"a1b2c"}"#, "in `commit`"),
        (r#"{"commit":"a1b2c3","app":["web"]}"#, "invalid type: sequence"),
        (r#"{"commit":"a1b2c3","phase":"done"}"#, "in `phase`: `done` is none of"),
        (r#"{"commit":"a1b2c3","phase":""}"#, "in `phase`"),
        (r#"{"commit":"a1b2c3","id":""}"#, "`id` is empty"),
        (r#"{"commit":"a1b2c3","id":7}"#, "invalid type: integer `7`"),
        (r#"{"commit":"a1b2c3","timestamp":"yesterday"}"#, "in `timestamp`: `yesterday`"),
        (r#"{"commit":"a1b2c3","timestamp":"2026-01-31T12:00:00"}"#, "in `timestamp`"),
        (r#"{"commit":"a1b2c3","timestamp":""}"#, "in `timestamp`"),
        (r#"{"commit":"a1b2c3","timestamp":1.5}"#, "a whole number of seconds"),
        (r#"{"commit":"a1b2c3","timestamp":1769860800000}"#, "in `timestamp`: `1769860800000`"),
        (r#"{"commit":"a1b2c3","timestamp":18446744073709551615}"#, "in `timestamp`"),
        (r#"{"commit":"a1b2c3","declared":null}"#, "invalid type: null, expected a map of keys and values"),
        (r#"{"commit":"a1b2c3","declared":[1]}"#, "expected a map of keys and values"),
        (r#"{"commit":"a1b2c3","app":"a\u001b[2Jb"}"#, "`app` has a control character"),
        (r#"{"commit":"a1b2c3","ref":"a\nb"}"#, "`ref` has a control character"),
        ("{\"commit\":\"a1b2c3\",\"app\":\"\u{1b}\"}", "control character"),
        (r#"{"commit":"\u001b[2J"}"#, "in `commit`"),
        (r#"{"commit":"a1b2c3","phase":"\u001b[2J"}"#, "in `phase`"),
        (r#"{"commit":"a1b2c3","timestamp":"\u001b[2J"}"#, "in `timestamp`"),
    ] {
        check_refused(body, wanted);
    }
    let long = "x".repeat(100_000);
    for (field, wanted) in [
        ("app", "`app` has 100000 characters, and at most 256"),
        ("id", "`id` has 100000 characters"),
        ("repo", "`repo` has 100000 characters, and at most 1024"),
        ("phase", "in `phase`"),
        ("timestamp", "in `timestamp`"),
    ] {
        check_refused(&format!(r#"{{"commit":"a1b2c3","{field}":"{long}"}}"#), wanted);
    }
    check_refused(&format!(r#"{{"commit":"{long}"}}"#), "in `commit`");
    check_refused(&format!(r#"{{"commit":{{"{long}":1}}}}"#), "invalid type: map");
    check_refused(&format!(r#"{{"commit":"a1b2c3","x":{}"#, "[".repeat(100_000)), "EOF");
}

#[test]
fn values_are_read_in_their_order_by_every_spelling_of_their_keys() {
    let body = r#"{"commit":"a1b2c3","declared":{"vm/swappiness":10,"/sys/class/net/eth0/mtu":"1500",
        "net.ipv4.tcp_rmem":"4096\t131072 6291456","kernel.hostname":"a  b","kernel.printk":-1}}"#;
    let declared = parsed(body).unwrap().declared.unwrap();
    let told: Vec<String> = declared.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let wanted = [
        "vm.swappiness=10",
        "link.eth0.mtu=1500",
        "net.ipv4.tcp_rmem=4096\t131072 6291456",
        "kernel.hostname=a  b",
        "kernel.printk=-1",
    ];
    assert_eq!(told, wanted);
    // None is something else than nothing said: only who may declare says it.
    assert_eq!(parsed(r#"{"commit":"a1b2c3","declared":{}}"#).unwrap().declared.as_deref(), Some(&[][..]));
}

#[test]
fn what_is_no_value_of_a_key_is_refused_with_all_of_the_message() {
    for (declared, wanted) in [
        (r#""swappiness":1"#, "in `declared`: `swappiness`: a sysctl has at least two components"),
        (r#""/etc/shadow":"x""#, "in `declared`: `/etc/shadow`: files below /proc/sys and /sys"),
        (r#""net.ipv4.conf.*.rp_filter":1"#, "keys that are written out, and no pattern"),
        (r#""net.ipv4.conf.eth[01].rp_filter":1"#, "keys that are written out, and no pattern"),
        (r#""net.ipv4.tcp_fastopen_key":"0-0-0-0""#, "a secret is declared by a file of the host"),
        (r#""kernel.core_pattern":"|/bin/x %p""#, "what names a program is declared by a file of the host"),
        (r#""/sys/kernel/uevent_helper":"/x""#, "what names a program"),
        (r#""/sys/firmware/efi/efivars/x":"1""#, "of /sys a message declares files of block, class"),
        (r#""vm.swappiness":1.5"#, "neither a text nor a whole number"),
        (r#""vm.swappiness":{"expect":1,"remedy":"revert"}"#, "neither a text nor a whole number"),
        (r#""vm.swappiness":[1,2]"#, "neither a text nor a whole number"),
        (r#""vm.swappiness":true"#, "neither a text nor a whole number"),
        (r#""vm.swappiness":null"#, "neither a text nor a whole number"),
        (r#""vm.swappiness":"1\n2""#, "a control character"),
        (r#""vm.swappiness":1,"vm/swappiness":1"#, "`vm/swappiness` is there twice"),
        (r#""vm.swappiness":1,"vm.swappiness":1"#, "`vm.swappiness` is there twice"),
        (r#""\u001b[2J":1"#, "in `declared`"),
        (r#""a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1"#, "; and 2 more"),
    ] {
        check_refused(&format!(r#"{{"commit":"a1b2c3","declared":{{{declared}}}}}"#), wanted);
    }
    let long = "1".repeat(4097);
    check_refused(
        &format!(r#"{{"commit":"a1b2c3","declared":{{"vm.swappiness":"{long}"}}}}"#),
        "more than 4096 characters",
    );
    let many: Vec<String> = (0..10_001).map(|number| format!(r#""vm.key{number}":1"#)).collect();
    check_refused(
        &format!(r#"{{"commit":"a1b2c3","declared":{{{}}}}}"#, many.join(",")),
        "more than 10000 values in `declared`",
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = outcome(&body);
    }

    #[test]
    fn no_values_make_the_parser_panic(
        field in "commit|app|phase|id|timestamp|environment|ref|repo|declared|other",
        value in prop_oneof!["\\PC{0,30}", "[0-9TZ:+. -]{0,30}", "-?[0-9]{1,25}(\\.[0-9]{1,3})?(e[0-9]{1,3})?"],
        quoted in any::<bool>(),
    ) {
        let value = if quoted { serde_json::to_string(&value).unwrap() } else { value };
        let _ = parsed(&format!(r#"{{"commit":"a1b2c3","{field}":{value}}}"#));
    }
}
