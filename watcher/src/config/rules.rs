//! `drift_rules:`: a name and, in the short form, a string of keys, or, in the full form, a map of fields.

use std::{collections::HashSet, sync::Arc, time::Duration};

use strum::VariantArray;

use super::{
    duration, mute,
    node::{Entry, Name, Node, Tree},
    problem::{Problems, Span, Wrong, quoted},
    remedy, scalar,
};
use crate::model::{
    Bound, Expectation, IfAbsent, InvalidKey, Key, Margin, Pattern, Quantity, Remedy, Rule, Severity, Source,
    TextPattern,
};

pub(super) const FIELDS: [&str; 13] = [
    "keys",
    "expect",
    "one_of",
    "matches",
    "min",
    "max",
    "within",
    "severity",
    "for",
    "settle",
    "if_absent",
    "mute",
    "remedy",
];

const KEYS: &str = "keys with spaces between them";

/// Checks the section. The rules that have no mistake; the others are in `problems`. Each goes when it is checked, so that
/// what comes of ten thousand has room where they were.
pub(super) fn rules(node: Node<'_>, problems: &mut Problems) -> Vec<Rule> {
    match node.tree {
        // All rules commented out.
        Tree::Nothing => Vec::new(),
        Tree::Map(entries) => entries.into_iter().filter_map(|entry| rule(&entry, problems)).collect(),
        Tree::Scalar(_) | Tree::List(_) => {
            let wrong = Wrong::new("a map of rules")
                .hint("a name, then the keys: `limits: \"fs.file-max vm.swappiness\"`");
            problems.push(node.span, node.described(), wrong);
            Vec::new()
        }
    }
}

/// The one warning about keys that move by themselves, under rules that expect what the host had and say not how far from it.
pub(super) fn moving(rules: &[Rule]) -> Option<String> {
    let mut seen = HashSet::new();
    let moving: Vec<String> = rules
        .iter()
        .filter(|rule| matches!(rule.expectation, Expectation::Captured(None)))
        .flat_map(|rule| rule.keys.iter().map(move |key| (key, &rule.name)))
        .filter(|(key, _)| key.moves_by_itself() && seen.insert(*key))
        .map(|(key, rule)| format!("`{key}` (rule `{rule}`)"))
        .collect();
    if moving.is_empty() {
        return None;
    }
    Some(format!(
        "these move by themselves, so they are kept in the snapshot and never judged: {}\nhint: say what is right, with `expect`, `one_of` or `matches`, or how far it may go, with `min`, `max` or `within`",
        moving.join(", ")
    ))
}

#[derive(Default)]
struct Written<'n> {
    keys: Option<&'n Entry<'n>>,
    expect: Option<&'n Entry<'n>>,
    one_of: Option<&'n Entry<'n>>,
    matches: Option<&'n Entry<'n>>,
    min: Option<&'n Entry<'n>>,
    max: Option<&'n Entry<'n>>,
    within: Option<&'n Entry<'n>>,
    severity: Option<&'n Entry<'n>>,
    hold: Option<&'n Entry<'n>>,
    settle: Option<&'n Entry<'n>>,
    if_absent: Option<&'n Entry<'n>>,
    mute: Option<&'n Entry<'n>>,
    remedy: Option<&'n Entry<'n>>,
}

