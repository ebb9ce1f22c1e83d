//! What driftd costs while nothing happens. One sweep falls into the time that is looked at, as one a minute does.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    Asked,
    daemon::Home,
    figures::{nanos, tell},
    keys,
};

/// How many keys are declared.
const KEYS: usize = 1000;

/// Measures.
pub fn measure(asked: &Asked) {
    let mut declared = keys::readable("/proc/sys");
    declared.truncate(KEYS);
    let home = Home::new(asked.plan(), &keys::rules(&declared));
    let mut daemon = home.start();
    daemon.swept();
    // What the start leaves to be done is no part of being idle.
    thread::sleep(Duration::from_secs(2));
    let (before, began) = (Spent::of(daemon.pid()), Instant::now());
    thread::sleep(Duration::from_secs(asked.times(60, 10)));
    let (after, took) = (Spent::of(daemon.pid()), began.elapsed());
    tell("idle.keys", declared.len() as f64);
    tell("idle.seconds", took.as_secs_f64());
    tell("idle.rss_kib", daemon.kib("VmRSS"));
    tell("idle.rss_anon_kib", daemon.kib("RssAnon"));
    tell("idle.rss_file_kib", daemon.kib("RssFile"));
    tell("idle.cpu_percent", 100.0 * (after.cpu_nanos - before.cpu_nanos) / nanos(took));
    tell("idle.wakeups_per_s", (after.switches - before.switches) / took.as_secs_f64());
}

/// What all threads of a process have spent.
struct Spent {
    cpu_nanos: f64,
    /// Context switches, its own and forced ones.
    switches: f64,
}

impl Spent {
    fn of(pid: u32) -> Spent {
        let mut spent = Spent { cpu_nanos: 0.0, switches: 0.0 };
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon runs");
        for task in tasks.flatten().map(|task| task.path()) {
            let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
            // The first number: nanoseconds on a processor (Documentation/scheduler/sched-stats.rst).
            let text = read("schedstat");
            let nanos: Option<f64> = text.split(' ').next().and_then(|word| word.parse().ok());
            spent.cpu_nanos +=
                nanos.unwrap_or_else(|| panic!("no time in `{text}`: is CONFIG_SCHED_INFO off?"));
            for line in read("status").lines().filter(|line| line.contains("_ctxt_switches:")) {
                let number: Option<f64> = line.split_whitespace().last().and_then(|word| word.parse().ok());
                spent.switches += number.unwrap_or_default();
            }
        }
        spent
    }
}
