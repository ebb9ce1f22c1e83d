//! Any text is a configuration, or all its mistakes can be shown, each with a place that is in the text. The same for a
//! map of keys and values.

use watcher::{
    config::{self, Problems},
    declared::Line,
};

pub fn feed(text: &str) {
    if let Err(problems) = config::parse("f", text) {
        check_problems(&problems, text);
    }
    match config::declared(&"s".into(), &"f".into(), text) {
        Ok(lines) => check_lines(&lines, text),
        Err(problems) => check_problems(&problems, text),
    }
}

fn check_problems(problems: &Problems, text: &str) {
    // What some editors put before a text is no part of it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(problems.count() >= problems.iter().count() && problems.iter().count() > 0);
    for problem in problems.iter() {
        let at = problem.span.bytes();
        assert!(text.get(at).is_some(), "{problem:?}");
        let before = text.get(..problem.span.start).unwrap_or_default();
        // YAML ends a line at a carriage return too.
        let lines = before.matches(['\n', '\r']).count() + 1;
        assert!((1..=lines).contains(&problem.span.line), "{problem:?}");
        assert!((1..=before.chars().count() + 1).contains(&problem.span.column), "{problem:?}");
        assert!(!problem.found.is_empty() && !problem.wanted.is_empty(), "{problem:?}");
    }
    let rendered = problems.render(false);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?} is fit for a terminal");
    assert!(!problems.render(true).is_empty());
}

fn check_lines(lines: &[Line], text: &str) {
    let most = text.matches(['\n', '\r']).count() + 1;
    for line in lines {
        assert!((1..=most).contains(&line.source.line), "{line:?}");
    }
}
