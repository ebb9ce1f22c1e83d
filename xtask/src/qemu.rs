//! One boot of one kernel under qemu: starts it, reads its serial console, and waits for the one line of verdict.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    claims::{Claim, Claims},
    kernels::Kernel,
    matrix::{Boot, Userland},
    tally::Tally,
};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// qemu itself, in software: works everywhere
    #[default]
    Tcg,
    /// The processor: quicker, where the machine has a KVM that works
    Kvm,
}

/// How a boot ended.
#[derive(Debug)]
pub enum Ended {
    /// PID 1 gave its verdict.
    Verdict { ok: bool, tally: Tally, claims: Vec<Claim> },
    /// It ended before PID 1 said a word: nothing of ours has run yet.
    BeforePid1 { why: String },
    /// It ended after that and without a verdict.
    WithoutVerdict { why: String, tally: Tally },
}

/// The program that runs the VM.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The first thing PID 1 prints (tests/src/bin/init.rs).
const PID1_SPEAKS: &str = "driftd-vm: pid 1 speaks";

/// How its last line begins.
const VERDICT: &str = "driftd-vm: verdict ";

/// What the kernel prints when nothing good can come any more.
const FATAL: [&str; 6] = [
    "Kernel panic - not syncing",
    "Oops: ",
    "kernel BUG at ",
    "BUG: unable to handle",
    "BUG: kernel NULL pointer dereference",
    "general protection fault",
];

/// A sysctl that the kernel itself sets on every boot, before PID 1 (`do_sysctl_args`, fs/proc/proc_sysctl.c), and that
/// only the scenario about it looks at (tests/src/bin/scenarios/boot.rs).
const SYSCTL: &str = "sysctl.vm.vfs_cache_pressure=101";

/// What a boot into systemd is told besides: that it is PID 1, and that the console is not for what it says of units.
const SYSTEMD: [&str; 2] = ["rdinit=/lib/systemd/systemd", "systemd.show_status=0"];

/// How long a boot may take in all, twice what one with all scenarios takes beside another. Under emulation on a busy machine
/// all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// How long PID 1 may keep silent: some boots under emulation hang before it.
const SILENCE: Duration = Duration::from_secs(120);

/// How long the kernel may go on printing after a fatal line, for the log.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One boot, ready to be made.
pub struct Run<'a> {
    /// How it boots; its name stands before each of its lines.
    pub boot: &'a Boot,
    /// What it boots.
    pub kernel: &'a Kernel,
    /// The archive with our programs.
    pub initrd: &'a Path,
    /// What runs the guest.
    pub accel: Accel,
    /// Only the scenarios whose names contain one of these; all where it is empty.
    pub filter: &'a [String],
    /// Where the console is kept.
    pub log: &'a Path,
}

/// Boots once. The console is kept in the log; what PID 1 and the scenarios print is shown as it comes.
pub fn boot(run: &Run) -> Result<Ended> {
    let mut log = fs::File::create(run.log).with_context(|| format!("cannot write {}", run.log.display()))?;
    let mut machine = Machine::start(run)?;
    let lines = machine.lines();
    let start = Instant::now();
    let mut reader = Reader { name: run.boot.name.clone(), ..Reader::default() };
    let mut deadline = start + SILENCE;
    let why = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}")?;
                let spoke = reader.pid1;
                if let Some(ended) = reader.take(&line) {
                    return Ok(ended);
                }
                if reader.pid1 && !spoke {
                    deadline = start + LIMIT;
                }
                if reader.fatal.is_some() {
                    deadline = deadline.min(Instant::now() + LAST_WORDS);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break "qemu ended".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                machine.kill();
                // The line that was never finished says where it hangs.
                for line in lines.try_iter().chain(lines.recv_timeout(LAST_WORDS)) {
                    writeln!(log, "{line}")?;
                    reader.take(&line);
                }
                break format!("nothing more was heard after {} s", start.elapsed().as_secs());
            }
        }
    };
    Ok(reader.end(why))
}

/// Reads the console line by line.
#[derive(Default)]
struct Reader {
    /// What stands before each line that is shown.
    name: String,
    /// Whether PID 1 has spoken.
    pid1: bool,
    /// The first line that says that the kernel is broken.
    fatal: Option<String>,
    /// What the runner in the guest counted.
    tally: Tally,
    /// What it said of each scenario.
    claims: Claims,
    /// The last lines, for a boot that dies without a word.
    tail: VecDeque<String>,
}

