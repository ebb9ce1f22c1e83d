//! Outlets: which sinks there are outside this host, and what each is told. Nothing here tells.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{Finding, FindingState, Key, NamePattern, Outcome, Pattern, Severity, What};

/// How the descriptions begin of the deployment statuses that driftd sets at GitHub: what comes back so is no deployment.
pub const OWN_STATUS: &str = "driftd on ";

/// A sink outside this host, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// Its name in the configuration.
    pub sink: Arc<str>,
    /// What it is told.
    pub routing: Routing,
    /// After how long it is told again of a finding that is still open.
    pub remind: Option<Duration>,
    /// What it is told of findings that open and heal again and again.
    pub flapping: Flapping,
}

/// What is told of findings that open and heal again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, VariantArray)]
pub enum Flapping {
    /// How it ended, when it is quiet.
    #[default]
    Held,
    /// Each time.
    Told,
}

impl Flapping {
    /// The word for it, as in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Flapping::Held => "held",
            Flapping::Told => "told",
        }
    }
}

/// How a finding opens and heals again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaps {
    /// How often it opened lately.
    pub opened: u64,
    /// Who wrote the key lately, the last one first.
    pub writers: Vec<String>,
}

impl fmt::Display for Flaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flaps: opened {} times within ten minutes", self.opened)?;
        match self.writers.as_slice() {
            [] => Ok(()),
            [one] => write!(f, ", written by {one}"),
            [last, others @ ..] => write!(f, ", written in turn by {} and {last}", others.join(", ")),
        }
    }
}

/// What a sink is told. A list that is not there asks for nothing; one that is there is not met by what does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// The least severity of the findings it is told of. A finding has one for life: healed is told where opened was.
    pub least: Severity,
    /// The rules whose findings it is told of.
    pub rules: Option<Vec<NamePattern>>,
    /// The keys whose findings it is told of.
    pub keys: Option<Vec<KeyChoice>>,
    /// The applications whose findings and verdicts it is told of.
    pub apps: Option<Vec<NamePattern>>,
    /// The environments whose findings and verdicts it is told of.
    pub environments: Option<Vec<NamePattern>>,
    /// Whether it is told of findings.
    pub findings: bool,
    /// Whether it is told of verdicts.
    pub verdicts: bool,
    /// Whether it is told of losses.
    pub losses: bool,
}

/// A key, or many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChoice {
    /// This.
    One(Key),
    /// Those that a pattern means.
    Several(Pattern),
}

impl KeyChoice {
    fn means(&self, key: &Key) -> bool {
        match self {
            KeyChoice::One(one) => one == key,
            KeyChoice::Several(pattern) => pattern.means(key),
        }
    }
}

/// Under what something happened: the deployment's application, environment and repository, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beneath {
    /// The application.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The repository.
    pub repo: Option<String>,
}

impl Default for Routing {
    /// Everything.
    fn default() -> Routing {
        Routing {
            least: Severity::Info,
            rules: None,
            keys: None,
            apps: None,
            environments: None,
            findings: true,
            verdicts: true,
            losses: true,
        }
    }
}

impl Routing {
    /// Whether the sink is told of it.
    pub fn takes(&self, what: &What, beneath: &Beneath) -> bool {
        match what {
            // One that was told before its rule was muted, and is told to be a fight under the mute, is for nobody.
            What::Finding(finding) => {
                !(finding.hushed && finding.state == FindingState::Opened)
                    && self.takes_finding(finding)
                    && self.takes_beneath(beneath)
            }
            // Somebody must look: what was to be put right by itself is not.
            What::Remedy(remedied) => {
                matches!(remedied.outcome, Outcome::Stopped | Outcome::Failed)
                    && !remedied.muted
                    && self.takes_of(remedied.severity, &remedied.rule, &remedied.key)
                    && self.takes_beneath(beneath)
            }
            What::Verdict(_) => self.verdicts && self.takes_beneath(beneath),
            What::Loss(_) => self.losses,
            What::Start(_)
            | What::Deployment(_)
            | What::Change(_)
            | What::Touch(_)
            | What::Sweep(_)
            | What::Ignored(_) => false,
        }
    }

