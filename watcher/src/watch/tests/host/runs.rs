//! The runs of the daemon: the first, the one after a stop, a kill or a reboot, and what the store holds between them.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::mpsc::{Receiver, channel, sync_channel},
    time::Duration,
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Host, WINDOW};
use crate::{
    deploys::Ledger,
    kernel::{Answer, Reader, SlowReader},
    model::{Boottime, Finding, Now, Rule, Started},
    remedy::{Applied, Hand},
    store::{self, Past, Store},
    watch::{Input, Parts, Watch},
};

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
        let (watch, answers, applied) = watch(&root, rules, ledger, Past::default(), ("swept", false), now);
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
            applied,
            reverts: false,
            cut_off: false,
            undone: Vec::new(),
            sees_itself: false,
            announced: 0,
            link_hook: false,
            meanwhile: RefCell::default(),
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

    /// The same, by a daemon that may write.
    pub fn that_reverts(mut self) -> Host {
        self.reverts = true;
        self.restart();
        self
    }

    /// The daemon stops and starts again, with what the store holds.
    pub fn restart(&mut self) -> Vec<String> {
        let last = self.watch.stop(self.now);
        let mut lines = self.record(last);
        lines.extend(self.kill());
        lines
    }

    /// The host is booted anew, with what the store holds and these values.
    pub fn reboot(&mut self, values: &[(&str, &str)]) -> Vec<String> {
        let last = self.watch.stop(self.now);
        self.record(last);
        values.iter().for_each(|(key, value)| self.set(key, value));
        self.now =
            Now { boot: Boottime { nanos: 50_000_000_000 }, wall: self.now.wall + Duration::from_secs(3600) };
        self.kill()
    }

    /// The daemon is killed and starts again, with what the store holds.
    pub fn kill(&mut self) -> Vec<String> {
        self.undone.clear();
        (self.cut_off, self.by_hand) = (false, false);
        let past = self.past();
        let mut ledger =
            Ledger::new(Duration::from_millis(WINDOW), past.in_force.clone(), past.delivered.clone());
        for (deployment, started) in past.under_way.iter().cloned() {
            ledger.reopen(deployment, started, self.now);
        }
        let how = (if self.link_hook { "kprobe" } else { "swept" }, self.reverts);
        (self.watch, self.answers, self.applied) =
            watch(&self.root, &self.rules, ledger, past, how, self.now);
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
}

fn watch(
    root: &TempDir,
    rules: &[Rule],
    ledger: Ledger,
    past: Past,
    (link, reverts): (&str, bool),
    now: Now,
) -> (Watch, Receiver<Answer>, Receiver<Applied>) {
    let (answer, answers) = channel();
    let (done, applied) = channel();
    let done = std::sync::Mutex::new(done);
    let watching = Started {
        version: "0".into(),
        sysctl: "kprobe".into(),
        link: link.into(),
        pressure: Some("psi".into()),
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
        hand: reverts.then(|| Hand::new(root.path(), move |what| done.lock().unwrap().send(what).is_ok())),
        sweep_every: Duration::from_secs(60),
        watching,
    };
    (Watch::new(parts, now), answers, applied)
}
