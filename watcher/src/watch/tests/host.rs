//! The harness: writes files, makes hints and deliveries, moves the clock from deadline to deadline, records what
//! the watch says in a real store, and shows each entry as a short line. It judges nothing.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        mpsc::{Receiver, channel, sync_channel},
    },
    time::Duration,
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::super::{Input, Parts, Reread, Watch};
use crate::{
    declared::{Request, sysctl::Applier},
    deploys::Ledger,
    http::{Delivery, Query},
    kernel::{Answer, Reader, SlowReader},
    model::{
        Announcement, Boottime, Entry, Expectation, Finding, FindingState, Hint, Key, Now, Owner, Phase,
        Receipt, Rule, SeenBy, Severity, Source, Started, Status, Value, Verdict, What, Writer,
    },
    sources::{Declared, Wanted},
    store::{self, Batch, Past, Store, Work},
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
        patterns: Vec::new(),
        if_absent: None,
        source: Source { file: "rules".into(), line: 1 },
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
    announced: u32,
    link_hook: bool,
}

impl Host {
    /// A host with these values in force, watched for the first time. Where nothing departs that says nothing.
    pub fn new(rules: &[Rule], values: &[(&str, &str)]) -> Host {
        let mut host = Host::unwatched(rules, values);
        assert_eq!(host.handle(Input::Tick), ["start"]);
        host
    }

    /// A host whose watch has not yet been told anything.
    pub fn unwatched(rules: &[Rule], values: &[(&str, &str)]) -> Host {
        let root = tempfile::tempdir().unwrap();
        let wall = "2026-08-01T10:00:00Z".parse::<Timestamp>().unwrap();
        let now = Now { boot: Boottime { nanos: 100_000_000_000 }, wall };
        let ledger = Ledger::new(Duration::from_millis(WINDOW), Vec::new(), Vec::new());
        let (watch, answers) = watch(&root, rules, ledger, Past::default(), "swept", now);
        let host = Host {
            rules: rules.to_vec(),
            watch,
            now,
            entries: Vec::new(),
            open: HashMap::new(),
            by_hand: false,
            receipt: None,
            verdict: None,
            root,
            state: tempfile::tempdir().unwrap(),
            work: Vec::new(),
            answers,
            announced: 0,
            link_hook: false,
        };
        values.iter().for_each(|(key, value)| host.set(key, value));
        host
    }

