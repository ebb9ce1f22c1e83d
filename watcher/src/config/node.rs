//! YAML as a tree that keeps the place and the exact text of everything. Knows no field.
//!
//! The tree is built from the parser's events and not through `serde`: `010`, `yes` and `1.5` must stay the
//! texts they are, and one wrong value must not hide the next.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
};

use watcher_yaml::{ErrorKind, Event, Events, Marker, ScalarStyle, ScanError};

use super::problem::{Problems, Span, Wrong, quoted};

/// Deeper than any configuration, and shallow enough for the stack of any thread.
const MAX_DEPTH: usize = 64;

/// How many values may be copied for anchors and their aliases: ample for people, too few for a bomb.
const MAX_COPIES: usize = 100_000;

/// What says that there is no value (YAML 1.2, 10.3.2), where it stands without quotes.
const NULLS: [&str; 4] = ["~", "null", "Null", "NULL"];

/// A value of the file, whose texts are in the file itself but where quotes and escapes make them others.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    /// Where it stands; for an alias, where the anchor's value stands. Nothing at all is where its name is.
    pub span: Span,
    pub tree: Tree<'t>,
}

#[derive(Clone, Debug)]
pub(super) enum Tree<'t> {
    /// A text as it was written, quotes and escapes resolved, nothing else.
    Scalar(Cow<'t, str>),
    /// A value left out: `expect:` and nothing behind it, or `null`.
    Nothing,
    List(Vec<Node<'t>>),
    Map(Vec<Entry<'t>>),
}

/// A name and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    pub name: Name<'t>,
    pub value: Node<'t>,
}

#[derive(Clone, Debug)]
pub(super) struct Name<'t> {
    pub text: Cow<'t, str>,
    pub span: Span,
}

impl Node<'_> {
    /// The value in a word or two, for `found`.
    pub(super) fn described(&self) -> String {
        match &self.tree {
            Tree::Scalar(text) => quoted(text),
            Tree::Nothing | Tree::List(_) | Tree::Map(_) => self.kind().into(),
        }
    }

    /// What kind of a value it is: the same for `found` where the text may be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Scalar(_) => "a text",
            Tree::Nothing => "nothing",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        }
    }
}

/// The tree of the file's one document; `Nothing` for an empty file. Mistakes of YAML go to `problems`; after
/// one that the parser cannot pass there is no tree.
pub(super) fn parse<'t>(text: &'t str, problems: &mut Problems) -> Option<Node<'t>> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for next in Events::of(text, MAX_DEPTH) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let wrong = Wrong { wanted: "well-formed YAML".into(), hint: hint(error.kind()) };
                let place = at(text, &error, problems);
                problems.push(place, format!("a mistake of YAML ({})", error.kind()), wrong);
                return None;
            }
        };
        let span = spanned(span.start, span.end);
        if event.tag().is_some() {
            let wrong = Wrong::new("a plain value").hint("remove the tag; quote the value if it is a text");
            problems.push(span, "a value with a tag", wrong);
        }
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    problems.push(span, "a second document", Wrong::new("one document in the file"));
                    return None;
                }
            }
            Event::Scalar(value, style, anchor, _) => {
                // The parser says `~` where there is nothing. One that somebody wrote has a length, and is as little a value.
                let nothing =
                    style == ScalarStyle::Plain && (span.start == span.end || NULLS.contains(&&*value));
                let tree = if nothing { Tree::Nothing } else { Tree::Scalar(value) };
                builder.place(Node { span, tree }, 1, anchor, problems)?;
            }
            Event::SequenceStart(_, anchor, _) => builder.open(span, anchor, Children::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => builder.open(span, anchor, Children::map()),
            Event::SequenceEnd | Event::MappingEnd => builder.close(span, problems)?,
            Event::Alias(anchor) => builder.unfold(anchor, span, problems)?,
            _ => {}
        }
    }
    let top = Span { start: 0, end: 0, line: 1, column: 1 };
    Some(builder.root.unwrap_or(Node { span: top, tree: Tree::Nothing }))
}

/// What is being built: the collections that are open, outermost first.
#[derive(Default)]
struct Builder<'t> {
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    /// The values that aliases stand for, by the parser's number, each with the count of nodes in it.
    anchored: HashMap<usize, (Node<'t>, usize)>,
    copies: usize,
}

struct Open<'t> {
    span: Span,
    anchor: usize,
    size: usize,
    children: Children<'t>,
}

enum Children<'t> {
    List(Vec<Node<'t>>),
    Map { entries: Vec<Entry<'t>>, lines: Lines<'t>, pending: Pending<'t> },
}

/// The line of each name of a map that has many.
type Lines<'t> = HashMap<Cow<'t, str>, usize>;

/// As many names are looked through one by one in less time than a table is made for them: a rule has three.
const FEW: usize = 16;

/// Where a map stands between a name and its value.
enum Pending<'t> {
    Nothing,
    Name(Name<'t>),
    /// The name was refused: its value is read and dropped.
    Refused,
}

impl Children<'_> {
    fn map() -> Self {
        // Most maps are rules: keys, and what is expected of them.
        Children::Map { entries: Vec::with_capacity(2), lines: Lines::new(), pending: Pending::Nothing }
    }
}

impl<'t> Builder<'t> {
    fn open(&mut self, span: Span, anchor: usize, children: Children<'t>) {
        self.open.push(Open { span, anchor, size: 1, children });
    }

