//! Values in canonical form, and the quantities that thresholds compare.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Key;

/// A value in the canonical form of its key: equal values are equal texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(Box<str>);

impl Value {
    /// The canonical form of what the kernel shows, or a person writes, for a key.
    ///
    /// A literal key keeps its text up to the newline. A sysfs choice (`always [madvise] never`) is the chosen
    /// word. All else is its words with one space between them, each number without needless zeros and signs, and
    /// each size that a person writes (`2GiB`) as the kernel shows it: in bytes for a sysctl or a file of /sys, in kB for
    /// a field of /proc/meminfo.
    pub fn canonical(key: &Key, text: &str) -> Value {
        let line = text.trim_end_matches(['\n', '\0']);
        if key.is_literal() {
            return Value(line.into());
        }
        // What ends a text ends it in any order, so that what comes out stays as it is.
        let line = ended(line);
        let line = match key {
            Key::Sysfs { .. } => chosen(line).map_or(line, ended),
            _ => line,
        };
        if let Some(measured) = measured(key, line) {
            return Value(measured.into());
        }
        let mut canonical = String::with_capacity(line.len());
        for word in line.split_whitespace() {
            if !canonical.is_empty() {
                canonical.push(' ');
            }
            match number(key, word) {
                Some(number) => canonical.push_str(&number.to_string()),
                None => canonical.push_str(word),
            }
        }
        Value(canonical.into())
    }

    /// Whether the text of a key's file, of one that is not literal, is plainly this value: the same words with one
    /// space or tab between them. Where it is not, [`Value::canonical`] may yet make the same of it.
    pub fn is_shown_as(&self, text: &[u8]) -> bool {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let same = |(shown, known): (&u8, &u8)| shown == known || (*shown == b'\t' && *known == b' ');
        line.len() == self.0.len() && line.iter().zip(self.0.as_bytes()).all(same)
    }

    /// What is shown in place of a secret.
    pub fn secret() -> Value {
        Value("(secret)".into())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value as a quantity, where it is one number with or without a unit.
    pub fn quantity(&self) -> Option<Quantity> {
        self.0.parse().ok()
    }
}

/// A whole text that is one quantity, as the file of the key writes it.
fn measured(key: &Key, text: &str) -> Option<String> {
    match key {
        Key::Sysctl { .. } | Key::Sysfs { .. } => Some(size(key, text)?.to_string()),
        // Counts, of huge pages, have no unit there, and are none here.
        Key::Meminfo { .. } => {
            let bytes = size(key, text)?;
            (bytes % 1024 == 0).then(|| format!("{} kB", bytes / 1024))
        }
        // Averages have two digits after the point (kernel/sched/psi.c, `psi_show`); the total has none.
        Key::Pressure { field: (_, field), .. } if &**field != "total" => {
            let average = text.parse::<Quantity>().ok().filter(|average| !average.is_size())?.thousandths();
            let is_shown_whole = average >= 0 && average % 10 == 0;
            is_shown_whole.then(|| format!("{}.{:02}", average / 1000, average % 1000 / 10))
        }
        _ => None,
    }
}

/// The bytes of a size with its unit.
fn size(key: &Key, text: &str) -> Option<i128> {
    let (unit, _) = unit(text.trim())?;
    // `1B` may as well be a mask, in hexadecimal digits.
    if unit == "B" && may_be_mask(key) {
        return None;
    }
    text.parse::<Quantity>().ok()?.whole()
}

/// Whether the file of a key may hold a mask of processors or the like: any of /sys but those of cgroups, and two sysctls
/// (net/core/sysctl_net_core.c, `rps_default_mask` and `flow_limit_cpu_bitmap`).
fn may_be_mask(key: &Key) -> bool {
    match key {
        Key::Sysfs { path, .. } => !path.starts_with("/sys/fs/cgroup/"),
        Key::Sysctl { name, .. } => {
            ["net/core/flow_limit_cpu_bitmap", "net/core/rps_default_mask"].contains(&&**name)
        }
        _ => false,
    }
}

/// A word as the number that the kernel takes it for. Writes of sysctls know octal and hexadecimal numbers
/// (`proc_get_long` in kernel/sysctl.c: `strtoul_lenient` with base 0).
fn number(key: &Key, word: &str) -> Option<i128> {
    if let (Key::Sysctl { .. } | Key::Sysfs { .. }, Some(bytes)) = (key, size(key, word)) {
        return Some(bytes);
    }
    let digits = word.trim_start_matches(['-', '+']);
    let radix = match key {
        Key::Sysctl { .. } if digits.starts_with("0x") || digits.starts_with("0X") => 16,
        Key::Sysctl { .. } if digits.len() > 1 && digits.starts_with('0') => 8,
        _ => return word.parse().ok(),
    };
    let rest = digits.get(if radix == 16 { 2 } else { 1 }..)?;
    // A list such as `0-3` is no number, although the rest of it reads like one.
    if !rest.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(rest, radix).ok()?;
    match word.len() - digits.len() {
        0 => Some(number),
        1 if word.starts_with('-') => Some(-number),
        1 => Some(number),
        _ => None,
    }
}

/// A text without what ends it.
fn ended(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == '\0' || c.is_whitespace())
}

