//! What is said of each kind of entry.

use super::*;

fn read(json: &str) -> Entry {
    serde_json::from_str(json).unwrap()
}

#[track_caller]
fn check(json: &str, wanted: &str) {
    let entry = read(json);
    let row = Row { number: 7, entry };
    assert_eq!(line(&row, Output::Text), wanted);
    let json = line(&row, Output::Json);
    assert!(json.starts_with(r#"{"entry":7,"time":""#), "{json}");
    assert_eq!(read(&json), row.entry, "JSON holds all of it");
}

const WRITER: &str = r#"{"pid":4242,"tid":4242,"comm":"sysctl","uid":0,"login_uid":1000,"session_id":3,
    "parent_pid":4200,"parent_comm":"bash","cgroup_id":1}"#;

#[test]
fn a_change_says_from_what_to_what_by_whom_and_under_which_commit() {
    check(
        &format!(
            r#"{{"time":"2026-08-01T10:20:00.5Z","kind":"change","key":"vm.swappiness","previous":"60",
            "requested":"61","actual":"61","writer":{WRITER},"seen_by":"kprobe","commit":"a1b2c3",
            "deployment":"d","in_window":false,"writes":1}}"#
        ),
        "2026-08-01T10:20:00Z change     vm.swappiness 60 -> 61, by sysctl (pid 4242, uid 0, login uid 1000, \
         parent bash 4200), seen by kprobe, under commit a1b2c3",
    );
}

#[test]
fn a_writer_of_a_unit_is_told_with_it() {
    let writer = WRITER.replace('}', r#","unit":"session-3.scope"}"#);
    check(
        &format!(
            r#"{{"time":"2026-08-01T10:20:00Z","kind":"touch","key":"vm.swappiness","actual":"60","requested":"60",
            "result":2,"writer":{writer},"seen_by":"kprobe","commit":null,"reason":"equal","writes":1}}"#
        ),
        "2026-08-01T10:20:00Z touch      vm.swappiness is 60, write equal, by sysctl (pid 4242, uid 0, login uid 1000, \
         parent bash 4200, unit session-3.scope), seen by kprobe",
    );
}

