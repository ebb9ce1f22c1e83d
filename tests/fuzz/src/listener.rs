//! What comes over a connection to the webhook's listener, as the daemon serves it: whatever it is, it is answered in
//! HTTP or not at all, never with 2xx, and nothing reaches the loop.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    panic,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};
use watcher::http::{Posted, Question, Webhook};

use crate::door;

/// A listener that serves.
struct Listener {
    runtime: Runtime,
    at: SocketAddr,
    deliveries: mpsc::Receiver<Posted>,
    questions: mpsc::Receiver<Question>,
    /// How many connections were made. Each comes from another address: one from which too much comes that proves
    /// nothing is not heard for a while.
    connections: u32,
    _stop: watch::Sender<bool>,
    _directory: TempDir,
}

/// How often anything panicked: a connection that does is told in the log, and the others go on.
static PANICS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LISTENER: RefCell<Listener> = RefCell::new(Listener::start());
}

pub fn feed(bytes: &[u8]) {
    LISTENER.with_borrow_mut(|listener| {
        let panics = PANICS.load(Ordering::Relaxed);
        let answer = listener.answer(bytes);
        assert_eq!(PANICS.load(Ordering::Relaxed), panics, "a connection broke");
        let text = String::from_utf8_lossy(&answer);
        if !answer.is_empty() {
            let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "));
            let status: u16 =
                status.and_then(|rest| rest.get(..3)?.parse().ok()).expect("an answer in HTTP/1");
            // `Expect: 100-continue` has an answer before the answer.
            assert!(status == 100 || (400..600).contains(&status), "{text}");
            assert!(status != 100 || !text.contains("\nHTTP/1.1 2"), "{text}");
            assert_ne!(status, 500, "{text}");
        }
        assert!(listener.deliveries.try_recv().is_err(), "something reached the loop");
        assert!(listener.questions.try_recv().is_err(), "something reached the store");
    });
}

impl Listener {
    fn start() -> Listener {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(told);
        }));
        let directory = tempfile::tempdir().expect("a directory can be made");
        let settings = door::config(&directory, &BTreeMap::new());
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (stop, stopped) = watch::channel(false);
        let (sender, deliveries) = mpsc::channel(1);
        let (asking, questions) = mpsc::channel(1);
        let webhook = runtime.block_on(Webhook::bind(&settings, directory.path())).expect("a listener");
        let url = webhook.url();
        let host = url.split('/').nth(2).expect("a URL has a host");
        let at = host.parse().expect("the host is an address");
        runtime.spawn(webhook.serve(sender, asking, stopped));
        Listener { runtime, at, deliveries, questions, connections: 0, _stop: stop, _directory: directory }
    }

    /// What is answered to these bytes, and nothing more after them.
    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.connections = (self.connections + 1) % 0x00ff_fff0;
        let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 1).to_bits() + self.connections);
        let at = self.at;
        self.runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddrV4::new(from, 0).into()).expect("an address of loopback");
            let mut stream = socket.connect(at).await.expect("a connection");
            let mut answer = Vec::new();
            // It may answer and close before it has read all.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
    }
}
