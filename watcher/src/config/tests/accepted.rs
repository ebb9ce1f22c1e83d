//! What a file may say, and what it then means.

use std::{path::PathBuf, time::Duration};

use super::{
    super::{Callers, Config, Credential, Http, Tls, Webhook},
    good,
};
use crate::model::{Bound, Expectation, Margin, Probes, Retention, Rule, Severity, Source, TextPattern};

const ANNOUNCEMENT: &str = r#"drift_rules:
  memory_limits: "/proc/meminfo:MemAvailable /proc/sys/vm/swappiness"
  network_mtu: "/proc/net/dev /sys/class/net/eth0/mtu"
  file_limits: "/proc/sys/fs/file-max /proc/sys/fs/file-nr"
"#;

const FULL: &str = r#"# Every field there is.
state: /srv/driftd
socket: /run/d.sock
probes: kprobe
sweep: 10s
ring: 64KiB
deploy_timeout: 1h
webhook:
  listen: "[::]:8443"
  certificate: /etc/driftd/tls.pem
  key: /etc/driftd/tls.key
  secrets: [/etc/driftd/secret, /etc/driftd/secret.old]
http: { listen: "[::1]:9757", hosts: [DB1.example.org, db1] }
drift_rules:
  short: "vm.swappiness"
  equal:
    keys: [vm.overcommit_memory, "/sys/class/net/eth0/mtu link.eth1.mtu"]
    expect: 1
    severity: critical
    for: 30s
    settle: 0s
  one-of:
    one_of: [1, "2"]
    keys: net.ipv4.conf.all.rp_filter
    severity: info
  range:
    keys: /proc/meminfo:MemAvailable
    max: 64GiB
    min: 2GiB
  near:
    keys: fs.file-max
    expect: 1000000
    within: 0.5%
  near_captured:
    keys: fs.file-nr:allocated
    within: 4096
  captured: { keys: vm.dirty_ratio }
retention: { age: 30d, size: 64MiB }
"#;

fn rule_of<'c>(config: &'c Config, name: &str) -> &'c Rule {
    config.rules.iter().find(|rule| &*rule.name == name).unwrap()
}

fn keys_of(rule: &Rule) -> Vec<String> {
    rule.keys.iter().map(ToString::to_string).collect()
}

