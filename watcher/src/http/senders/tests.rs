//! Every sender's messages through the whole door: one table of bodies, and what each of them is.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::Mac;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::{
    config::{self, Tls},
    http::{
        Secret,
        door::{Door, Opening},
        signature::{Claim, Keys, PLAIN, Scheme, Signed, Spelling, header},
    },
};

mod door;
mod values;

/// The only way in: signed.
pub fn signed(body: &[u8]) -> Signed {
    let secret = Secret::new(b"hunter2").unwrap();
    let line = header(&secret, body);
    let (name, value) = line.split_once(": ").unwrap();
    let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
    let claim = Claim::of(Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 }, &headers).ok().unwrap();
    let keys = Keys::Secrets(vec![secret]);
    let ((), authentic) = claim.verify([((), &keys)], Bytes::copy_from_slice(body)).unwrap();
    authentic.fresh(Timestamp::UNIX_EPOCH).ok().unwrap()
}

/// When everything here happens.
fn now() -> Timestamp {
    "2026-08-01T10:15:00Z".parse().unwrap()
}

/// The door of a host that every sender may deliver to.
const SENDERS: &str = "
  senders:
    plain: { secrets: DIR/secret }
    github: { secrets: DIR/secret, workflows: [.github/workflows/test.yml, CodeQL, deploy], branches: [ma*, f95*] }
    gitlab: { tokens: DIR/token }
    signing: { sender: gitlab, secrets: DIR/whsec }
    gitea: { secrets: DIR/secret }
    flux: { tokens: DIR/token }
    flux-hmac: { sender: flux, secrets: DIR/secret }
    argocd: { tokens: DIR/token }
    argo: { sender: argocd, basic: DIR/basic }
    standard: { secrets: DIR/whsec }
    cloudevents: { tokens: DIR/token }
";
const SECRET: &str = "hunter2";
const TOKEN: &str = "a token nobody may see";
const BASIC: &str = "argocd:hunter2";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The door of a configuration, read as the daemon reads it.
fn built(senders: &str) -> (TempDir, Door) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("secret", SECRET), ("token", TOKEN), ("basic", BASIC), ("whsec", WHSEC), ("new", "next")]
    {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let section = senders.replace("DIR", dir.path().to_str().unwrap());
    let text = format!("webhook:\n  listen: 127.0.0.1:0\n  plain_http: true{section}");
    let webhook = config::parse("driftd.yaml", &text).unwrap_or_else(|e| panic!("{e}")).webhook.unwrap();
    assert_eq!(webhook.tls, Tls::Plain);
    let door = Door::load(&webhook.credentials).unwrap();
    (dir, door)
}

type Lines = Vec<(&'static str, String)>;

/// What proves a body, in a header or three.
fn proof(scheme: Scheme, body: &[u8]) -> Lines {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mac = |key: &Secret, body: &[u8]| key.mac(body).finalize().into_bytes().to_vec();
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    match scheme {
        Scheme::Hmac { header, spelling: Spelling::Bare } => vec![(header, hex(&mac(&secret, body)))],
        Scheme::Hmac { header, .. } => vec![(header, format!("sha256={}", hex(&mac(&secret, body))))],
        Scheme::Standard => stamped("msg_1", now().as_second(), body),
        Scheme::Token { header } => vec![(header, TOKEN.into())],
        Scheme::Bearer => vec![("Authorization", format!("Bearer {TOKEN}"))],
        Scheme::Basic => vec![("Authorization", format!("Basic {}", STANDARD.encode(BASIC)))],
    }
}

/// What proves a body by Standard Webhooks, sent under this id at this second.
fn stamped(id: &str, at: i64, body: &[u8]) -> Lines {
    let key = Secret::whsec(WHSEC.as_bytes()).unwrap();
    let mac = key.mac(&[format!("{id}.{at}.").as_bytes(), body].concat()).finalize().into_bytes();
    vec![
        ("webhook-id", id.into()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(mac))),
    ]
}

fn headers(lines: &Lines) -> HeaderMap {
    let line = |(name, value): &(&str, String)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(line).collect()
}

