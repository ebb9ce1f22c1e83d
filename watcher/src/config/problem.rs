//! A mistake in the file: where it stands, what was found, what was wanted, and the cure.
//!
//! Nothing here knows a field of the configuration. Rendering is here because a problem is made to be read.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::secret;

/// A piece of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The offset of its first byte.
    pub start: usize,
    /// The offset after its last byte.
    pub end: usize,
    /// The line of its first byte, counted from 1.
    pub line: usize,
    /// The column of its first character, in characters counted from 1.
    pub column: usize,
}

impl Span {
    /// The bytes of the file.
    pub fn bytes(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub span: Span,
    /// What stands there, with backticks where it is quoted.
    pub found: String,
    /// What should stand there.
    pub wanted: String,
    /// What to do about it, where more can be said than what was wanted.
    pub hint: Option<String>,
}

/// Why a text is not the value it should be: what a reader of single values answers, without a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub wanted: String,
    pub hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(wanted: impl Into<String>) -> Wrong {
        Wrong { wanted: wanted.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Wrong {
        Wrong { hint: Some(hint.into()), ..self }
    }
}

/// Every mistake of one file, in the order of the file. Never empty where it is an error.
#[derive(Clone, Debug)]
pub struct Problems {
    file: Arc<str>,
    text: Arc<str>,
    told: Vec<Problem>,
    untold: usize,
    /// What of the text is not shown.
    hidden: Vec<Range<usize>>,
    /// Whether it is known what stands where.
    has_tree: bool,
}

impl Problems {
    /// As many mistakes are told; a file with more is not the file somebody meant, and the rest is counted.
    pub const MOST_TOLD: usize = 100;

    pub(super) fn new(file: &str, text: &str) -> Problems {
        Problems {
            file: file.into(),
            text: text.into(),
            told: Vec::new(),
            untold: 0,
            hidden: Vec::new(),
            has_tree: true,
        }
    }

    /// Notes a mistake; the same one again, met through an alias, is one mistake.
    pub(super) fn push(&mut self, span: Span, found: impl Into<String>, wrong: Wrong) {
        if self.is_full() {
            self.untold += 1;
            return;
        }
        // Nothing at all is where the parser stopped looking for it: far below, perhaps.
        let span = if span.start == span.end { self.last_before(span.start) } else { span };
        let found = veiled(&found.into());
        let problem = Problem { span, found, wanted: wrong.wanted, hint: wrong.hint };
        if !self.told.contains(&problem) {
            self.told.push(problem);
        }
    }

    /// Lets nothing be shown of what stands there, whichever mistake is told.
    pub(super) fn hide(&mut self, span: Span) {
        self.hidden.push(span.start..span.end);
    }

    /// Notes that nobody can say what stands where: less is shown then.
    pub(super) fn without_tree(&mut self) {
        self.has_tree = false;
    }

    /// The last character before an offset that is no white space; the first of the file if there is none.
    pub(super) fn last_before(&self, offset: usize) -> Span {
        let read = self.slice(0..self.text.floor_char_boundary(offset)).trim_end();
        let start = read.char_indices().next_back().map_or(0, |(start, _)| start);
        self.character(start)
    }

    /// The character at an offset.
    pub(super) fn character(&self, offset: usize) -> Span {
        let start = self.text.floor_char_boundary(offset);
        let before = self.slice(0..start);
        Span {
            start,
            end: self.text.ceil_char_boundary(start + 1),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        }
    }

    /// Whether a further mistake will only be counted.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() >= Problems::MOST_TOLD
    }

    /// The value, if there was no mistake.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Problems> {
        self.told.sort_by_key(|problem| problem.span.start);
        if self.told.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The file, as it is shown.
    pub(super) fn file(&self) -> Arc<str> {
        self.file.clone()
    }

    /// The text of the file between two offsets; empty where there is none.
    pub(super) fn slice(&self, bytes: Range<usize>) -> &str {
        self.text.get(bytes).unwrap_or_default()
    }

    /// The mistakes, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.told.iter()
    }

    /// How many there are, those not told included.
    pub fn count(&self) -> usize {
        self.told.len() + self.untold
    }

