//! What is to happen with a finding whose remedy is due: nothing yet, a write, or a word why there is none.

use std::time::Duration;

use jiff::SignedDuration;

use super::{NO_RIGHT, Said, Waiting};
use crate::{
    judge::{Judgement, judge},
    model::{Act, Expectation, Key, Now, Outcome, Remedy, Rule, Value, Writer},
    remedy::{Order, Refusal, Step, plan, through_counterpart},
    watch::{
        Watch,
        fight::fought_over,
        found::declared_commit,
        tracked::{Check, Known},
    },
};

/// What is to happen with a finding whose remedy is due.
pub(super) enum Due {
    /// Nothing any more: it is over.
    Over,
    /// Nothing yet: what is in force is not known.
    Wait,
    /// It is told, and that is all.
    Tell(Said),
    /// It is told, and decided again when two who fight have rested.
    Rest(Act, Said),
    /// The live value is taken.
    Adopt,
    /// It is written.
    Order(Order),
}

impl Watch {
    /// What is to happen with a finding. Decided anew each time: much may have happened meanwhile.
    pub(super) fn decide(&self, waiting: &Waiting, now: Now) -> Due {
        let Some((tracked, rule, check)) = self.finding_of(waiting) else { return Due::Over };
        if tracked.asked_under.is_some() {
            return Due::Wait;
        }
        let live = match &tracked.known {
            Known::Value(value) => value.as_ref(),
            Known::Nothing => return Due::Wait,
        };
        let fight = fought_over(tracked, check, now.boot);
        let limits = match (rule.remedy, &waiting.asked) {
            (_, Some(_)) => None,
            (Remedy::Notify, None) => return Due::Over,
            (Remedy::Adopt, None) => {
                return match fight {
                    Some(why) => Due::Rest(Act::Adopt, (Outcome::Refused, None, Some(why))),
                    None => Due::Adopt,
                };
            }
            (Remedy::Revert(limits), None) => Some(limits),
        };
        let step = match self.plan(&waiting.key, rule, check, live, waiting.asked.is_none()) {
            Ok(step) => step,
            Err(why) => return Due::Tell((Outcome::Refused, None, Some(why))),
        };
        let refused = |why: String| Due::Tell((Outcome::Refused, Some(step.value.clone()), Some(why)));
        if let Some(limits) = limits {
            let declared = declared_commit(rule, check.captured.as_deref());
            if let Some(unannounced) = self.ledger.unannounced(declared.as_ref()) {
                let app = unannounced.app.as_deref().unwrap_or("an application without a name");
                return refused(format!(
                    "{app} is deployed without a word when that begins, so that a deploy cannot be told from drift\n\
                     hint: let its sender send `started` too, or send `started` and `finished` of {} once where it is no more; \
                     `driftd revert {}` works all the same",
                    unannounced.commit.short(),
                    waiting.key
                ));
            }
            if fight.is_some() {
                return Due::Rest(Act::Revert, (Outcome::Refused, Some(step.value), fight));
            }
            if limits.dry_run {
                return Due::Tell((Outcome::DryRun, Some(step.value), None));
            }
            let attempts = self.remedies.attempts(&rule.name, &waiting.key, &limits, now.wall);
            if attempts >= limits.at_most as usize {
                let who = check.finding.as_ref().and_then(|finding| finding.writer.as_ref());
                let reason = fought(attempts, limits.within, who, &waiting.key);
                return Due::Tell((Outcome::Stopped, Some(step.value), Some(reason)));
            }
        }
        if self.remedies.hand.is_none() {
            return refused(NO_RIGHT.into());
        }
        let Some(judged) = live.cloned() else { return Due::Over };
        Due::Order(Order { key: waiting.key.clone(), judged, step })
    }

    /// What is to be written so that a key is as a rule expects it, and no other rule departs for it. Where no person asks
    /// (`by_rule`), a rule must let driftd write what is written.
    pub(super) fn plan(
        &self,
        key: &Key,
        rule: &Rule,
        check: &Check,
        live: Option<&Value>,
        by_rule: bool,
    ) -> Result<Step, String> {
        let step = planned(key, rule, check, live).map_err(|refusal| refusal.to_string())?;
        self.agree(&step, rule)?;
        let lets = |rule: &Rule| matches!(rule.remedy, Remedy::Revert(limits) if !limits.dry_run);
        let counterpart = |other: &Key, by_rule: bool| {
            let tracked = self.keys.get(*self.by_key.get(other)?)?;
            let known = |check: &Check| {
                let rule = self.rules.get(check.rule).filter(|rule| !by_rule || lets(rule))?;
                planned(other, rule, check, live).ok().map(|step| step.value)
            };
            tracked.checks.iter().find_map(known)
        };
        let written = through_counterpart(step.clone(), |other| counterpart(other, by_rule));
        let written = written.map_err(|refusal| match &refusal {
            Refusal::Counterpart(key, other) if by_rule && counterpart(other, false).is_some() => format!(
                "{key} is 0 only where {other} counts, and no rule lets driftd write that one\n\
                 hint: `remedy: revert` for {other} too; `driftd revert {key}` works all the same"
            ),
            _ => refusal.to_string(),
        })?;
        if written.key != step.key {
            self.agree(&written, rule)?;
        }
        Ok(written)
    }

    /// Whether no other rule departs for a write.
    fn agree(&self, step: &Step, rule: &Rule) -> Result<(), String> {
        let Step { key, value } = step;
        let at = self.by_key.get(key).and_then(|at| self.keys.get(*at));
        for other in at.into_iter().flat_map(|tracked| &tracked.checks) {
            let Some(other_rule) = self.rules.get(other.rule).filter(|other| other.name != rule.name) else {
                continue;
            };
            let captured = other.captured.as_ref().map(|capture| &capture.value);
            let judged = judge(key, &other_rule.expectation, captured, Some(value));
            // What is a part of another key is not known here, and does not speak for a value.
            let is_share = matches!(other_rule.expectation, Expectation::Share { .. });
            if judged == Judgement::Departs && other.adopted.is_none() && !is_share {
                return Err(format!(
                    "the rule `{}` ({}) expects something else of {key} than `{}` ({})\nhint: let them agree",
                    other_rule.name, other_rule.source, rule.name, rule.source
                ));
            }
        }
        Ok(())
    }
}

/// What cures a departure under one rule, as if there were no other.
fn planned(key: &Key, rule: &Rule, check: &Check, live: Option<&Value>) -> Result<Step, Refusal> {
    if let Some(value) = check.adopted.as_deref() {
        return plan(key, &Expectation::Equal(value.as_str().into()), None, live);
    }
    plan(key, &rule.expectation, check.captured.as_ref().map(|capture| &capture.value), live)
}

/// Why a key is not put back any more.
fn fought(attempts: usize, within: Duration, who: Option<&Writer>, key: &Key) -> String {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
    let who = match who {
        Some(writer) => format!("{} (pid {}) wrote it again", writer.comm, writer.pid),
        None => "it was written again".into(),
    };
    format!(
        "it was put back {times} within {within:#}, and {who}: two that fight\n\
         hint: stop the other, or declare what it writes; then `driftd revert {key}`"
    )
}
