//! A sink: takes what is posted to it and keeps it, and answers or does not, as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// How long to wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// One message as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// Its id, by which a sink knows one that comes again.
    pub id: String,
    /// What it says.
    pub body: Value,
}

/// The sink. It is there until the program ends.
#[derive(Debug)]
pub struct Inbox {
    address: SocketAddr,
    answers: Arc<AtomicBool>,
    posted: Receiver<Posted>,
}

impl Inbox {
    /// A sink that takes everything.
    #[track_caller]
    pub fn open() -> Inbox {
        Inbox::open_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same at this address.
    #[track_caller]
    pub fn open_at(address: SocketAddr) -> Inbox {
        let listener = TcpListener::bind(address).expect("the sink can listen");
        let address = listener.local_addr().expect("the sink has an address");
        let (sender, posted) = mpsc::channel();
        let answers = Arc::new(AtomicBool::new(true));
        let answer = answers.clone();
        thread::spawn(move || {
            // Who is not answered is not let go either.
            let held = Arc::new(Mutex::new(Vec::new()));
            for stream in listener.incoming().flatten() {
                let (sender, answer, held) = (sender.clone(), answer.clone(), held.clone());
                thread::spawn(move || take(stream, &sender, &answer, &held));
            }
        });
        Inbox { address, answers, posted }
    }

    /// An address at which nobody listens.
    #[track_caller]
    pub fn nobody() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        listener.local_addr().expect("it has an address")
    }

    /// From now on it takes messages and says nothing.
    pub fn fall_silent(&self) {
        self.answers.store(false, Ordering::SeqCst);
    }

    /// From now on it answers.
    pub fn answer(&self) {
        self.answers.store(true, Ordering::SeqCst);
    }

    /// The body of `sinks:` that has everything told here.
    pub fn settings(&self) -> String {
        settings(self.address)
    }

    /// Waits for a message about a key, and passes over others.
    #[track_caller]
    pub fn wait_for(&self, key: &str) -> Posted {
        self.wait(|posted| posted.body["data"]["key"] == key)
    }

    /// Waits for the message that the finding of a key healed; all that came until then, in its order.
    #[track_caller]
    pub fn wait_until_healed(&self, key: &str) -> Vec<Posted> {
        let mut seen = Vec::new();
        loop {
            let posted = self.wait(|_| true);
            let over = posted.body["type"] == "driftd.finding.healed" && posted.body["data"]["key"] == key;
            seen.push(posted);
            if over {
                return seen;
            }
        }
    }

    #[track_caller]
    fn wait(&self, wanted: impl Fn(&Posted) -> bool) -> Posted {
        loop {
            match self.posted.recv_timeout(LIMIT) {
                Ok(posted) if wanted(&posted) => return posted,
                Ok(_) => {}
                Err(_) => panic!("the sink waited for a message in vain"),
            }
        }
    }
}

/// The body of `sinks:` that has everything told at an address.
pub fn settings(address: SocketAddr) -> String {
    format!("inbox: {{ sink: webhook, url: \"http://{address}/hook\", timeout: 1h }}")
}

/// Takes one message; one that is not whole is none.
fn take(stream: TcpStream, sender: &Sender<Posted>, answer: &AtomicBool, held: &Mutex<Vec<TcpStream>>) {
    let mut reader = BufReader::new(stream);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            match line.trim_end() {
                "" => break,
                _ => continue,
            }
        };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => value.clone_into(&mut id),
            "content-length" => length = value.parse().expect("a length is a number"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body = serde_json::from_slice(&body).expect("a message is JSON");
    // What is taken while nobody is answered was taken before the word that it is to answer again.
    let answers = answer.load(Ordering::SeqCst);
    let _unheard = sender.send(Posted { id, body });
    let mut stream = reader.into_inner();
    match answers {
        // Who went meanwhile needs no answer.
        true => drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")),
        false => held.lock().expect("nobody panics here").push(stream),
    }
}
