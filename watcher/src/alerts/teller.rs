//! The teller: what the outbox holds for the standard output, or for the journal where that is what the standard output
//! is, goes there, in order, and is then marked as told.
//!
//! It runs on a thread of its own: a pipe that nobody reads holds up it alone. What was not told when the process
//! died is still in the outbox, and is told by the next one under the same number.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Instant,
};

use tokio::sync::mpsc::Sender;

use super::{Journal, Output, burst::Bursts, line};
use crate::store::{Reader, Row, StoreError, Work};

/// The name of this sink in the outbox.
pub const OUTPUT: &str = "output";

/// How many entries are taken out of the outbox at once.
const PIECE: usize = 256;

/// Where entries are told.
#[derive(Debug)]
pub enum Sink<W> {
    /// As lines, each of them.
    Lines(Output, W),
    /// In the journal, where a burst becomes one entry.
    Journal(Journal, Bursts),
}

impl<W: Write> Sink<W> {
    /// The journal.
    pub fn journal(journal: Journal) -> Sink<W> {
        Sink::Journal(journal, Bursts::default())
    }

    fn tell(&mut self, rows: &[Row]) -> io::Result<()> {
        match self {
            Sink::Lines(output, out) => {
                // In one piece: each writing of a pipe wakes whoever reads it.
                let mut lines = String::new();
                for row in rows {
                    lines.push_str(&line(row, *output));
                    lines.push('\n');
                }
                out.write_all(lines.as_bytes())?;
                out.flush()
            }
            Sink::Journal(journal, bursts) => {
                for row in rows {
                    let (before, alone) = bursts.take(row, Instant::now());
                    if let Some(burst) = before {
                        journal.tell_burst(&burst);
                    }
                    if alone {
                        journal.tell(row);
                    }
                }
                Ok(())
            }
        }
    }

    /// When what was held back is told at the latest.
    fn due(&self) -> Option<Instant> {
        match self {
            Sink::Lines(..) => None,
            Sink::Journal(_, bursts) => bursts.due(),
        }
    }

    /// Tells what was held back.
    fn flush(&mut self) {
        if let Sink::Journal(journal, bursts) = self
            && let Some(burst) = bursts.flush()
        {
            journal.tell_burst(&burst);
        }
    }
}

/// Tells until nobody rings any more, then what is left.
///
/// # Errors
/// The store cannot be read, or nobody takes what is told: the outbox keeps it.
pub fn tell<W: Write>(
    reader: &Reader,
    bell: &Receiver<()>,
    store: &Sender<Work>,
    mut sink: Sink<W>,
) -> Result<(), TellError> {
    let (mut told, mut marked) = (0, 0);
    loop {
        let rings = match sink.due() {
            None => bell.recv().is_ok(),
            Some(due) => {
                let rung = bell.recv_timeout(due.saturating_duration_since(Instant::now()));
                rung != Err(RecvTimeoutError::Disconnected)
            }
        };
        loop {
            let rows = reader.untold(OUTPUT, told, PIECE)?;
            let Some(last) = rows.last() else { break };
            told = last.number;
            sink.tell(&rows)?;
            // What is held back is not told yet: after a crash it is, by the next run.
            if sink.due().is_none() {
                mark(store, told, &mut marked);
            }
        }
        if !rings || sink.due().is_some_and(|due| due <= Instant::now()) {
            sink.flush();
            mark(store, told, &mut marked);
        }
        if !rings {
            return Ok(());
        }
    }
}

/// Lets the store forget that these have to be told.
fn mark(store: &Sender<Work>, told: i64, marked: &mut i64) {
    if std::mem::replace(marked, told) < told {
        // A store that is gone has nobody left to ask: the next run tells these again.
        let _ = store.blocking_send(Work::Told { sink: OUTPUT, entry: told });
    }
}

