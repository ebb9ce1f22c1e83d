//! The baseline moves: with a deployment, with the configuration, with what appears.

use super::host::{ETH0, ETH1, Host, MTU, NOTHING, SWAPPINESS, captures, expects};
use crate::{
    model::{
        Phase::{Finished, Started},
        VerdictStatus,
    },
    probes::News,
    watch::{Input, Reread},
};

const FILE: &str = "etc/sysctl.d/50-a.conf";

/// A host that is judged by its own sysctl.d.
fn judged_by(line: &str, values: &[(&str, &str)]) -> Host {
    let mut host = Host::new(&[], values);
    let read = host.declares(&[], &[(FILE, line)]);
    assert_eq!(host.handle(Input::Reread(read)), NOTHING);
    host
}

#[test]
fn a_key_of_a_source_is_judged_and_its_finding_names_file_and_line() {
    let mut host = judged_by("# a\nvm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    assert_eq!(host.sweeps(), ["start 0/0", "reload 0/1"]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), ["opened declared: vm.swappiness 61 not 10 (7, kprobe) unknown"]);
    assert_eq!(host.status().findings[0].declared_by.to_string(), "/etc/sysctl.d/50-a.conf:2");
}

#[test]
fn what_the_deploy_did_not_apply_is_found_under_its_own_baseline() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    host.announce(Started, "a1b2c3");
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 20\n")]);
    assert_eq!(
        host.announce_with(Finished, "a1b2c3", read),
        [
            "finished a1b2c3",
            "opened declared: vm.swappiness 10 not 20 (nobody, sweep) the deploy did not apply",
            "verdict a1b2c3 OUT_OF_SYNC vm.swappiness",
        ]
    );
}

#[test]
fn what_the_deploy_applied_was_never_drift() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    host.announce(Started, "a1b2c3");
    host.write(7, SWAPPINESS, "20");
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 20\n")]);
    assert_eq!(host.announce_with(Finished, "a1b2c3", read), ["finished a1b2c3", "verdict a1b2c3 SYNCED"]);
    assert_eq!(host.pass(1000), NOTHING);
}

#[test]
fn a_broken_baseline_leaves_the_one_before_and_is_told_by_verdict_and_status() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    let broken: Reread = Err("found a FIFO".into());
    assert_eq!(
        host.announce_with(Finished, "a1b2c3", broken),
        ["finished a1b2c3", "verdict a1b2c3 OUT_OF_SYNC"]
    );
    let verdict = host.verdict.take().unwrap().try_recv().unwrap();
    assert_eq!(verdict.broken.as_deref(), Some("found a FIFO"));
    let status = host.status();
    assert_eq!((status.status, status.broken.as_deref()), (VerdictStatus::OutOfSync, Some("found a FIFO")));
    host.write(7, SWAPPINESS, "61");
    assert_eq!(
        host.pass(100),
        ["opened declared: vm.swappiness 61 not 10 (7, kprobe) changed after the deploy"]
    );
    // A good one ends it.
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 61\n")]);
    assert_eq!(host.handle(Input::Reread(read)), ["healed declared: vm.swappiness 61"]);
    assert_eq!(host.status().status, VerdictStatus::Synced);
}

#[test]
fn what_stays_declared_goes_on_and_what_is_no_more_is_over() {
    let mut host = Host::new(
        &[expects(SWAPPINESS, "60"), captures(MTU)],
        &[(SWAPPINESS, "60"), (MTU, "1500"), (ETH0, "1")],
    );
    host.announce(Finished, "a1b2c3");
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    let id = host.status().findings[0].finding.clone();
    // The same rule wants something else, another one is added, and what was captured is still expected.
    let rules = [expects(SWAPPINESS, "10"), captures(MTU), crate::watch::tests::host::at_least(ETH0, "1")];
    let read = host.declares(&rules, &[]);
    assert_eq!(host.handle(Input::Reread(read)), NOTHING);
    let finding = host.status().findings[0].clone();
    assert_eq!((&finding.finding, finding.expected.as_str()), (&id, "10"));
    host.set(MTU, "1400");
    assert_eq!(
        host.pass(60_000),
        [
            "change link.eth0.mtu 1500 -> 1400 (nobody, sweep) under a1b2c3",
            "opened short: link.eth0.mtu 1400 not 1500 (nobody, sweep) changed after the deploy",
        ]
    );
    let read = host.declares(&[captures(MTU)], &[]);
    assert_eq!(host.handle(Input::Reread(read)), ["healed equal: vm.swappiness 61"]);
    assert_eq!(host.write(7, SWAPPINESS, "62"), NOTHING);
    assert_eq!(host.status().findings.len(), 1);
}

#[test]
fn a_key_that_moves_from_file_to_file_keeps_its_finding() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    let id = host.status().findings[0].finding.clone();
    let read = host.declares(&[], &[(FILE, ""), ("etc/sysctl.d/60-b.conf", "vm.swappiness = 20\n")]);
    assert_eq!(host.handle(Input::Reread(read)), NOTHING);
    let finding = &host.status().findings[0];
    assert_eq!(finding.finding, id);
    assert_eq!((finding.expected.as_str(), finding.declared_by.line), ("20", 1));
    assert_eq!(&*finding.declared_by.file, "/etc/sysctl.d/60-b.conf");
}

#[test]
fn what_a_glob_of_a_source_means_is_looked_up_when_something_appears() {
    let mut host = judged_by("net.ipv4.conf.*.rp_filter = 1\n", &[(ETH0, "1")]);
    host.set(ETH1, "0");
    assert_eq!(host.handle(Input::Links(vec![News::Interface("eth1".into())])), NOTHING);
    assert_eq!(
        host.pass(1000),
        ["opened declared: net.ipv4.conf.eth1.rp_filter 0 not 1 (nobody, sweep) appeared late"]
    );
    assert!(host.watch.moved_interest().is_some());
    host.remove(ETH1);
    // The descriptor of a file of this harness lives on: what it says last is not asked.
    let lines = host.pass(60_000);
    assert!(lines.iter().any(|line| line.starts_with("healed declared: net.ipv4.conf.eth1")), "{lines:?}");
    assert_eq!(host.status().watching.keys, 1);
}
