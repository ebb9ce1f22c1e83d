//! Ways around: what changes the value that a sysctl shows, and writes no sysctl.
#![expect(unsafe_code, reason = "syslog(2) has no wrapper but libc's")]

use std::{io, ptr};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use super::netlink;

/// The index of `lo` in every network namespace.
const LO: u32 = 1;

/// Message types of rtnetlink(7) (include/uapi/linux/rtnetlink.h).
const RTM_SETLINK: u16 = 19;
const RTM_SETNEIGHTBL: u16 = 67;

/// Attributes of a link (include/uapi/linux/if_link.h), and the number of `rp_filter` among the settings of IPv4
/// (`IPV4_DEVCONF_RP_FILTER`, include/uapi/linux/ip.h).
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET_CONF: u16 = 1;
const RP_FILTER: u16 = 8;

/// Attributes of a table of neighbours (include/uapi/linux/neighbour.h).
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_APP_PROBES: u16 = 9;

/// The one message of nfnetlink that sets what a timeout of connection tracking is where nothing else is said:
/// `NFNL_SUBSYS_CTNETLINK_TIMEOUT` (include/uapi/linux/netfilter/nfnetlink.h) and `IPCTNL_MSG_TIMEOUT_DEFAULT_SET`
/// (include/uapi/linux/netfilter/nfnetlink_cttimeout.h), which has its attributes too.
const TIMEOUT_DEFAULT_SET: u16 = 8 << 8 | 3;
const CTA_TIMEOUT_L3PROTO: u16 = 2;
const CTA_TIMEOUT_L4PROTO: u16 = 3;
const CTA_TIMEOUT_DATA: u16 = 4;
const CTA_TIMEOUT_UDP_UNREPLIED: u16 = 1;

/// Sets rp_filter of `lo` as `ip link` could: RTM_SETLINK, with the settings of IPv4 in it.
pub fn set_rp_filter_of_lo(value: u32) -> io::Result<()> {
    let inet = attribute(libc::AF_INET as u16, &attribute(IFLA_INET_CONF, &number(RP_FILTER, value)));
    // `struct ifinfomsg`: family and type, index, flags and their mask.
    let mut body = vec![0; 4];
    body.extend(LO.to_ne_bytes());
    body.extend([0; 8]);
    body.extend(attribute(IFLA_AF_SPEC, &inet));
    ask(NETLINK_ROUTE, RTM_SETLINK, &body)
}

/// Sets app_probes of `lo`, as `ip ntable change name arp_cache dev lo app_probes N` does; the sysctl is
/// `net.ipv4.neigh.lo.app_solicit`.
pub fn set_app_probes_of_lo(value: u32) -> io::Result<()> {
    let mut of_lo = number(NDTPA_IFINDEX, LO);
    of_lo.extend(number(NDTPA_APP_PROBES, value));
    // `struct ndtmsg`: the family, and padding.
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    body.extend(attribute(NDTA_NAME, b"arp_cache\0"));
    body.extend(attribute(NDTA_PARMS, &of_lo));
    ask(NETLINK_ROUTE, RTM_SETNEIGHTBL, &body)
}

/// Sets for how many seconds connection tracking waits for the first answer to a packet of UDP, as `nfct add timeout`
/// could; the sysctl is `net.netfilter.nf_conntrack_udp_timeout`. The module nfnetlink_cttimeout must be there.
pub fn set_timeout_of_udp(seconds: u32) -> io::Result<()> {
    let seconds = attribute(CTA_TIMEOUT_UDP_UNREPLIED, &seconds.to_be_bytes());
    // `struct nfgenmsg`: the family, the version, and a resource that is none.
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    body.extend(attribute(CTA_TIMEOUT_L3PROTO, &(libc::AF_INET as u16).to_be_bytes()));
    body.extend(attribute(CTA_TIMEOUT_L4PROTO, &[libc::IPPROTO_UDP as u8]));
    body.extend(attribute(libc::NLA_F_NESTED as u16 | CTA_TIMEOUT_DATA, &seconds));
    ask(NETLINK_NETFILTER, TIMEOUT_DEFAULT_SET, &body)
}

/// Sets which messages of the kernel reach the console, as `dmesg -n LEVEL` does: the first number of
/// `kernel.printk`.
pub fn set_console_level(level: i32) -> io::Result<()> {
    // `SYSLOG_ACTION_CONSOLE_LEVEL` (include/linux/syslog.h).
    const CONSOLE_LEVEL: libc::c_int = 8;
    // SAFETY: this action takes a number where others take a length, and no buffer.
    let result = unsafe { libc::klogctl(CONSOLE_LEVEL, ptr::null_mut(), level) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An attribute: its length and its type, then its content, filled up to a multiple of four bytes.
fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds one number.
fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

/// Sends one request to a family of netlink and waits for its answer.
fn ask(family: isize, kind: u16, body: &[u8]) -> io::Result<()> {
    let socket = netlink::connect(family)?;
    netlink::send(&socket, kind, libc::NLM_F_ACK, body)?;
    let (answer, _) = socket.recv_from_full()?;
    netlink::acknowledged(&answer)
        .unwrap_or_else(|| Err(io::Error::other(format!("netlink answered {answer:?}"))))
}
