//! Records to hints: entry, values and return of one call are joined by its task and the time it was entered.
//!
//! A call whose return does not come within a second becomes a hint without a result, and is counted: the kernel has
//! few kretprobe instances (`maxactive`), and writers who sit in the kernel use them up. Nothing here reads a clock.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use watcher_common::{
    Flags, Header, Kind, MtuEnter, OwnerKind as OwnerKindWire, Return, SysctlEnter, SysctlValues,
};

use super::{
    canary::{self, Heard},
    decode::{self, Record},
    facts::Namespaces,
    interest::Interest,
    plan::Hook,
};
use crate::model::{Boottime, Hint, Owner, OwnerKind, SeenBy, Write};

/// How long a return is waited for.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many calls wait for their return at the most. More than this many writers at once in the kernel are no longer
/// joined but told at once, without a result.
const WAITING: usize = 1024;

/// What was heard and is no hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes of keys that are not declared.
    pub undeclared: u64,
    /// Calls whose return did not come in time.
    pub unreturned: u64,
    /// Writes that the `cgroup/sysctl` program saw and the hook did not: somebody blinds us.
    pub unseen: u64,
    /// Records that could not be read.
    pub unreadable: u64,
}

/// Joins records.
pub struct Join {
    interest: Interest,
    /// What is attached to the functions; values without an entry are then a sign of blindness.
    hook: Option<Hook>,
    host: Namespaces,
    waiting: HashMap<Call, Hint>,
    /// Calls that were given up on and may return yet: only their result is still to come.
    late: HashMap<Call, Hint>,
    /// The calls in the order they began to wait; those that returned are still in it.
    order: VecDeque<(Boottime, Call)>,
    name: String,
    tally: Tally,
    heard: Heard,
    suspicious: bool,
}

/// The name of a call: its task, and when it was entered.
type Call = (u32, u64);

/// Results that are not results: the call is made again (include/linux/errno.h, ERESTARTSYS and its like).
const RESTARTS: [i64; 4] = [-512, -513, -514, -516];

impl Join {
    /// Nothing heard yet.
    pub fn new(interest: Interest, hook: Option<Hook>, host: Namespaces) -> Join {
        Join {
            interest,
            hook,
            host,
            waiting: HashMap::new(),
            late: HashMap::new(),
            order: VecDeque::new(),
            name: String::new(),
            tally: Tally::default(),
            heard: Heard::default(),
            suspicious: false,
        }
    }

    /// Other keys are declared from now on.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Takes one record of the ring; hints that are complete go to `hints`.
    pub fn take(&mut self, bytes: &[u8], now: Boottime, hints: &mut Vec<Hint>) {
        match decode::decode(bytes) {
            Ok(Record::SysctlEnter(record)) => self.sysctl_enter(&record, now, hints),
            Ok(Record::SysctlValues(record)) => self.sysctl_values(&record, now, hints),
            Ok(Record::MtuEnter(record)) => self.mtu_enter(&record, now, hints),
            Ok(Record::Return(record)) => {
                if record.header.kind == Kind::MtuReturn as u8 {
                    self.left_inside(&record.header, hints);
                }
                self.returned(&record, hints);
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.tally.unreadable += 1;
            }
        }
    }

    /// Gives up on returns that are overdue.
    pub fn expire(&mut self, now: Boottime, hints: &mut Vec<Hint>) {
        while let Some((since, _)) = self.order.front()
            && (now.since(*since) >= PATIENCE || self.order.len() > WAITING)
        {
            self.give_up(hints);
        }
    }

