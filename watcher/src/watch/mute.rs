//! Findings of rules that are muted: open, recorded and shown like others, and told to the sinks when the mute ends, if they
//! are still open.

use super::Watch;
use crate::model::{Boottime, Entry, Finding, Mute, Now, Rule, What};

/// The mute of a rule, where it has one that has not ended.
pub(super) fn active(rule: &Rule, now: Now) -> Option<&Mute> {
    rule.mute.as_ref().filter(|mute| !mute.is_over(now.wall))
}

impl Watch {
    /// A finding was opened under a mute, or went on under one: its end is waited for.
    pub(super) fn muted(&mut self, mute: &Mute) {
        self.unmute = Some(self.unmute.map_or(mute.until, |before| before.min(mute.until)));
    }

    /// When the next mute ends, as the wall clock now stands to the other one.
    pub(super) fn next_unmute(&self) -> Option<Boottime> {
        let nanos = self.unmute?.as_duration().checked_sub(self.offset?)?.as_nanos();
        Some(Boottime { nanos: u64::try_from(nanos.max(0)).unwrap_or(u64::MAX) })
    }

    /// Looks at the findings under mutes if one of these ended.
    pub(super) fn unmute_if_due(&mut self, now: Now) {
        if self.unmute.is_some_and(|until| until <= now.wall) {
            self.look_at_mutes(now);
        }
    }

    /// Tells, as what they are, the open findings that no sink was told of and that no mute covers any more. Of those told
    /// already nobody is reminded under a mute that comes later; it keeps nobody from hearing that they healed.
    pub(super) fn look_at_mutes(&mut self, now: Now) {
        self.unmute = None;
        let (mut told, mut still): (Vec<Finding>, Vec<Mute>) = (Vec::new(), Vec::new());
        for check in self.keys.iter_mut().flat_map(|tracked| &mut tracked.checks) {
            let (Some(finding), Some(rule)) = (&mut check.finding, self.rules.get(check.rule)) else {
                continue;
            };
            let Some(before) = &finding.muted else {
                let mute = active(rule, now);
                still.extend(mute.cloned());
                if finding.hushed != mute.is_some() {
                    finding.hushed = mute.is_some();
                    self.batch.moved.push(Finding::clone(finding));
                }
                continue;
            };
            match active(rule, now) {
                Some(mute) => {
                    still.push(mute.clone());
                    if mute != before {
                        finding.muted = Some(mute.clone());
                        self.batch.moved.push(Finding::clone(finding));
                    }
                }
                None => {
                    finding.muted = None;
                    told.push(Finding::clone(finding));
                }
            }
        }
        still.iter().for_each(|mute| self.muted(mute));
        // Counted they were when they opened.
        let entries =
            told.into_iter().map(|finding| Entry { time: now.wall, what: What::Finding(Box::new(finding)) });
        self.batch.entries.extend(entries);
    }
}
