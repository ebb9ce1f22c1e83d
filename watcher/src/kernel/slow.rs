//! Reads that may block in the kernel, on threads of their own: some files of /sys ask a device.
//!
//! The loop asks and goes on; what was read comes back as an input. A key that was asked for and is not yet answered
//! is not asked for again. One that blocks holds up itself alone: another thread takes over the rest.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::{ReadError, Reader};
use crate::model::{Boottime, Key, Value};

/// Whether reading a key may block.
pub fn is_slow(key: &Key) -> bool {
    matches!(key, Key::Sysfs { .. } | Key::Processes { .. })
}

/// What was read.
pub type Answer = (Key, Result<Option<Value>, ReadError>);

/// How long an answer is waited for. A key that takes longer holds up nothing any more, and is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many threads may be stuck in the kernel before no further one is started.
const THREADS: usize = 8;

/// Threads that read.
pub struct SlowReader {
    questions: Sender<Key>,
    readers: Arc<Readers>,
    threads: usize,
    /// What is asked for and not answered, in the order it was asked.
    asked: HashMap<Key, Asked>,
    next: u64,
}

/// A key that was asked for.
struct Asked {
    number: u64,
    /// Since when it is waited for; `None` for one that is overdue.
    since: Option<Boottime>,
}

/// What the threads share.
struct Readers {
    root: PathBuf,
    questions: Mutex<Receiver<Key>>,
    answer: Box<dyn Fn(Answer) -> bool + Send + Sync>,
}

impl SlowReader {
    /// Starts the first thread. Answers go to `answer`, which gives false when nobody wants them any more.
    pub fn start(
        root: &Path,
        answer: impl Fn(Answer) -> bool + Send + Sync + 'static,
    ) -> io::Result<SlowReader> {
        // Every key is asked for once at the most, so that what is declared bounds the queue. One with a bound of its own
        // would take its whole room at once: 48 bytes for each of the most keys there may be, idle or not.
        let (questions, asked) = channel();
        let readers = Arc::new(Readers {
            root: root.to_owned(),
            questions: Mutex::new(asked),
            answer: Box::new(answer),
        });
        readers.start_one()?;
        Ok(SlowReader { questions, readers, threads: 1, asked: HashMap::new(), next: 0 })
    }

    /// Asks for a key, and gives false where it is being read already.
    pub fn ask(&mut self, key: &Key, now: Boottime) -> bool {
        let asks = !self.asked.contains_key(key) && self.questions.send(key.clone()).is_ok();
        if asks {
            self.next += 1;
            self.asked.insert(key.clone(), Asked { number: self.next, since: Some(now) });
        }
        asks
    }

    /// Notes that a key was answered.
    pub fn answered(&mut self, key: &Key) {
        self.asked.remove(key);
    }

    /// Whether keys are being read that are still waited for.
    pub fn is_waited_for(&self) -> bool {
        self.asked.values().any(|asked| asked.since.is_some())
    }

    /// When [`SlowReader::overdue`] is to be asked next.
    pub fn deadline(&self) -> Option<Boottime> {
        self.asked.values().filter_map(|asked| asked.since).min().map(|since| since.after(PATIENCE))
    }

    /// The keys that have become overdue. They are answered some time, or never.
    ///
    /// Questions are read in their order, so that only the oldest of them blocks. The others get a thread of their own
    /// and their time anew, as long as there may be another thread.
    pub fn overdue(&mut self, now: Boottime) -> Vec<(Key, ReadError)> {
        let is_late = |asked: &Asked| asked.since.is_some_and(|since| now.since(since) >= PATIENCE);
        let oldest = self.asked.values().filter(|asked| is_late(asked)).map(|asked| asked.number).min();
        let Some(oldest) = oldest else { return Vec::new() };
        let another = self.threads < THREADS
            && self
                .readers
                .start_one()
                .inspect_err(|error| tracing::error!("no further thread for slow reads: {error}"))
                .is_ok();
        self.threads += usize::from(another);
        let mut overdue = Vec::new();
        for (key, asked) in self.asked.iter_mut().filter(|(_, asked)| asked.since.is_some()) {
            if another && asked.number != oldest {
                asked.since = Some(now);
            } else if is_late(asked) {
                asked.since = None;
                overdue.push((key.clone(), ReadError::Blocked { path: key.path(), waited: PATIENCE }));
            }
        }
        overdue
    }
}

impl Readers {
    fn start_one(self: &Arc<Readers>) -> io::Result<()> {
        let readers = Arc::clone(self);
        thread::Builder::new().name("slow-reader".into()).spawn(move || readers.read()).map(drop)
    }

    fn read(&self) {
        let mut reader = Reader::new(&self.root, 0);
        loop {
            // Held while it waits for a question, never while it reads.
            let question = self.questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(key) = question else { return };
            let read = reader.read(&key);
            if !(self.answer)((key, read)) {
                return;
            }
        }
    }
}
