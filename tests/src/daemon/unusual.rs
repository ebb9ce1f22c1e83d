//! Daemons that are started otherwise than the others: by whom nobody hears, or by who may less than root.

use std::{
    fs,
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde_json::Value;

use super::{Daemon, Home, LIMIT, driftd, program};
use crate::host::Confined;

impl Home {
    /// Starts a daemon that may less than root, and whose plan is its own; and the line of its start.
    #[track_caller]
    pub fn start_confined(&self, confined: Confined) -> (Daemon<'_>, Value) {
        self.launch(confined.command(&program()).args(self.run()))
    }

    /// Starts a daemon whose plan is its own; and the line of its start.
    #[track_caller]
    pub fn start_planned(&self) -> (Daemon<'_>, Value) {
        self.launch(driftd().args(self.run()))
    }

    /// Starts a daemon that nobody hears: all it prints fails.
    #[track_caller]
    pub fn start_unheard(&self) -> Unheard {
        let full = fs::File::options().write(true).open("/dev/full").expect("there is a /dev/full");
        self.start_into(full)
    }

    /// Starts a daemon that prints there.
    #[track_caller]
    pub fn start_into(&self, output: impl Into<Stdio>) -> Unheard {
        let mut command = driftd();
        command.args(self.run()).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        Unheard(command.spawn().expect("driftd can be started"))
    }

    /// Runs another command of driftd's with this configuration, as a user who may read all of it and open the socket,
    /// and is not root; to its end.
    #[track_caller]
    pub fn command_of_nobody(&self, arguments: &[&str]) -> Output {
        const NOBODY: u32 = 65534;
        for (name, mode) in [("", 0o755), ("driftd.yaml", 0o644), ("driftd.sock", 0o666)] {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        // The program may be where only root goes: it is started by its descriptor.
        let program = fs::File::open(program()).expect("root may read it");
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        let (command, rest) = arguments.split_first().expect("a command is given");
        let mut driftd = Command::new(path);
        driftd.arg(command).arg("--config").arg(self.path("driftd.yaml")).args(rest).uid(NOBODY).gid(NOBODY);
        driftd.output().unwrap_or_else(|e| panic!("cannot start {driftd:?}: {e}"))
    }

    /// Starts another command of driftd's with this configuration, that prints there.
    #[track_caller]
    pub fn command_into(&self, arguments: &[&str], output: impl Into<Stdio>) -> Child {
        let (command, rest) = arguments.split_first().expect("a command is given");
        let mut driftd = driftd();
        driftd.arg(command).arg("--config").arg(self.path("driftd.yaml")).args(rest);
        driftd.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
        driftd.spawn().unwrap_or_else(|e| panic!("cannot start {driftd:?}: {e}"))
    }
}

impl Daemon<'_> {
    /// A limit of its process, by its name in /proc/PID/limits: the soft and the hard one.
    #[track_caller]
    pub fn limit(&self, name: &str) -> [String; 2] {
        let limits = format!("/proc/{}/limits", self.child.id());
        let limits = fs::read_to_string(limits).expect("the daemon is not waited for yet");
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let mut words = line.expect("it is a limit's name").split_whitespace().map(str::to_owned);
        [(); 2].map(|()| words.next().unwrap_or_default())
    }
}

/// A running daemon that nobody hears. It ends with the value, by SIGKILL.
#[derive(Debug)]
pub struct Unheard(Child);

impl Unheard {
    /// Ends it by SIGTERM; how it ended.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id().cast_signed()).expect("the daemon has a process id");
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("the daemon is not waited for yet");
        pidfd_send_signal(&process, Signal::TERM).expect("the daemon is not waited for yet");
        let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).expect("poll(2) works");
        assert!(ended > 0, "driftd does not end");
        self.0.wait().expect("the daemon can be waited for")
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