impl Reader {
    /// Takes a line; says how the boot ended, if this is the verdict.
    fn take(&mut self, line: &str) -> Option<Ended> {
        if self.tail.len() == 12 {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        // The serial console may hold the end of a line of the firmware's before it.
        self.pid1 |= line.contains(PID1_SPEAKS);
        if self.pid1 {
            println!("{} | {line}", self.name);
            self.claims.take(line);
        }
        if self.fatal.is_none() && FATAL.iter().any(|word| line.contains(word)) {
            self.fatal = Some(line.trim().to_owned());
        }
        if let Some(tally) = Tally::of_line(line) {
            self.tally += tally;
        }
        let (_, verdict) = line.split_once(VERDICT)?;
        let claims = std::mem::take(&mut self.claims).finish();
        Some(Ended::Verdict { ok: verdict.trim() == "ok", tally: self.tally, claims })
    }

    /// What it was, when nothing more comes.
    fn end(self, why: String) -> Ended {
        let why = self.fatal.unwrap_or(why);
        if self.pid1 {
            return Ended::WithoutVerdict { why, tally: self.tally };
        }
        let tail: Vec<String> = self.tail.iter().map(|line| format!("  | {line}")).collect();
        Ended::BeforePid1 { why: format!("{why}\n{}", tail.join("\n")) }
    }
}

/// What the kernel is told. `panic=-1` with `-no-reboot` makes a panic end qemu. What follows `--` is given to PID 1.
fn command_line(run: &Run) -> String {
    let mut words = vec!["console=ttyS0", "panic=-1", SYSCTL];
    if run.boot.userland == Userland::Systemd {
        words.extend(SYSTEMD);
    }
    words.extend(run.boot.command_line.iter().map(String::as_str));
    words.push("--");
    words.extend(run.filter.iter().map(String::as_str));
    words.join(" ")
}

/// A running qemu; ends with the value.
struct Machine {
    child: Child,
}

impl Machine {
    fn start(run: &Run) -> Result<Machine> {
        let accel = match run.accel {
            // One thread for all processors: they take turns at any instruction, on a host with one core too.
            Accel::Tcg => "tcg,thread=single",
            Accel::Kvm => "kvm",
        };
        let mut command = Command::new(PROGRAM);
        command
            .args(["-M", "q35", "-accel", accel, "-smp", &run.boot.processors.to_string()])
            .args(["-cpu", "max", "-m", "1024"])
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&run.kernel.image)
            .arg("-initrd")
            .arg(run.initrd)
            .args(["-append", &command_line(run)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Machine { child })
    }

    /// The lines of the console, without their ends; the channel closes when qemu ends.
    fn lines(&mut self) -> Receiver<String> {
        // Without bound: the guest prints kilobytes.
        let (send, receive) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        receive
    }

    fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a console's lines amount to.
    fn read(console: &str) -> Ended {
        let mut reader = Reader::default();
        for line in console.lines() {
            if let Some(ended) = reader.take(line) {
                return ended;
            }
        }
        reader.end("qemu ended".to_owned())
    }

    #[test]
    fn the_verdict_is_one_line_and_the_tests_are_counted() {
        let console = "[0.1] Linux\ndriftd-vm: pid 1 speaks\ntest result: ok. 3 passed; 0 failed; 0 ignored\n\
                       driftd-vm: verdict ok\n";
        assert!(matches!(
            read(console),
            Ended::Verdict { ok: true, tally: Tally { passed: 3, failed: 0 }, .. }
        ));
        let console = "driftd-vm: pid 1 speaks\ndriftd-vm: verdict failed: exit status: 101\n";
        assert!(matches!(
            read(console),
            Ended::Verdict { ok: false, tally: Tally { passed: 0, failed: 0 }, .. }
        ));
    }

    #[test]
    fn a_console_without_a_verdict_is_never_a_success() {
        assert!(matches!(read(""), Ended::BeforePid1 { .. }));
        let Ended::BeforePid1 { why } = read("[0.1] Linux\n[0.2] BUG: unable to handle page fault\n") else {
            panic!("PID 1 has not spoken");
        };
        assert!(why.starts_with("[0.2] BUG"), "{why}");
        let console = "driftd-vm: pid 1 speaks\ntest result: ok. 3 passed; 0 failed;\n[3] Kernel panic - not syncing: x";
        let Ended::WithoutVerdict { why, .. } = read(console) else { panic!("there is no verdict") };
        assert!(why.contains("Kernel panic"), "{why}");
    }
}
