//! The words of this room: a line of a source, what was not understood of it, and the declaration it becomes.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{Git, Target, sysctl::Applier};
use crate::model::{Expectation, IfAbsent, Key, Revision, Source};

/// What kind of file declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// sysctl.d, as systemd-sysctl applies it.
    SysctlD,
    /// sysctl.d and /etc/sysctl.conf, as `sysctl --system` of procps applies them.
    Procps,
    /// A TuneD profile.
    Tuned,
    /// A map of keys and values in YAML.
    Declared,
}

impl Kind {
    /// The program that applies files of this kind, where they hold sysctls and nothing else.
    pub fn applier(self) -> Option<Applier> {
        match self {
            Kind::SysctlD => Some(Applier::Systemd),
            Kind::Procps => Some(Applier::Procps),
            Kind::Tuned | Kind::Declared => None,
        }
    }

    /// What a file is, by its name, where nobody says: `*.yaml` and `*.yml` are maps of values, `tuned*.conf` is a profile,
    /// all else sysctl.d.
    pub fn of_name(name: &str) -> Kind {
        match name.rsplit_once('.') {
            Some((_, "yaml" | "yml")) => Kind::Declared,
            Some((stem, "conf")) if stem.starts_with("tuned") => Kind::Tuned,
            _ => Kind::SysctlD,
        }
    }
}

/// One source, as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// What a program would apply at boot: the sysctl.d directories below the root.
    Host(Applier),
    /// One file, the name of a TuneD profile, or the root of a tree with sysctl.d directories.
    File {
        /// What it holds.
        kind: Kind,
        /// Where it is; not below the root, but as this process sees it.
        path: std::path::PathBuf,
    },
    /// Files of a Git repository, at the commit of a deployment.
    Git(Arc<Git>),
}

/// What one line of a source says.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Of which keys.
    pub target: Target,
    /// What it says of them.
    pub says: Says,
    /// What it means that a key is not there.
    pub if_absent: IfAbsent,
    /// The source as it was asked for: `sysctl.d`, a profile, a file. Lines of one source override each other, lines of
    /// two sources disagree.
    pub from: Arc<str>,
    /// Where it stands.
    pub source: Source,
    /// The commit the file was read at, if it came from Git.
    pub commit: Option<Revision>,
}

/// What a line says of its keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// This is expected.
    Expect(Expectation),
    /// No pattern shall match it: `-net.ipv4.conf.hub0.rp_filter` of sysctl.d(5).
    Exclude,
}

/// An expectation for one key, with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// The key.
    pub key: Key,
    /// What is expected of it.
    pub expectation: Expectation,
    /// What it means that it is not there.
    pub if_absent: IfAbsent,
    /// The source as it was asked for.
    pub from: Arc<str>,
    /// Where it stands.
    pub source: Source,
    /// The commit the file was read at, if it came from Git.
    pub commit: Option<Revision>,
}

impl Line {
    /// The declaration of one of its keys; `None` for an exclusion.
    pub fn declares(&self, key: Key) -> Option<Declaration> {
        let Says::Expect(expectation) = &self.says else { return None };
        Some(Declaration {
            key,
            expectation: expectation.clone(),
            if_absent: self.if_absent,
            from: self.from.clone(),
            source: self.source.clone(),
            commit: self.commit.clone(),
        })
    }
}

/// A line that declares nothing because it was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotUnderstood {
    /// Where it stands.
    pub source: Source,
    /// Its text, cut and made fit for a terminal; without secrets.
    pub text: String,
    /// Why, and what to do.
    pub why: String,
}

impl NotUnderstood {
    /// Notes a line.
    pub fn new(source: Source, text: &str, why: impl Into<String>) -> NotUnderstood {
        NotUnderstood { source, text: shown(text), why: why.into() }
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` is not understood: {}", self.source, self.text, self.why)
    }
}

/// The beginning of a text from a file, on one line. A line of a secret's name shows nothing after the name.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let secret = ["stable_secret", "tcp_fastopen_key"]
        .iter()
        .find_map(|name| Some(text.find(name)? + name.len()))
        .filter(|end| *end < text.len());
    let open = secret.and_then(|end| text.get(..end)).unwrap_or(text);
    let mut shown = String::new();
    for char in open.chars().take(MOST) {
        if char.is_control() { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    if secret.is_some() {
        shown.push_str(" (secret)");
    } else if open.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// What was understood, in the order of the text.
    pub lines: Vec<Line>,
    /// What was not, in the order of the text.
    pub not_understood: Vec<NotUnderstood>,
}

impl Parsed {
    /// Goes on with another text.
    pub fn extend(&mut self, other: Parsed) {
        self.lines.extend(other.lines);
        self.not_understood.extend(other.not_understood);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        assert_eq!(shown(text), wanted);
    }

    #[test]
    fn what_is_shown_of_a_file_fits_on_a_line_and_holds_no_secret() {
        check("x = \"1\"", "x = \"1\"");
        check("a\u{1b}[31m\t\\b", "a\\u{1b}[31m\\t\\b");
        check(&"é".repeat(101), &format!("{}…", "é".repeat(100)));
        check("net.ipv6.conf.x.stable_secret 1:2", "net.ipv6.conf.x.stable_secret (secret)");
        check("net.ipv4.tcp_fastopen_key", "net.ipv4.tcp_fastopen_key");
    }
}
