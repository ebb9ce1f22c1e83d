//! Regular expressions that whole values are held against.

use std::fmt;

/// A regular expression, of bounded size: looking for it takes time that grows with the value alone.
#[derive(Clone, Debug)]
pub struct TextPattern {
    /// As it was written.
    text: Box<str>,
    /// What the whole of a value is to match.
    whole: regex_lite::Regex,
}

/// Why a text is no such expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTextPattern(String);

impl TextPattern {
    /// The most bytes of an expression: longer ones nobody reads.
    pub const LONGEST: usize = 256;

    /// The most bytes of one that is ready for use. `[a-z]{1,500}` fits; what counts to thousands does not.
    const SIZE: usize = 64 << 10;

    /// Reads an expression in the syntax of the crate `regex-lite`: no look-around, no reference back to a group, and of
    /// Unicode no classes, so that `\w`, `\d` and `(?i)` are of ASCII.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn parse(text: &str) -> Result<TextPattern, InvalidTextPattern> {
        if text.len() > TextPattern::LONGEST {
            return Err(InvalidTextPattern(format!("it has more than {} bytes", TextPattern::LONGEST)));
        }
        let build = |text: &str| {
            let mut builder = regex_lite::RegexBuilder::new(text);
            builder.size_limit(TextPattern::SIZE).build()
        };
        let wrong = |error: regex_lite::Error| InvalidTextPattern(error.to_string());
        // Alone first: `a)|(?:b` is none, and would be one between the brackets.
        build(text).map_err(wrong)?;
        let whole = build(&format!(r"\A(?:{text})\z")).map_err(wrong)?;
        Ok(TextPattern { text: text.into(), whole })
    }

    /// Whether a value matches from its beginning to its end.
    pub fn matches(&self, value: &str) -> bool {
        self.whole.is_match(value)
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &TextPattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, good: &[&str], bad: &[&str]) {
        let pattern = TextPattern::parse(pattern).unwrap();
        for value in good {
            assert!(pattern.matches(value), "{pattern} {value}");
        }
        for value in bad {
            assert!(!pattern.matches(value), "{pattern} {value}");
        }
    }

    #[test]
    fn the_whole_value_matches_or_it_does_not() {
        check("db-[0-9]+", &["db-1", "db-42"], &["", "db-", "xdb-1", "db-1x", "db-1\n"]);
        check("a|ab", &["a", "ab"], &["abb", "b"]);
        check("(?m)a$", &["a"], &["a\nb", "b\na"]);
        check("(?i)GOLD", &["gold", "Gold"], &["golden"]);
        check("", &[""], &["a"]);
        check(r"\|/usr/lib/systemd/.*", &["|/usr/lib/systemd/systemd-coredump %P"], &["core"]);
        check("[a-z]{1,500}", &["a"], &["1"]);
    }

    #[test]
    fn what_is_no_expression_or_too_large_a_one_is_refused() {
        let long = "a".repeat(257);
        for (text, why) in [
            ("a(", "without closing ')'"),
            ("a)|(?:b", "without matching '('"),
            ("[a", ""),
            ("*", ""),
            ("(?x)a # b", "without closing ')'"),
            (r"\p{L}", "Unicode"),
            (r"(a)\1", "backreferences"),
            ("(?=a)", "look-around"),
            ("(a{1000}){1000}", "size limit"),
            (&long, "more than 256 bytes"),
        ] {
            let error = TextPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn no_expression_makes_a_long_value_take_long() {
        // Backtracking would take longer than anybody waits for this test.
        let value = "a".repeat(16 << 10);
        for text in ["(a*)*b", "(a|a)*b", "(.*)(.*)(.*)b", "([a-z]+)+[0-9]"] {
            assert!(!TextPattern::parse(text).unwrap().matches(&value), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_text_matches_itself_alone(text in "\\PC{0,40}", other in "\\PC{0,40}") {
            let pattern = regex_lite::escape(&text);
            prop_assume!(pattern.len() <= TextPattern::LONGEST);
            let pattern = TextPattern::parse(&pattern).unwrap();
            prop_assert!(pattern.matches(&text));
            prop_assert_eq!(pattern.matches(&other), text == other);
        }
    }
}
