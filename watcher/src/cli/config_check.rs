//! `driftd config check`: what is wrong with a configuration and its sources, all at once, without a daemon.

use std::{collections::HashSet, io::Write, sync::Arc};

use super::{cleaned, counted, exit, explain::read};
use crate::{
    config::Config,
    kernel,
    sources::{Declared, Wanted},
};

/// Checks the sources of a configuration that has no mistake, and shows every warning.
pub(super) fn run(mut config: Config, mut out: impl Write) -> anyhow::Result<u8> {
    config.warn_of_ended_mutes(kernel::now().wall);
    let warnings = std::mem::take(&mut config.warnings);
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some((declared, _)) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
    for warning in warnings.into_iter().chain(declared.warnings(usize::MAX)) {
        writeln!(out, "warning: {}", cleaned(&warning))?;
    }
    writeln!(out, "{}", summary(&declared))?;
    // The process ends here, and with it goes its memory, all at once and not rule by rule.
    std::mem::forget(declared);
    Ok(exit::IN_SYNC)
}

/// How much is declared. A key that several rules are for is one key.
fn summary(declared: &Declared) -> String {
    let Declared { rules, baseline, overruled, not_understood, .. } = declared;
    let keys: HashSet<_> = rules.iter().flat_map(|rule| &rule.keys).collect();
    let patterns: HashSet<_> = rules.iter().flat_map(|rule| &rule.patterns).collect();
    format!(
        "no mistakes: {} over {} and {}, {}, {}",
        counted(rules.len(), "rule", "rules"),
        counted(keys.len(), "key", "keys"),
        counted(patterns.len(), "pattern", "patterns"),
        counted(baseline.conflicts().len() + overruled.len(), "conflict", "conflicts"),
        counted(not_understood.len(), "line not understood", "lines not understood")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn of_what_there_is_one_it_says_one() {
        let summary = |rules: &str| {
            let mut config = config::parse("f", &format!("drift_rules:\n{rules}")).unwrap();
            let wanted = Arc::new(Wanted::take(&mut config));
            summary(&Declared::read(&wanted, &[], std::path::Path::new("/")).unwrap())
        };
        insta::assert_snapshot!(summary("  a: vm.swappiness\n"), @"no mistakes: 1 rule over 1 key and 0 patterns, 0 conflicts, 0 lines not understood");
        insta::assert_snapshot!(summary("  a: vm.swappiness\n  b: vm.swappiness vm.s*\n"), @"no mistakes: 2 rules over 1 key and 1 pattern, 0 conflicts, 0 lines not understood");
    }
}
