//! The metrics, in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/), under
//! its names for things (https://prometheus.io/docs/practices/naming/).
//!
//! Labels are words of our own, never what came from outside: the number of series has a bound. A series whose count is
//! zero is there from the start where its labels are few, so that a rate over it means something.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use jiff::Timestamp;
use strum::VariantArray;

use super::super::outcomes::{Outcome, Outcomes, Reason};
use crate::model::{Counters, DeploymentStatus, Severity, Status, SweepReason, TouchReason, VerdictStatus};

/// The type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of it. `delivered` is when the deployment that was delivered last came into force; `outcomes` are those of the
/// webhook, where there is one.
pub fn text(
    status: &Status,
    counters: &Counters,
    delivered: Option<Timestamp>,
    outcomes: Option<&Outcomes>,
) -> String {
    let mut page = Page::default();
    let watching = &status.watching;

    page.metric("build_info", "gauge", "The running driftd.");
    page.series(&[("version", &watching.version)], 1);
    page.metric(
        "watching_info",
        "gauge",
        "How writes of sysctls, changes of MTUs and rises of pressure are noticed.",
    );
    let pressure = watching.pressure.as_deref().unwrap_or("swept");
    page.series(&[("link", &watching.link), ("pressure", &pressure), ("sysctl", &watching.sysctl)], 1);
    page.one("start_time_seconds", "gauge", "When driftd started.", seconds(status.since));

    let synced = u8::from(status.status == VerdictStatus::Synced);
    page.one("in_sync", "gauge", "Whether all that is declared is in force.", synced);
    page.one("keys", "gauge", "Keys that are declared.", watching.keys);
    page.one("unreadable_keys", "gauge", "Declared keys that cannot be read.", status.unreadable.len());
    page.metric("findings_open", "gauge", "Findings that are open.");
    page.each("severity", Severity::VARIANTS, Severity::as_str, |severity| {
        status.findings.iter().filter(|finding| finding.severity == severity).count() as u64
    });
    page.metric("findings_opened_total", "counter", "Findings that opened.");
    page.each("severity", Severity::VARIANTS, Severity::as_str, counted(&counters.opened));
    page.one("findings_healed_total", "counter", "Findings that healed.", counters.healed);

    page.metric("remedies_total", "counter", "Remedies, by what was to be done and what became of it.");
    for ((act, outcome), count) in &counters.remedies {
        page.series(&[("outcome", &outcome.as_str()), ("remedy", &act.as_str())], count);
    }

    page.metric("changes_total", "counter", "Changes, by where and how they were noticed.");
    for ((surface, seen_by), count) in &counters.changes {
        page.series(&[("seen_by", &seen_by.as_str()), ("surface", &surface.as_str())], count);
    }
    page.metric("touches_total", "counter", "Writes that changed nothing.");
    page.each("reason", TouchReason::VARIANTS, TouchReason::as_str, counted(&counters.touches));
    page.one(
        "undeclared_writes_total",
        "counter",
        "Writes of keys that are not declared.",
        status.undeclared,
    );
    let foreign = "Writes of keys that belong to another namespace.";
    page.one("foreign_writes_total", "counter", foreign, status.foreign);
    page.one("losses_total", "counter", "How often something was missed.", status.losses);
    let blind = "Whether the probes see nothing now.";
    page.one("blind", "gauge", blind, u8::from(status.blind.is_some()));
    let broken = "Whether what is declared stays as it was, because something is wrong with what is new.";
    page.one("baseline_broken", "gauge", broken, u8::from(status.broken.is_some()));
    let recording = "Whether what happens can be recorded.";
    page.one("recording", "gauge", recording, u8::from(status.unrecorded.is_none()));

    page.metric("sweep_duration_seconds", "summary", "How long it takes to read every declared key.");
    page.named("sweep_duration_seconds_sum", &[], counters.swept_for.as_secs_f64());
    page.named("sweep_duration_seconds_count", &[], counters.sweeps.values().sum::<u64>());
    page.metric("sweeps_total", "counter", "Sweeps, by why they were made.");
    page.each("reason", SweepReason::VARIANTS, SweepReason::as_str, counted(&counters.sweeps));
    if let Some(last) = status.last_sweep {
        page.one("last_sweep_timestamp_seconds", "gauge", "When the last sweep ended.", seconds(last));
    }

    page.metric("deployments_total", "counter", "Phases of deployments that were delivered.");
    page.each("status", DeploymentStatus::VARIANTS, DeploymentStatus::as_str, counted(&counters.deployments));
    page.metric("verdicts_total", "counter", "Verdicts on deployments.");
    page.each("status", VerdictStatus::VARIANTS, VerdictStatus::as_str, counted(&counters.verdicts));
    if let Some(outcomes) = outcomes {
        webhook(&mut page, outcomes);
    }
    let window = "Whether a deployment is under way.";
    page.one("deploy_window_open", "gauge", window, u8::from(status.window.is_some()));
    if let Some(delivered) = delivered {
        let help = "When the deployment that was delivered last came into force.";
        page.one("deployment_timestamp_seconds", "gauge", help, seconds(delivered));
    }
    page.text
}

/// What became of the requests at the webhook.
fn webhook(page: &mut Page, outcomes: &Outcomes) {
    page.metric("webhook_requests_total", "counter", "Requests at the webhook that were served.");
    for outcome in Outcome::SERVED {
        page.series(&[("outcome", &outcome.as_str())], outcomes.of(outcome));
    }
    page.metric(
        "webhook_refused_total",
        "counter",
        "Requests and connections at the webhook that were refused.",
    );
    page.each("reason", Reason::VARIANTS, Reason::as_str, |reason| outcomes.of(Outcome::Refused(reason)));
}

/// What was counted of each; 0 where nothing was.
fn counted<L: Ord>(counts: &BTreeMap<L, u64>) -> impl Fn(L) -> u64 + '_ {
    |label| counts.get(&label).copied().unwrap_or(0)
}

/// Seconds since 1970, with their fraction.
fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

/// The text as it grows: metric after metric, each with its series.
#[derive(Default)]
struct Page {
    text: String,
    metric: String,
}

impl Page {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.metric = name.to_owned();
        let _ = writeln!(self.text, "# HELP driftd_{name} {help}\n# TYPE driftd_{name} {kind}");
    }

    /// A series of the metric that was begun last.
    fn series(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        let metric = std::mem::take(&mut self.metric);
        self.named(&metric, labels, value);
        self.metric = metric;
    }

    /// A series of it for each of our words.
    fn each<L: Copy>(
        &mut self,
        label: &str,
        all: &[L],
        word: fn(L) -> &'static str,
        count: impl Fn(L) -> u64,
    ) {
        for one in all {
            self.series(&[(label, &word(*one))], count(*one));
        }
    }

    fn named(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let label = |(name, value): &(&str, &dyn Display)| format!("{name}=\"{}\"", escaped(value));
        let labels = match labels {
            [] => String::new(),
            labels => format!("{{{}}}", labels.iter().map(label).collect::<Vec<_>>().join(",")),
        };
        let _ = writeln!(self.text, "driftd_{name}{labels} {value}");
    }

    /// A metric with one series.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.series(&[], value);
    }
}

fn escaped(value: &dyn Display) -> String {
    value.to_string().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}
