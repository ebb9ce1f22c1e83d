//! Patterns: a name in which `*` stands for any run of characters, none included.

/// A name, or many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Box<str>);

impl NamePattern {
    /// The pattern of a text.
    pub fn new(text: &str) -> NamePattern {
        NamePattern(text.into())
    }

    /// Whether a name is one of these. The case counts; `*` passes over a `/` as well.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // What stands between two stars is looked for as early as it can be: that leaves the most for the others.
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// The pattern, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, good: &[&str], bad: &[&str]) {
        let pattern = NamePattern(pattern.into());
        for name in good {
            assert!(pattern.matches(name), "{pattern:?} {name}");
        }
        for name in bad {
            assert!(!pattern.matches(name), "{pattern:?} {name}");
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters_and_everything_else_is_itself() {
        check("main", &["main"], &["", "mai", "main2", "Main", "x/main"]);
        check("release/*", &["release/", "release/1", "release/1/2"], &["release", "xrelease/1"]);
        check("*/web", &["acme/web", "/web", "a/b/web"], &["web", "acme/web2"]);
        check("a*b*c", &["abc", "axbxc", "abcbc", "aabbcc"], &["ab", "acb", "abcx"]);
        check("*", &["", "anything"], &[]);
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("**", &["", "x"], &[]);
        check("prod.eu", &["prod.eu"], &["prodxeu"]);
    }
}
