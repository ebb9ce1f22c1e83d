//! What a file may not say, and how it is answered.

use super::super::{file, http, hub, parse, rules, webhook};

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = r#"state: var/lib/driftd
swep: 60s
ring: 1000
webhook:
  listen: 0.0.0.0:8443
  plain_http: true
drift_rules:
  memory limits: vm.swappiness
  limits: "fs.file-max swappiness
    vm/swappiness /etc/passwd"
  swappiness:
    keys: vm.swappiness
    expect: 10
    min: 5
    severity: warn
    for: 30
    remedy: revert
"#;
    insta::assert_snapshot!(parse("/etc/driftd.yaml", text).unwrap_err(), @r#"
    error: found `var/lib/driftd`, wanted an absolute path
     --> /etc/driftd.yaml:1:8
      |
    1 | state: var/lib/driftd
      |        ^^^^^^^^^^^^^^

    error: found `swep`, wanted a field of the configuration
     --> /etc/driftd.yaml:2:1
      |
    2 | swep: ***
      | ^^^^
      |
      = hint: did you mean `sweep`?

    error: found `1000`, wanted a power of two from `4KiB` to `64MiB`
     --> /etc/driftd.yaml:3:7
      |
    3 | ring: 1000
      |       ^^^^

    error: found `webhook` without `secrets`, wanted `secrets` in it
     --> /etc/driftd.yaml:4:1
      |
    4 | webhook:
      | ^^^^^^^
      |
      = hint: the file with the secret that senders sign with; without one nothing is accepted

    error: found `plain_http` on `0.0.0.0`, wanted a loopback address, as in `127.0.0.1`
     --> /etc/driftd.yaml:6:3
      |
    6 |   plain_http: true
      |   ^^^^^^^^^^
      |
      = hint: plain HTTP does not leave the host: remove `plain_http`, or let a proxy on this host speak TLS

    error: found `memory limits`, wanted a rule's name: 1 to 64 letters, digits, `_` and `-`
     --> /etc/driftd.yaml:8:3
      |
    8 |   memory limits: vm.swappiness
      |   ^^^^^^^^^^^^^

    error: found `swappiness`, wanted a key
     --> /etc/driftd.yaml:9:24
      |
    9 |   limits: "fs.file-max swappiness
      |                        ^^^^^^^^^^
      |
      = hint: a sysctl has at least two components, as in `vm.swappiness`

    error: found `/etc/passwd`, wanted a key
      --> /etc/driftd.yaml:10:19
       |
    10 |     vm/swappiness /etc/passwd"
       |                   ^^^^^^^^^^^
       |
       = hint: files below /proc/sys and /sys, /proc/meminfo:FIELD, /proc/net/dev, /proc/pressure/RESOURCE:LINE.FIELD, /proc/[pid]/stat:state=LETTER and /proc/cmdline:NAME are what can be watched

    error: found `min` next to `expect`, wanted one kind of expectation in a rule
      --> /etc/driftd.yaml:14:5
       |
    14 |     min: 5
       |     ^^^
       |
       = hint: `expect`, `one_of`, `matches`, `min` with `max`, or `within`, alone or with `expect`; two rules may share a key

    error: found `warn`, wanted one of `info`, `warning`, `critical`
      --> /etc/driftd.yaml:15:15
       |
    15 |     severity: warn
       |               ^^^^
       |
       = hint: did you mean `warning`?

    error: found `30`, wanted a duration such as `30s`
      --> /etc/driftd.yaml:16:10
       |
    16 |     for: 30
       |          ^^
       |
       = hint: add the unit: `30s`

    11 mistakes in /etc/driftd.yaml
    "#);
}

/// One mistake: its place, what was said, and the hint in the words after the `|`.
#[track_caller]
pub(super) fn check(text: &str, told: &str) {
    let problems = parse("f", text).unwrap_err();
    let said: Vec<String> = problems
        .iter()
        .map(|p| {
            let hint = p.hint.as_ref().map_or(String::new(), |hint| format!(" | {hint}"));
            format!("{}:{} found {}, wanted {}{hint}", p.span.line, p.span.column, p.found, p.wanted)
        })
        .collect();
    assert_eq!(said.join("\n"), told, "of {text}");
}

