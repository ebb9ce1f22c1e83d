//! rtnetlink: which interfaces changed, without a writer. Listened to with every plan but `none`, for what the hook
//! misses: interfaces created, renamed, moved, gone.
//!
//! A message is a hint and no more: the MTU itself is re-read.

use std::{collections::HashMap, io, os::fd::AsRawFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

/// `RTNLGRP_LINK`, include/uapi/linux/rtnetlink.h.
const LINKS: u32 = 1;

/// What the kernel has room for. A burst of a thousand messages of under 2 KiB fits; more is told as lost, and a dump
/// follows.
const ROOM: usize = 2 << 20;

/// A socket that hears of interfaces.
pub struct Links {
    socket: Socket,
    names: HashMap<u32, Box<str>>,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Something about the interface of this name changed.
    Interface(Box<str>),
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
        let links = Links { socket, names: HashMap::new(), buffer: vec![0; 1 << 16] };
        links.ask_for_all()?;
        Ok(links)
    }

    fn ask_for_all(&self) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_DUMP | NLM_F_REQUEST;
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// Reads all that is there; the socket does not block.
    pub fn drain(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        loop {
            let mut room = self.buffer.as_mut_slice();
            match self.socket.recv(&mut room, 0) {
                Ok(length) => self.read(length, news),
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

    fn read(&mut self, length: usize, news: &mut Vec<News>) {
        let mut rest = self.buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let message = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
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
                0 => heard(&mut self.names, message.payload, news),
                _ => heard(&mut self.names, message.payload, &mut Vec::new()),
            }
        }
    }
}

/// Notes the names that a message is about: the one it has, and the one it had.
fn heard(
    names: &mut HashMap<u32, Box<str>>,
    payload: NetlinkPayload<RouteNetlinkMessage>,
    news: &mut Vec<News>,
) {
    let (link, gone) = match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => (link, false),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => (link, true),
        _ => return,
    };
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    let Some(name) = name else { return };
    let before = match gone {
        true => names.remove(&link.header.index),
        false => names.insert(link.header.index, name.into()),
    };
    news.push(News::Interface(name.into()));
    if let Some(before) = before.filter(|before| &**before != name) {
        news.push(News::Interface(before));
    }
}

/// No room in the socket: messages were lost (netlink(7)).
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

impl AsRawFd for Links {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfName(name.into()));
        link
    }

    #[test]
    fn a_rename_is_news_of_both_names() {
        let (mut names, mut news) = (HashMap::new(), Vec::new());
        for message in [
            RouteNetlinkMessage::NewLink(link(2, "eth0")),
            RouteNetlinkMessage::NewLink(link(2, "lan0")),
            RouteNetlinkMessage::DelLink(link(2, "lan0")),
        ] {
            heard(&mut names, NetlinkPayload::InnerMessage(message), &mut news);
        }
        let name = |name: &str| News::Interface(name.into());
        assert_eq!(news, [name("eth0"), name("lan0"), name("eth0"), name("lan0")]);
        assert!(names.is_empty());
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
