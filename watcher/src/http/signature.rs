//! What proves that a message is its sender's, and of now: signatures over the raw body, and tokens. The only maker of
//! [`Signed`], and so the only door a body can take to a parser.
//!
//! Nothing here reads what the body says, and nothing here shows a signature or a token that was claimed.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::Mac;
use hyper::header::HeaderMap;
use jiff::{SignedDuration, Timestamp};

use super::{Secret, secrets::Token};
use crate::model::Refusal;

/// How far the time of a signature may be from now, either way (standard-webhooks.md, "reference tolerance").
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How many signatures of Standard Webhooks one message may bear: one for each secret of a rotation, and a few.
const SIGNATURES: usize = 16;

/// How a sender proves that a message is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The HMAC of the raw body, in hex, in a header.
    Hmac {
        /// The header.
        header: &'static str,
        /// How the digest is spelled.
        spelling: Spelling,
    },
    /// `webhook-signature`, over `webhook-id`, `webhook-timestamp` and the raw body (standard-webhooks.md).
    Standard,
    /// A token in a header of the sender's own.
    Token {
        /// The header.
        header: &'static str,
    },
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// `Authorization: Basic BASE64`, of `user:password` (RFC 7617).
    Basic,
}

/// How the digest of an HMAC is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `sha256=` and 64 hex digits.
    Sha256,
    /// The same, or `sha512=` and 128.
    Named,
    /// 64 hex digits and nothing before them.
    Bare,
}

impl Scheme {
    /// The header that bears the proof, as people write it.
    pub fn header(self) -> &'static str {
        match self {
            Scheme::Hmac { header, .. } | Scheme::Token { header } => header,
            Scheme::Standard => "webhook-signature",
            Scheme::Bearer | Scheme::Basic => "Authorization",
        }
    }

    /// Whether the body is part of the proof, so that what it says of its time is the sender's word.
    fn covers_the_body(self) -> bool {
        match self {
            Scheme::Hmac { .. } | Scheme::Standard => true,
            Scheme::Token { .. } | Scheme::Bearer | Scheme::Basic => false,
        }
    }
}

/// What a sender may prove itself by: any of these opens.
#[derive(Debug)]
pub enum Keys {
    /// Secrets that sign.
    Secrets(Vec<Secret>),
    /// Tokens that are sent.
    Tokens(Vec<Token>),
}

/// A body that is its sender's, and may be an old one sent again: it is not read before that is known.
pub struct Authentic(Signed);

impl Authentic {
    /// The body to be read, where it was signed of late, or without a time of its own.
    ///
    /// # Errors
    /// What was signed was signed too long ago, or ahead of time.
    pub fn fresh(self, now: Timestamp) -> Result<Signed, Refusal> {
        match self.0.stamp() {
            Some(Stamp { at, .. }) if now.duration_since(*at).abs() > FRESH => {
                Err(Refusal::Stale { timestamp: *at })
            }
            _ => Ok(self.0),
        }
    }
}

/// A body that is its sender's, and counts now.
pub struct Signed {
    body: Bytes,
    scheme: Scheme,
    stamp: Option<Stamp>,
}

/// What Standard Webhooks sign beside the body.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The message's id: the same again is a retry.
    pub id: String,
    /// When it was sent.
    pub at: Timestamp,
}

impl Signed {
    /// The body, byte for byte as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether what the body says was proved, and not only who sends.
    pub fn covers_the_body(&self) -> bool {
        self.scheme.covers_the_body()
    }

    /// What was signed beside the body.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }
}

/// What a sender shows for its message. It has no `Debug`: it belongs in no log.
pub struct Claim {
    scheme: Scheme,
    shown: Shown,
}

enum Shown {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
    Standard { stamp: Stamp, before: Vec<u8>, signatures: Vec<[u8; 32]> },
    Token(Vec<u8>),
}

