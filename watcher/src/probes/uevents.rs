//! The kernel's own word that a module, a block device or a processor came or went: keys come and go with them, and no write
//! tells that. What came is not taken from here: it is looked for.

use std::{io, os::fd::AsRawFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_KOBJECT_UEVENT};

/// The group to which the kernel sends (`netlink_broadcast` in lib/kobject_uevent.c); udevd's own messages are the second.
const KERNEL: u32 = 1;

/// The longest message: `UEVENT_BUFFER_SIZE` of the environment (include/linux/kobject.h) behind an action and a path, which is
/// no longer than a page.
const LONGEST: usize = 2048 + 4096;

/// What comes with keys of /sys and /proc/sys: modules with their parameters and sysctls, block devices with their queues,
/// processors with their frequencies.
const SUBSYSTEMS: [&[u8]; 3] = [b"module", b"block", b"cpu"];

/// A socket that hears of modules and devices.
pub struct Devices {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Devices {
    /// Listens. Nobody needs a privilege for that.
    pub fn listen() -> io::Result<Devices> {
        let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
        socket.bind(&SocketAddr::new(0, KERNEL))?;
        socket.set_non_blocking(true)?;
        Ok(Devices { socket, buffer: vec![0; LONGEST] })
    }

    /// Reads all that is there, and says whether something came or went. Where messages were lost, it may have.
    pub fn drain(&mut self) -> io::Result<bool> {
        let mut moved = false;
        loop {
            let mut room = self.buffer.as_mut_slice();
            match self.socket.recv_from(&mut room, 0) {
                // Whoever may send to the group is not the kernel for that.
                Ok((length, from)) => {
                    let message = self.buffer.get(..length).unwrap_or_default();
                    moved |= from.port_number() == 0 && comes_or_goes(message);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(moved),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(super::netlink::ENOBUFS) => moved = true,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a message tells that one of them came or went: `add@/module/loop`, and then `SUBSYSTEM=module` among the rest, each
/// with a zero behind it (`kobject_uevent_env`, lib/kobject_uevent.c).
fn comes_or_goes(message: &[u8]) -> bool {
    let mut words = message.split(|byte| *byte == 0);
    let action = words.next().and_then(|head| head.split(|byte| *byte == b'@').next()).unwrap_or_default();
    let is_of = |word: &[u8]| word.strip_prefix(b"SUBSYSTEM=").is_some_and(|of| SUBSYSTEMS.contains(&of));
    [&b"add"[..], b"remove", b"online", b"offline", b"move"].contains(&action) && words.any(is_of)
}

impl AsRawFd for Devices {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, wanted: bool) {
        assert_eq!(comes_or_goes(message.as_bytes()), wanted, "{message:?}");
    }

    #[test]
    fn a_module_a_block_device_and_a_processor_come_and_go() {
        check("add@/module/loop\0ACTION=add\0DEVPATH=/module/loop\0SUBSYSTEM=module\0SEQNUM=7\0", true);
        check("remove@/devices/virtual/block/loop0\0ACTION=remove\0SUBSYSTEM=block\0", true);
        check("online@/devices/system/cpu/cpu1\0ACTION=online\0SUBSYSTEM=cpu\0", true);
    }

    #[test]
    fn what_only_changes_or_is_something_else_is_no_news() {
        check("change@/devices/virtual/block/loop0\0ACTION=change\0SUBSYSTEM=block\0", false);
        check("add@/devices/virtual/net/eth0\0ACTION=add\0SUBSYSTEM=net\0", false);
        check("add@/module/loop\0ACTION=add\0", false);
        check("libudev\0\u{1}\0SUBSYSTEM=module\0", false);
        check("SUBSYSTEM=module", false);
        check("", false);
    }

    #[test]
    fn where_nothing_comes_nothing_is_heard() {
        assert!(!Devices::listen().unwrap().drain().unwrap());
    }
}
