//! The harness: writes files, makes hints and deliveries, moves the clock from deadline to deadline, and hands on what
//! comes of it. `runs` begins and ends a run of the daemon over a real store, `said` shows each entry as a short line. It
//! judges nothing.

mod runs;
mod said;

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    fs,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::{Input, Reread, Watch};
use crate::{
    declared::{Request, sysctl::Applier},
    http::{Asked, Delivery, Query},
    kernel::Answer,
    model::{
        Act, Announcement, Boottime, Cause, Entry, Expectation, Finding, FindingState, Hint, Key, Now, Owner,
        Person, Phase, Receipt, Remedied, Rule, SeenBy, Severity, Source, Status, Verdict, What, Writer,
    },
    remedy::Applied,
    sources::{Declared, Wanted},
    store::{Batch, Done, Work},
};

pub const SWAPPINESS: &str = "vm.swappiness";
pub const MTU: &str = "link.eth0.mtu";
pub const ETH0: &str = "net.ipv4.conf.eth0.rp_filter";
pub const ETH1: &str = "net.ipv4.conf.eth1.rp_filter";
pub const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// How long a deploy's window stays open.
pub const WINDOW: u64 = 900_000;

/// A rule with no `for:` and the default settle.
pub fn rule(name: &str, keys: &str, expectation: Expectation) -> Rule {
    Rule {
        name: name.into(),
        keys: keys.split_whitespace().map(|key| key.parse().unwrap()).collect(),
        expectation,
        severity: Severity::Warning,
        hold: Duration::ZERO,
        settle: Rule::DEFAULT_SETTLE,
        mute: None,
        patterns: Vec::new(),
        if_absent: None,
        remedy: crate::model::Remedy::Notify,
        source: Source { file: "rules".into(), line: 1 },
        commit: None,
    }
}

/// A rule of the short form.
pub fn captures(keys: &str) -> Rule {
    rule("short", keys, Expectation::Captured(None))
}

/// A rule that wants one value.
pub fn expects(key: &str, value: &str) -> Rule {
    rule("equal", key, Expectation::Equal(value.into()))
}

/// A rule that wants at least this.
pub fn at_least(key: &str, min: &str) -> Rule {
    rule("least", key, Expectation::Range { min: Some(min.parse().unwrap()), max: None })
}

/// A host under watch.
pub struct Host {
    pub rules: Vec<Rule>,
    pub watch: Watch,
    pub now: Now,
    pub entries: Vec<Entry>,
    /// Open findings as the entries tell of them.
    pub open: HashMap<(String, Key), Finding>,
    /// Whether the answers of the slow reader are handed on by [`Host::answer`] only.
    pub by_hand: bool,
    pub receipt: Option<oneshot::Receiver<Receipt>>,
    pub verdict: Option<oneshot::Receiver<Verdict>>,
    root: TempDir,
    state: TempDir,
    work: Vec<Work>,
    answers: Receiver<Answer>,
    applied: Receiver<Applied>,
    /// Whether it may write.
    reverts: bool,
    /// Whether nobody hears that something is recorded, as when driftd is killed right then.
    pub cut_off: bool,
    undone: Vec<Done>,
    /// Whether the kprobe sees what it writes itself.
    pub sees_itself: bool,
    announced: u32,
    link_hook: bool,
    /// What happens, and is said by the probes, while something is in doubt.
    meanwhile: RefCell<VecDeque<Meanwhile>>,
}

type Meanwhile = Box<dyn FnOnce(&Host) -> Vec<Hint>>;

impl Host {
    /// Where the file of a key is.
    pub fn path(&self, key: &str) -> std::path::PathBuf {
        self.root.path().join(key.parse::<Key>().unwrap().path().trim_start_matches('/'))
    }

