//! Sysctls that are coupled: a write of one sets another too, and only the written one is told by a probe.
//!
//! Each line was seen on booted kernels, 5.10 to 7.2, but for those of IPv6 forwarding and of the two names of
//! `nf_conntrack_max` (the kernel's Documentation/networking/ip-sysctl.rst and nf_conntrack-sysctl.rst).

/// Pairs of which one counts: writing either sets the other to 0. The kernel's Documentation/admin-guide/sysctl/vm.rst
/// calls them counterparts.
const PAIRS: [(&str, &str); 3] = [
    ("vm/dirty_bytes", "vm/dirty_ratio"),
    ("vm/dirty_background_bytes", "vm/dirty_background_ratio"),
    ("vm/overcommit_kbytes", "vm/overcommit_ratio"),
];

const IP_FORWARD: &str = "net/ipv4/ip_forward";
const FORWARDING: &str = "net/ipv4/conf/all/forwarding";
/// What `all` of IPv6 sets in each interface and in `default` too (net/ipv6/addrconf.c).
const CASCADE: [&str; 3] = ["forwarding", "disable_ipv6", "ignore_routes_with_linkdown"];
const CONNTRACK_MAX: [&str; 2] = ["net/netfilter/nf_conntrack_max", "net/nf_conntrack_max"];

/// The sysctl of which only one counts: the other of its pair.
pub(super) fn counterpart(name: &str) -> Option<&'static str> {
    PAIRS.iter().find_map(|(one, other)| match name {
        _ if name == *one => Some(*other),
        _ if name == *other => Some(*one),
        _ => None,
    })
}

/// The sysctls a write of which may set this one too. All names have `/` between their components.
pub(super) fn movers(name: &str) -> Vec<String> {
    let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    if let Some(other) = counterpart(name) {
        return fixed(&[other]);
    }
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["net", "ipv4", "ip_forward"] => fixed(&[FORWARDING]),
        ["net", "ipv4", "conf", "all", "forwarding"] => fixed(&[IP_FORWARD]),
        ["net", "ipv4", "conf", _, "forwarding"] | ["net", "ipv4", "conf", "all", "accept_redirects"] => {
            fixed(&[IP_FORWARD, FORWARDING])
        }
        // The default is copied to each interface for which nobody ever set another.
        ["net", "ipv4", "conf", interface, field] if !["all", "default"].contains(interface) => {
            vec![format!("net/ipv4/conf/default/{field}")]
        }
        ["net", "ipv6", "conf", interface, field] if *interface != "all" && CASCADE.contains(field) => {
            vec![format!("net/ipv6/conf/all/{field}")]
        }
        _ if CONNTRACK_MAX.contains(&name) => {
            CONNTRACK_MAX.iter().filter(|other| **other != name).map(|other| (*other).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, wanted: &[&str]) {
        assert_eq!(movers(name), wanted);
    }

    #[test]
    fn a_sysctl_is_moved_by_writes_of_those_it_is_coupled_to_and_by_no_others() {
        check("vm/dirty_ratio", &["vm/dirty_bytes"]);
        check("vm/dirty_bytes", &["vm/dirty_ratio"]);
        check("vm/overcommit_ratio", &["vm/overcommit_kbytes"]);
        check("vm/dirty_expire_centisecs", &[]);
        check("net/ipv4/ip_forward", &["net/ipv4/conf/all/forwarding"]);
        check("net/ipv4/conf/all/forwarding", &["net/ipv4/ip_forward"]);
        check("net/ipv4/conf/eth0.100/forwarding", &["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"]);
        check("net/ipv4/conf/all/accept_redirects", &["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"]);
        check("net/ipv4/conf/eth0/rp_filter", &["net/ipv4/conf/default/rp_filter"]);
        // What `all` says is taken together with the interface's own where it is used, and moves nothing.
        check("net/ipv4/conf/all/rp_filter", &[]);
        check("net/ipv4/conf/default/rp_filter", &[]);
        check("net/ipv6/conf/eth0/disable_ipv6", &["net/ipv6/conf/all/disable_ipv6"]);
        check("net/ipv6/conf/default/disable_ipv6", &["net/ipv6/conf/all/disable_ipv6"]);
        check("net/ipv6/conf/all/disable_ipv6", &[]);
        check("net/ipv6/conf/eth0/accept_ra", &[]);
        check("net/netfilter/nf_conntrack_max", &["net/nf_conntrack_max"]);
        check("net/nf_conntrack_max", &["net/netfilter/nf_conntrack_max"]);
    }

    #[test]
    fn nothing_moves_itself_and_a_pair_moves_both_ways() {
        for name in PAIRS.iter().flat_map(|(one, other)| [*one, *other]).chain([IP_FORWARD, FORWARDING]) {
            for mover in movers(name) {
                assert_ne!(mover, name);
                assert!(movers(&mover).iter().any(|back| back == name), "{mover} and {name}");
            }
        }
    }
}
