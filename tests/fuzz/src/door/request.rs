//! A request as it is written in the corpus.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// A request to the webhook.
pub struct Request {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// Reads one. A line that is no header is left out: over HTTP it would not have come this far.
    pub fn read(bytes: &[u8]) -> Request {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            line
        };
        let path = String::from_utf8_lossy(line()).into_owned();
        let mut headers = HeaderMap::new();
        loop {
            let line = line();
            if line.is_empty() {
                break;
            }
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
            let value = parts.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
            if let (Some(name), Some(value)) = (name, value) {
                let _ = headers.try_append(name, value);
            }
        }
        Request { path, headers, body: Bytes::copy_from_slice(rest) }
    }
}