/// One mistake in a field of a rule that is good otherwise; the field stands in line 4.
#[track_caller]
pub(super) fn check_rule(field: &str, told: &str) {
    check(&format!("drift_rules:\n  r:\n    keys: vm.swappiness\n    {field}\n"), told);
}

#[test]
fn a_mistake_at_the_top_says_what_was_found_and_what_was_wanted() {
    let top = "`state`, `socket`, `webhook`, `http`, `hub`, `alerts`, `probes`, `sweep`, `ring`, `deploy_timeout`, `retention`, `drift_rules`, `declared_from`, `declared`";
    check("- a", &format!("1:1 found a list, wanted a map | at the top stand {top}"));
    check(
        "rules: {}",
        &format!("1:1 found `rules`, wanted a field of the configuration | known here: {top}"),
    );
    check(
        "drift_rule: {}",
        "1:1 found `drift_rule`, wanted a field of the configuration | did you mean `drift_rules`?",
    );
    check("state: [a]", "1:8 found a list, wanted an absolute path");
    check("state:", "1:1 found nothing, wanted an absolute path");
    check("state: ./a", "1:8 found `./a`, wanted an absolute path");
    check("state: \"/a\\0\"", "1:8 found `/a\\u{0}`, wanted an absolute path");
    check(
        &format!("socket: /{}", "a".repeat(107)),
        "1:9 found a path of 108 bytes, wanted at most 107 | the kernel takes no longer name for a socket",
    );
    let probes = "`auto`, `kprobe`, `fexit`, `cgroup`, `netlink`, `none`";
    check("probes: all", &format!("1:9 found `all`, wanted one of {probes}"));
    check("probes: Kprobe", &format!("1:9 found `Kprobe`, wanted one of {probes} | did you mean `kprobe`?"));
    check("sweep: 60", "1:8 found `60`, wanted a duration such as `30s` | add the unit: `60s`");
    check("sweep: 999ms", "1:8 found `999ms`, wanted a duration of at least `1s`");
    check("deploy_timeout: 0s", "1:17 found `0s`, wanted a duration of at least `1s`");
    check("retention: 30d", "1:12 found `30d`, wanted a map | below it stand `age`, `size`");
    check("retention: { age: 1s }", "1:19 found `1s`, wanted a duration of at least `60s`");
    check(
        "retention: { size: 1MiB }",
        "1:20 found `1MiB`, wanted a size of at least `16MiB`, such as `1GiB`",
    );
    check(
        "retention: { days: 30 }",
        "1:14 found `days`, wanted a field of `retention` | known here: `age`, `size`",
    );
    for ring in ["0", "2048", "1000KiB", "128MiB", "-4096", "99999999999"] {
        check(
            &format!("ring: {ring}"),
            &format!("1:7 found `{ring}`, wanted a power of two from `4KiB` to `64MiB`"),
        );
    }
    check(
        "ring: 1M",
        "1:7 found `1M`, wanted a power of two from `4KiB` to `64MiB` | a number, alone or in `B`, `kB`, `KiB`, \
         `MiB`, `GiB`, `TiB`, `PiB`, `EiB`",
    );
    check(
        "drift_rules: [a]",
        "1:14 found a list, wanted a map of rules | a name, then the keys: `limits: \"fs.file-max vm.swappiness\"`",
    );
}

