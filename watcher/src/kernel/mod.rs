//! The truth: what is in force, read from /proc and /sys. The root directory is a parameter.
//!
//! Nothing here knows what is expected.

mod altname;
mod clock;
mod descriptors;
mod expand;
mod login;
mod processes;
mod reader;
pub mod rtnetlink;
mod slow;
mod units;

pub use altname::{Interfaces, Spelled};
pub use clock::now;
pub use descriptors::descriptors;
pub use expand::{expand, expand_within};
pub use login::login_uid;
pub use reader::{ReadError, Reader};
pub use slow::{Answer, SlowReader, is_slow};
pub use units::Units;
