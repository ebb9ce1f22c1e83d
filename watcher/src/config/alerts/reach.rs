//! What a sink is reached by: addresses, mail servers, repositories, programs. Whether anybody is there is not asked.

use hyper::http::uri::Authority;

use super::{Address, Endpoint};
use crate::config::{
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar,
};

/// A token does not go over a network in the open.
pub(super) fn in_the_open(to: &Endpoint, fields: &[Entry], problems: &mut Problems) -> Option<()> {
    let Address::Written(url) = &to.url else { return Some(()) };
    let token = fields.iter().find(|field| &*field.name.text == "token");
    match token {
        Some(token) if url.parse().is_ok_and(|uri| shows(&uri)) => {
            let wrong = Wrong::new("an `https://` address beside it")
                .hint("plain HTTP would show the token to everyone on the way");
            problems.push(token.name.span, "`token` for a plain address", wrong);
            None
        }
        _ => Some(()),
    }
}

/// Where messages are posted.
pub(super) fn url(node: &Node, problems: &mut Problems) -> Option<Box<str>> {
    // The path of a webhook is a secret, and without a scheme nobody can tell where it begins.
    scalar::discreet(
        node,
        URL,
        problems,
        |text| !text.contains("://"),
        |text| check_url(text).map(|()| text.into()),
    )
}

const URL: &str = "an address, as in `https://pager.example.org/hook`";

/// Whether a text is an address that can be posted to.
fn check_url(text: &str) -> Result<(), Wrong> {
    let uri: hyper::Uri = text.parse().map_err(|_| Wrong::new(URL))?;
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        return Err(Wrong::new(URL).hint("it begins with `https://`, or with `http://`"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(Wrong::new(URL).hint("no password in an address: a token has a file of its own, `token`"))
        }
        Some(authority) if is_host(authority) => Ok(()),
        _ => Err(Wrong::new(URL)),
    }
}

/// Whether something can be posted there: over HTTP, to a host, without a name and a password before it.
pub fn is_posted_to(uri: &hyper::Uri) -> bool {
    matches!(uri.scheme_str(), Some("https" | "http")) && uri.authority().is_some_and(is_host)
}

/// Whether it is a host with a port or with nothing behind it. The parser takes whatever stands there for a port, and in
/// `https://me:secret/x@host/` that is a part of a password.
fn is_host(authority: &Authority) -> bool {
    let (all, host) = (authority.as_str(), authority.host());
    !host.is_empty() && !all.contains('@') && (all == host || authority.port_u16().is_some())
}

/// Whether what is sent there is seen by everyone on the way. The scheme is the parsed one: as text it may be in any case.
pub fn shows(uri: &hyper::Uri) -> bool {
    uri.scheme_str() != Some("https") && !uri.host().is_some_and(is_loopback_host)
}

/// Whether a name or an address is this host's own.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A program, alone or with its arguments: no shell reads it.
pub(super) fn program(node: &Node, problems: &mut Problems) -> Vec<Box<str>> {
    let Tree::List(nodes) = &node.tree else {
        let path = scalar::path(node, problems);
        return path.map(|path| path.to_string_lossy().into()).into_iter().collect();
    };
    let Some((first, arguments)) = nodes.split_first() else {
        problems.push(node.span, "an empty list", Wrong::new("a program and its arguments"));
        return Vec::new();
    };
    let program = scalar::path(first, problems).map(|path| path.to_string_lossy().into());
    let arguments = arguments.iter().map(|node| scalar::text(node, "an argument", problems).map(Into::into));
    // Each is looked at before one of them stops the rest.
    let all: Vec<Option<Box<str>>> = [program].into_iter().chain(arguments).collect();
    all.into_iter().collect::<Option<_>>().unwrap_or_default()
}

/// What is wanted where a repository stands.
pub(super) const REPOSITORY: &str = "a repository of GitHub, as `owner/name`";

/// A repository of GitHub.
pub(super) fn repository(text: &str) -> Result<Box<str>, Wrong> {
    // What GitHub allows in names, and nothing that means something in a path.
    let fits = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && part.len() <= 100 && part.bytes().all(known) && part != "." && part != ".."
    };
    match text.split_once('/') {
        Some((owner, name)) if fits(owner) && fits(name) => Ok(text.into()),
        _ => Err(Wrong::new(REPOSITORY)),
    }
}

/// What is wanted where a mail server stands.
pub(super) const SERVER: &str = "a mail server, as in `smtp.example.org` or `smtp.example.org:2525`";

/// A mail server, and its port where it is written.
pub(super) fn server(text: &str) -> Result<(Box<str>, Option<u16>), Wrong> {
    let authority: Authority = text.parse().map_err(|_| Wrong::new(SERVER))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match is_host(&authority) {
        true => Ok((host.into(), authority.port_u16())),
        false => Err(Wrong::new(SERVER)),
    }
}

/// What is wanted where the address of a person stands.
pub(super) const MAILBOX: &str = "an address, as in `ops@example.org` or `Operations <ops@example.org>`";

/// An address: whoever sends it looks at it more closely.
pub(super) fn mailbox(text: &str) -> Result<Box<str>, Wrong> {
    match text.contains('@') && !text.contains(char::is_control) {
        true => Ok(text.into()),
        false => Err(Wrong::new(MAILBOX)),
    }
}
