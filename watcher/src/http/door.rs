//! The door: a request's headers and body in, what it announces out, or why it is not taken. The steps are always the
//! same: who is meant, what is claimed, is it true, what does it say, does it count.
//!
//! Nothing here opens a connection or asks a clock: the listener and `driftd webhook test` go through the same door.

use bytes::Bytes;
use hyper::header::HeaderMap;
use jiff::Timestamp;

use super::{
    answer::Refused,
    counts,
    secrets::{Secret, SecretError, Token},
    senders::{self, Ignored, Kind, Manner, Outcome, Unreadable},
    signature::{Claim, Keys, Scheme, Spelling, Unsigned},
};
use crate::{
    config::{self, Only, Proof, Sender},
    model::{Announcement, Phase},
};

/// The path at which every sender is told by its headers; each has its own beneath it.
pub const PATH: &str = "/webhook/gitops";

/// Everyone who may deliver.
pub struct Door {
    credentials: Vec<Credential>,
}

/// A sender with what it proves itself by.
struct Credential {
    name: Box<str>,
    sender: Sender,
    proof: Proof,
    scheme: Scheme,
    keys: Keys,
    only: Only,
    require_dated: bool,
    declared: bool,
}

/// Why nobody can be let in as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A sender cannot prove itself so.
    #[error("the sender `{sender}` does not prove itself by `{proof}`")]
    Proof {
        /// The sender.
        sender: &'static str,
        /// By what.
        proof: &'static str,
    },
}

/// A path at which something is served: for one sender, or for all.
pub struct Place<'d> {
    door: &'d Door,
    fixed: Option<&'d Credential>,
}

/// A request of which it is known who it claims to be from.
pub struct Asked<'d> {
    kind: &'static Kind,
    candidates: Vec<&'d Credential>,
    claim: Claim,
}

/// An authentic message.
#[derive(Debug)]
pub struct Opened {
    /// The name of who sent it.
    pub sender: Box<str>,
    /// How its sender is answered.
    pub manner: Manner,
    /// What it leads to.
    pub what: Opening,
}

/// What an authentic message leads to.
#[derive(Debug)]
pub enum Opening {
    /// It announces a deployment.
    Announced(Box<Announcement>),
    /// It counts for nothing.
    Ignored(Ignored),
}

impl Door {
    /// Reads what each sender proves itself by.
    ///
    /// # Errors
    /// There is nothing to prove oneself by, or one of the files cannot be used.
    pub fn load(credentials: &[config::Credential]) -> Result<Door, DoorError> {
        if credentials.is_empty() {
            return Err(SecretError::None.into());
        }
        let credentials = credentials.iter().map(Credential::load).collect::<Result<_, _>>()?;
        Ok(Door { credentials })
    }

    /// What is served at a path.
    ///
    /// # Errors
    /// Nothing is.
    pub fn at(&self, path: &str) -> Result<Place<'_>, Refused> {
        let not_here = || Refused::not_here(path);
        match path.strip_prefix(PATH).ok_or_else(not_here)? {
            "" => Ok(Place { door: self, fixed: None }),
            name => {
                let name = name.strip_prefix('/').ok_or_else(not_here)?;
                let known = self.credentials.iter().find(|known| &*known.name == name);
                Ok(Place { door: self, fixed: Some(known.ok_or_else(not_here)?) })
            }
        }
    }
}

/// What proves who asks where nothing is posted, for senders that sign: the plain form's signature, over the path.
const ASKING: Scheme = Scheme::Hmac { header: "X-Hub-Signature-256", spelling: Spelling::Sha256 };

impl Door {
    /// Whose credentials a request without a body bears: a signature over its path, or the token that is sent with
    /// messages too. All that fit, since one secret may serve several senders.
    ///
    /// # Errors
    /// It bears none, or none that is true.
    pub fn who_asks(&self, path: &str, headers: &HeaderMap) -> Result<Vec<Box<str>>, Unsigned> {
        let mut who = Vec::new();
        let mut why = Unsigned::Missing { header: ASKING.header() };
        for known in &self.credentials {
            let scheme = match &known.keys {
                Keys::Secrets(_) => ASKING,
                Keys::Tokens(_) => known.scheme,
            };
            let path = Bytes::copy_from_slice(path.as_bytes());
            match Claim::of(scheme, headers).and_then(|claim| claim.verify([((), &known.keys)], path)) {
                Ok(_) => who.push(known.name.clone()),
                // What is wrong says more than what is missing.
                Err(Unsigned::Missing { .. }) => {}
                Err(wrong) => why = wrong,
            }
        }
        if who.is_empty() { Err(why) } else { Ok(who) }
    }
}

impl<'d> Place<'d> {
    /// Finds out who a request claims to be from, by its headers where the path does not say, and takes the claim.
    ///
    /// # Errors
    /// Nobody such is configured, or the headers prove nothing.
    pub fn claim(self, headers: &HeaderMap) -> Result<Asked<'d>, Refused> {
        let (kind, candidates): (_, Vec<&Credential>) = match self.fixed {
            Some(known) => (senders::of(known.sender), vec![known]),
            None => {
                let kind = senders::recognise(headers);
                (kind, self.door.credentials.iter().filter(|known| known.sender == kind.sender).collect())
            }
        };
        let Some(first) = candidates.first() else { return Err(Refused::unknown(kind.sender)) };
        // The strongest proof that is configured and shown is the one that counts: a weaker one beside it opens nothing.
        let shown = kind.schemes.iter().copied().find(|(proof, scheme)| {
            headers.contains_key(scheme.header()) && candidates.iter().any(|known| known.proof == *proof)
        });
        let (proof, scheme) = shown.unwrap_or((first.proof, first.scheme));
        let claim = Claim::of(scheme, headers)?;
        let candidates = candidates.into_iter().filter(|known| known.proof == proof).collect();
        Ok(Asked { kind, candidates, claim })
    }
}