fn rule(entry: &Entry, problems: &mut Problems) -> Option<Rule> {
    check_name(&entry.name, problems);
    let written = match &entry.value.tree {
        // The short form: the rule's value is its keys.
        Tree::Scalar(_) => Written { keys: Some(entry), ..Written::default() },
        Tree::Map(fields) => written(fields, problems),
        Tree::Nothing | Tree::List(_) => {
            let wrong = Wrong::new(format!("{KEYS}, or a map with `keys`"));
            problems.push(entry.value.span, entry.value.described(), wrong);
            return None;
        }
    };
    if written.keys.is_none() {
        let wrong = Wrong::new("`keys` in it").hint("what the rule is about, as in `keys: vm.swappiness`");
        problems.push(entry.name.span, "a rule without `keys`", wrong);
    }
    // Everything is looked at before the first mistake ends the rule.
    let keys = written.keys.and_then(|entry| keys(&entry.value, problems));
    let expectation = expectation(&written, problems);
    let severity = match written.severity {
        Some(entry) => scalar::choice(&entry.value, &severities(), problems),
        None => Some(Severity::default()),
    };
    let hold = duration_or(written.hold, Duration::ZERO, problems);
    let settle = duration_or(written.settle, Rule::DEFAULT_SETTLE, problems);
    let if_absent = match written.if_absent {
        Some(entry) => Some(scalar::choice(&entry.value, &IF_ABSENT, problems)),
        None => None,
    };
    let mute = written.mute.map(|entry| mute::mute(entry, problems));
    let remedy = match written.remedy {
        Some(entry) => remedy::remedy(&entry.value, problems),
        None => Some(Remedy::Notify),
    };
    let ((keys, patterns), expectation) = (keys?, expectation?);
    if let (Some(remedy), Some(entry)) = (remedy, written.remedy) {
        remedy::check(entry.name.span, remedy, &keys, &expectation, problems);
    }
    if has_threshold(&expectation) {
        for (key, span) in &keys {
            check_single(key, *span, problems);
        }
    }
    let declared =
        [written.expect, written.one_of, written.matches, written.min, written.max, written.within];
    // Of `min` and `max` the one that stands above the other.
    let line = declared.iter().flatten().map(|entry| entry.name.span.line).min();
    let line = line.or(written.keys.map(|entry| entry.name.span.line))?;
    // Collected in place, and kept for as long as the daemon runs: without the room that the places took.
    let mut keys: Vec<Key> = keys.into_iter().map(|(key, _)| key).collect();
    keys.shrink_to_fit();
    Some(Rule {
        name: Arc::from(&*entry.name.text),
        keys,
        patterns,
        if_absent: match if_absent {
            Some(if_absent) => Some(if_absent?),
            None => None,
        },
        expectation,
        severity: severity?,
        hold: hold?,
        settle: settle?,
        mute: match mute {
            Some(mute) => Some(mute?),
            None => None,
        },
        remedy: remedy?,
        source: Source { file: problems.file(), line },
        commit: None,
    })
}

