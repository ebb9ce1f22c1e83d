//! The certificate as senders meet it, and what stops one from being used.

use std::os::unix::fs::PermissionsExt;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;

use super::{
    super::{
        Webhook,
        testing::{exchange, logged},
    },
    *,
};
use crate::config::{Callers, Tls as Settings};

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
        tls: Settings::SelfSigned,
        callers: Callers::default(),
        credentials: vec![crate::config::Credential::plain(vec![secret])],
    };
    let webhook = Webhook::bind(&settings, dir.path()).await.unwrap();
    let url = webhook.url();
    let address = url.strip_prefix("https://").and_then(|u| u.strip_suffix("/webhook/gitops")).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(webhook.serve(mpsc::channel(1).0, mpsc::channel(1).0, stopped));
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
        for protocols in [&[][..], &["http/1.1"]] {
            let said = asked(name, protocols).await.unwrap();
            assert!(said.starts_with("HTTP/1.1 405 "), "{name} {protocols:?}: {said}");
        }
    }
}

#[tokio::test]
async fn another_name_and_another_protocol_are_not_served() {
    assert!(asked("example.org", &[]).await.unwrap_err().to_string().contains("not valid for name"));
    assert!(asked("localhost", &["spdy/3"]).await.unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[test]
fn the_certificate_is_made_once_and_its_key_is_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = own(dir.path());
    Tls::load(&Settings::SelfSigned, listen(), dir.path()).unwrap().unwrap();
    let made = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(dir.path().join("tls")).unwrap().permissions().mode() & 0o7777, 0o700);
    Tls::load(&Settings::SelfSigned, listen(), dir.path()).unwrap().unwrap();
    assert_eq!((fs::read(&certificate).unwrap(), fs::read(&key).unwrap()), made);
}

#[test]
fn a_start_that_was_broken_off_before_the_certificate_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = own(dir.path());
    fs::create_dir(dir.path().join("tls")).unwrap();
    fs::write(&key, "half").unwrap();
    fs::write(dir.path().join("tls/key.pem.new"), "a qua").unwrap();
    assert!(Tls::load(&Settings::SelfSigned, listen(), dir.path()).unwrap().is_some());
    assert!(certificate.exists());
}

#[test]
fn a_certificate_that_lost_its_key_is_not_replaced_behind_the_senders_backs() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = own(dir.path());
    Tls::load(&Settings::SelfSigned, listen(), dir.path()).unwrap();
    let made = fs::read(&certificate).unwrap();
    fs::remove_file(&key).unwrap();
    let error = Tls::load(&Settings::SelfSigned, listen(), dir.path()).err().unwrap().to_string();
    insta::assert_snapshot!(error.replace(dir.path().to_str().unwrap(), "DIR"), @r"
    there is no key `DIR/tls/key.pem` for the certificate beside it
    hint: put it back; or remove the certificate too, and a new pair is made at the next start, for senders to trust anew
    ");
    assert_eq!(fs::read(&certificate).unwrap(), made);
}

#[test]
fn the_certificate_names_the_host_loopback_and_where_it_listens() {
    let names = |host| super::own::names(host, listen(), &[]).join(" ");
    assert_eq!(names(Some("db-7.example.org")), "db-7.example.org localhost 127.0.0.1 ::1 127.0.0.2");
    for no_name in [None, Some(""), Some("(none)"), Some("höst"), Some("localhost")] {
        assert_eq!(names(no_name), "localhost 127.0.0.1 ::1 127.0.0.2", "{no_name:?}");
    }
    assert_eq!(super::own::names(None, [127, 0, 0, 1].into(), &[]).len(), 3);
}