    /// Whether the sink is told of a finding, whatever it happened under. Of one that is muted none is.
    pub fn takes_finding(&self, finding: &Finding) -> bool {
        finding.muted.is_none() && self.takes_of(finding.severity, &finding.rule, &finding.key)
    }

    fn takes_of(&self, severity: Severity, rule: &str, key: &Key) -> bool {
        self.findings
            && severity >= self.least
            && is_met(self.rules.as_deref(), Some(rule))
            && self.keys.as_ref().is_none_or(|keys| keys.iter().any(|choice| choice.means(key)))
    }

    /// Whether it matters what something happened under.
    pub fn asks_beneath(&self) -> bool {
        self.apps.is_some() || self.environments.is_some()
    }

    fn takes_beneath(&self, Beneath { app, environment, .. }: &Beneath) -> bool {
        is_met(self.apps.as_deref(), app.as_deref())
            && is_met(self.environments.as_deref(), environment.as_deref())
    }
}

fn is_met(patterns: Option<&[NamePattern]>, said: Option<&str>) -> bool {
    patterns.is_none_or(|patterns| said.is_some_and(|said| patterns.iter().any(|p| p.matches(said))))
}

/// How the messages to one sink stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStanding {
    /// The sink.
    pub sink: String,
    /// How many messages wait, those that were tried in vain included.
    pub waiting: u64,
    /// How many were given up: `driftd alerts retry` sends them again.
    pub dead: u64,
    /// What was said of the last that was tried in vain.
    pub why: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mute;

    #[test]
    fn no_sink_is_told_of_a_finding_while_it_is_muted() {
        let text = r#"{"finding":"f","state":"opened","key":"vm.swappiness","rule":"r","severity":"critical",
            "expected":"60","actual":"61","previous":null,"requested":null,"commit":null,"declared_commit":null,
            "declared_by":{"file":"f","line":1},"cause":"unknown","writer":null,"seen_by":"sweep","deployment":null,
            "opened":"2026-08-01T10:00:00Z","healed":null}"#;
        let mut finding: Finding = serde_json::from_str(text).unwrap();
        let takes = |finding: &Finding| {
            let what = What::Finding(Box::new(finding.clone()));
            Routing::default().takes(&what, &Beneath::default())
        };
        assert!(takes(&finding));
        finding.muted = Some(Mute { until: "2026-12-01T00:00:00Z".parse().unwrap(), reason: None });
        assert!(!takes(&finding));
        // Told before its rule was muted: nothing more of it while it is open, and then that it healed.
        (finding.muted, finding.hushed) = (None, true);
        assert!(!takes(&finding));
        (finding.state, finding.hushed) = (FindingState::Healed, false);
        assert!(takes(&finding));
    }

    #[test]
    fn of_remedies_a_sink_hears_where_somebody_must_look_and_of_findings_that_are_its() {
        let told = |outcome: &str, routing: &Routing| {
            let remedied = serde_json::from_str(&format!(
                r#"{{"finding":"f","key":"vm.swappiness","rule":"memory","severity":"warning","remedy":"revert",
                "outcome":"{outcome}","previous":"61","requested":"10","actual":"61",
                "declared_by":{{"file":"f","line":1}},"asked_by":null,"commit":null}}"#
            ));
            routing.takes(&What::Remedy(remedied.unwrap()), &Beneath::default())
        };
        let all = Routing::default();
        let heard = ["done", "dry-run", "refused", "failed", "stopped", "interrupted"];
        let heard: Vec<_> = heard.into_iter().filter(|outcome| told(outcome, &all)).collect();
        assert_eq!(heard, ["failed", "stopped"]);
        assert!(!told("stopped", &Routing { findings: false, ..Routing::default() }));
        assert!(!told("stopped", &Routing { least: Severity::Critical, ..Routing::default() }));
    }
}
