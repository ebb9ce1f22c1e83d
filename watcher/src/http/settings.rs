//! What this room is told about its listener. A stand-in: the config room reads and checks the file, and its
//! types of the same names take the place of these.

use std::{net::SocketAddr, path::PathBuf};

/// The webhook listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How the connection is protected.
    pub tls: Tls,
    /// The files with the secrets: a signature by any of them is right, so that one can follow another.
    pub secrets: Vec<PathBuf>,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: only on loopback.
    Plain,
    /// By a certificate that driftd makes for itself on its first start.
    SelfSigned,
    /// By this certificate.
    Files {
        /// The chain, in PEM, the host's own certificate first.
        certificate: PathBuf,
        /// The private key, in PEM.
        key: PathBuf,
    },
}
