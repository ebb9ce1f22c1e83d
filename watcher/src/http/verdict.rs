//! The verdict, for who delivered: what is asked at `/api/v1/deployments/ID`, and how it is answered, as JSON or as the
//! table that a pipeline puts into its summary.
//!
//! Nothing here knows a verdict: it is asked for with a reply channel. Nothing here decides who may ask.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Serialize;
use tokio::sync::oneshot;

use super::answer::{Answer, json};
use crate::model::{DeploymentId, DeploymentStatus, Finding, Known, Revision, Verdict, VerdictStatus};

/// The path above all deployments.
const PATH: &str = "/api/v1/deployments/";

/// The longest name of a deployment that is looked for, in bytes: one of ours has 36.
const NAME: usize = 64;

/// How many lines a table has at the most: summaries have an end, and nobody reads on.
const LINES: usize = 100;

/// Somebody asks what is known of a deployment.
#[derive(Debug)]
pub struct Question {
    /// Which.
    pub deployment: DeploymentId,
    /// Who asks, by credentials: of what others delivered nothing is known.
    pub credentials: Vec<Box<str>>,
    /// Takes the answer; `None` where there is no such deployment of theirs. Dropped, it could not be looked for.
    pub reply: oneshot::Sender<Option<Known>>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For programs.
    Json,
    /// For people, in a pipeline's summary and in its log.
    Markdown,
}

impl Form {
    /// What the caller asks for. JSON, but where it wants Markdown and says so in so many words.
    pub fn wanted(headers: &HeaderMap) -> Form {
        match headers.get(ACCEPT) {
            Some(wanted) if wanted == "text/markdown" => Form::Markdown,
            _ => Form::Json,
        }
    }
}

/// Where the verdict on a deployment is.
pub fn path(deployment: &DeploymentId) -> String {
    format!("{PATH}{deployment}")
}

/// The deployment that a path is about; `None` where it is about none.
pub fn asked(path: &str) -> Option<DeploymentId> {
    let name = path.strip_prefix(PATH)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    ((1..=NAME).contains(&name.len()) && name.bytes().all(fits)).then(|| DeploymentId(name.into()))
}

/// What is answered where there is no verdict.
#[derive(Serialize)]
struct NoVerdict<'a> {
    deployment: &'a DeploymentId,
    commit: &'a Revision,
    status: &'static str,
}

/// What is known, with the status that says it in a number: 200 and 409 are verdicts, 202 is none yet, and 409 also
/// says that none comes, because the deployment is over and is not in force.
pub fn answer(deployment: &DeploymentId, known: &Known, form: Form) -> Answer {
    let status = match (known.status, &known.verdict) {
        (DeploymentStatus::Finished, Some(verdict)) => return of(verdict, form),
        (DeploymentStatus::Started | DeploymentStatus::Finished, _) => StatusCode::ACCEPTED,
        (DeploymentStatus::Failed | DeploymentStatus::TimedOut, _) => StatusCode::CONFLICT,
    };
    let word = known.status.as_str();
    match form {
        Form::Json => json(status, &NoVerdict { deployment, commit: &known.commit, status: word }),
        Form::Markdown => {
            markdown(status, format!("### driftd: {} {word}, no verdict\n", code(known.commit.as_str())))
        }
    }
}

/// A verdict. Its status makes `curl -f` fail a job whose deployment did not come into force.
pub fn of(verdict: &Verdict, form: Form) -> Answer {
    let status = match verdict.status {
        VerdictStatus::Synced => StatusCode::OK,
        VerdictStatus::OutOfSync => StatusCode::CONFLICT,
    };
    match form {
        Form::Json => json(status, verdict),
        Form::Markdown => markdown(status, table(verdict)),
    }
}