impl Asked<'_> {
    /// Checks the claim over the body; reads the body if the claim is true.
    ///
    /// # Errors
    /// The claim is not true; or what the sender says is not understood, or not its to say, where it should see that.
    pub fn open(self, headers: &HeaderMap, body: Bytes, now: Timestamp) -> Result<Opened, Refused> {
        let Asked { kind, candidates, claim } = self;
        let keys = candidates.iter().map(|known| (*known, &known.keys));
        let (known, authentic) =
            claim.verify(keys, body).map_err(|why| unproved(kind.sender, headers, why))?;
        let opened = |what| Ok(Opened { sender: known.name.clone(), manner: kind.manner, what });
        // An old message never counts. A hook is told so with 200: its host's clock, or ours, may be off for a while.
        let signed = match (authentic.fresh(now), kind.manner) {
            (Ok(signed), _) => signed,
            (Err(stale), Manner::Step) => return Err(stale.into()),
            (Err(stale), Manner::Hook) => return opened(Opening::Ignored(Ignored::refused(&stale))),
        };
        let announced = match ((kind.parse)(headers, &signed), kind.manner) {
            (Ok(Outcome::Deployment(announced)), _) => announced,
            (Ok(Outcome::Ignored(ignored)), _) => return opened(Opening::Ignored(ignored)),
            (Err(why), Manner::Step) => return Err(why.into()),
            (Err(why), Manner::Hook) => return opened(Opening::Ignored(not_understood(&why))),
        };
        match (counts::why_not(&known.only, &announced), kind.manner) {
            (None, _) => {}
            (Some(ignored), Manner::Step) => return Err(Refused::not_yours(&known.name, &ignored)),
            (Some(ignored), Manner::Hook) => return opened(Opening::Ignored(ignored)),
        }
        let mut announcement = announced.announcement;
        if known.require_dated && announcement.timestamp.is_none() {
            return Err(Refused::undated(&known.name));
        }
        if announcement.declared.is_some() {
            if !known.declared {
                return Err(Refused::not_to_declare(&known.name));
            }
            if announcement.timestamp.is_none() {
                return Err(Refused::undated_values());
            }
            if announcement.phase != Phase::Finished {
                return Err(Refused::early_values(announcement.phase));
            }
        }
        // What one sender calls its messages is nothing to another.
        announcement.id = announcement.id.map(|id| format!("{}/{id}", known.name));
        opened(Opening::Announced(Box::new(announcement)))
    }
}

/// An authentic message of a hook that cannot be read. It is answered like one that counts for nothing, so that the hook
/// is not disabled for it; the log has it as a warning.
fn not_understood(why: &Unreadable) -> Ignored {
    tracing::warn!("an authentic message is not understood, and is ignored: {why}");
    // What it cites of the message it has shortened and escaped itself.
    Ignored { reason: "the message is not understood", detail: Some(why.to_string()) }
}

impl Credential {
    fn load(from: &config::Credential) -> Result<Credential, DoorError> {
        let schemes = senders::of(from.sender).schemes;
        let scheme = schemes.iter().find(|(proof, _)| *proof == from.proof).map(|(_, scheme)| *scheme);
        let scheme = scheme
            .ok_or_else(|| DoorError::Proof { sender: from.sender.as_str(), proof: from.proof.as_str() })?;
        if from.files.is_empty() {
            return Err(SecretError::None.into());
        }
        let files = from.files.iter().map(|file| file.as_path());
        let keys = match (from.proof, scheme) {
            (Proof::Secrets, Scheme::Standard) => {
                Keys::Secrets(files.map(Secret::load_whsec).collect::<Result<_, _>>()?)
            }
            (Proof::Secrets, _) => Keys::Secrets(files.map(Secret::load).collect::<Result<_, _>>()?),
            (Proof::Tokens, _) => Keys::Tokens(files.map(Token::load).collect::<Result<_, _>>()?),
            (Proof::Basic, _) => Keys::Tokens(files.map(Token::load_basic).collect::<Result<_, _>>()?),
        };
        Ok(Credential {
            name: from.name.clone(),
            sender: from.sender,
            proof: from.proof,
            scheme,
            keys,
            only: from.only.clone(),
            require_dated: from.require_dated,
            declared: from.declared,
        })
    }
}

/// What is said of a message whose proof is wrong. Gitea signs the JSON that it then wraps in a form
/// (go-gitea services/webhook/deliver.go), so that no secret fits a form: it would be no use to speak of secrets.
fn unproved(sender: Sender, headers: &HeaderMap, why: Unsigned) -> Refused {
    match why {
        Unsigned::Wrong { .. } if sender == Sender::Gitea && senders::is_form(headers) => Refused::unsigned(
            "the body is a form, and Gitea signs the JSON that is in it\nhint: let the hook send the content type \
             `application/json`",
        ),
        why => why.into(),
    }
}

impl From<Unsigned> for Refused {
    fn from(why: Unsigned) -> Refused {
        Refused::unsigned(why.to_string())
    }
}
