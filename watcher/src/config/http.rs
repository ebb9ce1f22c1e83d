//! The `http:` section: where the state is served for reading, beside the Unix socket.

use std::net::SocketAddr;

use super::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar,
};

/// The listener for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The loopback address it listens on.
    pub listen: SocketAddr,
    /// Names besides the loopback's own by which a request may call this host: those of a proxy on it.
    pub hosts: Vec<Box<str>>,
}

pub(super) const FIELDS: [&str; 2] = ["listen", "hosts"];

/// Checks the section. Nothing where there was a mistake.
pub(super) fn http(section: &Entry, problems: &mut Problems) -> Option<Http> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map with `listen`");
        problems.push(section.value.span, section.value.described(), wrong);
        return None;
    };
    let (mut address, mut hosts, mut named) = (None, Vec::new(), false);
    for entry in entries {
        match &*entry.name.text {
            "listen" => {
                named = true;
                address = listen(&entry.value, problems);
            }
            "hosts" => hosts = names(&entry.value, problems),
            _ => scalar::unknown(&entry.name, "a field of `http`", &FIELDS, problems),
        }
    }
    if !named {
        let wrong =
            Wrong::new("`listen` in it").hint("an address and a port, as in `listen: 127.0.0.1:9757`");
        problems.push(section.name.span, "`http` without `listen`", wrong);
    }
    Some(Http { listen: address?, hosts })
}

fn listen(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    const WANTED: &str = "a loopback address and a port, as in `127.0.0.1:9757`";
    scalar::value(node, WANTED, problems, |text| match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(Wrong::new(WANTED).hint(
            "what is served here asks for no credential: for other hosts, let a proxy on this one ask for it",
        )),
        Err(_) => Err(Wrong::new(WANTED).hint("an address and not a name; IPv6 as in `\"[::1]:9757\"`")),
    })
}

/// One name or a list of them.
fn names(node: &Node, problems: &mut Problems) -> Vec<Box<str>> {
    const WANTED: &str = "a host name, as in `db1.example.org`";
    let mut name = |node: &Node| {
        scalar::value(node, WANTED, problems, |text| {
            // RFC 952 and 1123, and `_`, which is met.
            let known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            match (1..=253).contains(&text.len()) && text.bytes().all(known) {
                true => Ok(text.to_ascii_lowercase().into()),
                false => Err(Wrong::new(WANTED).hint("the name alone, without a scheme and a port")),
            }
        })
    };
    match &node.tree {
        Tree::List(list) => list.iter().filter_map(name).collect(),
        _ => name(node).into_iter().collect(),
    }
}
