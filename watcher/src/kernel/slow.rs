//! Reads that may block in the kernel, on a thread of their own: some files of /sys ask a device.
//!
//! The loop asks and goes on; what was read comes back as an input. A key that was asked for and is not yet answered
//! is not asked for again.

use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use super::{ReadError, Reader};
use crate::model::{Key, Value};

/// Whether reading a key may block.
pub fn is_slow(key: &Key) -> bool {
    matches!(key, Key::Sysfs { .. })
}

/// What was read.
pub type Answer = (Key, Result<Option<Value>, ReadError>);

/// A thread that reads.
pub struct SlowReader {
    questions: SyncSender<Key>,
    asked: HashSet<Key>,
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
        Ok(SlowReader { questions, asked: HashSet::new() })
    }

    /// Asks for a key. False where it is being read already, or cannot be asked for.
    pub fn ask(&mut self, key: &Key) -> bool {
        self.asked.insert(key.clone()) && self.questions.try_send(key.clone()).is_ok()
    }

    /// Notes that a key was answered.
    pub fn answered(&mut self, key: &Key) {
        self.asked.remove(key);
    }

    /// How many keys are being read.
    pub fn outstanding(&self) -> usize {
        self.asked.len()
    }
}