    /// Tells of the wanted writes that have been under way for `patience`, and leaves their result for later: what was seen of
    /// them meanwhile would be told without a writer otherwise.
    pub fn hurry(
        &mut self,
        patience: Duration,
        now: Boottime,
        hints: &mut Vec<Hint>,
        is_wanted: impl Fn(&Write) -> bool,
    ) {
        for at in 0..self.order.len() {
            let Some((since, call)) = self.order.get(at) else { return };
            if now.since(*since) < patience {
                return;
            }
            let call = *call;
            if self.waiting.get(&call).is_some_and(|hint| is_wanted(&hint.write))
                && let Some(hint) = self.waiting.remove(&call)
            {
                hints.push(hint.clone());
                self.remember(call, hint);
            }
        }
    }

    /// When [`Join::expire`] is due next.
    pub fn deadline(&mut self) -> Option<Boottime> {
        while let Some((_, call)) = self.order.front()
            && !self.waiting.contains_key(call)
        {
            self.order.pop_front();
        }
        self.order.front().map(|(since, _)| since.after(PATIENCE))
    }

    /// What was counted since the last time.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Which programs heard the canary since the last time.
    pub fn heard(&mut self) -> Heard {
        std::mem::take(&mut self.heard)
    }

    /// Whether something since the last time makes one doubt that the programs see all there is.
    pub fn suspicious(&mut self) -> bool {
        std::mem::take(&mut self.suspicious)
    }

    fn sysctl_enter(&mut self, record: &SysctlEnter, now: Boottime, hints: &mut Vec<Hint>) {
        if !decode::path(record, &mut self.name) {
            self.tally.unreadable += 1;
            return;
        }
        if canary::is_ours(&record.header, &self.name) {
            self.heard.hook = true;
            return;
        }
        if !self.interest.has_sysctl(&self.name) {
            self.tally.undeclared += 1;
            if self.name != canary::SWITCH {
                return;
            }
        }
        let hint = Hint {
            write: Write::Sysctl(self.name.as_str().into()),
            writer: decode::writer(&record.header, &record.who),
            time: decode::entered(&record.header),
            result: None,
            old: None,
            requested: None,
            owner: self.owner(decode::owner_kind(record.owner_kind), record.owner),
            seen_by: self.seen_by(),
        };
        self.wait(&record.header, hint, now, hints);
    }

    fn sysctl_values(&mut self, record: &SysctlValues, now: Boottime, hints: &mut Vec<Hint>) {
        let flags = record.header.flags;
        let old = decode::value(&record.old, record.old_length, flags & Flags::OLD_CUT != 0);
        // The beginning of a long value is not what was asked for, and is compared with nothing.
        let requested = decode::value(&record.requested, record.requested_length, false);
        let call = call(&record.header);
        if let Some(hint) = self.waiting.get_mut(&call).or_else(|| self.late.get_mut(&call)) {
            (hint.old, hint.requested) = (old, requested);
            return;
        }
        let seen_entry = record.header.entered != 0;
        let name = decode::text(&record.name);
        if canary::is_ours(&record.header, &name) || canary::is_nameless(record, &name) {
            self.heard.values = true;
            return;
        }
        if self.hook.is_some() && !seen_entry {
            self.tally.unseen += 1;
            self.suspicious = true;
        }
        if !self.interest.has_sysctl(&name) {
            // Where the entry was seen it is counted already.
            self.tally.undeclared += u64::from(!seen_entry);
            return;
        }
        let hint = Hint {
            write: Write::Sysctl(name.into()),
            writer: decode::writer(&record.header, &record.who),
            time: decode::entered(&record.header),
            result: None,
            old,
            requested,
            owner: Owner::Unknown,
            seen_by: if seen_entry { self.seen_by() } else { SeenBy::Cgroup },
        };
        match seen_entry {
            true => self.wait(&record.header, hint, now, hints),
            false => hints.push(hint),
        }
    }

