//! Signatures: `X-Hub-Signature-256`, HMAC-SHA256 over the raw body. The only maker of [`Signed`], and so the only
//! door a body can take to the parser.
//!
//! Nothing here reads what the body says, and nothing here shows a signature that was claimed.

use bytes::Bytes;
use hmac::Mac;
use hyper::header::HeaderMap;

use super::Secret;

/// The header, as `HeaderMap` spells it.
const HEADER: &str = "x-hub-signature-256";

/// A body whose signature is right.
pub struct Signed(Bytes);

impl Signed {
    /// The body, byte for byte as it was signed.
    pub fn body(&self) -> &[u8] {
        &self.0
    }
}

/// The HMAC that a sender claims for its body. It has no `Debug`: it belongs in no log.
pub struct Claim([u8; 32]);

/// Why a body is not taken as its sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no signature.
    #[error("no `X-Hub-Signature-256` header\nhint: `driftd sign` prints the one for a body")]
    Missing,
    /// There is more than one: which of them would count?
    #[error("{0} `X-Hub-Signature-256` headers, where one is wanted")]
    Several(usize),
    /// It is another kind of signature, or none.
    #[error("the `X-Hub-Signature-256` header does not begin with `sha256=`")]
    Unprefixed,
    /// The digest is cut short, empty, or too long.
    #[error("{0} bytes after `sha256=` in `X-Hub-Signature-256`, where 64 hex digits are wanted{hint}", hint = empty(.0))]
    Length(usize),
    /// The digest is not hex.
    #[error("what follows `sha256=` in `X-Hub-Signature-256` is not hex")]
    NotHex,
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
}

/// What an empty digest means.
fn empty(length: &usize) -> &'static str {
    match length {
        // Gitea does so (go-gitea services/webhook/deliver.go).
        0 => "\nhint: the sender has no secret configured",
        _ => "",
    }
}

impl Claim {
    /// The one claim of a request.
    ///
    /// # Errors
    /// There is none or more than one, or it is not `sha256=` and 64 hex digits, in either case.
    pub fn of(headers: &HeaderMap) -> Result<Claim, Unsigned> {
        let mut values = headers.get_all(HEADER).iter();
        let value = match (values.next(), values.count()) {
            (None, _) => return Err(Unsigned::Missing),
            (Some(value), 0) => value.as_bytes(),
            (Some(_), more) => return Err(Unsigned::Several(more.saturating_add(1))),
        };
        let digits = value.strip_prefix(b"sha256=").ok_or(Unsigned::Unprefixed)?;
        if digits.len() != 64 {
            return Err(Unsigned::Length(digits.len()));
        }
        let mut claimed = [0; 32];
        for (byte, pair) in claimed.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
                *byte = *byte << 4 | value.ok_or(Unsigned::NotHex)?;
            }
        }
        Ok(Claim(claimed))
    }
}

/// Compares the claim with what each of the secrets makes of the body.
///
/// Every secret is tried, and each comparison takes the same time whatever it finds, so that the time of the answer
/// tells neither which secret it was nor how much of the claim was right.
///
/// # Errors
/// No secret makes the claimed signature.
pub fn verify(secrets: &[Secret], claim: &Claim, body: Bytes) -> Result<Signed, Unsigned> {
    let right = secrets
        .iter()
        .map(|secret| secret.mac(&body).verify_slice(&claim.0).is_ok())
        .fold(false, |a, b| a | b);
    match right {
        true => Ok(Signed(body)),
        false => Err(Unsigned::Wrong { secrets: secrets.len(), length: body.len() }),
    }
}

