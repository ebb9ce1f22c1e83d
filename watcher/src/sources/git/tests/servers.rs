//! Repositories on servers: what is said to `ssh`, and a server that speaks TLS.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{Bench, *};

#[tokio::test]
async fn ssh_asks_nobody_and_is_told_the_one_key() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let said = bench.path("said");
    // The last word is the command for the other end.
    bench.install(
        "ssh",
        &format!("echo \"$@\" > {}\nfor last; do :; done\nexec sh -c \"$last\"", said.display()),
    );
    let url = format!("ssh://git@git.example.org:2222{}", bench.path("infra.git").display());
    bench.git.repository = Repository::Ssh(url.into());
    bench.git.credentials = Some("/etc/driftd/key".into());
    assert_eq!(bench.read(At::Head).await.unwrap().files[0].text, "vm.swappiness: 10\n");
    let said = bench.plain(&fs::read_to_string(said).unwrap());
    insta::assert_snapshot!(said, @r#"-o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -i /etc/driftd/key -o SendEnv=GIT_PROTOCOL -p 2222 git@git.example.org git-upload-pack 'DIR/infra.git'"#);
}

/// Serves the files of a directory over TLS, as any web server would (the "dumb" protocol of gitprotocol-http(5)), to who
/// comes with this. The certificate it proves itself by, and its address.
async fn serve(directory: PathBuf, authorization: String) -> (String, String) {
    let (acceptor, pem) = crate::test_host::tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, directory, authorization) =
                (acceptor.clone(), directory.clone(), authorization.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split([' ', '?']).nth(1).unwrap().trim_start_matches('/');
                let (status, body) = match fs::read(directory.join(path)) {
                    _ if !request.contains(&authorization) => ("401 Unauthorized", Vec::new()),
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (pem, format!("https://localhost:{port}/infra.git"))
}

#[tokio::test]
async fn a_server_is_asked_over_tls_with_the_credentials_and_not_without_a_trusted_certificate() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    bench.run("infra.git", &["update-server-info"]);
    let authorization = format!("Authorization: Basic {}", STANDARD.encode("oauth2:to:ken"));
    let (certificate, url) = serve(bench.path(""), authorization).await;
    let (file, secret) = (bench.path("certificate.pem"), bench.path("secret"));
    fs::write(&file, certificate).unwrap();
    fs::write(&secret, "oauth2:to:ken\n").unwrap();
    bench.git.repository = Repository::Https(url.into());
    bench.git.credentials = Some(secret.clone());
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    assert!(told.contains("certificate"), "{told}");
    bench.repositories.environment.push(("GIT_SSL_CAINFO".into(), file.into()));
    assert_eq!(bench.read(At::Head).await.unwrap().files[0].text, "vm.swappiness: 10\n");
    // Nothing of the secret is kept.
    let config = keep::place(&bench.repositories.directory, &bench.git).join(".gitconfig");
    assert!(!fs::read_to_string(config).unwrap().contains("Basic"));
    bench.git.credentials = None;
    bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]);
    let unknown = bench.head().parse().unwrap();
    bench.read(At::Delivered(&unknown)).await.unwrap_err();
    fs::write(&secret, "token\n").unwrap();
    bench.git.credentials = Some(secret);
    let told = bench.read(At::Delivered(&unknown)).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    what is in `DIR/secret` is not `USER:PASSWORD` on one line
    hint: for a token, the user is what its server says: `x-access-token:TOKEN`, `oauth2:TOKEN`
    "#);
}
