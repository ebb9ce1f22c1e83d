//! netlink(7), one question at a time: a request goes out, and what comes back is looked at.

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// `NLMSG_ERROR`, which is the answer that all is well too (include/uapi/linux/netlink.h).
const ACKNOWLEDGEMENT: u16 = 2;

/// The length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// A socket of a family of netlink, to the kernel.
pub fn connect(family: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(family)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Sends a request; `flags` are those it has besides `NLM_F_REQUEST`.
pub fn send(socket: &Socket, kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    // A sequence number and a port, that nobody looks at: there is one question at a time.
    message.extend([0; 8]);
    message.extend(body);
    socket.send(&message, 0).map(drop)
}

/// What kind of message this is; 0 where it is too short for one.
pub fn kind(message: &[u8]) -> u16 {
    message.get(4..6).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// What a message says of the request, where it is its acknowledgement.
pub fn acknowledged(message: &[u8]) -> Option<io::Result<()>> {
    let error = message.get(HEADER..HEADER + 4).filter(|_| kind(message) == ACKNOWLEDGEMENT)?;
    Some(match i32::from_ne_bytes(error.try_into().ok()?) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    })
}