/// Why telling ended.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The outbox.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output.
    #[error("nobody takes the output: {0}")]
    Output(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::mpsc::{Sender as Rope, channel, sync_channel},
        thread,
    };

    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        model::{Entry, Loss, What},
        store::{Batch, Store},
    };

    /// Records what is to be told: entries that say their number.
    fn record(state: &Path, numbers: impl Iterator<Item = usize>) {
        let note = |number: usize| Entry {
            time: "2026-08-01T10:00:00Z".parse().unwrap(),
            what: What::Loss(Loss { what: number.to_string(), count: None }),
        };
        let batch = Batch { entries: numbers.map(note).collect(), ..Batch::default() };
        write(state, vec![Work::Record(batch)]);
    }

    fn write(state: &Path, work: Vec<Work>) {
        let (sender, inbox) = mpsc::channel(work.len().max(1));
        work.into_iter().for_each(|work| assert!(sender.try_send(work).is_ok()));
        drop(sender);
        Store::open(state, vec![OUTPUT]).unwrap().run(inbox, sync_channel(1).0);
    }

    fn outbox(count: usize) -> TempDir {
        let state = tempfile::tempdir().unwrap();
        record(state.path(), 1..=count);
        state
    }

    fn reader(state: &TempDir) -> Reader {
        Reader::open(state.path()).unwrap().unwrap()
    }

    /// Tells what there is, and gives how it ended, what was told, and what the store was asked to mark.
    fn told(state: &TempDir, out: &mut impl Write) -> (Result<(), TellError>, Vec<Work>) {
        let (store, mut marks) = mpsc::channel(16);
        let (rope, bell) = channel();
        drop::<Rope<()>>(rope);
        let end = tell(&reader(state), &bell, &store, Sink::Lines(Output::Text, out));
        drop(store);
        (end, std::iter::from_fn(|| marks.blocking_recv()).collect())
    }

    fn marked(marks: &[Work]) -> Vec<i64> {
        let mark = |work: &Work| match work {
            Work::Told { sink: OUTPUT, entry } => Some(*entry),
            _ => None,
        };
        marks.iter().filter_map(mark).collect()
    }

    /// The lines by the number at their end.
    fn numbers(out: &[u8]) -> Vec<usize> {
        let text = std::str::from_utf8(out).unwrap();
        text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn all_that_is_in_the_outbox_is_told_in_order_and_marked_piece_by_piece() {
        let state = outbox(600);
        let mut out = Vec::new();
        let (end, marks) = told(&state, &mut out);
        assert!(end.is_ok());
        assert_eq!(numbers(&out), (1..=600).collect::<Vec<_>>());
        assert_eq!(marked(&marks), [256, 512, 600]);
        write(state.path(), marks);
        record(state.path(), 601..=601);
        let mut next = Vec::new();
        assert_eq!(marked(&told(&state, &mut next).1), [601]);
        assert_eq!(numbers(&next), [601], "the next run tells what is new");
    }

    #[test]
    fn what_was_told_and_not_marked_when_it_was_killed_is_told_again_under_its_number() {
        let state = outbox(2);
        for _ in 0..2 {
            let mut out = Vec::new();
            assert_eq!(marked(&told(&state, &mut out).1), [2]);
            assert_eq!(numbers(&out), [1, 2]);
        }
    }

    /// A pipe whose other end is closed after some lines.
    struct Pipe {
        out: Vec<u8>,
        lines: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.lines - self.out.iter().filter(|byte| **byte == b'\n').count();
            if left == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(left).map(<[u8]>::len).sum();
            self.out.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_output_ends_the_telling_and_the_outbox_keeps_what_was_not_told() {
        let state = outbox(600);
        let mut pipe = Pipe { out: Vec::new(), lines: 300 };
        let (end, marks) = told(&state, &mut pipe);
        insta::assert_snapshot!(end.unwrap_err(), @"nobody takes the output: broken pipe");
        assert_eq!(numbers(&pipe.out), (1..=300).collect::<Vec<_>>());
        assert_eq!(marked(&marks), [256], "the piece that broke off is told again as a whole");
        write(state.path(), marks);
        let mut out = Vec::new();
        assert!(told(&state, &mut out).0.is_ok());
        assert_eq!(numbers(&out), (257..=600).collect::<Vec<_>>());
    }

    #[test]
    fn a_store_that_is_gone_keeps_nobody_from_telling() {
        let state = outbox(3);
        let (store, marks) = mpsc::channel(1);
        drop(marks);
        let mut out = Vec::new();
        let (rope, bell) = channel();
        drop::<Rope<()>>(rope);
        assert!(tell(&reader(&state), &bell, &store, Sink::Lines(Output::Json, &mut out)).is_ok());
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
    }

    #[test]
    fn each_pull_of_the_bell_tells_what_is_new_until_the_writer_closes() {
        let state = outbox(1);
        let store = Store::open(state.path(), vec![OUTPUT]).unwrap();
        let (work, inbox) = mpsc::channel(16);
        let (rope, bell) = sync_channel(1);
        let writer = thread::spawn(move || store.run(inbox, rope));
        let (reads, marks) = (reader(&state), work.clone());
        let (mut lines, pipe) = io::pipe().map(|(read, write)| (io::BufReader::new(read), write)).unwrap();
        let teller = thread::spawn(move || tell(&reads, &bell, &marks, Sink::Lines(Output::Text, pipe)));
        for number in 2..5 {
            let what = What::Loss(Loss { what: number.to_string(), count: None });
            let entry = Entry { time: "2026-08-01T10:00:00Z".parse().unwrap(), what };
            let batch = Batch { entries: vec![entry], ..Batch::default() };
            assert!(work.blocking_send(Work::Record(batch)).is_ok());
            // The first pull tells what an earlier run left, too.
            let mut line = String::new();
            for _ in 0..if number == 2 { 2 } else { 1 } {
                line.clear();
                io::BufRead::read_line(&mut lines, &mut line).unwrap();
            }
            assert_eq!(numbers(line.as_bytes()), [number]);
        }
        assert!(work.blocking_send(Work::Close).is_ok());
        assert!(teller.join().unwrap().is_ok());
        drop(work);
        writer.join().unwrap();
        assert!(reader(&state).untold(OUTPUT, 0, 9).unwrap().is_empty(), "all is marked");
    }
}
