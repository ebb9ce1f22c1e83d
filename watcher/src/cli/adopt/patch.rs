//! A unified diff of two texts that differ in one place. What they say is not known here.

use anyhow::bail;

use crate::model::Source;

/// The lines around a change that a unified diff shows.
const AROUND: usize = 3;

/// A unified diff of two texts that differ in one place; its names are below the root, for `patch -p1 -d /`, or below that of
/// a checkout.
pub(super) fn patch(file: &str, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let tail = tail.min(old.len().min(new.len()) - same);
    let start = same.saturating_sub(AROUND);
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let after = AROUND.min(tail);
    // A tab ends a name that has a blank in it, as git writes it.
    let name = file.trim_start_matches('/').to_owned() + if file.contains(' ') { "\t" } else { "" };
    let mut text = format!(
        "--- a/{name}\n+++ b/{name}\n@@ -{},{} +{},{} @@\n",
        start + 1,
        old_end + after - start,
        start + 1,
        new_end + after - start
    );
    let mut push = |sign: char, lines: Option<&[&str]>| {
        for line in lines.unwrap_or_default() {
            text.push(sign);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    push(' ', old.get(start..same));
    push('-', old.get(same..old_end));
    push('+', new.get(same..new_end));
    push(' ', old.get(old_end..old_end + after));
    text
}

/// A patch that does nothing to the terminal it is shown on. It has to be exact, so that nothing in it is made an escape: what
/// stands around the line may be anybody's.
pub(super) fn harmless(patch: String, place: &Source) -> anyhow::Result<String> {
    let is_odd = |line: &str| line.trim_end_matches('\r').contains(|c: char| c.is_control() && c != '\t');
    match patch.lines().any(is_odd) {
        true => bail!(
            "found control characters around {place}, wanted text that can be shown\nhint: edit the file"
        ),
        false => Ok(patch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_does_nothing_to_the_terminal_it_is_shown_on() {
        let place = Source { file: "/etc/f".into(), line: 7 };
        assert!(harmless(" a\tb\r\n-c\n".into(), &place).is_ok());
        for odd in ["a\u{1b}[2J\n", "a\rb\n", "a\u{9b}"] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(harmless(odd.into(), &place).unwrap_err(), @r"
                found control characters around /etc/f:7, wanted text that can be shown
                hint: edit the file
                ");
            }
        }
    }
}
