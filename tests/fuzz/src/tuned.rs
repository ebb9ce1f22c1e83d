//! What a profile of TuneD says, and what of it is not understood, stands in a line that the text has; and each line that says
//! something is one or the other: none gets lost.

use std::collections::{BTreeMap, BTreeSet};

use watcher::declared::tuned::{Profile, declare};

pub fn feed(text: &str) {
    let profile = Profile::parse(&"f".into(), text);
    let includes: Vec<usize> = profile.includes().iter().map(|include| include.source.line).collect();
    let parsed = declare(&"s".into(), &[profile]);
    let declared = parsed.lines.iter().map(|line| line.source.line);
    let not_understood = parsed.not_understood.iter().map(|line| line.source.line);
    let told: BTreeSet<usize> = declared.chain(not_understood).chain(includes).collect();
    let most = text.lines().count();
    for line in &told {
        assert!((1..=most).contains(line), "{line} of {most}");
    }
    let lost: Vec<usize> = say_something(text).difference(&told).copied().collect();
    assert_eq!(lost, Vec::<usize>::new(), "said, and neither declared nor listed");
    for line in &parsed.not_understood {
        assert!(!line.text.contains(char::is_control) && !line.why.is_empty(), "{line:?}");
    }
}

/// The options that say something about their section, or describe the profile.
const ABOUT: [&str; 9] = [
    "type",
    "enabled",
    "replace",
    "drop",
    "devices",
    "uname_regex",
    "cpuinfo_regex",
    "summary",
    "description",
];

/// The lines that say something of a key, as far as a simple look can tell: an option counts where it is said last, and a
/// section that is switched off, or that lets go of what was said before, is left to the tests of the parser.
fn say_something(text: &str) -> BTreeSet<usize> {
    let mut refused = BTreeSet::new();
    let mut options: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut section: Option<String> = None;
    let mut above: Option<usize> = None;
    for (line, number) in text.lines().zip(1..) {
        let line = before_comment(line);
        let depth = line.chars().take_while(|c| c.is_whitespace()).count();
        let line = line.trim();
        if line.is_empty() || above.is_some_and(|above| depth > above) {
            continue;
        }
        above = None;
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.rsplit_once(']')) {
            section = Some(name.0.to_owned());
            continue;
        }
        match (line.split_once('='), &section) {
            (Some((name, _)), Some(section)) if !name.trim().is_empty() => {
                options.insert((section.clone(), name.trim().to_owned()), number);
                above = Some(depth);
            }
            _ => {
                refused.insert(number);
            }
        }
    }
    let switches = |(_, name): &(String, String)| ["enabled", "replace", "drop"].contains(&name.as_str());
    if options.keys().any(switches) {
        return refused;
    }
    // What a variable is, is told where it is used; what is included was told with its profile.
    let says = |((section, name), _): &(&(String, String), &usize)| {
        section != "variables" && !(section == "main" && name == "include") && !ABOUT.contains(&name.as_str())
    };
    refused.extend(options.iter().filter(says).map(|(_, line)| *line));
    refused
}

/// A line up to its comment: one that begins with `#` or `;`, or what stands behind white space and `#`.
fn before_comment(line: &str) -> &str {
    if line.trim_start().starts_with([';', '#']) {
        return "";
    }
    let comment = line.char_indices().zip(std::iter::once(' ').chain(line.chars()));
    let at = comment.into_iter().find(|((_, c), before)| *c == '#' && before.is_whitespace());
    at.map_or(line, |((at, _), _)| line.get(..at).unwrap_or_default())
}
