//! A sender of webhooks: signed by hand, sent by hand, so that nothing of driftd's own is trusted here.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, where it is JSON.
    pub body: Value,
}

/// The header for a body: its name and value.
pub fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X-Hub-Signature-256: sha256={hex}")
}

/// Posts a body to `http://HOST:PORT/PATH`, with one more header.
#[track_caller]
pub fn post(url: &str, header: &str, body: &str) -> Answer {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("`{url}` is not plain HTTP"));
    let (host, path) = rest.split_once('/').unwrap_or_else(|| panic!("`{url}` has no path"));
    let mut stream = TcpStream::connect(host).unwrap_or_else(|e| panic!("cannot connect to {host}: {e}"));
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {header}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|e| panic!("no answer to the webhook: {e}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_the_senders_document_it() {
        // The example of GitHub's documentation, "Testing the webhook payload validation".
        assert_eq!(
            signature("It's a Secret to Everybody", "Hello, World!"),
            "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
