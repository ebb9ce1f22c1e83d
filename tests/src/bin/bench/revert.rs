//! From a finding to the value put back: from the moment that the finding says it opened, to the moment when whoever reads the
//! sysctl reads the expected value again. In between lie the commit of the finding with what is about to be written, the
//! comparison, and the write. Nothing settles here: that would be a wait that the rule asks for.

use std::{
    thread,
    time::{Duration, Instant},
};

use driftd_tests::host::{self, Sysctl};
use jiff::Timestamp;

use crate::{
    Asked, KEY,
    daemon::Home,
    figures::{nanos, quantile, tell},
};

/// Between two departures: long enough that what follows a remedy is over, and that the limit of the rule, a hundred in a
/// second, is not met.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for the value: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// Measures.
pub fn measure(asked: &Asked) {
    let key = Sysctl::of(KEY);
    let rule = format!(
        "  burst: {{ keys: {KEY}, expect: {}, settle: 0s, remedy: {{ revert: {{ at_most: 100, in: 1s }} }} }}\n",
        key.original
    );
    let home = Home::new(asked.plan(), &rule);
    let mut daemon = home.start_with(&["--revert"]);
    daemon.swept();
    let (mut opened, mut written) = (Vec::new(), Vec::new());
    for round in 0..asked.times(1000, 200) {
        thread::sleep(PAUSE);
        let began = Instant::now();
        key.write(&(1000 + round).to_string());
        while host::read(key.path()) != key.original {
            assert!(began.elapsed() < LIMIT, "{KEY} is not put back");
            thread::yield_now();
        }
        let (back, took) = (Timestamp::now(), began.elapsed());
        let line =
            daemon.wait_for("the finding", |line| line["kind"] == "finding" && line["state"] == "opened").1;
        let said = line["opened"].as_str().expect("a finding says when it opened");
        let said: Timestamp = said.parse().expect("it is a time");
        opened.push(back.duration_since(said).as_nanos() as f64);
        written.push(nanos(took));
        daemon.wait_for("the remedy", |line| line["kind"] == "remedy" && line["outcome"] == "done");
    }
    tell("revert.samples", opened.len() as f64);
    tell("revert.p50_ns", quantile(&mut opened, 0.5));
    tell("revert.p99_ns", quantile(&mut opened, 0.99));
    tell("revert.max_ns", quantile(&mut opened, 1.0));
    tell("revert.written_p50_ns", quantile(&mut written, 0.5));
}
