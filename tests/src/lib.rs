//! The harness of the scenarios: the daemon under test, what can be done to the kernel, a sender of webhooks,
//! a sink.
//!
//! It panics where a scenario cannot go on, and says what it saw until then. It knows driftd only from outside:
//! its configuration, its lines, its commands, its sockets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on says so and stops, as a test does"
)]

pub mod daemon;
pub mod guest;
pub mod host;
pub mod inbox;
pub mod mode;
pub mod webhook;