#[test]
fn the_rules_of_the_announcement_work_as_printed() {
    let config = good(ANNOUNCEMENT);
    let keys: Vec<_> = config.rules.iter().map(|rule| (&*rule.name, keys_of(rule))).collect();
    let expected = [
        ("memory_limits", vec!["/proc/meminfo:MemAvailable".to_owned(), "vm.swappiness".to_owned()]),
        ("network_mtu", vec!["/proc/net/dev".to_owned(), "link.eth0.mtu".to_owned()]),
        ("file_limits", vec!["fs.file-max".to_owned(), "fs.file-nr".to_owned()]),
    ];
    assert_eq!(keys, expected);
    for rule in &config.rules {
        assert_eq!(rule.expectation, Expectation::Captured(None));
        assert_eq!(
            (rule.severity, rule.hold, rule.settle),
            (Severity::Warning, Duration::ZERO, Rule::DEFAULT_SETTLE)
        );
    }
    insta::assert_snapshot!(config.warnings.join("\n"), @r#"
    these move by themselves, so they are kept in the snapshot and never judged: `/proc/meminfo:MemAvailable` (rule `memory_limits`), `/proc/net/dev` (rule `network_mtu`), `fs.file-nr` (rule `file_limits`)
    hint: say what is right, with `expect`, `one_of` or `matches`, or how far it may go, with `min`, `max` or `within`
    "#);
}

#[test]
fn every_field_arrives() {
    let config = good(FULL);
    let webhook = Webhook {
        listen: "[::]:8443".parse().unwrap(),
        tls: Tls::Files { certificate: "/etc/driftd/tls.pem".into(), key: "/etc/driftd/tls.key".into() },
        callers: Callers::default(),
        credentials: vec![Credential::plain(vec![
            "/etc/driftd/secret".into(),
            "/etc/driftd/secret.old".into(),
        ])],
    };
    assert_eq!(
        (config.state.as_path(), config.socket.as_path()),
        ("/srv/driftd".as_ref(), "/run/d.sock".as_ref())
    );
    assert_eq!(config.webhook, Some(webhook));
    let hosts = vec!["db1.example.org".into(), "db1".into()];
    assert_eq!(config.http, Some(Http { listen: "[::1]:9757".parse().unwrap(), hosts }));
    assert_eq!((config.probes, config.ring), (Probes::Kprobe, 65_536));
    assert_eq!((config.sweep, config.deploy_timeout), (Duration::from_secs(10), Duration::from_secs(3600)));
    let kept = Retention { age: Duration::from_secs(30 * 24 * 3600), size: 64 << 20 };
    assert_eq!(config.retention, kept);
    assert_eq!(config.warnings, Vec::<String>::new());

    let quantity = |text: &str| text.parse().unwrap();
    let expected = [
        ("short", Expectation::Captured(None), 15),
        ("equal", Expectation::Equal("1".into()), 18),
        ("one-of", Expectation::OneOf(vec!["1".into(), "2".into()]), 23),
        ("range", Expectation::Range { min: Some(quantity("2GiB")), max: Some(quantity("64GiB")) }, 28),
        ("near", Expectation::Near(quantity("1000000"), Margin::Percent(500)), 32),
        ("near_captured", Expectation::Captured(Some(Margin::Absolute(quantity("4096")))), 36),
        ("captured", Expectation::Captured(None), 37),
    ];
    for (rule, (name, expectation, line)) in config.rules.iter().zip(&expected) {
        assert_eq!((&*rule.name, &rule.expectation), (*name, expectation));
        assert_eq!(rule.source, Source { file: "driftd.yaml".into(), line: *line }, "of {name}");
    }
    assert_eq!(config.rules.len(), expected.len());
    let equal = rule_of(&config, "equal");
    assert_eq!(keys_of(equal), ["vm.overcommit_memory", "link.eth0.mtu", "link.eth1.mtu"]);
    assert_eq!(
        (equal.severity, equal.hold, equal.settle),
        (Severity::Critical, Duration::from_secs(30), Duration::ZERO)
    );
    assert_eq!(rule_of(&config, "one-of").severity, Severity::Info);
}

#[test]
fn what_a_value_must_match_arrives_as_it_was_written() {
    let config =
        good("drift_rules:\n  a:\n    keys: kernel.hostname\n    matches: 'db-[0-9]+\\.example\\.org'\n");
    let pattern = TextPattern::parse(r"db-[0-9]+\.example\.org").unwrap();
    assert_eq!(rule_of(&config, "a").expectation, Expectation::Matches(pattern));
    assert_eq!(rule_of(&config, "a").source.line, 4);
}

#[test]
fn a_bound_may_be_a_part_of_another_key() {
    let config = good(
        "drift_rules:\n  a:\n    keys: /proc/meminfo:Committed_AS\n    max: 95.5% of /proc/meminfo:CommitLimit\n  \
         b: { keys: kernel.threads-max, min: 50% of kernel.pid_max }\n",
    );
    let share =
        |bound, thousandths, of: &str| Expectation::Share { bound, thousandths, of: of.parse().unwrap() };
    assert_eq!(rule_of(&config, "a").expectation, share(Bound::Most, 95_500, "/proc/meminfo:CommitLimit"));
    assert_eq!(rule_of(&config, "b").expectation, share(Bound::Least, 50_000, "kernel.pid_max"));
}

#[test]
fn an_empty_file_means_all_defaults_and_one_warning() {
    for text in ["", "# nothing\n", "---\n", "drift_rules:\n", "\u{feff}"] {
        let config = good(text);
        assert_eq!(config.state, PathBuf::from("/var/lib/driftd"));
        assert_eq!(config.socket, PathBuf::from("/run/driftd/driftd.sock"));
        assert_eq!((config.webhook, config.probes, config.ring), (None, Probes::Auto, 1 << 20));
        assert_eq!(
            (config.sweep, config.deploy_timeout),
            (Duration::from_secs(60), Duration::from_secs(900))
        );
        let warning = match text {
            "drift_rules:\n" => "nothing is declared: nothing is compared",
            _ => "nothing is declared here: the host's own sysctl.d is what is compared",
        };
        assert_eq!(config.warnings, [warning], "of {text:?}");
    }
}

#[test]
fn a_webhook_needs_no_certificate_and_speaks_plainly_only_when_asked() {
    let config = good("webhook: {listen: \"0.0.0.0:8443\", secrets: /a}");
    assert_eq!(config.webhook.unwrap().tls, Tls::SelfSigned);
    let config = good("webhook: {listen: \"127.0.0.1:0\", secrets: /a, plain_http: true}");
    assert_eq!(config.webhook.unwrap().tls, Tls::Plain);
    let config = good("webhook: {listen: \"0.0.0.0:1\", secrets: /a, plain_http: false}");
    assert_eq!(config.webhook.unwrap().tls, Tls::SelfSigned);
}

#[track_caller]
fn check_kept(written: &str, text: &str) {
    let config = good(&format!("drift_rules: {{r: {{keys: kernel.core_pattern, expect: {written}}}}}"));
    assert_eq!(config.rules[0].expectation, Expectation::Equal(text.into()));
}

#[test]
fn an_expected_value_keeps_its_text_as_written() {
    for text in
        ["010", "0x1f", "0o17", "yes", "off", "1.5", "1e999", ".inf", "-0", "nULL", "~x", "1_000", "12:30"]
    {
        check_kept(text, text);
    }
    check_kept("\"10\"", "10");
    check_kept("'|/bin/dump  %p'", "|/bin/dump  %p");
    check_kept("\"\"", "");
    check_kept("'null'", "null");
    check_kept("\"~\"", "~");
    check_kept("\" a\\tb \"", " a\tb ");
}

#[track_caller]
fn check_margin(written: &str, margin: Margin) {
    let config = good(&format!("drift_rules:\n  r:\n    keys: vm.swappiness\n    within: {written}\n"));
    assert_eq!(config.rules[0].expectation, Expectation::Captured(Some(margin)), "of {written}");
}

#[test]
fn a_margin_is_exact() {
    check_margin("5%", Margin::Percent(5_000));
    check_margin("0.5%", Margin::Percent(500));
    check_margin("0.001%", Margin::Percent(1));
    check_margin("12.25 %", Margin::Percent(12_250));
    check_margin("4294967%", Margin::Percent(4_294_967_000));
    check_margin("64MiB", Margin::Absolute("64MiB".parse().unwrap()));
    check_margin("0", Margin::Absolute("0".parse().unwrap()));
}

#[test]
fn what_moves_by_itself_is_warned_about_once_unless_it_has_a_threshold() {
    let config = good(
        "drift_rules:\n  a: /proc/meminfo:MemFree fs.file-max\n  b: /proc/meminfo:MemFree fs.aio-nr\n  \
         c: {keys: /proc/net/dev, expect: 1}\n  f: /proc/meminfo:MemTotal\n  d: {keys: \"/proc/meminfo:Dirty\", max: 1GiB}\n  \
         e: {keys: \"/proc/meminfo:Slab\", within: 5%}\n",
    );
    insta::assert_snapshot!(config.warnings.join("\n"), @r#"
    these move by themselves, so they are kept in the snapshot and never judged: `/proc/meminfo:MemFree` (rule `a`), `fs.aio-nr` (rule `b`)
    hint: say what is right, with `expect`, `one_of` or `matches`, or how far it may go, with `min`, `max` or `within`
    "#);
    assert_eq!(keys_of(&config.rules[0]).len(), 2, "the keys stay in their rules");
}

#[test]
fn aliases_and_every_way_to_write_a_string_are_understood() {
    let config = good(
        "drift_rules:\n  a: &k >\n    vm.swappiness\n    fs.file-max\n  b: *k\n  c: {keys: *k, severity: &s info}\n  \
         d:\n    keys:\n    - 'vm.swappiness'\n    - \"fs.\\\n      file-max\"\n    severity: *s\n",
    );
    for rule in &config.rules {
        assert_eq!(keys_of(rule), ["vm.swappiness", "fs.file-max"], "of {}", rule.name);
    }
    assert_eq!(rule_of(&config, "d").severity, Severity::Info);
}

#[test]
fn the_hub_has_secrets_or_tokens_and_speaks_as_the_webhook_does() {
    let hub = |fields: &str| good(&format!("hub: {{listen: \"0.0.0.0:8444\", {fields}}}")).hub.unwrap();
    let found = hub("secrets: [/a, /b], tokens: /c, certificate: /d, key: /e, allow: 10.0.0.0/8");
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!((found.secrets, found.tokens), (paths(&["/a", "/b"]), paths(&["/c"])));
    assert_eq!(found.tls, Tls::Files { certificate: "/d".into(), key: "/e".into() });
    assert!(found.callers.allow.is_some());
    let found = hub("tokens: /c");
    assert_eq!((found.secrets, found.tokens, found.tls), (paths(&[]), paths(&["/c"]), Tls::SelfSigned));
}
