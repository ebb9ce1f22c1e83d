//! What stops a listener from being bound, and what it is bound with.

use super::*;

/// What stops a listener from being bound.
async fn refusal(listen: &str, tls: Tls, secret: Option<&str>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let secrets = secret.into_iter().map(|text| stored(&dir, "secret", text)).collect();
    let credentials = vec![config::Credential::plain(secrets)];
    let callers = config::Callers::default();
    let settings = config::Webhook { listen: listen.parse().unwrap(), tls, callers, credentials };
    let error = Webhook::bind(&settings, dir.path()).await.err().unwrap();
    error.to_string().replace(dir.path().to_str().unwrap(), "DIR")
}

#[tokio::test]
async fn an_empty_secret_refuses_to_start() {
    insta::assert_snapshot!(refusal("127.0.0.1:0", Tls::Plain, Some("\n")).await, @r"
    the secret in `DIR/secret` is empty, and an empty one lets anybody in
    hint: make one with `umask 077; openssl rand -hex 32 | tr -d '\n' > DIR/secret`
    ");
    assert!(refusal("127.0.0.1:0", Tls::SelfSigned, None).await.starts_with("no secret is configured"));
}

#[tokio::test]
async fn plain_http_is_refused_off_loopback() {
    insta::assert_snapshot!(refusal("0.0.0.0:0", Tls::Plain, Some(SECRET)).await, @r"
    plain HTTP is served on loopback only, and `0.0.0.0:0` is not loopback
    hint: listen on 127.0.0.1, or let TLS protect the connection
    ");
    for open in ["[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        assert!(refusal(open, Tls::Plain, Some(SECRET)).await.contains("loopback only"), "{open}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let listener = Listener::start(usual()).await;
    let address = listener.address.to_string();
    let refusal = refusal(&address, Tls::Plain, Some(SECRET)).await;
    assert!(
        refusal.starts_with(&format!("cannot listen on `{address}`: Address already in use")),
        "{refusal}"
    );
    drop(listener.dir);
}

#[tokio::test]
async fn who_begins_no_tls_handshake_is_closed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = vec![config::Credential::plain(vec![stored(&dir, "secret", SECRET)])];
    let (listen, callers) = ("127.0.0.1:0".parse().unwrap(), config::Callers::default());
    let settings = config::Webhook { listen, tls: Tls::SelfSigned, callers, credentials };
    let mut webhook = Webhook::bind(&settings, dir.path()).await.unwrap();
    let address = webhook.gate.address;
    assert_eq!(webhook.url(), format!("https://{address}/webhook/gitops"));
    webhook.gate.limits = Limits { handshake: Duration::from_millis(100), ..usual() };
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(webhook.serve(mpsc::channel(1).0, mpsc::channel(1).0, stopped));
    // Without the limit this would hang for ever: that it ends at all is the claim.
    assert_eq!(exchange(TcpStream::connect(address).await.unwrap(), b"").await, "");
}
