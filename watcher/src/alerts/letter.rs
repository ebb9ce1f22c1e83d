//! Messages as a person reads them, in plain text: what departs, since when, under which commit, and the commands that put
//! it right. For mail and Slack alike.

use std::fmt::Write;

use super::{
    message::{Letterhead, advice, link, look},
    render::{clean, message, value},
};
use crate::{
    model::{Cause, Finding, FindingState, Healing, Verdict, VerdictStatus, What, in_short},
    store::Message,
};

/// How many findings of a verdict are in its table.
const SHOWN: usize = 50;

/// The longest subject, in characters: one line of most mail programs.
const SUBJECT: usize = 120;

/// What is said first.
pub fn subject(sent: &[Message], head: &Letterhead) -> String {
    let server = &head.server;
    let text = match sent {
        [one] => format!("{server}: {}", short(one)),
        _ => {
            let count = |kind: fn(&What) -> bool| sent.iter().filter(|one| kind(&one.row.entry.what)).count();
            let opened = count(|what| matches!(what, What::Finding(f) if f.state == FindingState::Opened));
            let healed = count(|what| matches!(what, What::Finding(f) if f.state == FindingState::Healed));
            let others = sent.len() - opened - healed;
            let said: Vec<_> = [(opened, "opened"), (healed, "healed"), (others, "more")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            format!("{server}: {}", said.join(", "))
        }
    };
    let text = clean(&text);
    match text.chars().count() > SUBJECT {
        true => text.chars().take(SUBJECT - 1).chain(['…']).collect(),
        false => text,
    }
}

fn short(sent: &Message) -> String {
    match &sent.row.entry.what {
        What::Finding(finding) => {
            let Finding { severity, key, actual, expected, state, cause, .. } = &**finding;
            let actual = value(actual.as_ref());
            match state {
                FindingState::Healed => format!("{}: {key} is {actual}", over(finding)),
                FindingState::Opened => {
                    let (still, severity) =
                        (if sent.reminder > 0 { "still " } else { "" }, severity.as_str());
                    match cause {
                        Cause::Fight => {
                            format!("{still}{severity}: two fight over {key}, expected {expected}")
                        }
                        _ => format!("{still}{severity}: {key} is {actual}, expected {expected}"),
                    }
                }
            }
        }
        What::Verdict(verdict) => {
            let (commit, status) = (verdict.commit.short(), verdict.status.as_str());
            format!("{commit} {status}: {} findings open", verdict.findings.len())
        }
        what => message(what),
    }
}

/// All of them.
pub fn letter(sent: &[Message], head: &Letterhead) -> String {
    let paragraphs: Vec<_> = sent.iter().map(|one| paragraph(one, head)).collect();
    paragraphs.join("\n\n") + "\n"
}

/// One of them: a sentence, and what is to be known and done besides, each on a line.
pub fn paragraph(sent: &Message, head: &Letterhead) -> String {
    let what = &sent.row.entry.what;
    let mut text = match what {
        What::Verdict(verdict) => table(verdict),
        what => sentence(sent, what),
    };
    let mut line = |name: &str, said: &str| {
        let _ = write!(text, "\n  {name:<9}{}", clean(said));
    };
    if let What::Finding(finding) = what {
        line("since", &format!("{:.0}", finding.opened));
        if let Some(healed) = finding.healed {
            line("healed", &format!("{healed:.0}"));
        }
    }
    let of: Vec<&str> =
        [&sent.beneath.app, &sent.beneath.environment].into_iter().flatten().map(String::as_str).collect();
    if !of.is_empty() {
        line("deployed", &of.join(" in "));
    }
    if let Some(link) = link(what, head) {
        line("commit", &link);
    }
    match what {
        What::Finding(finding) if finding.state == FindingState::Opened => {
            let advice = advice(finding);
            if let Some(revert) = &advice.revert {
                line("revert", revert);
            }
            if let Some(adopt) = &advice.adopt {
                line("adopt", adopt);
            }
            line("more", &advice.look);
        }
        _ => line("more", &look(what)),
    }
    text
}

fn sentence(sent: &Message, what: &What) -> String {
    let first = match (what, sent.reminder) {
        (What::Finding(finding), _) if finding.state == FindingState::Healed => {
            format!("{}: ", over(finding))
        }
        (_, 0) => String::new(),
        _ => "still ".into(),
    };
    let flaps = sent.flaps.as_ref().map_or(String::new(), |flaps| clean(&format!("; {flaps}")));
    format!("{first}{}{flaps}", message(what))
}

/// In which way a finding is over, in a word.
fn over(finding: &Finding) -> &'static str {
    match finding.healing {
        Some(Healing::Adopted) => "adopted",
        Some(Healing::InSync | Healing::Undeclared) | None => "healed",
    }
}

