//! The client's side of the status socket, for `driftd status`.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use super::{answer::Said, reading::STATUS};
use crate::model::Status;

/// For the whole of it. The daemon answers from memory, or says within 15 s that it cannot.
const LIMIT: Duration = Duration::from_secs(20);

/// The longest answer, in bytes: thousands of findings fit.
const LONGEST: usize = 16 << 20;

/// Why there is no status to show.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no driftd listens on `{}`\nhint: start it with `driftd run`, or look at `systemctl status driftd`; \
         `driftd check` needs no daemon",
        .0.display()
    )]
    NoDaemon(PathBuf),
    /// The socket is another user's.
    #[error(
        "`{}` may not be opened by this user\nhint: only the owner of the daemon may ask it; try with `sudo`",
        .0.display()
    )]
    Denied(PathBuf),
    /// The socket cannot be opened, for another reason.
    #[error("cannot open `{}`: {source}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It listens and says nothing.
    #[error("the driftd on `{}` did not answer in {LIMIT:?}", .0.display())]
    Silent(PathBuf),
    /// The connection ended before the answer did.
    #[error("the driftd on `{}` broke off: {reason}", .path.display())]
    BrokenOff {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It answers, and not with a status.
    #[error("the driftd on `{}` answered {status}: {said}", .path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// Its status is of another form than ours.
    #[error(
        "the status of the driftd on `{}` is not understood: {source}\nhint: is it of another version than this command?",
        .path.display()
    )]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Asks the daemon that listens on this socket for its status.
///
/// # Errors
/// Nobody listens, this user may not ask, or no status came back within 20 s.
pub async fn fetch_status(path: &Path) -> Result<Status, ClientError> {
    timeout(LIMIT, fetch(path)).await.unwrap_or_else(|_| Err(ClientError::Silent(path.to_owned())))
}

async fn fetch(path: &Path) -> Result<Status, ClientError> {
    let stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoDaemon(path.to_owned()),
        io::ErrorKind::PermissionDenied => ClientError::Denied(path.to_owned()),
        _ => ClientError::Unreachable { path: path.to_owned(), source },
    })?;
    let (status, body) = answer(stream)
        .await
        .map_err(|error| ClientError::BrokenOff { path: path.to_owned(), reason: error.to_string() })?;
    if status != StatusCode::OK {
        let said = serde_json::from_slice::<Said>(&body).map(|said| said.error.into_owned());
        return Err(ClientError::Refused {
            path: path.to_owned(),
            status: status.as_u16(),
            said: said.unwrap_or_else(|_| "nothing that is understood".to_owned()),
        });
    }
    serde_json::from_slice(&body)
        .map_err(|source| ClientError::NotUnderstood { path: path.to_owned(), source })
}

/// One request and its answer.
async fn answer(stream: UnixStream) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The host is a formality of HTTP/1.1: on a Unix socket there is none.
    let request = Request::get(STATUS).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    let asked = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
        Ok((head.status, body))
    };
    // The connection moves the bytes for as long as the answer is not there; how it ends is nobody's concern.
    let moved = async {
        let _ended = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = asked => answer,
        never = moved => match never {},
    }
}
