//! One declared key: what is known of it, and how each of its rules stands.

use std::time::Duration;

use super::{
    coupled::Mover,
    hints::{Explained, Hints, Reading},
};
use crate::{
    deploys::Pin,
    judge::{State, Turns},
    model::{Boottime, Capture, DeploymentId, Finding, Hint, IfAbsent, Key, Revision, SeenBy, Value, Writer},
};

/// What is known of a key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Not read yet.
    Nothing,
    /// It was read; `None`: the key did not exist.
    Value(Option<Value>),
}

/// A key of the configuration.
pub struct Tracked {
    /// The key.
    pub key: Key,
    /// What is known of its value.
    pub known: Known,
    /// Each rule that names it.
    pub checks: Vec<Check>,
    /// When a hint last said it was written.
    pub written: Option<Boottime>,
    /// Its last change, for the finding that may follow. Boxed, as what most keys never have.
    pub last_change: Option<Box<Circumstance>>,
    /// The last changes by which a fight over it is known. Boxed, as what most keys never have.
    pub turns: Option<Box<Turns>>,
    /// A write of another key that may have set this one too.
    pub mover: Option<Box<Mover>>,
    /// The deployment in whose window it last changed.
    pub changed_in: Option<DeploymentId>,
    /// What held when it was asked of the slow reader, or its reading was in doubt: the answer tells of the time before.
    pub asked_under: Option<Pin>,
    /// Whether it was told that it cannot be read.
    pub unreadable: bool,
    /// Whether it appeared while driftd ran.
    pub late: bool,
    /// Whether it was there at a reading.
    pub was_there: bool,
    /// When it is read again because a write that was announced was not there yet.
    pub again: Option<Boottime>,
    /// Whether it waits in the loop's list of keys to read.
    pub dirty: bool,
    /// When it is read because rtnetlink said something about it; what is seen until then is rtnetlink's news.
    pub netlink: Option<Boottime>,
    /// Whether a PSI trigger stands guard for it.
    pub guarded: bool,
    /// When it is read because it moves by itself, and something is or may soon be wrong with it.
    pub look: Option<Boottime>,
    hints: Hints,
}

/// One rule on one key.
pub struct Check {
    /// The place of the rule in the configuration.
    pub rule: usize,
    /// How it stands.
    pub state: State,
    /// The open finding. Boxed, as what most checks do not have.
    pub finding: Option<Box<Finding>>,
    /// What it means that the key does not exist.
    pub if_absent: IfAbsent,
    /// Whether a pattern of the rule means the key, and the rule does not write it out.
    pub by_pattern: bool,
    /// Whether a reading was judged by the rule as it is now.
    pub judged: bool,
    /// Whether it departs since it was first read.
    pub from_the_start: bool,
    /// Whether the rule expects something else since the key last changed: who changed it then did nothing wrong.
    pub expects_anew: bool,
    /// What the host had when a deployment was confirmed. Boxed, as what most rules do not ask for.
    pub captured: Option<Box<Capture>>,
    /// The live value that was adopted: it is expected until the next deployment, whatever the rule says. Boxed, as what
    /// most rules never have.
    pub adopted: Option<Box<Value>>,
    /// The next reading may become what is expected.
    pub capturing: Option<Capturing>,
}

/// A deployment that is confirmed, for a rule that captures.
pub struct Capturing {
    /// Its commit.
    pub commit: Revision,
    /// The deployment whose window it closed: what changed in that is captured anew.
    pub window: Option<DeploymentId>,
}

/// What is known of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstance {
    /// What was in force before.
    pub previous: Option<Value>,
    /// What the writer asked for.
    pub requested: Option<Value>,
    /// Who did it.
    pub writer: Option<Writer>,
    /// How it was noticed.
    pub seen_by: SeenBy,
    /// The write of another key that did it.
    pub mover: Option<Box<Mover>>,
    /// What it is pinned to.
    pub pin: Pin,
}