    /// The same, with a kprobe on the links.
    pub fn with_link_hook(mut self) -> Host {
        self.link_hook = true;
        self.restart();
        self
    }

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
            writer: Some(Writer {
                pid,
                tid: pid,
                comm: format!("w{pid}").into(),
                uid: 0,
                login_uid: None,
                session_id: None,
                parent_pid: 1,
                parent_comm: "init".into(),
                cgroup_id: 1,
                unit: None,
            }),
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
        Announcement {
            commit: commit.parse().unwrap(),
            app: Some(app.into()),
            phase,
            id: None,
            timestamp: None,
            environment: None,
            reference: None,
            repo: None,
            digest,
        }
    }

    /// A message comes, and its sender waits for receipt and verdict.
    pub fn deliver(&mut self, announcement: Announcement) -> Vec<String> {
        let (reply, receipt) = oneshot::channel();
        let (verdict, given) = oneshot::channel();
        (self.receipt, self.verdict) = (Some(receipt), Some(given));
        let delivery = Delivery { announcement, credential: "plain".into(), reply, verdict: Some(verdict) };
        self.handle(Input::Delivery(delivery, None))
    }

    /// The same, of the application `web`, with what was read anew for it.
    pub fn announce_with(&mut self, phase: Phase, commit: &str, reread: Reread) -> Vec<String> {
        let announcement = self.message("web", phase, commit);
        let (reply, receipt) = oneshot::channel();
        let (verdict, given) = oneshot::channel();
        (self.receipt, self.verdict) = (Some(receipt), Some(given));
        let delivery = Delivery { announcement, credential: "plain".into(), reply, verdict: Some(verdict) };
        self.handle(Input::Delivery(delivery, Some(reread)))
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
        Ok(Box::new(Declared::read(&wanted, self.root.path()).unwrap()))
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

    /// One input. What was asked of the slow reader is answered at the same moment, unless that is done by hand.
    pub fn handle(&mut self, input: Input) -> Vec<String> {
        let batch = self.watch.handle(input, self.now);
        let mut lines = self.record(batch);
        assert!(self.watch.deadline() > self.now.boot, "the loop would spin");
        while !self.by_hand && self.watch.slow.is_waited_for() {
            lines.extend(self.answer());
        }
        lines
    }

    fn record(&mut self, mut batch: Batch) -> Vec<String> {
        batch.done.drain(..).for_each(|done| done(true));
        batch.entries.iter().for_each(|entry| self.account(&entry.what));
        self.entries.extend(batch.entries.iter().cloned());
        let lines = batch.entries.iter().filter_map(|entry| said(&entry.what)).collect();
        self.work.push(Work::Record(batch));
        lines
    }

    /// Holds for every course of events: a rule has one open finding on a key at the most, and what heals is it.
    fn account(&mut self, what: &What) {
        let What::Finding(finding) = what else { return };
        let place = (finding.rule.to_string(), finding.key.clone());
        assert_eq!(finding.state == FindingState::Healed, finding.healed.is_some(), "{finding:?}");
        let before = match finding.state {
            FindingState::Opened => self.open.insert(place, (**finding).clone()).map(|f| f.finding),
            FindingState::Healed => {
                let before = self.open.remove(&place).expect("what heals was open");
                (before.finding != finding.finding).then_some(before.finding)
            }
        };
        assert_eq!(before, None, "{finding:?}");
    }

    /// The daemon stops and starts again, with what the store holds.
    pub fn restart(&mut self) -> Vec<String> {
        let last = self.watch.stop(self.now);
        let mut lines = self.record(last);
        lines.extend(self.kill());
        lines
    }

    /// The daemon is killed and starts again, with what the store holds.
    pub fn kill(&mut self) -> Vec<String> {
        let past = self.past();
        let mut ledger =
            Ledger::new(Duration::from_millis(WINDOW), past.in_force.clone(), past.delivered.clone());
        for (deployment, started) in past.under_way.iter().cloned() {
            ledger.reopen(deployment, started, self.now);
        }
        let link = if self.link_hook { "kprobe" } else { "swept" };
        (self.watch, self.answers) = watch(&self.root, &self.rules, ledger, past, link, self.now);
        let lines = self.handle(Input::Tick);
        lines.into_iter().filter(|line| line != "start").collect()
    }

    /// Records all there is, and opens it for reading.
    pub fn recorded(&mut self) -> store::Reader {
        let work = std::mem::take(&mut self.work);
        let (sender, inbox) = mpsc::channel(work.len().max(1));
        work.into_iter().for_each(|work| assert!(sender.try_send(work).is_ok()));
        drop(sender);
        let (bell, _rung) = sync_channel(1);
        Store::open(self.state.path(), Vec::new()).unwrap().run(inbox, bell);
        store::Reader::open(self.state.path()).unwrap().unwrap()
    }

    /// Records all there is, and reads what the next run will find.
    pub fn past(&mut self) -> Past {
        let past = self.recorded().past().unwrap();
        let ids = |findings: Vec<&Finding>| {
            let mut ids: Vec<_> = findings.iter().map(|finding| finding.finding.to_string()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(past.findings.iter().collect()), ids(self.open.values().collect()), "stored is told");
        past
    }

    /// The sweeps since the last call: why, how many keys, how many had changed.
    pub fn sweeps(&mut self) -> Vec<String> {
        let sweep = |entry: Entry| match entry.what {
            What::Sweep(sweep) => Some(format!("{} {}/{}", sweep.reason.as_str(), sweep.changed, sweep.keys)),
            _ => None,
        };
        std::mem::take(&mut self.entries).into_iter().filter_map(sweep).collect()
    }
}

/// For `assert_eq!`: no line.
pub const NOTHING: [&str; 0] = [];

fn watch(
    root: &TempDir,
    rules: &[Rule],
    ledger: Ledger,
    past: Past,
    link: &str,
    now: Now,
) -> (Watch, Receiver<Answer>) {
    let (answer, answers) = channel();
    let watching = Started {
        version: "0".into(),
        sysctl: "kprobe".into(),
        link: link.into(),
        reasons: Vec::new(),
        keys: 0,
        webhook: None,
        page: None,
    };
    let parts = Parts {
        rules: rules.to_vec(),
        declared: None,
        ledger,
        past,
        reader: Reader::new(root.path(), 64),
        slow: SlowReader::start(root.path(), move |read| answer.send(read).is_ok()).unwrap(),
        sweep_every: Duration::from_secs(60),
        watching,
    };
    (Watch::new(parts, now), answers)
}

/// An entry in short; sweeps are for [`Host::sweeps`].
fn said(what: &What) -> Option<String> {
    let value = |value: &Option<Value>| value.as_ref().map_or("absent".into(), ToString::to_string);
    let by = |writer: &Option<Writer>, seen_by: SeenBy| {
        let who = writer.as_ref().map_or("nobody".into(), |writer| writer.pid.to_string());
        format!("({who}, {})", seen_by.as_str())
    };
    Some(match what {
        What::Start(_) => "start".into(),
        What::Sweep(_) => return None,
        What::Ignored(ignored) => format!("ignored {} {}", ignored.sender, ignored.count),
        What::Loss(loss) => match loss.count {
            Some(count) => format!("loss: {count} {}", loss.what),
            None => format!("loss: {}", loss.what),
        },
        What::Deployment(news) => format!("{} {}", news.status.as_str(), news.commit),
        What::Verdict(verdict) => {
            let keys = verdict.findings.iter().map(|finding| format!(" {}", finding.key));
            format!("verdict {} {}{}", verdict.commit, verdict.status.as_str(), keys.collect::<String>())
        }
        What::Change(change) => {
            let under = change.commit.as_ref().map_or(String::new(), |commit| {
                format!(" {} {commit}", if change.in_window { "in" } else { "under" })
            });
            let (key, by) = (&change.key, by(&change.writer, change.seen_by));
            format!("change {key} {} -> {} {by}{under}", value(&change.previous), value(&change.actual))
        }
        What::Touch(touch) => {
            let (key, by) = (&touch.key, by(&touch.writer, touch.seen_by));
            format!("touch {key} {} {} x{} {by}", value(&touch.actual), touch.reason.as_str(), touch.writes)
        }
        What::Finding(finding) if finding.state == FindingState::Opened => {
            let Finding { rule, key, actual, expected, writer, seen_by, cause, .. } = &**finding;
            let by = by(writer, *seen_by);
            format!("opened {rule}: {key} {} not {expected} {by} {}", value(actual), cause.as_str())
        }
        What::Finding(finding) => {
            format!("healed {}: {} {}", finding.rule, finding.key, value(&finding.actual))
        }
    })
}