#[test]
fn a_finding_says_all_that_is_needed_to_act() {
    let finding = |state: &str, writer: &str, actual: &str| {
        format!(
            r#"{{"time":"2026-08-01T10:20:00Z","kind":"finding","finding":"f","state":"{state}",
            "key":"vm.swappiness","rule":"swappiness","severity":"critical","expected":"10","actual":{actual},
            "previous":"10","requested":null,"commit":"a1b2c3","declared_commit":null,
            "declared_by":{{"file":"/etc/driftd.yaml","line":7}},"cause":"changed after the deploy",
            "writer":{writer},"seen_by":"sweep","deployment":"d","opened":"2026-08-01T10:20:00Z","healed":null}}"#
        )
    };
    check(
        &finding("opened", "null", "null"),
        "2026-08-01T10:20:00Z FINDING    critical: vm.swappiness is absent, expected 10 (rule swappiness, \
         /etc/driftd.yaml:7), was 10; changed after the deploy; unattributed, seen by sweep, under commit a1b2c3",
    );
    check(
        &finding("healed", WRITER, r#""10""#),
        "2026-08-01T10:20:00Z healed     vm.swappiness is 10, expected 10 (rule swappiness)",
    );
    let fight = |state, more| {
        finding(state, WRITER, r#""10""#)
            .replace("changed after the deploy", "fight")
            .replace(r#""previous""#, r#""detail":"a writes 61, and b writes 10","previous""#)
            .replace(r#""healed":null"#, more)
    };
    check(
        &fight("opened", r#""healed":null"#),
        "2026-08-01T10:20:00Z FINDING    critical: two fight over vm.swappiness, expected 10 (rule swappiness, \
         /etc/driftd.yaml:7): a writes 61, and b writes 10; it is 10 now; seen by sweep, under commit a1b2c3",
    );
    check(
        &fight("healed", r#""healed":"2026-08-01T10:30:00Z","healing":"in sync""#),
        "2026-08-01T10:20:00Z healed     vm.swappiness is 10, expected 10 (rule swappiness); nobody fights over it \
         any more",
    );
    let undeclared = |actual| {
        finding("healed", WRITER, actual).replace("null}", r#"null,"healing":"no longer declared"}"#)
    };
    check(
        &undeclared(r#""61""#),
        "2026-08-01T10:20:00Z undeclared vm.swappiness is 61, and is no longer declared (rule swappiness expected 10)",
    );
    check(
        &undeclared("null"),
        "2026-08-01T10:20:00Z undeclared vm.swappiness is no longer declared (rule swappiness expected 10)",
    );
}

#[test]
fn the_start_says_what_is_watched_how_and_why_and_where_deployments_are_taken() {
    check(
        r#"{"time":"2026-08-01T10:20:00Z","kind":"start","version":"0.1.0","sysctl":"cgroup","link":"netlink",
        "reasons":["no kprobes: missing privileges: CAP_BPF\nhint: run driftd as root"],"keys":6,
        "webhook":"http://127.0.0.1:8787/webhook/gitops"}"#,
        "2026-08-01T10:20:00Z start      driftd 0.1.0 watches 6 keys\n    writes of sysctls: cgroup\n    \
         MTUs: netlink\n    deployments: http://127.0.0.1:8787/webhook/gitops\n    \
         no kprobes: missing privileges: CAP_BPF\n    hint: run driftd as root",
    );
}

#[test]
fn a_name_cannot_move_the_cursor_or_end_the_line() {
    let touch = r#"{"time":"2026-08-01T10:20:00Z","kind":"touch","key":"vm.swappiness","actual":"60",
        "requested":"-1","result":-22,"writer":{"pid":1,"tid":1,"comm":"a\u001b[2J\nb","uid":0,"login_uid":null,
        "session_id":null,"parent_pid":0,"parent_comm":"","cgroup_id":1},"seen_by":"kprobe","commit":null,
        "reason":"refused","writes":3}"#;
    check(
        touch,
        r"2026-08-01T10:20:00Z touch      vm.swappiness is 60, write refused (-1 was asked for) (errno 22), 3 writes, by a\u{1b}[2J\nb (pid 1, uid 0), seen by kprobe",
    );
}

/// The sentence of a verdict over a baseline that is broken so.
fn broken(why: &str) -> String {
    let mut verdict = read(
        r#"{"time":"2026-08-01T10:20:00Z","kind":"verdict","deployment":"d","commit":"a1b2c3","app":null,
        "status":"OUT_OF_SYNC","keys":2,"findings":[]}"#,
    );
    let What::Verdict(given) = &mut verdict.what else { panic!() };
    given.broken = Some(why.to_owned());
    message(&verdict.what)
}

#[test]
fn what_is_broken_is_told_in_a_sentence_by_its_first_mistake() {
    let mistakes = crate::config::parse("m1.yaml", "drift_rulez: []\nstate: a\nring: 3\n").unwrap_err();
    insta::assert_snapshot!(broken(&mistakes.to_string()), @r#"a1b2c3 OUT_OF_SYNC: 2 keys, 0 findings open; what is declared stays as it was: m1.yaml:1:1: found `drift_rulez`, wanted a field of the configuration (+2 more); hint: did you mean `drift_rules`?"#);
    let source = "found no profile `a` in `/etc`\nhint: name a profile of this host, or its file";
    insta::assert_snapshot!(broken(&format!("{source}\n\n{mistakes}")), @r#"a1b2c3 OUT_OF_SYNC: 2 keys, 0 findings open; what is declared stays as it was: found no profile `a` in `/etc` (+3 more); hint: name a profile of this host, or its file"#);
    insta::assert_snapshot!(broken(source), @r#"a1b2c3 OUT_OF_SYNC: 2 keys, 0 findings open; what is declared stays as it was: found no profile `a` in `/etc`; hint: name a profile of this host, or its file"#);
    insta::assert_snapshot!(broken("reading what is declared ended: a\u{1b}"), @r#"a1b2c3 OUT_OF_SYNC: 2 keys, 0 findings open; what is declared stays as it was: reading what is declared ended: a\u{1b}"#);
    assert!(broken(&"x".repeat(10_000)).len() < 1000);
}

#[test]
fn what_was_ignored_says_whose_why_and_how_often() {
    let row = |count: u64| {
        let entry = read(&format!(
            r#"{{"time":"2026-08-01T10:15:00Z","kind":"ignored","sender":"github","reason":"the event is no deployment's","detail":"push","count":{count}}}"#
        ));
        line(&Row { number: 1, entry }, Output::Text)
    };
    assert_eq!(
        row(1),
        "2026-08-01T10:15:00Z ignored    a message of github: the event is no deployment's (push)"
    );
    assert_eq!(
        row(7),
        "2026-08-01T10:15:00Z ignored    7 messages of github: the event is no deployment's (push)"
    );
}