#[test]
fn a_mistake_in_the_webhook_never_leaves_it_open() {
    let without = |field: &str| format!("1:1 found `webhook` without `{field}`, wanted `{field}` in it");
    let no_listen = without("listen") + " | an address and a port, as in `listen: 127.0.0.1:8443`";
    let no_secrets = without("secrets")
        + " | the file with the secret that senders sign with; without one nothing is accepted";
    check("webhook: {}", &format!("{no_listen}\n{no_secrets}"));
    check("webhook:", "1:1 found nothing, wanted a map with `listen` and `secrets`");
    check("webhook: {listen: \"127.0.0.1:1\"}", &no_secrets);
    check(
        "webhook: {listen: \"127.0.0.1:1\", secrets: []}",
        "1:43 found an empty list, wanted at least one file | without a secret nothing is accepted",
    );
    check(
        "webhook: {listen: \"127.0.0.1:1\", secrets: [/a, b]}",
        "1:48 found a text that is no path, wanted an absolute path | the file that holds it: the secret itself does not stand here",
    );
    let listen = |found: &str| {
        format!("1:18 found `{found}`, wanted an IP address and a port, as in `127.0.0.1:8443`")
    };
    check(
        "webhook: {listen:  \":80\", secrets: /a}",
        &(listen(":80") + " | `127.0.0.1:80` for this host alone, `0.0.0.0:80` for the network")
            .replace("1:18", "1:20"),
    );
    check(
        "webhook: {secrets: /a, listen: localhost:80}",
        &(listen("localhost:80") + " | an address and not a name; IPv6 as in `\"[::1]:8443\"`")
            .replace("1:18", "1:32"),
    );
    let section = |more: &str| format!("webhook:\n  listen: 10.0.0.1:80\n  secrets: /a\n  {more}\n");
    check(
        &section("plain_http: true"),
        "4:3 found `plain_http` on `10.0.0.1`, wanted a loopback address, as in `127.0.0.1` | plain HTTP does not leave \
         the host: remove `plain_http`, or let a proxy on this host speak TLS",
    );
    check(&section("plain_http: yes"), "4:15 found `yes`, wanted one of `true`, `false`");
    check(&section("certificate: /c"), "4:3 found `certificate` alone, wanted `key` beside it");
    check(&section("key: /c"), "4:3 found `key` alone, wanted `certificate` beside it");
    check(
        "webhook: {listen: \"[::1]:80\", secrets: /a, certificate: /c, key: /k, plain_http: true}",
        "1:70 found `plain_http` next to a certificate, wanted one of the two | plain HTTP needs no certificate; remove \
         either",
    );
    check(
        &section("secret: /a"),
        "4:3 found `secret`, wanted a field of `webhook` | did you mean `secrets`?",
    );
}

