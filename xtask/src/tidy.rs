//! `cargo xtask tidy`: the rules of the repository that no compiler knows, as code. Each refusal says where, what and
//! how to put it right; all are found at once.
//!
//! The files are read as text: comments and string literals are blanked out first, so that neither can break a rule
//! nor hide one. That is less than a parser knows, and enough for rules that people keep.

use std::{
    fs,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::process;

/// Which rooms of `watcher/src` a room may name (docs/architecture.md: one way only, vocabulary <- pure decisions <-
/// edges <- wiring). A room that is not here is refused until somebody decides where it stands.
const ROOMS: [(&str, &[&str]); 17] = [
    // For tests alone, so that no pure room may name it.
    ("test_host", &[]),
    ("heap", &[]),
    ("model", &[]),
    ("declared", &["model"]),
    ("judge", &["model", "declared"]),
    ("deploys", &["model"]),
    ("config", &["model", "declared"]),
    ("sources", &["model", "declared", "judge", "config", "kernel", "test_host"]),
    ("kernel", &["model", "test_host"]),
    ("probes", &["model", "kernel", "test_host"]),
    ("remedy", &["model", "kernel", "test_host"]),
    ("store", &["model"]),
    ("alerts", &["model", "config", "store", "test_host"]),
    ("http", &["model", "config", "store"]),
    (
        "watch",
        &["model", "declared", "judge", "deploys", "sources", "kernel", "probes", "remedy", "store", "http"],
    ),
    (
        "daemon",
        &[
            "model",
            "heap",
            "declared",
            "judge",
            "deploys",
            "config",
            "sources",
            "kernel",
            "probes",
            "remedy",
            "store",
            "alerts",
            "http",
            "watch",
            "test_host",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "declared",
            "judge",
            "deploys",
            "config",
            "sources",
            "kernel",
            "probes",
            "store",
            "alerts",
            "http",
            "daemon",
            "test_host",
        ],
    ),
];

/// The rooms that decide, and what they may not name: there is nothing to wait for in them, nothing to open, and no
/// time but the one they are given.
const PURE: [&str; 4] = ["model", "declared", "judge", "deploys"];
const IMPURE: [&str; 9] = [
    "tokio",
    "rusqlite",
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
];

/// Where Rust is.
const CRATES: [&str; 5] = ["watcher/", "watcher-common/", "watcher-ebpf/", "xtask/", "tests/"];

/// How long a file of Rust may be, in lines.
const LONGEST: usize = 600;

/// What no Rust file may contain, and what to do instead. In two parts, so that this file does not.
const REFUSED: [(&str, &str, &str); 5] = [
    ("#[all", "ow(", "say `#[expect(…, reason = \"…\")]`, which complains when it is no longer needed"),
    ("#![all", "ow(", "say `#![expect(…, reason = \"…\")]`, which complains when it is no longer needed"),
    ("#[ign", "ore", "a test that is not run tests nothing: repair it or delete it"),
    ("todo", "!(", "build it, or say in docs/limitations.md that it is not there"),
    ("unimplem", "ented!(", "build it, or say in docs/limitations.md that it is not there"),
];

/// What no tracked file may contain: notes to oneself, hosts of package registries, paths of one machine.
const NOWHERE: [(&str, &str, &str); 7] = [
    ("FIX", "ME", "repair it, or file an issue"),
    ("deb.", "debian.org", "no host of a package registry: derive it from the machine's own configuration"),
    (
        "snapshot.",
        "debian.org",
        "no host of a package registry: derive it from the machine's own configuration",
    ),
    ("static.", "crates.io", "no host of a package registry: cargo knows it"),
    ("index.", "crates.io", "no host of a package registry: cargo knows it"),
    ("/wo", "rk/", "no path of one machine"),
    ("/ro", "ot/", "no path of one machine"),
];

/// The command.
pub fn run() -> Result<ExitCode> {
    let mut problems = Vec::new();
    let files = tracked()?;
    for file in &files {
        let path = crate::root().join(file);
        // A file that is deleted and not yet committed is still tracked; one that is no text has no rules here.
        let Ok(bytes) = fs::read(&path) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        problems.extend(check(file, &text));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    println!("tidy: {} files, {} problems", files.len(), problems.len());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The files that git knows or would take.
pub fn tracked() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(crate::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let list = process::output(&mut git).context("cannot list the files of the repository")?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// All that is wrong with one file.
fn check(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    // Lock files hold what cargo writes.
    if !file.ends_with(".lock") {
        for (line, found, cure) in find(text, &NOWHERE) {
            problems.push(format!("{file}:{line}: `{found}` is refused\nhint: {cure}"));
        }
    }
    if file.ends_with(".rs") && CRATES.iter().any(|dir| file.starts_with(dir)) {
        if !text.starts_with("//!") {
            problems.push(format!(
                "{file}:1: the file does not open with `//!`\nhint: say first what it owns and what it must not do"
            ));
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            problems.push(format!(
                "{file}: {lines} lines, and {LONGEST} are the most\nhint: ask which two things it is doing"
            ));
        }
        let code = code_of(text);
        for (line, found, cure) in find(&code, &REFUSED) {
            problems.push(format!("{file}:{line}: `{found}` is refused\nhint: {cure}"));
        }
        if let Some(room) = room_of(file) {
            problems.extend(check_imports(file, room, &code));
        }
    }
    problems
}

/// Where any of the words stands: line, word, cure. A word that begins with `/` is the beginning of a path.
fn find<'a>(
    text: &'a str,
    words: &'a [(&str, &str, &str)],
) -> impl Iterator<Item = (usize, String, &'a str)> {
    text.lines().enumerate().flat_map(move |(index, line)| {
        words.iter().filter_map(move |(first, second, cure)| {
            let word = format!("{first}{second}");
            let stands = line.match_indices(&word).any(|(at, _)| {
                let before = line.get(..at).unwrap_or_default();
                !(word.starts_with('/')
                    && before.ends_with(|c: char| c.is_alphanumeric() || ".}*]".contains(c)))
            });
            stands.then_some((index + 1, word, *cure))
        })
    })
}

/// The room of a file of `watcher/src`; `None` for `main.rs` and `lib.rs`, which stand above all rooms.
fn room_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("watcher/src/")?;
    let room = inside.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (!["main", "lib"].contains(&room)).then_some(room)
}

/// Whether a file of a room names only rooms it may, and, in a pure room, nothing impure.
fn check_imports(file: &str, room: &str, code: &str) -> Vec<String> {
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!(
            "{file}: the room `{room}` is not in the import table\nhint: add it to ROOMS in xtask/src/tidy.rs, and say \
             in docs/architecture.md what it is for"
        )];
    };
    let mut problems = Vec::new();
    for (line, named) in rooms_named(file, code) {
        if named != room && ROOMS.iter().any(|(name, _)| *name == named) && !allowed.contains(&named.as_str())
        {
            let may = if allowed.is_empty() { "no other room".to_owned() } else { allowed.join(", ") };
            problems.push(format!(
                "{file}:{line}: `{room}` names `{named}`, and may name {may}\nhint: move what is shared down, or the \
                 decision up"
            ));
        }
    }
    // Several names of one room in one line are one problem.
    problems.dedup();
    if PURE.contains(&room) {
        // A path may be imported in braces: `use std::{fs, …}`.
        for (line, path) in paths(code) {
            if let Some(word) = IMPURE.iter().find(|word| names(&path, word)) {
                problems.push(format!(
                    "{file}:{line}: `{word}` is named in `{room}`, which only decides\nhint: take the value, or the \
                     time, as an argument"
                ));
            }
        }
    }
    problems
}

