//! One request over HTTP/1.1, with TLS where the address says so. Each has a connection of its own: there is one an hour,
//! not one a millisecond.
//!
//! No redirect is followed, and no address, token or body is ever part of what is said.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    patience::{Answer, retry_after},
    secret,
};
use crate::config::{Address, Endpoint, is_posted_to, shows};

/// How much of an answer is read: a hundred issues of GitHub, each with the longest text there is, fit.
const LONGEST: usize = 16 << 20;

/// Why nothing can be posted to an address.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// A file.
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    /// What stands in a file is no address.
    #[error("what is in `{}` is no address that begins with `https://` or `http://`", .0.display())]
    NoAddress(std::path::PathBuf),
    /// The certificates.
    #[error(
        "no certificate in `{path}` can be used: {why}\nhint: PEM is wanted, a section that begins with `-----BEGIN CERTIFICATE-----`"
    )]
    Roots {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// An address of a person.
    #[error("`{0}` is no address for mail\nhint: as in `ops@example.org`, or `Operations <ops@example.org>`")]
    NoMailbox(String),
    /// What mail needs.
    #[error("no mail can be sent: {0}")]
    Mail(String),
    /// TLS.
    #[error("TLS cannot be had: {0}")]
    Tls(#[from] rustls::Error),
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The body; nothing where it was longer than is read.
    pub body: Bytes,
    /// How long we are to wait.
    pub after: Option<Duration>,
}

/// Where messages are posted.
pub struct Post {
    to: Endpoint,
    /// None where the address is a plain one: what the host trusts is some hundred KiB.
    tls: Option<Arc<ClientConfig>>,
    limit: Duration,
}

impl Post {
    /// For an address. Its files are read once to see that they can be.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn new(to: &Endpoint, limit: Duration) -> Result<Post, PostError> {
        let uri = address(&to.url)?;
        if let Some(token) = &to.token {
            secret::read(token)?;
        }
        let tls = match uri.scheme_str() {
            Some("https") => {
                let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(roots(to.ca.as_deref())?)
                    .with_no_client_auth();
                Some(Arc::new(tls))
            }
            _ => None,
        };
        Ok(Post { to: to.clone(), tls, limit })
    }

    /// Posts JSON, and says what came of it.
    pub async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Answer {
        match self.ask(Method::POST, "", headers, body).await {
            Ok(Answered { status, after, .. }) => judged(status, after),
            Err(later) => later,
        }
    }

    /// Asks for a path below the address; what is answered, or that nothing was.
    ///
    /// # Errors
    /// Always [`Answer::Later`]: nobody said that the request is wrong.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answered, Answer> {
        let later = |why| Answer::Later { why, after: None };
        match timeout(self.limit, self.exchange(method, path, headers, body)).await {
            Ok(answered) => answered.map_err(later),
            Err(_) => Err(later(format!("no answer within {:?}", self.limit))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answered, String> {
        let uri = address(&self.to.url).map_err(|error| error.to_string())?;
        let host = uri.host().ok_or("the address names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let request = self.request(&uri, method, path, headers, body)?;
        let stream =
            TcpStream::connect((host, port)).await.map_err(|error| format!("cannot be reached: {error}"))?;
        if !secure {
            return answered(stream, request).await;
        }
        let tls = self.tls.clone().ok_or("the address in the file speaks TLS now: restart driftd")?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS fails: {error}"))?;
        answered(stream, request).await
    }

    fn request(
        &self,
        uri: &Uri,
        method: Method,
        below: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, String> {
        // What goes wrong in here is not said with what it was made of.
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = match below {
            "" => path.to_owned(),
            below => format!("{}{below}", path.trim_end_matches('/')),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::builder().method(method).uri(path).body(Full::from(body));
        let mut request = request.map_err(|_| "the address has no path")?;
        let all = request.headers_mut();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("driftd/", env!("CARGO_PKG_VERSION"))));
        all.insert(CONNECTION, HeaderValue::from_static("close"));
        all.insert(HOST, HeaderValue::from_str(authority).map_err(|_| "the address names no host")?);
        all.extend(headers);
        if let Some(token) = &self.to.token {
            if uri.scheme_str() == Some("http") && matches!(self.to.url, Address::File(_)) {
                return Err("a token does not go to an `http://` address in a file".into());
            }
            // What a configuration may not say is not done either.
            if shows(uri) {
                return Err("a token does not go to an `http://` address".into());
            }
            let token = secret::read(token).map_err(|error| error.to_string())?;
            let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the token is no value of a header")?;
            bearer.set_sensitive(true);
            all.insert(AUTHORIZATION, bearer);
        }
        Ok(request)
    }
}

fn address(url: &Address) -> Result<Uri, PostError> {
    match url {
        Address::Written(url) => url.parse().map_err(|_| PostError::NoAddress("url".into())),
        Address::File(path) => {
            let uri: Option<Uri> = secret::read(path)?.parse().ok();
            uri.filter(is_posted_to).ok_or_else(|| PostError::NoAddress(path.clone()))
        }
    }
}

/// Who vouches for the sink: the certificates in this file, or those the host trusts.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, PostError> {
    let mut roots = RootCertStore::empty();
    let certificates = certificates(ca)?;
    let Some(path) = ca else {
        // Of the host's own there are some that rustls cannot use.
        roots.add_parsable_certificates(certificates);
        return Ok(roots);
    };
    let failed = |why: String| PostError::Roots { path: path.display().to_string(), why };
    for certificate in certificates {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    Ok(roots)
}

/// The certificates in this file, of which there is one at least, or those the host trusts.
pub fn certificates(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, PostError> {
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!("some certificates of the host cannot be read: {error}");
        }
        return Ok(found.certs);
    };
    let failed = |why: String| PostError::Roots { path: path.display().to_string(), why };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let all: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    match all.is_empty() {
        true => Err(failed("there is none".into())),
        false => Ok(all),
    }
}

/// One request and the whole of its answer: one that breaks off may not have been meant.
async fn answered(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> Result<Answered, String> {
    let broken = |error: hyper::Error| format!("the connection broke off: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let asked = async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let after = asked_to_wait(&head.headers, Timestamp::now());
        match Limited::new(body, LONGEST).collect().await {
            Err(error) if error.is::<hyper::Error>() => Err("the answer broke off".into()),
            Ok(body) => Ok(Answered { status: head.status, body: body.to_bytes(), after }),
            // Longer than anything that is of use: the status still counts.
            Err(_) => Ok(Answered { status: head.status, body: Bytes::new(), after }),
        }
    };
    // The connection moves the bytes for as long as the answer is not there; how it ends is nobody's concern.
    let moved = async {
        let _ended = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = asked => answer,
        never = moved => match never {},
    }
}

/// How long the other side asks us to wait: by `Retry-After`, or by GitHub's own headers where its limit is used up
/// (docs.github.com, "Rate limits for the REST API").
fn asked_to_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(wait) = text(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, now)) {
        return Some(wait);
    }
    let reset: i64 =
        text("x-ratelimit-reset").filter(|_| text("x-ratelimit-remaining") == Some("0"))?.parse().ok()?;
    let seconds = reset.saturating_sub(now.as_second());
    Some(Duration::from_secs(seconds.clamp(0, 3600).unsigned_abs()))
}

/// What a status means. What says that this very message is wrong is final; all else may be mended by somebody: an
/// address, a token, a route.
pub fn judged(status: StatusCode, after: Option<Duration>) -> Answer {
    let why = format!("answered {}", status.as_u16());
    match status {
        status if status.is_success() => Answer::Taken,
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused(why),
        _ => Answer::Later { why, after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_asked_to_wait(headers: &[(&'static str, &'static str)], seconds: Option<u64>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(asked_to_wait(&map, now), seconds.map(Duration::from_secs), "{headers:?}");
    }

    #[test]
    fn who_used_up_githubs_limit_waits_until_there_is_more_of_it_and_an_hour_at_most() {
        let none_left = ("x-ratelimit-remaining", "0");
        check_asked_to_wait(&[none_left, ("x-ratelimit-reset", "1800000090")], Some(90));
        check_asked_to_wait(&[none_left, ("x-ratelimit-reset", "1800086400")], Some(3600));
        check_asked_to_wait(&[none_left, ("x-ratelimit-reset", "1700000000")], Some(0));
        check_asked_to_wait(&[none_left, ("x-ratelimit-reset", "-9223372036854775808")], Some(0));
        check_asked_to_wait(&[none_left, ("x-ratelimit-reset", "soon")], None);
        check_asked_to_wait(&[none_left], None);
        // Each answer says when; it counts where nothing is left.
        let some_left = ("x-ratelimit-remaining", "7");
        check_asked_to_wait(&[some_left, ("x-ratelimit-reset", "1800000090")], None);
        check_asked_to_wait(&[("x-ratelimit-reset", "1800000090")], None);
        // A secondary limit says so by the other header.
        check_asked_to_wait(
            &[("retry-after", "60"), none_left, ("x-ratelimit-reset", "1800000090")],
            Some(60),
        );
    }
}
