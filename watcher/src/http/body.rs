//! Bodies: how long one may be, and how many long ones are held at once.
//!
//! Nothing here reads what a body says.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::{sync::Semaphore, time::timeout};

use super::{MAX_BODY, answer::Refused};

/// What a body may have without asking, in bytes: three times the longest that was recorded of any sender. As many of
/// them as there are connections fit into 8 MiB.
const SHORT: usize = 64 * 1024;

/// How many longer ones are held at once: 8 MiB more.
const LONG: usize = 8;

/// Takes bodies, within bounds.
pub struct Bodies {
    long: Semaphore,
    linger: Duration,
}

impl Bodies {
    /// None is held. `linger` is how long the rest of one that is too long is still taken, and thrown away.
    pub fn new(linger: Duration) -> Bodies {
        Bodies { long: Semaphore::new(LONG), linger }
    }

    /// The whole body. One that announces too great a length is refused before a byte of it is read; one that does not
    /// announce its length is cut off at the limit.
    ///
    /// # Errors
    /// It is too long, or broke off; or it is a long one, and as many of these as may be are being read.
    pub async fn whole(&self, mut body: Incoming) -> Result<Bytes, Refused> {
        let announced = body.size_hint().lower();
        if announced > MAX_BODY as u64 {
            self.throw_away(body);
            let reason = format!("a body of {announced} bytes, and at most {MAX_BODY} are taken");
            return Err(Refused::too_long(reason));
        }
        let is_short = body.size_hint().upper().is_some_and(|most| most <= SHORT as u64);
        // Who has no seat is not made to wait for one: the peers that hold them may be the slow ones.
        let seat = if is_short { None } else { self.long.try_acquire().ok() };
        if !is_short && seat.is_none() {
            self.throw_away(body);
            let reason = format!("{LONG} bodies of more than {SHORT} bytes are being read already");
            return Err(Refused::later(reason));
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refused::bad(format!("the body broke off: {error}")))?;
            // Trailers are not looked at.
            let Some(data) = frame.data_ref() else { continue };
            if whole.len().saturating_add(data.len()) > MAX_BODY {
                self.throw_away(body);
                return Err(Refused::too_long(format!("the body goes on past {MAX_BODY} bytes")));
            }
            whole.extend_from_slice(data);
        }
        Ok(whole.freeze())
    }

    /// Takes the rest of a body for a while. Over HTTP/2 a body that is dropped resets its stream at once, and some
    /// senders, curl 7.88 among them, then never look at the answer.
    fn throw_away(&self, mut body: Incoming) {
        let linger = self.linger;
        tokio::spawn(timeout(linger, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
}