/// The fields of the full form.
fn written<'n>(fields: &'n [Entry<'n>], problems: &mut Problems) -> Written<'n> {
    let mut written = Written::default();
    for field in fields {
        match &*field.name.text {
            "keys" => written.keys = Some(field),
            "expect" => written.expect = Some(field),
            "one_of" => written.one_of = Some(field),
            "matches" => written.matches = Some(field),
            "min" => written.min = Some(field),
            "max" => written.max = Some(field),
            "within" => written.within = Some(field),
            "severity" => written.severity = Some(field),
            "for" => written.hold = Some(field),
            "settle" => written.settle = Some(field),
            "if_absent" => written.if_absent = Some(field),
            "mute" => written.mute = Some(field),
            "remedy" => written.remedy = Some(field),
            _ => scalar::unknown(&field.name, "a field of a rule", &FIELDS, problems),
        }
    }
    written
}

/// The severities by their words.
pub(super) fn severities() -> Vec<(&'static str, Severity)> {
    Severity::VARIANTS.iter().map(|severity| (severity.as_str(), *severity)).collect()
}

const IF_ABSENT: [(&str, IfAbsent); 3] =
    [("drift", IfAbsent::Drift), ("ignore", IfAbsent::Ignore), ("wait", IfAbsent::Wait)];

fn duration_or(entry: Option<&Entry>, default: Duration, problems: &mut Problems) -> Option<Duration> {
    match entry {
        Some(entry) => scalar::value(&entry.value, duration::WANTED, problems, duration::parse),
        None => Some(default),
    }
}

fn check_name(name: &Name, problems: &mut Problems) {
    let fits = (1..=64).contains(&name.text.len())
        && name.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !fits {
        let wrong = Wrong::new("a rule's name: 1 to 64 letters, digits, `_` and `-`");
        problems.push(name.span, quoted(&name.text), wrong);
    }
}

/// Keys with their places, and patterns.
type Keys = (Vec<(Key, Span)>, Vec<Pattern>);

/// The keys of a string or a list, each with its place, and the patterns among them.
fn keys(node: &Node, problems: &mut Problems) -> Option<Keys> {
    let mut keys = Vec::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    let mut good = true;
    let items = match &node.tree {
        Tree::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for item in items {
        let Some(text) = scalar::text(item, KEYS, problems) else {
            good = false;
            continue;
        };
        for (word, span) in words(text, item.span, problems) {
            let read = match Pattern::is_one(word) {
                true => Pattern::parse(word).map(|pattern| patterns.push(pattern)),
                false => word.parse::<Key>().map(|key| keys.push((key, span))),
            };
            match read {
                Ok(()) => {}
                Err(error) => {
                    problems.push(span, quoted(&error.found), Wrong::new("a key").hint(error.wanted));
                    good = false;
                }
            }
        }
    }
    if good && keys.is_empty() && patterns.is_empty() {
        let found = if matches!(node.tree, Tree::List(_)) { "an empty list" } else { "an empty text" };
        problems.push(node.span, found, Wrong::new("at least one key"));
        return None;
    }
    let mut seen = HashSet::new();
    // One alone is there once, and most rules have one: no table is made for it.
    let several = if keys.len() > 1 { keys.as_slice() } else { &[] };
    for (key, span) in several {
        if !seen.insert(key) {
            let wrong = Wrong::new("each key once in a rule");
            problems.push(*span, format!("{} a second time", quoted(&key.to_string())), wrong);
        }
    }
    good.then_some((keys, patterns))
}

/// The words of a scalar with their places. What stands in the file can differ from the value by quotes, escapes
/// and line breaks, but in their order the words are there; a word that is not, because of an escape, has the
/// place of the whole.
fn words<'n>(text: &'n str, whole: Span, problems: &Problems) -> Vec<(&'n str, Span)> {
    let raw = problems.slice(whole.bytes());
    // Most are one key as it stands, and that is seen sooner than a search for white space ends.
    if raw == text && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return vec![(text, whole)];
    }
    let mut place = whole;
    let mut read = 0;
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let Some((skipped, _)) = raw.get(read..).and_then(|rest| rest.split_once(word)) else {
            words.push((word, whole));
            continue;
        };
        for c in skipped.chars() {
            match c {
                '\n' => (place.line, place.column) = (place.line + 1, 1),
                _ => place.column += 1,
            }
        }
        place.start += skipped.len();
        place.end = place.start + word.len();
        words.push((word, place));
        read += skipped.len() + word.len();
        place.start = place.end;
        place.column += word.chars().count();
    }
    words
}

