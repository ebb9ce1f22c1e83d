//! Clients that are slow, stalled or send too much, over real TLS and by the limits that are really in force: each is cut
//! off, while a pipeline that does as it should is served.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use crate::host::{Host, IN_SYNC, ends};

/// Longer than any limit that is tried: whoever is cut off only by this was not cut off.
const LIMIT: &str = "60";

/// A claim of the right form, which no secret makes.
const CLAIM: &str =
    "X-Hub-Signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000";

/// Where driftd listens, as `HOST:PORT`.
fn address(host: &Host) -> &str {
    host.url.strip_prefix("https://").unwrap().strip_suffix("/webhook/gitops").unwrap()
}

/// A client that shakes hands for this protocol, says this, and no more, until it is cut off.
fn stalled(host: &Host, protocol: &str, said: &[u8]) -> Child {
    let mut command = host.machine("timeout", "");
    command.args([
        LIMIT,
        "openssl",
        "s_client",
        "-quiet",
        "-alpn",
        protocol,
        "-connect",
        address(host),
        "-CAfile",
    ]);
    command.arg(host.ca()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // It is kept: where it closed, the client would end by itself.
    child.stdin.as_mut().unwrap().write_all(said).unwrap();
    child
}

/// curl over HTTP/1.1, with a body that never comes (`.`: it listens meanwhile); it prints the status of the answer.
fn without_body(host: &Host) -> Child {
    let mut command = host.machine("timeout", "");
    command.args([LIMIT, "curl", "--silent", "--http1.1", "--cacert"]).arg(host.ca());
    command.args(["-H", CLAIM, "-X", "POST", "-T", ".", "-o", "/dev/null", "-w", "%{http_code}", &host.url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The same over HTTP/2, by hand: curl 7.88 does not listen there while it waits for the body. The header is spelled
/// without compression (RFC 7541, section 6.2.2; 3, 7, 4 and 1 are POST, https, the path and the authority).
fn header_over_h2() -> Vec<u8> {
    let (name, value) = CLAIM.split_once(": ").unwrap();
    let mut header = vec![0x83, 0x87];
    for (index, texts) in [
        (0x04, &["/webhook/gitops"][..]),
        (0x01, &["x"]),
        (0x00, &[name.to_ascii_lowercase().as_str(), value]),
        (0x00, &["content-length", "10"]),
    ] {
        header.push(index);
        for text in texts {
            header.push(u8::try_from(text.len()).unwrap());
            header.extend_from_slice(text.as_bytes());
        }
    }
    // The preface, settings, and the header as one frame that ends the header and not the stream (RFC 9113).
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
    said.extend([u8::try_from(header.len()).unwrap(), 0x01, 0x04, 0, 0, 0, 1]);
    said.extend(header);
    said
}

#[test]
fn who_stalls_is_cut_off_over_tls_while_a_good_one_is_served() {
    let host = Host::start(IN_SYNC);
    let mut silent = TcpStream::connect(address(&host)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let half = format!("POST /webhook/gitops HTTP/1.1\r\nHost: x\r\n{CLAIM}\r\nContent-Le");
    let stalled: Vec<_> = [
        ("http/1.1", &b""[..]),
        ("http/1.1", half.as_bytes()),
        ("http/1.1", b"PRI * HTTP/2.0\r\n\r\nSM"),
        ("h2", b""),
        ("h2", b"PRI * HTTP/2.0\r\n\r\nSM"),
        ("h2", &header_over_h2()),
    ]
    .into_iter()
    .map(|(protocol, said)| {
        (protocol, String::from_utf8_lossy(said).into_owned(), stalled(&host, protocol, said))
    })
    .collect();
    let mut bodiless = without_body(&host);

    ends(&mut host.deliver(&["finished"]), 0);

    // A reset is as good as an end.
    let mut said = Vec::new();
    match silent.read_to_end(&mut said) {
        Ok(_) => assert!(said.is_empty(), "{said:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    for (protocol, said, mut client) in stalled {
        let ended = client.wait().unwrap();
        assert_ne!(ended.code(), Some(124), "over {protocol}, {said:?} was left open");
    }
    let _kept_open = bodiless.stdin.take();
    let answered = bodiless.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answered.stdout), "408");
    assert_eq!(host.log().matches("the body did not come in 10s").count(), 2, "{}", host.log());
    ends(host.deliver(&["finished"]).env("DRIFTD_COMMIT", "bbbbbb"), 0);
}

/// The status of the answer that curl has, to a message with a claim and these arguments.
fn curl(host: &Host, version: &str, arguments: &[&str]) -> String {
    let mut curl = host.machine("timeout", "");
    curl.args([LIMIT, "curl", "--silent", version, "--cacert"]).arg(host.ca());
    curl.args(["-H", CLAIM]).args(arguments).args(["-o", "/dev/null", "-w", "%{http_code}", &host.url]);
    String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned()
}

#[test]
fn who_sends_too_much_is_refused_over_both_versions_while_a_good_one_is_served() {
    let host = Host::start(IN_SYNC);
    fs::write(host.path("much"), " ".repeat(2 << 20)).unwrap();
    for version in ["--http1.1", "--http2"] {
        // Announced, and not.
        for length in ["X-Announced: yes", "Transfer-Encoding: chunked"] {
            let rest = ["-H", length, "-H", "Expect:", "--data-binary", "@much"];
            let status = curl(&host, version, &rest);
            assert_eq!(status, "413", "over {version}, {length}");
        }
        let status = curl(&host, version, &["-H", &format!("X-Long: {}", "x".repeat(40_000)), "-d", "{}"]);
        assert_eq!(status, "431", "over {version}");
    }
    ends(&mut host.deliver(&["finished"]), 0);
}

#[test]
fn who_is_refused_for_the_header_alone_learns_it_over_http_2() {
    let host = Host::start(IN_SYNC);
    let body = host.path("body");
    fs::write(&body, "x".repeat(4096)).unwrap();
    let elsewhere = host.url.replace("/webhook/gitops", "/nothing");
    // A body that nobody reads was lost on curl with its answer, one time in two; fewer than would silence the address.
    for round in 0..8 {
        for (url, wanted) in [(&host.url, "401"), (&elsewhere, "404")] {
            let mut command = host.machine("curl", "");
            command.args(["--silent", "--http2", "--max-time", LIMIT, "--cacert"]).arg(host.ca());
            command.args(["-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--data-binary"]);
            command.arg(format!("@{}", body.display())).arg(url);
            let (said, _) = ends(&mut command, 0);
            assert_eq!(said, format!("2 {wanted}"), "round {round}");
        }
    }
}
