//! Answers to those who want to know how things stand. Nothing here changes anything.

use super::{
    Watch,
    found::{expected_of, shown},
    tracked::{Known, Tracked},
};
use crate::{
    http::Query,
    judge::State,
    model::{Deployment, DeploymentStatus, Key, RuleStanding, Standing, Status, VerdictStatus, Watched},
};

impl Watch {
    /// Answers. Who asked may have gone.
    pub(super) fn answer(&self, query: Query) {
        match query {
            Query::Status(reply) => drop(reply.send(self.status())),
            Query::Figures(reply) => drop(reply.send((self.status(), self.counters.clone()))),
            Query::Keys(reply) => drop(reply.send(self.watched())),
        }
    }

    fn status(&self) -> Status {
        let (findings, unreadable) = (self.findings(), self.unreadable_keys());
        let news = |deployment: &Deployment, status| deployment.news(status);
        Status {
            status: match findings.is_empty() && unreadable.is_empty() && self.status.broken.is_none() {
                true => VerdictStatus::Synced,
                false => VerdictStatus::OutOfSync,
            },
            findings,
            unreadable,
            deployment: self.ledger.in_force().map(|d| news(d, DeploymentStatus::Finished)),
            window: self.ledger.window().map(|d| news(d, DeploymentStatus::Started)),
            ..self.status.clone()
        }
    }

    /// Every declared key, in the order of their names.
    fn watched(&self) -> Vec<Watched> {
        let declared = self.keys.iter().filter(|tracked| !tracked.checks.is_empty());
        let mut keys: Vec<_> = declared.map(|tracked| self.watched_key(tracked)).collect();
        keys.sort_by_cached_key(|watched| watched.key.to_string());
        keys
    }

    fn watched_by(&self, tracked: &Tracked) -> &str {
        match &tracked.key {
            Key::Sysctl { .. } => &self.status.watching.sysctl,
            Key::Link { .. } => &self.status.watching.link,
            Key::Pressure { .. } if tracked.guarded => "psi",
            Key::Pressure { .. }
            | Key::Meminfo { .. }
            | Key::NetDev { .. }
            | Key::Sysfs { .. }
            | Key::Processes { .. }
            | Key::Cmdline { .. } => "swept",
        }
    }

    fn watched_key(&self, tracked: &Tracked) -> Watched {
        let actual = match &tracked.known {
            Known::Value(value) => value.clone(),
            Known::Nothing => None,
        };
        let rules = tracked.checks.iter().filter_map(|check| {
            let rule = self.rules.get(check.rule)?;
            Some(RuleStanding {
                rule: rule.name.clone(),
                expected: expected_of(&tracked.key, rule, check),
                severity: rule.severity,
                declared_by: rule.source.clone(),
                standing: match check.state {
                    State::Quiet => Standing::Quiet,
                    State::Departing { .. } => Standing::Departing,
                    State::Open => Standing::Open,
                },
            })
        });
        Watched {
            key: tracked.key.clone(),
            surface: tracked.key.surface(),
            actual: actual.map(shown(&tracked.key)),
            watched_by: self.watched_by(tracked).into(),
            readable: !tracked.unreadable,
            rules: rules.collect(),
        }
    }
}
