//! Proofs: what opens, and everything near it that does not.

use std::{fs, path::Path};

use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// GitHub's published vector (github/docs, validating-webhook-deliveries.md).
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

const HUB: Scheme = Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 };
const FLUX: Scheme = Scheme::Hmac { header: "X-Signature", spelling: Spelling::Named };
const GITEA: Scheme = Scheme::Hmac { header: "X-Gitea-Signature", spelling: Spelling::Bare };
const GITLAB: Scheme = Scheme::Token { header: "X-Gitlab-Token" };

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let line = |(name, value): &(&str, &[u8])| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap())
    };
    lines.iter().map(line).collect()
}

fn secrets(secrets: &[&str]) -> Keys {
    Keys::Secrets(secrets.iter().map(|s| Secret::new(s.as_bytes()).unwrap()).collect())
}

fn tokens(tokens: &[&str]) -> Keys {
    Keys::Tokens(tokens.iter().map(|t| Token::new(t.as_bytes()).unwrap()).collect())
}

/// The moment of Standard Webhooks' published vector.
fn then() -> Timestamp {
    Timestamp::from_second(1_614_265_330).unwrap()
}

fn opened(scheme: Scheme, keys: &Keys, lines: &[(&str, &[u8])], body: &[u8]) -> Result<(), Unsigned> {
    let claim = Claim::of(scheme, &headers(lines))?;
    let ((), authentic) = claim.verify([((), keys)], Bytes::copy_from_slice(body))?;
    assert_eq!(authentic.fresh(then()).unwrap().body(), body);
    Ok(())
}

#[track_caller]
fn check(keys: &[&str], values: &[&[u8]], body: &[u8], wanted: Result<(), Unsigned>) {
    let lines: Vec<_> = values.iter().map(|value| (PLAIN, *value)).collect();
    assert_eq!(opened(HUB, &secrets(keys), &lines, body), wanted);
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
    let header = PLAIN;
    let good = format!("sha256={DIGEST}");
    let good = good.as_bytes();
    let unprefixed = Err(Unsigned::Unprefixed { header, wanted: "sha256=" });
    let length = |found| Err(Unsigned::Length { header, found, wanted: 64 });
    check(&[SECRET], &[], BODY, Err(Unsigned::Missing { header }));
    check(&[SECRET], &[good, good], BODY, Err(Unsigned::Several { header, found: 2 }));
    check(&[SECRET], &[b""], BODY, unprefixed);
    check(&[SECRET], &[DIGEST.as_bytes()], BODY, unprefixed);
    check(&[SECRET], &[format!("sha1={DIGEST}").as_bytes()], BODY, unprefixed);
    check(&[SECRET], &[format!("SHA256={DIGEST}").as_bytes()], BODY, unprefixed);
    check(&[SECRET], &[format!("sha512={DIGEST}{DIGEST}").as_bytes()], BODY, unprefixed);
    check(&[SECRET], &[b"sha256="], BODY, length(0));
    check(&[SECRET], &[&good[..good.len() - 2]], BODY, length(62));
    check(&[SECRET], &[&[good, b"00"].concat()], BODY, length(66));
    check(&[SECRET], &[&[good, b", ", good].concat()], BODY, length(137));
    check(&[SECRET], &[&[b"sha256=", &[b'g'; 64][..]].concat()], BODY, Err(Unsigned::NotHex { header }));
    check(&[SECRET], &[&[b"sha256=", &[0xff; 64][..]].concat()], BODY, Err(Unsigned::NotHex { header }));
    let wrong = |length| Err(Unsigned::Wrong { secrets: 1, length });
    check(&[SECRET], &[good], b"Hello, World?", wrong(13));
    check(&[SECRET], &[good], b"Hello, World!\n", wrong(14));
    check(&[SECRET], &[&[b"sha256=", &[b'0'; 64][..]].concat()], BODY, wrong(13));
    check(&[], &[good], BODY, Err(Unsigned::Wrong { secrets: 0, length: 13 }));
}

