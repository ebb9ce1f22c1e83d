//! How many tests passed and failed, read from the closing lines of the runners.

use std::{fmt, ops::AddAssign};

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    /// One thing that was tried and failed, where no runner was there to count it.
    pub const FAILURE: Tally = Tally { passed: 0, failed: 1 };

    /// The same with at least one failure: for what failed as a whole, whatever was counted.
    pub fn failed(self) -> Tally {
        Tally { failed: self.failed.max(1), ..self }
    }

    /// What a runner's closing line says: `test result: ok. 3 passed; 0 failed; …`. `None` for any other line.
    pub fn of_line(line: &str) -> Option<Tally> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count = |word: &str| {
            let part = counts.split(';').find_map(|part| part.trim().strip_suffix(word))?;
            part.trim().parse().ok()
        };
        Some(Tally { passed: count(" passed")?, failed: count(" failed")? })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_runner_is_counted_and_no_other() {
        let line = "test result: FAILED. 37 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 9.1s\r";
        assert_eq!(Tally::of_line(line), Some(Tally { passed: 37, failed: 2 }));
        for other in ["", "test result: ok.", "test a ... ok", "test result: ok. many passed; 0 failed;"] {
            assert_eq!(Tally::of_line(other), None, "{other}");
        }
    }
}
