//! Bodies: how long one may be, and how many long ones are held at once.
//!
//! Nothing here reads what a body says.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{MAX_BODY, answer::Refused};

/// What a body may have without asking, in bytes: three times the longest that was recorded of any sender. As many of
/// them as there are connections fit into 8 MiB.
const SHORT: usize = 64 * 1024;

/// How many longer ones are held at once: 8 MiB more.
const LONG: usize = 8;

/// Takes bodies, within bounds.
pub struct Bodies {
    long: Semaphore,
}

/// A body that nobody has read to its end. Whoever drops it leaves the rest to be taken for a while, and thrown away: over
/// HTTP/2 a body that is dropped resets its stream at once, and some senders, curl 7.88 among them, then never look at the
/// answer.
pub struct Arriving {
    body: Option<Incoming>,
    linger: Duration,
}

impl Arriving {
    /// A body whose rest is taken for so long.
    pub fn new(body: Incoming, linger: Duration) -> Arriving {
        Arriving { body: Some(body), linger }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime there is no connection either.
        if let (Some(mut body), Ok(runtime)) = (unread, Handle::try_current()) {
            let linger = self.linger;
            runtime.spawn(timeout(linger, async move { while let Some(Ok(_)) = body.frame().await {} }));
        }
    }
}

impl Bodies {
    /// None is held.
    pub fn new() -> Bodies {
        Bodies { long: Semaphore::new(LONG) }
    }

    /// The whole body. One that announces too great a length is refused before a byte of it is read; one that does not
    /// announce its length is cut off at the limit.
    ///
    /// # Errors
    /// It is too long, or broke off; or it is a long one, and as many of these as may be are being read.
    pub async fn whole(&self, mut arriving: Arriving) -> Result<Bytes, Refused> {
        let Some(body) = &mut arriving.body else { return Ok(Bytes::new()) };
        let announced = body.size_hint().lower();
        if announced > MAX_BODY as u64 {
            let reason = format!("a body of {announced} bytes, and at most {MAX_BODY} are taken");
            return Err(Refused::too_long(reason));
        }
        let is_short = body.size_hint().upper().is_some_and(|most| most <= SHORT as u64);
        // Who has no seat is not made to wait for one: the peers that hold them may be the slow ones.
        let seat = if is_short { None } else { self.long.try_acquire().ok() };
        if !is_short && seat.is_none() {
            let reason = format!("{LONG} bodies of more than {SHORT} bytes are being read already");
            return Err(Refused::later(reason));
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refused::bad(format!("the body broke off: {error}")))?;
            // Trailers are not looked at.
            let Some(data) = frame.data_ref() else { continue };
            if whole.len().saturating_add(data.len()) > MAX_BODY {
                return Err(Refused::too_long(format!("the body goes on past {MAX_BODY} bytes")));
            }
            whole.extend_from_slice(data);
        }
        Ok(whole.freeze())
    }
}
