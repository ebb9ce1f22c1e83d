//! The status socket: what is there to read, and where a remedy is asked for, on a Unix socket that only its owner can open.
//!
//! Nothing here knows what is read, nor the state of the daemon.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    HttpError,
    asking::{Asking, Peer},
    connection::{self, Limits, Seat},
    reading::{Guard, LIMITS as READING, Reading, STALL, answer},
};

/// The socket is for people at a terminal: a few at once are plenty.
const LIMITS: Limits = Limits { connections: 16, ..READING };

/// The kernel's queue of those who wait to be accepted.
const BACKLOG: i32 = 16;

/// The bound socket, not yet serving.
pub struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
    limits: Limits,
}

impl StatusSocket {
    /// Binds the socket, mode 0600, in a directory that is made, mode 0700, where it is missing. What a daemon that
    /// was killed left behind is replaced. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Another daemon answers there, something other than a socket is in its place, or it cannot be bound.
    pub fn bind(path: &Path) -> Result<StatusSocket, HttpError> {
        let failed = |source| HttpError::Socket { path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        }
        clear(path)?;
        let listener = bound(path).map_err(|errno| failed(errno.into()))?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(StatusSocket { listener, path: path.to_owned(), limits: LIMITS })
    }

    /// Serves until asked to stop, and removes the socket then.
    pub async fn serve(self, reading: Arc<Reading>, asking: Asking, stop: watch::Receiver<bool>) {
        let StatusSocket { listener, path, limits } = self;
        let serve = |(stream, _): (UnixStream, _), seat: Seat| {
            // Who may open the socket is root: none makes room for another.
            seat.keep();
            let (reading, asking, stop) = (reading.clone(), asking.clone(), stop.clone());
            let peer = Peer::of(&stream);
            async move {
                let answer = async |request| match Asking::is_for(&request) {
                    true => asking.answer(&request, peer, &limits).await,
                    false if Asking::lets(&request, peer) => {
                        answer(&reading, request, &Guard::Socket, &limits).await
                    }
                    false => Asking::refusal(),
                };
                let mut stream = Box::pin(TimeoutStream::new(stream));
                stream.as_mut().set_write_timeout_pinned(Some(STALL));
                if let Err(error) = connection::serve(stream, &limits, stop, answer).await {
                    tracing::debug!("a connection to the status socket ended early: {error}");
                }
            }
        };
        connection::accept(move |cx| listener.poll_accept(cx), |_| None, serve, &limits, stop.clone()).await;
        // A missing one is as good; another daemon's is not there, because it would have refused to start.
        let _missing = fs::remove_file(path);
    }
}

