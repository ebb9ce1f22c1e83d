//! HTTP: the webhook listener, and what is there to read, on a socket and on loopback.
//!
//! Limits come first, then the signature, then the meaning. Nothing in this room decides what a delivery does: it
//! hands it to the loop with a reply channel and says what came back.

mod answer;
mod asking;
mod body;
mod callers;
mod client;
mod connection;
mod counts;
mod door;
mod gate;
mod hub;
mod outcomes;
mod reading;
mod secrets;
mod senders;
pub mod signature;
mod status;
#[cfg(test)]
mod testing;
mod tls;
mod verdict;
mod webhook;

use std::{io, net::SocketAddr, path::PathBuf};

pub use asking::{Asked, Asking};
pub use client::{ClientError, ask_for, fetch_status, retry_alerts};
pub use door::{Door, DoorError, Opened, Opening, PATH};
pub use hub::{Hub, Report};
pub use outcomes::Outcomes;
pub use reading::{Pages, Query, Reading};
pub use secrets::{Secret, SecretError};
pub use status::StatusSocket;
pub use tls::{TlsError, make_own};
pub use verdict::Question;
pub use webhook::{Delivery, Posted, Webhook};

/// The longest body that is taken, in bytes, or signed by `driftd sign`: 1 MiB. The plain form has a few hundred
/// bytes, the largest recorded message of any other sender 22 KiB.
pub const MAX_BODY: usize = 1 << 20;

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody could be let in.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Plain HTTP would go over a network.
    #[error(
        "plain HTTP is served on loopback only, and `{0}` is not loopback\nhint: listen on 127.0.0.1, or let TLS \
         protect the connection"
    )]
    PlainInTheOpen(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on `{listen}`: {source}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The status socket cannot be bound.
    #[error("cannot listen on `{}`: {source}", .path.display())]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon answers on the status socket.
    #[error("another driftd listens on `{}`\nhint: stop it first, or give this one another state directory", .0.display())]
    Live(PathBuf),
    /// What the hub kept cannot be had.
    #[error("cannot keep statuses in `{}`: {source}", .path.display())]
    Hub {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else in the place of the status socket.
    #[error("`{}` is there and is no socket\nhint: driftd does not remove what it did not make; move it away", .0.display())]
    NotASocket(PathBuf),
}
