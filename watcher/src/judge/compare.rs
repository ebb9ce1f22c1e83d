//! One value against one expectation.

use std::borrow::Cow;

use crate::model::{Bound, Expectation, Key, Margin, Quantity, Value};

/// What comparing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As declared.
    InSync,
    /// Not as declared.
    Departs,
    /// Nothing is declared yet, or what the host had moves by itself and no threshold says how far: recorded, never judged.
    Unjudged,
}

/// The expectation with what it takes from another key put in, by what that one is now. Where the other key is not to be
/// had, or no number, it is as it was, and nothing meets it.
pub fn settled<'e>(
    expectation: &'e Expectation,
    read: impl FnOnce(&Key) -> Option<Value>,
) -> Cow<'e, Expectation> {
    let Expectation::Share { bound, thousandths, of } = expectation else {
        return Cow::Borrowed(expectation);
    };
    let part = read(of).and_then(|value| value.quantity()?.part(*thousandths));
    match (part, bound) {
        (None, _) => Cow::Borrowed(expectation),
        (Some(part), Bound::Least) => Cow::Owned(Expectation::Range { min: Some(part), max: None }),
        (Some(part), Bound::Most) => Cow::Owned(Expectation::Range { min: None, max: Some(part) }),
    }
}

/// Compares the value in force (`None`: the key does not exist) with what is expected. `captured` is what the host had
/// when the deployment was confirmed.
pub fn judge(
    key: &Key,
    expectation: &Expectation,
    captured: Option<&Value>,
    actual: Option<&Value>,
) -> Judgement {
    let within = |anchor: Option<&Value>, margin: &Margin| {
        let anchor = anchor.and_then(Value::quantity);
        anchor.zip(actual.and_then(Value::quantity)).is_some_and(|(a, b)| is_near(&a, &b, margin))
    };
    let in_sync = match expectation {
        Expectation::Captured(None) if key.moves_by_itself() => return Judgement::Unjudged,
        Expectation::Captured(margin) => match (captured, margin) {
            (None, _) => return Judgement::Unjudged,
            (captured, None) => captured == actual,
            // What is no quantity has no distance: it is the same or it is not.
            (captured, Some(margin)) => captured == actual || within(captured, margin),
        },
        Expectation::Equal(value) => actual == Some(&Value::canonical(key, value)),
        Expectation::OneOf(values) => {
            values.iter().any(|value| actual == Some(&Value::canonical(key, value)))
        }
        Expectation::Matches(pattern) => actual.is_some_and(|actual| pattern.matches(actual.as_str())),
        Expectation::Range { min, max } => actual.and_then(Value::quantity).is_some_and(|actual| {
            min.as_ref().is_none_or(|min| actual >= *min) && max.as_ref().is_none_or(|max| actual <= *max)
        }),
        // See `settled`.
        Expectation::Share { .. } => false,
        Expectation::Near(anchor, margin) => {
            actual.and_then(Value::quantity).is_some_and(|actual| is_near(anchor, &actual, margin))
        }
    };
    if in_sync { Judgement::InSync } else { Judgement::Departs }
}

/// The most that a value may be, in thousandths, where there is such a bound: what is above it departs. `captured` is as
/// for [`judge`].
pub fn most(expectation: &Expectation, captured: Option<&Value>) -> Option<i128> {
    let above = |anchor: &Quantity, margin: &Margin| {
        let anchor = anchor.thousandths();
        let margin = match margin {
            Margin::Absolute(most) => most.thousandths(),
            Margin::Percent(thousandths) => {
                anchor.checked_abs()?.checked_mul((*thousandths).into())? / 100_000
            }
        };
        anchor.checked_add(margin)
    };
    match expectation {
        Expectation::Range { max, .. } => max.as_ref().map(Quantity::thousandths),
        Expectation::Near(anchor, margin) => above(anchor, margin),
        Expectation::Captured(Some(margin)) => above(&captured?.quantity()?, margin),
        // A part of another key moves with that.
        Expectation::Share { .. }
        | Expectation::Captured(None)
        | Expectation::Equal(_)
        | Expectation::OneOf(_)
        | Expectation::Matches(_) => None,
    }
}

/// Whether two quantities are no further apart than the margin; a percent is of the first.
fn is_near(anchor: &Quantity, actual: &Quantity, margin: &Margin) -> bool {
    let Some(distance) = actual.thousandths().checked_sub(anchor.thousandths()).map(i128::unsigned_abs)
    else {
        return false;
    };
    match margin {
        Margin::Absolute(most) => distance <= most.thousandths().unsigned_abs(),
        // distance / anchor <= percent / 100, in whole numbers. What is too large to multiply is too far.
        Margin::Percent(thousandths) => distance
            .checked_mul(100_000)
            .zip(anchor.thousandths().unsigned_abs().checked_mul(u128::from(*thousandths)))
            .is_some_and(|(distance, most)| distance <= most),
    }
}

