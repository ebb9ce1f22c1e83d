//! TuneD profiles: the file, the profiles it includes, and what their sections set.
//!
//! Read in TuneD's `profiles/` and `plugins/` (redhat-performance/tuned). Nothing of a host is known here: a section
//! that applies only to some hosts, and a function, which asks the host, are listed as not understood.
//!
//! `ini` reads the file, `profile` merges it with those it includes, `variables` puts values in, `plugins` knows which
//! option sets which key.

mod ini;
mod plugins;
mod profile;
mod variables;

pub use profile::{Include, Profile, declare};