/// Makes room for the socket, if what is there is a socket that nobody listens on.
fn clear(path: &Path) -> Result<(), HttpError> {
    let failed = |source| HttpError::Socket { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(HttpError::NotASocket(path.to_owned()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(HttpError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A listening socket whose file is never open to others, not even for a moment: on Linux the mode of the socket
/// before `bind` is the mode of the file it makes (net/unix/af_unix.c, `unix_bind_bsd`), less the umask.
fn bound(path: &Path) -> rustix::io::Result<std::os::unix::net::UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use rustix::process::geteuid;
    use tokio::sync::mpsc;

    use super::{
        super::{
            Asked, ClientError, Query, ask_for, fetch_status,
            testing::{exchange, sample_status},
        },
        *,
    };
    use crate::model::{Act, Key};

    struct Daemon {
        dir: tempfile::TempDir,
        stop: watch::Sender<bool>,
        serving: tokio::task::JoinHandle<()>,
        queries: mpsc::Receiver<Query>,
        asked: mpsc::Receiver<Asked>,
    }

    impl Daemon {
        fn start(limits: Limits) -> Daemon {
            let dir = tempfile::tempdir().unwrap();
            let (stop, stopped) = watch::channel(false);
            let (asking, queries) = mpsc::channel(1);
            let socket = StatusSocket::bind(&dir.path().join("run/driftd.sock")).unwrap();
            let reading = Reading::new(asking, dir.path(), None, "c", stopped.clone());
            let (remedies, asked) = mpsc::channel(1);
            let asking = Asking::new(remedies);
            let serving =
                tokio::spawn(StatusSocket { limits, ..socket }.serve(Arc::new(reading), asking, stopped));
            Daemon { dir, stop, serving, queries, asked }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("run/driftd.sock")
        }

        async fn said(&self, request: &str) -> String {
            exchange(UnixStream::connect(self.path()).await.unwrap(), request.as_bytes()).await
        }
    }

    #[tokio::test]
    async fn the_status_comes_from_the_loop_to_the_client() {
        let mut daemon = Daemon::start(LIMITS);
        let path = daemon.path();
        let asked = tokio::spawn(async move { fetch_status(&path).await });
        let Some(Query::Status(reply)) = daemon.queries.recv().await else { panic!("another query") };
        reply.send(sample_status()).unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), sample_status());
    }

    #[tokio::test]
    async fn only_the_owner_can_open_it() {
        let daemon = Daemon::start(LIMITS);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&daemon.path()), 0o600);
        assert_eq!(mode(daemon.path().parent().unwrap()), 0o700);
    }

    #[tokio::test]
    async fn it_is_read_from_and_nothing_else() {
        let daemon = Daemon::start(LIMITS);
        let lost = daemon.said("GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(lost.starts_with("HTTP/1.1 404 "), "{lost}");
        let posted =
            daemon.said("POST /api/v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
        assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD\r\n"), "{posted}");
    }

    #[tokio::test]
    async fn a_remedy_is_asked_for_here_and_what_the_loop_says_against_it_is_told() {
        let mut daemon = Daemon::start(LIMITS);
        let path = daemon.path();
        let key: Key = "net.ipv4.conf.eth0/100.rp_filter".parse().unwrap();
        let wanted = key.clone();
        let asked = tokio::spawn(async move { ask_for(&path, Act::Revert, &key, true).await });
        let Asked { act, key, dry_run, person, reply } = daemon.asked.recv().await.unwrap();
        assert_eq!((act, key, dry_run), (Act::Revert, wanted, true));
        assert_eq!((person.uid, person.pid), (geteuid().as_raw(), std::process::id()));
        reply.send(Err("it is as expected".into())).unwrap();
        let refused = asked.await.unwrap().unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { status: 409, said, .. } if said == "it is as expected"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_remedy_is_asked_for_by_post_of_a_key_and_nothing_else() {
        let daemon = Daemon::start(LIMITS);
        for (request, wanted) in [
            ("GET /api/v1/remedies/revert?key=vm.swappiness", "405"),
            ("POST /api/v1/remedies/delete?key=vm.swappiness", "404"),
            ("POST /api/v1/remedies/revert", "400"),
            ("POST /api/v1/remedies/revert?key=swappiness", "400"),
            ("POST /api/v1/remedies/adopt?key=vm.swappiness&value=1", "400"),
        ] {
            let said =
                daemon.said(&format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {wanted} ")), "{request}: {said}");
        }
    }

    #[tokio::test]
    async fn a_loop_that_does_not_answer_is_told_to_the_client() {
        let limits = Limits { request: Duration::from_millis(50), ..LIMITS };
        let daemon = Daemon::start(limits);
        // The first query stays in the channel unanswered; for the second there is no room.
        for reason in ["busy with the first", "no room for the second"] {
            let error = fetch_status(&daemon.path()).await.unwrap_err();
            assert!(matches!(error, ClientError::Refused { status: 503, .. }), "{reason}: {error}");
        }
    }

    #[tokio::test]
    async fn what_a_killed_daemon_left_is_replaced_and_a_live_one_is_not() {
        let mut daemon = Daemon::start(LIMITS);
        let path = daemon.path();
        let refused = StatusSocket::bind(&path).err().unwrap().to_string();
        insta::assert_snapshot!(refused.replace(daemon.dir.path().to_str().unwrap(), "DIR"), @r"
        another driftd listens on `DIR/run/driftd.sock`
        hint: stop it first, or give this one another state directory
        ");

        // Killed: the socket is closed and its file stays.
        daemon.serving.abort();
        assert!((&mut daemon.serving).await.unwrap_err().is_cancelled());
        assert!(path.exists());
        let error = fetch_status(&path).await.unwrap_err();
        assert!(matches!(error, ClientError::NoDaemon(_)), "{error}");
        drop(StatusSocket::bind(&path).unwrap());
    }

    #[tokio::test]
    async fn a_file_in_its_place_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(StatusSocket::bind(&path), Err(HttpError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn asked_to_stop_it_goes_and_takes_its_file_along() {
        let mut daemon = Daemon::start(LIMITS);
        let _silent = UnixStream::connect(daemon.path()).await.unwrap();
        daemon.stop.send(true).unwrap();
        (&mut daemon.serving).await.unwrap();
        assert!(!daemon.path().exists());
        insta::assert_snapshot!(
            fetch_status(Path::new("/nonexistent/driftd.sock")).await.unwrap_err(),
            @r"
        no driftd listens on `/nonexistent/driftd.sock`
        hint: start it with `driftd run`, or look at `systemctl status driftd`; `driftd check` needs no daemon
        "
        );
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = StatusSocket::bind(&dir.path().join("x".repeat(120))).err().unwrap().to_string();
        assert!(error.contains("File name too long"), "{error}");
    }
}
