//! A sink outside the daemon that is killed: it notes each message, and leaves some without an answer, so that they come
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rusqlite::Connection;
use serde_json::Value;

/// The sink.
pub struct Sink {
    /// Where it listens on loopback.
    pub port: u16,
    sent: Arc<Mutex<Sent>>,
}

#[derive(Default)]
struct Sent {
    /// Each message by its id.
    messages: BTreeMap<String, Value>,
    /// How many came again.
    again: usize,
}

impl Sink {
    /// One that does not answer the seventh message, the fourteenth and so on.
    pub fn open() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent: Arc<Mutex<Sent>> = Arc::default();
        let notes = sent.clone();
        thread::spawn(move || {
            for (count, stream) in listener.incoming().flatten().enumerate() {
                let mut reader = BufReader::new(stream);
                // Who was killed in the middle of it sends it again.
                let Some((id, body)) = message(&mut reader) else { continue };
                let mut sent = notes.lock().unwrap();
                if let Some(before) = sent.messages.insert(id, body.clone()) {
                    assert_eq!(before, body, "a message that is sent again is the same");
                    sent.again += 1;
                }
                // Who is left without an answer finds the connection closed.
                if count % 7 != 6 {
                    drop(reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
                }
            }
        });
        Sink { port, sent }
    }

    /// It has all that was recorded for it, each under one id, which is that of its entry, or in one burst; how many came again.
    #[track_caller]
    pub fn check(&self, db: &Connection, entries: &BTreeMap<i64, Value>) -> usize {
        let origin: String = db.query_row("SELECT id FROM origin", [], |row| row.get(0)).unwrap();
        let sent = self.sent.lock().unwrap();
        let (bursts, alone): (Vec<_>, Vec<_>) =
            sent.messages.iter().partition(|(_, body)| body["type"] == "driftd.burst");
        let number = |body: &Value, name: &str| body["data"][name].as_i64().unwrap();
        let told: BTreeSet<i64> = alone.iter().map(|(_, body)| number(body, "entry")).collect();
        let out = |entry: &Value| ["finding", "verdict", "loss"].iter().any(|kind| entry["kind"] == *kind);
        let wanted: BTreeSet<i64> =
            entries.iter().filter(|(_, entry)| out(entry)).map(|(id, _)| *id).collect();
        assert!(told.is_subset(&wanted), "what the sink has was recorded for it");
        for (id, body) in &alone {
            assert_eq!(**id, format!("msg_{origin}_{}", number(body, "entry")), "{body}");
        }
        // What did not go alone is in the bursts: as much as they say, and where they say.
        let together: Vec<i64> = wanted.difference(&told).copied().collect();
        let said = bursts.iter().map(|(_, body)| number(body, "opened") + number(body, "healed"));
        assert_eq!(together.len() as i64, said.sum::<i64>(), "what was recorded for the sink, it has");
        let of = |(_, body): &(&String, &Value)| number(body, "first_entry")..=number(body, "entry");
        assert!(together.iter().all(|entry| bursts.iter().any(|burst| of(burst).contains(entry))));
        sent.again
    }
}

/// One message, where it comes whole: its id and what it says.
fn message(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut id, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some(("webhook-id", value)) => id = Some(value.to_owned()),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((id.unwrap(), serde_json::from_slice(&body).unwrap()))
}
