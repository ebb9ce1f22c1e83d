//! The loop: one enum of inputs, one match, one owner of what is known.
//!
//! [`Watch`] is told what happened and gives back what is to be recorded. It reads keys through `kernel`, and knows
//! no socket, no database and no clock: `now` is an argument.

mod appear;
mod confirm;
mod coupled;
mod declare;
mod deliver;
mod doubt;
mod fight;
mod found;
mod hints;
mod links;
mod losses;
mod moving;
mod mute;
mod query;
mod remedy;
mod run;
mod snapshot;
mod sweep;
#[cfg(test)]
mod tests;
mod touches;
mod tracked;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

pub use declare::{InForce, Reread, interest};
use jiff::{SignedDuration, Timestamp};
pub use run::{Arrival, Source, Sources, drain, run};
use tokio::sync::oneshot;

pub use remedy::NO_RIGHT;

use self::{
    deliver::Verdicts,
    doubt::Doubts,
    losses::Losses,
    remedy::Remedies,
    sweep::RunningSweep,
    touches::Touches,
    tracked::{Check, Tracked},
};
use crate::{
    deploys::{Ledger, Passed},
    http::{Asked, Delivery, Query},
    judge::State,
    kernel::{Answer, Reader, SlowReader},
    model::{
        Adopted, Boottime, Cause, Counters, Entry, Healing, Hint, IfAbsent, Ignored, Key, Now, Owner,
        Pattern, Rule, Started, Status, SweepReason, VerdictStatus, What, Write,
    },
    probes::{News, Rise, Tally},
    remedy::{Applied, Hand},
    sources::Declared,
    store::{Batch, Past},
};

/// Everything that can happen.
pub enum Input {
    /// Probes saw writes.
    Hints(Vec<Hint>),
    /// Something about interfaces changed.
    Links(Vec<News>),
    /// A module or a device came or went.
    Appeared,
    /// A PSI trigger said something.
    Pressure(Rise),
    /// Probes counted something.
    Tally(Counts),
    /// It was tried whether the probes see: why they do not, or nothing.
    Sight(Option<String>),
    /// It was tried whether what happens can be recorded: why not, or nothing.
    Recording(Option<String>),
    /// A key whose reading may block was read.
    Answer(Answer),
    /// A deployment was announced; with what is declared now, where that is read anew for it.
    Delivery(Delivery, Option<Reread>),
    /// The configuration was read again.
    Reread(Reread),
    /// An authentic message counted for nothing.
    Ignored(Ignored),
    /// Who reads what is declared wants to know which deployments are in force.
    InForce(oneshot::Sender<InForce>),
    /// Somebody wants to know how things stand.
    Query(Query),
    /// Somebody asks for a remedy.
    Asked(Asked),
    /// What became of the write in hand.
    Applied(Applied),
    /// The probes were heard, because something is in doubt ([`Watch::hear`]).
    Heard,
    /// A moment has come that [`Watch::deadline`] named.
    Tick,
}

/// What the probes counted since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that the ring had no room for.
    pub lost: u64,
    /// Writes of another namespace.
    pub foreign: u64,
    /// What the join counted.
    pub join: Tally,
}

/// How far the wall clock may move against the time since boot before it is a jump.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// The owner of what is known.
pub struct Watch {
    rules: Vec<Rule>,
    /// The patterns of all rules, each with the place of its rule.
    patterns: Vec<(usize, Pattern)>,
    /// What the sources say, where patterns of theirs mean the keys that are there.
    declared: Option<Declared>,
    /// Whether what was read anew was taken since somebody asked.
    taken: bool,
    /// Whether other keys are declared than the probes know.
    interest_moved: bool,
    /// Whether it is to be looked which PSI triggers are wanted.
    stalls_moved: bool,
    /// When the first mute ends that a finding is open under.
    unmute: Option<Timestamp>,
    keys: Vec<Tracked>,
    /// Places in `keys` that nothing is at any more.
    free: Vec<usize>,
    /// When it is looked for what came, where something appeared.
    look_at: [Option<Boottime>; 3],
    /// Whether it was said that a pattern means too much.
    too_many: bool,
    by_key: HashMap<Key, usize>,
    by_file: HashMap<Write, Vec<usize>>,
    /// The keys that a write of a sysctl sets too.
    by_mover: HashMap<Box<str>, Vec<usize>>,
    by_interface: HashMap<Box<str>, Vec<usize>>,
    dirty: Vec<usize>,
    timers: BTreeSet<(Boottime, usize)>,
    ledger: Ledger,
    verdicts: Verdicts,
    doubts: Doubts,
    touches: Touches,
    remedies: Remedies,
    passed: Passed,
    reader: Reader,
    slow: SlowReader,
    sweep_every: Duration,
    next_sweep: Boottime,
    sweep: Option<RunningSweep>,
    losses: Losses,
    /// Whether programs watch links, and rtnetlink only what it misses.
    link_hook: bool,
    /// Whether this run was the first to look after the boot, and soon, and no deploy did anything since.
    saw_the_boot: bool,
    batch: Batch,
    status: Status,
    counters: Counters,
    offset: Option<SignedDuration>,
}