    fn close(&mut self, end: Span, problems: &mut Problems) -> Option<()> {
        let Open { span, anchor, size, children } = self.open.pop()?;
        let (tree, last) = match children {
            Children::List(nodes) => {
                let last = nodes.last().map(|node| node.span.end);
                (Tree::List(nodes), last)
            }
            Children::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end);
                (Tree::Map(entries), last)
            }
        };
        // The end of a block is where the next thing begins: the last value tells better where it ended.
        let span = Span { end: last.unwrap_or(end.end).max(span.start), ..span };
        self.place(Node { span, tree }, size, anchor, problems)
    }

    fn unfold(&mut self, anchor: usize, span: Span, problems: &mut Problems) -> Option<()> {
        let Some((_, size)) = self.anchored.get(&anchor) else {
            problems.push(span, "an alias inside the value it stands for", Wrong::new("a value that ends"));
            return None;
        };
        let size = *size;
        self.copy(size, span, problems)?;
        let node = self.anchored.get(&anchor)?.0.clone();
        self.place(node, size, 0, problems)
    }

    /// Puts a finished value where it belongs. `None` where reading on makes no sense.
    fn place(&mut self, node: Node<'t>, size: usize, anchor: usize, problems: &mut Problems) -> Option<()> {
        if anchor != 0 {
            self.copy(size, node.span, problems)?;
            self.anchored.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        parent.size += size;
        match &mut parent.children {
            Children::List(nodes) => nodes.push(node),
            Children::Map { entries, lines, pending } => match std::mem::replace(pending, Pending::Nothing) {
                Pending::Nothing => *pending = name(node, entries, lines, problems),
                Pending::Refused => {}
                Pending::Name(name) => {
                    let nothing = matches!(node.tree, Tree::Nothing) && node.span.start == node.span.end;
                    let value = if nothing { Node { span: name.span, ..node } } else { node };
                    entries.push(Entry { name, value });
                }
            },
        }
        Some(())
    }

    fn copy(&mut self, size: usize, span: Span, problems: &mut Problems) -> Option<()> {
        self.copies += size;
        if self.copies <= MAX_COPIES {
            return Some(());
        }
        let wrong = Wrong::new(format!("at most {MAX_COPIES}")).hint("write the values out");
        problems.push(span, "anchors and aliases that unfold to too many values", wrong);
        None
    }
}

/// A node in the place of a name.
fn name<'t>(
    node: Node<'t>,
    entries: &[Entry<'t>],
    lines: &mut Lines<'t>,
    problems: &mut Problems,
) -> Pending<'t> {
    let Tree::Scalar(text) = node.tree else {
        problems.push(node.span, node.described(), Wrong::new("a name"));
        return Pending::Refused;
    };
    let name = Name { text, span: node.span };
    if let Some(line) = first_line(&name, entries, lines) {
        let wrong = Wrong::new("each name once").hint(format!("the first stands in line {line}"));
        problems.push(name.span, format!("{} a second time", quoted(&name.text)), wrong);
        return Pending::Refused;
    }
    Pending::Name(name)
}

/// The line in which a name stood before, where it did; where it did not, this is now its line.
fn first_line<'t>(name: &Name<'t>, entries: &[Entry<'t>], lines: &mut Lines<'t>) -> Option<usize> {
    let mut before = entries.iter().map(|entry| &entry.name);
    if entries.len() < FEW {
        return before.find(|before| before.text == name.text).map(|before| before.span.line);
    }
    if lines.is_empty() {
        lines.extend(before.map(|before| (before.text.clone(), before.span.line)));
    }
    match lines.entry(name.text.clone()) {
        hash_map::Entry::Occupied(first) => Some(*first.get()),
        hash_map::Entry::Vacant(place) => {
            place.insert(name.span.line);
            None
        }
    }
}

fn spanned(start: Marker, end: Marker) -> Span {
    // A parser that reads from one `&str` knows the byte offset of every event.
    let offset = |mark: Marker| mark.byte_offset().unwrap_or_default();
    Span { start: offset(start), end: offset(end), line: start.line(), column: start.col() + 1 }
}

/// The place of a mistake of YAML. Scanner errors may lack the byte offset; and what is missed at the end of the
/// file is shown at the last character there is, not on the empty line after it.
fn at(text: &str, error: &ScanError, problems: &Problems) -> Span {
    let mark = error.marker();
    let offset = match mark.byte_offset() {
        Some(offset) => offset,
        None => text.char_indices().nth(mark.index()).map_or(text.len(), |(offset, _)| offset),
    };
    if offset < text.trim_end().len() { problems.character(offset) } else { problems.last_before(offset) }
}

/// The cure, for the mistakes that people make.
fn hint(kind: &ErrorKind) -> Option<String> {
    let hint = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => "indent with spaces",
        ErrorKind::MappingValueNotAllowed => "quote a text that contains `: `",
        ErrorKind::UnexpectedCharacter { .. }
        | ErrorKind::MissingAnchorOrAliasName
        | ErrorKind::UnknownAnchor
        | ErrorKind::PlainScalarStartsWithDashFlowIndicator => "quote a text that begins like this",
        ErrorKind::ExpectedBlockMappingKey => {
            "indent the fields of one map alike, and quote a text that begins with a quote or bracket"
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => "close the quote",
        ErrorKind::UnclosedFlowCollection { .. } => "close the bracket",
        ErrorKind::RecursionLimitExceeded => "nothing here is nested this deep",
        _ => return None,
    };
    Some(hint.into())
}
