//! What is recorded beside a verdict: everything that is declared, and everything that is in force.

use super::{
    Watch,
    found::{declared_commit, expected_of, shown},
    tracked::Known,
};
use crate::model::{DeploymentId, Expectation, Expected, Key, Snapshot, Value};

impl Watch {
    /// All that is declared and in force, as it was last read.
    pub(super) fn snapshot(&self, deployment: &DeploymentId) -> Snapshot {
        Snapshot { deployment: deployment.clone(), baseline: self.baseline(), values: self.values() }
    }

    fn values(&self) -> Vec<(Key, Option<Value>)> {
        let values = self.keys.iter().filter_map(|tracked| match &tracked.known {
            Known::Value(value) if !tracked.unreadable && !tracked.checks.is_empty() => {
                Some((tracked.key.clone(), value.clone().map(shown(&tracked.key))))
            }
            Known::Value(_) | Known::Nothing => None,
        });
        values.collect()
    }

    fn baseline(&self) -> Vec<Expected> {
        let checks = self.keys.iter().flat_map(|tracked| tracked.checks.iter().map(move |c| (tracked, c)));
        let expected = checks.filter_map(|(tracked, check)| {
            let rule = self.rules.get(check.rule)?;
            let captured = check.captured.as_ref();
            let captures = matches!(rule.expectation, Expectation::Captured(_));
            let known = !captures || captured.is_some();
            Some(Expected {
                key: tracked.key.clone(),
                rule: rule.name.to_string(),
                expected: known.then(|| expected_of(&tracked.key, rule, check)),
                declared_by: rule.source.clone(),
                declared_commit: declared_commit(rule, check.captured.as_deref()),
            })
        });
        expected.collect()
    }
}