#[test]
fn each_sender_spells_the_digest_in_its_own_way_and_no_other_is_taken() {
    // RFC 4231, test case 2: the same key and data under both hashes.
    let (key, body) = (secrets(&["Jefe"]), b"what do ya want for nothing?");
    let short = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let long = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                caeab1a34d4a6b4b636e070a38bce737";
    for (scheme, value, opens) in [
        (HUB, format!("sha256={short}"), true),
        (HUB, format!("sha512={long}"), false),
        (HUB, short.to_owned(), false),
        (FLUX, format!("sha256={short}"), true),
        (FLUX, format!("sha512={long}"), true),
        (FLUX, format!("sha512={short}"), false),
        (FLUX, format!("sha256={long}"), false),
        (FLUX, "sha256=".to_owned(), false),
        (FLUX, "sha512=".to_owned(), false),
        (GITEA, short.to_owned(), true),
        (GITEA, format!("sha256={short}"), false),
        (GITEA, String::new(), false),
    ] {
        let found = opened(scheme, &key, &[(scheme.header(), value.as_bytes())], body);
        assert_eq!(found.is_ok(), opens, "{scheme:?} {value}: {found:?}");
    }
}

#[test]
fn a_token_opens_only_as_the_whole_of_it() {
    for (scheme, value, opens) in [
        (GITLAB, "hunter2", true),
        (GITLAB, "", false),
        (GITLAB, "hunter", false),
        (GITLAB, "hunter22", false),
        (GITLAB, "Hunter2", false),
        (Scheme::Bearer, "Bearer hunter2", true),
        (Scheme::Bearer, "bearer hunter2", true),
        (Scheme::Bearer, "hunter2", false),
        (Scheme::Bearer, "Bearer", false),
        (Scheme::Bearer, "Bearer ", false),
        (Scheme::Bearer, "Bearerhunter2", false),
        (Scheme::Bearer, "Basic hunter2", false),
        (Scheme::Bearer, "Bearer hunter2 hunter2", false),
        // `argocd:hunter2`
        (Scheme::Basic, "Basic YXJnb2NkOmh1bnRlcjI=", true),
        (Scheme::Basic, "Basic YXJnb2NkOmh1bnRlcjM=", false),
        (Scheme::Basic, "Basic argocd:hunter2", false),
        (Scheme::Basic, "Basic ", false),
        (Scheme::Basic, "Bearer YXJnb2NkOmh1bnRlcjI=", false),
    ] {
        let keys = tokens(&["another", if scheme == Scheme::Basic { "argocd:hunter2" } else { "hunter2" }]);
        let found = opened(scheme, &keys, &[(scheme.header(), value.as_bytes())], b"{}");
        assert_eq!(found.is_ok(), opens, "{value}: {found:?}");
    }
    let twice: &[(&str, &[u8])] = &[("X-Gitlab-Token", b"hunter2"), ("X-Gitlab-Token", b"hunter2")];
    assert!(opened(GITLAB, &tokens(&["hunter2"]), twice, b"").is_err());
}

/// Standard Webhooks' published vector (standard-webhooks libraries/javascript/src/webhook.test.ts).
const WHSEC: &[u8] = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &[u8] = b"msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: &[u8] = b"1614265330";
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;

#[track_caller]
fn check_standard(id: &[u8], at: &[u8], signature: &str, now: Timestamp, wanted: Option<&str>) {
    let lines: &[(&str, &[u8])] =
        &[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature.as_bytes())];
    let keys = Keys::Secrets(vec![Secret::whsec(WHSEC).unwrap()]);
    let found = Claim::of(Scheme::Standard, &headers(lines))
        .and_then(|claim| claim.verify([((), &keys)], Bytes::from_static(STANDARD_BODY)));
    let found = match found {
        Ok(((), authentic)) => authentic.fresh(now).map_err(|stale| stale.to_string()),
        Err(wrong) => Err(wrong.to_string()),
    };
    let said = found.as_ref().err();
    match (said, wanted) {
        (None, None) => {}
        (Some(said), Some(wanted)) => assert!(said.contains(wanted), "{said}"),
        (said, wanted) => panic!("{said:?}, wanted {wanted:?}"),
    }
    if let Ok(signed) = found {
        let stamp = signed.stamp().unwrap();
        assert_eq!((stamp.id.as_bytes(), stamp.at), (ID, then()));
    }
}

