//! From the start of the process to all attached and all swept, and from SIGTERM to the end.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use driftd_tests::host;

use crate::{
    Asked,
    daemon::Home,
    figures::{median, nanos, tell},
    keys,
};

/// How many keys are declared.
const KEYS: usize = 200;

/// How long the kernel may take to free programs whose owner ended.
const LIMIT: Duration = Duration::from_secs(5);

/// Measures.
pub fn measure(asked: &Asked) {
    let mut declared = keys::readable("/proc/sys");
    declared.truncate(KEYS);
    let home = Home::new(asked.plan(), &keys::rules(&declared));
    let (mut starts, mut stops, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..asked.times(11, 3) {
        let before = host::programs();
        let mut daemon = home.start();
        let began = daemon.began;
        starts.push(nanos(daemon.swept() - began));
        let ours: BTreeSet<u32> = host::programs().difference(&before).copied().collect();
        let (signal, ended, _) = daemon.stop();
        stops.push(nanos(ended - signal));
        while !host::programs().is_disjoint(&ours) {
            assert!(ended.elapsed() < LIMIT, "programs were left behind: {ours:?}");
            thread::sleep(Duration::from_millis(1));
        }
        gone.push(nanos(Instant::now() - signal));
    }
    tell("start.keys", declared.len() as f64);
    tell("start.swept_ns", median(starts));
    tell("stop.ended_ns", median(stops));
    tell("stop.gone_ns", median(gone));
}
