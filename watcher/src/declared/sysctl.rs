//! The lines of sysctl.d(5) and sysctl.conf(5), as systemd-sysctl and as procps read them.
//!
//! Read in systemd 252 and procps 4.0.2, and held against both by tests/fixtures/baselines/sysctl.d.

use std::sync::Arc;

use super::{Kind, Line, NotUnderstood, Parsed, Says, Target};
use crate::model::{Expectation, IfAbsent, Source};

/// Which program applies the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applier {
    /// systemd-sysctl, at boot and for each new interface.
    Systemd,
    /// `sysctl --system` or `sysctl -p` of procps.
    Procps,
}

impl Applier {
    /// What its files are.
    pub fn kind(self) -> Kind {
        match self {
            Applier::Systemd => Kind::SysctlD,
            Applier::Procps => Kind::Procps,
        }
    }
}

/// Reads one file. `from` is the source it belongs to, `file` the name it is shown under.
///
/// A backslash at the end of a line continues nothing: it is a part of the value, for both programs.
pub fn parse(applier: Applier, from: &Arc<str>, file: &Arc<str>, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_matches(is_space);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let source = Source { file: file.clone(), line: index + 1 };
        match read(applier, line) {
            Ok((target, says, if_absent)) => {
                let from = from.clone();
                parsed.lines.push(Line { target, says, if_absent, from, source, commit: None });
            }
            Err(why) => parsed.not_understood.push(NotUnderstood::new(source, line, why)),
        }
    }
    parsed
}

/// White space as the C library has it in the C locale, which is what both programs trim.
fn is_space(char: char) -> bool {
    char.is_ascii_whitespace() || char == '\u{b}'
}

fn read(applier: Applier, line: &str) -> Result<(Target, Says, IfAbsent), String> {
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err("control characters".into());
    }
    if line.contains(char::REPLACEMENT_CHARACTER) {
        return Err("not UTF-8".into());
    }
    if line.starts_with('[') {
        return Err("a section; a TuneD profile is read with `--source tuned`".into());
    }
    let (minus, rest) = line.strip_prefix('-').map_or((false, line), |rest| (true, rest));
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value.trim_matches(is_space))),
        None if minus => (rest, None),
        None => return Err("wanted `key = value`".into()),
    };
    if applier == Applier::Procps && name.starts_with(is_space) {
        return Err("sysctl looks for a name that begins with white space; write none after `-`".into());
    }
    let target = Target::sysctl(name.trim_matches(is_space))?;
    let Some(value) = value else {
        if applier == Applier::Procps && matches!(target, Target::Pattern(..)) {
            return Err("whether sysctl heeds an exclusion with a pattern depends on its version; \
                        exclude the keys one by one"
                .into());
        }
        return Ok((target, Says::Exclude, IfAbsent::Drift));
    };
    let value = applied(&target, value)?;
    let if_absent = if minus { IfAbsent::Ignore } else { IfAbsent::Drift };
    Ok((target, Says::Expect(Expectation::Equal(value.into())), if_absent))
}

