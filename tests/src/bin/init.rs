//! PID 1 of the VM. Its whole contract: it says that it speaks, makes the mounts, brings `lo` up, loads the modules
//! of `/modules/order`, runs `/bin/scenarios` with its own arguments, prints one line of verdict, powers off.
//!
//! It never returns: the kernel panics when PID 1 ends. It knows nothing of what the scenarios test.

use std::{
    env, fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use driftd_tests::host;
use rustix::{
    io::Result,
    mount::{MountFlags, mount},
    process::{WaitOptions, wait},
    system::{RebootCommand, finit_module, reboot},
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
    say("pid 1 speaks");
    let verdict = match prepare().and_then(|()| scenarios()) {
        Ok(status) if status.success() => "ok".to_owned(),
        Ok(status) => format!("failed: {status}"),
        Err(error) => format!("failed: {error}"),
    };
    say(&format!("verdict {verdict}"));
    // The last bytes may still be in the serial port's buffer; powering off does not wait for them.
    let _ = rustix::termios::tcdrain(std::io::stdout());
    let error = reboot(RebootCommand::PowerOff);
    say(&format!("cannot power off: {error:?}"));
}

/// One line on the console.
fn say(line: &str) {
    // A console that does not take it leaves the host without a verdict, and that is a failure.
    let _ = writeln!(std::io::stdout(), "driftd-vm: {line}");
    let _ = std::io::stdout().flush();
}

/// Makes of the bare kernel what the scenarios expect.
fn prepare() -> std::result::Result<(), String> {
    for (kind, place, options) in MOUNTS {
        let _ = fs::create_dir_all(place);
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        mount(kind, place, kind, MountFlags::empty(), options.as_c_str())
            .map_err(|error| format!("cannot mount {kind} on {place}: {error}"))?;
    }
    // From here on only what is wrong with the kernel may come between the lines of the scenarios.
    fs::write("/proc/sys/kernel/printk", "4")
        .map_err(|error| format!("cannot quieten the kernel: {error}"))?;
    // The tunnels' modules would each make an interface at once.
    fs::write("/proc/sys/net/core/fb_tunnels_only_for_init_net", "2")
        .map_err(|error| format!("cannot keep tunnels from making interfaces: {error}"))?;
    let order = fs::read_to_string("/modules/order")
        .map_err(|error| format!("cannot read /modules/order: {error}"))?;
    for module in order.lines() {
        load(module).map_err(|error| format!("cannot load {module}: {error}"))?;
    }
    host::set_up("lo").map_err(|error| format!("cannot bring lo up: {error}"))
}

/// Loads one module. `max_bonds=0`, which only bonding knows, keeps it from making an interface at once.
fn load(module: &str) -> std::io::Result<()> {
    let file = fs::File::open(format!("/modules/{module}"))?;
    let parameters = if module == "bonding.ko" { c"max_bonds=0" } else { c"" };
    Ok(finit_module(file, parameters, 0)?)
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
