//! Files that nobody means as a configuration: answered at once, with a message, by no panic.

use std::fs;

use proptest::prelude::*;

use super::{
    super::{Config, MAX_FILE, Place, Problems, load, parse, socket_of, state_of},
    good,
};

#[track_caller]
fn check_hostile(text: &str, said: &str) {
    let problems = parse("f", text).unwrap_err();
    assert!(problems.iter().count() <= Problems::MOST_TOLD);
    let rendered = problems.to_string();
    assert!(rendered.len() < 100_000, "{} bytes are no message", rendered.len());
    assert!(rendered.contains(said), "{rendered}");
}

#[test]
fn a_hostile_file_is_answered_with_a_message_of_bounded_size() {
    check_hostile(&"[".repeat(100_000), "recursion limit exceeded");
    check_hostile(&"- ".repeat(100_000), "recursion limit exceeded");
    check_hostile(&"{a: ".repeat(100_000), "recursion limit exceeded");
    let chain: String = (1..50_000).map(|i| format!("- &a{i} [*a{}]\n", i - 1)).collect();
    check_hostile(&format!("- &a0 x\n{chain}"), "unfold to too many values");
    let bomb: String = (1..40).map(|i| format!("- &a{i} [*a{0}, *a{0}, *a{0}]\n", i - 1)).collect();
    check_hostile(&format!("- &a0 x\n{bomb}"), "unfold to too many values");
    let fields: String = (0..20_000).map(|i| format!("a{i}: 1, ")).collect();
    check_hostile(&format!("{{{fields}}}"), "20000 mistakes in f, 100 of them shown");
    check_hostile(&"a".repeat(MAX_FILE), "found `aaaa");
}

#[test]
fn of_a_long_line_only_the_neighbourhood_is_shown_with_the_true_place() {
    let text = format!("{{state: /a,{}sokket: /b, ring: 4KiB,{}}}", " ".repeat(500), " ".repeat(500));
    let shown = parse("f", &text).unwrap_err().to_string();
    assert!(shown.contains(" --> f:1:512\n") && shown.contains("sokket: /b, ring: 4KiB"), "{shown}");
    assert!(shown.lines().all(|line| line.len() < 200), "{shown}");
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_refused_with_the_cure() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("driftd.yaml");
    let told =
        || load(&file).unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR");

    insta::assert_snapshot!(told(), @r#"
    cannot read `DIR/driftd.yaml`: No such file or directory (os error 2)
    hint: name a file that exists; an empty one means all defaults
    "#);
    fs::write(&file, b"# fine\n#\xc3\xa9 \xff\n").unwrap();
    insta::assert_snapshot!(told(), @r#"
    found the byte 0xff at DIR/driftd.yaml:2:4, wanted UTF-8 text
    hint: convert the file, as with `iconv -t UTF-8`
    "#);
    fs::write(&file, vec![b'#'; MAX_FILE + 1]).unwrap();
    insta::assert_snapshot!(told(), @r#"
    found more than 1048576 bytes in `DIR/driftd.yaml`, wanted a configuration
    hint: name the right file
    "#);
    fs::write(&file, "sweep: 5").unwrap();
    insta::assert_snapshot!(told(), @r#"
    error: found `5`, wanted a duration such as `30s`
     --> DIR/driftd.yaml:1:8
      |
    1 | sweep: 5
      |        ^
      |
      = hint: add the unit: `5s`

    1 mistake in DIR/driftd.yaml
    "#);
    fs::write(&file, vec![b'#'; MAX_FILE]).unwrap();
    let loaded = load(&file).unwrap();
    assert_eq!(loaded, Config { file: loaded.file.clone(), ..good("") });
}

#[test]
fn colour_is_there_only_when_it_is_asked_for() {
    for text in ["sweep: \"\\e[31m60\"", "sweep: \"\u{1b}[31m60\""] {
        let problems = parse("f", text).unwrap_err();
        assert!(problems.render(true).contains('\u{1b}'));
        assert!(!problems.render(false).contains('\u{1b}'), "of {text:?}");
    }
}

#[test]
fn what_a_file_says_does_nothing_to_a_terminal() {
    for text in [
        "sweep: \u{9b}31m60",
        "\u{9b}31m: [",
        "? \u{82}\n]\u{7f}\u{85}",
        "\u{85}%\u{1}",
        "a: \"\\a\\e\\N\\x9b\"",
    ] {
        let shown = parse("f", text).unwrap_err().render(false);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[test]
fn where_the_daemon_answers_and_where_its_store_is_are_known_whatever_else_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("driftd.yaml");
    let usual = "/run/driftd/driftd.sock";
    for (text, wanted, is_doubtful) in [
        ("", usual, false),
        ("sweep: 1m\n", usual, false),
        ("socket: /run/a.sock\n", "/run/a.sock", false),
        ("\u{feff}socket: /run/a.sock\n", "/run/a.sock", false),
        ("nonsense: 1\nsocket: /run/a.sock\ndrift_rules: 7\n", "/run/a.sock", false),
        // The file may mean another place than the one that is taken.
        ("nonsense: 1\nsocket: /run/a.sock\ndrift_rules: [\n", usual, true),
        ("socket: relative\n", usual, true),
        ("socket:\n", usual, true),
        ("[1, 2]\n", usual, true),
        ("socket\n", usual, true),
    ] {
        let place = |path: &str| Place { path: path.into(), is_doubtful };
        fs::write(&file, text).unwrap();
        assert_eq!(socket_of(&file).unwrap(), place(wanted), "{text}");
        fs::write(&file, text.replace("socket", "state")).unwrap();
        let wanted = if wanted == usual { "/var/lib/driftd" } else { wanted };
        assert_eq!(state_of(&file).unwrap(), place(wanted), "{text}");
    }
    assert!(socket_of(&directory.path().join("none")).is_err());
}

/// Pieces that configurations are made of, in any order: nearer to the doors than random bytes.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "drift_rules:", "webhook:", "keys:", "expect:", "one_of:", "min:", "within:", "for:", "listen:", "secrets:",
            "state:", "sweep:", "r:", "vm.swappiness", "/proc/net/dev", "5%", "1s", "2GiB", "/a", "é", "\u{feff}",
        ]),
        6 => proptest::sample::select(vec![
            " ", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ",", ": ", "\"", "'", "|\n", ">-\n", "#", "&a ", "*a",
            "!t ", "? ", "---\n", "\t", "\r\n", "\\", "%", "~", "\0",
        ]),
        1 => Just("\u{2028}"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_room_panic_and_every_mistake_has_its_place(
        text in prop_oneof![3 => yamlish(), 1 => "\\PC{0,60}", 1 => ".{0,60}"],
    ) {
        if let Err(problems) = parse("f", &text) {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert!(problems.count() > 0);
            for problem in problems.iter() {
                prop_assert!(text.get(problem.span.bytes()).is_some(), "{:?}", problem.span);
                prop_assert!(problem.span.line >= 1 && problem.span.column >= 1);
                // YAML ends a line at a lone carriage return too.
                let line = text.split_inclusive(['\r', '\n']).nth(problem.span.line - 1);
                prop_assert!(line.is_some() || text.trim().is_empty(), "{:?}", problem.span);
            }
            prop_assert!(problems.render(false).contains("f:"));
            problems.render(true);
        }
    }
}