    /// All of them as a person reads them, each with `path:line:column` and its line of the file underlined.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.told {
            out.push_str(&self.render_one(&renderer, problem));
            out.push_str("\n\n");
        }
        let told =
            if self.untold > 0 { format!(", {} of them shown", self.told.len()) } else { String::new() };
        let mistakes = if self.count() == 1 { "mistake" } else { "mistakes" };
        out.push_str(&format!("{} {mistakes} in {}{told}", self.count(), self.file));
        // The renderer knows the control characters of ASCII and makes them visible. Beyond it there are more, and one of
        // them begins what terminals obey (ECMA-48, CSI).
        out.replace(|c: char| !c.is_ascii() && c.is_control(), "\u{fffd}")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let Span { line, column, .. } = problem.span;
        let Shown { text, mark, whole } = self.shown(problem.span);
        let title = Level::ERROR.primary_title(format!("found {}, wanted {}", problem.found, problem.wanted));
        let snippet = Snippet::source(text).line_start(line).annotation(AnnotationKind::Primary.span(mark));
        let mut group = if whole {
            title.element(snippet.path(&*self.file))
        } else {
            // In a part of the line the column cannot be counted.
            title.element(Origin::path(&*self.file).line(line).char_column(column)).element(snippet)
        };
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        renderer.render(&[group])
    }

    /// The line a span begins in. Of a line that no screen holds only the neighbourhood is taken, so that a file
    /// of one long line costs no more to tell about than any other.
    fn shown(&self, span: Span) -> Shown {
        const LONG: usize = 400;
        const BEFORE: usize = 60;
        const AROUND: usize = 4096;
        // What YAML takes for the end of a line.
        const BREAKS: [char; 2] = ['\n', '\r'];
        let start = self.text.floor_char_boundary(span.start);
        let line = self.slice(0..start).rfind(BREAKS).map_or(0, |newline| newline + 1);
        let end = self.slice(start..self.text.len()).find(BREAKS).map_or(self.text.len(), |n| start + n);
        let whole = end - line <= LONG;
        let (from, to) = match whole {
            true => (line, end),
            false => (
                line.max(self.text.floor_char_boundary(start.saturating_sub(BEFORE))),
                end.min(self.text.ceil_char_boundary(start + LONG - BEFORE)),
            ),
        };
        // With what is around it: what is cut off may be what tells an address.
        let (first, last) = (line.max(from.saturating_sub(AROUND)), end.min(to.saturating_add(AROUND)));
        let (first, last) = (self.text.floor_char_boundary(first), self.text.ceil_char_boundary(last));
        let mut around = veiled(self.slice(first..last));
        for Range { start, end } in &self.hidden {
            let (start, end) = (start.clamp(&first, &last) - first, end.clamp(&first, &last) - first);
            if let Some(secret) = around.get(start..end) {
                let stars = "*".repeat(secret.len());
                around.replace_range(start..end, &stars);
            }
        }
        if let Some(secret) = secret::begins(self.slice(0..line), self.slice(line..end), self.has_tree) {
            let secret = (line + secret).clamp(first, last) - first;
            let stars = "*".repeat(around.len().saturating_sub(secret));
            around.replace_range(secret.min(around.len()).., &stars);
        }
        let text = around.get(from - first..to - first).unwrap_or_default().to_owned();
        let end = text.ceil_char_boundary((span.end.max(start + 1) - from).min(text.len()));
        Shown { text, mark: (start - from).min(end)..end, whole }
    }
}

/// A text with stars over all of its addresses but the scheme and the host: passwords stand before that, and who knows the
/// path of a webhook may post to it. Every byte keeps its place.
fn veiled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // As JSON may write it, too.
    let address = |text: &str| {
        let places = ["://", r":\/\/"].map(|mark| text.find(mark).map(|at| at + mark.len()));
        places.into_iter().flatten().min()
    };
    while let Some(at) = address(rest) {
        let (before, after) = rest.split_at(at);
        let scheme = before.trim_end_matches([':', '/', '\\']);
        let in_front = scheme.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let closing = in_front.chars().next_back().and_then(|quote| closing(quote, after));
        let from = |place: usize| after.get(place..).unwrap_or_default();
        // A password may have anything in it: where no quote ends the text, more is hidden than need be.
        let within = after.get(..closing.unwrap_or(after.len())).unwrap_or_default();
        let host = within.rfind('@').map_or(0, |at| at + 1);
        let plain =
            from(host).split([' ', '\t']).next().unwrap_or_default().trim_end_matches([',', '}', ']']);
        let end = closing.unwrap_or(host + plain.len());
        let path = from(host).find(['/', '?', '#', '\\']).map_or(end, |at| (host + at + 1).min(end));
        out.push_str(before);
        out.extend(std::iter::repeat_n('*', host));
        out.push_str(after.get(host..path).unwrap_or_default());
        out.extend(std::iter::repeat_n('*', end - path));
        rest = from(end);
    }
    out + rest
}

