//! What is wrong with what is declared, as others than the host itself are told: without the lines of files, which whom it is
//! told may not be able to read.

use std::fmt::Write as _;

/// As many characters of one title or hint.
const LONGEST: usize = 300;

/// As many of all of it.
const MOST: usize = 800;

/// As many bytes of all that is wrong.
const ALL: usize = 16 * 1024;

/// All that is wrong with what is declared, for whoever delivered it: of a mistake in a file what it is, where, and what to do,
/// and not the line that it is in.
pub fn without_source(broken: &str) -> String {
    let (mut text, mut more) = (String::new(), 0);
    for paragraph in broken.split("\n\n") {
        let is_shown = paragraph.lines().any(|line| line.trim_start().starts_with("--> "));
        let is_kept = |(at, line): &(usize, &str)| {
            let line = line.trim_start().trim_start_matches("= ");
            !is_shown || *at == 0 || line.starts_with("--> ") || line.starts_with("hint: ")
        };
        let kept: Vec<_> = paragraph.lines().enumerate().filter(is_kept).map(|(_, line)| line).collect();
        let kept = kept.join("\n");
        // The first is told, whatever its length.
        match (text.is_empty(), text.len() + kept.len() > ALL) {
            (true, _) => text.push_str(kept.get(..kept.floor_char_boundary(ALL)).unwrap_or_default()),
            (false, true) => more += 1,
            (false, false) => {
                let _ = write!(text, "\n\n{kept}");
            }
        }
    }
    if more > 0 {
        let _ = write!(text, "\n\nand {more} more like these");
    }
    text
}

/// What is wrong with what is declared, in a sentence: the first of it with its place, how much more there is, and the first
/// hint. All of it is in the status on the host itself. What is short already stays as it is.
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
        assert_eq!(in_short(&without_source(&one.repeat(3))), in_short(&one.repeat(3)));
        let endless = format!("{0}\n --> {0}\nhint: {0}\n\n{0}", "é".repeat(10_000));
        assert!(in_short(&endless).chars().count() < MOST, "{}", in_short(&endless));
        assert_eq!(in_short(&in_short(&endless)), in_short(&endless));
        assert!(in_short(&"x".repeat(10_000)).len() < 1000);
    }
    #[test]
    fn who_delivered_is_told_every_mistake_and_no_line_of_a_file() {
        let mistakes = "error: found `a`, wanted b\n --> m.yaml:7:3\n  |\n7 |   secret: --> hint: line\n  |   ^\n  |\n  = hint: c\n\n\
            error: found d, wanted e\n --> m.yaml:9:1\n  |\n9 | line\n  | ^^^^\n\n2 mistakes in m.yaml";
        let told = without_source(mistakes);
        let wanted = "error: found `a`, wanted b\n --> m.yaml:7:3\n  = hint: c\n\n\
            error: found d, wanted e\n --> m.yaml:9:1\n\n2 mistakes in m.yaml";
        assert_eq!(told, wanted);
        assert_eq!(without_source(&told), told);
        let whole = "git: no answer\nfatal: x | y\nhint: z";
        assert_eq!(without_source(whole), whole);
        let many = without_source(&vec![mistakes; 1000].join("\n\n"));
        assert!(many.len() < ALL + 100 && many.ends_with(" more like these"), "{} bytes", many.len());
        assert_eq!(without_source(&"x".repeat(ALL + 1)), "x".repeat(ALL));
    }
}
