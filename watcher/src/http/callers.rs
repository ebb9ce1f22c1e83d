//! Who calls, by address: whom the configuration lets in, whom a proxy speaks for, and who has shown too many wrong
//! signatures.
//!
//! Nothing here knows a secret. What one address does is held against that address alone, and the memory of it is
//! bounded.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use tokio::time::Instant;

use super::answer::Refused;
use crate::config;

/// What proxies tell of whom they speak for; `Forwarded` (RFC 7239) is not read, so that no sender can say one thing
/// in the one and another in the other.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many wrong signatures an address may show at once. A sender whose secret is wrong tries again a few times; the
/// log has said enough by then.
pub const WRONG: u32 = 10;

/// How many addresses are remembered: 4096, with 100 bytes each at the most.
const REMEMBERED: usize = 4096;

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 host is usually given whole (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share(IpAddr);

impl Share {
    /// What this address counts as.
    pub fn of(address: IpAddr) -> Share {
        Share(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Who is at the other end of the connection.
    pub peer: SocketAddr,
    /// Who sent it, if a proxy of ours is.
    pub sender: IpAddr,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sender == self.peer.ip() {
            true => self.peer.fmt(f),
            false => write!(f, "{} by {}", self.sender, self.peer),
        }
    }
}

/// Who may call, and how each has behaved.
pub struct Callers {
    settings: config::Callers,
    wrong: Mutex<Wrong>,
}

/// Whether an address is told of in the log, after what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// As any.
    Yes,
    /// As any, and that it is not heard any more for a while.
    Last,
    /// No more: it would fill the log.
    No,
}

impl Callers {
    /// Nobody has behaved in any way yet. One wrong signature is forgotten after so long, one after the other.
    pub fn new(settings: config::Callers, forgotten: Duration) -> Callers {
        Callers { settings, wrong: Mutex::new(Wrong::new(forgotten)) }
    }

    /// Whether a connection from this address is taken at all: from who may send, and from proxies.
    pub fn connects(&self, peer: IpAddr) -> bool {
        self.sends(peer) || holds(&self.settings.proxies, peer)
    }

    /// Whether this sender may send.
    fn sends(&self, sender: IpAddr) -> bool {
        self.settings.allow.as_ref().is_none_or(|allow| holds(allow, sender))
    }

    /// The address of who sent a request: the peer's own, or, where the peer is a proxy of ours, the one that it says
    /// it speaks for. That is the last one in the list which is no proxy of ours: all before it was written by who
    /// knows whom. Where the list cannot be read, the sender is the last that could be.
    fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut sender = peer;
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let listed = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in listed {
            if !holds(&self.settings.proxies, sender) {
                break;
            }
            let Some(before) = address(entry.trim_ascii()) else { break };
            sender = before;
        }
        sender
    }

    /// Whose request this is.
    pub fn caller(&self, peer: SocketAddr, headers: &HeaderMap) -> Caller {
        Caller { peer, sender: self.sender(peer.ip(), headers) }
    }

    /// What is answered to a request that is not heard, because its sender may not send or has shown too many wrong
    /// signatures; and whether that is worth a line in the log.
    pub fn refuses(&self, caller: &Caller) -> Option<(Refused, Told)> {
        if let Some(over) = self.wrong().silenced(Share::of(caller.sender), Instant::now()) {
            return Some((Refused::silenced(over), Told::No));
        }
        if self.sends(caller.sender) {
            return None;
        }
        let refused = Refused::uninvited(format!("`{}` is not in `allow`", caller.sender));
        Some((refused, self.hold_against(caller.sender)))
    }

    /// Holds one wrong signature against this sender.
    pub fn hold_against(&self, sender: IpAddr) -> Told {
        self.wrong().add(Share::of(sender), Instant::now())
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sends what is authentic and counts for nothing. As many of one address are told as it may show wrong signatures: one
/// that somebody kept and sends again and again fills neither the log nor the store, and takes no delivery's place.
pub struct Idle(Mutex<Wrong>);

impl Idle {
    /// Nobody has sent any yet. One is forgotten after so long, one after the other.
    pub fn new(forgotten: Duration) -> Idle {
        Idle(Mutex::new(Wrong::new(forgotten)))
    }

    /// Notes one from this sender: whether it is told.
    pub fn note(&self, sender: IpAddr) -> Told {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(Share::of(sender), Instant::now())
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address.to_canonical()))
}

/// An address as proxies write it: alone, in brackets, with or without a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let alone = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// The wrong signatures of each address, as the time at which the last of them is forgotten: each moves it on.
struct Wrong {
    until: HashMap<Share, Instant>,
    /// How long it takes to forget one.
    forgotten: Duration,
}

impl Wrong {
    fn new(forgotten: Duration) -> Wrong {
        Wrong { until: HashMap::new(), forgotten }
    }

    /// How long it takes to forget as many as an address may show.
    fn most(&self) -> Duration {
        self.forgotten * WRONG
    }

    fn silenced(&self, share: Share, now: Instant) -> Option<Duration> {
        let until = *self.until.get(&share)?;
        // Silent from the last that it may show until one of them is forgotten.
        let over = (until + self.forgotten).saturating_duration_since(now).checked_sub(self.most())?;
        (!over.is_zero()).then_some(over)
    }

    fn add(&mut self, share: Share, now: Instant) -> Told {
        let silent = self.silenced(share, now).is_some();
        if !self.until.contains_key(&share) {
            self.make_room(now);
        }
        let most = self.most();
        let until = self.until.entry(share).or_insert(now);
        // What it shows while it is silent makes it no worse: it is not listened to.
        *until = ((*until).max(now) + self.forgotten).min(now + most);
        match (silent, self.silenced(share, now).is_some()) {
            (true, _) => Told::No,
            (false, true) => Told::Last,
            (false, false) => Told::Yes,
        }
    }

    /// Forgets who has nothing against them any more; if all have, who has the least.
    fn make_room(&mut self, now: Instant) {
        if self.until.len() < REMEMBERED {
            return;
        }
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= REMEMBERED
            && let Some(least) = self.until.iter().min_by_key(|(_, until)| **until).map(|(share, _)| *share)
        {
            self.until.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const FORGOTTEN: Duration = Duration::from_secs(6);

    fn callers(allow: &[&str], proxies: &[&str]) -> Callers {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let allow = Some(networks(allow)).filter(|allow| !allow.is_empty());
        Callers::new(config::Callers { allow, proxies: networks(proxies) }, FORGOTTEN)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_list_anybody_may_send_and_with_one_only_who_is_in_it() {
        assert!(callers(&[], &[]).connects(ip("203.0.113.9")));
        let listed = callers(&["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"], &["10.0.0.1/32"]);
        for (address, may) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(listed.sends(ip(address)), may, "{address}");
        }
        assert!(listed.connects(ip("10.0.0.1")), "a proxy connects, for others");
        assert!(!listed.connects(ip("10.0.0.2")));
    }

    #[track_caller]
    fn check_sender(peer: &str, lines: &[&str], wanted: &str) {
        let callers = callers(&[], &["10.0.0.0/8", "2001:db8:a::/48"]);
        let line = |line: &&str| (FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        assert_eq!(
            callers.sender(ip(peer), &lines.iter().map(line).collect()),
            ip(wanted),
            "{peer} {lines:?}"
        );
    }

    #[test]
    fn who_is_no_proxy_of_ours_speaks_for_itself_whatever_it_says() {
        check_sender("203.0.113.9", &[], "203.0.113.9");
        check_sender("203.0.113.9", &["192.0.2.1"], "203.0.113.9");
        check_sender("203.0.113.9", &["10.0.0.1, 10.0.0.2"], "203.0.113.9");
        check_sender("2001:db8:b::1", &["192.0.2.1"], "2001:db8:b::1");
    }

    #[test]
    fn a_proxy_of_ours_is_believed_about_the_one_before_it_and_nobody_further() {
        check_sender("10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check_sender("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check_sender("10.0.0.1", &["6.6.6.6, 192.0.2.1"], "192.0.2.1");
        check_sender("10.0.0.1", &["6.6.6.6, 192.0.2.1,10.9.9.9 , 10.8.8.8"], "192.0.2.1");
        check_sender("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.9.9.9"], "192.0.2.1");
        check_sender("2001:db8:a::1", &["2001:db8:c::7"], "2001:db8:c::7");
        check_sender("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1");
        check_sender("10.0.0.1", &["[2001:db8:c::7]:4711"], "2001:db8:c::7");
        check_sender("10.0.0.1", &["[2001:db8:c::7]"], "2001:db8:c::7");
    }

    #[test]
    fn where_a_proxy_names_nobody_it_is_the_sender_itself() {
        for nobody in [&[][..], &[""], &["unknown"], &["192.0.2.1, unknown"], &["192.0.2.1,"], &["_secret"]] {
            check_sender("10.0.0.1", nobody, "10.0.0.1");
        }
        check_sender("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }

    #[test]
    fn an_ipv6_address_counts_with_its_64() {
        let same = |a: &str, b: &str| Share::of(ip(a)) == Share::of(ip(b));
        assert!(same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
    }

    fn share(number: u32) -> Share {
        Share::of(IpAddr::from(std::net::Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn too_many_wrong_signatures_silence_their_address_for_a_while_and_no_other() {
        let (mut wrong, start) = (Wrong::new(FORGOTTEN), Instant::now());
        for count in 1..=WRONG {
            let told = if count == WRONG { Told::Last } else { Told::Yes };
            assert_eq!(wrong.silenced(share(1), start), None, "before the {count}th");
            assert_eq!(wrong.add(share(1), start), told, "the {count}th");
        }
        assert_eq!(wrong.silenced(share(1), start), Some(FORGOTTEN));
        assert_eq!(wrong.silenced(share(2), start), None);
        // What it shows meanwhile is not told, and makes it no longer.
        for _ in 0..1000 {
            assert_eq!(wrong.add(share(1), start), Told::No);
        }
        assert_eq!(wrong.silenced(share(1), start), Some(FORGOTTEN));
        assert_eq!(wrong.silenced(share(1), start + FORGOTTEN), None, "one is forgotten");
        assert_eq!(wrong.add(share(1), start + FORGOTTEN), Told::Last);
        let later = start + FORGOTTEN * 2 * WRONG;
        assert_eq!(wrong.add(share(1), later), Told::Yes, "all are forgotten");
    }

    #[test]
    fn who_remembers_the_wrong_signatures_of_all_the_world_keeps_the_worst_and_no_more() {
        let (mut wrong, now) = (Wrong::new(FORGOTTEN), Instant::now());
        for _ in 0..WRONG {
            wrong.add(share(0), now);
        }
        for number in 1..=6_000 {
            wrong.add(share(number), now);
        }
        assert_eq!(wrong.until.len(), REMEMBERED);
        assert!(wrong.silenced(share(0), now).is_some(), "one wrong signature each does not push out ten");
        // When all is forgotten, one that comes takes the room of all.
        wrong.add(share(9999), now + wrong.most() + FORGOTTEN);
        assert_eq!(wrong.until.len(), 1);
    }
}
