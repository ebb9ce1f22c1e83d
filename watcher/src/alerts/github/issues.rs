//! The issues: one for each rule of this host with open findings, kept up to date, closed when all of them healed.
//!
//! GitHub is what is remembered: each issue bears in a comment which host and rule it is about and which findings it
//! shows. So nothing is opened twice after a crash, and what a person closed stays closed until there is something new.

use std::{collections::BTreeMap, time::Duration};

use hyper::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Github, shortened};
use crate::{
    alerts::{
        message::{Letterhead, advice, link},
        patience::Answer,
        render::{by, clean, value},
    },
    model::{Finding, What},
};

/// The label of all of them.
const LABEL: &str = "driftd";

/// The longest label (docs.github.com, "Create a label").
const LONGEST_LABEL: usize = 50;

/// How many issues are asked for at once, and how often: a host with more rules that depart at once needs no issues.
const PAGE: usize = 100;
const PAGES: usize = 5;

/// How many findings an issue shows.
const SHOWN: usize = 50;

/// How long the rows and commands of an issue may become, in bytes. GitHub takes a text of 65,536 characters at the most
/// (docs.github.com, "Create an issue"); what is left is for the mark and the words around them.
const ROOM: usize = 48_000;

/// The longest cell, in characters: a value may be as long as it likes.
const CELL: usize = 200;

/// How many findings a mark names.
const NAMED: usize = 200;

/// The longest title (docs.github.com, "Create an issue").
const TITLE: usize = 256;

/// How long between two writes (docs.github.com, "Best practices for using the REST API").
const PACE: Duration = Duration::from_secs(1);

const BEGIN: &str = "<!-- driftd ";
const END: &str = " -->";

/// What an issue is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    server: String,
    rule: String,
    /// None when all healed.
    findings: Vec<String>,
    /// Where there are more than it names: when the last of all of them opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Mark {
    fn of(group: &[&Finding], rule: &str, head: &Letterhead) -> Mark {
        let until = group.iter().map(|finding| finding.opened).max().filter(|_| group.len() > NAMED);
        Mark {
            server: head.server.to_string(),
            rule: rule.to_owned(),
            findings: group.iter().take(NAMED).map(|finding| finding.finding.to_string()).collect(),
            until,
        }
    }

    /// Whether the issue was about this finding when it was written.
    fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|named| **named == *finding.finding.0)
            || self.until.is_some_and(|until| finding.opened <= until)
    }
}

/// An issue as GitHub has it.
#[derive(Deserialize)]
struct Issue {
    number: u64,
    state: String,
    body: Option<String>,
    pull_request: Option<Value>,
}

impl Github {
    /// Has the issues say what these findings say.
    pub async fn keep(&self, findings: &[&Finding], head: &Letterhead) -> Answer {
        match self.reconcile(findings, head).await {
            Ok(()) => Answer::Taken,
            Err(answer) => answer,
        }
    }

