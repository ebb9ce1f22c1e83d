//! A new value that nobody who wrote explains: whoever did it may have written after the probes were heard and before the key
//! was read. Then the probes are heard again before it is believed, and the key read again.

use std::collections::VecDeque;

use super::{Input, Watch, deliver::Moved, tracked::Known, written_file};
use crate::{
    deploys::Pin,
    model::{Key, Now, Value, Write},
};

/// How often a key is read again, in the same turn of the loop. Whoever goes on writing all the time must not keep the loop
/// from its other work.
const ROUNDS: u8 = 3;

/// The readings that are not believed yet.
#[derive(Default)]
pub struct Doubts {
    /// The places of their keys.
    places: Vec<usize>,
    /// How often the probes were heard for them.
    rounds: u8,
    /// What is taken when all of them are believed, and what held before it.
    moved: VecDeque<(Pin, Moved)>,
}

impl Doubts {
    /// Whether there are some.
    pub fn is_any(&self) -> bool {
        !self.places.is_empty()
    }
}

impl Watch {
    /// Whether a reading is not believed yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts.is_any()
    }

    /// Where something is in doubt, lets the probes be heard before all other inputs, and once for each time that it is read
    /// again: what they say and [`Input::Heard`] go in front.
    pub fn hear(&self, inputs: &mut VecDeque<Input>, said: impl FnOnce() -> Vec<Input>) {
        if !self.is_in_doubt() || inputs.iter().any(|input| matches!(input, Input::Heard)) {
            return;
        }
        inputs.push_front(Input::Heard);
        said().into_iter().rev().for_each(|input| inputs.push_front(input));
    }

    /// The writes that may explain what is in doubt, where it is time to be told of them although they are still under way.
    pub fn overdue_writes(&self) -> Vec<Write> {
        if self.doubts.rounds + 1 < ROUNDS {
            return Vec::new();
        }
        let keys = self.doubts.places.iter().filter_map(|at| self.keys.get(*at)).map(|tracked| &tracked.key);
        let movers = |key: &Key| {
            key.movers().iter().map(|name| Write::Sysctl(name.as_str().into())).collect::<Vec<_>>()
        };
        keys.flat_map(|key| written_file(key).into_iter().chain(movers(key))).collect()
    }

    /// Whether the probes tell who wrote a key.
    fn is_hooked(&self, key: &Key) -> bool {
        match key {
            Key::Sysctl { .. } => self.status.watching.sysctl != "swept",
            Key::Link { .. } => self.link_hook,
            _ => false,
        }
    }

    /// Whether a reading is not believed yet; then it is made again under the same pin.
    pub(super) fn doubt(&mut self, at: usize, value: Option<&Value>, pin: &Pin) -> bool {
        if self.doubts.rounds >= ROUNDS {
            return false;
        }
        let Some(tracked) = self.keys.get(at) else { return false };
        // No write makes a key, or takes it away.
        let (Known::Value(Some(before)), Some(value)) = (&tracked.known, value) else { return false };
        let is_written = self.is_hooked(&tracked.key) && !tracked.key.moves_by_itself();
        if before == value || !is_written || tracked.is_explained(value) {
            return false;
        }
        if let Some(tracked) = self.keys.get_mut(at) {
            tracked.asked_under.get_or_insert_with(|| pin.clone());
        }
        self.doubts.places.push(at);
        true
    }

    /// Reads again what was in doubt: the probes said what they had to say.
    pub(super) fn heard(&mut self, now: Now) {
        self.doubts.rounds += 1;
        for at in std::mem::take(&mut self.doubts.places) {
            // Its key may have been let go meanwhile.
            let Some(tracked) = self.keys.get_mut(at).filter(|tracked| !tracked.checks.is_empty()) else {
                continue;
            };
            let pin = tracked.asked_under.take().unwrap_or_else(|| self.ledger.pin());
            let read = self.reader.read(&tracked.key);
            self.observe(at, read, &pin, now);
        }
        if !self.is_in_doubt() {
            self.doubts.rounds = 0;
        }
        self.take_what_waited(now);
    }

    /// Takes what moved the ledger when nothing is in doubt: what is in force is known under what held before.
    pub(super) fn after_doubts(&mut self, before: Pin, moved: Moved, now: Now) {
        self.doubts.moved.push_back((before, moved));
        self.take_what_waited(now);
    }

    /// While something is in doubt nothing else is done but what was written meanwhile read: under what held before what waits,
    /// whose baseline does not count yet.
    pub(super) fn read_in_doubt(&mut self, now: Now) {
        let pin = self.doubts.moved.front().map_or_else(|| self.ledger.pin(), |(before, _)| before.clone());
        for at in std::mem::take(&mut self.dirty) {
            self.read(at, &pin, now);
        }
    }

    fn take_what_waited(&mut self, now: Now) {
        while !self.is_in_doubt()
            && let Some((_, moved)) = self.doubts.moved.pop_front()
        {
            self.take_moved(moved, now);
        }
    }
}
