//! What a daemon says at its start of the remedies that its rules name: which it may not carry out, and why.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::{
    model::{Key, Remedy, Rule},
    remedy::writable,
    watch::NO_RIGHT,
};

/// Where nothing is written that a rule says is to be reverted, one warning for each reason.
pub fn warn(rules: &[Rule], may_write: bool) {
    warnings(rules, may_write, Path::new("/")).iter().for_each(|warning| tracing::warn!("{warning}"));
}

fn warnings(rules: &[Rule], may_write: bool, root: &Path) -> Vec<String> {
    let writes = |rule: &&Rule| matches!(rule.remedy, Remedy::Revert(limits) if !limits.dry_run);
    let names: Vec<_> = rules.iter().filter(writes).map(|rule| &*rule.name).collect();
    let (Some(first), count) = (names.first(), names.len()) else { return Vec::new() };
    if !may_write {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        return vec![format!(
            "`remedy: revert` of the rule `{first}`{more} is told and not carried out: {NO_RIGHT}"
        )];
    }
    let keys = rules.iter().filter(writes).flat_map(|rule| &rule.keys);
    keys.filter_map(|key| match writable(key) {
        Err(refusal) => Some(format!("`remedy: revert` is not carried out: {refusal}")),
        Ok(()) => unwritable(key, root),
    })
    .collect()
}

/// Why the file of a key cannot be written here; `None` where it can be, or is not there yet.
fn unwritable(key: &Key, root: &Path) -> Option<String> {
    if matches!(key, Key::Link { .. }) {
        return None;
    }
    let path = key.path();
    let found = access(root.join(path.trim_start_matches('/')), Access::WRITE_OK).err()?;
    (found != rustix::io::Errno::NOENT).then(|| {
        format!(
            "`remedy: revert` of {key} will fail: `{path}` cannot be written here: {found}\n\
             hint: take the unit driftd-revert.service as it is; `ReadOnlyPaths` and `ProtectKernelTunables` keep it from writing"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, test_host::host};

    fn said(text: &str, may_write: bool) -> Vec<String> {
        let root = host(&[("proc/sys/vm/swappiness", "60\n")]);
        let rules = config::parse("f", text).unwrap().rules;
        warnings(&rules, may_write, root.path())
    }

    #[test]
    fn a_daemon_that_only_watches_says_which_remedies_it_does_not_carry_out() {
        let revert =
            |name: &str| format!("  {name}: {{ keys: vm.swappiness, expect: 10, remedy: revert }}\n");
        let two = format!("drift_rules:\n{}{}", revert("a"), revert("b"));
        let told = said(&two, false);
        assert!(
            told.len() == 1 && told[0].starts_with("`remedy: revert` of the rule `a` and 1 more is told and"),
            "{told:?}"
        );
        assert!(told[0].contains("driftd-revert.service"), "{told:?}");
        assert!(said(&two, true).is_empty());
        let dry = two.replace("remedy: revert", "remedy: { revert: { dry_run: true } }");
        assert!(said(&dry, false).is_empty(), "it is carried out, as far as it goes");
        assert!(said(&two.replace("revert", "adopt"), false).is_empty());
    }

    #[test]
    fn what_could_never_be_written_is_said_at_the_start() {
        let text =
            "drift_rules:\n  a: { keys: /sys/power/state vm.swappiness, expect: 10, remedy: revert }\n";
        let told = said(text, true);
        assert!(told.len() == 1 && told[0].contains("/sys/power/state is in a part of /sys"), "{told:?}");
    }
}
