//! What the kernel side and the daemon share: the records on the ring, the counters beside it, and the knobs set
//! before load. One definition, both sides; nothing here but plain data.
#![no_std]

mod knobs;
mod record;

pub use knobs::{ABSENT, Identity, Knobs, Offsets};
pub use record::{
    COMM, COMPONENT, COMPONENTS, Counter, Flags, Header, Kind, MtuEnter, NAME, OwnerKind, Return,
    SysctlEnter, SysctlValues, VALUE, VERSION, Who,
};