#[test]
fn standard_webhooks_published_vector_is_right_alone_and_in_a_list() {
    let now = then();
    check_standard(ID, AT, SIGNATURE, now, None);
    let bad = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let v2 = "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    check_standard(ID, AT, &format!("{bad} {v2} {SIGNATURE} {bad}"), now, None);
    check_standard(ID, AT, &format!("v1a,AAAA {SIGNATURE}"), now, None);
    check_standard(ID, AT, &vec![bad; SIGNATURES].join(" "), now, Some("fits none"));
    check_standard(ID, AT, bad, now, Some("fits none"));
    check_standard(b"msg_p5jXN8AQM9LWM0D4loKWxJeK", AT, SIGNATURE, now, Some("fits none"));
    check_standard(ID, b"1614265331", SIGNATURE, now, Some("fits none"));
    for none in ["", "v1,", "v1", &SIGNATURE[..20], &SIGNATURE[3..], "v2,x", &SIGNATURE.replace("v1", "v1a")]
    {
        check_standard(ID, AT, none, now, Some("holds nothing that is understood"));
    }
    for at in ["", "x", "-1614265330", "+1614265330", "1614265330.0", "99999999999999999999"] {
        check_standard(ID, at.as_bytes(), SIGNATURE, now, Some("`webhook-timestamp` holds nothing"));
    }
    check_standard(b"", AT, SIGNATURE, now, Some("`webhook-id` holds nothing"));
}

#[test]
fn what_was_signed_counts_within_five_minutes_either_way_and_a_forged_time_is_not_told() {
    for (off, wanted) in
        [(0, None), (300, None), (-300, None), (301, Some("dated 2021")), (-301, Some("dated 2021"))]
    {
        check_standard(ID, AT, SIGNATURE, then() + SignedDuration::from_secs(off), wanted);
    }
    let bad = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    check_standard(ID, AT, bad, then() + SignedDuration::from_secs(301), Some("fits none"));
}

#[test]
fn a_key_of_standard_webhooks_has_24_to_64_bytes_behind_its_prefix() {
    let of = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
    for (text, good) in [
        (of(24), true),
        (of(64), true),
        (of(23), false),
        (of(65), false),
        (of(0), false),
        (String::new(), false),
        ("whsec_".into(), false),
        (of(24).replace("whsec_", ""), false),
        (of(24) + " ", false),
    ] {
        assert_eq!(Secret::whsec(text.as_bytes()).is_some(), good, "{text}");
    }
}

