//! From a write to a finding and back.

use std::time::Duration;

use super::host::{Host, MTU, NOTHING, SWAPPINESS, THP, at_least, captures, expects};
use crate::{
    model::{Hint, Owner, OwnerKind, Rule, Value},
    probes::News,
    watch::Input,
};

#[test]
fn a_change_is_told_at_once_and_its_finding_after_settle_with_the_writer() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    assert_eq!(host.write(7, SWAPPINESS, "61"), ["change vm.swappiness 60 -> 61 (7, kprobe)"]);
    assert_eq!(host.pass(99), NOTHING);
    assert_eq!(host.pass(1), ["opened equal: vm.swappiness 61 not 60 (7, kprobe) unknown"]);
    assert_eq!(host.pass(600_000), NOTHING, "told once");
    assert_eq!(
        host.write(8, SWAPPINESS, "60"),
        ["change vm.swappiness 61 -> 60 (8, kprobe)", "healed equal: vm.swappiness 60"]
    );
}

#[test]
fn a_finding_names_the_last_of_those_who_wrote_within_settle_and_is_not_put_off() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    host.pass(80);
    assert_eq!(host.write(8, SWAPPINESS, "62"), ["change vm.swappiness 61 -> 62 (8, kprobe)"]);
    assert_eq!(host.pass(20), ["opened equal: vm.swappiness 62 not 60 (8, kprobe) unknown"]);
}

#[test]
fn an_open_finding_shows_the_value_that_is_now_in_force() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    host.pass(100);
    assert_eq!(host.write(8, SWAPPINESS, "62"), ["change vm.swappiness 61 -> 62 (8, kprobe)"]);
    assert_eq!(host.pass(1000), NOTHING, "still the same finding");
    let shown = |finding: &crate::model::Finding| finding.actual.as_ref().map(Value::to_string);
    assert_eq!(host.status().findings.iter().map(shown).collect::<Vec<_>>(), [Some("62".into())]);
    assert_eq!(host.past().findings.iter().map(shown).collect::<Vec<_>>(), [Some("62".into())]);
}

#[test]
fn what_no_hint_told_is_found_by_the_next_sweep_unattributed_and_at_once() {
    let mut host = Host::new(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "60")]);
    host.set(SWAPPINESS, "61");
    host.sweeps();
    assert_eq!(
        host.pass(60_000),
        [
            "change vm.swappiness 60 -> 61 (nobody, sweep)",
            "opened equal: vm.swappiness 61 not 60 (nobody, sweep) unknown"
        ]
    );
    assert_eq!(host.sweeps(), ["timer 1/1"]);
}

#[test]
fn what_departs_when_driftd_first_looks_was_never_in_force_since_boot() {
    let mut host = Host::unwatched(&[expects(SWAPPINESS, "60")], &[(SWAPPINESS, "61")]);
    assert_eq!(
        host.handle(Input::Tick),
        ["start", "opened equal: vm.swappiness 61 not 60 (nobody, sweep) never in force since boot"]
    );
}

#[test]
fn each_rule_of_a_key_is_judged_by_itself() {
    let slow = Rule { settle: Duration::from_millis(500), ..at_least(SWAPPINESS, "60") };
    let mut host = Host::new(&[expects(SWAPPINESS, "60"), slow], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "59");
    assert_eq!(host.pass(499), ["opened equal: vm.swappiness 59 not 60 (7, kprobe) unknown"]);
    assert_eq!(host.pass(1), ["opened least: vm.swappiness 59 not at least 60 (7, kprobe) unknown"]);
    assert_eq!(
        host.write(8, SWAPPINESS, "61"),
        ["change vm.swappiness 59 -> 61 (8, kprobe)", "healed least: vm.swappiness 61"]
    );
}

#[test]
fn a_key_that_goes_away_departs_and_heals_when_it_comes_back() {
    let mut host = Host::new(&[expects(MTU, "1500")], &[(MTU, "1500")]);
    host.remove(MTU);
    assert_eq!(
        host.handle(Input::Links(vec![News::Interface("eth0".into())])),
        ["change link.eth0.mtu 1500 -> absent (nobody, netlink)"]
    );
    assert_eq!(host.pass(100), ["opened equal: link.eth0.mtu absent not 1500 (nobody, netlink) unknown"]);
    host.set(MTU, "1500");
    assert_eq!(
        host.handle(Input::Links(vec![News::Interface("eth0".into())])),
        ["change link.eth0.mtu absent -> 1500 (nobody, netlink)", "healed equal: link.eth0.mtu 1500"]
    );
}

