//! Which writes are of declared keys, in the names that the programs in the kernel have for them.

use std::{collections::HashSet, sync::Arc};

use crate::model::Pattern;

/// The declared keys, as probes name them. Writes of others are counted and go no further.
#[derive(Debug, Default)]
pub struct Interest {
    /// Names of sysctls with `/` between their components.
    pub sysctls: HashSet<Arc<str>>,
    /// Names of interfaces.
    pub interfaces: HashSet<Arc<str>>,
    /// Patterns of keys: what they mean is not known before it is there.
    pub patterns: Vec<Pattern>,
}

impl Interest {
    /// Whether a sysctl is declared, by its name with `/` between its components.
    pub(super) fn has_sysctl(&self, name: &str) -> bool {
        self.sysctls.contains(name) || self.patterns.iter().any(|pattern| pattern.matches_sysctl(name))
    }

    /// Whether something of an interface is declared.
    pub(super) fn has_link(&self, interface: &str) -> bool {
        self.interfaces.contains(interface)
            || self.patterns.iter().any(|pattern| pattern.matches_link(interface))
    }
}
