//! Who may read: whoever opened the Unix socket, and on loopback whoever calls this host by a name of its own.
//!
//! A page of somewhere else, in a browser on this host, may neither read what is served here (no CORS, and a name that
//! was made to point at 127.0.0.1 is not ours) nor hold its streams open.

use hyper::{
    HeaderMap, Method, Request,
    header::{HOST, HeaderName, HeaderValue},
    http::uri::Authority,
};

use super::{super::answer::Refused, RETRY};

/// Who may read at a listener.
#[derive(Clone, Debug)]
pub enum Guard {
    /// Who could open the socket: its mode says who.
    Socket,
    /// Who calls this host by a loopback address, `localhost`, or one of these names, in lower case.
    Loopback(Vec<Box<str>>),
}

impl Guard {
    /// Lets a request through, or says why not.
    ///
    /// # Errors
    /// It is no request to read, or it is not for this host.
    pub fn admit<B>(&self, request: &Request<B>) -> Result<(), Refused> {
        let changes = request.uri().path() == RETRY;
        if changes && !matches!(self, Guard::Socket) {
            return Err(Refused::not_here(RETRY));
        }
        if changes && *request.method() != Method::POST {
            return Err(Refused::method(request.method(), "POST"));
        }
        if !changes && !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refused::method(request.method(), "GET, HEAD"));
        }
        let Guard::Loopback(names) = self else { return Ok(()) };
        let headers = request.headers();
        let host = host(headers)?;
        if !is_ours(&host, names) {
            let shown: String = host.chars().take(80).collect();
            return Err(Refused::not_for_us(format!(
                "the request is for the host `{}`\nhint: `hosts:` of `http:` names further names of this host",
                shown.escape_debug()
            )));
        }
        // Sent by browsers: https://www.w3.org/TR/fetch-metadata/. Following a link to the page is no harm.
        let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let site = said("sec-fetch-site");
        if !matches!(site, None | Some(b"same-origin" | b"none"))
            && said("sec-fetch-mode") != Some(b"navigate")
        {
            return Err(Refused::not_for_us(
                "the request is made by a page of somewhere else, in a browser on this host".into(),
            ));
        }
        Ok(())
    }
}

/// The one host that a request names, without its port, in lower case.
fn host(headers: &HeaderMap) -> Result<String, Refused> {
    let mut named = headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(Refused::not_for_us("the request names no host, or more than one".into()));
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    match authority {
        Some(authority) => Ok(authority.host().to_ascii_lowercase()),
        None => Err(Refused::not_for_us("what the request names as host is none".into())),
    }
}

fn is_ours(host: &str, names: &[Box<str>]) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        || names.iter().any(|name| **name == *host)
}

/// What every answer says to a browser: load nothing but from here, show this in no other page, guess no type.
pub const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        ),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: Result<(), u16>, headers: &[(&str, &str)]) {
        let guard = Guard::Loopback(vec!["db1.example.org".into()]);
        let mut request = Request::get("/status.json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let found = guard.admit(&request.body(()).unwrap()).map_err(|refused| refused.status.as_u16());
        assert_eq!(found, wanted, "{headers:?}");
    }

    #[test]
    fn on_loopback_this_host_must_be_called_by_a_name_of_its_own() {
        for host in [
            "127.0.0.1:9757",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:9757",
            "localhost:9757",
            "LOCALHOST",
            "db1.example.org",
            "DB1.example.org:443",
        ] {
            check(Ok(()), &[("host", host)]);
        }
        for host in [
            "evil.example.org",
            "127.0.0.1.evil.example.org",
            "localhost.evil.example.org",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "evil@127.0.0.1",
            "127.0.0.1/x",
            "",
            "db1.example.org.",
        ] {
            check(Err(421), &[("host", host)]);
        }
        check(Err(421), &[]);
        check(Err(421), &[("host", "localhost"), ("host", "localhost")]);
    }

    #[test]
    fn a_page_of_somewhere_else_reads_nothing_and_may_be_a_link_to_here() {
        let host = ("host", "localhost:9757");
        check(Ok(()), &[host, ("sec-fetch-site", "same-origin")]);
        check(Ok(()), &[host, ("sec-fetch-site", "none")]);
        check(Ok(()), &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]);
        for site in ["cross-site", "same-site", "anything"] {
            check(Err(421), &[host, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]);
        }
    }

    #[test]
    fn on_the_socket_the_host_is_a_formality_and_writing_is_refused_all_the_same() {
        let read = Request::get("/").header("host", "anything").body(()).unwrap();
        assert!(Guard::Socket.admit(&read).is_ok());
        let write = Request::post("/").header("host", "localhost").body(()).unwrap();
        assert_eq!(Guard::Socket.admit(&write).unwrap_err().status.as_u16(), 405);
    }
}
