//! What a runner in a guest says of each scenario: reads its lines, `test MODE::CLAIM ... ok`.

/// What came of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The plan it was tried under.
    pub mode: String,
    /// What it claims.
    pub claim: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a scenario that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The claim holds.
    Holds,
    /// It does not, or the guest ended before it was known.
    Fails,
}

/// The scenarios that lines told of so far.
#[derive(Debug, Default)]
pub struct Claims {
    told: Vec<Claim>,
    /// Whether the outcome of the last one is yet to come.
    pending: bool,
}

impl Claims {
    /// Takes a line. A scenario that fails, or during which the kernel says something, has its outcome on a line of
    /// its own.
    pub fn take(&mut self, line: &str) {
        let line = line.trim_end();
        let begun = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ..."));
        let named = begun.and_then(|(name, outcome)| {
            let (mode, claim) = name.trim_end().split_once("::")?;
            Some((mode, claim, outcome.trim_start()))
        });
        let outcome = match named {
            Some((mode, claim, outcome)) => {
                let (mode, claim) = (mode.to_owned(), claim.to_owned());
                self.told.push(Claim { mode, claim, outcome: Outcome::Fails });
                self.pending = true;
                outcome
            }
            None => line,
        };
        if !self.pending {
            return;
        }
        match outcome {
            "ok" => {
                if let Some(last) = self.told.last_mut() {
                    last.outcome = Outcome::Holds;
                }
                self.pending = false;
            }
            "FAILED" => self.pending = false,
            _ => {}
        }
    }

    /// All of them. One whose outcome never came has failed.
    pub fn finish(self) -> Vec<Claim> {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(console: &str, expected: &[(&str, &str, Outcome)]) {
        let mut claims = Claims::default();
        console.lines().for_each(|line| claims.take(line));
        let claims = claims.finish();
        let told: Vec<_> = claims.iter().map(|c| (c.mode.as_str(), c.claim.as_str(), c.outcome)).collect();
        assert_eq!(told, expected, "{console}");
    }

    #[test]
    fn each_scenario_has_an_outcome_and_one_that_was_cut_off_has_failed() {
        check(
            "running 2 tests\ntest kprobe::a   ... ok\r\ntest none::b ... ok\n",
            &[("kprobe", "a", Outcome::Holds), ("none", "b", Outcome::Holds)],
        );
        check(
            "test kprobe::a ... panicked at tests/a.rs:1:2\nFAILED\ntest cgroup::a ... ok\n",
            &[("kprobe", "a", Outcome::Fails), ("cgroup", "a", Outcome::Holds)],
        );
        check(
            "test kprobe::a ... [   12.1] device driftd0 entered promiscuous mode\nok\n",
            &[("kprobe", "a", Outcome::Holds)],
        );
        check("test kprobe::a ... \n[3.0] Kernel panic\n", &[("kprobe", "a", Outcome::Fails)]);
    }

    #[test]
    fn what_is_no_scenario_is_none() {
        check(
            "test result: ok. 3 passed; 0 failed\nok\ndriftd-vm: pid 1 speaks\ntest panicked: x ... ok\n",
            &[],
        );
    }
}