/// A vector: what proves a body, under which scheme and key.
struct Vector {
    scheme: Scheme,
    secret: Secret,
    lines: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Vector {
    fn opens(&self) -> bool {
        let lines: Vec<_> = self.lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        opened(self.scheme, &Keys::Secrets(vec![self.secret.clone()]), &lines, &self.body).is_ok()
    }
}

/// Right as it is, and wrong with one bit turned in the body, in the key, or anywhere in what was signed or claimed.
fn check_vector(make: impl Fn(&[u8]) -> Vector, key: &[u8]) {
    assert!(make(key).opens());
    for bit in [0, 3] {
        for at in [0, key.len() / 2, key.len() - 1] {
            let mut turned = key.to_vec();
            turned[at] ^= 1 << bit;
            assert!(!make(&turned).opens(), "the key's byte {at}");
        }
        let length = make(key).body.len();
        for at in [0, length / 2, length - 1] {
            let mut vector = make(key);
            vector.body[at] ^= 1 << bit;
            assert!(!vector.opens(), "the body's byte {at}");
        }
    }
    for line in 0..make(key).lines.len() {
        for at in 0..make(key).lines[line].1.len() {
            let mut vector = make(key);
            let mut value = std::mem::take(&mut vector.lines[line].1).into_bytes();
            // `a` is no `A` in base64, and is in hex: the lowest bit is another character in both.
            value[at] ^= 1;
            // What is no header any more cannot be sent.
            let Ok(value) = String::from_utf8(value) else { continue };
            if HeaderValue::from_str(&value).is_err() {
                continue;
            }
            vector.lines[line].1 = value;
            assert!(!vector.opens(), "{:?}", vector.lines[line]);
        }
    }
}

#[test]
fn the_published_vectors_fail_with_one_bit_turned() {
    let value = format!("sha256={DIGEST}");
    check_vector(|key| vector(HUB, key, PLAIN, &value, BODY), SECRET.as_bytes());
    check_vector(|key| vector(FLUX, key, "X-Signature", &value, BODY), SECRET.as_bytes());
    check_vector(|key| vector(GITEA, key, "X-Gitea-Signature", DIGEST, BODY), SECRET.as_bytes());
    let key = STANDARD.decode(&WHSEC[6..]).unwrap();
    check_vector(
        |key| Vector {
            scheme: Scheme::Standard,
            secret: Secret::new(key).unwrap(),
            lines: vec![
                ("webhook-id", String::from_utf8(ID.to_vec()).unwrap()),
                ("webhook-timestamp", String::from_utf8(AT.to_vec()).unwrap()),
                // Without the `=` at its end, whose lowest bit does not count.
                ("webhook-signature", SIGNATURE.to_owned()),
            ],
            body: STANDARD_BODY.to_vec(),
        },
        &key,
    );
}

fn vector(scheme: Scheme, key: &[u8], name: &'static str, value: &str, body: &[u8]) -> Vector {
    Vector {
        scheme,
        secret: Secret::new(key).unwrap(),
        lines: vec![(name, value.to_owned())],
        body: body.to_vec(),
    }
}

/// Made by OpenSSL, and not by what is tried here: how is said in the file.
#[test]
fn what_openssl_signed_is_right_and_fails_with_one_bit_turned() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let vectors: Value =
        serde_json::from_slice(&fs::read(fixtures.join("hmac-vectors.json")).unwrap()).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    for of in vectors {
        let text = |name: &str| of[name].as_str().unwrap();
        let body = fs::read(fixtures.join("payloads").join(text("file"))).unwrap();
        let (scheme, key, further) = match text("scheme") {
            "plain" => (HUB, text("secret").as_bytes().to_vec(), vec![]),
            "flux" => (FLUX, text("secret").as_bytes().to_vec(), vec![]),
            "gitea" => (GITEA, text("secret").as_bytes().to_vec(), vec![]),
            "standard" => {
                let key = STANDARD.decode(&text("secret")["whsec_".len()..]).unwrap();
                let stamp = ["webhook-id", "webhook-timestamp"].map(|name| (name, text(name).to_owned()));
                (Scheme::Standard, key, stamp.to_vec())
            }
            scheme => panic!("{scheme}"),
        };
        let make = |key: &[u8]| {
            let mut vector = vector(scheme, key, scheme.header(), text("expect"), &body);
            vector.lines.splice(0..0, further.clone());
            vector
        };
        check_vector(make, &key);
    }
    assert_eq!(vectors.len(), 24);
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(value in proptest::collection::vec(32u8.., 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            for scheme in [HUB, FLUX, GITEA, GITLAB, Scheme::Standard, Scheme::Bearer, Scheme::Basic] {
                let names = [scheme.header(), "webhook-id", "webhook-timestamp"];
                let lines = names.map(|name| (name.parse::<HeaderName>().unwrap(), value.clone()));
                let _ = Claim::of(scheme, &HeaderMap::from_iter(lines));
            }
        }
    }

    #[test]
    fn a_body_is_right_under_its_own_signature_and_wrong_with_one_bit_turned(
        body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0..8u8
    ) {
        let line = header(&Secret::new(b"hunter2").unwrap(), &body);
        let value = line.strip_prefix("X-Hub-Signature-256: ").unwrap();
        let mut vector = vector(HUB, b"hunter2", PLAIN, value, &body);
        prop_assert!(vector.opens());
        let at = at.index(body.len());
        vector.body[at] ^= 1 << bit;
        prop_assert!(!vector.opens());
    }
}
