//! Interfaces made for a scenario, and every way to set their MTU.
#![expect(unsafe_code, reason = "the old way to set an MTU is an ioctl")]

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    path::{Path, PathBuf},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index};

use super::Network;

/// The index of `lo` in every network namespace.
const LO: u32 = 1;

/// The way an MTU is set.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// rtnetlink, as ip(8) does.
    Netlink,
    /// SIOCSIFMTU, as ifconfig(8) does.
    Ioctl,
    /// A write to /sys/class/net/NAME/mtu.
    Sysfs,
}

/// An interface that goes with the value.
#[derive(Debug)]
pub struct Link {
    /// Its name.
    pub name: &'static str,
    index: u32,
}

impl Link {
    /// A `dummy` interface, or one end of a `veth` pair where the kernel has no dummies.
    pub fn new(name: &'static str) -> io::Result<Link> {
        Link::with(name, Vec::new())
    }

    /// The same, with an MTU from the first moment on.
    pub fn with_mtu(name: &'static str, mtu: u32) -> io::Result<Link> {
        Link::with(name, vec![LinkAttribute::Mtu(mtu)])
    }

    fn with(name: &'static str, attributes: Vec<LinkAttribute>) -> io::Result<Link> {
        create(name, vec![LinkInfo::Kind(InfoKind::Dummy)], attributes.clone())
            .or_else(|_| create(name, veth(vec![LinkAttribute::IfName(format!("{name}p"))]), attributes))
    }

    /// One end of a `veth` pair, whose other end has the same name in another network namespace.
    pub fn with_end_in(network: &Network, name: &'static str) -> io::Result<Link> {
        let peer = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::NetNsFd(network.descriptor())];
        create(name, veth(peer), Vec::new())
    }

    /// A bond of other interfaces, which must be down, as new ones are.
    pub fn bond(name: &'static str, slaves: &[&Link]) -> io::Result<Link> {
        let bond = create(name, vec![LinkInfo::Kind(InfoKind::Bond)], Vec::new())?;
        slaves.iter().try_for_each(|slave| slave.enslave_to(&bond))?;
        Ok(bond)
    }

    /// A VLAN on another interface.
    pub fn vlan(name: &'static str, parent: &Link, id: u16) -> io::Result<Link> {
        let data = LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)]));
        create(name, vec![LinkInfo::Kind(InfoKind::Vlan), data], vec![LinkAttribute::Link(parent.index)])
    }

    /// The interface of this name, however it came to be.
    pub fn found(name: &'static str) -> io::Result<Link> {
        Ok(Link { name, index: index(name)? })
    }

    /// Makes it a slave of a bond.
    pub fn enslave_to(&self, bond: &Link) -> io::Result<()> {
        self.set(LinkAttribute::Controller(bond.index))
    }

    /// Gives it another name. It must be down, as new ones are.
    #[track_caller]
    pub fn rename(&mut self, name: &'static str) {
        self.set(LinkAttribute::IfName(name.into()))
            .unwrap_or_else(|e| panic!("cannot rename {} to {name}: {e}", self.name));
        self.name = name;
    }

    /// Gives it a further name, or takes that away.
    #[track_caller]
    pub fn altname(&self, name: &str, has: bool) {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(name.to_owned())]));
        let (message, flags) = match has {
            true => (RouteNetlinkMessage::NewLinkProp(message), NLM_F_CREATE | NLM_F_EXCL),
            false => (RouteNetlinkMessage::DelLinkProp(message), 0),
        };
        ask(message, flags).unwrap_or_else(|e| panic!("{} and {name}, {has}: {e}", self.name));
    }

    /// Moves it to another network namespace.
    #[track_caller]
    pub(super) fn move_to(&self, namespace: RawFd) {
        self.set(LinkAttribute::NetNsFd(namespace))
            .unwrap_or_else(|e| panic!("cannot move {}: {e}", self.name));
    }

    fn set(&self, attribute: LinkAttribute) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message.attributes.push(attribute);
        ask(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Its key, as driftd spells it.
    pub fn key(&self) -> String {
        format!("link.{}.mtu", self.name)
    }

    /// Its MTU now.
    #[track_caller]
    pub fn mtu(&self) -> String {
        super::read(&sysfs(self.name).join("mtu"))
    }

    /// Sets its MTU.
    #[track_caller]
    pub fn set_mtu(&self, way: Way, mtu: u32) {
        let done = match way {
            Way::Netlink => set_mtu_by_netlink(self.index, mtu),
            Way::Ioctl => set_mtu_by_ioctl(self.name, mtu),
            Way::Sysfs => super::write(&sysfs(self.name).join("mtu"), &mtu.to_string()),
        };
        done.unwrap_or_else(|e| panic!("cannot set the MTU of {} to {mtu} ({way:?}): {e}", self.name));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        let _ = ask(RouteNetlinkMessage::DelLink(message), 0);
    }
}

/// Sets the MTU of `lo` in the network namespace of this thread.
#[track_caller]
pub fn set_mtu_of_lo(mtu: u32) {
    set_mtu_by_netlink(LO, mtu).unwrap_or_else(|e| panic!("cannot set the MTU of lo to {mtu}: {e}"));
}

/// Brings an interface up.
pub fn set_up(name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index(name)?;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    ask(RouteNetlinkMessage::SetLink(message), 0)
}

fn sysfs(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// The index of an interface in the network namespace of this thread, of which /sys may know nothing.
pub(super) fn index(name: &str) -> io::Result<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(name_to_index(&socket, name)?)
}

/// A `veth` pair, whose other end has these attributes.
fn veth(peer: Vec<LinkAttribute>) -> Vec<LinkInfo> {
    let mut message = LinkMessage::default();
    message.attributes = peer;
    vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message)))]
}

fn create(name: &'static str, info: Vec<LinkInfo>, attributes: Vec<LinkAttribute>) -> io::Result<Link> {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(info));
    ask(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
    Link::found(name)
}

fn set_mtu_by_netlink(index: u32, mtu: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Mtu(mtu));
    ask(RouteNetlinkMessage::SetLink(message), 0)
}

fn set_mtu_by_ioctl(name: &str, mtu: u32) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `struct ifreq` is plain data, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_mtu = mtu.cast_signed();
    // SAFETY: SIOCSIFMTU reads one `struct ifreq`, whose name ends with a zero: the names here are short.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends one request to rtnetlink and waits for its answer.
fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(_) => Err(error.to_io()),
        },
        other => Err(io::Error::other(format!("rtnetlink answered {other:?}"))),
    }
}
