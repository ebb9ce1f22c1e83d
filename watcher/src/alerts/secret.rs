//! What a sink is reached and trusted by, read from files at each try: a secret that is replaced counts from then on.
//!
//! Nothing here shows one; what is wrong is said with the name of the file alone.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The longest file: far more than any secret has.
const MOST: u64 = 4096;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no text of one line.
    #[error("what is in `{}` is no text of one line with at most {MOST} bytes\nhint: is it the right file?", .0.display())]
    NotOneLine(PathBuf),
    /// It is no key of Standard Webhooks.
    #[error(
        "the secret in `{}` is not `whsec_` and the base64 of 24 to 64 bytes, as Standard Webhooks are\n\
         hint: make one with `umask 077; echo whsec_$(openssl rand -base64 32) > {}`",
        .0.display(), .0.display()
    )]
    NotWhsec(PathBuf),
}

/// The one line in a file.
///
/// # Errors
/// The file cannot be read, is empty, or holds something else.
pub fn read(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    let wrong = || SecretError::NotOneLine(path.to_owned());
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let line = text.trim_ascii();
    match line.is_empty() || line.len() as u64 > MOST || line.chars().any(char::is_control) {
        true => Err(wrong()),
        false => Ok(line.to_owned()),
    }
}

/// The signature of Standard Webhooks over a message (standard-webhooks.md, "Signature scheme").
///
/// # Errors
/// The file cannot be read, or holds no key of this form.
pub fn sign(path: &Path, id: &str, stamp: &str, body: &[u8]) -> Result<String, SecretError> {
    let wrong = || SecretError::NotWhsec(path.to_owned());
    let text = read(path)?;
    let key = text.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = key.filter(|key| (24..=64).contains(&key.len())).ok_or_else(wrong)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| wrong())?;
    for part in [id.as_bytes(), b".", stamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
