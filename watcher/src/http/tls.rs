//! TLS: the certificate we were given, or one we make for ourselves and keep.
//!
//! rustls with ring, named here and nowhere else; HTTP/1.1 by ALPN. A certificate that is there is never replaced:
//! senders may have pinned it.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsAcceptor;

use super::secrets::warn_if_others_read;
use crate::config::Tls;

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

/// What accepts TLS connections; `None` where the settings say plain.
///
/// # Errors
/// The certificate or its key cannot be read, used, or made.
pub fn acceptor(tls: &Tls, listen: IpAddr, state_dir: &Path) -> Result<Option<TlsAcceptor>, TlsError> {
    match tls {
        Tls::Plain => Ok(None),
        Tls::Files { certificate, key } => load(certificate, key).map(Some),
        Tls::SelfSigned => {
            let dir = state_dir.join("tls");
            let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
            // The certificate is written last: where it is, the pair is whole.
            if !certificate.exists() {
                make(&dir, &certificate, &key, listen)?;
            }
            if !key.exists() {
                return Err(TlsError::NoKey(key));
            }
            load(&certificate, &key).map(Some)
        }
    }
}

fn load(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes a key and a certificate for this host, and keeps them.
fn make(dir: &Path, certificate: &Path, key: &Path, listen: IpAddr) -> Result<(), TlsError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unwritable { path, source }
    };
    let names = names(rustix::system::uname().nodename().to_str().ok(), listen);
    // No CA: it can vouch for this listener and for nothing else. rcgen's own dates, 1975 to 4096, are kept: who
    // trusts this certificate has fetched it by hand, and an end would only break deploys on some night.
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name.push(DnType::CommonName, "driftd");
    let pair = KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritable(dir))?;
    write(key, &pair.serialize_pem(), 0o600).map_err(unwritable(key))?;
    write(certificate, &made.pem(), 0o644).map_err(unwritable(certificate))?;
    tracing::info!("made a certificate for {} in `{}`", names.join(", "), certificate.display());
    Ok(())
}

