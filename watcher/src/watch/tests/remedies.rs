//! Remedies: what is put back, what is left alone, and what is said of it.

mod adopted;
mod orders;
mod reverts;

use super::host::{Host, SWAPPINESS, expects, rule};
use crate::model::{Expectation, Limits, Remedy, Rule, What};

const OPENED: &str = "opened equal: vm.swappiness 61 not 10 (7, kprobe) unknown";
const DONE: &str = "revert vm.swappiness 10: done";

fn reverts(rule: Rule) -> Rule {
    Rule { remedy: Remedy::Revert(Limits::default()), ..rule }
}

fn at_most(key: &str, max: &str) -> Rule {
    rule("most", key, Expectation::Range { min: None, max: Some(max.parse().unwrap()) })
}

/// A host that expects 10 of swappiness and reverts.
fn host() -> Host {
    Host::new(&[reverts(expects(SWAPPINESS, "10"))], &[(SWAPPINESS, "10")]).that_reverts()
}

/// A host that expects 10 of swappiness, only watches, and has a finding: it is 61.
fn departed() -> Host {
    let mut host = Host::new(&[expects(SWAPPINESS, "10")], &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
    host
}

/// A host that decided to put 10 back: the order is given, and its hand waits to hear that it is recorded.
fn ordered() -> Host {
    let mut host = host();
    (host.by_hand, host.cut_off) = (true, true);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED]);
    host
}

fn live(host: &Host) -> String {
    std::fs::read_to_string(host.path(SWAPPINESS)).unwrap().trim_end().to_owned()
}

/// The reason of the last remedy.
fn reason(host: &Host) -> String {
    let remedied = host.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Remedy(remedied) => Some(remedied.clone()),
        _ => None,
    });
    remedied.and_then(|remedied| remedied.reason).unwrap_or_default()
}
