//! The client's side of the status socket, for `driftd status`, `alerts`, `revert` and `adopt`.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{
    answer::Said,
    asking::{Done, REMEDIES},
    reading::{RETRY, STATUS},
};
use crate::model::{Act, Key, Remedied, Status};

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
    /// Its answer is of another form than ours.
    #[error(
        "the answer of the driftd on `{}` is not understood: {source}\nhint: is it of another version than this command?",
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
    ask(path, Method::GET, STATUS).await
}

/// Asks the daemon that listens on this socket to send again what was given up, to one sink or to all; how many messages
/// that is.
///
/// # Errors
/// Nobody listens, this user may not ask, or no answer came back within 20 s.
pub async fn retry_alerts(path: &Path, sink: Option<&str>) -> Result<usize, ClientError> {
    let query: String = match sink {
        Some(sink) => form_urlencoded::Serializer::new("?".to_owned()).append_pair("sink", sink).finish(),
        None => String::new(),
    };
    let requeued: Requeued = ask(path, Method::POST, &format!("{RETRY}{query}")).await?;
    Ok(requeued.requeued)
}

#[derive(Deserialize)]
struct Requeued {
    requeued: usize,
}

/// Asks the daemon that listens on this socket for a remedy of a key; what was done, or with `dry_run` would be.
///
/// # Errors
/// Nobody listens, this user may not ask, it is not done ([`ClientError::Refused`] with 409 says why), or no answer came back
/// within 20 s.
pub async fn ask_for(path: &Path, act: Act, key: &Key, dry_run: bool) -> Result<Vec<Remedied>, ClientError> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("key", &key.to_string())
        .append_pair("dry_run", if dry_run { "1" } else { "0" })
        .finish();
    let at = format!("{REMEDIES}{}?{query}", act.as_str());
    let Done { remedies } = ask(path, Method::POST, &at).await?;
    Ok(remedies)
}

async fn ask<T: DeserializeOwned>(path: &Path, method: Method, at: &str) -> Result<T, ClientError> {
    let asked = timeout(LIMIT, fetch(path, method, at)).await;
    asked.unwrap_or_else(|_| Err(ClientError::Silent(path.to_owned())))
}

async fn fetch<T: DeserializeOwned>(path: &Path, method: Method, at: &str) -> Result<T, ClientError> {
    let stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoDaemon(path.to_owned()),
        io::ErrorKind::PermissionDenied => ClientError::Denied(path.to_owned()),
        _ => ClientError::Unreachable { path: path.to_owned(), source },
    })?;
    let (status, body) = answer(stream, method, at)
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
async fn answer(
    stream: UnixStream,
    method: Method,
    at: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The host is a formality of HTTP/1.1: on a Unix socket there is none.
    let request =
        Request::builder().method(method).uri(at).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
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