/// What a watch is made of.
pub struct Parts {
    /// The rules of the configuration.
    pub rules: Vec<Rule>,
    /// What the sources say, where there are some; their rules are among the rules.
    pub declared: Option<Declared>,
    /// What was delivered, and what is being delivered.
    pub ledger: Ledger,
    /// Findings and captured values that an earlier run left.
    pub past: Past,
    /// Reads keys.
    pub reader: Reader,
    /// Reads keys whose reading may block.
    pub slow: SlowReader,
    /// Writes what is expected; none where this daemon may not.
    pub hand: Option<Hand>,
    /// How often everything declared is re-read.
    pub sweep_every: Duration,
    /// What is told at the start.
    pub watching: Started,
}

impl Watch {
    /// A watch over the keys of the rules.
    pub fn new(parts: Parts, now: Now) -> Watch {
        let Parts { rules, declared, ledger, past, reader, slow, hand, sweep_every, watching } = parts;
        let named = rules.iter().map(|rule| rule.keys.len()).sum();
        let mut watch = Watch {
            patterns: Vec::new(),
            declared: None,
            taken: false,
            interest_moved: false,
            stalls_moved: false,
            unmute: None,
            keys: Vec::with_capacity(named),
            free: Vec::new(),
            look_at: [None; 3],
            too_many: false,
            by_key: HashMap::with_capacity(named),
            by_file: HashMap::new(),
            by_mover: HashMap::new(),
            by_interface: HashMap::new(),
            dirty: Vec::new(),
            timers: BTreeSet::new(),
            ledger,
            verdicts: Verdicts::default(),
            doubts: Doubts::default(),
            touches: Touches::default(),
            remedies: Remedies::new(hand),
            passed: Passed::default(),
            reader,
            slow,
            sweep_every,
            next_sweep: now.boot,
            sweep: None,
            losses: Losses::default(),
            link_hook: !["netlink", "swept"].contains(&watching.link.as_str()),
            saw_the_boot: confirm::saw_the_boot(past.last, now),
            batch: Batch::default(),
            offset: None,
            counters: Counters::default(),
            status: Status {
                watching,
                since: now.wall,
                status: VerdictStatus::Synced,
                deployment: None,
                window: None,
                findings: Vec::new(),
                unreadable: Vec::new(),
                broken: None,
                last_sweep: None,
                blind: None,
                unrecorded: None,
                sinks: Vec::new(),
                losses: 0,
                undeclared: 0,
                foreign: 0,
            },
            rules: Vec::new(),
        };
        for (number, rule) in rules.iter().enumerate() {
            let if_absent = rule.if_absent.unwrap_or(IfAbsent::Drift);
            for key in &rule.keys {
                let tracked = watch.track(key);
                // Most keys have one rule, and a vector that grows by itself begins with room for four.
                tracked.checks.reserve_exact(1);
                tracked.checks.push(Check::new(number, if_absent, false));
                if let Some(at) = watch.by_key.get(key).copied() {
                    watch.depend(at, &rule.expectation);
                }
            }
            watch.patterns.extend(rule.patterns.iter().map(|pattern| (number, pattern.clone())));
        }
        watch.rules = rules;
        watch.look_around(now);
        if let Some(mut declared) = declared {
            watch.status.broken = declared.broken.take();
            watch.follow(declared);
        }
        watch.status.watching.keys = watch.keys.len();
        watch.tell(now, What::Start(watch.status.watching.clone()));
        watch.recall(past, now);
        watch
    }

