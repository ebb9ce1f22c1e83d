//! `remedy:` of a rule: a word, or `revert` with its limits. What could never be written is a mistake here already.

use std::time::Duration;

use super::{
    duration,
    node::{Entry, Node, Tree},
    problem::{Problems, Span, Wrong, listed, quoted},
    scalar,
};
use crate::model::{Expectation, Key, Limits, Remedy};

const FIELDS: [&str; 3] = ["at_most", "in", "dry_run"];

const WORDS: [(&str, Remedy); 3] = [
    ("notify", Remedy::Notify),
    ("adopt", Remedy::Adopt),
    ("revert", Remedy::Revert(Limits { at_most: 3, within: Duration::from_secs(600), dry_run: false })),
];

/// More often than that is no limit.
const MOST: u32 = 100;

/// Reads the field.
pub(super) fn remedy(node: &Node, problems: &mut Problems) -> Option<Remedy> {
    let Tree::Map(entries) = &node.tree else { return scalar::choice(node, &WORDS, problems) };
    let [Entry { name, value }] = entries.as_slice() else {
        problems.push(node.span, "a map of several", Wrong::new("`revert` with its limits alone"));
        return None;
    };
    if &*name.text != "revert" {
        scalar::unknown(name, "the remedy that has limits", &["revert"], problems);
        return None;
    }
    limits(value, problems).map(Remedy::Revert)
}

fn limits(node: &Node, problems: &mut Problems) -> Option<Limits> {
    let Tree::Map(entries) = &node.tree else {
        let hint = format!("known here: {}", listed(FIELDS));
        problems.push(node.span, node.described(), Wrong::new("a map of limits").hint(hint));
        return None;
    };
    let mut limits = Some(Limits::default());
    for Entry { name, value } in entries {
        let read = match &*name.text {
            "at_most" => {
                let wanted = format!("a number from 1 to {MOST}");
                let read = |text: &str| {
                    let number = text.parse::<u32>().ok().filter(|number| (1..=MOST).contains(number));
                    number.ok_or_else(|| Wrong::new(wanted.clone()))
                };
                scalar::value(value, &wanted, problems, read)
                    .map(|at_most| limits.iter_mut().for_each(|limits| limits.at_most = at_most))
            }
            "in" => {
                let read = |text: &str| duration::at_least(Duration::from_secs(1), text);
                scalar::value(value, duration::WANTED, problems, read)
                    .map(|within| limits.iter_mut().for_each(|limits| limits.within = within))
            }
            "dry_run" => scalar::boolean(value, problems)
                .map(|dry_run| limits.iter_mut().for_each(|limits| limits.dry_run = dry_run)),
            _ => {
                scalar::unknown(name, "a limit of `revert`", &FIELDS, problems);
                None
            }
        };
        if read.is_none() {
            limits = None;
        }
    }
    limits
}

/// Refuses a rule that says `revert` or `adopt`, and of which it is known now that nothing could be written, or adopted.
pub(super) fn check(
    at: Span,
    remedy: Remedy,
    keys: &[(Key, Span)],
    expectation: &Expectation,
    problems: &mut Problems,
) {
    match remedy {
        Remedy::Notify => return,
        Remedy::Adopt => {
            for (key, span) in keys.iter().filter(|(key, _)| key.moves_by_itself()) {
                let wrong = Wrong::new("another remedy for it")
                    .hint("it moves by itself, so that no value of it stays as it is");
                problems.push(*span, format!("`remedy: adopt` of {}", quoted(&key.to_string())), wrong);
            }
            return;
        }
        Remedy::Revert(_) => {}
    }
    match expectation {
        Expectation::Equal(_) | Expectation::Captured(_) | Expectation::Near(..) => {}
        _ => {
            let wrong = Wrong::new("`expect` beside it").hint("only a single value can be written");
            problems.push(at, "`remedy: revert` of a rule without one value", wrong);
        }
    }
    for (key, span) in keys {
        if key.names_program() {
            let wrong = Wrong::new("another remedy for it")
                .hint("the kernel starts the program that it names, so driftd never writes it");
            problems.push(*span, format!("`remedy: revert` of {}", quoted(&key.to_string())), wrong);
        }
    }
}
