//! Every place where bytes come in from outside, as a function that takes any bytes at all and panics where something
//! is not as it must be. Each says what must hold of what it is fed, not only that nothing breaks.
//!
//! Nothing here knows libFuzzer: tests/corpus.rs feeds the committed corpus, `main.rs` whatever libFuzzer makes of it.
#![expect(clippy::expect_used, reason = "what is fed to a target and must hold is held by a panic")]

mod btf;
mod door;
mod hub;
mod keys;
mod listener;
mod procfs;
mod ring;
mod rules;
mod sysctl_d;
mod tuned;

use strum::{EnumString, IntoStaticStr, VariantArray};

/// A place where bytes come in. Its name is that of its directory in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Target {
    /// Authentic messages of every sender: what is signed is taken for its sender's and nobody else's.
    Announcement,
    /// BTF, as `/sys/kernel/btf/vmlinux` has it.
    Btf,
    /// Headers and bodies that nobody signed: none of them opens the door.
    Door,
    /// What is posted to `driftd hub`.
    Hub,
    /// Keys, patterns of keys, and values.
    Keys,
    /// What comes over a connection to the webhook's listener: no answer to it is 2xx.
    Listener,
    /// The files of /proc and /sys that keys are read from.
    Procfs,
    /// The records on the ring.
    Ring,
    /// The configuration, and maps of keys and values.
    Rules,
    /// sysctl.d, as systemd-sysctl and procps read it.
    SysctlD,
    /// Profiles of TuneD.
    Tuned,
}

impl Target {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Feeds it these bytes.
    ///
    /// # Panics
    /// Something is not as it must be.
    pub fn feed(self, bytes: &[u8]) {
        // The files of a person or of the kernel are read so, whatever is in them.
        let text = || String::from_utf8_lossy(bytes);
        match self {
            Target::Announcement => door::announcement(bytes),
            Target::Btf => btf::feed(bytes),
            Target::Door => door::unsigned(bytes),
            Target::Hub => hub::feed(bytes),
            Target::Keys => keys::feed(&text()),
            Target::Listener => listener::feed(bytes),
            Target::Procfs => procfs::feed(bytes),
            Target::Ring => ring::feed(bytes),
            Target::Rules => rules::feed(&text()),
            Target::SysctlD => sysctl_d::feed(&text()),
            Target::Tuned => tuned::feed(&text()),
        }
    }
}