#[test]
fn where_a_kprobe_watches_links_rtnetlink_leaves_it_the_time_to_name_the_writer() {
    let mut host = Host::new(&[expects(MTU, "1500")], &[(MTU, "1500")]).with_link_hook();
    host.set(MTU, "1400");
    assert_eq!(host.handle(Input::Links(vec![News::Interface("eth0".into())])), NOTHING);
    let hint = host.hint(7, MTU, "1400", 0);
    assert_eq!(host.hints(&[hint]), ["change link.eth0.mtu 1500 -> 1400 (7, kprobe)"]);
    host.set(MTU, "1300");
    host.handle(Input::Links(vec![News::Interface("eth0".into())]));
    assert_eq!(host.pass(49), NOTHING);
    assert_eq!(host.pass(1), ["change link.eth0.mtu 1400 -> 1300 (nobody, netlink)"], "the hook missed it");
}

#[test]
fn an_interface_that_is_still_there_when_rtnetlink_says_it_goes_is_looked_at_again() {
    let mut host = Host::new(&[expects(MTU, "1500")], &[(MTU, "1500")]);
    let news = || Input::Links(vec![News::Interface("eth0".into())]);
    assert_eq!(host.handle(news()), NOTHING);
    host.pass(30);
    assert_eq!(
        host.handle(news()),
        NOTHING,
        "and the reading that is due in 20 ms may be too soon for this one"
    );
    assert_eq!(host.pass(20), NOTHING);
    host.remove(MTU);
    assert_eq!(host.pass(30), ["change link.eth0.mtu 1500 -> absent (nobody, netlink)"]);
}

#[test]
fn the_sysctls_of_an_interface_are_read_when_rtnetlink_tells_of_it() {
    const CONF: &str = "net.ipv4.conf.eth0/100.rp_filter";
    const NEIGH: &str = "net.ipv6.neigh.eth0/100.retrans_time_ms";
    const ALL: &str = "net.ipv4.conf.all.rp_filter";
    let values = [(CONF, "1"), (NEIGH, "1"), (ALL, "1")];
    let mut host = Host::new(&values.map(|(key, value)| expects(key, value)), &values);
    values.iter().for_each(|(key, _)| host.set(key, "0"));
    host.handle(Input::Links(vec![News::Interface("eth0".into()), News::Interface("eth0.100".into())]));
    assert_eq!(
        host.pass(50),
        [
            "change net.ipv4.conf.eth0/100.rp_filter 1 -> 0 (nobody, netlink)",
            "change net.ipv6.neigh.eth0/100.retrans_time_ms 1 -> 0 (nobody, netlink)",
        ]
    );
}

#[test]
fn a_departure_that_must_hold_is_a_finding_only_when_it_did() {
    let held = Rule { hold: Duration::from_secs(30), ..expects(SWAPPINESS, "60") };
    let mut host = Host::new(&[held], &[(SWAPPINESS, "60")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(29_999), NOTHING);
    host.write(7, SWAPPINESS, "60");
    assert_eq!(host.pass(60_000), NOTHING);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(29_999), NOTHING);
    assert_eq!(host.pass(1), ["opened equal: vm.swappiness 61 not 60 (7, kprobe) unknown"]);
}

const MEMORY: &str = "/proc/meminfo:MemAvailable";

#[test]
fn what_moves_by_itself_is_no_change_and_is_judged_only_where_something_is_expected() {
    let mut host = Host::new(&[captures(MEMORY)], &[(MEMORY, "MemAvailable: 2000 kB")]);
    host.announce(crate::model::Phase::Finished, "aaaaaa");
    host.set(MEMORY, "MemAvailable: 3 kB");
    assert_eq!(host.pass(120_000), NOTHING);

    let mut host = Host::new(&[expects(MEMORY, "2000 kB")], &[(MEMORY, "MemAvailable: 2000 kB")]);
    host.set(MEMORY, "MemAvailable: 3 kB");
    assert_eq!(
        host.pass(60_000),
        ["opened equal: /proc/meminfo:MemAvailable 3 kB not 2000 kB (nobody, sweep) unknown"]
    );

    let mut host = Host::new(&[at_least(MEMORY, "1MiB")], &[(MEMORY, "MemAvailable: 2000 kB")]);
    host.set(MEMORY, "MemAvailable: 1023 kB");
    assert_eq!(
        host.pass(60_000),
        ["opened least: /proc/meminfo:MemAvailable 1023 kB not at least 1MiB (nobody, sweep) unknown"]
    );
    host.set(MEMORY, "MemAvailable: 1024 kB");
    assert_eq!(host.pass(60_000), ["healed least: /proc/meminfo:MemAvailable 1024 kB"]);
}

