//! Tunnels as ip-tunnel(8) makes and changes them: by ioctls that set the MTU past every function that sets an MTU.
#![expect(unsafe_code, reason = "tunnels are changed by an ioctl")]

use std::{io, net::Ipv4Addr, os::fd::AsRawFd};

use rustix::net::{AddressFamily, SocketType};

use super::{Link, Sysctl, load_module, unload_module};

/// `SIOCADDTUNNEL` and `SIOCCHGTUNNEL` (include/uapi/linux/if_tunnel.h).
const ADD: libc::Ioctl = 0x89f1;
const CHANGE: libc::Ioctl = 0x89f3;

/// `GRE_KEY`, in the order of the network: four bytes more in each packet.
const KEY: u16 = 0x2000_u16.to_be();

/// The interface that makes the others.
const FALLBACK: &str = "gre0";

/// `struct ip_tunnel_parm`, with the `struct iphdr` at its end.
#[repr(C)]
struct Parameters {
    name: [u8; 16],
    link: i32,
    in_flags: u16,
    out_flags: u16,
    in_key: u32,
    out_key: u32,
    /// Version 4, and five words of header.
    version: u8,
    service: u8,
    length: u16,
    id: u16,
    fragment: u16,
    hops: u8,
    protocol: u8,
    check: u16,
    source: u32,
    destination: u32,
}

impl Link {
    /// A `gre` tunnel to nowhere.
    pub fn gre(name: &'static str) -> io::Result<Link> {
        if Link::found(FALLBACK).is_err() {
            load_with_fallback()?;
        }
        tunnel(ADD, FALLBACK, parameters(name))?;
        Link::found(name)
    }

    /// `ip tunnel change NAME okey 1`: a `gre` tunnel's packets get a key, and its MTU gets smaller by that.
    #[track_caller]
    pub fn give_key(&self) {
        let parameters = Parameters { out_flags: KEY, out_key: 1_u32.to_be(), ..parameters(self.name) };
        tunnel(CHANGE, self.name, parameters)
            .unwrap_or_else(|e| panic!("cannot change the tunnel {}: {e}", self.name));
    }
}

/// Loads the module anew, so that it makes the interface that makes the others: our PID 1 has kept it from that.
fn load_with_fallback() -> io::Result<()> {
    let sysctl = Sysctl::of("net.core.fb_tunnels_only_for_init_net");
    sysctl.write("0");
    unload_module("ip_gre")?;
    load_module("ip_gre")
}

fn parameters(name: &str) -> Parameters {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let address = |last| u32::from(Ipv4Addr::new(192, 0, 2, last)).to_be();
    Parameters {
        name: bytes,
        link: 0,
        in_flags: 0,
        out_flags: 0,
        in_key: 0,
        out_key: 0,
        version: 0x45,
        service: 0,
        length: 0,
        id: 0,
        fragment: 0,
        hops: 0,
        protocol: 47, // IPPROTO_GRE
        check: 0,
        source: address(1),
        destination: address(2),
    }
}

fn tunnel(what: libc::Ioctl, name: &str, mut parameters: Parameters) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `struct ifreq` is plain data, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut parameters).cast();
    // SAFETY: the kernel reads the request, whose name ends with a zero, and reads and writes the parameters behind
    // its pointer, which live until it returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
