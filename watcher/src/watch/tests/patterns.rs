//! Keys that patterns stand for, and keys that are not there.

use super::host::{ETH0, ETH1, Host, MTU, NOTHING, SWAPPINESS, expects};
use crate::{
    model::{IfAbsent, Pattern, Phase::Finished, Rule},
    probes::News,
    watch::Input,
};

/// A rule that wants 1 of every interface.
fn of_all() -> Rule {
    let patterns = vec![Pattern::parse("net.ipv4.conf.*.rp_filter").unwrap()];
    Rule { keys: Vec::new(), patterns, ..expects(SWAPPINESS, "1") }
}

#[test]
fn each_key_that_a_pattern_means_is_judged_and_its_end_is_no_drift() {
    let patterns = vec![Pattern::parse("link.*.mtu").unwrap()];
    let rule = Rule { keys: Vec::new(), patterns, ..expects(SWAPPINESS, "1500") };
    let mut host = Host::new(&[rule], &[(MTU, "1500"), ("link.eth1.mtu", "1500")]);
    host.write(7, "link.eth1.mtu", "1400");
    assert_eq!(host.pass(100), ["opened equal: link.eth1.mtu 1400 not 1500 (7, kprobe) unknown"]);
    host.remove("link.eth1.mtu");
    let lines = host.pass(60_000);
    assert!(lines.iter().any(|line| line.starts_with("healed equal: link.eth1.mtu")), "{lines:?}");
    host.remove(MTU);
    let lines = host.pass(120_000);
    assert!(lines.iter().all(|line| !line.starts_with("opened")), "{lines:?}");
}

#[test]
fn what_appears_is_taken_up_when_rtnetlink_tells_of_it_and_came_late() {
    let mut host = Host::new(&[of_all()], &[(ETH0, "1")]);
    host.set(ETH1, "0");
    assert_eq!(host.handle(Input::Links(vec![News::Interface("eth1".into())])), NOTHING);
    assert_eq!(
        host.pass(1000),
        ["opened equal: net.ipv4.conf.eth1.rp_filter 0 not 1 (nobody, sweep) appeared late"]
    );
}

#[test]
fn what_comes_with_a_module_is_taken_up_and_what_was_missing_is_read_however_late_it_comes() {
    let mut host = Host::unwatched(&[of_all(), Rule { name: "mtu".into(), ..expects(MTU, "1500") }], &[]);
    host.handle(Input::Tick);
    assert_eq!(host.handle(Input::Appeared), NOTHING);
    host.set(ETH1, "0");
    assert_eq!(
        host.pass(50),
        ["opened equal: net.ipv4.conf.eth1.rp_filter 0 not 1 (nobody, sweep) appeared late"]
    );
    host.set(MTU, "1500");
    assert_eq!(
        host.pass(950),
        ["change link.eth0.mtu absent -> 1500 (nobody, sweep)", "healed mtu: link.eth0.mtu 1500"]
    );
    host.sweeps();
    host.pass(10_000);
    assert_eq!(host.sweeps(), NOTHING, "none was needed");
}

#[test]
fn a_write_of_a_key_that_no_sweep_has_found_yet_is_a_hint_of_it() {
    let mut host = Host::new(&[of_all()], &[(ETH0, "1")]);
    host.write(7, ETH1, "0");
    let lines = host.pass(100);
    assert!(
        lines.iter().any(|line| line.starts_with("opened equal: net.ipv4.conf.eth1.rp_filter 0 not 1")),
        "{lines:?}"
    );
}

#[test]
fn a_key_that_could_not_be_read_and_is_gone_is_in_no_verdict() {
    let mut host = Host::new(&[of_all()], &[(ETH0, "1")]);
    // It holds more than a value.
    host.set(ETH1, &"0".repeat(2 << 20));
    let lines = host.pass(60_000);
    assert!(lines.iter().any(|line| line.starts_with("loss: ")), "{lines:?}");
    assert_eq!(host.status().unreadable.len(), 1);
    host.remove(ETH1);
    host.pass(60_000);
    assert_eq!(host.status().unreadable, []);
    assert_eq!(host.announce(Finished, "aaaaaa"), ["finished aaaaaa", "verdict aaaaaa SYNCED"]);
}

#[test]
fn a_key_that_is_not_there_drifts_is_ignored_or_is_waited_for() {
    for (if_absent, at_first, once_gone) in [
        (None, true, true),
        (Some(IfAbsent::Drift), true, true),
        (Some(IfAbsent::Ignore), false, false),
        (Some(IfAbsent::Wait), false, true),
    ] {
        let rule = Rule { if_absent, ..expects(MTU, "1500") };
        let mut host = Host::unwatched(&[rule], &[]);
        host.handle(Input::Tick);
        assert_eq!(host.status().findings.len(), usize::from(at_first), "{if_absent:?}");
        host.set(MTU, "1500");
        host.pass(60_000);
        assert_eq!(host.status().findings.len(), 0, "{if_absent:?}");
        host.remove(MTU);
        host.pass(60_000);
        assert_eq!(host.status().findings.len(), usize::from(once_gone), "{if_absent:?}");
    }
}
