//! Bodies: how long one may be, and how many long ones are held at once.
//!
//! Nothing here reads what a body says.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;

use super::{MAX_BODY, answer::Refused};

/// What a body may have without asking, in bytes: three times the longest that was recorded of any sender. As many of
/// them as there are connections fit into 8 MiB.
const SHORT: usize = 64 * 1024;

/// How many longer ones are held at once: 8 MiB more.
const LONG: usize = 8;

/// Takes bodies, within bounds.
pub struct Bodies(Semaphore);

impl Bodies {
    /// None is held.
    pub fn new() -> Bodies {
        Bodies(Semaphore::new(LONG))
    }

    /// The whole body. One that announces too great a length is refused before a byte of it is read; one that does not
    /// announce its length is cut off at the limit.
    ///
    /// # Errors
    /// It is too long, or broke off; or it is a long one, and as many of these as may be are being read.
    pub async fn whole(&self, body: Incoming) -> Result<Bytes, Refused> {
        let announced = body.size_hint().lower();
        if announced > MAX_BODY as u64 {
            let reason = format!("a body of {announced} bytes, and at most {MAX_BODY} are taken");
            return Err(Refused::too_long(reason));
        }
        let is_short = body.size_hint().upper().is_some_and(|most| most <= SHORT as u64);
        // Who has no seat is not made to wait for one: the peers that hold them may be the slow ones.
        let _seat = match is_short {
            true => None,
            false => Some(self.0.try_acquire().map_err(|_| {
                Refused::later(format!("{LONG} bodies of more than {SHORT} bytes are being read already"))
            })?),
        };
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Refused::too_long(format!("the body goes on past {MAX_BODY} bytes")))
            }
            Err(error) => Err(Refused::bad(format!("the body broke off: {error}"))),
        }
    }
}
