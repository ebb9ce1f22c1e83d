//! `driftd sign`: prints the header that signs a body, for a pipeline's `curl` and for trying things out.
//!
//! Nothing here opens a connection: the body comes on standard input, the line goes to standard output.

use std::{
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, bail};

use crate::http::{MAX_BODY, Secret, signature};

/// Reads a body to its end and prints the line `X-Hub-Signature-256: sha256=…` for it. The secret is read from its
/// file as the daemon reads it, so that both make the same of a newline at its end.
///
/// # Errors
/// The secret cannot be used, the body cannot be read or is longer than the listener takes, or nobody takes the line.
pub fn run(secret: &Path, body: impl Read, mut out: impl Write) -> anyhow::Result<()> {
    let secret = Secret::load(secret)?;
    let mut bytes = Vec::new();
    body.take(MAX_BODY as u64 + 1).read_to_end(&mut bytes).context("cannot read the body")?;
    if bytes.len() > MAX_BODY {
        bail!("the body is longer than {MAX_BODY} bytes, and the webhook takes no longer one");
    }
    writeln!(out, "{}", signature::header(&secret, &bytes)).context("cannot print the header")
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;

    fn signed(secret: &str, body: impl Read) -> anyhow::Result<String> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("secret");
        fs::write(&path, secret)?;
        let mut out = Vec::new();
        run(&path, body, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    /// GitHub's published vector (github/docs, validating-webhook-deliveries.md).
    const LINE: &str =
        "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n";

    #[test]
    fn the_published_vector_is_printed_with_or_without_a_newline_after_the_secret() {
        for secret in ["It's a Secret to Everybody", "It's a Secret to Everybody\n"] {
            assert_eq!(signed(secret, "Hello, World!".as_bytes()).unwrap(), LINE);
        }
    }

    #[test]
    fn a_body_the_listener_would_refuse_is_not_signed() {
        let body = |length| io::repeat(b' ').take(length);
        assert!(signed("hunter2", body(MAX_BODY as u64)).is_ok());
        let error = signed("hunter2", body(MAX_BODY as u64 + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body is longer than 1048576 bytes, and the webhook takes no longer one"
        );
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        assert!(signed("\n", io::empty()).unwrap_err().to_string().contains("is empty"));
    }
}
