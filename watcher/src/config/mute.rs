//! `mute:` of a rule: until when no sink is told of its findings, and why. It has an end, always: what nobody ever hears of
//! again is better not declared.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    file::Config,
    node::{Entry, Tree},
    problem::{Problems, Wrong},
    scalar,
};
use crate::model::{Mute, Rule};

const FIELDS: [&str; 2] = ["until", "reason"];

const UNTIL: &str = "a day such as `2026-12-01`, or a moment such as `2026-12-01T08:00:00Z`";

/// Reads it. That the end is past is no mistake: the file was right once, and what departs is told again.
pub(super) fn mute(entry: &Entry, problems: &mut Problems) -> Option<Mute> {
    let Tree::Map(fields) = &entry.value.tree else {
        let wrong = Wrong::new("a map with `until`")
            .hint("until when, and why: `mute: { until: 2026-12-01, reason: \"being moved\" }`");
        problems.push(entry.value.span, entry.value.described(), wrong);
        return None;
    };
    let (mut until, mut reason) = (None, None);
    for field in fields {
        match &*field.name.text {
            "until" => until = Some(scalar::value(&field.value, UNTIL, problems, moment)),
            "reason" => reason = scalar::text(&field.value, "why it is muted", problems),
            _ => scalar::unknown(&field.name, "a field of `mute`", &FIELDS, problems),
        }
    }
    if until.is_none() {
        let wrong = Wrong::new("`until` in it")
            .hint("a mute ends: say when, as in `until: 2026-12-01`; what is not to be judged needs no rule");
        problems.push(entry.name.span, "`mute` without an end", wrong);
    }
    Some(Mute { until: until??, reason: reason.map(Into::into) })
}

/// A moment with its offset, or one of UTC: a day begins at midnight.
fn moment(text: &str) -> Result<Timestamp, Wrong> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let civil = text.parse::<DateTime>().ok();
    let moment = civil.and_then(|civil| civil.to_zoned(TimeZone::UTC).ok());
    moment.map(|moment| moment.timestamp()).ok_or_else(|| {
        Wrong::new(UNTIL).hint("years come first; without an offset it is UTC, and a day begins at midnight")
    })
}

impl Config {
    /// Adds to the warnings that mutes are over, where some are at `now`.
    pub fn warn_of_ended_mutes(&mut self, now: Timestamp) {
        let over = |rule: &Rule| {
            let mute = rule.mute.as_ref().filter(|mute| mute.is_over(now))?;
            Some(format!("`{}` ({}), until {}", rule.name, rule.source, mute.until))
        };
        let over: Vec<String> = self.rules.iter().filter_map(over).collect();
        if !over.is_empty() {
            self.warnings.push(format!(
                "these rules were muted until a moment that is past, so that they are told again: {}\n\
                 hint: remove `mute`, or give it a later end",
                over.join(", ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn rules(mute: &str) -> String {
        format!("drift_rules:\n  r:\n    keys: vm.swappiness\n    expect: 10\n    mute: {mute}\n")
    }

    #[track_caller]
    fn check(until: &str, wanted: &str) {
        let config =
            parse("driftd.yaml", &rules(&format!("{{ until: {until}, reason: being moved }}"))).unwrap();
        let mute = config.rules[0].mute.as_ref().unwrap();
        assert_eq!((mute.until.to_string().as_str(), mute.reason.as_deref()), (wanted, Some("being moved")));
    }

    #[test]
    fn a_mute_ends_at_a_moment_or_when_a_day_begins() {
        check("2026-12-01", "2026-12-01T00:00:00Z");
        check("2026-12-01T08:00", "2026-12-01T08:00:00Z");
        check("\"2026-12-01 08:00:00\"", "2026-12-01T08:00:00Z");
        check("2026-12-01T08:00:00+02:00", "2026-12-01T06:00:00Z");
    }

    #[test]
    fn a_mute_without_an_end_or_with_one_that_is_none_is_a_mistake_with_its_cure() {
        let problems = |mute| parse("driftd.yaml", &rules(mute)).unwrap_err();
        insta::assert_snapshot!(problems("{ reason: later }"), @r#"
        error: found `mute` without an end, wanted `until` in it
         --> driftd.yaml:5:5
          |
        5 |     mute: { reason: later }
          |     ^^^^
          |
          = hint: a mute ends: say when, as in `until: 2026-12-01`; what is not to be judged needs no rule

        1 mistake in driftd.yaml
        "#);
        insta::assert_snapshot!(problems("{ until: tomorrow, why: later }"), @r#"
        error: found `tomorrow`, wanted a day such as `2026-12-01`, or a moment such as `2026-12-01T08:00:00Z`
         --> driftd.yaml:5:20
          |
        5 |     mute: { until: tomorrow, why: later }
          |                    ^^^^^^^^
          |
          = hint: years come first; without an offset it is UTC, and a day begins at midnight

        error: found `why`, wanted a field of `mute`
         --> driftd.yaml:5:30
          |
        5 |     mute: { until: tomorrow, why: later }
          |                              ^^^
          |
          = hint: known here: `until`, `reason`

        2 mistakes in driftd.yaml
        "#);
        insta::assert_snapshot!(problems("true"), @r#"
        error: found `true`, wanted a map with `until`
         --> driftd.yaml:5:11
          |
        5 |     mute: true
          |           ^^^^
          |
          = hint: until when, and why: `mute: { until: 2026-12-01, reason: "being moved" }`

        1 mistake in driftd.yaml
        "#);
    }

    #[test]
    fn an_end_that_is_past_is_said() {
        let mut config = parse("driftd.yaml", &rules("{ until: 2026-12-01 }")).unwrap();
        config.warn_of_ended_mutes("2026-11-30T23:59:59Z".parse().unwrap());
        assert_eq!(config.warnings, Vec::<String>::new());
        config.warn_of_ended_mutes("2026-12-01T00:00:00Z".parse().unwrap());
        insta::assert_snapshot!(config.warnings.join("\n"), @r#"
        these rules were muted until a moment that is past, so that they are told again: `r` (driftd.yaml:4), until 2026-12-01T00:00:00Z
        hint: remove `mute`, or give it a later end
        "#);
    }
}
