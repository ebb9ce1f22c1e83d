//! Where the file with a secret is named: what stands there may be the secret itself, and is never shown then.
//!
//! A file that exists is not looked for here; nothing here knows what a secret opens.

use std::path::{Path, PathBuf};

use super::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar,
};

/// The fields that name such files.
const FIELDS: [&str; 7] = ["secrets", "secret", "tokens", "token", "basic", "password", "url_file"];

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

/// Lets nothing be shown of what stands in these fields and is no path, whichever mistake is told of the lines around it.
pub(super) fn hide(entries: &[Entry], problems: &mut Problems) {
    for Entry { name, value } in entries {
        match &value.tree {
            _ if FIELDS.contains(&&*name.text) => hide_all(value, problems),
            Tree::Map(entries) => hide(entries, problems),
            Tree::Scalar(_) | Tree::Nothing | Tree::List(_) => {}
        }
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