#[test]
fn a_mistake_in_a_rule_says_what_was_found_and_what_was_wanted() {
    let known = "`keys`, `expect`, `one_of`, `matches`, `min`, `max`, `within`, `severity`, `for`, `settle`, `if_absent`, `mute`, `remedy`";
    check_rule(
        "resembles: x",
        &format!("4:5 found `resembles`, wanted a field of a rule | known here: {known}"),
    );
    check_rule("expct: x", "4:5 found `expct`, wanted a field of a rule | did you mean `expect`?");
    let null = "wanted a value | an empty value is written `\"\"`, and the word `null` in quotes";
    check_rule("expect:", &format!("4:5 found nothing, {null}"));
    check_rule("expect: null", &format!("4:13 found nothing, {null}"));
    check_rule("one_of: [~, 1]", &format!("4:14 found nothing, {null}"));
    let expression = "a regular expression, as in `cubic|bbr`";
    check_rule("matches:", &format!("4:5 found nothing, wanted {expression}"));
    check_rule("matches: [a, b]", &format!("4:14 found a list, wanted {expression}"));
    check_rule(
        "matches: \"a(\"",
        &format!(
            "4:14 found `a(`, wanted {expression} | found open group without closing ')'; a letter that means something is itself behind `\\`"
        ),
    );
    check_rule(
        "matches: \"(a{1000}){1000}\"",
        &format!(
            "4:14 found `(a{{1000}}){{1000}}`, wanted {expression} | compiled regex exceeded size limit; a letter that means something is itself behind `\\`"
        ),
    );
    let one = "one value | several numbers in one value: `expect: \"4096 131072 6291456\"`; several values allowed: `one_of`";
    check_rule("expect: [1, 2]", &format!("4:13 found a list, wanted {one}"));
    check_rule("one_of: []", "4:13 found an empty list, wanted a list of values, as in `[1, 2]`");
    check_rule("one_of: 1", "4:13 found `1`, wanted a list of values, as in `[1, 2]`");
    check_rule("one_of: [1, [2]]", &format!("4:17 found a list, wanted {one}"));
    let size = "a number or a size such as `2GiB` | a number, alone or in `B`, `kB`, `KiB`, `MiB`, `GiB`, `TiB`, \
                `PiB`, `EiB`";
    check_rule("min: 2GB", &format!("4:10 found `2GB`, wanted {size}"));
    check_rule(
        "max: 95%",
        "4:10 found `95%`, wanted a number or a size such as `2GiB` | a part is of another key, named behind it: `95% of KEY`",
    );
    check_rule("within: 5%\n    expect: 95%", &format!("5:13 found `95%`, wanted {size}"));
    check_rule("min: 5\n    max: 4", "5:10 found a `max` of `4`, wanted at least the `min` of `5`");
    let margin = "a part such as `5%`, or a quantity such as `64MiB` | at most three digits after the point, and nothing \
                  negative";
    for wrong in ["5 percent", "-1", "-1%", "0.0001%", ".5%", "5.%", "4294968%"] {
        check_rule(&format!("within: \"{wrong}\""), &format!("4:13 found `{wrong}`, wanted {margin}"));
    }
    check_rule("within: 5%\n    expect: ten", &format!("5:13 found `ten`, wanted {size}"));
    check_rule(
        "severity: warn",
        "4:15 found `warn`, wanted one of `info`, `warning`, `critical` | did you mean `warning`?",
    );
    check_rule("settle: 100", "4:13 found `100`, wanted a duration such as `30s` | add the unit: `100s`");
    let clash = "one kind of expectation in a rule | `expect`, `one_of`, `matches`, `min` with `max`, or `within`, alone or with \
                 `expect`; two rules may share a key";
    check_rule("expect: 1\n    max: 2", &format!("5:5 found `max` next to `expect`, wanted {clash}"));
    check_rule("min: 1\n    one_of: [2]", &format!("4:5 found `min` next to `one_of`, wanted {clash}"));
    let share = "a part of another key, as in `95% of /proc/meminfo:CommitLimit`";
    let part = "at most three digits after the point, and nothing negative";
    check_rule(
        "max: x% of vm.swappiness",
        &format!("4:10 found `x% of vm.swappiness`, wanted {share} | {part}"),
    );
    check_rule("max: -5% of vm.x", &format!("4:10 found `-5% of vm.x`, wanted {share} | {part}"));
    for (key, number) in [
        ("kernel.core_pattern", "a key whose value is a number, not a text"),
        ("fs.file-nr", "one column, as in `/proc/sys/fs/file-nr:allocated`"),
    ] {
        check_rule(
            &format!("max: 10% of {key}"),
            &format!("4:10 found `10% of {key}`, wanted a part of {number}"),
        );
    }
    check_rule("matches: a\n    expect: 1", &format!("4:5 found `matches` next to `expect`, wanted {clash}"));
    check_rule("within: 1\n    matches: a", &format!("4:5 found `within` next to `matches`, wanted {clash}"));
    check_rule(
        "max: 5% of swappiness",
        &format!(
            "4:10 found `5% of swappiness`, wanted {share} | a sysctl has at least two components, as in `vm.swappiness`"
        ),
    );
    check_rule(
        "max: 5% of /sys/a",
        "4:10 found `5% of /sys/a`, wanted a part of a sysctl, or of a field of /proc/meminfo",
    );
    check_rule(
        "min: 1\n    max: 5% of vm.swappiness",
        "5:5 found `max` next to `min`, wanted one bound in a rule where it is a part of another key | two rules may share a key: one with `min`, one with `max`",
    );
    check_rule("within: 1\n    max: 2", &format!("4:5 found `within` next to `max`, wanted {clash}"));
}

