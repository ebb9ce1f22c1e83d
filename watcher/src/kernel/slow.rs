//! Reads that may block in the kernel, on a thread of their own: some files of /sys ask a device.
//!
//! The loop asks and goes on; what was read comes back as an input. A key that was asked for and is not yet answered
//! is not asked for again.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use super::{ReadError, Reader};
use crate::model::{Boottime, Key, Value};

/// Whether reading a key may block.
pub fn is_slow(key: &Key) -> bool {
    matches!(key, Key::Sysfs { .. })
}

/// What was read.
pub type Answer = (Key, Result<Option<Value>, ReadError>);

/// How long an answer is waited for. A key that takes longer holds up nothing any more, and is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread that reads.
pub struct SlowReader {
    questions: SyncSender<Key>,
    /// When each key was asked for; `None` for one that is overdue.
    asked: HashMap<Key, Option<Boottime>>,
}

impl SlowReader {
    /// Starts the thread. Answers go to `answer`, which gives false when nobody wants them any more.
    pub fn start(root: &Path, answer: impl Fn(Answer) -> bool + Send + 'static) -> io::Result<SlowReader> {
        // Every key is asked for once at the most, so that the room is never short of what a configuration declares.
        let (questions, asked): (SyncSender<Key>, Receiver<Key>) = sync_channel(1 << 16);
        let mut reader = Reader::new(root);
        thread::Builder::new().name("slow-reader".into()).spawn(move || {
            for key in asked {
                let read = reader.read(&key);
                if !answer((key, read)) {
                    break;
                }
            }
        })?;
        Ok(SlowReader { questions, asked: HashMap::new() })
    }

    /// Asks for a key, and gives false where it is being read already.
    pub fn ask(&mut self, key: &Key, now: Boottime) -> bool {
        let asks = !self.asked.contains_key(key) && self.questions.try_send(key.clone()).is_ok();
        if asks {
            self.asked.insert(key.clone(), Some(now));
        }
        asks
    }

    /// Notes that a key was answered.
    pub fn answered(&mut self, key: &Key) {
        self.asked.remove(key);
    }

    /// Whether keys are being read that are still waited for.
    pub fn is_waited_for(&self) -> bool {
        self.asked.values().any(Option::is_some)
    }

    /// When [`SlowReader::overdue`] is to be asked next.
    pub fn deadline(&self) -> Option<Boottime> {
        self.asked.values().flatten().min().map(|since| since.after(PATIENCE))
    }

    /// The keys that have become overdue. They are answered some time, or never.
    pub fn overdue(&mut self, now: Boottime) -> Vec<(Key, ReadError)> {
        let mut overdue = Vec::new();
        for (key, asked) in &mut self.asked {
            if asked.is_some_and(|since| now.since(since) >= PATIENCE) {
                *asked = None;
                overdue.push((key.clone(), ReadError::Blocked { path: key.path(), waited: PATIENCE }));
            }
        }
        overdue
    }
}
