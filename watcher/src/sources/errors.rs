//! Everything that is wrong with the sources, told at once: who mends one of them need not come back for the next.

use std::fmt;

use super::SourceError;

/// Everything that is wrong with the sources, in the order in which it was met. Never empty where it is an error.
#[derive(Debug, Default)]
pub struct SourceErrors(Vec<SourceError>);

impl SourceErrors {
    /// So many are told, and the rest is counted: no host has as many sources by intention.
    const MOST_TOLD: usize = 20;

    /// Notes what is wrong with one source.
    pub fn push(&mut self, error: SourceError) {
        self.0.push(error);
    }

    /// Notes what is wrong with others.
    pub fn extend(&mut self, others: SourceErrors) {
        self.0.extend(others.0);
    }

    /// What was read, where nothing was wrong, here or there; else all that was.
    pub fn or<T>(mut self, read: Result<T, SourceErrors>) -> Result<T, SourceErrors> {
        match read {
            Ok(read) if self.0.is_empty() => return Ok(read),
            Ok(_) => {}
            Err(others) => self.extend(others),
        }
        Err(self)
    }

    /// Whether mistakes in files are all that is wrong: everything could be read.
    pub fn are_mistakes(&self) -> bool {
        self.0.iter().all(|error| matches!(error, SourceError::Problems(_)))
    }

    /// All of it as a person reads it, a paragraph each.
    pub fn render(&self, color: bool) -> String {
        let told = self.0.iter().take(SourceErrors::MOST_TOLD).map(|error| match error {
            SourceError::Problems(problems) => problems.render(color),
            other => other.to_string(),
        });
        let mut text = told.collect::<Vec<_>>().join("\n\n");
        let more = self.0.len().saturating_sub(SourceErrors::MOST_TOLD);
        if more > 0 {
            text.push_str(&format!("\n\nand {more} more like these"));
        }
        text
    }
}

impl From<SourceError> for SourceErrors {
    fn from(error: SourceError) -> SourceErrors {
        SourceErrors(vec![error])
    }
}

impl fmt::Display for SourceErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for SourceErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_told_and_of_very_much_the_rest_is_counted() {
        let error = |name: usize| SourceError::NoProfile { name: name.to_string(), looked: "`/etc`".into() };
        let mut errors = SourceErrors::default();
        (0..2).for_each(|name| errors.push(error(name)));
        insta::assert_snapshot!(errors, @"
        found no profile `0` in `/etc`
        hint: name a profile of this host, or its file

        found no profile `1` in `/etc`
        hint: name a profile of this host, or its file
        ");
        (2..30).for_each(|name| errors.push(error(name)));
        assert!(errors.to_string().ends_with("\n\nand 10 more like these"), "{errors}");
    }

    #[test]
    fn what_was_read_counts_where_nothing_was_wrong_before_it_either() {
        let wrong = || SourceErrors::from(SourceError::TooManyMatches { most: 1, of: "keys" });
        assert!(SourceErrors::default().or(Ok(())).is_ok());
        assert_eq!(wrong().or(Ok(())).unwrap_err().0.len(), 1);
        assert_eq!(wrong().or::<()>(Err(wrong())).unwrap_err().0.len(), 2);
    }
}
