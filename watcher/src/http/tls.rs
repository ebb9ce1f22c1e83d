//! TLS: the certificate we were given, or one we make for ourselves and keep, and the word when its files change.
//!
//! rustls with ring, for those who connect to us (`alerts/post.rs` has those to whom we connect); HTTP/2 or HTTP/1.1 by
//! ALPN. A certificate that works is replaced only by another that works. Nothing here waits for a change: each
//! connection looks.

mod own;

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsAcceptor;

pub use own::make_own;

use super::secrets::warn_if_others_read;
use crate::config;

/// The name of HTTP/2 in ALPN (RFC 9113, section 3.1).
pub const H2: &[u8] = b"h2";

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} in `{}`: {source}", .path.display())]
    Unreadable {
        /// What is in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no such thing in it.
    #[error(
        "no {what} in `{}`: {source}\nhint: PEM is wanted, a section that begins with `-----BEGIN {begin}-----`",
        .path.display()
    )]
    NotPem {
        /// What is wanted.
        what: &'static str,
        /// How its section begins.
        begin: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// They do not fit each other, or cannot be used.
    #[error(
        "cannot use the certificate in `{}` with the key in `{}`: {source}\nhint: the key must be the one that the \
         first certificate in the file was made for",
        .certificate.display(), .key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The self-signed certificate is there, and its key is gone.
    #[error(
        "there is no key `{}` for the certificate beside it\nhint: put it back; or remove the certificate too, and a \
         new pair is made at the next start, for senders to trust anew",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The self-signed certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The self-signed certificate cannot be kept.
    #[error(
        "cannot write `{}`: {source}\nhint: driftd keeps its own certificate there; the directory must be writable",
        .path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A certificate with its key, as their files have them.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    held: Mutex<Held>,
}

/// What connections are accepted with.
struct Held {
    /// What the files looked like when they were read last, whether that went well or not.
    stamps: [Option<Stamp>; 2],
    acceptor: TlsAcceptor,
}

/// What tells that a file is another one or was written: device, inode, length, and the time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Tls {
    /// Reads the certificate that the settings name, or makes one of our own and keeps it in `state_dir`. `None` where
    /// the settings say plain.
    ///
    /// # Errors
    /// The certificate or its key cannot be read, used, or made.
    pub fn load(tls: &config::Tls, listen: IpAddr, state_dir: &Path) -> Result<Option<Tls>, TlsError> {
        let (certificate, key) = match tls {
            config::Tls::Plain => return Ok(None),
            config::Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
            config::Tls::SelfSigned => {
                let own = make_own(state_dir, listen, &[])?;
                (own.certificate, own.key)
            }
        };
        let stamps = [stamp(&certificate), stamp(&key)];
        let acceptor = acceptor(&certificate, &key)?;
        Ok(Some(Tls { certificate, key, held: Mutex::new(Held { stamps, acceptor }) }))
    }

    /// What accepts the next connection. Where the files changed, they are read again; if they cannot be used, the
    /// certificate in use stays, and an error says why, once for each change.
    ///
    /// Two `stat(2)` a connection spare a watch on the files, a signal, and the memory of who must send it.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before they are read: what changes meanwhile is read again by the next connection.
        let stamps = [stamp(&self.certificate), stamp(&self.key)];
        if stamps != held.stamps {
            held.stamps = stamps;
            match acceptor(&self.certificate, &self.key) {
                Ok(acceptor) => {
                    tracing::info!(
                        "the certificate in `{}` is a new one, and is used",
                        self.certificate.display()
                    );
                    held.acceptor = acceptor;
                }
                Err(error) => {
                    tracing::error!("the certificate that was used until now stays in use: {error}")
                }
            }
        }
        held.acceptor.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let read = |what, path: &Path| {
        fs::read(path).map_err(|source| TlsError::Unreadable { what, path: path.to_owned(), source })
    };
    let not_pem = |what, begin, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::NotPem { what, begin, path, source }
    };
    let text = read("certificate", certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .and_then(|chain: Vec<_>| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(not_pem("certificate", "CERTIFICATE", certificate))?;
    let text = read("private key", key)?;
    if let Ok(metadata) = fs::metadata(key) {
        warn_if_others_read(key, &metadata);
    }
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(not_pem("private key", "PRIVATE KEY", key))?;
    let unusable =
        |source| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
