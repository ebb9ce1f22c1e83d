//! What watching costs the writer: one open+write+close of a sysctl, unwatched and watched in turns. The writer is a
//! process of its own, the same in every state; the median of its single calls tells what a call costs, their mean
//! also what the watcher takes from the same processors meanwhile.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use driftd_tests::host::{self, Sysctl};

use crate::{
    Asked, KEY,
    audit::Watch,
    daemon::Home,
    figures::{median, nanos, quantile, tell},
};

/// Tells this program that it is the writer: the path, and how often.
const PATH: &str = "DRIFTD_BENCH_PATH";
const TIMES: &str = "DRIFTD_BENCH_TIMES";

/// What one batch of writes took, in nanoseconds a call.
struct Batch {
    median: f64,
    mean: f64,
}

/// All batches of one state.
#[derive(Default)]
struct State {
    medians: Vec<f64>,
    means: Vec<f64>,
}

impl State {
    fn add(&mut self, batch: Batch) {
        self.medians.push(batch.median);
        self.means.push(batch.mean);
    }

    fn tell(self, name: &str) {
        tell(&format!("cost.{name}.median_ns"), median(self.medians));
        tell(&format!("cost.{name}.mean_ns"), median(self.means));
    }
}

/// Measures.
pub fn measure(asked: &Asked) {
    let key = Sysctl::of(KEY);
    let (rounds, times) = (asked.times(7, 3), asked.times(20_000, 5_000));
    let mut unwatched = State::default();
    // Whether the key is declared decides how much driftd does with a write.
    let mut watched = Vec::new();
    for plan in &asked.plans {
        for (word, declared) in [("undeclared", "kernel.printk_ratelimit"), ("declared", KEY)] {
            let rule = format!("  burst: {{ keys: {declared}, min: 0 }}\n");
            watched.push((format!("{plan}.{word}"), Home::new(plan, &rule), State::default()));
        }
    }
    for _ in 0..rounds {
        unwatched.add(batch(key.path(), times));
        for (_, home, state) in &mut watched {
            let mut daemon = home.start();
            daemon.swept();
            state.add(batch(key.path(), times));
            daemon.stop();
        }
    }
    tell("cost.rounds", rounds as f64);
    tell("cost.times", times as f64);
    unwatched.tell("unwatched");
    watched.into_iter().for_each(|(name, _, state)| state.tell(&name));
    if asked.audit {
        audited(key.path(), rounds, times);
    }
}

/// The same under an audit path watch. It comes last: what it switches on in the kernel, new processes pay for until
/// the next boot.
fn audited(path: &Path, rounds: usize, times: usize) {
    match Watch::start(path) {
        Ok(watch) => {
            let mut state = State::default();
            (0..rounds).for_each(|_| state.add(batch(path, times)));
            let records = watch.stop();
            assert!(records > 0, "the audit watch saw nothing: its figures would be of something else");
            state.tell("audit");
            tell("cost.audit.records", records as f64);
        }
        Err(error) => eprintln!("no audit watch can be had here: {error}"),
    }
}

/// Starts the writer, and reads what it measured.
fn batch(path: &Path, times: usize) -> Batch {
    let output = writer(path, times).output().expect("this program can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 2, "the writer failed: {output:?}");
    Batch { median: numbers[0], mean: numbers[1] }
}

/// The writer: this program, told to write a sysctl so often, two values in turns. It prints the median and the mean.
pub fn writer(path: &Path, times: usize) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.env(PATH, path).env(TIMES, times.to_string());
    command
}

/// The writer's part; `None` where this process is none.
pub fn write() -> Option<ExitCode> {
    let path = env::var_os(PATH)?;
    let path = Path::new(&path);
    let times =
        env::var(TIMES).ok().and_then(|times| times.parse::<usize>().ok()).expect("it is told how often");
    let mut samples = Vec::with_capacity(times);
    let began = Instant::now();
    for round in 0..times {
        let value = if round % 2 == 0 { "11" } else { "12" };
        let call = Instant::now();
        host::write(path, value).expect("the sysctl takes the value");
        samples.push(nanos(call.elapsed()));
    }
    let mean = nanos(began.elapsed()) / times as f64;
    println!("{} {mean}", quantile(&mut samples, 0.5));
    Some(ExitCode::SUCCESS)
}
