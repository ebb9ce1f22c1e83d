//! Claims about the commands that read the store, over a day as a host records it.

use insta::assert_snapshot;
use tempfile::TempDir;

use super::{arguments::CONFIG, *};
use crate::{
    alerts::Output,
    model::{Entry, Expected, Key, Kind, Snapshot, Source},
    store::{Batch, Filter, Store, Work},
};

const FINDING: &str = r#""kind":"finding","finding":"f","key":"vm.swappiness","rule":"swappiness","severity":"critical",
    "expected":"60","previous":"60","requested":null,"commit":"a1b2c3","declared_commit":null,
    "declared_by":{"file":"driftd.yaml","line":7},"cause":"changed after the deploy","seen_by":"kprobe",
    "deployment":"d1","opened":"2026-08-01T10:02:00Z""#;
const WRITER: &str = r#"{"pid":4242,"tid":4242,"comm":"sy\u001b[2Jsctl","uid":0,"login_uid":1000,"session_id":3,
    "parent_pid":4200,"parent_comm":"bash","cgroup_id":1}"#;

/// A deployment, its verdict, a change that drifts and is put back, a touch, and a deployment that broke off.
fn day() -> TempDir {
    let of = |time: &str, rest: &str| -> Entry {
        serde_json::from_str(&format!(r#"{{"time":"2026-08-01T{time}Z",{rest}}}"#)).unwrap()
    };
    let news = |id: &str, commit: &str, status: &str| {
        format!(
            r#""kind":"deployment","deployment":"{id}","commit":"{commit}","app":"web","environment":null,
            "status":"{status}","undated":false"#
        )
    };
    let change = |from: &str, to: &str, writer: &str| {
        format!(
            r#""kind":"change","key":"vm.swappiness","previous":"{from}","requested":null,"actual":"{to}",
            "writer":{writer},"seen_by":"kprobe","commit":"a1b2c3","deployment":"d1","in_window":false,"writes":1"#
        )
    };
    let entries = vec![
        of("09:59:00", &change("100", "60", "null").replace("\"a1b2c3\"", "null")),
        of("10:00:00", &news("d1", "a1b2c3", "finished")),
        of(
            "10:00:01",
            r#""kind":"verdict","deployment":"d1","commit":"a1b2c3","app":"web","status":"SYNCED","keys":2,"findings":[]"#,
        ),
        of("10:02:00", &change("60", "61", WRITER)),
        of(
            "10:02:00.1",
            &format!(r#"{FINDING},"state":"opened","actual":"61","writer":{WRITER},"healed":null"#),
        ),
        of("10:03:00", &news("d2", "b00000", "failed")),
        of("10:04:00", &change("61", "60", "null")),
        of(
            "10:04:00",
            &format!(
                r#"{FINDING},"state":"healed","actual":"60","writer":null,"healed":"2026-08-01T10:04:00Z""#
            ),
        ),
        of(
            "10:05:00",
            r#""kind":"touch","key":"vm.swappiness","actual":"60","requested":"-1","result":-22,"writer":null,
            "seen_by":"kprobe","commit":"a1b2c3","reason":"refused","writes":2"#,
        ),
        of("10:06:00", r#""kind":"loss","what":"records that the ring had no room for","count":3"#),
    ];
    let value = |key: &str, text: Option<&str>| {
        let key: Key = key.parse().unwrap();
        let value = text.map(|text| crate::model::Value::canonical(&key, text));
        (key, value)
    };
    let snapshot = Snapshot {
        deployment: crate::model::DeploymentId("d1".into()),
        baseline: vec![Expected {
            key: "vm.swappiness".parse().unwrap(),
            rule: "swappiness".into(),
            expected: Some("60".into()),
            declared_by: Source { file: "driftd.yaml".into(), line: 7 },
            declared_commit: None,
        }],
        values: vec![value("vm.swappiness", Some("60")), value("link.eth9.mtu", None)],
    };
    let state = tempfile::tempdir().unwrap();
    let (sender, inbox) = tokio::sync::mpsc::channel(1);
    let batch = Batch { entries, snapshots: vec![snapshot], ..Batch::default() };
    assert!(sender.try_send(Work::Record(batch)).is_ok());
    drop(sender);
    Store::open(state.path(), Vec::new()).unwrap().run(inbox, std::sync::mpsc::sync_channel(1).0);
    state
}

const WIDE: Screen = Screen { width: None, colour: false };

/// What a command writes.
fn written(run: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<u8>) -> String {
    let mut out = Vec::new();
    match run(&mut out) {
        Ok(code) => assert_eq!(code, exit::IN_SYNC),
        Err(error) => out.extend(words(&error).bytes()),
    }
    String::from_utf8(out).unwrap()
}

fn deployments(begins: Option<&str>, output: Output) -> String {
    let state = day();
    let store = store(state.path()).unwrap();
    written(|out| deployments::run(&store, begins, 9, output, WIDE, out))
}

#[test]
fn the_history_of_a_key_shows_its_values_with_writers_and_deployments() {
    let state = day();
    let store = store(state.path()).unwrap();
    let shown = |key: &str, screen| {
        written(|out| history::run(&store, &key.parse().unwrap(), 99, Output::Text, screen, out))
    };
    assert_snapshot!(shown("vm.swappiness", WIDE), @r#"
    TIME                  WHAT                  VALUE                  BY                                                 COMMIT
    2026-08-01T09:59:00Z  change                100 -> 60              unattributed                                       -
    2026-08-01T10:00:00Z  deployment            finished of web                                                           a1b2c3
    2026-08-01T10:02:00Z  change                60 -> 61               sy\u{1b}[2Jsctl (pid 4242, uid 0, login uid 1000)  a1b2c3
    2026-08-01T10:02:00Z  FINDING (swappiness)  61, expected 60        sy\u{1b}[2Jsctl (pid 4242, uid 0, login uid 1000)  a1b2c3
    2026-08-01T10:03:00Z  deployment            failed of web                                                             b00000
    2026-08-01T10:04:00Z  change                61 -> 60               unattributed                                       a1b2c3
    2026-08-01T10:04:00Z  healed (swappiness)   60, expected 60        unattributed                                       a1b2c3
    2026-08-01T10:05:00Z  touch, refused        60 (-1 was asked for)  unattributed                                       a1b2c3
    "#);
    assert_snapshot!(shown("/proc/sys/vm/swappiness", Screen { width: Some(80), colour: false }), @r#"
    TIME                  WHAT              VALUE            BY               COMMIT
    2026-08-01T09:59:00Z  change            100 -> 60        unattributed     -
    2026-08-01T10:00:00Z  deployment        finished of web                   a1b2c3
    2026-08-01T10:02:00Z  change            60 -> 61         sy\u{1b}[2Jsct…  a1b2c3
    2026-08-01T10:02:00Z  FINDING (swappi…  61, expected 60  sy\u{1b}[2Jsct…  a1b2c3
    2026-08-01T10:03:00Z  deployment        failed of web                     b00000
    2026-08-01T10:04:00Z  change            61 -> 60         unattributed     a1b2c3
    2026-08-01T10:04:00Z  healed (swappin…  60, expected 60  unattributed     a1b2c3
    2026-08-01T10:05:00Z  touch, refused    60 (-1 was ask…  unattributed     a1b2c3
    "#);
    assert_snapshot!(shown("fs.file-max", WIDE), @r#"fs.file-max: nothing is recorded"#);
}

#[test]
fn the_deployments_are_listed_newest_first_with_their_verdict() {
    assert_snapshot!(deployments(None, Output::Text), @r#"
    TIME                  COMMIT  APP  ENVIRONMENT  STATUS    VERDICT  DEPLOYMENT
    2026-08-01T10:03:00Z  b00000  web  -            failed    -        d2
    2026-08-01T10:00:00Z  a1b2c3  web  -            in force  SYNCED   d1
    "#);
}

#[test]
fn one_deployment_shows_what_was_expected_what_was_in_force_and_what_happened_under_it() {
    assert_snapshot!(deployments(Some("a1b2"), Output::Text), @r#"
    deployment d1: in force
      commit       a1b2c3
      application  web
      ended        2026-08-01T10:00:00Z
      verdict      SYNCED, 2 keys, 0 findings open, at 2026-08-01T10:00:01Z

    at the verdict
    KEY            VALUE   EXPECTED  RULE
    link.eth9.mtu  absent  -         -
    vm.swappiness  60      60        swappiness (driftd.yaml:7)

    under this commit
    2026-08-01T10:02:00Z change     vm.swappiness 60 -> 61, by sy\u{1b}[2Jsctl (pid 4242, uid 0, login uid 1000, parent bash 4200), seen by kprobe, under commit a1b2c3
    2026-08-01T10:02:00Z FINDING    critical: vm.swappiness is 61, expected 60 (rule swappiness, driftd.yaml:7), was 60; changed after the deploy; by sy\u{1b}[2Jsctl (pid 4242, uid 0, login uid 1000, parent bash 4200), seen by kprobe, under commit a1b2c3
    2026-08-01T10:04:00Z change     vm.swappiness 61 -> 60, unattributed, seen by kprobe, under commit a1b2c3
    2026-08-01T10:04:00Z healed     vm.swappiness is 60, expected 60 (rule swappiness)
    "#);
}

#[test]
fn a_deployment_that_is_not_there_or_not_the_only_one_is_an_error_with_the_cure() {
    assert_snapshot!(deployments(Some("c\u{1b}"), Output::Text), @r#"
    no deployment's name or commit begins with `c\u{1b}`
    hint: `driftd deployments` lists them
    "#);
    assert_snapshot!(deployments(Some("d"), Output::Text), @r#"
    2 deployments begin with `d`
    hint: name one of them in full
    TIME                  COMMIT  APP  ENVIRONMENT  STATUS    VERDICT  DEPLOYMENT
    2026-08-01T10:03:00Z  b00000  web  -            failed    -        d2
    2026-08-01T10:00:00Z  a1b2c3  web  -            in force  SYNCED   d1
    "#);
}

#[test]
fn events_are_those_that_the_filter_lets_through() {
    let state = day();
    let filter = Filter { kinds: vec![Kind::Change, Kind::Loss], ..Filter::default() };
    let asked = events::Asked { filter, last: 2, follow: false };
    assert_snapshot!(written(|out| events::run(state.path(), asked, Output::Text, WIDE, out)), @r#"
    2026-08-01T10:04:00Z change     vm.swappiness 61 -> 60, unattributed, seen by kprobe, under commit a1b2c3
    2026-08-01T10:06:00Z loss       3 records that the ring had no room for; everything declared is read again
    "#);
}

#[test]
fn an_export_holds_every_entry_and_what_stands_beside_a_verdict() {
    let state = day();
    let text = written(|out| export::run(&store(state.path())?, Filter::default(), out));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["kind"], &lines[0]["last"]), (&"export".into(), &10.into()));
    let entries: Vec<_> = lines.iter().filter_map(|line| line["entry"].as_i64()).collect();
    assert_eq!(
        entries,
        [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10],
        "one line each, and the snapshot behind its verdict"
    );
    assert_snapshot!(lines[4], @r#"{"baseline":[{"declared_by":{"file":"driftd.yaml","line":7},"declared_commit":null,"expected":"60","key":"vm.swappiness","rule":"swappiness"}],"entry":3,"kind":"snapshot","snapshot":[{"key":"link.eth9.mtu","value":null},{"key":"vm.swappiness","value":"60"}]}"#);
}

#[test]
fn without_a_store_the_cure_is_said() {
    let state = tempfile::tempdir().unwrap();
    let error = words(&store(state.path()).err().unwrap());
    assert_snapshot!(error.replace(&state.path().display().to_string(), "STATE"), @r#"
    there is no store in `STATE`
    hint: `driftd run` makes it; name its configuration by --config
    "#);
}

#[test]
fn a_store_that_cannot_be_looked_into_is_an_error_with_the_cure_of_who_reads() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("file"), "").unwrap();
    let error = words(&store(&state.path().join("file")).err().unwrap());
    assert_snapshot!(error.replace(&state.path().display().to_string(), "STATE"), @r#"
    `STATE/file` cannot be looked into: Not a directory (os error 20)
    hint: run as root, or as the user that driftd runs as
    "#);
}

#[test]
fn where_no_entry_is_what_was_asked_for_it_is_said() {
    let state = day();
    let events = |output| {
        let filter = Filter { commit: Some("zz".into()), ..Filter::default() };
        let asked = events::Asked { filter, last: 9, follow: false };
        written(|out| events::run(state.path(), asked, output, WIDE, out))
    };
    assert_eq!(events(Output::Text), "nothing that is recorded is what was asked for\n");
    assert_eq!(events(Output::Json), "");
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused() {
    let filter = |arguments: &str| {
        let parsed = Arguments::try_parse_from(format!("driftd events {arguments}").split(' ')).unwrap();
        let Command::Events { which, .. } = parsed.command else { panic!() };
        which.filter()
    };
    assert!(filter("--since 2h --until 1h").is_ok());
    assert_snapshot!(filter("--since 1h --until 2h").unwrap_err(), @r#"
    `--until` is not after `--since`, so that nothing can be between them
    hint: `2h` is two hours ago, and comes before `1h`
    "#);
}

#[test]
fn what_moves_the_cursor_is_an_escape_in_every_line_of_an_error() {
    assert_eq!(cleaned("a\u{1b}[2J\nhint: b\u{9b}"), "a\\u{1b}[2J\nhint: b\\u{9b}");
}

#[test]
fn a_configuration_is_known_by_its_whole_path() {
    let path = |named: &str| ConfigFile { config: Some(named.into()) }.path();
    assert_eq!(path("a/t.yaml"), Some(std::env::current_dir().unwrap().join("a/t.yaml")));
    assert_eq!(path("/a/t.yaml"), Some("/a/t.yaml".into()));
}

/// Every command that does something, by its words.
fn commands(of: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
    let within = of.get_subcommands().flat_map(|command| {
        let words = format!("{words} {}", command.get_name());
        match command.has_subcommands() {
            true => commands(command, &words),
            false => vec![(words, command.clone())],
        }
    });
    within.collect()
}

/// The arguments of an example, as a shell would split what stands before its comment and what the shell does with it.
fn arguments(example: &str) -> Vec<String> {
    let ours = ["   ", " | ", " > ", " < "].iter().fold(example, |text, end| text.split(end).next().unwrap());
    let pieces = ours.split('"').enumerate();
    let words = pieces.flat_map(|(number, piece)| match number % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect(),
        _ => vec![piece.to_owned()],
    });
    words.collect()
}

#[test]
fn every_command_shows_examples_and_takes_them() {
    for (words, command) in commands(&Arguments::command(), "driftd") {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  driftd ")).collect();
        assert!(help.starts_with("Examples:\n") && !examples.is_empty(), "{words}: {help}");
        for example in examples {
            let example = format!("driftd {example}");
            assert!(example.starts_with(&words), "{words}: {example}");
            let parsed = Arguments::try_parse_from(arguments(&example));
            assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|error| error.to_string()));
        }
    }
}

#[test]
fn what_init_makes_where_nothing_is_said_is_named() {
    let init = commands(&Arguments::command(), "").into_iter().find(|(words, _)| words == " init").unwrap().1;
    let help = init.clone().render_long_help().to_string();
    assert!(help.contains("The configuration that is made") && help.contains(CONFIG), "{help}");
    assert!(!help.contains("where there is one"), "{help}");
}

/// What clap says to arguments.
#[track_caller]
fn check_arguments(arguments: &str, good: bool) {
    let parsed = Arguments::try_parse_from(format!("driftd {arguments}").split(' '));
    assert_eq!(parsed.is_ok(), good, "{arguments}: {:?}", parsed.err().map(|error| error.to_string()));
}

#[test]
fn each_command_that_the_page_of_the_rules_shows_is_one() {
    let page = include_str!("../../../docs/rules.md");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter_map(|line| line.split('#').next()).collect();
    assert!(!commands.is_empty());
    for command in commands {
        check_arguments(command.trim().strip_prefix("driftd ").unwrap_or(command), true);
    }
}

#[test]
fn arguments_are_checked_before_anything_is_opened() {
    Arguments::command().debug_assert();
    check_arguments(
        "events --since 2h --until 2026-08-01 --kind finding --kind loss --key /proc/sys/vm/swappiness",
        true,
    );
    check_arguments("events --since yesterday", false);
    check_arguments("events --kind nonsense", false);
    check_arguments("events --key nonsense", false);
    check_arguments("history", false);
    check_arguments("adopt vm.swappiness", true);
    check_arguments("adopt vm.swappiness --format patch", true);
    check_arguments("adopt vm.swappiness --accept", true);
    check_arguments("adopt vm.swappiness --accept --format patch", false);
    check_arguments("audit export --since 2026-08-01T10:00", true);
    for shell in ["bash", "zsh", "fish"] {
        check_arguments(&format!("completions {shell}"), true);
    }
    check_arguments("completions cmd", false);
}