/// What becomes of a request: in one line, as a person would tell it.
fn told(door: &Door, path: &str, lines: &Lines, body: &[u8]) -> String {
    let headers = headers(lines);
    let asked = match door.at(path).and_then(|place| place.claim(&headers)) {
        Ok(asked) => asked,
        Err(refused) => return format!("{} {}", refused.status.as_u16(), refused.reason),
    };
    match asked.open(&headers, Bytes::copy_from_slice(body), now()) {
        Err(refused) => format!("{} {}", refused.status.as_u16(), refused.reason),
        Ok(opened) => match opened.what {
            Opening::Ignored(why) => match why.detail {
                Some(detail) => format!("ignored: {} ({detail})", why.reason),
                None => format!("ignored: {}", why.reason),
            },
            Opening::Announced(it) => {
                let mut told = format!("{} {}", it.phase.as_str(), it.commit);
                let time = it.timestamp.map(|time| time.to_string());
                for (name, value) in [
                    ("app", it.app),
                    ("env", it.environment),
                    ("ref", it.reference),
                    ("repo", it.repo),
                    ("at", time),
                    ("id", it.id),
                ] {
                    told += &value.map(|value| format!(", {name} {value}")).unwrap_or_default();
                }
                told
            }
        },
    }
}

const HUB: Scheme = Scheme::Hmac { header: PLAIN, spelling: Spelling::Sha256 };
const FLUX: Scheme = Scheme::Hmac { header: "X-Signature", spelling: Spelling::Named };
const GITEA: Scheme = Scheme::Hmac { header: "X-Gitea-Signature", spelling: Spelling::Bare };
const GITLAB: Scheme = Scheme::Token { header: "X-Gitlab-Token" };

/// The path, the proof and the headers of a sender, from the name of the file with the body.
fn request(name: &str) -> (&'static str, Scheme, Lines) {
    let all = "/webhook/gitops";
    let (sender, rest) = name.split_once('-').unwrap();
    match sender {
        "github" => {
            let event = rest.split('-').next().unwrap().to_owned();
            (all, HUB, vec![("X-GitHub-Event", event), ("X-GitHub-Delivery", "72d3162e".into())])
        }
        "gitlab" => {
            (all, GITLAB, vec![("X-Gitlab-Event", "Some Hook".into()), ("Idempotency-Key", "ab12".into())])
        }
        "flux" => (all, FLUX, vec![("Gotk-Component", "kustomize-controller".into())]),
        "argocd" => ("/webhook/gitops/argocd", Scheme::Bearer, vec![]),
        // Both send GitHub's headers as well.
        "gitea" => (all, GITEA, vec![("X-GitHub-Event", "push".into()), ("X-Gitea-Event", "push".into())]),
        "standardwebhooks" => (all, Scheme::Standard, vec![]),
        "own" => (all, HUB, vec![]),
        "cloudevents" if rest.starts_with("binary") => (
            all,
            Scheme::Bearer,
            vec![
                ("ce-specversion", "1.0".into()),
                ("ce-id", "run-17".into()),
                ("ce-source", "/pipelines/web".into()),
            ],
        ),
        "cloudevents" => {
            let batch = if rest == "batch" { "-batch" } else { "" };
            (
                all,
                Scheme::Bearer,
                vec![("Content-Type", format!("application/cloudevents{batch}+json; charset=utf-8"))],
            )
        }
        _ => panic!("{name} is of no sender"),
    }
}

/// What each body is: the table. It holds for our own bodies and for those that were collected, where they lie beside the
/// repository.
fn outcomes() -> BTreeMap<&'static str, &'static str> {
    include_str!("../../../../tests/fixtures/payloads/outcomes.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
        .collect()
}

fn bodies(of: &Path) -> BTreeMap<String, Vec<u8>> {
    let senders =
        ["github-", "gitlab-", "flux-", "argocd-", "gitea-", "standardwebhooks-", "own-", "cloudevents-"];
    let Ok(dir) = fs::read_dir(of) else { return BTreeMap::new() };
    let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .filter(|name| senders.iter().any(|sender| name.starts_with(sender)))
        .map(|name| (name.clone(), fs::read(of.join(name + ".json")).unwrap()))
        .collect()
}

/// Each body is what the table says, and every body has its line in it.
fn check_table(bodies: &BTreeMap<String, Vec<u8>>) {
    let (_dir, door) = built(SENDERS);
    let outcomes = outcomes();
    let mut wrong = Vec::new();
    for (name, body) in bodies {
        let (path, scheme, mut lines) = request(name);
        lines.extend(proof(scheme, body));
        let found = told(&door, path, &lines, body).replace('\n', "; ");
        if outcomes.get(name.as_str()) != Some(&found.as_str()) {
            wrong.push(format!("{name}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
}

#[test]
fn every_message_of_every_sender_is_what_the_table_says() {
    let ours = bodies(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/payloads"));
    let without: Vec<_> = outcomes().into_keys().filter(|name| !ours.contains_key(*name)).collect();
    assert!(without.is_empty(), "in the table and not there: {without:?}");
    check_table(&ours);
}

/// The bodies that were collected from the senders' own documentation and tests, where they lie beside the repository.
#[test]
fn every_collected_message_is_what_the_same_table_says() {
    check_table(&bodies(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads")));
}