#[test]
fn a_mistake_in_keys_is_under_the_one_bad_key() {
    let two = "a key | a sysctl has at least two components, as in `vm.swappiness`";
    check("drift_rules:\n  r: vm.swappiness  swap fs.file-max", &format!("2:21 found `swap`, wanted {two}"));
    check("drift_rules:\n  r: \"é.x  swap\"", &format!("2:12 found `swap`, wanted {two}"));
    check(
        "drift_rules:\n  r: |\n    fs.file-max\n    vm.swappiness swap\n",
        &format!("4:19 found `swap`, wanted {two}"),
    );
    check("drift_rules:\n  r: \"fs.file-max\\nswap\"", &format!("2:20 found `swap`, wanted {two}"));
    check("drift_rules:\n  r: \"fs.file-max sw\\x61p\"", &format!("2:6 found `swap`, wanted {two}"));
    check("drift_rules: {r: {keys: [vm.swappiness, swap]}}", &format!("1:41 found `swap`, wanted {two}"));
    check(
        "drift_rules:\n  r: vm.swappiness /proc/sys/vm/swappiness",
        "2:20 found `vm.swappiness` a second time, wanted each key once in a rule",
    );
    check(
        "drift_rules:\n  r:\n    keys:\n      - # none\n\n      - fs.file-max\n",
        "4:14 found nothing, wanted keys with spaces between them",
    );
    check("drift_rules:\n  r: {keys: []}", "2:13 found an empty list, wanted at least one key");
    check("drift_rules:\n  r: \" \"", "2:6 found an empty text, wanted at least one key");
    check(
        "drift_rules:\n  r:",
        "2:3 found nothing, wanted keys with spaces between them, or a map with `keys`",
    );
    check(
        "drift_rules:\n  r: {expect: 1}",
        "2:3 found a rule without `keys`, wanted `keys` in it | what the rule is about, as in `keys: vm.swappiness`",
    );
    let name = "a rule's name: 1 to 64 letters, digits, `_` and `-`";
    check("drift_rules:\n  a b: vm.swappiness", &format!("2:3 found `a b`, wanted {name}"));
    check("drift_rules:\n  \"\": vm.swappiness", &format!("2:3 found ``, wanted {name}"));
    check(
        "drift_rules:\n  r: {keys: /proc/net/dev, within: 5%}",
        "2:13 found the whole of `/proc/net/dev` under a threshold, wanted one counter, as in \
         `/proc/net/dev:eth0.rx_dropped`",
    );
    check(
        "drift_rules:\n  r: {keys: fs.file-nr, max: 5}",
        "2:13 found the whole of `/proc/sys/fs/file-nr` under a threshold, wanted one column, as in \
         `/proc/sys/fs/file-nr:allocated`",
    );
}

#[test]
fn a_mistake_of_yaml_is_shown_where_it_stands() {
    let yaml = |place: &str, what: &str, hint: &str| {
        format!("{place} found a mistake of YAML ({what}), wanted well-formed YAML{hint}")
    };
    check("state: [a,\n", &yaml("1:8", "unclosed bracket '['", " | close the bracket"));
    check("state: \"/a", &yaml("1:8", "unclosed quote", " | close the quote"));
    check(
        "sweep:\n\t1s: 2\n",
        &yaml("2:2", "tabs disallowed within this context (block indentation)", " | indent with spaces"),
    );
    check(
        "# é\nstate: a: b",
        &yaml("2:9", "mapping values are not allowed in this context", " | quote a text that contains `: `"),
    );
    check(
        "state: *a",
        &yaml("1:8", "while parsing node, found unknown anchor", " | quote a text that begins like this"),
    );
    check(
        "state: /a\nstate: /b",
        "2:1 found `state` a second time, wanted each name once | the first stands in line 1",
    );
    check(
        "state: !!str /a",
        "1:14 found a value with a tag, wanted a plain value | remove the tag; quote the value if it is a text",
    );
    check("? [a]\n: b\n", "1:3 found a list, wanted a name");
    check("state: /a\n---\nstate: /b", "2:1 found a second document, wanted one document in the file");
    check("&a [*a]", "1:5 found an alias inside the value it stands for, wanted a value that ends");
}

