//! What a guest of the VM tells the host, and how it ends. Nothing here knows what is tried in it.

use std::{fs, io, io::Write};

use rustix::system::{RebootCommand, finit_module, reboot};

/// Says that this is where our own programs begin: until now nothing of ours has run.
pub fn begin() {
    say("pid 1 speaks");
}

/// Says the verdict, and turns the machine off. It comes back only where that fails.
pub fn end(verdict: &str) {
    say(&format!("verdict {verdict}"));
    // The last bytes may still be in the serial port's buffer; powering off does not wait for them.
    let _ = rustix::termios::tcdrain(io::stdout());
    let error = reboot(RebootCommand::PowerOff);
    say(&format!("cannot power off: {error:?}"));
}

/// One line on the console.
fn say(line: &str) {
    // A console that does not take it leaves the host without a verdict, and that is a failure.
    let _ = writeln!(io::stdout(), "driftd-vm: {line}");
    let _ = io::stdout().flush();
}

/// From here on only what is wrong with the kernel may come between the lines of the scenarios; and all modules are
/// there that the host packed.
///
/// # Errors
/// In words: what cannot be done.
pub fn prepare() -> Result<(), String> {
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
    Ok(())
}

/// Loads one module. `max_bonds=0`, which only bonding knows, keeps it from making an interface at once.
fn load(module: &str) -> io::Result<()> {
    let file = fs::File::open(format!("/modules/{module}"))?;
    let parameters = if module == "bonding.ko" { c"max_bonds=0" } else { c"" };
    Ok(finit_module(file, parameters, 0)?)
}