    /// Puts a value in force; nobody tells.
    pub fn set(&self, key: &str, value: &str) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }

    /// Takes a key away.
    pub fn remove(&self, key: &str) {
        fs::remove_file(self.path(key)).unwrap();
    }

    /// What a kprobe says of a write that was asked for by a process and gave this result.
    pub fn hint(&self, pid: u32, key: &str, requested: &str, result: i64) -> Hint {
        let key: Key = key.parse().unwrap();
        let write = super::super::written_file(&key).unwrap();
        Hint {
            write,
            writer: Some(Writer { comm: format!("w{pid}").into(), ..Writer::of(pid) }),
            time: self.now.boot,
            result: Some(result),
            old: None,
            requested: Some(requested.into()),
            owner: Owner::Host,
            seen_by: SeenBy::Kprobe,
        }
    }

    /// What the cgroup program alone says: before the write, without result and owner.
    pub fn early(&self, pid: u32, key: &str, requested: &str) -> Hint {
        let hint = self.hint(pid, key, requested, 0);
        Hint { result: None, owner: Owner::Unknown, seen_by: SeenBy::Cgroup, ..hint }
    }

    /// A process writes a value, and the kprobe sees it.
    pub fn write(&mut self, pid: u32, key: &str, value: &str) -> Vec<String> {
        self.set(key, value);
        let hint = self.hint(pid, key, value, value.len() as i64);
        self.hints(&[hint])
    }

    /// The next time something is in doubt, this happens, and these hints come.
    pub fn meanwhile(&mut self, happens: impl FnOnce(&Host) -> Vec<Hint> + 'static) {
        self.meanwhile.borrow_mut().push_back(Box::new(happens));
    }

    /// Whether all of that happened.
    pub fn all_happened(&self) -> bool {
        self.meanwhile.borrow().is_empty()
    }

    /// Hints come.
    pub fn hints(&mut self, hints: &[Hint]) -> Vec<String> {
        self.handle(Input::Hints(hints.to_vec()))
    }

    /// A message of the application `web`.
    pub fn announce(&mut self, phase: Phase, commit: &str) -> Vec<String> {
        let announcement = self.message("web", phase, commit);
        self.deliver(announcement)
    }

    /// A message that is not like any before.
    pub fn message(&mut self, app: &str, phase: Phase, commit: &str) -> Announcement {
        self.announced += 1;
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&self.announced.to_le_bytes());
        Announcement { app: Some(app.into()), digest, ..Announcement::of(phase, commit) }
    }

    /// A message comes, and its sender waits for receipt and verdict.
    pub fn deliver(&mut self, announcement: Announcement) -> Vec<String> {
        self.deliver_with(announcement, None)
    }

    /// The same, with what was read anew for it.
    pub fn deliver_with(&mut self, announcement: Announcement, reread: Option<Reread>) -> Vec<String> {
        let (reply, receipt) = oneshot::channel();
        let (verdict, given) = oneshot::channel();
        (self.receipt, self.verdict) = (Some(receipt), Some(given));
        let delivery = Delivery { announcement, credential: "plain".into(), reply, verdict: Some(verdict) };
        self.handle(Input::Delivery(delivery, reread))
    }

    /// The same, of the application `web`.
    pub fn announce_with(&mut self, phase: Phase, commit: &str, reread: Reread) -> Vec<String> {
        let announcement = self.message("web", phase, commit);
        self.deliver_with(announcement, Some(reread))
    }

    /// What these rules and the host's own sysctl.d declare, after these files were written.
    pub fn declares(&self, rules: &[Rule], files: &[(&str, &str)]) -> Reread {
        for (path, text) in files {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let requests = vec![Request::Host(Applier::Systemd)];
        let wanted = Arc::new(Wanted::new(rules.to_vec(), requests, Vec::new()));
        Ok(Box::new(Declared::read(&wanted, &[], self.root.path()).unwrap()))
    }

    /// How things stand.
    pub fn status(&mut self) -> Status {
        let (reply, mut status) = oneshot::channel();
        assert_eq!(self.handle(Input::Query(Query::Status(reply))), NOTHING);
        status.try_recv().unwrap()
    }

    /// Lets time pass: the watch is woken when it asked to be, and at no other time.
    pub fn pass(&mut self, millis: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let until = self.now.boot.after(Duration::from_millis(millis));
        while self.watch.deadline() <= until {
            self.move_to(self.watch.deadline().max(self.now.boot));
            lines.extend(self.handle(Input::Tick));
        }
        self.move_to(until);
        lines
    }

    fn move_to(&mut self, boot: Boottime) {
        let wall = self.now.wall + boot.since(self.now.boot);
        self.now = Now { boot, wall };
    }

    /// Hands on one answer of the slow reader.
    pub fn answer(&mut self) -> Vec<String> {
        let answer = self.answers.recv_timeout(Duration::from_secs(30)).expect("the slow reader answers");
        self.handle(Input::Answer(answer))
    }

    /// Hands on what became of the write that is under way.
    pub fn apply(&mut self) -> Vec<String> {
        self.apply_after(|_| {})
    }

    /// The same, where something happens between the write and the moment when the watch hears of it.
    pub fn apply_after(&mut self, meanwhile: impl FnOnce(&Host)) -> Vec<String> {
        let applied = self.applied.recv_timeout(Duration::from_secs(30)).expect("the hand answers");
        meanwhile(self);
        let mut lines = Vec::new();
        if let (true, Applied::Written(Ok(Some(value)))) = (self.sees_itself, &applied) {
            let hint = self.hint(std::process::id(), SWAPPINESS, value.as_str(), 2);
            lines = self.record_input(Input::Hints(vec![hint]));
        }
        lines.extend(self.record_input(Input::Applied(applied)));
        lines
    }

    /// One input; while something is in doubt, what the probes say next.
    fn record_input(&mut self, input: Input) -> Vec<String> {
        let (mut lines, mut inputs) = (Vec::new(), VecDeque::from([input]));
        while let Some(input) = inputs.pop_front() {
            let batch = self.watch.handle(input, self.now);
            lines.extend(self.record(batch));
            self.watch.hear(&mut inputs, || {
                let happens = self.meanwhile.borrow_mut().pop_front();
                vec![Input::Hints(happens.map_or(Vec::new(), |happens| happens(self)))]
            });
        }
        lines
    }

    /// Somebody asks for a remedy; what he is told, where that is known at once.
    pub fn ask(
        &mut self,
        act: Act,
        key: &str,
        dry_run: bool,
    ) -> (Vec<String>, Result<Vec<Remedied>, String>) {
        let (reply, mut answer) = oneshot::channel();
        let person = Person { pid: 7, uid: 0, login_uid: Some(1000) };
        let asked = Asked { act, key: key.parse().unwrap(), dry_run, person, reply };
        let lines = self.handle(Input::Asked(asked));
        (lines, answer.try_recv().expect("who asked is told"))
    }

    /// One input. What was asked of the slow reader is answered at the same moment, unless that is done by hand.
    pub fn handle(&mut self, input: Input) -> Vec<String> {
        let mut lines = self.record_input(input);
        assert!(self.watch.deadline() > self.now.boot, "the loop would spin");
        while !self.by_hand && self.watch.slow.is_waited_for() {
            lines.extend(self.answer());
        }
        while !self.by_hand && self.watch.remedies.is_under_way() {
            lines.extend(self.apply());
        }
        lines
    }

    /// Who waits for it hears that all is recorded.
    pub fn finish(&mut self) {
        self.undone.drain(..).for_each(|done| done(true));
    }

    /// Who waits for it hears that it could not be recorded.
    pub fn fail(&mut self) {
        self.undone.drain(..).for_each(|done| done(false));
    }

    fn record(&mut self, mut batch: Batch) -> Vec<String> {
        self.undone.append(&mut batch.done);
        if !self.cut_off {
            self.finish();
        }
        batch.entries.iter().for_each(|entry| self.account(&entry.what));
        self.entries.extend(batch.entries.iter().cloned());
        let lines = batch.entries.iter().filter_map(|entry| said::said(&entry.what)).collect();
        self.work.push(Work::Record(batch));
        lines
    }

    /// Holds for every course of events: a rule has one open finding on a key at the most, and what heals is it.
    fn account(&mut self, what: &What) {
        let What::Finding(finding) = what else { return };
        let place = (finding.rule.to_string(), finding.key.clone());
        assert_eq!(finding.state == FindingState::Healed, finding.healed.is_some(), "{finding:?}");
        let before = match finding.state {
            // One that was muted is told under its name when the mute ends, and one that becomes a fight then.
            FindingState::Opened => self
                .open
                .insert(place, (**finding).clone())
                .filter(|before| {
                    let is_fight = before.cause != Cause::Fight && finding.cause == Cause::Fight;
                    before.finding != finding.finding || before.muted.is_none() && !is_fight
                })
                .map(|before| before.finding),
            FindingState::Healed => {
                let before = self.open.remove(&place).expect("what heals was open");
                (before.finding != finding.finding).then_some(before.finding)
            }
        };
        assert_eq!(before, None, "{finding:?}");
    }
}

/// For `assert_eq!`: no line.
pub const NOTHING: [&str; 0] = [];
