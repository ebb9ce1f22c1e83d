//! What the tests of this room share: a log that can be read, and a client that says what a real one would not.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::model::{Started, Status, VerdictStatus};

/// Sends these bytes and reads until the server closes; what was read.
///
/// The server may close while we still send, so a refused write is no failure: what it said is.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let _refused = stream.write_all(bytes).await;
    let _refused = stream.flush().await;
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said).await;
    String::from_utf8(said).unwrap()
}

/// The lines written so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// A log that takes what this thread tells, until the guard is dropped.
    pub fn start() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// What was told.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a piece of code does, and what it tells.
pub fn logged<T>(code: impl FnOnce() -> T) -> (T, String) {
    let (log, guard) = Log::start();
    let done = code();
    drop(guard);
    (done, log.text())
}

/// A state in which nothing departs.
pub fn sample_status() -> Status {
    Status {
        unreadable: Vec::new(),
        broken: None,
        watching: Started {
            version: "0.1.0".into(),
            sysctl: "kprobe".into(),
            link: "netlink".into(),
            pressure: Some("psi".into()),
            reasons: vec!["the kernel offers kprobes".into()],
            keys: 3,
            webhook: None,
            page: None,
        },
        since: "2026-01-31T12:00:00Z".parse().unwrap(),
        status: VerdictStatus::Synced,
        deployment: None,
        window: None,
        findings: Vec::new(),
        last_sweep: None,
        blind: None,
        unrecorded: None,
        sinks: Vec::new(),
        losses: 1,
        undeclared: 2,
        foreign: 3,
    }
}
