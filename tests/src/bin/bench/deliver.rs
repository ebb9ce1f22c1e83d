//! From a webhook to its verdict, as the sender sees it: from the connection to the last byte of the answer.

use std::time::Instant;

use crate::{
    Asked,
    daemon::Home,
    figures::{nanos, quantile, tell},
    keys,
};

/// How many keys are declared.
const KEYS: usize = 200;

/// Measures.
pub fn measure(asked: &Asked) {
    let mut declared = keys::readable("/proc/sys");
    declared.truncate(KEYS);
    let home = Home::new(asked.plan(), &keys::rules(&declared));
    let mut daemon = home.start();
    daemon.swept();
    let mut samples = Vec::new();
    for revision in 1..=asked.times(100, 20) {
        let began = Instant::now();
        let answer = daemon.deploy(revision);
        samples.push(nanos(began.elapsed()));
        // 409 where a value moved since it was declared; a verdict all the same.
        assert!([200, 409].contains(&answer.status), "no verdict: {answer:?}");
    }
    tell("deliver.keys", declared.len() as f64);
    tell("deliver.p50_ns", quantile(&mut samples, 0.5));
    tell("deliver.p99_ns", quantile(&mut samples, 0.99));
}