impl Check {
    /// A rule that was not judged yet.
    pub fn new(rule: usize, if_absent: IfAbsent, by_pattern: bool) -> Check {
        Check {
            rule,
            state: State::Quiet,
            finding: None,
            if_absent,
            by_pattern,
            judged: false,
            from_the_start: false,
            expects_anew: false,
            captured: None,
            adopted: None,
            capturing: None,
        }
    }

    /// Whether a deployment that closed a window captures, for a key that last changed in another or the same: the
    /// first captures all, a later one what changed in its window. A key with an open finding keeps its expectation,
    /// so that no deploy launders a drift.
    pub fn captures(&self, window: Option<&DeploymentId>, changed_in: Option<&DeploymentId>) -> bool {
        let anew = self.captured.is_none() || (window.is_some() && window == changed_in);
        anew && self.state != State::Open
    }
}

impl Tracked {
    /// A key of which nothing is known.
    pub fn new(key: Key) -> Tracked {
        Tracked {
            key,
            known: Known::Nothing,
            checks: Vec::new(),
            written: None,
            last_change: None,
            turns: None,
            mover: None,
            changed_in: None,
            asked_under: None,
            unreadable: false,
            late: false,
            was_there: false,
            again: None,
            dirty: false,
            netlink: None,
            guarded: false,
            look: None,
            hints: Hints::default(),
        }
    }

    /// The value that is known, where reading it once more would say and do nothing: no hint waits for it, and every
    /// rule is content with it and waits for nothing.
    pub fn at_rest(&self) -> Option<&Value> {
        let Known::Value(Some(value)) = &self.known else { return None };
        let waits = !self.hints.is_empty()
            || self.netlink.is_some()
            || self.mover.is_some()
            || self.again.is_some()
            || self.unreadable;
        let content =
            |check: &Check| check.judged && check.state == State::Quiet && check.capturing.is_none();
        // A literal value may hold a tab that is another than a space.
        let plain = matches!(&self.key, Key::Sysctl { column: None, .. }) && !self.key.is_literal();
        (!waits && plain && self.checks.iter().all(content)).then_some(value)
    }

    /// Whether it is forgotten when it is gone: only patterns mean it, and it is no finding.
    pub fn is_let_go(&self) -> bool {
        !self.checks.is_empty()
            && self.checks.iter().all(|check| {
                check.by_pattern && check.finding.is_none() && check.if_absent == IfAbsent::Ignore
            })
    }

    /// Whether a rule expects what the host had once, and that is another value.
    pub fn is_other_than_captured(&self, value: Option<&Value>) -> bool {
        let captured = self.checks.iter().filter_map(|check| check.captured.as_deref());
        captured.into_iter().any(|captured| Some(&captured.value) != value)
    }

    /// Whether somebody is known to have written this value.
    pub fn is_explained(&self, value: &Value) -> bool {
        self.mover.is_some() || self.hints.explain_exactly(&self.key, value)
    }

    /// Takes a hint; it waits for the next reading.
    pub fn hint(&mut self, hint: Hint) {
        self.written = Some(self.written.map_or(hint.time, |before| before.max(hint.time)));
        self.hints.push(hint);
    }

    /// Explains a reading by the hints that waited for it: see [`Hints::explain`].
    pub fn explain(
        &mut self,
        value: Option<&Value>,
        changed: bool,
        settle: Duration,
        now: Boottime,
    ) -> Explained {
        let netlink = self.netlink.is_some();
        self.netlink.take_if(|due| *due <= now);
        self.hints.explain(&Reading { key: &self.key, value, changed, netlink }, settle, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_at_rest_under_one_rule_costs_less_than_half_a_kilobyte() {
        let bytes = size_of::<Tracked>() + size_of::<Check>();
        assert!(bytes < 512, "{bytes} bytes; box what most keys never have");
    }
}
