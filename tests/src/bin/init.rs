//! PID 1 of the VM. Its whole contract: it says that it speaks, makes the mounts, brings `lo` up, loads the modules
//! of `/modules/order`, runs `/bin/scenarios` with its own arguments, prints one line of verdict, powers off.
//!
//! It never returns: the kernel panics when PID 1 ends. It knows nothing of what the scenarios test.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use driftd_tests::{guest, host};
use rustix::{
    io::Result,
    mount::{MountFlags, mount},
    process::{WaitOptions, wait},
};

/// What is mounted where: file system, place, options.
const MOUNTS: [(&str, &str, &str); 9] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/tmp", ""),
    ("tmpfs", "/run", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("securityfs", "/sys/kernel/security", ""),
];

fn main() {
    guest::begin();
    let verdict = match prepare().and_then(|()| scenarios()) {
        Ok(status) if status.success() => "ok".to_owned(),
        Ok(status) => format!("failed: {status}"),
        Err(error) => format!("failed: {error}"),
    };
    guest::end(&verdict);
}

/// Makes of the bare kernel what the scenarios expect.
fn prepare() -> std::result::Result<(), String> {
    for (kind, place, options) in MOUNTS {
        let _ = fs::create_dir_all(place);
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        mount(kind, place, kind, MountFlags::empty(), options.as_c_str())
            .map_err(|error| format!("cannot mount {kind} on {place}: {error}"))?;
    }
    guest::prepare()?;
    host::set_up("lo").map_err(|error| format!("cannot bring lo up: {error}"))
}

/// Runs the scenarios to their end, and reaps whatever else ends in the meantime.
fn scenarios() -> std::result::Result<ExitStatus, String> {
    let mut command = Command::new("/bin/scenarios");
    command.args(env::args_os().skip(1)).env("DRIFTD_VM", "1").env("TMPDIR", "/tmp");
    let child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    loop {
        let ended: Result<_> = wait(WaitOptions::empty());
        match ended {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(child.id()) => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot wait: {error}")),
        }
    }
}
