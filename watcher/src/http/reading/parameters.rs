//! The query of a request: each parameter is known, and given once. What is not understood is refused, not passed over.

use super::{super::answer::Refused, feed::Beginning};
use crate::{
    model::{FindingState, InvalidKey, Key, Kind},
    store::Filter,
};

/// The most entries that are answered or streamed from the past at once.
pub const MOST: usize = 10_000;

/// How many entries are answered where the query does not say.
const USUAL: usize = 100;

/// The longest query that is looked at, in bytes.
const LONGEST: usize = 4096;

/// A query, in pairs.
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Takes a query in which nothing but these may be named.
    ///
    /// # Errors
    /// Something else is, or one of them twice.
    pub fn of(query: Option<&str>, known: &[&str]) -> Result<Parameters, Refused> {
        let query = query.unwrap_or_default();
        if query.len() > LONGEST {
            return Err(Refused::bad(format!(
                "a query of {} bytes, and at most {LONGEST} are taken",
                query.len()
            )));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if !known.contains(&&*name) {
                let wanted = match known {
                    [] => "none is known here".to_owned(),
                    known => format!("known here: `{}`", known.join("`, `")),
                };
                return Err(Refused::bad(format!("the parameter {}; {wanted}", shown(&name))));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refused::bad(format!("the parameter `{name}` twice, wanted once")));
            }
            pairs.push((name, value));
        }
        Ok(Parameters { pairs })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Whether a switch is on: `1`.
    ///
    /// # Errors
    /// It is neither `1` nor `0`.
    pub fn switch(&self, name: &'static str) -> Result<bool, Refused> {
        match self.get(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(wrong(name, other, "`1` or `0`")),
        }
    }

    /// How many entries are wanted.
    ///
    /// # Errors
    /// It is no number from 1 to [`MOST`].
    pub fn limit(&self) -> Result<usize, Refused> {
        let Some(text) = self.get("limit") else { return Ok(USUAL) };
        number(text)
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=MOST).contains(number))
            .ok_or_else(|| wrong("limit", text, &format!("a number from 1 to {MOST}")))
    }

    /// The key that is meant.
    ///
    /// # Errors
    /// It is none.
    pub fn key(&self) -> Result<Option<Key>, Refused> {
        let Some(text) = self.get("key") else { return Ok(None) };
        text.parse().map(Some).map_err(|error: InvalidKey| Refused::bad(error.to_string()))
    }

    /// The number of an entry.
    fn entry(&self, name: &'static str) -> Result<Option<i64>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        number(text).map(Some).ok_or_else(|| wrong(name, text, "the number of an entry"))
    }

    /// Which entries are wanted, by `kinds`, `key`, `commit`, `since`, `until`, `after` and `before`, as far as they are
    /// known here.
    ///
    /// # Errors
    /// One of them is not what it should be.
    pub fn filter(&self) -> Result<Filter, Refused> {
        Ok(Filter {
            kinds: self.kinds()?,
            key: self.read("key", "a key")?,
            commit: self.get("commit").map(str::to_owned),
            since: self.read("since", "a time, as in `2026-08-01T10:20:00Z`")?,
            until: self.read("until", "a time, as in `2026-08-01T10:20:00Z`")?,
            after: self.entry("after")?,
            before: self.entry("before")?,
        })
    }

    fn read<T: std::str::FromStr>(&self, name: &'static str, wanted: &str) -> Result<Option<T>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(name, text, wanted))
    }

    /// The kinds of entries that are wanted, with commas between.
    fn kinds(&self) -> Result<Vec<Kind>, Refused> {
        let Some(text) = self.get("kinds") else { return Ok(Vec::new()) };
        let kind = |word: &str| {
            let all = || Kind::words().collect::<Vec<_>>().join("`, `");
            Kind::of(word).ok_or_else(|| wrong("kinds", word, &format!("some of `{}`", all())))
        };
        text.split(',').map(kind).collect()
    }

    /// Which findings are wanted: `open`, `healed`, or `all`; where it is not said, the open ones.
    ///
    /// # Errors
    /// It is another word.
    pub fn state(&self) -> Result<Option<FindingState>, Refused> {
        match self.get("state") {
            None | Some("open") => Ok(Some(FindingState::Opened)),
            Some("healed") => Ok(Some(FindingState::Healed)),
            Some("all") => Ok(None),
            Some(other) => Err(wrong("state", other, "`open`, `healed` or `all`")),
        }
    }

    /// What the name or the commit of a deployment begins with.
    pub fn begins(&self) -> Option<&str> {
        self.get("begins")
    }

    /// The sink that is meant; all where none is named.
    pub fn sink(&self) -> Option<&str> {
        self.get("sink")
    }

    /// Where a stream begins: after the entry that the reader saw last, where it says so.
    ///
    /// # Errors
    /// What it says is no number, or too large.
    pub fn beginning(&self, last_seen: Option<&str>) -> Result<Beginning, Refused> {
        if let Some(seen) = last_seen {
            let seen = number(seen).ok_or_else(|| wrong("Last-Event-ID", seen, "the number of an entry"))?;
            return Ok(Beginning::After(seen));
        }
        match (self.entry("after")?, self.get("last")) {
            (Some(_), Some(_)) => Err(Refused::bad("both `after` and `last`, wanted one of them")),
            (Some(after), None) => Ok(Beginning::After(after)),
            (None, Some(text)) => number(text)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number <= MOST)
                .map(Beginning::Last)
                .ok_or_else(|| wrong("last", text, &format!("a number up to {MOST}"))),
            (None, None) => Ok(Beginning::Last(0)),
        }
    }
}

/// Digits alone: `parse` would take `+5` as well.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn wrong(name: &str, found: &str, wanted: &str) -> Refused {
    Refused::bad(format!("{} as `{name}`, wanted {wanted}", shown(found)))
}

/// What came from outside, as much of it as it takes to find it by.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("`{}`", start.escape_debug())
}