    fn track(&mut self, key: &Key) -> &mut Tracked {
        let next = self.free.last().copied().unwrap_or(self.keys.len());
        let at = *self.by_key.entry(key.clone()).or_insert(next);
        if at == next {
            if let Some(write) = written_file(key) {
                self.by_file.entry(write).or_default().push(at);
            }
            for mover in key.movers() {
                self.by_mover.entry(mover.into()).or_default().push(at);
            }
            if let Some(interface) = links::interface(key) {
                self.by_interface.entry(interface.into()).or_default().push(at);
            }
            match self.free.pop().and_then(|at| self.keys.get_mut(at)) {
                Some(place) => *place = Tracked::new(key.clone()),
                None => self.keys.push(Tracked::new(key.clone())),
            }
        }
        #[expect(clippy::indexing_slicing, reason = "`at` is in `by_key`, whose places are those of `keys`")]
        &mut self.keys[at]
    }

    /// Takes up what an earlier run left: open findings stay open, captured values stay expected. A finding whose
    /// rule or key is not declared any more is over.
    fn recall(&mut self, past: Past, now: Now) {
        for capture in past.captures {
            if let Some(check) = self.check_of(&capture.rule, &capture.key) {
                check.captured = Some(Box::new(capture));
            }
        }
        for Adopted { rule, key, value } in past.adopted {
            if let Some(check) = self.check_of(&rule, &key) {
                check.adopted = Some(Box::new(value));
            }
        }
        for finding in past.findings {
            let key = finding.key.clone();
            match self.check_of(&finding.rule, &finding.key) {
                Some(check) => {
                    check.state = State::Open;
                    let is_of_fight = finding.cause == Cause::Fight;
                    check.finding = Some(Box::new(finding));
                    if is_of_fight {
                        self.recall_fight(&key, now);
                    }
                    self.redeclare(&key);
                }
                None => self.tell_healed(finding, None, Healing::Undeclared, now),
            }
        }
        self.look_at_mutes(now);
        self.recall_remedies(past.remedied, past.cut_off, now);
    }

    fn check_of(&mut self, rule: &str, key: &Key) -> Option<&mut Check> {
        let at = *self.by_key.get(key)?;
        let named = |check: &&mut Check| self.rules.get(check.rule).is_some_and(|r| *r.name == *rule);
        self.keys.get_mut(at)?.checks.iter_mut().find(named)
    }