/// Whether a path is, or goes on from, or ends in, the given one.
fn names(path: &str, word: &str) -> bool {
    let (path, word) = (format!("::{path}::"), format!("::{word}::"));
    path.contains(&word)
}

/// The rooms that a file names, with their lines: by `crate::ROOM`, or by as many `super::` as lead there.
fn rooms_named(file: &str, code: &str) -> Vec<(usize, String)> {
    let modules = file.split('/').skip(2).filter(|part| *part != "mod.rs").count();
    let named = paths(code).into_iter().filter_map(|(line, path)| {
        let mut parts = path.split("::").peekable();
        let mut ups = 0;
        while parts.next_if_eq(&"super").is_some() {
            ups += 1;
        }
        let in_crate = ups >= modules || parts.next_if_eq(&"crate").is_some();
        Some((line, parts.next().filter(|_| in_crate)?.to_owned()))
    });
    named.collect()
}

/// Every path in the code, those in braces spelled out: `use a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // The paths that the open braces of a `use` stand after; `None` for any other brace.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut path = String::new();
    let mut line = 1;
    let mut flush = |path: &mut String, open: &[Option<String>], line: usize| {
        if !path.is_empty() {
            let before = open.last().cloned().flatten().unwrap_or_default();
            found.push((line, format!("{before}{path}").trim_end_matches("::").to_owned()));
            path.clear();
        }
    };
    for char in code.chars() {
        match char {
            ':' => path.push(':'),
            c if c.is_alphanumeric() || c == '_' => path.push(c),
            '{' => {
                let before = open.last().cloned().flatten().unwrap_or_default();
                let whole = path.ends_with("::").then(|| format!("{before}{path}"));
                path.clear();
                open.push(whole);
            }
            '}' => {
                flush(&mut path, &open, line);
                open.pop();
            }
            _ => flush(&mut path, &open, line),
        }
        if char == '\n' {
            line += 1;
        }
    }
    found
}