/// A verdict with the table of what departs.
fn table(verdict: &Verdict) -> String {
    let Verdict { commit, status, keys, findings, held, unreadable, broken, .. } = verdict;
    let mut text = match status {
        VerdictStatus::Synced => {
            format!("{} {}: {keys} keys are as declared", commit.short(), status.as_str())
        }
        VerdictStatus::OutOfSync => {
            format!("{} {}: {} of {keys} keys depart", commit.short(), status.as_str(), findings.len())
        }
    };
    let cells = |finding: &Finding| {
        [finding.key.to_string(), value(finding.actual.as_ref()).to_owned(), finding.expected.clone()]
            .map(|cell| clean(&cell))
    };
    let rows: Vec<_> = findings.iter().take(SHOWN).map(cells).collect();
    let header = ["key", "live", "expected"].map(str::to_owned);
    let widths = [0, 1].map(|at| {
        let all = rows.iter().chain([&header]).filter_map(|row| row.get(at));
        all.map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    if !rows.is_empty() {
        for [key, live, expected] in [&header].into_iter().chain(&rows) {
            let [first, second] = widths;
            let _ = write!(text, "\n  {key:<first$}  {live:<second$}  {expected}");
        }
    }
    if let Some(more) = findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more");
    }
    let waits = held.iter().map(|key| format!("{key} departs, and waits for the end of another deployment"));
    let unread = unreadable.iter().map(|key| format!("{key} cannot be read"));
    let broken = broken.iter().map(|why| format!("what is declared stays as it was: {}", in_short(why)));
    for line in waits.chain(unread).take(SHOWN).chain(broken) {
        let _ = write!(text, "\n  {}", clean(&line));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        model::{Beneath, Flaps},
        store::Row,
    };

    fn head() -> Letterhead {
        Letterhead { server: "web-01".into(), commit_link: Some("https://git.example.org/{commit}".into()) }
    }

    fn sent(entry: Value) -> Message {
        Message {
            id: "msg_1".into(),
            row: Row { number: 1, entry: serde_json::from_value(entry).unwrap() },
            beneath: Beneath { app: Some("web".into()), environment: Some("production".into()), repo: None },
            tries: 0,
            since: "2026-08-01T10:20:00Z".parse().unwrap(),
            orphaned: false,
            reminder: 0,
            flaps: None,
            burst: false,
        }
    }

    fn finding(state: &str, key: &str, wanted: Option<&str>) -> Value {
        json!({
            "time": "2026-08-01T10:20:00Z", "kind": "finding", "finding": "f1", "state": state, "key": key,
            "rule": "r", "severity": "warning", "expected": wanted.unwrap_or("10"), "wanted": wanted, "actual": "61", "previous": null,
            "requested": null, "commit": "a1b2c3", "declared_commit": null,
            "declared_by": { "file": "/etc/driftd.yaml", "line": 7 }, "cause": "changed after the deploy",
            "writer": null, "seen_by": "sweep", "deployment": "d1", "opened": "2026-08-01T10:15:00Z",
            "healed": (state == "healed").then_some("2026-08-01T10:20:00Z"),
        })
    }

    #[test]
    fn several_are_counted_in_the_subject_and_each_has_its_paragraph() {
        let flaps = Flaps { opened: 4, writers: vec!["sysctl".into(), "tuned".into()] };
        let open = Message { flaps: Some(flaps), ..sent(finding("opened", "link.eth0.mtu", Some("1500"))) };
        let still =
            Message { reminder: 1, ..sent(finding("opened", "/sys/kernel/mm/ksm/run", Some("a 'b'"))) };
        let all = [open, still, sent(finding("healed", "vm.swappiness", Some("10")))];
        insta::assert_snapshot!(subject(&all, &head()), @"web-01: 2 opened, 1 healed");
        insta::assert_snapshot!(subject(&all[1..2], &head()), @"web-01: still warning: /sys/kernel/mm/ksm/run is 61, expected a 'b'");
        insta::assert_snapshot!(letter(&all, &head()), @r#"
        warning: link.eth0.mtu is 61, expected 1500 (rule r, /etc/driftd.yaml:7); changed after the deploy; unattributed, seen by sweep, under commit a1b2c3; flaps: opened 4 times within ten minutes, written in turn by tuned and sysctl
          since    2026-08-01T10:15:00Z
          deployed web in production
          commit   https://git.example.org/a1b2c3
          revert   ip link set dev eth0 mtu 1500
          adopt    driftd adopt link.eth0.mtu --format patch
          more     driftd history link.eth0.mtu

        still warning: /sys/kernel/mm/ksm/run is 61, expected a 'b' (rule r, /etc/driftd.yaml:7); changed after the deploy; unattributed, seen by sweep, under commit a1b2c3
          since    2026-08-01T10:15:00Z
          deployed web in production
          commit   https://git.example.org/a1b2c3
          revert   echo 'a '\''b'\''' > /sys/kernel/mm/ksm/run
          adopt    driftd adopt /sys/kernel/mm/ksm/run --format patch
          more     driftd history /sys/kernel/mm/ksm/run

        healed: vm.swappiness is 61, expected 10 (rule r)
          since    2026-08-01T10:15:00Z
          healed   2026-08-01T10:20:00Z
          deployed web in production
          commit   https://git.example.org/a1b2c3
          more     driftd history vm.swappiness
        "#);
    }

    #[test]
    fn a_fight_is_told_with_both_who_fight() {
        let mut fight = finding("opened", "vm.swappiness", Some("10"));
        fight["cause"] = json!("fight");
        fight["detail"] = json!("tuned (pid 7, uid 0) writes 61, and sysctl (pid 8, uid 0) writes 10");
        let fight = [sent(fight)];
        insta::assert_snapshot!(subject(&fight, &head()), @"web-01: warning: two fight over vm.swappiness, expected 10");
        insta::assert_snapshot!(letter(&fight, &head()), @r"
        warning: two fight over vm.swappiness, expected 10 (rule r, /etc/driftd.yaml:7): tuned (pid 7, uid 0) writes 61, and sysctl (pid 8, uid 0) writes 10; it is 61 now; seen by sweep, under commit a1b2c3
          since    2026-08-01T10:15:00Z
          deployed web in production
          commit   https://git.example.org/a1b2c3
          revert   sysctl -w vm.swappiness=10
          adopt    driftd adopt vm.swappiness --format patch
          more     driftd history vm.swappiness
        ");
    }

    #[test]
    fn what_was_adopted_is_told_as_that_and_not_as_put_right() {
        let mut adopted = finding("healed", "vm.swappiness", Some("10"));
        adopted["healing"] = json!("adopted");
        let adopted = [sent(adopted)];
        insta::assert_snapshot!(subject(&adopted, &head()), @"web-01: adopted: vm.swappiness is 61");
        let text = letter(&adopted, &head());
        insta::assert_snapshot!(text.lines().next().unwrap(), @"adopted: vm.swappiness is 61, which is expected of it until the next deployment (rule r expected 10)");
    }

    #[track_caller]
    fn check_adopt(key: &str, more: &Value, wanted: Option<&str>) {
        let mut json = finding("opened", key, Some("10"));
        for (name, value) in more.as_object().unwrap() {
            json[name] = value.clone();
        }
        let What::Finding(finding) = sent(json).row.entry.what else { panic!("it is a finding") };
        assert_eq!(advice(&finding).adopt.as_deref(), wanted, "{key} {more}");
    }

    #[test]
    fn the_command_that_adopts_is_one_that_does() {
        let (patch, accept) =
            ("driftd adopt vm.swappiness --format patch", "driftd adopt vm.swappiness --accept");
        check_adopt("vm.swappiness", &json!({}), Some(patch));
        // Captured, or declared by a message or from Git: there is no line of this host's to change.
        check_adopt("vm.swappiness", &json!({ "declared_commit": "a1b2c3" }), Some(accept));
        // No one value is declared.
        check_adopt("vm.swappiness", &json!({ "expected": "one of 10, 20" }), Some(accept));
        check_adopt("vm.swappiness", &json!({ "expected": "at least 10", "wanted": null }), Some(accept));
        let moving = json!({ "expected": "at least 10 kB", "wanted": null });
        check_adopt("/proc/meminfo:MemAvailable", &moving, None);
        check_adopt("net.ipv6.conf.all.stable_secret", &json!({}), None);
        check_adopt("vm.swappiness", &json!({ "actual": null }), None);
    }

    #[test]
    fn no_command_is_offered_that_names_a_program_or_shows_a_secret() {
        for (key, wanted) in [
            ("kernel.core_pattern", "|/tmp/evil"),
            ("kernel.modprobe", "/tmp/evil"),
            ("net.ipv6.conf.all.stable_secret", "(secret)"),
            ("vm.swappiness", "10\n; rm -rf /"),
        ] {
            let text = letter(&[sent(finding("opened", key, Some(wanted)))], &head());
            assert!(!text.contains("  revert"), "{text}");
        }
    }

    #[test]
    fn a_verdict_has_the_table_of_what_departs() {
        let findings = ["vm.swappiness", "net.ipv4.tcp_syncookies"].map(|key| finding("opened", key, None));
        let verdict = json!({
            "time": "2026-08-01T10:20:00Z", "kind": "verdict", "deployment": "d1", "commit": "a1b2c3", "app": "web",
            "status": "OUT_OF_SYNC", "keys": 3, "findings": findings, "unreadable": ["vm.dirty_ratio"],
        });
        insta::assert_snapshot!(letter(&[sent(verdict)], &head()), @r#"
        a1b2c3 OUT_OF_SYNC: 2 of 3 keys depart
          key                      live  expected
          vm.swappiness            61    10
          net.ipv4.tcp_syncookies  61    10
          vm.dirty_ratio cannot be read
          deployed web in production
          commit   https://git.example.org/a1b2c3
          more     driftd deployments d1
        "#);
    }
}
