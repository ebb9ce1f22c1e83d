//! The truth: what is in force, read from /proc and /sys. The root directory is a parameter.
//!
//! Nothing here knows what is expected.

mod clock;
mod descriptors;
mod expand;
mod processes;
mod reader;
mod slow;
mod units;

pub use clock::now;
pub use descriptors::descriptors;
pub use expand::expand;
pub use reader::{ReadError, Reader};
pub use slow::{Answer, SlowReader, is_slow};
pub use units::Units;
