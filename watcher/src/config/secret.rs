//! Where the file with a secret is named: what stands there may be the secret itself, and is never shown then.
//!
//! A file that exists is not looked for here; nothing here knows what a secret opens. What is shown of a file goes through
//! [`hide`], which knows its tree, and through [`begins`], which needs none.

use std::path::{Path, PathBuf};

use super::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar,
};

/// The fields that name such files.
const FIELDS: [&str; 7] = ["secrets", "secret", "tokens", "token", "basic", "password", "url_file"];

/// The sections at the top in which there are such fields.
const BEARING: [&str; 3] = ["webhook", "hub", "alerts"];

/// The sections whose fields name such files, below names of the user's own.
const SECTIONS: [&str; 2] = ["senders", "sinks"];

/// The absolute path of a file with a secret. The words are those of every path; what was found is not cited.
pub(super) fn file(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
    const WANTED: &str = "an absolute path";
    let text = scalar::text(node, WANTED, problems)?;
    let path = Path::new(text);
    if path.is_absolute() && !text.contains('\0') {
        return Some(path.to_owned());
    }
    let wrong = Wrong::new(WANTED).hint("the file that holds it: the secret itself does not stand here");
    problems.push(node.span, "a text that is no path", wrong);
    None
}

/// Lets nothing be shown of what stands in these fields and is no path, nor of what stands where a sender or a sink is
/// described, whichever mistake is told of the lines around it.
pub(super) fn hide(entries: &[Entry], problems: &mut Problems) {
    for Entry { name, value } in entries {
        match &*name.text {
            field if FIELDS.contains(&field) => hide_all(value, problems),
            section if SECTIONS.contains(&section) => hide_described(value, problems),
            _ => hide_below(value, problems),
        }
    }
}

/// Notes a field that does not exist, as [`scalar::unknown`] does, and shows nothing of its value: it may be `secret` that is
/// mistyped, and what is wrong is the name.
pub(super) fn unknown(entry: &Entry, wanted: &str, known: &[&str], problems: &mut Problems) {
    hide_all(&entry.value, problems);
    scalar::unknown(&entry.name, wanted, known, problems);
}

fn hide_below(node: &Node, problems: &mut Problems) {
    match &node.tree {
        Tree::Map(entries) => hide(entries, problems),
        Tree::List(nodes) => nodes.iter().for_each(|node| hide_below(node, problems)),
        Tree::Scalar(_) | Tree::Nothing => {}
    }
}

/// Senders and sinks by their names, or, by mistake, in a list: what is no map of fields there is the secret, most likely.
fn hide_described(node: &Node, problems: &mut Problems) {
    let mut one = |node: &Node| match &node.tree {
        Tree::Map(_) => hide_below(node, problems),
        Tree::Scalar(_) | Tree::Nothing | Tree::List(_) => hide_all(node, problems),
    };
    match &node.tree {
        // Their names are the user's own: one may be `token`.
        Tree::Map(entries) => entries.iter().for_each(|entry| one(&entry.value)),
        Tree::List(nodes) => nodes.iter().for_each(one),
        Tree::Scalar(_) | Tree::Nothing => hide_all(node, problems),
    }
}

fn hide_all(node: &Node, problems: &mut Problems) {
    match &node.tree {
        Tree::Scalar(text) if text.is_empty() || text.starts_with('/') => {}
        Tree::Scalar(_) => problems.hide(node.span),
        Tree::Nothing => {}
        Tree::List(nodes) => nodes.iter().for_each(|node| hide_all(node, problems)),
        // `{{ secret }}` of a template that nobody filled, for one.
        Tree::Map(entries) => entries.iter().for_each(|Entry { name, value }| {
            problems.hide(name.span);
            hide_all(value, problems);
        }),
    }
}

/// Where in a line that begins what may be a secret, as far as the text alone tells: what is no YAML has no tree, and a comment
/// or a tag is not in it. To its end nothing of the line is to be shown. `above` is the file before it. Where the file
/// `has_tree`, what stands under other names is known there; else any value may be one, in the sections where secrets are named.
pub(super) fn begins(above: &str, line: &str, has_tree: bool) -> Option<usize> {
    let mut found = behind_a_field(line);
    let (mut depth, mut is_item, mut top) = (indent(line), is_item(line), line);
    // Upwards, through the lines that it is below, to the one at the left margin.
    for before in above.rsplit(['\n', '\r']) {
        let text = before.trim_start();
        let name = before.len() - text.trim_start_matches(['-', ' ']).len();
        let is_above = name < depth || is_item && name == depth;
        if text.is_empty() || text.starts_with('#') || !is_above {
            continue;
        }
        if behind_a_field(before).is_some() {
            let value = line.trim_start_matches(['-', ' ']);
            found = (!is_path(value)).then(|| line.len() - value.len());
        }
        (depth, is_item, top) = (indent(before), self::is_item(before), before);
        if depth == 0 && !is_item {
            break;
        }
    }
    if !has_tree && BEARING.iter().any(|section| top.starts_with(section)) {
        let value = line.split_once(':').map_or(line, |(_, value)| value).trim_start_matches(['-', ' ']);
        let value = (!is_path(value)).then(|| line.len() - value.len());
        found = found.into_iter().chain(value).min();
    }
    // Rules have names of the user's own, and no secrets.
    found.filter(|_| !top.starts_with("drift_rules"))
}

/// Where in a line that begins what stands behind the first of these fields whose value is no path; its end, where nothing does.
fn behind_a_field(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let name = line.get(..colon)?.trim_end().trim_end_matches(['"', '\'']);
        let value = line.get(colon + 1..)?.trim_start();
        let is_secret = FIELDS.iter().any(|field| ends_in_word(name, field)) && !is_path(value);
        is_secret.then(|| line.len() - value.len())
    })
}

fn ends_in_word(text: &str, word: &str) -> bool {
    let Some((before, end)) = text.len().checked_sub(word.len()).and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    end.eq_ignore_ascii_case(word) && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn is_path(value: &str) -> bool {
    value.strip_prefix(['"', '\'']).unwrap_or(value).starts_with('/')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a list's value begins with this line: that may stand as far to the left as the name of the list.
fn is_item(line: &str) -> bool {
    line.trim_start_matches(' ').starts_with('-')
}
