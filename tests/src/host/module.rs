//! Modules of the kernel that go and come back. Only in the VM: there it is known where they are, and who needs them.

use std::{ffi::CString, fs::File, io};

use rustix::system::{delete_module, finit_module};

/// Connection tracking, after what uses it.
const CONNTRACK: [&str; 2] = ["nfnetlink_cttimeout", "nf_conntrack"];

/// Takes a module out of the kernel. Nothing may use it.
pub fn unload_module(name: &str) -> io::Result<()> {
    // O_NONBLOCK, the flag that delete_module(2) asks for: it does not wait until nobody uses the module.
    Ok(delete_module(&CString::new(name)?, libc::O_NONBLOCK)?)
}

/// Loads a module from where our PID 1 found it.
pub fn load_module(name: &str) -> io::Result<()> {
    let file = File::open(format!("/modules/{name}.ko"))?;
    Ok(finit_module(file, c"", 0)?)
}

/// Takes connection tracking out of the kernel, and what uses it.
pub fn unload_conntrack() -> io::Result<()> {
    CONNTRACK.iter().try_for_each(|name| unload_module(name))
}

/// Loads both again.
pub fn load_conntrack() -> io::Result<()> {
    CONNTRACK.iter().rev().try_for_each(|name| load_module(name))
}
