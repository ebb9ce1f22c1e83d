//! People ask for a remedy, and are told: at once where nothing is written, else when what was done is recorded.

use super::{NO_RIGHT, Waiting, in_window};
use crate::{
    http::Asked,
    judge::State,
    model::{Act, Capture, Expectation, Finding, Healing, Key, Now, Outcome, Person, Remedied, What},
    watch::{
        Watch,
        tracked::{Check, Known},
    },
};

impl Watch {
    /// Somebody asks for a remedy.
    pub(in crate::watch) fn asked(&mut self, asked: Asked, now: Now) {
        let Asked { act, key, dry_run, person, reply } = asked;
        let answer = match self.ask(act, &key, dry_run, &person, now) {
            Ok(Some(remedied)) if dry_run => Ok(remedied),
            Ok(Some(remedied)) => return self.answer_recorded(reply, remedied),
            Ok(None) => match self.open_findings(&key).into_iter().next() {
                Some(finding) => return self.remedies.owe(&finding, Some((person, reply)), None),
                None => Err(format!("{key} is as expected")),
            },
            Err(why) => Err(why),
        };
        let _ = reply.send(answer);
    }

    /// What can be answered at once; `None` where it is to be written.
    fn ask(
        &mut self,
        act: Act,
        key: &Key,
        dry_run: bool,
        person: &Person,
        now: Now,
    ) -> Result<Option<Vec<Remedied>>, String> {
        if !self.by_key.contains_key(key) {
            return Err(format!("nothing declares {key}\nhint: `driftd explain {key}`"));
        }
        let findings = self.open_findings(key);
        let Some(one) = findings.first() else {
            return Err(format!(
                "{key} has no open finding\nhint: `driftd status` shows those that are open"
            ));
        };
        if act == Act::Adopt {
            let adopt = |finding: &Finding| self.adopt(&finding.rule, key, Some(person), now);
            return findings.iter().map(adopt).collect::<Result<_, _>>().map(Some);
        }
        if let Some(window) = self.ledger.window() {
            return Err(in_window(window.commit.short()));
        }
        let waiting = Waiting {
            finding: one.finding.clone(),
            rule: one.rule.clone(),
            key: key.clone(),
            asked: None,
            said: None,
        };
        let Some((tracked, rule, check)) = self.finding_of(&waiting) else { return Ok(None) };
        let Known::Value(live) = &tracked.known else { return Err(format!("{key} was not read yet")) };
        let step = self.plan(key, rule, check, live.as_ref(), false)?;
        if let Some(why) = self.status.unrecorded.as_ref().filter(|_| !dry_run) {
            return Err(format!("what is written is recorded first, and that cannot be done: {why}"));
        }
        if !dry_run {
            return if self.remedies.hand.is_some() { Ok(None) } else { Err(NO_RIGHT.into()) };
        }
        let told = self.remedied(&waiting, Outcome::DryRun, Some(step.value), None);
        Ok(told.map(|told| vec![Remedied { asked_by: Some(person.clone()), ..told }]))
    }

    fn open_findings(&self, key: &Key) -> Vec<Finding> {
        let tracked = self.by_key.get(key).and_then(|at| self.keys.get(*at));
        let checks = tracked.into_iter().flat_map(|tracked| &tracked.checks);
        checks.filter_map(|check| check.finding.as_deref().cloned()).collect()
    }

    /// Takes the live value of a key for the one that a rule expects, and tells so.
    pub(super) fn adopt(
        &mut self,
        rule: &str,
        key: &Key,
        asked_by: Option<&Person>,
        now: Now,
    ) -> Result<Remedied, String> {
        let commit = self.ledger.pin().commit;
        let gone = || format!("{key} has no open finding");
        let at = self.by_key.get(key).copied().ok_or_else(gone)?;
        let tracked = self.keys.get_mut(at).ok_or_else(gone)?;
        let Known::Value(Some(live)) = tracked.known.clone() else {
            return Err(format!("{key} does not exist, and that is no value to adopt"));
        };
        if key.is_secret() {
            return Err(format!(
                "{key} is a secret, which is not adopted\nhint: edit the file that declares it"
            ));
        }
        if key.moves_by_itself() {
            return Err(format!(
                "{key} moves by itself, and no value of it stays as it is\nhint: declare bounds that hold"
            ));
        }
        let rules = &self.rules;
        let named = |check: &&mut Check| rules.get(check.rule).is_some_and(|r| *r.name == *rule);
        let check = tracked.checks.iter_mut().find(named).ok_or_else(gone)?;
        let rule = rules.get(check.rule).ok_or_else(gone)?;
        let finding = check.finding.take().ok_or_else(gone)?;
        check.state = State::Quiet;
        check.judged = false;
        check.adopted = Some(Box::new(live.clone()));
        // Who goes on against what was adopted begins a fight anew.
        tracked.turns = None;
        if let (Expectation::Captured(_), Some(captured)) = (&rule.expectation, &mut check.captured) {
            // What the host had is what it has: a later deployment captures it anew only where it changes it.
            **captured = Capture { value: live.clone(), ..(**captured).clone() };
            self.batch.captures.push(Capture::clone(captured));
        }
        let remedied = Remedied {
            finding: finding.finding.clone(),
            key: key.clone(),
            rule: rule.name.clone(),
            severity: rule.severity,
            muted: finding.muted.is_some(),
            remedy: Act::Adopt,
            outcome: Outcome::Done,
            previous: finding.actual.clone(),
            requested: Some(live.clone()),
            through: None,
            actual: Some(live.clone()),
            reason: None,
            declared_by: rule.source.clone(),
            asked_by: asked_by.cloned(),
            commit,
            unwritten: false,
        };
        self.tell(now, What::Remedy(Box::new(remedied.clone())));
        self.tell_healed(*finding, Some(live), Healing::Adopted, now);
        Ok(remedied)
    }
}
