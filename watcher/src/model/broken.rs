//! What is wrong with what is declared, short enough to be told to others.

use std::fmt::Write as _;

/// As many characters of one title or hint.
const LONGEST: usize = 300;

/// As many of all of it.
const MOST: usize = 800;

/// What is wrong with what is declared, in a sentence: the first of it with its place, how much more there is, and the first
/// hint. No line of a file is in it: whom it is told is not always who may read that file. All of it is in the status on the
/// host itself. What is short already stays as it is.
pub fn in_short(broken: &str) -> String {
    // Paragraphs that say where, or what to do; not those that count.
    let is_mistake = |paragraph: &&str| ["--> ", "hint: "].iter().any(|mark| paragraph.contains(mark));
    let mut mistakes = broken.split("\n\n").filter(is_mistake);
    let first = mistakes.next().unwrap_or(broken);
    let after = |mark: &str| first.lines().skip(1).find_map(|line| Some(line.split_once(mark)?.1.trim()));
    let title = first.lines().next().unwrap_or_default();
    if first.len() == broken.len() && first.lines().nth(1).is_none() {
        return cut(title, MOST);
    }
    let title = title.strip_prefix("error: ").unwrap_or(title);
    let mut text = after("--> ").map_or(String::new(), |place| format!("{}: ", cut(place, LONGEST / 2)));
    text.push_str(&cut(title, LONGEST));
    match mistakes.count() {
        0 => {}
        more => {
            let _ = write!(text, " (+{more} more)");
        }
    }
    if let Some(hint) = after("hint: ") {
        let _ = write!(text, "; hint: {}", cut(hint, LONGEST));
    }
    text
}

fn cut(text: &str, most: usize) -> String {
    match text.chars().nth(most) {
        Some(_) => text.chars().take(most).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_has_no_line_of_a_file_in_it_and_is_short_however_much_is_wrong() {
        let one = "error: found `a`, wanted b\n --> m.yaml:7:3\n  |\n7 |   secret line\n  |   ^\n  |\n  = hint: c\n\n";
        assert_eq!(in_short(one), "m.yaml:7:3: found `a`, wanted b; hint: c");
        let short = in_short(&format!("{}1000 mistakes in m.yaml", one.repeat(1000)));
        assert_eq!(short, "m.yaml:7:3: found `a`, wanted b (+999 more); hint: c");
        for text in [&*short, "found a FIFO", "the server is down: a hint: no"] {
            assert_eq!(in_short(text), text, "it stays as it is");
        }
        let endless = format!("{0}\n --> {0}\nhint: {0}\n\n{0}", "é".repeat(10_000));
        assert!(in_short(&endless).chars().count() < MOST, "{}", in_short(&endless));
        assert_eq!(in_short(&in_short(&endless)), in_short(&endless));
        assert!(in_short(&"x".repeat(10_000)).len() < 1000);
    }
}
