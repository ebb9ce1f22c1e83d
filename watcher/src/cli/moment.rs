//! Moments as people write them on the command line.

use jiff::{Span, Timestamp, civil::DateTime, tz::TimeZone};

/// Reads a moment: `2h` and `3d` ago, `2026-08-01`, `2026-08-01T10:00` (in UTC), or with its offset as RFC 3339 has it.
///
/// # Errors
/// It is none of these.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return civil.to_zoned(TimeZone::UTC).map(|moment| moment.timestamp()).map_err(|e| e.to_string());
    }
    let ago = text.parse::<Span>().ok().and_then(|span| now.to_zoned(TimeZone::UTC).checked_sub(span).ok());
    ago.map(|moment| moment.timestamp()).ok_or_else(|| {
        "it is no moment: wanted `2h` or `3d` (ago), `2026-08-01`, `2026-08-01T10:00` or `2026-08-01T10:00:00Z`".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let now = "2026-08-02T12:00:00Z".parse().unwrap();
        assert_eq!(moment(text, now).map(|moment| moment.to_string()).as_deref(), Ok(wanted), "{text}");
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        check("2026-08-01T10:00:00Z", "2026-08-01T10:00:00Z");
        check("2026-08-01T10:00:00.5+02:00", "2026-08-01T08:00:00.5Z");
        check("2026-08-01T10:00", "2026-08-01T10:00:00Z");
        check("2026-08-01 10:00:01", "2026-08-01T10:00:01Z");
        check("2026-08-01", "2026-08-01T00:00:00Z");
        check("2h", "2026-08-02T10:00:00Z");
        check("1h 30m", "2026-08-02T10:30:00Z");
        check("7d", "2026-07-26T12:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_what_is_one() {
        for text in ["", "yesterday", "2026-13-01", "7", "99999999999y", "-1x"] {
            let error = moment(text, Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(error.contains("wanted `2h`"), "{text}: {error}");
        }
    }
}
