//! The MTU of an interface by rtnetlink: a name that is reused between two looks at /sys cannot lead astray, and the
//! kernel's own words say why it refuses.

use std::io;

use netlink_packet_core::NLM_F_ACK;

use crate::{
    kernel::rtnetlink::{IFLA_IFNAME, IFLA_MTU, RTM_SETLINK, Request, name},
    model::Value,
};

/// Sets the MTU of the interface of a name, in the network namespace of the daemon.
///
/// # Errors
/// The value is no MTU, or the kernel refuses it.
pub fn set(interface: &str, value: &Value) -> io::Result<()> {
    let mtu = value.as_str().parse::<u32>();
    let mtu =
        mtu.map_err(|_| io::Error::other(format!("found `{value}`, wanted a number of bytes for an MTU")))?;
    let attributes: &[(u16, &[u8])] = &[(IFLA_IFNAME, &name(interface)), (IFLA_MTU, &mtu.to_ne_bytes())];
    Request { kind: RTM_SETLINK, flags: NLM_F_ACK, attributes }.ask().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_said_to_be_none() {
        let key = "link.driftd-none.mtu".parse().unwrap();
        let error = set("driftd-none", &Value::canonical(&key, "1500")).unwrap_err();
        // Who may not change interfaces hears that first.
        let wanted =
            [Some(rustix::io::Errno::NODEV.raw_os_error()), Some(rustix::io::Errno::PERM.raw_os_error())];
        assert!(wanted.contains(&error.raw_os_error()), "{error}");
        assert!(set("lo", &Value::canonical(&key, "many")).unwrap_err().to_string().contains("`many`"));
    }
}
