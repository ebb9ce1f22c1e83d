//! What senders prove themselves by: secrets that sign and tokens that are sent, read from files, kept so that they
//! can be compared and not be read back, never shown.
//!
//! Nothing here prints or logs one. An empty one is refused: it would let anybody in.

use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

/// The longest secret file: far more than anybody needs, so a file named by mistake is found out.
const MAX_SECRET: usize = 4096;

/// One secret, as an HMAC that has taken its key, for each hash there is a signature with: the text itself is not kept.
#[derive(Clone)]
pub struct Secret {
    sha256: Hmac<Sha256>,
    sha512: Hmac<Sha512>,
}

/// One token, or one `user:password`, as its HMAC under [`TOKENS`]: the text itself is not kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// The key that tokens are compared under. It is no secret: that both sides go through a hash makes the time of the
/// comparison say nothing about how much of the text was right.
const TOKENS: &[u8] = b"driftd compares tokens under this key";

/// Why a secret cannot be used. The texts name the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The configuration names no file.
    #[error("no secret is configured, so no sender could be told from any other\n{}", make("FILE"))]
    None,
    /// The file cannot be read.
    #[error("cannot read the secret in `{}`: {source}\n{}", .path.display(), make(.path.display()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it but white space.
    #[error("the secret in `{}` is empty, and an empty one lets anybody in\n{}", .0.display(), make(.0.display()))]
    Empty(PathBuf),
    /// It is no secret but some other file.
    #[error(
        "`{}` is longer than {MAX_SECRET} bytes, which no secret is\nhint: is it the right file? {}",
        .0.display(), make(.0.display()).trim_start_matches("hint: ")
    )]
    TooLong(PathBuf),
    /// It is no key of Standard Webhooks.
    #[error(
        "the secret in `{}` is not `whsec_` and the base64 of 24 to 64 bytes, as Standard Webhooks and the signing \
         tokens of GitLab are\nhint: copy it whole, or make one with \
         `umask 077; echo -n whsec_$(openssl rand -base64 32) > {}`",
        .0.display(), .0.display()
    )]
    NotWhsec(PathBuf),
    /// It is no user with a password.
    #[error(
        "what is in `{}` is not `user:password` with neither of them empty\nhint: write both into it, as with \
         `umask 077; echo -n argocd:$(openssl rand -hex 32) > {}`",
        .0.display(), .0.display()
    )]
    NotBasic(PathBuf),
}

/// The cure for a missing secret. `tr` spares the warning about the newline.
fn make(path: impl fmt::Display) -> String {
    format!("hint: make one with `umask 077; openssl rand -hex 32 | tr -d '\\n' > {path}`")
}

impl Secret {
    /// Reads a secret from a file.
    ///
    /// One newline at the end is not part of it, and a warning says so: a sender that does sign with the newline
    /// would otherwise be refused for no visible reason (argo-cd#11961).
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is longer than 4 KiB.
    pub fn load(path: &Path) -> Result<Secret, SecretError> {
        Secret::new(&read(path)?).ok_or_else(|| SecretError::Empty(path.to_owned()))
    }

    /// Reads a key of Standard Webhooks: `whsec_` and base64 of the bytes that are the key.
    ///
    /// # Errors
    /// The file cannot be read, or holds none of this form.
    pub fn load_whsec(path: &Path) -> Result<Secret, SecretError> {
        let text = read(path)?;
        Secret::whsec(&text).ok_or_else(|| SecretError::NotWhsec(path.to_owned()))
    }

    /// The secret of these bytes, all of them. `None` where there is nothing but white space.
    pub fn new(bytes: &[u8]) -> Option<Secret> {
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        Secret::keyed(bytes)
    }

    /// The key that this text of Standard Webhooks stands for: 24 to 64 bytes (standard-webhooks.md, "Signature scheme").
    pub fn whsec(text: &[u8]) -> Option<Secret> {
        let key = STANDARD.decode(text.strip_prefix(b"whsec_")?).ok()?;
        (24..=64).contains(&key.len()).then(|| Secret::keyed(&key))?
    }

    fn keyed(key: &[u8]) -> Option<Secret> {
        // HMAC takes a key of any length (RFC 2104, section 3), so that this never says no.
        Some(Secret { sha256: Hmac::new_from_slice(key).ok()?, sha512: Hmac::new_from_slice(key).ok()? })
    }

    /// The HMAC-SHA256 of these bytes, not yet finished: to compare it, or to show it.
    pub(super) fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        self.sha256.clone().chain_update(body)
    }

    /// The HMAC-SHA512 of these bytes, not yet finished.
    pub(super) fn mac512(&self, body: &[u8]) -> Hmac<Sha512> {
        self.sha512.clone().chain_update(body)
    }
}

impl Token {
    /// Reads a token from a file, as [`Secret::load`] reads a secret.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is longer than 4 KiB.
    pub fn load(path: &Path) -> Result<Token, SecretError> {
        Token::new(&read(path)?).ok_or_else(|| SecretError::Empty(path.to_owned()))
    }