/// What the rule expects; what the host had, where it says nothing. A value with a mistake reads as absent: with
/// its problem noted, nobody will see this rule.
fn expectation(written: &Written<'_>, problems: &mut Problems) -> Option<Expectation> {
    refuse_clashes(written, problems);
    let within = written.within.and_then(|entry| scalar::value(&entry.value, MARGIN, problems, margin));
    let one_of = written.one_of.and_then(|entry| one_of(&entry.value, problems));
    let matches = written.matches.and_then(|entry| matches(&entry.value, problems));
    let share = share(written, problems);
    let min = written.min.filter(|_| share.is_none()).and_then(|entry| quantity(entry, problems));
    let max = written.max.filter(|_| share.is_none()).and_then(|entry| quantity(entry, problems));
    if let (Some(least), Some(most), Some(entry)) = (&min, &max, written.max)
        && least > most
    {
        let wrong = Wrong::new(format!("at least the `min` of {}", quoted(&least.to_string())));
        problems.push(entry.value.span, format!("a `max` of {}", quoted(&most.to_string())), wrong);
    }
    match written.expect {
        Some(expect) if written.within.is_some() => {
            let near = quantity(expect, problems)?;
            Some(Expectation::Near(near, within?))
        }
        Some(expect) => Some(Expectation::Equal(equal(&expect.value, problems)?)),
        None if written.one_of.is_some() => Some(Expectation::OneOf(one_of?)),
        None if written.matches.is_some() => Some(Expectation::Matches(matches?)),
        None if share.is_some() => share?,
        None if min.is_some() || max.is_some() => Some(Expectation::Range { min, max }),
        None => Some(Expectation::Captured(within)),
    }
}

/// Notes each kind of expectation that stands next to another one.
fn refuse_clashes(written: &Written<'_>, problems: &mut Problems) {
    let range = written.min.or(written.max);
    let mut clash = |entry: &Entry, other: &Entry| {
        let wrong = Wrong::new("one kind of expectation in a rule").hint(
            "`expect`, `one_of`, `matches`, `min` with `max`, or `within`, alone or with `expect`; two rules may share a key",
        );
        let found = format!("`{}` next to `{}`", entry.name.text, other.name.text);
        problems.push(entry.name.span, found, wrong);
    };
    let mut kinds = [written.expect, written.one_of, written.matches, range].into_iter().flatten();
    if let Some(first) = kinds.next() {
        kinds.for_each(|other| clash(other, first));
    }
    if let (Some(within), Some(other)) = (written.within, written.one_of.or(written.matches).or(range)) {
        clash(within, other);
    }
}

/// A bound that is a part of another key: `None` where there is none, and `Some(None)` where it has a mistake.
fn share(written: &Written<'_>, problems: &mut Problems) -> Option<Option<Expectation>> {
    let of = |entry: &Entry| matches!(&entry.value.tree, Tree::Scalar(text) if text.contains("% of "));
    let (bound, entry) = [(Bound::Least, written.min), (Bound::Most, written.max)]
        .into_iter()
        .find_map(|(bound, entry)| Some((bound, entry.filter(|entry| of(entry))?)))?;
    if let (Some(_), Some(other)) = (written.min, written.max) {
        let wrong = Wrong::new("one bound in a rule where it is a part of another key")
            .hint("two rules may share a key: one with `min`, one with `max`");
        problems.push(other.name.span, "`max` next to `min`", wrong);
    }
    let read = scalar::value(&entry.value, SHARE, problems, |text| {
        let wrong = || Wrong::new(SHARE).hint("at most three digits after the point, and nothing negative");
        let (part, key) = text.split_once("% of ").ok_or_else(wrong)?;
        let thousandths = percent(part.trim()).ok_or_else(wrong)?;
        let of: Key = key.trim().parse().map_err(|error: InvalidKey| Wrong::new(SHARE).hint(error.wanted))?;
        match of {
            // What can be read at once, whenever the other one is judged.
            Key::Sysctl { .. } | Key::Meminfo { .. } if !of.is_secret() => match single(&of) {
                Ok(()) => Ok(Expectation::Share { bound, thousandths, of }),
                Err(wanted) => Err(Wrong::new(format!("a part of {wanted}"))),
            },
            _ => Err(Wrong::new("a part of a sysctl, or of a field of /proc/meminfo")),
        }
    });
    Some(read)
}

const SHARE: &str = "a part of another key, as in `95% of /proc/meminfo:CommitLimit`";