/// What the kernel makes of a value with something behind it that is meant as a comment and is none: all of it is written.
/// A sysctl of numbers takes those before it and passes over the rest (`proc_get_long`, kernel/sysctl.c; seen with both
/// programs, and no error told). What any other does depends on the key.
fn applied<'v>(target: &Target, value: &'v str) -> Result<&'v str, String> {
    if matches!(target, Target::Key(key) if key.is_literal()) {
        return Ok(value);
    }
    let mut before = ' ';
    let found = value
        .char_indices()
        .find(|(_, char)| is_space(std::mem::replace(&mut before, *char)) && ['#', ';'].contains(char));
    let Some((at, char)) = found else { return Ok(value) };
    let numbers = value.get(..at).unwrap_or_default().trim_end_matches(is_space);
    match !numbers.is_empty()
        && numbers.split(is_space).all(|word| word.is_empty() || word.parse::<i64>().is_ok())
    {
        true => Ok(numbers),
        false => Err(format!("`{char}` after a value begins no comment; put it on a line of its own")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a text says, a line for each line: with its number.
    fn said(applier: Applier, text: &str) -> Vec<String> {
        let Parsed { lines, not_understood } = parse(applier, &"sysctl.d".into(), &"a.conf".into(), text);
        let mut said: Vec<(usize, String)> = lines
            .iter()
            .map(|line| {
                let says = match &line.says {
                    Says::Expect(Expectation::Equal(value)) => format!("{} = {value}", line.target),
                    Says::Expect(other) => format!("{other:?}"),
                    Says::Exclude => format!("not {}", line.target),
                };
                let ignored = if line.if_absent == IfAbsent::Ignore { ", if it is there" } else { "" };
                (line.source.line, format!("{says}{ignored}"))
            })
            .chain(
                not_understood.iter().map(|line| (line.source.line, format!("{}: {}", line.text, line.why))),
            )
            .collect();
        said.sort();
        said.into_iter().map(|(line, said)| format!("{line} {said}")).collect()
    }

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        assert_eq!(said(Applier::Systemd, text), wanted);
    }

    #[test]
    fn an_assignment_may_be_spelled_in_many_ways() {
        check("vm.swappiness=10", &["1 vm.swappiness = 10"]);
        check("  vm/swappiness \t= 10 \r\n", &["1 vm.swappiness = 10"]);
        check("\n# a\n ; b\n\t# c\nvm.swappiness = 10", &["5 vm.swappiness = 10"]);
        check("-vm.swappiness = 10", &["1 vm.swappiness = 10, if it is there"]);
        check("- vm.swappiness = 10", &["1 vm.swappiness = 10, if it is there"]);
        check("net.ipv4.tcp_rmem = 4096\t131072  6291456", &["1 net.ipv4.tcp_rmem = 4096\t131072  6291456"]);
        check("kernel.core_pattern = |/bin/x %p=%e # a", &["1 kernel.core_pattern = |/bin/x %p=%e # a"]);
        check("vm.swappiness = 10 # less", &["1 vm.swappiness = 10"]);
        check(
            "net.ipv4.tcp_rmem = 4096\t131072  6291456 ; more",
            &["1 net.ipv4.tcp_rmem = 4096\t131072  6291456"],
        );
        check("net.ipv4.ip_local_reserved_ports =", &["1 net.ipv4.ip_local_reserved_ports = "]);
        check("kernel.panic = 1 \\\n", &["1 kernel.panic = 1 \\"]);
    }

    #[test]
    fn patterns_and_exclusions_are_told_apart() {
        check(
            "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n-net.ipv4.conf.e*.rp_filter\n",
            &[
                "1 /proc/sys/net/ipv4/conf/*/rp_filter = 2",
                "2 not net.ipv4.conf.all.rp_filter",
                "3 not /proc/sys/net/ipv4/conf/e*/rp_filter",
            ],
        );
    }

    #[test]
    fn what_is_not_understood_is_listed_with_its_line_and_why() {
        check("a line", &["1 a line: wanted `key = value`"]);
        check("= 5", &["1 = 5: no name of a key stands there"]);
        check("[sysctl]", &["1 [sysctl]: a section; a TuneD profile is read with `--source tuned`"]);
        check(
            "net.core.default_qdisc = fq # fair",
            &[
                "1 net.core.default_qdisc = fq # fair: `#` after a value begins no comment; put it on a line of its own",
            ],
        );
        check(
            "vm.swappiness = # 10",
            &["1 vm.swappiness = # 10: `#` after a value begins no comment; put it on a line of its own"],
        );
        check(
            "/proc/sys/vm/swappiness = 10",
            &["1 /proc/sys/vm/swappiness = 10: names are below /proc/sys: leave `/proc/sys/` out"],
        );
        check(
            "vm.drop_caches = 3",
            &["1 vm.drop_caches = 3: this sysctl is write-only or acts when it is read, so it is never read"],
        );
        check(
            "swappiness = 1",
            &["1 swappiness = 1: a sysctl has at least two components, as in `vm.swappiness`"],
        );
        check("vm.a = \u{1b}[1m", &["1 vm.a = \\u{1b}[1m: control characters"]);
        check("vm.a = \u{fffd}", &["1 vm.a = \u{fffd}: not UTF-8"]);
    }

    #[test]
    fn procps_reads_some_lines_otherwise() {
        assert_eq!(
            said(Applier::Procps, "- vm.swappiness = 10\n-vm.a\n-vm.*\n"),
            [
                "1 - vm.swappiness = 10: sysctl looks for a name that begins with white space; write none after `-`",
                "2 not vm.a",
                "3 -vm.*: whether sysctl heeds an exclusion with a pattern depends on its version; exclude the keys \
                 one by one",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_line_is_dropped(text in "[a-z.*#;=\\[\\]/ \n-]{0,80}|\\PC{0,40}") {
            for applier in [Applier::Systemd, Applier::Procps] {
                let Parsed { lines, not_understood } = parse(applier, &"s".into(), &"f".into(), &text);
                let told = lines.iter().map(|line| &line.source).chain(not_understood.iter().map(|n| &n.source));
                let mut told: Vec<usize> = told.map(|source| source.line).collect();
                told.sort_unstable();
                let is_empty = |line: &str| line.is_empty() || line.starts_with(['#', ';']);
                let there = text.split('\n').enumerate().filter(|(_, line)| !is_empty(line.trim_matches(is_space)));
                prop_assert_eq!(told, there.map(|(index, _)| index + 1).collect::<Vec<_>>());
            }
        }
    }
}
