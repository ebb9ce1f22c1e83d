//! Many writes of one key as fast as one process can: what of them is recorded, gathered and counted as lost, when the
//! state is right again, and how large driftd becomes.

use std::time::Instant;

use driftd_tests::host::Sysctl;
use serde_json::Value;

use crate::{
    Asked, KEY,
    cost::writer,
    daemon::Home,
    figures::{nanos, tell},
};

/// No write but the last departs from what is declared.
const MOST: u32 = 1000;
const LAST: &str = "2000";

/// Measures.
pub fn measure(asked: &Asked) {
    burst("burst", 20_000, asked);
    burst("flood", asked.times(1_000_000, 100_000), asked);
}

fn burst(name: &str, times: usize, asked: &Asked) {
    let key = Sysctl::of(KEY);
    let home = Home::new(asked.plan(), &format!("  burst: {{ keys: {KEY}, max: {MOST} }}\n"));
    let mut daemon = home.start();
    daemon.swept();
    let rss = daemon.kib("VmRSS");
    let mut told = Told::default();

    let began = Instant::now();
    let output = writer(key.path(), times).output().expect("this program can be started again");
    assert!(output.status.success(), "the writer failed: {output:?}");
    let wrote = began.elapsed();
    key.write(LAST);
    let written = Instant::now();
    let (changed, _) = daemon.wait_for("the last change", |line| {
        told.take(line);
        line["kind"] == "change" && line["actual"] == LAST
    });
    let (opened, _) = daemon.wait_for("the finding", |line| {
        told.take(line);
        line["kind"] == "finding" && line["state"] == "opened" && line["actual"] == LAST
    });
    let peak = daemon.kib("VmHWM");
    // What still gathers is told at the end.
    daemon.stop().2.iter().for_each(|line| told.take(line));

    tell(&format!("{name}.writes"), times as f64 + 1.0);
    tell(&format!("{name}.wrote_ns"), nanos(wrote));
    tell(&format!("{name}.changed_ns"), nanos(changed.saturating_duration_since(written)));
    tell(&format!("{name}.opened_ns"), nanos(opened.saturating_duration_since(written)));
    tell(&format!("{name}.entries"), told.entries);
    tell(&format!("{name}.confirmed"), told.confirmed);
    tell(&format!("{name}.lost"), told.lost);
    tell(&format!("{name}.rss_kib"), rss);
    tell(&format!("{name}.peak_rss_kib"), peak);
}

/// What the lines say of the key's writes.
#[derive(Default)]
struct Told {
    /// Changes and touches: each is a row of its own.
    entries: f64,
    /// The writes that these stand for.
    confirmed: f64,
    /// Records that were counted as lost.
    lost: f64,
}

impl Told {
    fn take(&mut self, line: &Value) {
        match line["kind"].as_str() {
            Some("change" | "touch") if line["key"] == KEY => {
                self.entries += 1.0;
                // What a sweep finds after a loss stands for writes that are counted there.
                if line["seen_by"] != "sweep" {
                    self.confirmed += line["writes"].as_f64().unwrap_or_default();
                }
            }
            Some("loss") => self.lost += line["count"].as_f64().unwrap_or_default(),
            _ => {}
        }
    }
}
