//! Keys that patterns stand for: taken up when they appear, let go when they are gone.

use std::{collections::HashSet, time::Duration};

use super::{
    Watch,
    links::{AFTER_NETLINK, interface},
    tracked::{Known, Tracked},
};
use crate::{
    deploys::Pin,
    model::{Key, Now, Write},
};

/// How long after something came it is looked for what comes with it: soon, and twice more, because a module is told of before
/// it has set itself up (`do_init_module`, kernel/module/main.c).
const LOOKS: [Duration; 3] = [AFTER_NETLINK, Duration::from_secs(1), Duration::from_secs(5)];

impl Watch {
    /// Looks which keys the patterns mean now: takes up what is new, lets go what is gone and is no finding. Gives the
    /// places of what is new.
    pub(super) fn look_around(&mut self, now: Now) -> Vec<usize> {
        let mut new = self.look_at_sources(now);
        if self.patterns.is_empty() {
            return new;
        }
        let mut there: HashSet<Key> = HashSet::new();
        for (rule, pattern) in self.patterns.clone() {
            let (keys, more) = self.reader.expand(&pattern);
            if more && !std::mem::replace(&mut self.too_many, true) {
                tracing::warn!(
                    "`{pattern}` means more keys than are watched: those behind the first are left out"
                );
            }
            for key in keys {
                new.extend(self.take_up(rule, &key));
                there.insert(key);
            }
        }
        for at in 0..self.keys.len() {
            let Some(tracked) = self.keys.get(at) else { continue };
            if !there.contains(&tracked.key) && tracked.is_let_go() {
                self.let_go(at);
            }
        }
        new
    }

    /// Puts a key that a pattern means under its rule; its place, where it was not known at all.
    fn take_up(&mut self, rule: usize, key: &Key) -> Option<usize> {
        let is_new = !self.by_key.contains_key(key);
        let late = self.status.last_sweep.is_some();
        let this = self.rules.get(rule)?;
        let (name, if_absent) = (this.name.clone(), this.if_absent.unwrap_or(crate::model::IfAbsent::Ignore));
        self.track(key);
        let at = self.by_key.get(key).copied()?;
        let expectation = self.rules.get(rule)?.expectation.clone();
        self.depend(at, &expectation);
        let tracked = self.keys.get_mut(at)?;
        // Where a source declares the key, a rule of this name is for it already.
        let named =
            |check: &super::tracked::Check| self.rules.get(check.rule).is_some_and(|r| r.name == name);
        if !tracked.checks.iter().any(named) {
            tracked.checks.push(super::tracked::Check::new(rule, if_absent, true));
            tracked.late |= is_new && late;
        }
        is_new.then_some(at)
    }

    /// Forgets a key; its place is for the next.
    pub(super) fn let_go(&mut self, at: usize) {
        let Some(tracked) = self.keys.get_mut(at) else { return };
        self.by_key.remove(&tracked.key);
        if let Some(write) = super::written_file(&tracked.key)
            && let Some(places) = self.by_file.get_mut(&write)
        {
            places.retain(|place| *place != at);
            if places.is_empty() {
                self.by_file.remove(&write);
            }
        }
        if let Some(interface) = interface(&tracked.key)
            && let Some(places) = self.by_interface.get_mut(interface)
        {
            places.retain(|place| *place != at);
            if places.is_empty() {
                self.by_interface.remove(interface);
            }
        }
        for mover in tracked.key.movers() {
            if let Some(places) = self.by_mover.get_mut(&*mover) {
                places.retain(|place| *place != at);
                if places.is_empty() {
                    self.by_mover.remove(&*mover);
                }
            }
        }
        // Nothing of it is asked or told any more, and that it could not be read neither.
        *tracked = Tracked::new(tracked.key.clone());
        self.free.push(at);
    }

    /// An interface, a module or a device came or went: it is looked for what came with it.
    pub(super) fn something_appeared(&mut self, now: Now) {
        let [soon, later @ ..] = &mut self.look_at;
        let [first, rest @ ..] = LOOKS;
        // However many come in a row, the first look is not put off.
        soon.get_or_insert(now.boot.after(first));
        for (look, after) in later.iter_mut().zip(rest) {
            *look = Some(now.boot.after(after));
        }
    }

    /// Looks around if it is time, and reads what is new and what was not there.
    pub(super) fn look_if_due(&mut self, pin: &Pin, now: Now) {
        let due = self.look_at.iter_mut().filter_map(|look| look.take_if(|at| *at <= now.boot)).count();
        if due == 0 {
            return;
        }
        for at in self.look_around(now) {
            self.read(at, pin, now);
            self.stalls_moved = true;
        }
        for at in 0..self.keys.len() {
            if self.keys.get(at).is_some_and(|tracked| tracked.known == Known::Value(None)) {
                self.read(at, pin, now);
            }
        }
    }

    /// A key that was written, and that no sweep has found yet: the place of it, where a pattern means it.
    pub(super) fn written_anew(&mut self, write: &Write) -> Option<()> {
        let path = match write {
            Write::Sysctl(name) => format!("proc/sys/{name}"),
            Write::Mtu(interface) => format!("sys/class/net/{interface}/mtu"),
        };
        let meant: Vec<(usize, Key)> = self
            .patterns
            .iter()
            .filter(|(_, pattern)| pattern.matches(&path))
            .filter_map(|(rule, pattern)| Some((*rule, pattern.key_at(&path)?)))
            .collect();
        for (rule, key) in &meant {
            self.take_up(*rule, key);
        }
        (!meant.is_empty()).then_some(())
    }
}
