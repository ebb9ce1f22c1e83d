//! Flux: the events of its notification controller about a `Kustomization` or a `HelmRelease`.
//!
//! Field paths and reasons as in fluxcd/notification-controller, kustomize-controller and helm-controller.

use std::collections::BTreeMap;

use hyper::header::HeaderMap;
use serde::Deserialize;

use super::{
    field::{self, NAME, Unreadable},
    table::{Announced, Kind, Manner, Outcome},
};
use crate::{
    config::{Proof, Sender},
    http::signature::{Scheme, Signed, Spelling},
    model::{Announcement, InvalidRevision, Phase, Revision},
};

/// How Flux comes: `generic-hmac` signs, `generic` sends what its secret says.
pub const KIND: Kind = Kind {
    sender: Sender::Flux,
    recognised: |headers| headers.contains_key("gotk-component"),
    schemes: &[
        (Proof::Secrets, Scheme::Hmac { header: "X-Signature", spelling: Spelling::Named }),
        (Proof::Tokens, Scheme::Bearer),
    ],
    delivery: &[],
    manner: Manner::Hook,
    parse,
};

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "involvedObject")]
    object: Object,
    severity: Option<String>,
    timestamp: Option<String>,
    reason: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Object {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl Event {
    /// An entry of the metadata, with or without the group that older controllers put before it. An empty one is none.
    fn metadata(&self, name: &str) -> Option<&str> {
        let entries = self.metadata.as_ref()?;
        let behind = |key: &str| key.rsplit_once('/').is_some_and(|(_, behind)| behind == name);
        let value = entries.get(name).or_else(|| entries.iter().find(|(key, _)| behind(key)).map(|(_, v)| v));
        value.map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn parse(_: &HeaderMap, signed: &Signed) -> Result<Outcome, Unreadable> {
    let event: Event = field::json(signed.body())?;
    let kind = event.object.kind.as_deref().unwrap_or_default();
    let reason = event.reason.as_deref().unwrap_or_default();
    let failed = event.severity.as_deref() == Some("error");
    let phase = match (kind, reason) {
        ("Kustomization", "ReconciliationSucceeded") => Phase::Finished,
        // A rollback is the old revision in force again.
        ("HelmRelease", "InstallSucceeded" | "UpgradeSucceeded" | "RollbackSucceeded") => Phase::Finished,
        ("Kustomization", reason) if failed && reason.ends_with("Failed") => Phase::Failed,
        ("HelmRelease", "InstallFailed" | "UpgradeFailed" | "RollbackFailed") => Phase::Failed,
        ("Kustomization" | "HelmRelease", reason) => {
            return Ok(Outcome::ignored_as("the reason says neither success nor failure", reason));
        }
        (kind, _) => return Ok(Outcome::ignored_as("only a Kustomization or a HelmRelease deploys", kind)),
    };
    let Some((commit, reference)) = revision(&event)? else {
        return Ok(Outcome::ignored_as("the event names no revision", reason));
    };
    let name = event.object.name.as_deref().unwrap_or_default();
    let namespace = event.object.namespace.as_deref().unwrap_or_default();
    let time = event.timestamp.as_deref();
    // It has no id: what happened to which object when is one.
    let uid = event.object.uid.as_deref().unwrap_or(name);
    let id = time.map(|time| format!("{uid} {commit} {reason} {time}"));
    let environment = event.metadata("env").or_else(|| event.metadata("cluster")).map(str::to_owned);
    let announcement = Announcement {
        // As Flux names it to GitHub: a release and a Kustomization may have the same name.
        app: field::text("involvedObject", Some(format!("{kind}/{name}.{namespace}")), NAME)?,
        phase,
        id: field::text("timestamp", id, 2 * NAME)?,
        // The body's own time is the sender's word only where the body is signed.
        timestamp: field::time("timestamp", time.filter(|_| signed.covers_the_body()))?,
        environment: field::text("metadata.env", environment, NAME)?,
        reference: field::text("metadata.revision", reference, NAME)?,
        repo: None,
        declared: None,
        digest: field::digest(signed),
        commit,
    };
    Ok(Outcome::Deployment(Box::new(Announced { announcement, workflow: None })))
}

/// The revision and its ref, in the controllers' own order (kustomize-controller, `GetRevision`).
fn revision(event: &Event) -> Result<Option<(Revision, Option<String>)>, Unreadable> {
    for (name, field) in [
        ("commit", "metadata.commit"),
        ("originRevision", "metadata.originRevision"),
        ("revision", "metadata.revision"),
    ] {
        let Some(text) = event.metadata(name) else { continue };
        // `revision` is what was applied, and may be an artifact; the other two are what it was made from.
        let read = of(text, name != "revision").map_err(|why| Unreadable::Revision { field, why })?;
        return Ok(Some(read));
    }
    Ok(None)
}

/// `main@sha1:HEX`, `sha1:HEX`, `main/HEX`, `HEX`, `latest@sha256:HEX` or `1.4.2` (fluxcd/pkg git/utils.go).
///
/// A Git repository of the newer object format says `sha256:` as an artifact does: which it is, the field tells.
fn of(text: &str, is_git: bool) -> Result<(Revision, Option<String>), InvalidRevision> {
    let (reference, digest) = match text.rsplit_once('@') {
        Some((reference, digest)) => (Some(reference), digest),
        None => (None, text),
    };
    let reference = reference.map(str::to_owned);
    match digest.split_once(':') {
        Some(("sha1", hex)) => return Ok((Revision::git(hex)?, reference)),
        Some(("sha256", hex)) if is_git => return Ok((Revision::git(hex)?, reference)),
        Some(("sha256", _)) => return Ok((Revision::oci(digest)?, reference)),
        _ => {}
    }
    let whole = |hex: &str| [40, 64].contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    match digest.rsplit_once('/') {
        Some((before, hex)) if whole(hex) => Ok((Revision::git(hex)?, Some(before.to_owned()))),
        _ if is_git || whole(digest) => Ok((Revision::git(digest)?, reference)),
        _ => Ok((Revision::chart(digest)?, reference)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_git: bool, wanted: (&str, Option<&str>)) {
        let (revision, reference) = of(text, is_git).unwrap();
        assert_eq!((revision.as_str(), reference.as_deref()), wanted, "{text}");
    }

    #[test]
    fn every_spelling_of_a_revision_is_read() {
        let (sha, long) = ("5394cb7f48332b2de7c17dd8b8384bbc84b7e738", "0".repeat(64));
        check(&format!("main@sha1:{sha}"), false, (sha, Some("main")));
        check(&format!("feature/x@sha1:{sha}"), false, (sha, Some("feature/x")));
        check(&format!("sha1:{sha}"), false, (sha, None));
        check(&format!("feature/x/{sha}"), false, (sha, Some("feature/x")));
        check(&format!("HEAD/{sha}"), false, (sha, Some("HEAD")));
        check(sha, false, (sha, None));
        check("1.4.2+a1b2c3", false, ("chart:1.4.2+a1b2c3", None));
        check(&format!("latest@sha256:{long}"), false, (&format!("oci:sha256:{long}"), Some("latest")));
        check(&format!("main@sha256:{long}"), true, (&long, Some("main")));
        for (bad, is_git) in
            [("main", false), ("1.4.2", true), ("main@sha1:zz", false), ("@", false), ("", true)]
        {
            assert!(of(bad, is_git).is_err(), "{bad}");
        }
    }
}
