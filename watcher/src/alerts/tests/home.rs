//! The home of the tests: a real store with its writer, the sinks of a configuration, and what happens there.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc::sync_channel},
    thread::{self, JoinHandle},
};

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{
    endpoint::Endpoint,
    outside::{Given, Outside, outlets},
};
use crate::{
    config::{self, Alerts},
    model::{Entry, Finding, Loss, SinkStanding, Status, VerdictStatus, What},
    store::{Batch, Outcome, Reader, Store, Work},
};

/// A store with its writer, and the sinks of a configuration.
pub(super) struct Home {
    pub(super) state: TempDir,
    pub(super) work: mpsc::Sender<Work>,
    pub(super) commits: watch::Receiver<u64>,
    pub(super) news: watch::Receiver<u64>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) asked: Option<mpsc::Receiver<oneshot::Sender<Status>>>,
    /// What became of each try, as the sinks said it.
    pub(super) tried: Option<mpsc::UnboundedReceiver<Outcome>>,
    pub(super) sinks: Option<JoinHandle<()>>,
    pub(super) writer: Option<JoinHandle<()>>,
}

impl Home {
    /// Starts the writer, and the sinks too.
    pub(super) fn start(sinks: &str) -> Home {
        let mut home = Home::begin(tempfile::tempdir().unwrap(), sinks);
        home.send(sinks);
        home
    }

    pub(super) fn begin(state: TempDir, sinks: &str) -> Home {
        let store = Store::open(state.path(), Vec::new()).unwrap().telling(outlets(&alerts(sinks))).unwrap();
        let (commits, news) = (store.commits(), store.news());
        let (work, inbox) = mpsc::channel(16);
        let writer = thread::spawn(move || store.run(inbox, sync_channel(1).0));
        let (stop, _) = watch::channel(false);
        Home { state, work, commits, news, stop, asked: None, tried: None, sinks: None, writer: Some(writer) }
    }

    /// Starts the sinks.
    pub(super) fn send(&mut self, sinks: &str) {
        let outside = Outside::new(&alerts(sinks), "driftd.yaml").unwrap();
        let (status, asked) = mpsc::channel(1);
        let (work, mut seen) = mpsc::channel(16);
        let (tell, tried) = mpsc::unbounded_channel();
        let store = self.work.clone();
        thread::spawn(move || {
            while let Some(one) = seen.blocking_recv() {
                if let Work::Tried { outcome, .. } = &one {
                    let _unheard = tell.send(outcome.clone());
                }
                assert!(store.blocking_send(one).is_ok());
            }
        });
        (self.asked, self.tried) = (Some(asked), Some(tried));
        let (news, stop) = (self.news.clone(), self.stop.subscribe());
        let state = self.state.path().to_owned();
        self.sinks = Some(thread::spawn(move || {
            outside.run(&state, &Given { work, status, news, stop }).unwrap();
        }));
    }

    pub(super) async fn record(&self, entries: Vec<Entry>) {
        assert!(self.work.send(Work::Record(Batch { entries, ..Batch::default() })).await.is_ok());
    }

    /// Answers how things stand: with these findings open, as they are when it is asked.
    pub(super) fn stands(&mut self) -> Arc<Mutex<Vec<Finding>>> {
        let mut asked = self.asked.take().unwrap();
        let found = Arc::new(Mutex::new(Vec::new()));
        let now = found.clone();
        tokio::spawn(async move {
            while let Some(reply) = asked.recv().await {
                let findings = now.lock().unwrap().clone();
                let _gone = reply.send(status(findings));
            }
        });
        found
    }

    /// Why the next try was in vain.
    pub(super) async fn why(&mut self) -> String {
        match self.tried.as_mut().unwrap().recv().await.unwrap() {
            Outcome::Later { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn standings(&self) -> Vec<SinkStanding> {
        Reader::open(self.state.path()).unwrap().unwrap().sinks().unwrap()
    }

    /// Waits until commits bring a sink to where it should be.
    pub(super) async fn until(&mut self, wanted: impl Fn(&[SinkStanding]) -> bool) -> Vec<SinkStanding> {
        loop {
            let found = self.standings();
            if wanted(&found) {
                return found;
            }
            self.commits.changed().await.unwrap();
        }
    }

    /// Stops the sinks at once, as a death would, and the writer.
    pub(super) fn end(mut self) -> TempDir {
        let _ = self.stop.send(true);
        if let Some(sinks) = self.sinks.take() {
            sinks.join().unwrap();
        }
        drop(self.work);
        self.writer.take().unwrap().join().unwrap();
        self.state
    }
}

pub(super) fn alerts(sinks: &str) -> Alerts {
    let text = format!(
        "alerts:\n  commit_link: https://git.example.org/infra/commit/{{commit}}\n  sinks:\n{sinks}\n"
    );
    config::parse("driftd.yaml", &text).map_err(|problems| problems.render(false)).unwrap().alerts
}

pub(super) fn webhook(name: &str, endpoint: &Endpoint, more: &str) -> String {
    format!("    {name}: {{ sink: webhook, url: \"http://{}/hook\"{more} }}\n", endpoint.address)
}

/// A finding that opened or healed just now.
pub(super) fn finding(id: &str, state: &str) -> Entry {
    let now = Timestamp::now();
    let finding: Finding = serde_json::from_value(json!({
        "finding": id, "state": state, "key": "vm.swappiness", "rule": id, "severity": "critical",
        "expected": "10", "wanted": "10", "actual": "61", "previous": "10", "requested": "61", "commit": "a1b2c3",
        "declared_commit": null, "declared_by": { "file": "/etc/driftd.yaml", "line": 7 },
        "cause": "changed after the deploy", "writer": null, "seen_by": "sweep", "deployment": "d1",
        "opened": now, "healed": null
    }))
    .unwrap();
    Entry { time: now, what: What::Finding(Box::new(finding)) }
}

pub(super) fn loss(what: &str) -> Entry {
    Entry { time: Timestamp::now(), what: What::Loss(Loss { what: what.into(), count: None }) }
}

pub(super) fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(super) fn all_sent(standings: &[SinkStanding]) -> bool {
    standings.is_empty()
}

/// How things stand, with these findings open.
pub(super) fn status(findings: Vec<Finding>) -> Status {
    let now = Timestamp::now();
    let mut status: Status = serde_json::from_value(json!({
        "watching": { "version": "0.1.0", "sysctl": "kprobe", "link": "netlink", "reasons": [], "keys": 3,
            "webhook": null },
        "since": now, "status": "SYNCED", "deployment": null, "window": null, "findings": [],
        "last_sweep": now, "losses": 0, "undeclared": 0, "foreign": 0
    }))
    .unwrap();
    if !findings.is_empty() {
        (status.status, status.findings) = (VerdictStatus::OutOfSync, findings);
    }
    status
}

/// A finding that is open.
pub(super) fn open() -> Finding {
    match finding("f1", "opened").what {
        What::Finding(finding) => *finding,
        other => panic!("{other:?}"),
    }
}
