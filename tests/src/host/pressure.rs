//! Pressure: processes that stall each other in a cgroup of their own, and what a process was woken for.

use std::{
    env, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

/// Tells the program that it is to make pressure: of which kind.
const KIND: &str = "DRIFTD_PRESSURE";

/// What stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Two who want one processor, and never rest.
    Cpu,
    /// One who wants more memory than `memory.high` of its cgroup lets it have.
    Memory,
}

impl Pressure {
    fn as_str(self) -> &'static str {
        match self {
            Pressure::Cpu => "cpu",
            Pressure::Memory => "memory",
        }
    }
}

/// Processes at work in a cgroup, until the value is dropped.
#[derive(Debug)]
pub struct Stalled {
    children: Vec<Child>,
}

impl Stalled {
    /// Starts them, moves them there, and lets them begin.
    #[track_caller]
    pub fn start(pressure: Pressure, cgroup: &Path) -> Stalled {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let count = match pressure {
            Pressure::Cpu => 2 * processors,
            Pressure::Memory => 1,
        };
        let children = (0..count).map(|_| begin(pressure, cgroup)).collect();
        Stalled { children }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Both fail only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[track_caller]
fn begin(pressure: Pressure, cgroup: &Path) -> Child {
    let program = env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .env(KIND, pressure.as_str())
        .stdin(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).expect("root may move a process");
    let word = child.stdin.take().map(|mut stdin| stdin.write_all(b"now"));
    word.expect("it has a standard input").expect("it listens");
    child
}

/// The part of such a process: waits for the word on standard input, and works until it is killed. `None` where this
/// process is none.
pub fn press() -> Option<ExitCode> {
    let kind = env::var(KIND).ok()?;
    let mut word = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut word) {
        eprintln!("no word came: {error}");
        return Some(ExitCode::FAILURE);
    }
    match kind.as_str() {
        "cpu" => loop {
            std::hint::spin_loop();
        },
        // Pages that are asked for again and again: what is above `memory.high` makes its owner wait, and none of it can
        // be taken away without a place to swap to.
        _ => {
            let mut pages: Vec<Vec<u8>> = Vec::new();
            loop {
                pages.push(vec![1; 64 * 1024]);
                if pages.len() > 256 {
                    pages.clear();
                }
            }
        }
    }
}

/// How often all threads of a process were woken or taken off a processor so far.
#[track_caller]
pub fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let tasks: Vec<PathBuf> = tasks.flatten().map(|task| task.path().join("status")).collect();
    let texts = tasks.iter().filter_map(|status| fs::read_to_string(status).ok());
    texts
        .flat_map(|text| {
            let counts = text
                .lines()
                .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok());
            counts.collect::<Vec<u64>>()
        })
        .sum()
}
