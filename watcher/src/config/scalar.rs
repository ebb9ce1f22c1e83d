//! Readers of single values: each takes a node, answers the value, or notes the mistake and answers nothing.
//!
//! What a value means for the rest of the file is not decided here.

use std::path::{Path, PathBuf};

use super::{
    node::{Name, Node, Tree},
    problem::{Problems, Wrong, listed, nearest, quoted},
};
use crate::model::Quantity;

/// The text of a node that must be a single value.
pub(super) fn text<'n>(node: &'n Node, wanted: &str, problems: &mut Problems) -> Option<&'n str> {
    match &node.tree {
        Tree::Scalar(text) => Some(text),
        Tree::Nothing => {
            problems.push(node.span, "nothing", Wrong::new(wanted));
            None
        }
        Tree::List(_) | Tree::Map(_) => {
            problems.push(node.span, node.described(), Wrong::new(wanted));
            None
        }
    }
}

/// A value read by one of the readers below.
pub(super) fn value<T>(
    node: &Node,
    wanted: &str,
    problems: &mut Problems,
    read: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let text = text(node, wanted, problems)?;
    read(text).map_err(|wrong| problems.push(node.span, quoted(text), wrong)).ok()
}

/// The same of what may hold a secret: where that is so, a mistake shows nothing of it.
pub(super) fn discreet<T>(
    node: &Node,
    wanted: &str,
    problems: &mut Problems,
    may_be_secret: impl FnOnce(&str) -> bool,
    read: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let text = text(node, wanted, problems)?;
    let wrong = match read(text) {
        Ok(value) => return Some(value),
        Err(wrong) => wrong,
    };
    let found = match may_be_secret(text) {
        true => {
            problems.hide(node.span);
            "a text without `SCHEME://` in front".to_owned()
        }
        false => quoted(text),
    };
    problems.push(node.span, found, wrong);
    None
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, choices: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let names = || choices.iter().map(|(name, _)| *name);
    let wanted = format!("one of {}", listed(names()));
    value(node, &wanted, problems, |text| {
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, chosen)| *chosen);
        chosen.ok_or_else(|| Wrong {
            wanted: wanted.clone(),
            hint: nearest(text, names()).map(|name| format!("did you mean `{name}`?")),
        })
    })
}

/// One of something, or a list of at least one; `none` is said of an empty list.
pub(super) fn one_or_more<T>(
    node: &Node,
    none: Wrong,
    problems: &mut Problems,
    mut read: impl FnMut(&Node, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    match &node.tree {
        Tree::List(nodes) if nodes.is_empty() => {
            problems.push(node.span, "an empty list", none);
            None
        }
        Tree::List(nodes) => {
            // Each is looked at before one of them stops the rest.
            let read: Vec<_> = nodes.iter().map(|node| read(node, problems)).collect();
            read.into_iter().collect()
        }
        _ => Some(vec![read(node, problems)?]),
    }
}

/// `true` or `false`, and no other spelling: `yes` and `on` mean different things to different parsers.
pub(super) fn boolean(node: &Node, problems: &mut Problems) -> Option<bool> {
    choice(node, &[("true", true), ("false", false)], problems)
}

/// An absolute path: the daemon has no working directory that anyone would think of.
pub(super) fn path(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
    const WANTED: &str = "an absolute path";
    value(node, WANTED, problems, |text| match Path::new(text) {
        path if path.is_absolute() && !text.contains('\0') => Ok(path.to_owned()),
        _ => Err(Wrong::new(WANTED)),
    })
}

/// A number or a size.
pub(super) fn quantity(text: &str) -> Result<Quantity, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new("a number or a size such as `2GiB`")
            .hint("a number, alone or in `B`, `kB`, `KiB`, `MiB`, `GiB`, `TiB`, `PiB`, `EiB`")
    })
}

/// Notes a field that does not exist, with the one that was probably meant.
pub(super) fn unknown(name: &Name, wanted: &str, known: &[&str], problems: &mut Problems) {
    // Where this mistake will only be counted, the search would be in vain.
    let near = if problems.is_full() { None } else { nearest(&name.text, known.iter().copied()) };
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", listed(known.iter().copied())),
    };
    problems.push(name.span, quoted(&name.text), Wrong::new(wanted).hint(hint));
}