/// The header line that signs a body: `X-Hub-Signature-256: sha256=…`, without a newline.
pub fn header(secret: &Secret, body: &[u8]) -> String {
    let mut line = String::from("X-Hub-Signature-256: sha256=");
    for byte in secret.mac(body).finalize().into_bytes() {
        line.extend([byte >> 4, byte & 15].into_iter().filter_map(|v| char::from_digit(v.into(), 16)));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// GitHub's published vector (github/docs, validating-webhook-deliveries.md).
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let value = |v: &&[u8]| (HEADER.parse().unwrap(), HeaderValue::from_bytes(v).unwrap());
        values.iter().map(value).collect()
    }

    #[track_caller]
    fn check(secrets: &[&str], values: &[&[u8]], body: &'static [u8], wanted: Result<(), Unsigned>) {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s.as_bytes()).unwrap()).collect();
        let found = Claim::of(&headers(values))
            .and_then(|claim| verify(&secrets, &claim, Bytes::from_static(body)))
            .map(|signed| assert_eq!(signed.body(), body));
        assert_eq!(found, wanted);
    }

    #[test]
    fn githubs_published_vector_is_right_in_either_case() {
        let value = format!("sha256={DIGEST}");
        check(&[SECRET], &[value.as_bytes()], BODY, Ok(()));
        check(&[SECRET], &[format!("sha256={}", DIGEST.to_uppercase()).as_bytes()], BODY, Ok(()));
        let secret = Secret::new(SECRET.as_bytes()).unwrap();
        assert_eq!(header(&secret, BODY), format!("X-Hub-Signature-256: {value}"));
    }

    #[test]
    fn two_secrets_serve_a_rotation() {
        let value = format!("sha256={DIGEST}");
        check(&[SECRET, "the next one"], &[value.as_bytes()], BODY, Ok(()));
        check(&["the one before", SECRET], &[value.as_bytes()], BODY, Ok(()));
        let wrong = Unsigned::Wrong { secrets: 2, length: BODY.len() };
        check(&["the one before", "the next one"], &[value.as_bytes()], BODY, Err(wrong));
    }

    #[test]
    fn anything_but_one_whole_signature_is_refused() {
        let good = format!("sha256={DIGEST}");
        let good = good.as_bytes();
        check(&[SECRET], &[], BODY, Err(Unsigned::Missing));
        check(&[SECRET], &[good, good], BODY, Err(Unsigned::Several(2)));
        check(&[SECRET], &[b""], BODY, Err(Unsigned::Unprefixed));
        check(&[SECRET], &[DIGEST.as_bytes()], BODY, Err(Unsigned::Unprefixed));
        check(&[SECRET], &[format!("sha1={DIGEST}").as_bytes()], BODY, Err(Unsigned::Unprefixed));
        check(&[SECRET], &[format!("SHA256={DIGEST}").as_bytes()], BODY, Err(Unsigned::Unprefixed));
        check(&[SECRET], &[b"sha256="], BODY, Err(Unsigned::Length(0)));
        check(&[SECRET], &[&good[..good.len() - 2]], BODY, Err(Unsigned::Length(62)));
        check(&[SECRET], &[&[good, b"00"].concat()], BODY, Err(Unsigned::Length(66)));
        check(&[SECRET], &[&[good, b", ", good].concat()], BODY, Err(Unsigned::Length(137)));
        check(&[SECRET], &[&[b"sha256=", &[b'g'; 64][..]].concat()], BODY, Err(Unsigned::NotHex));
        check(&[SECRET], &[&[b"sha256=", &[0xff; 64][..]].concat()], BODY, Err(Unsigned::NotHex));
        let wrong = |length| Err(Unsigned::Wrong { secrets: 1, length });
        check(&[SECRET], &[good], b"Hello, World?", wrong(13));
        check(&[SECRET], &[good], b"Hello, World!\n", wrong(14));
        check(&[SECRET], &[&[b"sha256=", &[b'0'; 64][..]].concat()], BODY, wrong(13));
        check(&[], &[good], BODY, Err(Unsigned::Wrong { secrets: 0, length: 13 }));
    }

    /// The vectors that lie beside the repository while it is developed, where they do.
    #[test]
    fn every_collected_vector_of_this_kind_is_right() {
        let payloads = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads");
        let Ok(text) = fs::read_to_string(payloads.join("hmac-vectors.json")) else { return };
        let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
        let check = |secret: &str, body: &[u8], expect: &str| {
            let secret = Secret::new(secret.as_bytes()).unwrap();
            assert_eq!(header(&secret, body), format!("X-Hub-Signature-256: {expect}"));
            let claim = Claim::of(&headers(&[expect.as_bytes()])).unwrap_or_else(|e| panic!("{e}"));
            assert!(verify(&[secret], &claim, Bytes::copy_from_slice(body)).is_ok(), "{expect}");
        };
        let mut checked = 0;
        for (file, expect) in vectors["computed_with_secret_test-secret"].as_object().unwrap() {
            // Not every body that was signed is kept beside the vectors.
            if let Ok(body) = fs::read(payloads.join(file)) {
                check("test-secret", &body, expect.as_str().unwrap());
                checked += 1;
            }
        }
        for vector in vectors["official"].as_array().unwrap() {
            let text = |key: &str| vector[key].as_str();
            if let (Some(secret), Some(body), Some(expect)) = (text("secret"), text("body"), text("expect"))
                && expect.starts_with("sha256=")
            {
                check(secret, body.as_bytes(), expect);
                checked += 1;
            }
        }
        assert!(checked > 20, "{checked}");
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(value in proptest::collection::vec(32u8.., 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = Claim::of(&HeaderMap::from_iter([(HEADER.parse().unwrap(), value)]));
            }
        }

        #[test]
        fn a_body_is_right_under_its_own_signature_and_wrong_with_one_bit_turned(
            body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0..8u8
        ) {
            let secrets = [Secret::new(b"hunter2").unwrap()];
            let line = header(&secrets[0], &body);
            let value = line.strip_prefix("X-Hub-Signature-256: ").unwrap();
            let claim = Claim::of(&headers(&[value.as_bytes()])).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(verify(&secrets, &claim, Bytes::from(body.clone())).is_ok());
            let mut turned = body;
            let at = at.index(turned.len());
            turned[at] ^= 1 << bit;
            prop_assert!(verify(&secrets, &claim, Bytes::from(turned)).is_err());
        }
    }
}