    fn mtu_enter(&mut self, record: &MtuEnter, now: Boottime, hints: &mut Vec<Hint>) {
        let interface = decode::text(&record.name);
        if !self.interest.has_link(&interface) {
            self.tally.undeclared += 1;
            return;
        }
        let hint = Hint {
            write: Write::Mtu(interface.into()),
            writer: decode::writer(&record.header, &record.who),
            time: decode::entered(&record.header),
            result: None,
            old: Some(record.old.to_string().into()),
            requested: Some(record.requested.to_string().into()),
            owner: self.owner(OwnerKindWire::Net, record.owner),
            seen_by: self.seen_by(),
        };
        self.wait(&record.header, hint, now, hints);
    }

    fn returned(&mut self, record: &Return, hints: &mut Vec<Hint>) {
        let call = call(&record.header);
        let Some(mut hint) = self.waiting.remove(&call).or_else(|| self.late.remove(&call)) else { return };
        if RESTARTS.contains(&record.result) {
            return;
        }
        hint.result = Some(record.result);
        self.tell(hint, hints);
    }

    /// Gives up on the changes of an MTU that the one that returns made itself, a bond's of its slaves: they are over,
    /// and the kernel had no instance left to see their return with.
    fn left_inside(&mut self, outer: &Header, hints: &mut Vec<Hint>) {
        let (tid, entered) = call(outer);
        let inside = |call: &Call| call.0 == tid && call.1 > entered;
        let mut left: Vec<Call> = self.waiting.keys().copied().filter(inside).collect();
        left.sort_unstable();
        for call in left {
            if let Some(hint) = self.waiting.remove(&call) {
                self.tally.unreturned += 1;
                self.tell(hint, hints);
            }
        }
    }

    /// A hint is as complete as it will be. One about the switch that blinds us is for us too, and told only where it
    /// is declared.
    fn tell(&mut self, hint: Hint, hints: &mut Vec<Hint>) {
        if let Write::Sysctl(name) = &hint.write
            && **name == *canary::SWITCH
        {
            self.suspicious = true;
            if !self.interest.has_sysctl(name) {
                return;
            }
        }
        hints.push(hint);
    }

    /// How a call was noticed whose entry was seen.
    fn seen_by(&self) -> SeenBy {
        self.hook.map_or(SeenBy::Cgroup, Hook::seen_by)
    }

    /// The owner that a record tells of, against the numbers of the host.
    fn owner(&self, kind: OwnerKindWire, number: u32) -> Owner {
        let (kind, host) = match kind {
            OwnerKindWire::Unknown => return Owner::Unknown,
            OwnerKindWire::Global => return Owner::Host,
            OwnerKindWire::Net => (OwnerKind::Net, self.host.net),
            OwnerKindWire::Ipc => (OwnerKind::Ipc, self.host.ipc),
            OwnerKindWire::Uts => (OwnerKind::Uts, self.host.uts),
            OwnerKindWire::User => (OwnerKind::User, self.host.user),
        };
        match number {
            _ if host == 0 || number == 0 => Owner::Unknown,
            _ if number == host => Owner::Host,
            _ => Owner::Other(kind, number),
        }
    }

    fn wait(&mut self, header: &Header, hint: Hint, now: Boottime, hints: &mut Vec<Hint>) {
        let call = call(header);
        self.waiting.insert(call, hint);
        self.order.push_back((now, call));
        while self.order.len() > WAITING {
            self.give_up(hints);
        }
    }

    fn give_up(&mut self, hints: &mut Vec<Hint>) {
        if let Some((_, call)) = self.order.pop_front()
            && let Some(hint) = self.waiting.remove(&call)
        {
            self.tally.unreturned += 1;
            self.tell(hint.clone(), hints);
            self.remember(call, hint);
        }
    }

    /// Keeps a call whose return may come yet. Those that never return must not pile up; one that is forgotten is found
    /// by a sweep.
    fn remember(&mut self, call: Call, hint: Hint) {
        if self.late.len() >= WAITING {
            self.late.clear();
        }
        self.late.insert(call, hint);
    }
}

fn call(header: &Header) -> Call {
    (header.tid, header.entered)
}

#[cfg(test)]
mod tests;