/// The word between brackets, if one and only one word of the line is in brackets.
fn chosen(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().filter_map(|w| w.strip_prefix('[')?.strip_suffix(']'));
    let word = words.next().filter(|w| !w.is_empty() && !w.contains(['[', ']']))?;
    words.next().is_none().then_some(word)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number that a threshold compares, exact to three digits after the point; sizes count in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    thousandths: i128,
    /// As it was written, for messages.
    text: Box<str>,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number or a size such as `2GiB`")]
pub struct InvalidQuantity(pub String);

impl Quantity {
    /// The number in thousandths, sizes in bytes.
    pub fn thousandths(&self) -> i128 {
        self.thousandths
    }

    /// This part of it, in thousandths of a percent, rounded towards zero; `None` where that is too large a number.
    pub fn part(&self, thousandths: u32) -> Option<Quantity> {
        let part = self.thousandths.checked_mul(i128::from(thousandths))? / 100_000;
        let (sign, digits) = (if part < 0 { "-" } else { "" }, part.unsigned_abs());
        let text = format!("{sign}{}.{:03}", digits / 1000, digits % 1000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        Some(Quantity { thousandths: part, text: text.into() })
    }

    /// Whether it was written with a unit of size.
    pub fn is_size(&self) -> bool {
        unit(&self.text).is_some()
    }

    /// The number where it is a whole one, sizes in bytes.
    pub fn whole(&self) -> Option<i128> {
        (self.thousandths % 1000 == 0).then_some(self.thousandths / 1000)
    }
}

/// Units of size. `kB` in /proc/meminfo is 1024 bytes, whatever it looks like (proc_meminfo(5)).
const UNITS: [(&str, i128); 8] = [
    ("B", 1),
    ("kB", 1 << 10),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("EiB", 1 << 60),
];

/// The unit that a text ends with, and the bytes in one.
fn unit(text: &str) -> Option<(&'static str, i128)> {
    UNITS.into_iter().rev().find(|(unit, _)| text.ends_with(unit))
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Quantity, InvalidQuantity> {
        let wrong = || InvalidQuantity(text.to_owned());
        let trimmed = text.trim();
        let (unit, factor) = unit(trimmed).unwrap_or(("", 1));
        let digits = trimmed.strip_suffix(unit).unwrap_or(trimmed).trim_end();
        let number = thousandths(digits).ok_or_else(wrong)?;
        Ok(Quantity { thousandths: number.checked_mul(factor).ok_or_else(wrong)?, text: trimmed.into() })
    }
}

/// A decimal number with at most three digits after the point, in thousandths.
fn thousandths(text: &str) -> Option<i128> {
    let Some((whole, fraction)) = text.split_once('.') else {
        return text.parse::<i128>().ok()?.checked_mul(1000);
    };
    if !(1..=3).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: i128 = format!("{fraction:0<3}").parse().ok()?;
    let number = whole.parse::<i128>().ok()?.checked_mul(1000)?;
    if whole.starts_with('-') { number.checked_sub(part) } else { number.checked_add(part) }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.thousandths.cmp(&other.thousandths))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(key: &str, text: &str, canonical: &str) {
        let key: Key = key.parse().unwrap();
        let value = Value::canonical(&key, text);
        assert_eq!(value.as_str(), canonical);
        assert_eq!(Value::canonical(&key, canonical), value, "canonical is a fixed point");
    }

    #[test]
    fn values_compare_in_canonical_form() {
        check("vm.swappiness", "60\n", "60");
        check("vm.swappiness", " +60 ", "60");
        check("vm.swappiness", "010\0\t", "8");
        check("/sys/block/sda/queue/nr_requests", "1 [+5] 9", "5");
        check("/sys/block/sda/queue/scheduler", "none [kyber\0\0] x", "kyber");
        check("vm.swappiness", "074 0x3C -0x1 08 --1 0", "60 60 -1 08 --1 0");
        check("kernel.watchdog_cpumask", "0-1\n", "0-1");
        check("net.ipv4.ip_local_reserved_ports", "0-15,0+3\n", "0-15,0+3");
        check("/sys/block/sda/queue/nr_requests", "064", "64");
        check("net.ipv4.tcp_rmem", "4096\t131072\t6291456\n", "4096 131072 6291456");
        check("kernel.core_pattern", "|/bin/dump  %p\n", "|/bin/dump  %p");
        check("kernel.hostname", "007\n", "007");
        check("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n", "madvise");
        check("/sys/kernel/mm/transparent_hugepage/enabled", "madvise", "madvise");
        check("/proc/meminfo:MemTotal", "      24689300 kB", "24689300 kB");
        check("/sys/fs/cgroup/system.slice/mysql.service/memory.max", "2GiB", "2147483648");
        check("/sys/fs/cgroup/system.slice/mysql.service/memory.max", "max\n", "max");
        check("vm.dirty_bytes", "0.5MiB", "524288");
        check("net.ipv4.tcp_rmem", "4KiB 128KiB 6MiB", "4096 131072 6291456");
        check("vm.dirty_bytes", "0.3KiB 2GiBs GiB 2kB", "0.3KiB 2GiBs GiB 2048");
        check("vm.max_map_count", "65530B", "65530");
        check("vm.dirty_bytes", "64 MiB", "67108864");
        check("vm.dirty_bytes", "0x1B", "27");
        check("net.core.rps_default_mask", "1B", "1B");
        check("/sys/fs/cgroup/system.slice/mysql.service/memory.max", "4096B", "4096");
        check("/proc/meminfo:MemTotal", "24684084KiB", "24684084 kB");
        check("/proc/meminfo:MemTotal", "1.5GiB", "1572864 kB");
        check("/proc/meminfo:MemTotal", "1025B", "1025B");
        check("/proc/meminfo:HugePages_Total", "4096", "4096");
        check("/proc/pressure/memory:full.avg10", "0", "0.00");
        check("/proc/pressure/memory:full.avg10", "12.5", "12.50");
        check("/proc/pressure/memory:full.avg10", "12.345", "12.345");
        check("/proc/pressure/memory:full.total", "12", "12");
        check("/sys/class/net/eth0/queues/rx-0/rps_cpus", "1B\n", "1B");
        check("kernel.hostname", "2GiB\n", "2GiB");
        check("net.ipv4.tcp_congestion_control", "bbr\n", "bbr");
        check("net.core.rps_sock_flow_entries", "", "");
    }

    #[test]
    fn sizes_compare_by_value() {
        let quantity = |t: &str| t.parse::<Quantity>();
        assert_eq!(quantity("2GiB").unwrap().whole(), Some(2 << 30));
        assert_eq!(quantity("2097152 kB").unwrap().whole(), Some(2 << 30));
        assert_eq!(quantity("1.5GiB").unwrap().whole(), Some(3 << 29));
        assert_eq!(quantity("-1").unwrap().whole(), Some(-1));
        assert_eq!(quantity("-0.25").unwrap().thousandths(), -250);
        assert_eq!(quantity("0.12").unwrap().whole(), None);
        assert!(quantity("4000").unwrap() < quantity("4KiB").unwrap());
        for wrong in
            ["", "GiB", ".5", "1.", "1.2345", "4096 131072", "0x10", "99999999999999999999999999999999GiB"]
        {
            assert_eq!(quantity(wrong).unwrap_err(), InvalidQuantity(wrong.into()));
        }
    }

    proptest! {
        #[test]
        fn a_text_that_is_plainly_a_value_is_that_value(
            words in prop::collection::vec("[-+]?[0-9]{1,3}|0x[0-9a-f]{1,2}|[a-z]{1,3}", 0..4),
            between in "[ \t]{1,2}",
            end in "\n?",
        ) {
            let key: Key = "net.ipv4.tcp_rmem".parse().unwrap();
            let written = words.join(" ");
            let value = Value::canonical(&key, &written);
            for words in [written.as_str(), value.as_str()] {
                let shown = format!("{}{end}", words.replace(' ', &between));
                prop_assert!(!value.is_shown_as(shown.as_bytes()) || Value::canonical(&key, &shown) == value);
            }
            let shown = format!("{}\n", value.as_str().replace(' ', "\t"));
            prop_assert!(value.is_shown_as(shown.as_bytes()));
        }

        #[test]
        fn canonical_is_a_fixed_point_of_any_text(text in "\\PC{0,40}") {
            for key in [
                "vm.swappiness", "kernel.core_pattern", "/sys/block/sda/queue/scheduler", "/proc/meminfo:MemTotal",
                "/proc/pressure/memory:full.avg10",
            ] {
                let key: Key = key.parse().unwrap();
                let once = Value::canonical(&key, &text);
                prop_assert_eq!(Value::canonical(&key, once.as_str()), once);
            }
        }
    }
}
