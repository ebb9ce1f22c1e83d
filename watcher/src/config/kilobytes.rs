//! Keys that count in kB, and are held against a size: that is one of bytes, a thousand times too much, and most likely not
//! what was meant.

use crate::{
    declared::{Line, Says, Target},
    model::{Expectation, Margin, Quantity, Rule},
};

/// The one warning about sizes of keys that count in kB, where the number alone would be right.
pub(super) fn in_kilobytes(rules: &[Rule], declared: &[Line]) -> Option<String> {
    let of_rules = rules.iter().filter(|rule| says_size(&rule.expectation)).flat_map(|rule| {
        rule.keys
            .iter()
            .filter(|key| key.counts_in_kilobytes())
            .map(|key| format!("`{key}` (rule `{}`)", rule.name))
    });
    let of_lines = declared.iter().filter_map(|line| match (&line.target, &line.says) {
        (Target::Key(key), Says::Expect(said)) if key.counts_in_kilobytes() && says_size(said) => {
            Some(format!("`{key}` ({})", line.source))
        }
        _ => None,
    });
    let all: Vec<String> = of_rules.chain(of_lines).collect();
    if all.is_empty() {
        return None;
    }
    Some(format!(
        "a size is taken in bytes, and these count in kB: {}\nhint: write the number alone: `65536` is 64 MiB of them",
        all.join(", ")
    ))
}

/// Whether a size with its unit stands in it.
fn says_size(expectation: &Expectation) -> bool {
    let is_size = |text: &str| text.parse().is_ok_and(|quantity: Quantity| quantity.is_size());
    match expectation {
        Expectation::Equal(value) => is_size(value),
        Expectation::OneOf(values) => values.iter().any(|value| is_size(value)),
        Expectation::Range { min, max } => [min, max].into_iter().flatten().any(Quantity::is_size),
        Expectation::Near(anchor, margin) => anchor.is_size() || is_absolute_size(margin),
        Expectation::Captured(Some(margin)) => is_absolute_size(margin),
        Expectation::Captured(None) | Expectation::Matches(_) | Expectation::Share { .. } => false,
    }
}

fn is_absolute_size(margin: &Margin) -> bool {
    matches!(margin, Margin::Absolute(most) if most.is_size())
}

#[cfg(test)]
mod tests {
    /// The keys that are warned about in a configuration of this text.
    #[track_caller]
    fn check(text: &str, wanted: Option<&str>) {
        let config = super::super::parse("f", text).unwrap();
        let told = config.warnings.iter().find_map(|warning| {
            warning.strip_prefix("a size is taken in bytes, and these count in kB: ")?.split('\n').next()
        });
        assert_eq!(told, wanted, "{text}");
    }

    #[test]
    fn a_size_with_its_unit_for_a_key_that_counts_in_kb_is_worth_a_word() {
        let rule = |expected: &str| {
            format!("drift_rules:\n  a: {{keys: vm.min_free_kbytes vm.dirty_bytes, {expected}}}\n")
        };
        let of_rule = Some("`vm.min_free_kbytes` (rule `a`)");
        for expected in
            ["expect: 66MiB", "one_of: [1, 66MiB]", "min: 1GiB", "expect: 1GiB, within: 5%", "within: 1MiB"]
        {
            check(&rule(expected), of_rule);
        }
        for expected in ["expect: 67584", "max: 100000", "within: 5%"] {
            check(&rule(expected), None);
        }
        check("declared: {vm.admin_reserve_kbytes: 8MiB}", Some("`vm.admin_reserve_kbytes` (f:1)"));
        let disk = "drift_rules: {a: {keys: /sys/block/sda/queue/read_ahead_kb, expect: 4MiB}}";
        check(disk, Some("`/sys/block/sda/queue/read_ahead_kb` (rule `a`)"));
        check("drift_rules: {a: {keys: \"/proc/meminfo:MemTotal\", expect: 4MiB}}", None);
    }
}