fn quantity(entry: &Entry, problems: &mut Problems) -> Option<Quantity> {
    const WANTED: &str = "a number or a size such as `2GiB`";
    scalar::value(&entry.value, WANTED, problems, |text| match text.strip_suffix('%') {
        // In `expect` a part is of nothing.
        Some(part) if matches!(&*entry.name.text, "min" | "max") && percent(part.trim_end()).is_some() => {
            Err(Wrong::new(WANTED)
                .hint(format!("a part is of another key, named behind it: `{text} of KEY`")))
        }
        _ => scalar::quantity(text),
    })
}

fn equal(node: &Node, problems: &mut Problems) -> Option<Box<str>> {
    let (wanted, hint) = match &node.tree {
        Tree::Scalar(text) => return Some((&**text).into()),
        Tree::Nothing => ("a value", "an empty value is written `\"\"`, and the word `null` in quotes"),
        Tree::List(_) | Tree::Map(_) => (
            "one value",
            "several numbers in one value: `expect: \"4096 131072 6291456\"`; several values allowed: `one_of`",
        ),
    };
    problems.push(node.span, node.described(), Wrong::new(wanted).hint(hint));
    None
}

fn one_of(node: &Node, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let items = match &node.tree {
        Tree::List(items) if !items.is_empty() => items,
        tree => {
            let found = if matches!(tree, Tree::List(_)) { "an empty list".into() } else { node.described() };
            problems.push(node.span, found, Wrong::new("a list of values, as in `[1, 2]`"));
            return None;
        }
    };
    let values: Vec<_> = items.iter().map(|item| equal(item, problems)).collect();
    values.into_iter().collect()
}

const MATCHES: &str = "a regular expression, as in `cubic|bbr`";

fn matches(node: &Node, problems: &mut Problems) -> Option<TextPattern> {
    scalar::value(node, MATCHES, problems, |text| {
        TextPattern::parse(text).map_err(|why| {
            Wrong::new(MATCHES).hint(format!("{why}; a letter that means something is itself behind `\\`"))
        })
    })
}

const MARGIN: &str = "a part such as `5%`, or a quantity such as `64MiB`";

fn margin(text: &str) -> Result<Margin, Wrong> {
    let wrong = || Wrong::new(MARGIN).hint("at most three digits after the point, and nothing negative");
    match text.strip_suffix('%') {
        Some(part) => percent(part.trim_end()).map(Margin::Percent).ok_or_else(wrong),
        None => match text.parse::<Quantity>() {
            Ok(quantity) if quantity.thousandths() >= 0 => Ok(Margin::Absolute(quantity)),
            _ => Err(wrong()),
        },
    }
}

/// A part in thousandths of a percent.
fn percent(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(format!("{fraction:0<3}").parse().ok()?)
}

fn has_threshold(expectation: &Expectation) -> bool {
    match expectation {
        Expectation::Captured(margin) => margin.is_some(),
        Expectation::Range { .. } | Expectation::Share { .. } | Expectation::Near(..) => true,
        Expectation::Equal(_) | Expectation::OneOf(_) | Expectation::Matches(_) => false,
    }
}

/// Refuses under a threshold what is known to be no single number: such a rule would never judge anything.
fn check_single(key: &Key, span: Span, problems: &mut Problems) {
    if let Err(wanted) = single(key) {
        let found = format!("the whole of {} under a threshold", quoted(&key.path()));
        problems.push(span, found, Wrong::new(wanted));
    }
}

/// Whether a key may be one number.
///
/// # Errors
/// It is known to be none, and what would be one.
fn single(key: &Key) -> Result<(), &'static str> {
    match key {
        Key::NetDev { counter: None } => Err("one counter, as in `/proc/net/dev:eth0.rx_dropped`"),
        Key::Sysctl { name, column: None } if &**name == "fs/file-nr" => {
            Err("one column, as in `/proc/sys/fs/file-nr:allocated`")
        }
        Key::Sysctl { column: None, .. } if key.is_literal() => {
            Err("a key whose value is a number, not a text")
        }
        _ => Ok(()),
    }
}
