//! `driftd config check`: what is wrong with a configuration and its sources, all at once, without a daemon.

use std::{io::Write, sync::Arc};

use super::{exit, explain::read};
use crate::{config::Config, kernel, sources::Wanted};

/// Checks the sources of a configuration that has no mistake, and shows every warning.
pub(super) fn run(mut config: Config, mut out: impl Write) -> anyhow::Result<u8> {
    config.warn_of_ended_mutes(kernel::now().wall);
    let warnings = std::mem::take(&mut config.warnings);
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some(declared) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
    for warning in warnings.into_iter().chain(declared.warnings(usize::MAX)) {
        writeln!(out, "warning: {warning}")?;
    }
    let keys: usize = declared.rules.iter().map(|rule| rule.keys.len()).sum();
    let patterns: usize = declared.rules.iter().map(|rule| rule.patterns.len()).sum();
    let (rules, conflicts) = (declared.rules.len(), declared.baseline.conflicts().len());
    writeln!(
        out,
        "no mistakes: {rules} rules over {keys} keys and {patterns} patterns, {} conflicts, {} lines not understood",
        conflicts + declared.overruled.len(),
        declared.not_understood.len()
    )?;
    // The process ends here, and with it goes its memory, all at once and not rule by rule.
    std::mem::forget(declared);
    Ok(exit::IN_SYNC)
}
