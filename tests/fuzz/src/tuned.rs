//! What a profile of TuneD says, and what of it is not understood, stands in a line that the text has.

use watcher::declared::tuned::{Profile, declare};

pub fn feed(text: &str) {
    let profile = Profile::parse(&"f".into(), text);
    let includes: Vec<usize> = profile.includes().iter().map(|include| include.source.line).collect();
    let parsed = declare(&"s".into(), &[profile]);
    let declared = parsed.lines.iter().map(|line| line.source.line);
    let not_understood = parsed.not_understood.iter().map(|line| line.source.line);
    let most = text.lines().count();
    for line in declared.chain(not_understood).chain(includes) {
        assert!((1..=most).contains(&line), "{line} of {most}");
    }
    for line in &parsed.not_understood {
        assert!(!line.text.contains(char::is_control) && !line.why.is_empty(), "{line:?}");
    }
}
