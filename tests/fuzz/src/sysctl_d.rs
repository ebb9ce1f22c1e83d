//! Each line of sysctl.d declares something, is empty or a comment, or is listed with its number: none gets lost.

use std::collections::BTreeSet;

use watcher::declared::sysctl::{self, Applier};

pub fn feed(text: &str) {
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    let says_something = |line: &str| !line.is_empty() && !line.starts_with(['#', ';']);
    let lines = text.split('\n').map(|line| line.trim_matches(is_space)).zip(1..);
    let wanted: BTreeSet<usize> =
        lines.filter(|(line, _)| says_something(line)).map(|(_, number)| number).collect();
    for applier in [Applier::Systemd, Applier::Procps] {
        let parsed = sysctl::parse(applier, &"s".into(), &"f".into(), text);
        let declared = parsed.lines.iter().map(|line| line.source.line);
        let not_understood = parsed.not_understood.iter().map(|line| line.source.line);
        let told: BTreeSet<usize> = declared.chain(not_understood).collect();
        assert_eq!(told, wanted, "{applier:?}");
        assert_eq!(parsed.lines.len() + parsed.not_understood.len(), wanted.len(), "each of them once");
        for line in &parsed.not_understood {
            assert!(!line.text.contains(char::is_control) && !line.why.is_empty(), "{line:?}");
        }
    }
}