    async fn reconcile(&self, findings: &[&Finding], head: &Letterhead) -> Result<(), Answer> {
        let mut open: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            open.entry(&finding.rule).or_default().push(finding);
        }
        let label = label(&head.server);
        let mut writes = Vec::new();
        for (issue, mark) in self.issues(&label, head).await? {
            let is_open = issue.state == "open";
            match open.remove(&*mark.rule) {
                Some(group) => {
                    let body = body(&group, head);
                    let news = group.iter().any(|finding| !mark.has(finding));
                    if is_open && issue.body.as_deref().map(normal) != Some(normal(&body)) {
                        writes.push((Some(issue.number), json!({ "body": body })));
                    } else if !is_open && news {
                        writes.push((Some(issue.number), json!({ "state": "open", "body": body })));
                    }
                }
                None if is_open => {
                    let body = healed(&mark.rule, issue.body.as_deref().unwrap_or_default(), head);
                    let body = json!({ "state": "closed", "state_reason": "completed", "body": body });
                    writes.push((Some(issue.number), body));
                }
                None => {}
            }
        }
        for (rule, group) in open {
            let title = clean(&format!("{}: the kernel departs from `{rule}`", head.server));
            let issue = json!({
                "title": shortened(&title, TITLE),
                "body": body(&group, head),
                "labels": [LABEL, label],
            });
            writes.push((None, issue));
        }
        let mut refused = None;
        for (at, (number, body)) in writes.iter().enumerate() {
            if at > 0 {
                sleep(PACE).await;
            }
            let written = match number {
                Some(number) => {
                    self.call::<Value>(Method::PATCH, &format!("/issues/{number}"), Some(body)).await
                }
                None => self.call::<Value>(Method::POST, "/issues", Some(body)).await,
            };
            match written {
                Ok(_) => {}
                // What is wrong with one is nothing to the others.
                Err(Answer::Refused(why)) => drop(refused.get_or_insert(Answer::Refused(why))),
                Err(later) => return Err(later),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The issues of this host, the last one first; of a rule with several, that one.
    async fn issues(&self, label: &str, head: &Letterhead) -> Result<Vec<(Issue, Mark)>, Answer> {
        let mut found: Vec<(Issue, Mark)> = Vec::new();
        for page in 1..=PAGES {
            let query = form_urlencoded::Serializer::new("?state=all&sort=updated".to_owned())
                .append_pair("labels", label)
                .append_pair("per_page", &PAGE.to_string())
                .append_pair("page", &page.to_string())
                .finish();
            let issues: Vec<Issue> = self.call(Method::GET, &format!("/issues{query}"), None).await?;
            let last = issues.len() < PAGE;
            for issue in issues {
                let mark = issue.body.as_deref().and_then(mark).filter(|mark| mark.server == *head.server);
                if let (Some(mark), None) = (mark, &issue.pull_request)
                    && !found.iter().any(|(_, earlier)| earlier.rule == mark.rule)
                {
                    found.push((issue, mark));
                }
            }
            if last {
                break;
            }
        }
        Ok(found)
    }
}

/// The label of a host.
fn label(server: &str) -> String {
    format!("{LABEL}: {server}").replace(',', "_").chars().take(LONGEST_LABEL).collect()
}

/// The mark in a text.
fn mark(body: &str) -> Option<Mark> {
    let (_, rest) = body.split_once(BEGIN)?;
    let (mark, _) = rest.split_once(END)?;
    serde_json::from_str(mark).ok()
}

fn marked(mark: &Mark) -> String {
    // In JSON a `>` may stand as its number, so that no name ends the comment.
    let mark = json!(mark).to_string().replace('>', "\\u003e");
    format!("{BEGIN}{mark}{END}")
}

/// A text as it is compared: GitHub ends lines as it likes.
fn normal(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end().to_owned()
}

/// What an issue says of open findings of one rule, as far as there is room for it.
fn body(group: &[&Finding], head: &Letterhead) -> String {
    let (rule, expected_by) = group
        .first()
        .map_or(("", String::new()), |finding| (&*finding.rule, finding.declared_by.to_string()));
    let (mut rows, mut commands, mut shown) = (String::new(), String::new(), 0);
    for finding in group.iter().take(SHOWN) {
        let (row, command) = (row(finding, head), command(finding));
        if rows.len() + commands.len() + row.len() + command.len() > ROOM {
            break;
        }
        rows += &row;
        commands += &command;
        shown += 1;
    }
    let more = match group.len() - shown {
        0 => String::new(),
        more => format!("\nand {more} more: `driftd status --format json` has all\n"),
    };
    format!(
        "{}\nOn {} the kernel departs from the rule {} ({}).\n\n\
         | key | live | expected | since | by | commit |\n|---|---|---|---|---|---|\n{rows}{more}\n{commands}\n\
         This issue is kept by driftd, and closed when all is as declared.",
        marked(&Mark::of(group, rule, head)),
        code(&head.server),
        code(rule),
        code(&expected_by),
    )
}

/// A finding in the table.
fn row(finding: &Finding, head: &Letterhead) -> String {
    let what = What::Finding(Box::new(finding.clone()));
    let commit = finding.commit.as_ref().map_or("-".into(), |commit| match link(&what, head) {
        Some(link) => format!("[{}]({link})", code(commit.short())),
        None => code(commit.short()),
    });
    format!(
        "| {} | {} | {} | {:.0} | {} | {commit} |\n",
        code(&finding.key.to_string()),
        code(value(finding.actual.as_ref())),
        code(&finding.expected),
        finding.opened,
        code(&by(finding.writer.as_ref(), finding.seen_by)),
    )
}

/// What can be done about a finding. A command is whole, or not there.
fn command(finding: &Finding) -> String {
    let advice = advice(finding);
    let commands = [("revert", advice.revert), ("adopt", advice.adopt), ("more", Some(advice.look))];
    let commands = commands.into_iter().filter_map(|(name, command)| Some((name, command?)));
    let named: Vec<_> = commands.map(|(name, command)| format!("{name}: {}", quoted(&command))).collect();
    format!("- {}\n", named.join("; "))
}

/// What an issue says when all healed: that, and below it what it said.
fn healed(rule: &str, before: &str, head: &Letterhead) -> String {
    let before = before.split_once(END).map_or("", |(_, rest)| rest);
    format!("{}\nHealed: all is as declared. Before:\n{}", marked(&Mark::of(&[], rule, head)), normal(before))
}

/// A text of others, as code, as far as it fits into a cell.
fn code(text: &str) -> String {
    quoted(&shortened(text, CELL))
}

/// A text of others, as code: nothing in it is a mention, a link or the end of a cell.
fn quoted(text: &str) -> String {
    let text = clean(text).replace('`', "'").replace('|', "\\|");
    format!("`{text}`")
}
