//! rtnetlink(7) as far as interfaces need it: a request and the kernel's answer, and what a message about an interface
//! holds.
//!
//! The library that knows every attribute is for the tests: it is half a megabyte of code, resident in a daemon that
//! should cost next to nothing, and what it does not understand of a newer kernel would be told as a loss.

use std::{io, sync::Arc};

use netlink_packet_core::{
    DecodeError, ErrorMessage, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

// The messages about interfaces; include/uapi/linux/rtnetlink.h.
/// An interface is there, or its news.
const RTM_NEWLINK: u16 = 16;
/// An interface is gone.
const RTM_DELLINK: u16 = 17;
/// Asks for an interface, or for all.
pub const RTM_GETLINK: u16 = 18;
/// Changes an interface that is there.
pub const RTM_SETLINK: u16 = 19;

// The attributes of an interface; include/uapi/linux/if_link.h.
/// The own name, with a zero behind it.
pub const IFLA_IFNAME: u16 = 3;
/// The MTU in bytes.
pub const IFLA_MTU: u16 = 4;
/// A further name by which an interface is asked for, since Linux 5.5.
pub const IFLA_ALT_IFNAME: u16 = 53;

/// The size of `struct ifinfomsg`, with which each of these messages begins. Of zeros it leaves it to the attributes which
/// interface is meant (`rtnl_setlink` and `rtnl_getlink`, net/core/rtnetlink.c), or means all.
const IFINFOMSG: usize = 16;

/// The place of `ifi_index` in it.
const IFI_INDEX: usize = 4;

/// The size of `struct nlattr`, the head of an attribute.
const NLATTR: usize = 4;

/// What is asked of the kernel.
pub struct Request<'a> {
    /// One of the messages above.
    pub kind: u16,
    /// `NLM_F_ACK`, `NLM_F_DUMP`; that it is a request goes without saying.
    pub flags: u16,
    /// The attributes: a kind, and the bytes.
    pub attributes: &'a [(u16, &'a [u8])],
}

impl Request<'_> {
    /// As it is sent.
    pub fn bytes(self) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | self.flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// Asks the kernel, in the network namespace of the daemon: the interface it answers with, where that is what was
    /// asked for.
    ///
    /// # Errors
    /// The kernel refuses, or no socket can be had.
    pub fn ask(self) -> io::Result<Option<Link>> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.send(&self.bytes(), 0)?;
        // The kernel does it before `send` comes back, so that the answer is there.
        let (answer, _) = socket.recv_from_full()?;
        let answer = NetlinkMessage::<Told>::deserialize(&answer).map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::Error(ErrorMessage { code: None, .. }) => Ok(None),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            NetlinkPayload::InnerMessage(Told::There(link)) => Ok(Some(link)),
            _ => Err(io::Error::other("rtnetlink answered something else than what was asked")),
        }
    }
}

impl NetlinkSerializable for Request<'_> {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        let attributes = self.attributes.iter();
        IFINFOMSG + attributes.map(|(_, value)| NLATTR + value.len().next_multiple_of(4)).sum::<usize>()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let mut bytes = vec![0; IFINFOMSG];
        for (kind, value) in self.attributes {
            let length = u16::try_from(NLATTR + value.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        if let Some(room) = buffer.get_mut(..bytes.len()) {
            room.copy_from_slice(&bytes);
        }
    }
}

/// A name as the kernel takes it: with a zero behind it.
pub fn name(of: &str) -> Vec<u8> {
    [of.as_bytes(), b"\0"].concat()
}

/// What a message tells.
pub enum Told {
    /// An interface is there, or its news.
    There(Link),
    /// An interface is gone.
    Gone(Link),
    /// Something else.
    Other,
}

/// An interface in a message.
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: Arc<str>,
}

impl NetlinkDeserializable for Told {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Told, DecodeError> {
        match header.message_type {
            RTM_NEWLINK => Ok(link(payload)?.map_or(Told::Other, Told::There)),
            RTM_DELLINK => Ok(link(payload)?.map_or(Told::Other, Told::Gone)),
            _ => Ok(Told::Other),
        }
    }
}

/// The interface that a message is about; `None` where it has no name.
fn link(payload: &[u8]) -> Result<Option<Link>, DecodeError> {
    let cut = || DecodeError::from(format!("found {} bytes, wanted an `ifinfomsg`", payload.len()));
    let (head, attributes) = payload.split_at_checked(IFINFOMSG).ok_or_else(cut)?;
    let (_, index) = head.split_at_checked(IFI_INDEX).ok_or_else(cut)?;
    let index = u32::from_ne_bytes(*index.first_chunk().ok_or_else(cut)?);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_IFNAME {
            let name = attribute.value().strip_suffix(b"\0").unwrap_or(attribute.value());
            // A name that is no text is nothing that could be declared.
            return Ok(Some(Link { index, name: String::from_utf8_lossy(name).into() }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
    use netlink_packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
    };
    use rustix::io::Errno;

    use super::*;

    #[track_caller]
    fn check(
        request: Request<'_>,
        attributes: Vec<LinkAttribute>,
        as_message: fn(LinkMessage) -> RouteNetlinkMessage,
    ) {
        let mut link = LinkMessage::default();
        link.attributes = attributes;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | request.flags;
        let mut theirs = NetlinkMessage::new(header, NetlinkPayload::from(as_message(link)));
        theirs.finalize();
        let mut wanted = vec![0; theirs.buffer_len()];
        theirs.serialize(&mut wanted);
        assert_eq!(request.bytes(), wanted);
    }

    #[test]
    fn it_is_asked_as_the_library_would() {
        let request = Request { kind: RTM_GETLINK, flags: NLM_F_DUMP, attributes: &[] };
        check(request, Vec::new(), RouteNetlinkMessage::GetLink);
        let (of, mtu) = (name("eth0.100"), 9000_u32.to_ne_bytes());
        let attributes: &[(u16, &[u8])] = &[(IFLA_IFNAME, &of), (IFLA_MTU, &mtu)];
        let request = Request { kind: RTM_SETLINK, flags: NLM_F_ACK, attributes };
        let theirs = vec![LinkAttribute::IfName("eth0.100".into()), LinkAttribute::Mtu(9000)];
        check(request, theirs, RouteNetlinkMessage::SetLink);
    }

    #[test]
    fn the_kernel_answers_with_the_interface_or_says_why_not() {
        let asked = |of: &str| {
            Request { kind: RTM_GETLINK, flags: 0, attributes: &[(IFLA_ALT_IFNAME, &name(of))] }.ask()
        };
        // Every interface is known by its own name too.
        assert_eq!(&*asked("lo").unwrap().unwrap().name, "lo");
        let refused = asked("driftd-none").map(|_| ()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::NODEV.raw_os_error()));
    }
}