/// What is expected, in words a person reads.
pub fn expected(key: &Key, expectation: &Expectation, captured: Option<&Value>) -> String {
    let canonical = |value: &str| Value::canonical(key, value).as_str().to_owned();
    match expectation {
        Expectation::Captured(margin) => match (captured, margin) {
            (None, _) => "what the host has when a deployment is confirmed".into(),
            (Some(value), None) => value.to_string(),
            (Some(value), Some(margin)) => format!("{value}, give or take {margin}"),
        },
        Expectation::Equal(value) => canonical(value),
        Expectation::OneOf(values) => {
            let values: Vec<_> = values.iter().map(|value| canonical(value)).collect();
            format!("one of {}", values.join(", "))
        }
        Expectation::Matches(pattern) => format!("a match of `{pattern}`"),
        Expectation::Range { min: Some(min), max: Some(max) } => format!("{min} to {max}"),
        Expectation::Range { min: Some(min), max: None } => format!("at least {min}"),
        Expectation::Range { min: None, max: Some(max) } => format!("at most {max}"),
        Expectation::Range { min: None, max: None } => "a number".into(),
        Expectation::Share { bound, thousandths, of } => {
            let bound = match bound {
                Bound::Least => "at least",
                Bound::Most => "at most",
            };
            format!("{bound} {} of {of}", Margin::Percent(*thousandths))
        }
        Expectation::Near(anchor, margin) => format!("{anchor}, give or take {margin}"),
    }
}

/// The value that puts a departure right, where there is one: of several the first, of a secret none.
pub fn wanted(key: &Key, expectation: &Expectation, captured: Option<&Value>) -> Option<Value> {
    match expectation {
        _ if key.is_secret() => None,
        Expectation::Captured(_) => captured.cloned(),
        Expectation::Equal(value) => Some(Value::canonical(key, value)),
        Expectation::OneOf(values) => values.first().map(|value| Value::canonical(key, value)),
        Expectation::Matches(_)
        | Expectation::Range { .. }
        | Expectation::Share { .. }
        | Expectation::Near(..) => None,
    }
}

/// The same for people: of a secret nothing is shown.
pub fn described(key: &Key, expectation: &Expectation, captured: Option<&Value>) -> String {
    described_adopted(key, expectation, captured, None)
}

/// The same where a live value may have been adopted.
pub fn described_adopted(
    key: &Key,
    expectation: &Expectation,
    captured: Option<&Value>,
    adopted: Option<&Value>,
) -> String {
    match adopted {
        _ if key.is_secret() => Value::secret().to_string(),
        None => expected(key, expectation, captured),
        Some(value) if expectation.is_one_value() => format!("{value}, adopted"),
        Some(value) => format!("{value}, adopted, or {}", expected(key, expectation, captured)),
    }
}

