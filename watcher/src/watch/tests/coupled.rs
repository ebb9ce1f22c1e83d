//! Keys that a write of another key sets too, and values that the kernel makes others of.

use super::host::{Host, NOTHING, expects, rule};
use crate::model::{Bound, Expectation};

const BYTES: &str = "vm.dirty_bytes";
const RATIO: &str = "vm.dirty_ratio";

/// A host on which the ratio is declared, and was 20.
fn host() -> Host {
    let mut host = Host::new(&[expects(RATIO, "20")], &[(RATIO, "20"), (BYTES, "0")]);
    assert_eq!(host.sweeps(), ["start 0/1"]);
    host
}

#[test]
fn what_a_write_of_another_key_set_is_its_writers_and_named_so() {
    let mut host = host();
    host.set(RATIO, "0");
    assert_eq!(host.write(7, BYTES, "1048576"), ["change vm.dirty_ratio 20 -> 0 (7, kprobe)"]);
    assert_eq!(host.pass(100), ["opened equal: vm.dirty_ratio 0 not 20 (7, kprobe) coupled key"]);
    let finding = &host.status().findings[0];
    assert_eq!(finding.detail.as_deref(), Some("a write of vm.dirty_bytes sets it too"));
}

#[test]
fn where_the_hint_comes_before_the_write_the_coupled_key_is_read_again() {
    let mut host = host();
    let early = host.early(7, BYTES, "1048576");
    assert_eq!(host.hints(&[early]), NOTHING);
    host.set(BYTES, "1048576");
    host.set(RATIO, "0");
    assert_eq!(
        host.pass(100),
        [
            "change vm.dirty_ratio 20 -> 0 (7, cgroup)",
            "opened equal: vm.dirty_ratio 0 not 20 (7, cgroup) coupled key",
        ]
    );
}

#[test]
fn a_write_of_the_other_key_that_sets_nothing_here_blames_nobody_later() {
    let mut host = host();
    assert_eq!(host.write(7, BYTES, "0"), NOTHING);
    let refused = host.hint(8, BYTES, "-1", -22);
    assert_eq!(host.hints(&[refused]), NOTHING);
    host.set(RATIO, "0");
    assert_eq!(
        host.pass(60_000),
        [
            "change vm.dirty_ratio 20 -> 0 (nobody, sweep)",
            "opened equal: vm.dirty_ratio 0 not 20 (nobody, sweep) unknown",
        ]
    );
}

#[test]
fn where_the_hint_comes_before_the_write_nobody_is_blamed_unless_the_other_key_has_what_was_asked_for() {
    const SWITCH: &str = "net.ipv4.ip_forward";
    const EACH: &str = "net.ipv4.conf.eth0.forwarding";
    let mut host = Host::new(&[expects(EACH, "0")], &[(EACH, "0"), (SWITCH, "0")]);
    assert_eq!(host.sweeps(), ["start 0/1"]);
    // Of a container, for all that can be told.
    let early = host.early(7, SWITCH, "1");
    assert_eq!(host.hints(&[early]), NOTHING);
    host.set(EACH, "1");
    assert_eq!(
        host.pass(100),
        [
            "change net.ipv4.conf.eth0.forwarding 0 -> 1 (nobody, sweep)",
            "opened equal: net.ipv4.conf.eth0.forwarding 1 not 0 (nobody, sweep) unknown",
        ]
    );
}

#[test]
fn who_wrote_the_key_itself_did_it_whatever_else_was_written() {
    let mut host = host();
    host.set(RATIO, "0");
    host.set(BYTES, "1");
    let hints = [host.hint(7, BYTES, "1", 2), host.hint(8, RATIO, "0", 2)];
    assert_eq!(host.hints(&hints), ["change vm.dirty_ratio 20 -> 0 (8, kprobe)"]);
    assert_eq!(host.pass(100), ["opened equal: vm.dirty_ratio 0 not 20 (8, kprobe) unknown"]);
}

