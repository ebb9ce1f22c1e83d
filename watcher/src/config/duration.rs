//! Durations as people write them: a whole number and a unit.

use std::time::Duration;

use super::problem::Wrong;

/// Longer than anything here is meant to take, and short enough that no sum of moments overflows.
const MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What is wanted where a duration stands.
pub(super) const WANTED: &str = "a duration such as `30s`";

/// Reads `100ms`, `30s`, `5m`, `1h`, `1d`.
pub(super) fn parse(text: &str) -> Result<Duration, Wrong> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let wrong = || Wrong::new(WANTED);
    if digits.is_empty() {
        return Err(wrong().hint("a whole number and one of `ms`, `s`, `m`, `h`, `d`"));
    }
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(wrong().hint(format!("add the unit: `{digits}s`"))),
        _ => return Err(wrong().hint("a whole number and one of `ms`, `s`, `m`, `h`, `d`")),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(millis))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MOST)
        .ok_or_else(|| Wrong::new("a duration of at most `366d`"))
}

/// Reads a duration that must not be shorter than `least`.
pub(super) fn at_least(least: Duration, text: &str) -> Result<Duration, Wrong> {
    let duration = parse(text)?;
    if duration < least {
        return Err(Wrong::new(format!("a duration of at least `{}s`", least.as_secs())));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: u64) {
        assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "of {text}");
    }

    #[track_caller]
    fn check_refused(text: &str, said: &str) {
        let wrong = parse(text).unwrap_err();
        let words = format!("{} {}", wrong.wanted, wrong.hint.unwrap_or_default());
        assert!(words.contains(said), "of {text}: {words}");
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        check("0s", 0);
        check("100ms", 100);
        check("30s", 30_000);
        check("5m", 300_000);
        check("1h", 3_600_000);
        check("366d", 366 * 86_400_000);
    }

    #[test]
    fn a_duration_without_its_unit_is_refused_with_the_cure() {
        check_refused("30", "add the unit: `30s`");
        check_refused("", "one of `ms`");
        check_refused("s", "one of `ms`");
        check_refused("-1s", "one of `ms`");
        check_refused("1.5s", "one of `ms`");
        check_refused("5 m", "one of `ms`");
        check_refused("5min", "one of `ms`");
        check_refused("1h30m", "one of `ms`");
        check_refused("367d", "at most `366d`");
        check_refused("99999999999999999999d", "at most `366d`");
        check_refused("18446744073709551615d", "at most `366d`");
    }
}