/// Judges a value of a key where a live value may have been adopted (`adopted`): that one is right too, and it alone where one
/// value is expected.
pub fn judge_adopted(
    key: &Key,
    expectation: &Expectation,
    captured: Option<&Value>,
    adopted: Option<&Value>,
    actual: Option<&Value>,
) -> Judgement {
    match (adopted, actual) {
        (Some(adopted), Some(actual)) if adopted == actual => Judgement::InSync,
        (Some(_), Some(_)) if expectation.is_one_value() => Judgement::Departs,
        _ => judge(key, expectation, captured, actual),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(key: &str, expectation: &Expectation, actual: Option<&str>, wanted: Judgement, words: &str) {
        let key: Key = key.parse().unwrap();
        let actual = actual.map(|text| Value::canonical(&key, text));
        assert_eq!(judge(&key, expectation, None, actual.as_ref()), wanted);
        assert_eq!(expected(&key, expectation, None), words);
    }

    #[test]
    fn each_form_of_expectation_compares_canonical_values() {
        use Judgement::{Departs, InSync, Unjudged};
        let equal = Expectation::Equal("4096\t131072  6291456".into());
        let rmem = "net.ipv4.tcp_rmem";
        check(rmem, &equal, Some("4096\t131072\t6291456\n"), InSync, "4096 131072 6291456");
        check(rmem, &equal, Some("4096 131072 1\n"), Departs, "4096 131072 6291456");
        check(rmem, &equal, None, Departs, "4096 131072 6291456");
        let size = Expectation::Equal("2GiB".into());
        let limit = "/sys/fs/cgroup/system.slice/mysql.service/memory.max";
        check(limit, &size, Some("2147483648\n"), InSync, "2147483648");
        check(limit, &size, Some("max\n"), Departs, "2147483648");
        let one_of = Expectation::OneOf(vec!["1".into(), "2".into()]);
        check("net.ipv4.conf.all.rp_filter", &one_of, Some("2\n"), InSync, "one of 1, 2");
        check("net.ipv4.conf.all.rp_filter", &one_of, Some("0\n"), Departs, "one of 1, 2");
        let least = Expectation::Range { min: Some(quantity("2GiB")), max: None };
        let memory = "/proc/meminfo:MemAvailable";
        check(memory, &least, Some("2097152 kB"), InSync, "at least 2GiB");
        check(memory, &least, Some("2097151 kB"), Departs, "at least 2GiB");
        check(memory, &least, None, Departs, "at least 2GiB");
        let range = Expectation::Range { min: Some(quantity("1")), max: Some(quantity("10")) };
        check("vm.swappiness", &range, Some("11"), Departs, "1 to 10");
        check(rmem, &range, Some("4096 131072"), Departs, "1 to 10");
        let near = Expectation::Near(quantity("1000"), Margin::Percent(500));
        check("vm.nr_hugepages", &near, Some("995"), InSync, "1000, give or take 0.5%");
        check("vm.nr_hugepages", &near, Some("1006"), Departs, "1000, give or take 0.5%");
        let captured = Expectation::Captured(None);
        let words = "what the host has when a deployment is confirmed";
        check("vm.swappiness", &captured, Some("60"), Unjudged, words);
        check(memory, &captured, Some("2097152 kB"), Unjudged, words);
        let pattern = Expectation::Matches(crate::model::TextPattern::parse("(cubic|bbr)").unwrap());
        let control = "net.ipv4.tcp_congestion_control";
        check(control, &pattern, Some("bbr\n"), InSync, "a match of `(cubic|bbr)`");
        check(control, &pattern, Some("bbr2\n"), Departs, "a match of `(cubic|bbr)`");
        check(control, &pattern, None, Departs, "a match of `(cubic|bbr)`");
    }

    #[test]
    fn what_is_expected_of_a_key_that_moves_by_itself_is_judged_all_the_same() {
        use Judgement::{Departs, InSync};
        let equal = |value: &str| Expectation::Equal(value.into());
        check("fs.file-nr", &equal("1 2 3"), Some("1 0 5"), Departs, "1 2 3");
        check("/proc/meminfo:HugePages_Total", &equal("4096"), Some("0"), Departs, "4096");
        check("/proc/meminfo:HugePages_Free", &equal("0"), Some("0"), InSync, "0");
        check("/proc/[pid]/stat:state=Z", &equal("0"), Some("2"), Departs, "0");
        check("/proc/pressure/memory:full.avg300", &equal("0"), Some("0.00"), InSync, "0.00");
    }

    #[test]
    fn sizes_are_equal_by_value_whatever_unit_the_file_has() {
        use Judgement::{Departs, InSync};
        let one_of = Expectation::OneOf(vec!["16GiB".into(), "24684084KiB".into()]);
        let total = "/proc/meminfo:MemTotal";
        let words = "one of 16777216 kB, 24684084 kB";
        check(total, &one_of, Some("24684084 kB"), InSync, words);
        check(total, &one_of, Some("16777216 kB"), InSync, words);
        check(total, &one_of, Some("24684080 kB"), Departs, words);
        check("vm.max_map_count", &Expectation::Equal("65530B".into()), Some("65530"), InSync, "65530");
        check("vm.dirty_bytes", &Expectation::Equal("64 MiB".into()), Some("67108864"), InSync, "67108864");
        let mask = "/sys/class/net/eth0/queues/rx-0/rps_cpus";
        check(mask, &Expectation::Equal("1B".into()), Some("1"), Departs, "1B");
    }

    #[test]
    fn a_captured_value_is_judged_within_its_margin() {
        let key: Key = "vm.swappiness".parse().unwrap();
        let value = |text: &str| Value::canonical(&key, text);
        for (margin, actual, wanted) in [
            (None, Some("60"), Judgement::InSync),
            (None, Some("61"), Judgement::Departs),
            (None, None, Judgement::Departs),
            (Some(Margin::Absolute(quantity("5"))), Some("65"), Judgement::InSync),
            (Some(Margin::Absolute(quantity("5"))), Some("66"), Judgement::Departs),
            (Some(Margin::Percent(10_000)), Some("54"), Judgement::InSync),
        ] {
            let actual = actual.map(value);
            let expectation = Expectation::Captured(margin);
            assert_eq!(judge(&key, &expectation, Some(&value("60")), actual.as_ref()), wanted, "{actual:?}");
        }
    }

    #[test]
    fn a_part_of_another_key_is_of_what_that_one_is_now() {
        let key: Key = "/proc/meminfo:Committed_AS".parse().unwrap();
        let of: Key = "/proc/meminfo:CommitLimit".parse().unwrap();
        let share = |bound, thousandths| Expectation::Share { bound, thousandths, of: of.clone() };
        let limit = Value::canonical(&of, "1000 kB");
        for (bound, thousandths, actual, wanted) in [
            (Bound::Most, 95_000, "950 kB", Judgement::InSync),
            (Bound::Most, 95_000, "951 kB", Judgement::Departs),
            (Bound::Most, 500, "5 kB", Judgement::InSync),
            (Bound::Most, 500, "6 kB", Judgement::Departs),
            (Bound::Most, 120_000, "1200 kB", Judgement::InSync),
            (Bound::Least, 95_000, "950 kB", Judgement::InSync),
            (Bound::Least, 95_000, "949 kB", Judgement::Departs),
        ] {
            let share = share(bound, thousandths);
            let actual = Value::canonical(&key, actual);
            let settled = settled(&share, |_| Some(limit.clone()));
            assert_eq!(judge(&key, &settled, None, Some(&actual)), wanted, "{share:?} {actual}");
        }
        let share = share(Bound::Most, 95_500);
        assert_eq!(expected(&key, &share, None), "at most 95.5% of /proc/meminfo:CommitLimit");
        // Nothing is within a part of nothing.
        for other in [None, Some(Value::canonical(&of, "much"))] {
            let settled = settled(&share, |_| other);
            assert_eq!(judge(&key, &settled, None, Some(&limit)), Judgement::Departs);
        }
    }

    proptest! {
        #[test]
        fn a_range_agrees_with_the_numbers(min in -50i64..50, max in -50i64..50, actual in -60i64..60) {
            let key: Key = "vm.swappiness".parse().unwrap();
            let range = Expectation::Range {
                min: Some(quantity(&min.to_string())), max: Some(quantity(&max.to_string())),
            };
            let value = Value::canonical(&key, &actual.to_string());
            let in_sync = judge(&key, &range, None, Some(&value)) == Judgement::InSync;
            prop_assert_eq!(in_sync, min <= actual && actual <= max);
        }

        #[test]
        fn nearness_agrees_with_the_numbers(anchor in -500i64..500, thousandths in 0u32..200_000, actual in -800i64..800) {
            let key: Key = "vm.swappiness".parse().unwrap();
            let value = Value::canonical(&key, &actual.to_string());
            let judged = |margin| {
                let near = Expectation::Near(quantity(&anchor.to_string()), margin);
                judge(&key, &near, None, Some(&value)) == Judgement::InSync
            };
            let distance = (anchor - actual).abs();
            prop_assert_eq!(judged(Margin::Percent(thousandths)), distance * 100_000 <= anchor.abs() * i64::from(thousandths));
            let most = i64::from(thousandths) / 1000;
            prop_assert_eq!(judged(Margin::Absolute(quantity(&most.to_string()))), distance <= most);
        }

        #[test]
        fn above_the_most_a_value_departs_and_nothing_below_it_is_too_much(
            anchor in -500i64..500, margin in 0u32..200, percent: bool, actual in -1500i64..1500
        ) {
            let key: Key = "vm.swappiness".parse().unwrap();
            let value = Value::canonical(&key, &actual.to_string());
            let margin = match percent {
                true => Margin::Percent(margin * 1000),
                false => Margin::Absolute(quantity(&margin.to_string())),
            };
            for expectation in [
                Expectation::Near(quantity(&anchor.to_string()), margin),
                Expectation::Range { min: None, max: Some(quantity(&anchor.to_string())) },
            ] {
                let too_much = i128::from(actual) * 1000 > most(&expectation, None).unwrap();
                let departs = judge(&key, &expectation, None, Some(&value)) == Judgement::Departs;
                let too_little = matches!(expectation, Expectation::Near(..)) && actual < anchor;
                prop_assert_eq!(departs && !too_little, too_much);
            }
        }

        #[test]
        fn what_is_equal_is_one_of_them_and_what_was_captured(values in proptest::collection::vec(0u8..5, 1..4), actual in 0u8..5) {
            let key: Key = "vm.swappiness".parse().unwrap();
            let value = Value::canonical(&key, &actual.to_string());
            let one_of = Expectation::OneOf(values.iter().map(|value| value.to_string().into()).collect());
            let in_sync = |expectation: &Expectation, captured: Option<&Value>| {
                judge(&key, expectation, captured, Some(&value)) == Judgement::InSync
            };
            prop_assert_eq!(in_sync(&one_of, None), values.contains(&actual));
            let equal = |wanted: &u8| in_sync(&Expectation::Equal(wanted.to_string().into()), None);
            prop_assert_eq!(in_sync(&one_of, None), values.iter().any(equal));
            let captured = Value::canonical(&key, &values[0].to_string());
            prop_assert_eq!(in_sync(&Expectation::Captured(None), Some(&captured)), values[0] == actual);
        }
    }
}