/// Writes a file as a whole or not at all, never readable by more than the mode says.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("pem.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// What the certificate is valid for: the host by its name, by loopback, and where it listens.
fn names(host: Option<&str>, listen: IpAddr) -> Vec<String> {
    let is_dns = |name: &&str| {
        !name.is_empty()
            && name.len() < 254
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    };
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut names: Vec<String> = host.filter(is_dns).into_iter().map(str::to_owned).collect();
    for name in ["localhost".to_owned()]
        .into_iter()
        .chain(loopback.map(|ip| ip.to_string()))
        .chain([listen.to_string()])
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::sync::{mpsc, watch};
    use tokio_rustls::TlsConnector;

    use super::{
        super::{Webhook, testing::exchange},
        *,
    };

    fn listen() -> IpAddr {
        IpAddr::from([127, 0, 0, 2])
    }

    fn own(state_dir: &Path) -> (PathBuf, PathBuf) {
        (state_dir.join("tls/certificate.pem"), state_dir.join("tls/key.pem"))
    }

    /// A client that trusts this certificate and nothing else, and offers these protocols.
    fn trusting(certificate: &Path, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// What a listener with a certificate of its own says to a client that trusts it under this name.
    async fn asked(name: &str, protocols: &[&str]) -> io::Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "hunter2").unwrap();
        let settings = crate::config::Webhook {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: Tls::SelfSigned,
            credentials: vec![crate::config::Credential::plain(vec![secret])],
        };
        let webhook = Webhook::bind(&settings, dir.path()).await.unwrap();
        let url = webhook.url();
        let address = url.strip_prefix("https://").and_then(|u| u.strip_suffix("/webhook/gitops")).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(webhook.serve(mpsc::channel(1).0, stopped));
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let client = trusting(&own(dir.path()).0, protocols);
        let stream = client.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await?;
        let said = exchange(stream, b"GET /webhook/gitops HTTP/1.1\r\nhost: x\r\n\r\n").await;
        serving.abort();
        Ok(said)
    }

    #[tokio::test]
    async fn a_sender_that_trusts_the_self_signed_certificate_is_served() {
        for name in ["localhost", "127.0.0.1", "::1"] {
            for protocols in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
                let said = asked(name, protocols).await.unwrap();
                assert!(said.starts_with("HTTP/1.1 405 "), "{name} {protocols:?}: {said}");
            }
        }
    }

    #[tokio::test]
    async fn another_name_and_another_protocol_are_not_served() {
        assert!(asked("example.org", &[]).await.unwrap_err().to_string().contains("not valid for name"));
        assert!(asked("localhost", &["h2"]).await.unwrap_err().to_string().contains("NoApplicationProtocol"));
    }

    #[test]
    fn the_certificate_is_made_once_and_its_key_is_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = own(dir.path());
        acceptor(&Tls::SelfSigned, listen(), dir.path()).unwrap().unwrap();
        let made = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("tls")).unwrap().permissions().mode() & 0o7777, 0o700);
        acceptor(&Tls::SelfSigned, listen(), dir.path()).unwrap().unwrap();
        assert_eq!((fs::read(&certificate).unwrap(), fs::read(&key).unwrap()), made);
    }

    #[test]
    fn a_start_that_was_broken_off_before_the_certificate_is_made_good() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = own(dir.path());
        fs::create_dir(dir.path().join("tls")).unwrap();
        fs::write(&key, "half").unwrap();
        fs::write(dir.path().join("tls/key.pem.new"), "a qua").unwrap();
        assert!(acceptor(&Tls::SelfSigned, listen(), dir.path()).unwrap().is_some());
        assert!(certificate.exists());
    }

    #[test]
    fn a_certificate_that_lost_its_key_is_not_replaced_behind_the_senders_backs() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = own(dir.path());
        acceptor(&Tls::SelfSigned, listen(), dir.path()).unwrap();
        let made = fs::read(&certificate).unwrap();
        fs::remove_file(&key).unwrap();
        let error = acceptor(&Tls::SelfSigned, listen(), dir.path()).err().unwrap().to_string();
        insta::assert_snapshot!(error.replace(dir.path().to_str().unwrap(), "DIR"), @r"
        there is no key `DIR/tls/key.pem` for the certificate beside it
        hint: put it back; or remove the certificate too, and a new pair is made at the next start, for senders to trust anew
        ");
        assert_eq!(fs::read(&certificate).unwrap(), made);
    }

    #[test]
    fn the_certificate_names_the_host_loopback_and_where_it_listens() {
        let names = |host| super::names(host, listen()).join(" ");
        assert_eq!(names(Some("db-7.example.org")), "db-7.example.org localhost 127.0.0.1 ::1 127.0.0.2");
        for no_name in [None, Some(""), Some("(none)"), Some("höst"), Some("localhost")] {
            assert_eq!(names(no_name), "localhost 127.0.0.1 ::1 127.0.0.2", "{no_name:?}");
        }
        assert_eq!(super::names(None, IpAddr::from(Ipv4Addr::LOCALHOST)).len(), 3);
    }

    /// What stops a given pair from being used.
    fn refusal(certificate: &str, key: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        for pair in ["a", "b"] {
            acceptor(&Tls::SelfSigned, listen(), &dir.path().join(pair)).unwrap();
        }
        fs::write(dir.path().join("empty"), "").unwrap();
        fs::write(dir.path().join("broken"), "-----BEGIN CERTIFICATE-----\n***\n-----END CERTIFICATE-----\n")
            .unwrap();
        let path = |name: &str| dir.path().join(name);
        let tls = Tls::Files { certificate: path(certificate), key: path(key) };
        match acceptor(&tls, listen(), dir.path()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string().replace(dir.path().to_str().unwrap(), "DIR"),
        }
    }

    #[test]
    fn a_pair_that_cannot_be_used_is_refused_with_its_reason() {
        assert_eq!(refusal("a/tls/certificate.pem", "a/tls/key.pem"), "fine");
        let refusals = [
            ("a/tls/certificate.pem", "b/tls/key.pem"),
            ("missing.pem", "a/tls/key.pem"),
            ("a/tls/certificate.pem", "empty"),
            ("empty", "a/tls/key.pem"),
            ("broken", "a/tls/key.pem"),
            ("a/tls/certificate.pem", "c/tls/key.pem"),
        ]
        .map(|(certificate, key)| refusal(certificate, key));
        insta::assert_snapshot!(refusals.join("\n\n"), @r"
        cannot use the certificate in `DIR/a/tls/certificate.pem` with the key in `DIR/b/tls/key.pem`: keys may not be consistent: KeyMismatch
        hint: the key must be the one that the first certificate in the file was made for

        cannot read the certificate in `DIR/missing.pem`: No such file or directory (os error 2)

        no private key in `DIR/empty`: no items found
        hint: PEM is wanted, a section that begins with `-----BEGIN PRIVATE KEY-----`

        no certificate in `DIR/empty`: no items found
        hint: PEM is wanted, a section that begins with `-----BEGIN CERTIFICATE-----`

        no certificate in `DIR/broken`: base64 decode error: InvalidCharacter(42)
        hint: PEM is wanted, a section that begins with `-----BEGIN CERTIFICATE-----`

        cannot read the private key in `DIR/c/tls/key.pem`: No such file or directory (os error 2)
        ");
    }
}