/// Why a message is not taken as its sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no proof.
    #[error("no `{header}` header{hint}", hint = signing(header))]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// There is more than one: which of them would count?
    #[error("{found} `{header}` headers, where one is wanted")]
    Several {
        /// The header.
        header: &'static str,
        /// How many.
        found: usize,
    },
    /// It is another kind of signature, or none.
    #[error("the `{header}` header does not begin with `{wanted}`")]
    Unprefixed {
        /// The header.
        header: &'static str,
        /// What it should begin with.
        wanted: &'static str,
    },
    /// The digest is cut short, empty, or too long.
    #[error("{found} bytes of digest in `{header}`, where {wanted} hex digits are wanted{hint}", hint = empty(found))]
    Length {
        /// The header.
        header: &'static str,
        /// How long it is.
        found: usize,
        /// How long it should be.
        wanted: usize,
    },
    /// The digest is not hex.
    #[error("the digest in `{header}` is not hex")]
    NotHex {
        /// The header.
        header: &'static str,
    },
    /// Nothing in it is of the kind that is understood.
    #[error("`{header}` holds nothing that is understood\nhint: {wanted}")]
    NotUnderstood {
        /// The header.
        header: &'static str,
        /// What is.
        wanted: &'static str,
    },
    /// No secret makes this signature.
    #[error(
        "the signature fits none of the configured secrets ({secrets}) over a body of {length} bytes\nhint: the raw \
         body is signed, byte for byte; a newline at the end of the sender's copy of the secret is the usual cause"
    )]
    Wrong {
        /// How many secrets were tried.
        secrets: usize,
        /// How long the body is, in bytes.
        length: usize,
    },
    /// It is none of the tokens.
    #[error("what `{header}` bears is none of the configured credentials ({tokens})")]
    WrongToken {
        /// The header.
        header: &'static str,
        /// How many tokens were tried.
        tokens: usize,
    },
}

/// Where a signature comes from, for the header that `driftd sign` prints.
fn signing(header: &str) -> &'static str {
    match header {
        PLAIN => "\nhint: `driftd sign` prints the one for a body",
        _ => "",
    }
}

/// What an empty digest means.
fn empty(length: &usize) -> &'static str {
    match length {
        // Gitea does so (go-gitea services/webhook/deliver.go).
        0 => "\nhint: the sender has no secret configured",
        _ => "",
    }
}

/// The header of the plain form, and of GitHub.
pub const PLAIN: &str = "X-Hub-Signature-256";

impl Claim {
    /// The one claim of a request, by a scheme.
    ///
    /// # Errors
    /// There is none or more than one, or it is not of the scheme's form.
    pub fn of(scheme: Scheme, headers: &HeaderMap) -> Result<Claim, Unsigned> {
        let header = scheme.header();
        let value = one(headers, header)?;
        let shown = match scheme {
            Scheme::Hmac { spelling, .. } => digest(header, spelling, value)?,
            Scheme::Standard => standard(headers, value)?,
            Scheme::Token { .. } => Shown::Token(value.to_vec()),
            Scheme::Bearer => Shown::Token(authorization(value, b"bearer", "Bearer ")?.to_vec()),
            Scheme::Basic => {
                let wrong =
                    Unsigned::NotUnderstood { header, wanted: "`Basic` and the base64 of `user:password`" };
                let pair = STANDARD.decode(authorization(value, b"basic", "Basic ")?).map_err(|_| wrong)?;
                Shown::Token(pair)
            }
        };
        Ok(Claim { scheme, shown })
    }

    /// Whether any of these keys makes the claim true over a body.
    ///
    /// Every key is tried, and each comparison takes the same time whatever it finds, so that the time of the answer
    /// tells neither which key it was nor how much of the claim was right.
    pub fn fits(&self, keys: &Keys, body: &[u8]) -> bool {
        match keys {
            Keys::Secrets(secrets) => {
                secrets.iter().map(|secret| self.signed_by(secret, body)).fold(false, |a, b| a | b)
            }
            Keys::Tokens(tokens) => {
                let Shown::Token(sent) = &self.shown else { return false };
                tokens.iter().map(|token| token.is(sent)).fold(false, |a, b| a | b)
            }
        }
    }

    fn signed_by(&self, secret: &Secret, body: &[u8]) -> bool {
        match &self.shown {
            Shown::Sha256(digest) => secret.mac(body).verify_slice(digest).is_ok(),
            Shown::Sha512(digest) => secret.mac512(body).verify_slice(digest).is_ok(),
            Shown::Standard { before, signatures, .. } => {
                let mac = secret.mac(before).chain_update(body);
                let right = signatures.iter().map(|signature| mac.clone().verify_slice(signature).is_ok());
                right.fold(false, |a, b| a | b)
            }
            Shown::Token(_) => false,
        }
    }

    /// Compares the claim with each of the keys, and says which of them are the sender's: the first that fits.
    ///
    /// # Errors
    /// No key makes the claim true.
    pub fn verify<'k, T>(
        self,
        candidates: impl IntoIterator<Item = (T, &'k Keys)>,
        body: Bytes,
    ) -> Result<(T, Authentic), Unsigned> {
        let mut found = None;
        let mut tried = 0;
        for (whose, keys) in candidates {
            tried += match keys {
                Keys::Secrets(secrets) => secrets.len(),
                Keys::Tokens(tokens) => tokens.len(),
            };
            // None is left out when one fits: see `fits`.
            let fits = self.fits(keys, &body);
            if fits && found.is_none() {
                found = Some(whose);
            }
        }
        let stamp = match self.shown {
            Shown::Standard { stamp, .. } => Some(stamp),
            Shown::Sha256(_) | Shown::Sha512(_) | Shown::Token(_) => None,
        };
        let header = self.scheme.header();
        let whose = found.ok_or(match self.scheme.covers_the_body() {
            true => Unsigned::Wrong { secrets: tried, length: body.len() },
            false => Unsigned::WrongToken { header, tokens: tried },
        })?;
        Ok((whose, Authentic(Signed { body, scheme: self.scheme, stamp })))
    }
}

