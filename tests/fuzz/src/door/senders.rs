//! The senders of the door that is fed, one for each way to prove oneself, with secrets that no corpus can hold.

use std::{collections::BTreeMap, fs, io::Read};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::HeaderValue;
use sha2::Sha256;
use tempfile::TempDir;
use watcher::{config, http::Door};

use super::{now, request::Request};

/// How a sender proves itself.
#[derive(Clone, Copy)]
enum Proof {
    /// HMAC-SHA256 of the body, in this header, behind this.
    Hmac(&'static str, &'static str),
    /// Standard Webhooks.
    Standard,
    /// A token in this header, behind this.
    Token(&'static str, &'static str),
    /// `user:password`.
    Basic,
}

/// A sender that is let in.
pub struct Sender {
    pub name: &'static str,
    kind: &'static str,
    proof: Proof,
}

const HUB: Proof = Proof::Hmac("x-hub-signature-256", "sha256=");
const BEARER: Proof = Proof::Token("authorization", "Bearer ");

/// The one that may say which value is right.
pub const DECLARES: &str = "plain";

/// All of them.
pub const SENDERS: [Sender; 11] = [
    Sender { name: "plain", kind: "plain", proof: HUB },
    Sender { name: "github", kind: "github", proof: HUB },
    Sender { name: "gitlab", kind: "gitlab", proof: Proof::Token("x-gitlab-token", "") },
    Sender { name: "signing", kind: "gitlab", proof: Proof::Standard },
    Sender { name: "gitea", kind: "gitea", proof: Proof::Hmac("x-gitea-signature", "") },
    Sender { name: "flux", kind: "flux", proof: BEARER },
    Sender { name: "flux-hmac", kind: "flux", proof: Proof::Hmac("x-signature", "sha256=") },
    Sender { name: "argocd", kind: "argocd", proof: BEARER },
    Sender { name: "argo", kind: "argocd", proof: Proof::Basic },
    Sender { name: "standard", kind: "standard", proof: Proof::Standard },
    Sender { name: "cloudevents", kind: "cloudevents", proof: BEARER },
];

/// The door, and what opens it.
pub struct Senders {
    pub door: Door,
    keys: BTreeMap<&'static str, [u8; 32]>,
}

thread_local! {
    static DOOR: Senders = Senders::new();
}

/// Does something with the door.
pub fn with(code: impl FnOnce(&Senders)) {
    DOOR.with(code);
}

impl Senders {
    fn new() -> Senders {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let keys = SENDERS.iter().map(|sender| (sender.name, random())).collect();
        let settings = config(&directory, &keys);
        Senders { door: Door::load(&settings.credentials).expect("a door"), keys }
    }

    /// Puts the proof of a sender into a request, in place of any other of its kind.
    pub fn sign(&self, sender: &Sender, request: &mut Request) {
        let Some(key) = self.keys.get(sender.name) else { return };
        let mut put = |name: &'static str, value: String| {
            request.headers.insert(name, HeaderValue::from_str(&value).expect("a proof is a text"));
        };
        match sender.proof {
            Proof::Hmac(header, before) => {
                put(header, format!("{before}{}", hex(&mac(hex(key).as_bytes(), &[&request.body]))));
            }
            Proof::Standard => {
                let at = now().as_second().to_string();
                let signed = mac(key, &[b"msg_1.", at.as_bytes(), b".", &request.body]);
                put("webhook-id", "msg_1".into());
                put("webhook-timestamp", at);
                put("webhook-signature", format!("v1,{}", STANDARD.encode(signed)));
            }
            Proof::Token(header, before) => put(header, format!("{before}{}", hex(key))),
            Proof::Basic => {
                put("authorization", format!("Basic {}", STANDARD.encode(format!("user:{}", hex(key)))));
            }
        }
    }
}

/// The settings of a listener on loopback, at which all of them are let in, with their secrets in a directory.
pub fn config(directory: &TempDir, keys: &BTreeMap<&'static str, [u8; 32]>) -> config::Webhook {
    let mut text = String::from("webhook:\n  listen: 127.0.0.1:0\n  plain_http: true\n  senders:\n");
    for Sender { name, kind, proof } in &SENDERS {
        let key = keys.get(name).copied().unwrap_or_else(random);
        let (field, secret) = match proof {
            Proof::Hmac(..) => ("secrets", hex(&key)),
            Proof::Standard => ("secrets", format!("whsec_{}", STANDARD.encode(key))),
            Proof::Token(..) => ("tokens", hex(&key)),
            Proof::Basic => ("basic", format!("user:{}", hex(&key))),
        };
        let file = directory.path().join(name);
        fs::write(&file, secret).expect("a file can be written");
        let only = match *kind {
            "github" => ", workflows: [deploy], branches: [main]",
            DECLARES => ", declared: true",
            _ => "",
        };
        text += &format!("    {name}: {{ sender: {kind}, {field}: {}{only} }}\n", file.display());
    }
    let config = config::parse("fuzz.yaml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.webhook.expect("a webhook")
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("the kernel has random bytes");
    bytes
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
