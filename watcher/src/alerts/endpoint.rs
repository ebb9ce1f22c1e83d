//! A sink for tests: listens on loopback, notes what it is sent, and behaves as it is told.

use std::{collections::VecDeque, net::SocketAddr, path::Path};

use jiff::Timestamp;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// How it answers one request.
#[derive(Clone, Copy, Debug)]
pub enum Behave {
    /// With a status and, where there is one, a header.
    Say(u16, Option<(&'static str, &'static str)>),
    /// As GitHub does where its limit is used up, for so many seconds.
    UsedUp(i64),
    /// Not at all, for as long as the other side waits.
    Hang,
    /// With half of an answer.
    BreakOff,
}

/// One request as it came.
#[derive(Debug)]
pub struct Asked {
    /// The line and the headers, in lower case but for the path.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no `{name}` in {}", self.head))
    }

    /// The method and the path.
    pub fn line(&self) -> (&str, &str) {
        let mut words = self.head.split(' ');
        (words.next().unwrap(), words.next().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The endpoint.
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    asked: UnboundedReceiver<Asked>,
}

impl Endpoint {
    /// Listens, behaves so in this order, and then takes all.
    pub async fn start(behaviour: &[Behave]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = unbounded_channel();
        let mut behaviour: VecDeque<Behave> = behaviour.iter().copied().collect();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let behave = behaviour.pop_front().unwrap_or(Behave::Say(200, None));
                tokio::spawn(answer(stream, behave, sender.clone()));
            }
        });
        Endpoint { address, asked }
    }

    /// The same over TLS, with a certificate of its own, PEM, that is put into a file.
    pub async fn start_tls(certificate: &Path) -> Endpoint {
        let (acceptor, pem) = crate::test_host::tls();
        std::fs::write(certificate, pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust us goes.
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, Behave::Say(200, None), sender.clone()).await;
                }
            }
        });
        Endpoint { address, asked }
    }

    /// The same, that answers with what it is told to: a status and a body. In trouble it behaves so instead: where that is
    /// no status, after it did what it was asked for.
    pub async fn start_with(
        mut trouble: impl FnMut(&Asked) -> Option<Behave> + Send + 'static,
        respond: impl Fn(&Asked) -> (u16, String) + Send + 'static,
    ) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                match trouble(&request) {
                    Some(behave @ (Behave::Say(..) | Behave::UsedUp(_))) => {
                        behave_so(&mut stream, behave).await;
                        let _gone = sender.send(request);
                    }
                    Some(behave @ (Behave::Hang | Behave::BreakOff)) => {
                        respond(&request);
                        let _gone = sender.send(request);
                        behave_so(&mut stream, behave).await;
                    }
                    None => {
                        let (status, body) = respond(&request);
                        let length = body.len();
                        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        let _gone = sender.send(request);
                    }
                }
            }
        });
        Endpoint { address, asked }
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// The next request of those that came already.
    pub fn next(&mut self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }

    /// The requests that came and were not looked at.
    pub fn unseen(&mut self) -> usize {
        std::iter::from_fn(|| self.next()).count()
    }
}

/// Reads one request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Asked {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
    }
    Asked { head, body: bytes[end..].to_vec() }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behave: Behave,
    sender: UnboundedSender<Asked>,
) {
    let _gone = sender.send(request(&mut stream).await);
    behave_so(&mut stream, behave).await;
}

async fn behave_so(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), behave: Behave) {
    let header = match behave {
        Behave::Say(_, header) => {
            header.map_or(String::new(), |(name, value)| format!("{name}: {value}\r\n"))
        }
        Behave::UsedUp(seconds) => {
            let reset = Timestamp::now().as_second() + seconds;
            format!("X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {reset}\r\n")
        }
        Behave::Hang | Behave::BreakOff => String::new(),
    };
    let status = match behave {
        Behave::Say(status, _) => status,
        Behave::UsedUp(_) => 403,
        Behave::Hang => {
            // Until the other side goes.
            let _ended = stream.read_u8().await;
            return;
        }
        Behave::BreakOff => {
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
            return stream.write_all(half).await.unwrap();
        }
    };
    let answer = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: 2\r\n\r\n{{}}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}