    /// Takes one input and all that is due, and gives what is to be recorded.
    pub fn handle(&mut self, input: Input, now: Now) -> Batch {
        match input {
            Input::Hints(hints) => hints.into_iter().for_each(|hint| self.hinted(hint)),
            Input::Links(news) => news.into_iter().for_each(|news| self.link(news, now)),
            Input::Appeared => self.something_appeared(now),
            Input::Pressure(rise) => self.pressure(rise, now),
            Input::Tally(counts) => self.tally(counts, now),
            Input::Sight(blind) => self.sight(blind, now),
            Input::Recording(trouble) => self.recording(trouble, now),
            Input::Answer((key, read)) => {
                self.slow.answered(&key);
                if let Some(at) = self.by_key.get(&key).copied() {
                    self.answered(at, read, now);
                }
            }
            Input::Delivery(delivery, reread) => self.delivered(delivery, reread, now),
            Input::Reread(reread) => self.reread(reread, now),
            Input::Ignored(message) => {
                if let Some(message) = self.passed.take(message, now.boot) {
                    self.tell(now, What::Ignored(message));
                }
            }
            Input::InForce(reply) => drop(reply.send(self.in_force())),
            Input::Query(query) => self.answer(query),
            Input::Asked(asked) => self.asked(asked, now),
            Input::Applied(applied) => self.applied(applied, now),
            Input::Heard => self.heard(now),
            Input::Tick => {}
        }
        self.due(now);
        std::mem::take(&mut self.batch)
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Boottime {
        [
            self.slow.deadline(),
            self.timers.first().map(|(due, _)| *due),
            self.ledger.deadline(),
            self.touches.deadline(),
            self.losses.until,
            self.look_at.into_iter().flatten().min(),
            self.next_unmute(),
        ]
        .into_iter()
        .flatten()
        .fold(self.next_sweep, Boottime::min)
    }

    /// Whether everything is about to be read because it is time.
    pub fn is_sweep_due(&self, now: Boottime) -> bool {
        self.next_sweep <= now
    }

    /// What is still to be told when the daemon stops.
    pub fn stop(&mut self, now: Now) -> Batch {
        self.tell_losses(now);
        self.touches.flush(None).into_iter().for_each(|touch| self.tell(now, What::Touch(touch)));
        std::mem::take(&mut self.batch)
    }

    fn hinted(&mut self, hint: Hint) {
        if let Owner::Other(kind, number) = hint.owner {
            tracing::info!(
                "{:?} of another namespace ({kind:?} {number}) was written: {:?}",
                hint.write,
                hint.writer
            );
            return;
        }
        self.hinted_coupled(&hint);
        if !self.by_file.contains_key(&hint.write) && self.written_anew(&hint.write).is_none() {
            return;
        }
        for at in self.by_file.get(&hint.write).into_iter().flatten() {
            if let Some(tracked) = self.keys.get_mut(*at) {
                tracked.hint(hint.clone());
                mark(tracked, *at, &mut self.dirty);
            }
        }
    }

    /// Does what is due: reads what is dirty, sweeps, closes windows, tells what gathered.
    fn due(&mut self, now: Now) {
        if self.is_in_doubt() {
            return self.read_in_doubt(now);
        }
        if self.clock_jumped(now) {
            self.sweep(SweepReason::Jump, now);
        }
        let mut pin = self.ledger.pin();
        while let Some(deployment) = self.ledger.time_out(now.boot) {
            self.window_timed_out(deployment, &pin, now);
            pin = self.ledger.pin();
        }
        self.sweep_losses_if_due(now);
        while let Some((due, at)) = self.timers.first().copied().filter(|(due, _)| *due <= now.boot) {
            self.timers.remove(&(due, at));
            if let Some(tracked) = self.keys.get_mut(at) {
                mark(tracked, at, &mut self.dirty);
            }
        }
        let pin = self.ledger.pin();
        self.look_if_due(&pin, now);
        for at in std::mem::take(&mut self.dirty) {
            self.read(at, &pin, now);
        }
        if self.next_sweep <= now.boot {
            let reason =
                if self.status.last_sweep.is_none() { SweepReason::Start } else { SweepReason::Timer };
            self.sweep(reason, now);
        }
        for (key, error) in self.slow.overdue(now.boot) {
            if let Some(at) = self.by_key.get(&key).copied() {
                self.observe(at, Err(error), &self.ledger.pin(), now);
            }
        }
        // What follows from what is known waits until it is.
        if self.is_in_doubt() {
            return;
        }
        self.remedy_due(now);
        self.end_sweep(now);
        self.unmute_if_due(now);
        self.give_verdicts(now);
        self.touches.flush(Some(now.boot)).into_iter().for_each(|touch| self.tell(now, What::Touch(touch)));
    }

    /// Whether the wall clock moved against the time since boot.
    fn clock_jumped(&mut self, now: Now) -> bool {
        let boot = SignedDuration::from_nanos(i64::try_from(now.boot.nanos).unwrap_or(i64::MAX));
        let offset = now.wall.duration_since(Timestamp::UNIX_EPOCH) - boot;
        let before = self.offset.replace(offset);
        before.is_some_and(|before| (offset - before).abs() > JUMP)
    }

    fn tell(&mut self, now: Now, what: What) {
        self.counters.count(&what);
        self.batch.entries.push(Entry { time: now.wall, what });
    }
}

/// Puts a key on the list of those to read, once.
fn mark(tracked: &mut Tracked, at: usize, dirty: &mut Vec<usize>) {
    if !std::mem::replace(&mut tracked.dirty, true) {
        dirty.push(at);
    }
}

/// What a probe would call the file of a key.
fn written_file(key: &Key) -> Option<Write> {
    match key {
        Key::Sysctl { name, .. } => Some(Write::Sysctl(name.clone())),
        Key::Link { interface } => Some(Write::Mtu(interface.clone())),
        _ => None,
    }
}
