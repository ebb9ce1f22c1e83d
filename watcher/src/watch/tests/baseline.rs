//! The baseline moves: with a deployment, with the configuration, with what appears.

use super::host::{ETH0, ETH1, Host, MTU, NOTHING, SWAPPINESS, captures, expects};
use crate::{
    model::{
        Announcement,
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
fn what_only_another_baseline_makes_wrong_is_blamed_on_nobody_who_wrote_before_it() {
    let written = || {
        let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
        host.announce(Finished, "a1b2c3");
        host.write(7, SWAPPINESS, "61");
        host.write(8, SWAPPINESS, "10");
        host.pass(100);
        host
    };
    let mut host = written();
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 20\n")]);
    assert_eq!(
        host.announce_with(Finished, "d4e5f6", read),
        [
            "finished d4e5f6",
            "opened declared: vm.swappiness 10 not 20 (nobody, sweep) the deploy did not apply",
            "verdict d4e5f6 OUT_OF_SYNC vm.swappiness",
        ]
    );
    assert_eq!(host.status().findings[0].commit.as_ref().unwrap().as_str(), "d4e5f6");
    let mut host = written();
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 20\n")]);
    assert_eq!(
        host.handle(Input::Reread(read)),
        ["opened declared: vm.swappiness 10 not 20 (nobody, sweep) unknown"]
    );
    // Whoever writes it after that is named.
    host.write(7, SWAPPINESS, "20");
    host.write(8, SWAPPINESS, "30");
    assert_eq!(
        host.pass(100),
        ["opened declared: vm.swappiness 30 not 20 (8, kprobe) changed after the deploy"]
    );
}

#[test]
fn who_wrote_the_wrong_value_in_the_window_is_named_under_the_baseline_that_came_with_it() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    host.announce(Started, "a1b2c3");
    host.write(7, SWAPPINESS, "19");
    host.pass(100);
    let read = host.declares(&[], &[(FILE, "vm.swappiness = 20\n")]);
    assert_eq!(
        host.announce_with(Finished, "a1b2c3", read)[1],
        "opened declared: vm.swappiness 19 not 20 (7, kprobe) the deploy did not apply",
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
fn a_baseline_that_was_read_for_a_retry_is_not_taken_and_the_loop_says_so() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    let taken = |host: &mut Host| {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        assert_eq!(host.handle(Input::InForce(reply)), NOTHING);
        answer.try_recv().unwrap().taken
    };
    assert!(taken(&mut host));
    let broken: Reread = Err("the server is down".into());
    host.announce_with(Finished, "a1b2c3", broken);
    assert!(!taken(&mut host));
    let read = host.declares(&[], &[]);
    assert_eq!(host.announce_with(Finished, "a1b2c3", read), ["verdict a1b2c3 OUT_OF_SYNC"; 0]);
    assert!(!taken(&mut host), "it is known");
    assert_eq!(host.status().broken.as_deref(), Some("the server is down"));
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
    assert_eq!(host.handle(Input::Reread(read)), ["undeclared equal: vm.swappiness 61"]);
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
    assert!(
        lines.iter().any(|line| line.starts_with("undeclared declared: net.ipv4.conf.eth1")),
        "{lines:?}"
    );
    assert_eq!(host.status().watching.keys, 1);
}

/// A deployment that comes with values, each `key=value`.
fn announce(host: &mut Host, app: &str, commit: &str, values: &[&str], reread: Reread) -> Vec<String> {
    let value = |text: &&str| {
        let (key, value) = text.split_once('=').unwrap();
        (key.parse().unwrap(), value.into())
    };
    let declared = Some(values.iter().map(value).collect());
    let announcement = Announcement { declared, ..host.message(app, Finished, commit) };
    host.deliver_with(announcement, Some(reread))
}

const FILE_LINE: &[(&str, &str)] = &[(FILE, "vm.swappiness = 10\n")];

#[test]
fn values_that_come_with_a_deployment_are_its_baseline_and_go_with_the_next() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10"), (MTU, "1500")]);
    let read = host.declares(&[], &[]);
    assert_eq!(
        announce(&mut host, "web", "a1b2c3", &["link.eth0.mtu=9000", "vm.swappiness=20"], read),
        [
            "finished a1b2c3",
            "opened declared: vm.swappiness 10 not 20 (nobody, sweep) the deploy did not apply",
            "opened declared: link.eth0.mtu 1500 not 9000 (nobody, sweep) the deploy did not apply",
            "verdict a1b2c3 OUT_OF_SYNC vm.swappiness link.eth0.mtu",
        ]
    );
    let findings = host.status().findings;
    let by: Vec<String> = findings
        .iter()
        .map(|f| format!("{} of {}", f.declared_by, f.declared_commit.as_ref().unwrap()))
        .collect();
    assert_eq!(by, ["webhook:web:2 of a1b2c3", "webhook:web:1 of a1b2c3"]);
    assert!(host.watch.moved_interest().is_some(), "the probes are to see the new keys");
    let read = host.declares(&[], &[]);
    assert_eq!(
        announce(&mut host, "web", "b1b2c3", &[], read),
        [
            "finished b1b2c3",
            "undeclared declared: link.eth0.mtu 1500",
            "healed declared: vm.swappiness 10",
            "verdict b1b2c3 SYNCED"
        ]
    );
    assert_eq!(host.status().watching.keys, 1);
}

#[test]
fn a_finding_has_the_commit_of_the_application_that_declares_its_key_beside_the_one_last_delivered() {
    let mut host = judged_by("", &[(SWAPPINESS, "10"), (MTU, "1500")]);
    for (app, commit, value) in
        [("web", "a1b2c3", "vm.swappiness=10"), ("db", "d1b2c3", "link.eth0.mtu=1500")]
    {
        let read = host.declares(&[], &[]);
        announce(&mut host, app, commit, &[value], read);
    }
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    let finding = &host.status().findings[0];
    assert_eq!(finding.commit.as_ref().unwrap().as_str(), "d1b2c3");
    assert_eq!(finding.declared_commit.as_ref().unwrap().as_str(), "a1b2c3");
    assert_eq!(&*finding.declared_by.file, "webhook:web");
}

#[test]
fn the_revision_in_force_with_other_values_moves_the_baseline_and_is_the_same_deployment() {
    let mut host = judged_by("", &[(SWAPPINESS, "10")]);
    let read = host.declares(&[], &[]);
    announce(&mut host, "web", "a1b2c3", &["vm.swappiness=10"], read);
    let read = host.declares(&[], &[]);
    assert_eq!(announce(&mut host, "web", "a1b2c3", &["vm.swappiness=10"], read), NOTHING, "nothing is new");
    let read = host.declares(&[], &[]);
    assert_eq!(
        announce(&mut host, "web", "a1b2c3", &["vm.swappiness=20"], read),
        [
            "finished a1b2c3",
            "opened declared: vm.swappiness 10 not 20 (nobody, sweep) the deploy did not apply",
            "verdict a1b2c3 OUT_OF_SYNC vm.swappiness",
        ]
    );
}

#[test]
fn a_rule_of_the_host_wins_over_a_value_that_came_and_the_value_over_a_file() {
    let mut host = judged_by("vm.swappiness = 10\n", &[(SWAPPINESS, "10")]);
    let read = host.declares(&[expects(SWAPPINESS, "10")], FILE_LINE);
    assert_eq!(
        announce(&mut host, "web", "a1b2c3", &["vm.swappiness=20"], read),
        ["finished a1b2c3", "verdict a1b2c3 SYNCED"]
    );
    let read = host.declares(&[], FILE_LINE);
    assert_eq!(
        host.handle(Input::Reread(read)),
        ["opened declared: vm.swappiness 10 not 20 (nobody, sweep) unknown"],
        "nobody changed it: what is declared did"
    );
}

#[test]
fn what_is_declared_long_after_the_boot_says_nothing_of_how_the_host_came_up() {
    for (up, cause) in [(60_000, "never in force since boot"), (20 * 60_000, "unknown")] {
        let mut host =
            Host::new(&[expects("vm.dirty_ratio", "20")], &[("vm.dirty_ratio", "20"), (SWAPPINESS, "61")]);
        host.pass(up);
        let read = host.declares(&[expects("vm.dirty_ratio", "20"), expects(SWAPPINESS, "60")], &[]);
        let opened = format!("opened equal: vm.swappiness 61 not 60 (nobody, sweep) {cause}");
        assert_eq!(host.handle(Input::Reread(read)), [opened]);
    }
}
