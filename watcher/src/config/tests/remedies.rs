//! `remedy:` of a rule.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use super::{super::load, good, mistakes::check_rule};
use crate::model::{Limits, Remedy};

#[track_caller]
fn check(remedy: &str, wanted: Remedy) {
    let config = good(&format!("drift_rules:\n  r: {{ keys: vm.swappiness, expect: 10, {remedy} }}\n"));
    assert_eq!(config.rules[0].remedy, wanted, "{remedy}");
}

#[test]
fn a_remedy_is_a_word_or_revert_with_its_limits() {
    check("severity: info", Remedy::Notify);
    check("remedy: notify", Remedy::Notify);
    check("remedy: adopt", Remedy::Adopt);
    check("remedy: revert", Remedy::Revert(Limits::default()));
    check("remedy: { revert: {} }", Remedy::Revert(Limits::default()));
    check(
        "remedy: { revert: { at_most: 5, in: 1h, dry_run: true } }",
        Remedy::Revert(Limits { at_most: 5, within: Duration::from_secs(3600), dry_run: true }),
    );
}

#[test]
fn a_mistake_in_a_remedy_says_what_was_found_and_what_was_wanted() {
    check_rule("remedy: x", "4:13 found `x`, wanted one of `notify`, `adopt`, `revert`");
    check_rule(
        "remedy: { adopt: {} }",
        "4:15 found `adopt`, wanted the remedy that has limits | known here: `revert`",
    );
    let known = "known here: `at_most`, `in`, `dry_run`";
    check_rule("remedy: { revert: 3 }", &format!("4:23 found `3`, wanted a map of limits | {known}"));
    check_rule("remedy: { revert: { at_most: 0 } }", "4:34 found `0`, wanted a number from 1 to 100");
    check_rule("remedy: { revert: { in: 100ms } }", "4:29 found `100ms`, wanted a duration of at least `1s`");
    check_rule(
        "remedy: { revert: { within: 1h } }",
        &format!("4:25 found `within`, wanted a limit of `revert` | {known}"),
    );
}

#[test]
fn what_could_not_be_written_is_no_rule_to_revert() {
    check_rule(
        "min: 1\n    remedy: revert",
        "5:5 found `remedy: revert` of a rule without one value, wanted `expect` beside it | only a single value can be \
         written",
    );
    let program =
        "drift_rules:\n  r: { keys: vm.swappiness kernel.core_pattern, expect: core, remedy: revert }\n";
    let problems = super::super::parse("f", program).unwrap_err();
    insta::assert_snapshot!(problems, @r"
    error: found `remedy: revert` of `kernel.core_pattern`, wanted another remedy for it
     --> f:2:28
      |
    2 |   r: { keys: vm.swappiness kernel.core_pattern, expect: core, remedy: revert }
      |                            ^^^^^^^^^^^^^^^^^^^
      |
      = hint: the kernel starts the program that it names, so driftd never writes it

    1 mistake in f
    ");
    // Whoever only wants to hear of it may.
    good(&program.replace("revert", "notify"));
    let moving = "drift_rules:\n  r: { keys: /proc/meminfo:MemAvailable, min: 1GiB, remedy: adopt }\n";
    let problems = super::super::parse("f", moving).unwrap_err().to_string();
    assert!(problems.contains("`remedy: adopt` of `/proc/meminfo:MemAvailable`"), "{problems}");
}

#[test]
fn a_file_that_others_may_write_has_no_remedy_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("driftd.yaml");
    let rule = "drift_rules:\n  r: { keys: vm.swappiness, expect: 10, remedy: revert }\n";
    fs::write(&file, rule).unwrap();
    for (mode, taken) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(&file).is_ok(), taken, "{mode:o}");
    }
    let said = load(&file).unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR");
    insta::assert_snapshot!(said, @r"
    `DIR/driftd.yaml` has a remedy in it, and others than root, or the user of driftd, may write to it
    hint: `chown root DIR/driftd.yaml && chmod go-w DIR/driftd.yaml`
    ");
    fs::write(&file, rule.replace("revert", "notify")).unwrap();
    assert!(load(&file).is_ok(), "one that says nothing of the kind is read");
}