/// The code alone: comments, and what stands in strings, made into blanks; the lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let blank =
        |code: &mut String, part: &str| code.extend(part.chars().map(|c| if c == '\n' { c } else { ' ' }));
    while let Some(char) = rest.chars().next() {
        let length = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => rest.find("*/").map_or(rest.len(), |end| end + 2),
            [b'"', ..] => string_length(rest),
            [b'r', b'"' | b'#', ..] if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                raw_string_length(rest).unwrap_or(0)
            }
            // The character `"`, which opens no string.
            [b'\'', b'"', b'\'', ..] => 3,
            [b'\'', b'\\', b'"', b'\'', ..] => 4,
            _ => 0,
        };
        if length == 0 {
            code.push(char);
            rest = rest.get(char.len_utf8()..).unwrap_or_default();
        } else {
            let (part, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            blank(&mut code, part);
            rest = after;
        }
    }
    code
}

/// The length of the string literal that a text begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string literal that a text begins with, if it does.
fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text.chars().skip(1).take_while(|c| *c == '#').count();
    let body = text.get(1 + hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(2 + hashes + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails unless a file has exactly the problems that contain these words.
    #[track_caller]
    fn check_file(file: &str, text: &str, wanted: &[&str]) {
        let problems = check(file, text);
        assert_eq!(problems.len(), wanted.len(), "{problems:#?}");
        for (problem, wanted) in problems.iter().zip(wanted) {
            assert!(problem.contains(wanted), "{problem} does not say {wanted}");
        }
    }

    #[test]
    fn a_room_names_only_the_rooms_below_it() {
        check_file("watcher/src/judge/mod.rs", "//! x\nuse crate::model::Key;\n", &[]);
        check_file(
            "watcher/src/judge/mod.rs",
            "//! x\nuse crate::store::Row;\n",
            &["judge/mod.rs:2: `judge` names `store`"],
        );
        check_file(
            "watcher/src/watch.rs",
            "//! x\nuse crate::{\n    model::{Key, Value},\n    alerts::{self, Output},\n};\n",
            &["watch.rs:4: `watch` names `alerts`"],
        );
        check_file(
            "watcher/src/kernel/read.rs",
            "//! x\nfn f() -> crate::daemon::D { todo() }\n",
            &["names `daemon`"],
        );
        check_file(
            "watcher/src/store/mod.rs",
            "//! x\n// crate::http is for others\nlet a = \"crate::http\";\n",
            &[],
        );
        check_file(
            "watcher/src/kernel/read.rs",
            "//! x\nuse super::{super::http, Error};\n",
            &["names `http`"],
        );
        check_file("watcher/src/watch.rs", "//! x\nuse super::alerts;\n", &["names `alerts`"]);
        check_file("watcher/src/kernel/read.rs", "//! x\nuse super::store;\n", &[]);
        check_file("watcher/src/main.rs", "//! x\nuse watcher::{cli, http};\n", &[]);
        check_file("watcher/src/attic/mod.rs", "//! x\n", &["`attic` is not in the import table"]);
    }

    #[test]
    fn a_pure_room_names_no_clock_no_file_and_no_runtime() {
        for code in [
            "use tokio::sync::mpsc;",
            "use std::{fmt, fs};",
            "use std::{\n    io::{self, Read},\n};",
            "let now = std::time::Instant::now();",
            "let now = jiff::Timestamp::now();",
            "use std::time::{Duration, SystemTime};",
        ] {
            let problems = check("watcher/src/deploys/ledger.rs", &format!("//! x\n{code}\n"));
            assert!(!problems.is_empty(), "{code}");
            assert_eq!(check("watcher/src/kernel/mod.rs", &format!("//! x\n{code}\n")), Vec::<String>::new());
        }
        for code in
            ["use std::{fmt, time::Duration};", "let fs = instant.now();", "// std::fs", "\"std::fs\";"]
        {
            check_file("watcher/src/deploys/ledger.rs", &format!("//! x\n{code}\n"), &[]);
        }
    }

    #[test]
    fn a_file_opens_with_what_it_owns_and_is_not_too_long() {
        check_file("xtask/src/new.rs", "#![no_std]\n//! x\n", &["does not open with"]);
        check_file("xtask/src/new.rs", "//! x\n#![no_std]\n", &[]);
        check_file("tests/src/long.rs", &"//! x\n".repeat(601), &["601 lines"]);
        check_file("docs/long.md", &"x\n".repeat(601), &[]);
    }

    #[test]
    fn what_hides_a_problem_is_refused() {
        let word = |(first, second, _): &(&str, &str, &str)| format!("{first}{second}");
        for refused in &REFUSED {
            check_file("watcher/src/main.rs", &format!("//! x\n{}\n", word(refused)), &[&word(refused)]);
            check_file("watcher/src/main.rs", &format!("//! x\n// {}\n", word(refused)), &[]);
        }
        for refused in &NOWHERE {
            check_file("README.md", &format!("see {}\n", word(refused)), &[&word(refused)]);
        }
        check_file("README.md", "a path through /proc/1/root/etc is no path of one machine\n", &[]);
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a \"b \\\" c\" d // e\nr#\"f \" g\"# h '\"' i /* j\n */ k\n";
        let code = code_of(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "d", "h", "i", "k"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