#[test]
fn a_key_of_another_namespace_is_not_the_hosts() {
    let key = "net.core.somaxconn";
    let mut host = Host::new(&[expects(key, "4096")], &[(key, "4096")]);
    host.sweeps();
    let hint = Hint { owner: Owner::Other(OwnerKind::Net, 42), ..host.hint(7, key, "4096", 4) };
    assert_eq!(host.hints(&[hint]), NOTHING, "not even a touch");
}

#[test]
fn a_choice_of_sysfs_is_its_chosen_word() {
    let mut host = Host::new(&[expects(THP, "madvise")], &[(THP, "always [madvise] never")]);
    host.set(THP, "[always] madvise never");
    assert_eq!(
        host.pass(60_000),
        [
            format!("change {THP} madvise -> always (nobody, sweep)"),
            format!("opened equal: {THP} always not madvise (nobody, sweep) unknown")
        ]
    );
}

#[test]
fn a_secret_is_never_shown() {
    let key = "net.ipv4.tcp_fastopen_key";
    let column = "net.ipv4.tcp_fastopen_key:[1]";
    let rules = [expects(key, "aaaa-1"), captures(key), captures(column)];
    let [equal, short, column] = rules;
    let column = Rule { name: "column".into(), ..column };
    let mut host = Host::unwatched(&[equal, short, column], &[(key, "aaaa-1")]);
    let mut lines = host.handle(Input::Tick);
    lines.extend(host.announce(crate::model::Phase::Finished, "aaaaaa"));
    lines.extend(host.write(7, key, "aaaa-1"));
    lines.extend(host.write(7, key, "aaaa-2"));
    lines.extend(host.pass(100));
    lines.extend(host.write(7, key, "aaaa-3"));
    lines.extend(host.write(7, key, "aaaa-1"));
    let refused = host.hint(7, key, "aaaa-4", -22);
    lines.extend(host.hints(&[refused]));
    assert!(lines.contains(&"opened equal: net.ipv4.tcp_fastopen_key (secret) not (secret) (7, kprobe) changed after the deploy".into()), "{lines:#?}");
    assert!(lines.contains(&"healed short: net.ipv4.tcp_fastopen_key (secret)".into()), "{lines:#?}");
    let shown = serde_json::to_string(&host.entries).unwrap() + &lines.concat();
    assert!(!shown.contains("aaaa-"), "{shown}");
    host.write(7, key, "aaaa-5");
    host.pass(100);
    host.write(7, key, "aaaa-6");
    let kept = serde_json::to_string(&host.past().findings).unwrap();
    assert!(kept.contains("(secret)") && !kept.contains("aaaa-"), "{kept}");
}

#[test]
fn a_change_that_heals_one_rule_is_no_touch_though_it_restores_another() {
    let quick = Rule { settle: Duration::ZERO, ..at_least(SWAPPINESS, "60") };
    let mut host = Host::new(&[expects(SWAPPINESS, "60"), quick], &[(SWAPPINESS, "60")]);
    assert_eq!(
        host.write(7, SWAPPINESS, "59"),
        [
            "change vm.swappiness 60 -> 59 (7, kprobe)",
            "opened least: vm.swappiness 59 not at least 60 (7, kprobe) unknown"
        ]
    );
    assert_eq!(
        host.write(7, SWAPPINESS, "60"),
        ["change vm.swappiness 59 -> 60 (7, kprobe)", "healed least: vm.swappiness 60"]
    );
}

#[test]
fn two_columns_of_one_file_are_two_keys_of_one_write() {
    let rules = [Rule {
        keys: ["kernel.printk:[0]", "kernel.printk:[1]"].map(|key| key.parse().unwrap()).to_vec(),
        ..captures("")
    }];
    let mut host = Host::new(&rules, &[("kernel.printk", "4 4 1 7")]);
    assert_eq!(
        host.write(7, "kernel.printk", "5 4 1 7"),
        ["change kernel.printk:[0] 4 -> 5 (7, kprobe)", "touch kernel.printk:[1] 4 equal x1 (7, kprobe)"]
    );
}

#[test]
fn who_wrote_a_column_is_known_without_a_result_too() {
    let key = "kernel.printk:[1]";
    let mut host = Host::new(&[captures(key)], &[(key, "4 4 1 7")]);
    let early = host.early(7, key, "4 5 1 7\n");
    host.set(key, "4 5 1 7");
    assert_eq!(host.hints(&[early]), ["change kernel.printk:[1] 4 -> 5 (7, cgroup)"]);
}
