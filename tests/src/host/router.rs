//! A router at the other end of an interface: what it advertises the kernel takes over, and nobody writes it.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddrV6},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};

use super::{
    Link, Network,
    link::{index, set_up},
    read, write,
};

/// All who are on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// `IFA_F_TENTATIVE`, include/uapi/linux/if_addr.h.
const TENTATIVE: u32 = 0x40;

/// How long the kernel may take to do what it was asked for. Under emulation all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a router says of its link (RFC 4861, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// How many routers a packet may pass: `net.ipv6.conf.X.hop_limit`.
    HopLimit(u8),
    /// How large a packet may be, in bytes: `net.ipv6.conf.X.mtu`.
    Mtu(u32),
}

/// A router, and the interface whose other end it has; both go with the value.
#[derive(Debug)]
pub struct Router {
    link: Link,
    network: Network,
}

impl Router {
    /// Makes the interface, with the router at its other end. Both ends have their addresses when this returns.
    #[track_caller]
    pub fn new(name: &'static str) -> Router {
        let network = Network::new();
        let link = Link::with_end_in(&network, name).expect("a pair of interfaces can be made");
        let bring_up = || {
            // Nobody else is on the link: whether an address is somebody else's need not be asked.
            write(&conf(name, "accept_dad"), "0").expect("root may write");
            set_up(name).expect("an interface can be brought up");
        };
        bring_up();
        network.enter(bring_up);
        wait_for_address(name);
        network.enter(|| wait_for_address(name));
        Router { link, network }
    }

    /// Sends one advertisement to all on the link, and waits until the kernel has taken it over.
    #[track_caller]
    pub fn advertise(&self, what: Advertised) {
        let name = self.link.name;
        let (leaf, value) = match what {
            Advertised::HopLimit(hops) => ("hop_limit", u32::from(hops)),
            Advertised::Mtu(mtu) => ("mtu", mtu),
        };
        self.network.enter(|| send(name, what)).unwrap_or_else(|e| panic!("cannot send {what:?}: {e}"));
        wait_until(&format!("{name} takes over {what:?}"), || {
            read(&conf(name, leaf)).parse().is_ok_and(|now: u32| now == value)
        });
    }
}

/// The file of one of an interface's sysctls of IPv6.
fn conf(name: &str, leaf: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf").join(name).join(leaf)
}

/// Sends one advertisement from an interface of this thread's network namespace.
fn send(name: &str, what: Advertised) -> io::Result<()> {
    let socket = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6))?;
    // What came from further away is no neighbour's word, and counts for nothing (section 6.1.2).
    sockopt::set_ipv6_multicast_hops(&socket, 255)?;
    let to = SocketAddrV6::new(ALL_NODES, 0, 0, index(name)?);
    sendto(&socket, &message(what), SendFlags::empty(), &to)?;
    Ok(())
}

/// The advertisement of a router that is nobody's default. The kernel fills in the checksum.
fn message(what: Advertised) -> Vec<u8> {
    // The type, and the hop limit at the fifth place: 0 says nothing of it.
    let hops = if let Advertised::HopLimit(hops) = what { hops } else { 0 };
    let mut bytes = vec![134, 0, 0, 0, hops];
    // Flags, and three times that are not told.
    bytes.resize(16, 0);
    if let Advertised::Mtu(mtu) = what {
        // The option: its type, its length in units of eight bytes, two bytes that mean nothing.
        bytes.extend([5, 1, 0, 0]);
        bytes.extend(mtu.to_be_bytes());
    }
    bytes
}

/// Waits until an interface of this thread's network namespace has an address that may be used.
#[track_caller]
fn wait_for_address(name: &str) {
    wait_until(&format!("{name} has an address"), || {
        let addresses = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
        addresses.lines().any(|line| {
            // The address, its index, prefix, scope, flags, and the interface's name (proc_pid_net(5)).
            let mut words = line.split_whitespace().skip(4);
            let flags = words.next().and_then(|flags| u32::from_str_radix(flags, 16).ok());
            words.next() == Some(name) && flags.is_some_and(|flags| flags & TENTATIVE == 0)
        })
    });
}

/// Waits until something is so.
#[track_caller]
fn wait_until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
        thread::yield_now();
    }
}
