//! The words of the house (docs/architecture.md): what a key, a declaration, a hint, a finding is.
//!
//! Nothing here reads a file, a socket or a clock. The types carry their `serde` form, because one
//! definition then serves Rust, the rows of the store and the lines that people and programs read.

mod broken;
mod counters;
mod deployment;
mod entry;
mod finding;
mod hint;
mod key;
mod known;
mod mute;
mod name_pattern;
mod outlet;
mod remedy;
mod retention;
mod rule;
mod snapshot;
mod status;
mod summary;
mod text_pattern;
mod time;
mod value;
mod watched;

pub use broken::{in_short, without_source};
pub use counters::Counters;
pub use deployment::{
    Announcement, Delivered, Deployment, DeploymentId, InvalidRevision, Phase, Receipt, Refusal, Revision,
    Values, Verdict, VerdictStatus,
};
pub use entry::{
    Capture, Change, DeploymentNews, DeploymentStatus, Entry, Ignored, Kind, Loss, Started, Sweep,
    SweepReason, Touch, TouchReason, What,
};
pub use finding::{Cause, Finding, FindingId, FindingState, Healing};
pub use hint::{Hint, Owner, OwnerKind, Probes, SeenBy, Write, Writer};
pub use key::{Barred, InvalidKey, Key, Pattern, Surface};
pub use known::Known;
pub use mute::Mute;
pub use name_pattern::NamePattern;
pub use outlet::{Beneath, Flapping, Flaps, KeyChoice, OWN_STATUS, Outlet, Routing, SinkStanding};
pub use remedy::{Act, Adopted, Limits, Outcome, Person, Remedied, Remedy};
pub use retention::Retention;
pub use rule::{Bound, Expectation, IfAbsent, Margin, Rule, Severity, Source};
pub use snapshot::{Expected, Snapshot};
pub use status::Status;
pub use summary::Summary;
pub use text_pattern::{InvalidTextPattern, TextPattern};
pub use time::{Boottime, Now};
pub use value::{InvalidQuantity, Quantity, Value};
pub use watched::{RuleStanding, Standing, Watched};
