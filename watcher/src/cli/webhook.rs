//! `driftd webhook test`: runs a message through the door of the daemon and says what it would do, and why.
//!
//! Nothing here opens a connection or writes anything: the configuration and its secrets are read, and the body.

use std::{fs::File, io::Read, io::Write, path::Path};

use anyhow::{Context, anyhow, bail};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::exit;
use crate::{
    config::Webhook,
    deploys::FRESH,
    http::{Door, MAX_BODY, Opened, Opening, PATH},
};

/// A message to be tried.
pub struct Message<'a> {
    /// The name under `senders:`; nothing where the headers say who it is.
    pub sender: Option<&'a str>,
    /// The headers, each as `Name: value`.
    pub headers: &'a [String],
    /// The file with the body.
    pub body: &'a Path,
}

/// Says what the daemon would answer to a message, and what it would make of it. What it has in force already, and
/// whether the message came before, only the running daemon knows.
///
/// # Errors
/// A header is none, the body cannot be read or is too long, a secret cannot be used, or nobody takes the text.
pub fn test(
    settings: Option<&Webhook>,
    message: &Message<'_>,
    now: Timestamp,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let settings = settings.ok_or_else(|| {
        anyhow!("the configuration has no `webhook`, so nothing is taken\nhint: docs/webhooks.md shows one")
    })?;
    let door = Door::load(&settings.credentials)?;
    let headers = headers(message.headers)?;
    let mut body = Vec::new();
    File::open(message.body)
        .and_then(|file| file.take(MAX_BODY as u64 + 1).read_to_end(&mut body))
        .with_context(|| format!("cannot read the body in `{}`", message.body.display()))?;
    if body.len() > MAX_BODY {
        bail!("the body is longer than {MAX_BODY} bytes, and the webhook takes no longer one");
    }
    let path = message.sender.map_or_else(|| PATH.to_owned(), |name| format!("{PATH}/{name}"));
    let asked = door.at(&path).and_then(|place| place.claim(&headers));
    let opened = match asked.and_then(|asked| asked.open(&headers, body.into(), now)) {
        Ok(opened) => opened,
        Err(refused) => {
            writeln!(out, "refused with {}: {}", refused.status, refused.reason)?;
            return Ok(exit::USAGE);
        }
    };
    told(&opened, now, out)?;
    Ok(exit::IN_SYNC)
}

fn told(opened: &Opened, now: Timestamp, mut out: impl Write) -> anyhow::Result<()> {
    writeln!(out, "authentic, from the sender `{}`", opened.sender)?;
    let it = match &opened.what {
        Opening::Ignored(why) => {
            writeln!(out, "ignored with 200 OK: {}", why.reason)?;
            if let Some(detail) = &why.detail {
                writeln!(out, "  about        {detail}")?;
            }
            return Ok(());
        }
        Opening::Announced(it) => it,
    };
    writeln!(out, "a deployment {}: {}", it.phase.as_str(), it.commit)?;
    let time = it.timestamp.map(|time| time.to_string());
    for (name, value) in [
        ("application", &it.app),
        ("environment", &it.environment),
        ("ref", &it.reference),
        ("repository", &it.repo),
        ("id", &it.id),
        ("dated", &time),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {name:<12} {value}")?;
        }
    }
    for (key, value) in it.declared.iter().flat_map(|declared| declared.iter()) {
        writeln!(out, "  declares     {key} {value}")?;
    }
    if it.timestamp.is_some_and(|time| now.duration_since(time).abs() > FRESH) {
        writeln!(
            out,
            "  but not now: it is dated more than five minutes from the time here, and so does not count"
        )?;
    }
    Ok(())
}

fn headers(lines: &[String]) -> anyhow::Result<HeaderMap> {
    let read = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    // The value may be a token: what is wrong is told by its name, or by its place.
    let wrong = |at: usize| anyhow!("`--header` number {} is not of the form `Name: value`", at + 1);
    lines.iter().enumerate().map(|(at, line)| read(line).ok_or_else(|| wrong(at))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        config,
        http::{Secret, signature},
    };

    /// What is said of a body under some headers, with the exit code. `SIGNED` is the header that signs it.
    fn said(sender: Option<&str>, lines: &[&str], body: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (secret, file) = (dir.path().join("secret"), dir.path().join("body"));
        fs::write(&secret, "hunter2").unwrap();
        fs::write(&file, body).unwrap();
        let at = secret.display();
        let text = format!(
            "webhook: {{ listen: '127.0.0.1:1', senders: {{ plain: {{ secrets: {at} }}, github: {{ secrets: {at} }} }} }}"
        );
        let config = config::parse("driftd.yaml", &text).unwrap();
        let signed = signature::header(&Secret::new(b"hunter2").unwrap(), body.as_bytes());
        let headers: Vec<String> = lines.iter().map(|line| line.replace("SIGNED", &signed)).collect();
        let message = Message { sender, headers: &headers, body: &file };
        let mut out = Vec::new();
        match test(config.webhook.as_ref(), &message, "2026-08-01T10:15:00Z".parse().unwrap(), &mut out) {
            Ok(code) => format!("{}exit {code}", String::from_utf8(out).unwrap()),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_deployment_is_told_with_all_that_the_daemon_reads_of_it() {
        let body = r#"{"commit":"a1b2c3","app":"web","environment":"prod","id":"run-1","timestamp":"2026-08-01T10:14:00Z"}"#;
        insta::assert_snapshot!(said(None, &["SIGNED"], body), @"
        authentic, from the sender `plain`
        a deployment finished: a1b2c3
          application  web
          environment  prod
          id           plain/run-1
          dated        2026-08-01T10:14:00Z
        exit 0
        ");
        let old = include_str!("../../../tests/fixtures/payloads/github-deployment_status.json");
        insta::assert_snapshot!(said(Some("github"), &["SIGNED", "X-GitHub-Event: deployment_status"], old), @"
        authentic, from the sender `github`
        a deployment finished: f95f852bd8fca8fcc58a9a2d6c842781e32a215e
          application  Codertocat/Hello-World
          environment  production
          ref          master
          repository   Codertocat/Hello-World
          dated        2019-05-15T15:20:55Z
          but not now: it is dated more than five minutes from the time here, and so does not count
        exit 0
        ");
    }

    #[test]
    fn what_does_not_count_is_told_with_its_reason() {
        insta::assert_snapshot!(said(None, &["SIGNED", "X-GitHub-Event: push"], "{}"), @"
        authentic, from the sender `github`
        ignored with 200 OK: the event is no deployment's
          about        push
        exit 0
        ");
        insta::assert_snapshot!(said(None, &["X-Hub-Signature-256: sha256="], "{}"), @"
        refused with 401 Unauthorized: 0 bytes of digest in `X-Hub-Signature-256`, where 64 hex digits are wanted
        hint: the sender has no secret configured
        exit 2
        ");
        insta::assert_snapshot!(said(Some("gitlab"), &[], "{}"), @"
        refused with 404 Not Found: nothing is served at `/webhook/gitops/gitlab`
        exit 2
        ");
        insta::assert_snapshot!(said(None, &["Authorization: x", "no header"], "{}"), @"error: `--header` number 2 is not of the form `Name: value`");
    }
}