    /// Reads `user:password` from a file.
    ///
    /// # Errors
    /// The file cannot be read, or either is missing.
    pub fn load_basic(path: &Path) -> Result<Token, SecretError> {
        let text = read(path)?;
        let mut parts = text.splitn(2, |byte| *byte == b':').map(<[u8]>::trim_ascii);
        let both = matches!((parts.next(), parts.next()), (Some([_, ..]), Some([_, ..])));
        both.then(|| Token::new(&text)).flatten().ok_or_else(|| SecretError::NotBasic(path.to_owned()))
    }

    /// The token of these bytes. `None` where there is nothing but white space.
    pub fn new(bytes: &[u8]) -> Option<Token> {
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        Some(Token(under(bytes)?.finalize().into_bytes().into()))
    }

    /// Whether somebody sent this token. The time it takes does not say how nearly.
    pub(super) fn is(&self, sent: &[u8]) -> bool {
        under(sent).is_some_and(|mac| mac.verify_slice(&self.0).is_ok())
    }
}

/// The HMAC of a token under [`TOKENS`].
fn under(token: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::<Sha256>::new_from_slice(TOKENS).ok().map(|mac| mac.chain_update(token))
}

/// Reads what is in a file, without the one newline at its end.
fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    warn_if_others_read(path, &file.metadata().map_err(unreadable)?);
    let mut text = Vec::new();
    file.take(MAX_SECRET as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > MAX_SECRET {
        return Err(SecretError::TooLong(path.to_owned()));
    }
    let without = text.strip_suffix(b"\r\n").or_else(|| text.strip_suffix(b"\n")).map(<[u8]>::len);
    if let Some(length) = without {
        tracing::warn!("the newline at the end of `{}` is not taken as part of the secret", path.display());
        text.truncate(length);
    }
    Ok(text)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Warns where others than the owner may read or write a file that only the owner should.
pub(super) fn warn_if_others_read(path: &Path, metadata: &Metadata) {
    if metadata.mode() & 0o066 != 0 {
        tracing::warn!(
            "`{}` can be read or written by others than its owner (mode {:04o})\nhint: chmod 600 {}",
            path.display(),
            metadata.mode() & 0o7777,
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::{super::testing::logged, *};

    fn stored(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn refusal(bytes: &[u8]) -> String {
        let (dir, path) = stored(bytes, 0o600);
        let error = Secret::load(&path).unwrap_err();
        error.to_string().replace(dir.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn an_empty_secret_is_refused_with_its_cure() {
        for empty in ["", "\n", "\r\n", "\n\n", "  \n"] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(refusal(empty.as_bytes()), @"
                the secret in `DIR/secret` is empty, and an empty one lets anybody in
                hint: make one with `umask 077; openssl rand -hex 32 | tr -d '\\n' > DIR/secret`
                ");
            }
        }
    }

    #[test]
    fn a_missing_secret_and_a_whole_file_are_refused_with_their_cure() {
        insta::assert_snapshot!(Secret::load("/nonexistent/secret".as_ref()).unwrap_err(), @r"
        cannot read the secret in `/nonexistent/secret`: No such file or directory (os error 2)
        hint: make one with `umask 077; openssl rand -hex 32 | tr -d '\n' > /nonexistent/secret`
        ");
        insta::assert_snapshot!(refusal(&[b'x'; MAX_SECRET + 1]), @r"
        `DIR/secret` is longer than 4096 bytes, which no secret is
        hint: is it the right file? make one with `umask 077; openssl rand -hex 32 | tr -d '\n' > DIR/secret`
        ");
        assert!(Secret::load(&stored(&[b'x'; MAX_SECRET], 0o600).1).is_ok());
    }

    #[test]
    fn one_newline_at_the_end_is_stripped_and_told() {
        let tag = |bytes: &[u8]| Secret::new(bytes).unwrap().mac(b"body").finalize();
        for (stored_as, taken_as, told) in [
            (&b"hunter2"[..], &b"hunter2"[..], false),
            (b"hunter2\n", b"hunter2", true),
            (b"hunter2\r\n", b"hunter2", true),
            (b"hunter2\n\n", b"hunter2\n", true),
            (b" hunter2 ", b" hunter2 ", false),
            (b"\xff\x00\xfe", b"\xff\x00\xfe", false),
        ] {
            let (_dir, path) = stored(stored_as, 0o600);
            let (secret, log) = logged(|| Secret::load(&path).unwrap());
            assert_eq!(secret.mac(b"body").finalize(), tag(taken_as), "{stored_as:?}");
            assert_eq!(log.contains("newline"), told, "{stored_as:?}: {log}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        for (mode, told) in [(0o600, false), (0o400, false), (0o700, false), (0o640, true), (0o604, true)] {
            let (_dir, path) = stored(b"hunter2", mode);
            let (_, log) = logged(|| Secret::load(&path).unwrap());
            assert_eq!(log.contains("can be read"), told, "{mode:o}: {log}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let (_dir, path) = stored(b"hunter2\n", 0o644);
        let (secret, log) = logged(|| Secret::load(&path).unwrap());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(!log.is_empty() && !log.contains("hunter2"), "{log}");
    }
}