#[test]
fn forwarding_is_one_switch_for_the_host_and_its_interfaces() {
    let each = "net.ipv4.conf.eth0.forwarding";
    let mut host = Host::new(&[expects(each, "0")], &[(each, "0")]);
    host.set(each, "1");
    assert_eq!(
        host.write(7, "net.ipv4.ip_forward", "1"),
        ["change net.ipv4.conf.eth0.forwarding 0 -> 1 (7, kprobe)"]
    );
    let interest = crate::watch::interest(&[expects(each, "0")]);
    assert!(interest.sysctls.contains("net/ipv4/ip_forward"), "the probes are to tell of it");
    assert!(interest.sysctls.contains("net/ipv4/conf/all/forwarding"));
}

#[test]
fn what_the_kernel_made_of_a_right_value_is_not_its_writers_wrong() {
    let pages = "vm.nr_hugepages";
    let mut host = Host::new(&[expects(pages, "4096")], &[(pages, "4096")]);
    host.write(7, pages, "10");
    assert_eq!(
        host.pass(100),
        ["opened equal: vm.nr_hugepages 10 not 4096 (7, kprobe) unknown"],
        "a wrong value is its writer's"
    );
    host.write(7, pages, "4096");
    host.pass(1000);
    host.set(pages, "3738");
    let hint = host.hint(8, pages, "4096", 5);
    assert_eq!(host.hints(&[hint]), ["change vm.nr_hugepages 4096 -> 3738 (8, kprobe)"]);
    assert_eq!(host.pass(100), ["opened equal: vm.nr_hugepages 3738 not 4096 (8, kprobe) kernel clamped"]);
    let finding = &host.status().findings[0];
    assert_eq!(finding.requested.as_ref().map(|value| value.as_str()), Some("4096"));
}

#[test]
fn a_bound_that_is_a_part_of_another_key_moves_with_it() {
    const COMMITTED: &str = "/proc/meminfo:Committed_AS";
    let most = Expectation::Share {
        bound: Bound::Most,
        thousandths: 95_000,
        of: "/proc/meminfo:CommitLimit".parse().unwrap(),
    };
    let memory =
        |committed: u32, limit: u32| format!("CommitLimit: {limit} kB\nCommitted_AS: {committed} kB");
    let mut host = Host::new(&[rule("most", COMMITTED, most)], &[(COMMITTED, &memory(900, 1000))]);
    assert_eq!(host.sweeps(), ["start 0/1"]);
    host.set(COMMITTED, &memory(900, 900));
    let expected = "at most 95% of /proc/meminfo:CommitLimit";
    assert_eq!(
        host.pass(60_000),
        [format!("opened most: {COMMITTED} 900 kB not {expected} (nobody, sweep) unknown")]
    );
    host.set(COMMITTED, &memory(855, 900));
    assert_eq!(host.pass(60_000), [format!("healed most: {COMMITTED} 855 kB")]);
}

#[test]
fn a_write_of_the_sysctl_that_a_bound_is_part_of_is_heard_and_judged_at_once() {
    const LIMIT: &str = "kernel.threads-max";
    const OF: &str = "kernel.pid_max";
    let least = Expectation::Share { bound: Bound::Least, thousandths: 50_000, of: OF.parse().unwrap() };
    let rules = [rule("half", LIMIT, least)];
    let mut host = Host::new(&rules, &[(LIMIT, "16000"), (OF, "32000")]);
    assert_eq!(host.sweeps(), ["start 0/1"]);
    assert_eq!(host.write(7, OF, "32001"), NOTHING, "half of it is 16000.5: the write settles");
    assert_eq!(
        host.pass(100),
        ["opened half: kernel.threads-max 16000 not at least 50% of kernel.pid_max (nobody, sweep) unknown"]
    );
    assert!(crate::watch::interest(&rules).sysctls.contains("kernel/pid_max"));
    // Nobody's write of the key itself is waited for: a sweep finds it too, though the key is as it was.
    host.set(OF, "32000");
    assert_eq!(host.pass(60_000), ["healed half: kernel.threads-max 16000"]);
    // What changed meanwhile is not the work of who wrote what the bound is taken from.
    host.set(LIMIT, "16001");
    assert_eq!(host.write(7, OF, "32000"), ["change kernel.threads-max 16000 -> 16001 (nobody, sweep)"]);
}