/// Where a text ends that began behind this quote; none where that is no quote, or nothing ends it.
fn closing(quote: char, text: &str) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if quote == '"' => drop(chars.next()),
            // Twice, it stands for itself.
            '\'' if quote == '\'' && chars.next_if(|(_, next)| *next == '\'').is_some() => {}
            char if char == quote && matches!(quote, '"' | '\'' | '`') => return Some(at),
            _ => {}
        }
    }
    None
}

/// What is shown of the file for one problem.
struct Shown {
    text: String,
    /// The part to underline.
    mark: Range<usize>,
    /// Whether the text is the whole line.
    whole: bool,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// A text of the file between backticks, fit for one line of a message.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    // Before it is cut: what tells an address may be behind that.
    let text = veiled(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
    let mut shown = String::from("`");
    for c in text.chars().take(MOST) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// Several names, each between backticks.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// The known name that a mistyped one most likely is.
pub(super) fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let found = found.to_lowercase();
    // No known name is as long as this, and the distance costs the product of the lengths.
    if found.len() > 40 {
        return None;
    }
    known
        .into_iter()
        .map(|name| {
            (if found.len() > 2 && name.starts_with(&found) { 1 } else { distance(&found, name) }, name)
        })
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len().min(found.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or replaced to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // The distances from the part of `a` read so far to each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((to, replaced), removed) in b.chars().zip(&row).zip(row.iter().skip(1)) {
            let added = next.last().copied().unwrap_or_default() + 1;
            next.push(added.min(removed + 1).min(replaced + usize::from(from != to)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, suggested: Option<&str>) {
        assert_eq!(nearest(found, ["keys", "expect", "severity", "for", "min", "max", "warning"]), suggested);
    }

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest_one() {
        check("expct", Some("expect"));
        check("Expect", Some("expect"));
        check("key", Some("keys"));
        check("sevrety", Some("severity"));
        check("warn", Some("warning"));
        check("mim", Some("min"));
        check("remedy", None);
        check("x", None);
        check("", None);
        check(&"expect".repeat(1000), None);
    }

    #[test]
    fn what_is_quoted_fits_on_a_line() {
        assert_eq!(quoted("a\nb\u{1b}[1m"), r"`a\nb\u{1b}[1m`");
        assert_eq!(quoted(&"é".repeat(61)), format!("`{}…`", "é".repeat(60)));
    }

    #[track_caller]
    fn check_veiled(text: &str, wanted: &str) {
        assert_eq!(veiled(text), wanted);
        assert_eq!(wanted.len(), text.len(), "every byte keeps its place");
    }

    #[test]
    fn of_an_address_the_scheme_and_the_host_are_shown() {
        check_veiled(
            "url: https://a.example.org:8443/hook?k=1 # x",
            "url: https://a.example.org:8443/******** # x",
        );
        check_veiled(
            r#"{ url: "https://me:p/a s,s@h/x", a: b@c }"#,
            r#"{ url: "https://***********h/*", a: b@c }"#,
        );
        check_veiled(r#""https://me:\"q@h/x y", z"#, r#""https://*******h/***", z"#);
        check_veiled("'https://me:it''s@h/x', z", "'https://*********h/*', z");
        check_veiled("{ url: https://me:it's@h/a,b, z: 1 }", "{ url: https://********h/***, z: 1 }");
        check_veiled(r#""https:\/\/h\/secret""#, r#""https:\/\/h\*******""#);
        check_veiled("`ftp://h` and https://[::1]/ä", "`ftp://h` and https://[::1]/**");
        check_veiled("://", "://");
        check_veiled("listen: 127.0.0.1:9000", "listen: 127.0.0.1:9000");
    }
}