fn markdown(status: StatusCode, text: String) -> Answer {
    let mut answer = json(status, &());
    *answer.body_mut() = Full::new(Bytes::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"));
    answer
}

/// The verdict as a heading, a sentence and a table of what is not as it should be.
fn table(verdict: &Verdict) -> String {
    let Verdict { deployment, commit, status, keys, findings, held, unreadable, .. } = verdict;
    let mut text = format!("### driftd: {} {}\n\n", code(commit.as_str()), status.as_str());
    let findings_open = if findings.len() == 1 { "finding" } else { "findings" };
    let count = findings.len();
    let _ = writeln!(
        text,
        "{keys} keys compared, {count} {findings_open} open. Deployment {}.",
        code(&deployment.0)
    );
    let held = held
        .iter()
        .map(|key| line(&[&code(&key.to_string()), "", "", "another deployment is under way", ""]));
    let unreadable =
        unreadable.iter().map(|key| line(&[&code(&key.to_string()), "", "", "it cannot be read", ""]));
    let mut lines = findings.iter().map(finding).chain(held).chain(unreadable).peekable();
    if lines.peek().is_none() {
        return text;
    }
    text += "\n| key | expected | in force | why | by |\n|---|---|---|---|---|\n";
    text.extend(lines.by_ref().take(LINES));
    match lines.count() {
        0 => {}
        more => {
            let _ = writeln!(text, "\nand {more} more");
        }
    }
    text
}

fn finding(finding: &Finding) -> String {
    let actual = finding.actual.as_ref().map_or_else(|| "absent".to_owned(), |value| code(value.as_str()));
    let by = finding.writer.as_ref().map_or_else(
        || "unattributed".to_owned(),
        |writer| format!("{} (pid {}, uid {})", code(&writer.comm), writer.pid, writer.uid),
    );
    let key = code(&finding.key.to_string());
    line(&[&key, &code(&finding.expected), &actual, finding.cause.as_str(), &by])
}

fn line(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A text in which nothing means anything: values and names come from whoever wrote them.
fn code(text: &str) -> String {
    let mut code = String::from("`");
    for c in text.chars() {
        match c {
            // Nothing closes the span but the end of it.
            '`' => code.push('\''),
            // Even there it would end the cell.
            '|' => code.push_str("\\|"),
            c if c.is_control() => code.push(' '),
            c => code.push(c),
        }
    }
    // A span of nothing is two backticks that somebody else's might close.
    if text.is_empty() {
        code.push(' ');
    }
    code.push('`');
    code
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn verdict(status: VerdictStatus) -> Verdict {
        serde_json::from_value(json!({
            "deployment": "0198", "commit": "a1b2c3", "app": null, "status": status, "keys": 3, "findings": []
        }))
        .unwrap()
    }

    fn departing() -> Verdict {
        let finding = |key: &str, actual: Option<&str>, comm: Option<&str>| {
            json!({
                "finding": "1", "state": "opened", "key": key, "rule": "r", "severity": "warning", "expected": "10",
                "actual": actual, "previous": null, "requested": null, "commit": null, "declared_commit": null,
                "declared_by": {"file": "f", "line": 1}, "cause": "changed after the deploy",
                "writer": comm.map(|comm| json!({
                    "pid": 7, "tid": 7, "comm": comm, "uid": 0, "login_uid": null, "session_id": null,
                    "parent_pid": 1, "parent_comm": "init", "cgroup_id": 1
                })),
                "seen_by": "sweep", "deployment": null, "opened": "2026-01-31T12:00:00Z", "healed": null
            })
        };
        Verdict {
            findings: serde_json::from_value(json!([
                finding("vm.swappiness", Some("60"), Some("sysctl")),
                finding("kernel.core_pattern", Some("|/bin/`x` <b>\n## hi"), Some("a|b")),
                finding("net.ipv4.conf.eth0.rp_filter", None, None),
            ]))
            .unwrap(),
            held: vec!["vm.dirty_ratio".parse().unwrap()],
            unreadable: vec!["vm.overcommit_ratio".parse().unwrap()],
            ..verdict(VerdictStatus::OutOfSync)
        }
    }

    async fn said(answer: Answer) -> String {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        format!(
            "{} {}\n{}",
            head.status.as_u16(),
            head.headers[CONTENT_TYPE].to_str().unwrap(),
            std::str::from_utf8(&body).unwrap()
        )
    }

    #[tokio::test]
    async fn a_person_reads_what_departs_in_a_table_that_no_value_can_break() {
        insta::assert_snapshot!(said(of(&departing(), Form::Markdown)).await, @r"
        409 text/markdown; charset=utf-8
        ### driftd: `a1b2c3` OUT_OF_SYNC

        3 keys compared, 3 findings open. Deployment `0198`.

        | key | expected | in force | why | by |
        |---|---|---|---|---|
        | `vm.swappiness` | `10` | `60` | changed after the deploy | `sysctl` (pid 7, uid 0) |
        | `kernel.core_pattern` | `10` | `\|/bin/'x' <b> ## hi` | changed after the deploy | `a\|b` (pid 7, uid 0) |
        | `net.ipv4.conf.eth0.rp_filter` | `10` | absent | changed after the deploy | unattributed |
        | `vm.dirty_ratio` |  |  | another deployment is under way |  |
        | `vm.overcommit_ratio` |  |  | it cannot be read |  |
        ");
        insta::assert_snapshot!(said(of(&verdict(VerdictStatus::Synced), Form::Markdown)).await, @r"
        200 text/markdown; charset=utf-8
        ### driftd: `a1b2c3` SYNCED

        3 keys compared, 0 findings open. Deployment `0198`.
        ");
    }

    #[tokio::test]
    async fn a_long_table_ends() {
        let mut verdict = departing();
        verdict.unreadable = vec!["vm.overcommit_ratio".parse().unwrap(); LINES];
        let text = said(of(&verdict, Form::Markdown)).await;
        assert!(text.ends_with("|\n\nand 4 more\n"), "{text}");
    }

    #[tokio::test]
    async fn what_is_known_is_told_by_the_status() {
        let known = |status, verdict| Known { commit: "a1b2c3".parse().unwrap(), status, verdict };
        let verdict = |status| Some(verdict(status));
        use DeploymentStatus::{Failed, Finished, Started, TimedOut};
        for (known, wanted) in [
            (known(Finished, verdict(VerdictStatus::Synced)), 200),
            (known(Finished, verdict(VerdictStatus::OutOfSync)), 409),
            (known(Finished, None), 202),
            (known(Started, None), 202),
            // That of the time before: the deployment began once more.
            (known(Started, verdict(VerdictStatus::Synced)), 202),
            (known(Failed, None), 409),
            (known(TimedOut, None), 409),
        ] {
            for form in [Form::Json, Form::Markdown] {
                let status = answer(&DeploymentId("0198".into()), &known, form).status();
                assert_eq!(status.as_u16(), wanted, "{known:?}");
            }
        }
        insta::assert_snapshot!(
            said(answer(&DeploymentId("0198".into()), &known(Failed, None), Form::Json)).await, @r#"
        409 application/json
        {"deployment":"0198","commit":"a1b2c3","status":"failed"}
        "#
        );
        insta::assert_snapshot!(
            said(answer(&DeploymentId("0198".into()), &known(Started, None), Form::Markdown)).await, @r"
        202 text/markdown; charset=utf-8
        ### driftd: `a1b2c3` started, no verdict
        "
        );
    }

    #[test]
    fn only_a_name_that_could_be_one_is_looked_for() {
        let id = "0198c0de-0000-7000-8000-000000000000";
        assert_eq!(asked(&format!("/api/v1/deployments/{id}")), Some(DeploymentId(id.into())));
        for other in ["", "/", "/a/b", "/a%20b", "/../status", &"x".repeat(NAME + 1)] {
            assert_eq!(asked(&format!("/api/v1/deployments{other}")), None, "{other}");
        }
        assert_eq!(asked(&format!("/api/v1/deployments/{}", "x".repeat(NAME + 1))), None);
    }

    #[test]
    fn markdown_is_for_who_asks_for_it_in_so_many_words() {
        let wanted = |accept: &'static str| {
            Form::wanted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(wanted("text/markdown"), Form::Markdown);
        for other in ["*/*", "application/json", "text/html, text/markdown"] {
            assert_eq!(wanted(other), Form::Json, "{other}");
        }
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Json);
    }
}