#[test]
fn a_name_is_there_once_however_many_there_are() {
    let many: String = (0..40).map(|n| format!("\n  r{n}: vm.swappiness")).collect();
    for (again, line) in [(0, 2), (15, 17), (16, 18), (39, 41)] {
        check(
            &format!("drift_rules:{many}\n  r{again}: vm.swappiness"),
            &format!(
                "42:3 found `r{again}` a second time, wanted each name once | the first stands in line {line}"
            ),
        );
    }
}

#[test]
fn a_mistake_met_through_an_alias_is_told_once() {
    check(
        "drift_rules:\n  a: {keys: &k swap}\n  b: {keys: *k}\n",
        "2:16 found `swap`, wanted a key | a sysctl has at least two components, as in `vm.swappiness`",
    );
}

#[test]
fn every_field_that_a_hint_offers_is_taken() {
    for (fields, before, wanted) in [
        (&file::FIELDS[..], "", "a field of the configuration"),
        (&http::FIELDS[..], "http:\n  ", "a field of `http`"),
        (&webhook::FIELDS[..], "webhook:\n  ", "a field of `webhook`"),
        (&hub::FIELDS[..], "hub:\n  ", "a field of `hub`"),
        (&rules::FIELDS[..], "drift_rules:\n  r:\n    ", "a field of a rule"),
    ] {
        for field in fields {
            if let Err(problems) = parse("f", &format!("{before}{field}: {{x: y}}\n")) {
                assert!(problems.iter().all(|problem| problem.wanted != wanted), "{problems}");
            }
        }
        assert_eq!(
            parse("f", &format!("{before}no: 1\n"))
                .unwrap_err()
                .iter()
                .filter(|p| p.wanted == wanted)
                .count(),
            1
        );
    }
}

#[test]
fn what_is_read_without_a_credential_is_served_on_loopback_only() {
    for (text, wanted) in [
        (
            "http: {listen: 0.0.0.0:9757}",
            "1:16 found `0.0.0.0:9757`, wanted a loopback address and a port, as in `127.0.0.1:9757` | what is served \
             here asks for no credential: for other hosts, let a proxy on this one ask for it",
        ),
        (
            "http: {listen: localhost:9757}",
            "1:16 found `localhost:9757`, wanted a loopback address and a port, as in `127.0.0.1:9757` | an address and \
             not a name; IPv6 as in `\"[::1]:9757\"`",
        ),
        (
            "http: {hosts: a}",
            "1:1 found `http` without `listen`, wanted `listen` in it | an address and a port, as in `listen: \
             127.0.0.1:9757`",
        ),
        (
            "http: {listen: 127.0.0.1:9757, hosts: [\"https://a\"]}",
            "1:40 found `https://a`, wanted a host name, as in `db1.example.org` | the name alone, without a scheme and \
             a port",
        ),
        ("http: 9757", "1:7 found `9757`, wanted a map with `listen`"),
    ] {
        check(text, wanted);
    }
}

#[test]
fn a_hub_without_an_address_or_credentials_is_told() {
    check(
        "hub: {listen: \"0.0.0.0:8444\"}",
        "1:1 found `hub` without credentials, wanted `secrets` or `tokens` in it | the file with what pipelines prove \
         themselves by; without one nothing is accepted",
    );
    check(
        "hub: {tokens: /a}",
        "1:1 found `hub` without `listen`, wanted `listen` in it | an address and a port, as in `listen: 0.0.0.0:8444`",
    );
    check("hub: 8444", "1:6 found `8444`, wanted a map with `listen` and `secrets` or `tokens`");
    check(
        "hub: {listen: \"0.0.0.0:8444\", tokens: /a, plain_http: true}",
        "1:43 found `plain_http` on `0.0.0.0`, wanted a loopback address, as in `127.0.0.1` | plain HTTP does not leave \
         the host: remove `plain_http`, or let a proxy on this host speak TLS",
    );
}
