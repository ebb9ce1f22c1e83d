//! rtnetlink: which interfaces changed, without a writer. Listened to with every plan but `none`, for what the hook
//! misses: interfaces created, renamed, moved, gone.
//!
//! A message is a hint and no more: the MTU itself is re-read. So only an interface's number and name are taken out of
//! it.

use std::{collections::HashMap, io, os::fd::AsRawFd, sync::Arc};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_MULTIPART, NetlinkMessage, NetlinkPayload};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

use crate::kernel::rtnetlink::{Link, RTM_GETLINK, Request, Told};

/// `RTNLGRP_LINK`, include/uapi/linux/rtnetlink.h.
const LINKS: u32 = 1;

/// What the kernel has room for. A burst of a thousand messages of under 2 KiB fits; more is told as lost, and a dump
/// follows.
const ROOM: usize = 2 << 20;

/// The most bytes that one reading gives: the kernel gathers no more of a dump (`netlink_recvmsg`,
/// net/netlink/af_netlink.c), and a message about one interface is far shorter.
const PIECE: usize = 1 << 15;

/// A socket that hears of interfaces.
pub struct Links {
    socket: Socket,
    names: HashMap<u32, Arc<str>>,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Something about the interface of this name changed.
    Interface(Arc<str>),
    /// Messages were lost. A dump is under way, and a sweep is due.
    Lost,
}

impl Links {
    /// Listens to the namespace that the daemon runs in, and asks for all interfaces there are.
    pub fn listen() -> io::Result<Links> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(LINKS)?;
        socket.set_non_blocking(true)?;
        // More than net.core.rmem_max is for CAP_NET_ADMIN (socket(7), SO_RCVBUFFORCE); others get what that allows, and
        // lose messages sooner.
        if set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
            let _ = set_socket_recv_buffer_size(&socket, ROOM);
        }
        let links = Links { socket, names: HashMap::new(), buffer: vec![0; PIECE] };
        links.ask_for_all()?;
        Ok(links)
    }

    fn ask_for_all(&self) -> io::Result<()> {
        let bytes = Request { kind: RTM_GETLINK, flags: NLM_F_DUMP, attributes: &[] }.bytes();
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// Reads all that is there; the socket does not block.
    pub fn drain(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        loop {
            let mut room = self.buffer.as_mut_slice();
            match self.socket.recv(&mut room, 0) {
                Ok(length) => {
                    read(self.buffer.get(..length).unwrap_or_default(), &mut self.names, news);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => {
                    news.push(News::Lost);
                    self.ask_for_all()?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes all messages of one piece.
fn read(mut rest: &[u8], names: &mut HashMap<u32, Arc<str>>, news: &mut Vec<News>) {
    while !rest.is_empty() {
        let message = match NetlinkMessage::<Told>::deserialize(rest) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!("a netlink message cannot be read: {error}");
                news.push(News::Lost);
                return;
            }
        };
        // Messages are padded to four bytes (netlink(7), NLMSG_ALIGN).
        let taken = (message.header.length as usize).next_multiple_of(4).max(4);
        rest = rest.get(taken..).unwrap_or_default();
        // An answer to the question for all is no news: it says what is called how, and whoever asked looks at
        // everything anyway.
        match message.header.flags & NLM_F_MULTIPART {
            0 => heard(names, message.payload, news),
            _ => heard(names, message.payload, &mut Vec::new()),
        }
    }
}

/// Notes the names that a message is about: the one it has, and the one it had.
fn heard(names: &mut HashMap<u32, Arc<str>>, payload: NetlinkPayload<Told>, news: &mut Vec<News>) {
    let (Link { index, name }, gone) = match payload {
        NetlinkPayload::InnerMessage(Told::There(link)) => (link, false),
        NetlinkPayload::InnerMessage(Told::Gone(link)) => (link, true),
        _ => return,
    };
    let before = match gone {
        true => names.remove(&index),
        false => names.insert(index, name.clone()),
    };
    if let Some(before) = before.filter(|before| *before != name) {
        news.extend([News::Interface(name), News::Interface(before)]);
    } else {
        news.push(News::Interface(name));
    }
}

/// No room in the socket: messages were lost (netlink(7)).
pub(super) const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

impl AsRawFd for Links {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkHeader;
    use netlink_packet_route::{
        RouteNetlinkMessage,
        address::AddressMessage,
        link::{LinkAttribute, LinkMessage},
    };
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What the kernel would send, by the library that knows all of it.
    fn message(inner: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(inner));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn link(index: u32, name: &str) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.extend([LinkAttribute::Mtu(1500), LinkAttribute::IfName(name.into())]);
        link
    }

    #[track_caller]
    fn check(messages: impl IntoIterator<Item = Vec<u8>>, wanted: &[News]) {
        let (mut names, mut news) = (HashMap::new(), Vec::new());
        // All in one buffer, as one `recv` gives them.
        read(&messages.into_iter().flatten().collect::<Vec<_>>(), &mut names, &mut news);
        assert_eq!(news, wanted);
    }

    fn interface(name: &str) -> News {
        News::Interface(name.into())
    }

    #[test]
    fn a_rename_is_news_of_both_names() {
        let messages = [
            RouteNetlinkMessage::NewLink(link(2, "eth0")),
            RouteNetlinkMessage::NewLink(link(2, "lan0")),
            RouteNetlinkMessage::DelLink(link(2, "lan0")),
        ];
        let wanted = [interface("eth0"), interface("lan0"), interface("eth0"), interface("lan0")];
        check(messages.map(message), &wanted);
    }

    #[test]
    fn what_is_not_about_a_named_interface_is_no_news_and_no_loss() {
        let nameless = RouteNetlinkMessage::NewLink(LinkMessage::default());
        let address = RouteNetlinkMessage::NewAddress(AddressMessage::default());
        check(
            [nameless, address, RouteNetlinkMessage::NewLink(link(3, "eth1"))].map(message),
            &[interface("eth1")],
        );
    }

    #[test]
    fn a_message_that_is_cut_or_wrong_is_a_loss() {
        let whole = message(RouteNetlinkMessage::NewLink(link(2, "eth0")));
        check([whole[..whole.len() - 1].to_vec()], &[News::Lost]);
        // An attribute longer than what is there: that of the MTU, behind both headers.
        let mut wrong = whole.clone();
        wrong[32..34].copy_from_slice(&u16::MAX.to_ne_bytes());
        check([wrong], &[News::Lost]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..96), kind in 16_u16..19) {
            let mut bytes = bytes;
            if bytes.len() >= 16 {
                // The header right, so that more than the header is read.
                let length = bytes.len() as u32;
                bytes[..4].copy_from_slice(&length.to_ne_bytes());
                bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            }
            read(&bytes, &mut HashMap::new(), &mut Vec::new());
        }
    }

    #[tokio::test]
    async fn the_interfaces_there_are_at_the_start_are_known_and_no_news() {
        let mut links = Links::listen().unwrap();
        let mut news = Vec::new();
        let fd = crate::probes::readable(&links).unwrap();
        while links.names.get(&1).is_none_or(|name| &**name != "lo") {
            fd.readable().await.unwrap().clear_ready();
            links.drain(&mut news).unwrap();
        }
        assert!(!news.contains(&News::Interface("lo".into())));
    }
}