/// What stops a given pair from being used.
fn refusal(certificate: &str, key: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for pair in ["a", "b"] {
        Tls::load(&Settings::SelfSigned, listen(), &dir.path().join(pair)).unwrap();
    }
    fs::write(dir.path().join("empty"), "").unwrap();
    fs::write(dir.path().join("broken"), "-----BEGIN CERTIFICATE-----\n***\n-----END CERTIFICATE-----\n")
        .unwrap();
    let path = |name: &str| dir.path().join(name);
    let tls = Settings::Files { certificate: path(certificate), key: path(key) };
    match Tls::load(&tls, listen(), dir.path()) {
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

/// A client and a server that shake hands in memory: the certificate that the client was shown, and the protocol.
async fn shown(tls: &Tls, trusted: &Path, protocols: &[&str]) -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let (ours, theirs) = tokio::io::duplex(1 << 14);
    let accepting = tls.acceptor().accept(ours);
    let name = ServerName::try_from("localhost").unwrap();
    let (_, client) = tokio::join!(accepting, trusting(trusted, protocols).connect(name, theirs));
    let client = client?;
    let (_, connection) = client.get_ref();
    let shown = connection.peer_certificates().unwrap()[0].to_vec();
    Ok((shown, connection.alpn_protocol().map(<[u8]>::to_vec)))
}

fn der(certificate: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(certificate).unwrap().to_vec()
}

#[tokio::test]
async fn the_protocol_is_the_clients_choice_and_http_2_where_both_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::load(&Settings::SelfSigned, listen(), dir.path()).unwrap().unwrap();
    let certificate = own(dir.path()).0;
    for (offered, wanted) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let (_, chosen) = shown(&tls, &certificate, offered).await.unwrap();
        assert_eq!(chosen.as_deref(), wanted.map(str::as_bytes), "{offered:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_connection_on_and_a_broken_one_never() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        Tls::load(&Settings::SelfSigned, listen(), &dir.path().join(name)).unwrap();
    }
    let (a, b) = (own(&dir.path().join("a")), own(&dir.path().join("b")));
    let (certificate, key) = (dir.path().join("live.pem"), dir.path().join("live.key"));
    // As certbot does it: what is named stays, and what it leads to is another file.
    let point = |to: &Path, at: &Path| {
        let unfinished = at.with_extension("new");
        std::os::unix::fs::symlink(to, &unfinished).unwrap();
        fs::rename(unfinished, at).unwrap();
    };
    point(&a.0, &certificate);
    point(&a.1, &key);
    let settings = Settings::Files { certificate: certificate.clone(), key: key.clone() };
    let tls = Tls::load(&settings, listen(), dir.path()).unwrap().unwrap();
    assert_eq!(shown(&tls, &a.0, &[]).await.unwrap().0, der(&a.0));

    // Half of the change: the certificate does not fit the key, and the good pair stays. It is told once.
    point(&b.0, &certificate);
    let (_, log) = logged(|| (tls.acceptor(), tls.acceptor()));
    assert_eq!(log.matches("stays in use: cannot use the certificate").count(), 1, "{log}");
    assert_eq!(shown(&tls, &a.0, &[]).await.unwrap().0, der(&a.0));

    // The other half.
    point(&b.1, &key);
    let (_, log) = logged(|| (tls.acceptor(), tls.acceptor()));
    assert_eq!(log.matches("is a new one, and is used").count(), 1, "{log}");
    assert_eq!(shown(&tls, &b.0, &[]).await.unwrap().0, der(&b.0));

    // Gone, empty, and cut off.
    let whole = fs::read(&b.0).unwrap();
    fs::remove_file(&certificate).unwrap();
    assert_eq!(shown(&tls, &b.0, &[]).await.unwrap().0, der(&b.0));
    for broken in [&b""[..], b"-----BEGIN CERTIFICATE-----\nMII", &whole[..whole.len() / 2]] {
        fs::write(&certificate, broken).unwrap();
        assert_eq!(shown(&tls, &b.0, &[]).await.unwrap().0, der(&b.0), "{broken:?}");
    }
    // Rewritten in its place.
    fs::write(&certificate, &whole).unwrap();
    let (_, log) = logged(|| tls.acceptor());
    assert!(log.contains("is a new one, and is used"), "{log}");
}

#[test]
fn names_that_were_asked_for_are_in_the_certificate_once() {
    let further = ["driftd.example.org".to_owned(), "localhost".to_owned()];
    let names = super::own::names(Some("db-7"), listen(), &further).join(" ");
    assert_eq!(names, "db-7 localhost 127.0.0.1 ::1 127.0.0.2 driftd.example.org");
}
