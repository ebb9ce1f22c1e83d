//! Globs over one component of a path, as glob(7) has them: `*`, `?` and sets.
//!
//! The libraries for this read `**`, `[^a]` and `\*` otherwise than the C library does, and it is the C library that
//! systemd-sysctl, procps and TuneD ask.

/// Whether a component has a wildcard in it.
pub(super) fn is_glob(component: &str) -> bool {
    component.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether a component fits a glob. A wildcard does not stand for a leading dot.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with(['.', '\\']) {
        return false;
    }
    // Where the last `*` stands, and how much of the name it has taken: only the last one is ever tried again, so
    // that no pattern takes longer than its length times the name's.
    let mut last: Option<(&str, &str)> = None;
    let (mut pattern, mut rest) = (pattern, name);
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            last = Some((after, rest));
            pattern = after;
            continue;
        }
        let mut chars = rest.chars();
        let step = match chars.next() {
            None if pattern.is_empty() => return true,
            None => None,
            Some(char) => one(pattern, char),
        };
        if let Some(after) = step {
            (pattern, rest) = (after, chars.as_str());
            continue;
        }
        let Some((after, taken)) = last else { return false };
        let mut taken = taken.chars();
        if taken.next().is_none() {
            return false;
        }
        last = Some((after, taken.as_str()));
        (pattern, rest) = (after, taken.as_str());
    }
}

/// What is left of a pattern after one character matched; `None` where it does not.
fn one(pattern: &str, char: char) -> Option<&str> {
    let mut chars = pattern.chars();
    match chars.next()? {
        '?' => Some(chars.as_str()),
        '[' => match set(chars.as_str(), char) {
            Some((true, after)) => Some(after),
            Some((false, _)) => None,
            // A bracket that is not closed is a bracket.
            None => (char == '[').then_some(chars.as_str()),
        },
        '\\' => (chars.next()? == char).then_some(chars.as_str()),
        other => (other == char).then_some(chars.as_str()),
    }
}

/// Whether a character is in the set that begins after its `[`, and what follows the set; `None` where it never ends.
fn set(text: &str, char: char) -> Option<(bool, &str)> {
    let (negated, mut rest) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut found = false;
    let mut first = true;
    loop {
        let mut chars = rest.chars();
        let mut from = chars.next()?;
        // The first may be the closing bracket itself.
        if from == ']' && !first {
            return Some((found != negated, chars.as_str()));
        }
        first = false;
        if from == '\\' {
            from = chars.next()?;
        }
        rest = chars.as_str();
        let mut to = from;
        if let Some(after) = rest.strip_prefix('-')
            && !after.starts_with(']')
        {
            let mut chars = after.chars();
            to = chars.next()?;
            if to == '\\' {
                to = chars.next()?;
            }
            rest = chars.as_str();
        }
        found |= (from..=to).contains(&char);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(fits(pattern, name), "{pattern} does not match {name}");
        }
        for name in no {
            assert!(!fits(pattern, name), "{pattern} matches {name}");
        }
    }

    #[test]
    fn a_fits_as_glob_7_says() {
        check("eth0", &["eth0"], &["eth", "eth00", ""]);
        check("*", &["", "a", "eth0.100"], &[".a"]);
        check(".*", &[".a"], &["a"]);
        check("e*0", &["e0", "eth0", "eth00"], &["eth0.1", "th0"]);
        check("**", &["a"], &[".a"]);
        check("eth?", &["eth0"], &["eth", "eth10"]);
        check("[el]*", &["eth0", "lo"], &["hub0"]);
        check("[!el]*", &["hub0"], &["eth0"]);
        check("[^el]*", &["hub0"], &["eth0"]);
        check("eth[0-9]", &["eth0", "eth9"], &["ethx"]);
        check("a[]]b", &["a]b"], &["ab"]);
        check("a[b-]c", &["a-c", "abc"], &["axc"]);
        check("a[b", &["a[b"], &["ab"]);
        check("\\*", &["*"], &["a"]);
        check("*a*b*", &["ab", "xaxbx"], &["ba"]);
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        assert!(!fits(&"*a".repeat(10_000), &"a".repeat(9_999)));
    }

    /// The same in the shortest way, for small patterns of `*`, `?` and letters.
    fn simply(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                simply(rest, name) || matches!(name, [_, tail @ ..] if simply(pattern, tail))
            }
            ([b'?', rest @ ..], [_, tail @ ..]) => simply(rest, tail),
            ([p, rest @ ..], [n, tail @ ..]) => p == n && simply(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_the_shortest_way(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(fits(&pattern, &name), simply(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn no_pattern_panics(pattern in "[\\PC\\[\\]!^*?-]{0,20}", name in "\\PC{0,20}") {
            fits(&pattern, &name);
        }
    }
}