/// The one value of a header.
fn one<'h>(headers: &'h HeaderMap, header: &'static str) -> Result<&'h [u8], Unsigned> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.count()) {
        (None, _) => Err(Unsigned::Missing { header }),
        (Some(value), 0) => Ok(value.as_bytes()),
        (Some(_), more) => Err(Unsigned::Several { header, found: more.saturating_add(1) }),
    }
}

/// What follows the scheme in `Authorization`; the scheme's case does not count (RFC 9110, section 11.1).
fn authorization<'v>(value: &'v [u8], scheme: &[u8], wanted: &'static str) -> Result<&'v [u8], Unsigned> {
    let header = "Authorization";
    match value.split_at_checked(scheme.len()) {
        Some((found, [b' ', rest @ ..])) if found.eq_ignore_ascii_case(scheme) => Ok(rest.trim_ascii()),
        _ => Err(Unsigned::Unprefixed { header, wanted }),
    }
}

/// The digest of an HMAC, in its spelling.
fn digest(header: &'static str, spelling: Spelling, value: &[u8]) -> Result<Shown, Unsigned> {
    if spelling == Spelling::Named
        && let Some(digits) = value.strip_prefix(b"sha512=")
    {
        return hex(header, digits).map(Shown::Sha512);
    }
    let digits = match spelling {
        Spelling::Bare => value,
        Spelling::Sha256 | Spelling::Named => {
            value.strip_prefix(b"sha256=").ok_or(Unsigned::Unprefixed { header, wanted: "sha256=" })?
        }
    };
    hex(header, digits).map(Shown::Sha256)
}

/// As many bytes as are wanted, from hex digits in either case.
fn hex<const N: usize>(header: &'static str, digits: &[u8]) -> Result<[u8; N], Unsigned> {
    if digits.len() != 2 * N {
        return Err(Unsigned::Length { header, found: digits.len(), wanted: 2 * N });
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
            *byte = *byte << 4 | value.ok_or(Unsigned::NotHex { header })?;
        }
    }
    Ok(bytes)
}

/// The signatures of Standard Webhooks that are HMACs (`v1`), with what they are over. Others (`v1a`, or of a version to
/// come) are passed over.
fn standard(headers: &HeaderMap, value: &[u8]) -> Result<Shown, Unsigned> {
    const ID: &str = "webhook-id";
    const TIMESTAMP: &str = "webhook-timestamp";
    let (id, at) = (one(headers, ID)?, one(headers, TIMESTAMP)?);
    let before = [id, b".", at, b"."].concat();
    let id = std::str::from_utf8(id).ok().filter(|id| !id.is_empty() && id.len() <= 256);
    let id = id.ok_or(Unsigned::NotUnderstood { header: ID, wanted: "1 to 256 bytes of text" })?;
    let at = std::str::from_utf8(at).ok().filter(|at| at.bytes().all(|b| b.is_ascii_digit()));
    let at = at.and_then(|at| at.parse().ok()).and_then(|at| Timestamp::from_second(at).ok());
    let at = at.ok_or(Unsigned::NotUnderstood { header: TIMESTAMP, wanted: "whole seconds since 1970" })?;
    let signatures: Vec<[u8; 32]> = value
        .split(|byte| *byte == b' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix(b"v1,")?).ok()?.try_into().ok())
        .take(SIGNATURES)
        .collect();
    if signatures.is_empty() {
        return Err(Unsigned::NotUnderstood {
            header: "webhook-signature",
            wanted: "`v1,` and the base64 of 32 bytes; a sender with nothing else has no secret configured",
        });
    }
    Ok(Shown::Standard { stamp: Stamp { id: id.to_owned(), at }, before, signatures })
}

/// The header line that signs a body: `X-Hub-Signature-256: sha256=…`, without a newline.
pub fn header(secret: &Secret, body: &[u8]) -> String {
    let mut line = format!("{PLAIN}: sha256=");
    for byte in secret.mac(body).finalize().into_bytes() {
        line.extend([byte >> 4, byte & 15].into_iter().filter_map(|v| char::from_digit(v.into(), 16)));
    }
    line
}

#[cfg(test)]
mod tests;
