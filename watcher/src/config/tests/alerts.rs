//! The `alerts:` section: what it may say, what it may not, and how that is answered.

use std::time::Duration;

use super::{
    super::{Address, Encryption, Endpoint, Form, SinkKind, parse},
    good,
};
use crate::model::{KeyChoice, NamePattern, Routing, Severity};

fn mistakes(sinks: &str) -> String {
    let text = format!("alerts:\n  sinks:\n{sinks}\n");
    parse("driftd.yaml", &text).map(drop).unwrap_err().render(false)
}

#[test]
fn each_sink_is_what_its_name_or_its_sink_says_and_has_its_defaults() {
    let text = r"
alerts:
  commit_link: https://git.example.org/infra/commit/{commit}
  sinks:
    webhook: { url: https://a.example.org/hook, form: cloudevents, secret: /etc/driftd/hook, token: /etc/driftd/t }
    page:
      sink: exec
      program: [/usr/local/bin/page, --now]
      severity: critical
      verdicts: false
      losses: false
      timeout: 5s
      give_up: 2h
    board: { sink: gitops_status, url: 'http://127.0.0.1:9000/api/status', token: /etc/driftd/t }
    slack: { url_file: /etc/driftd/slack }
";
    let alerts = parse("driftd.yaml", text).unwrap().alerts;
    let to = |url: &str, token: Option<&str>| Endpoint {
        url: Address::Written(url.into()),
        token: token.map(Into::into),
        ca: None,
    };
    assert_eq!(alerts.commit_link.as_deref(), Some("https://git.example.org/infra/commit/{commit}"));
    let [webhook, page, board, slack] = alerts.sinks.as_slice() else { panic!("{:?}", alerts.sinks) };
    assert_eq!(
        webhook.kind,
        SinkKind::Webhook {
            to: to("https://a.example.org/hook", Some("/etc/driftd/t")),
            form: Form::Cloudevents,
            secret: Some("/etc/driftd/hook".into()),
        }
    );
    assert_eq!(webhook.routing, Routing::default());
    assert_eq!(webhook.timeout, Duration::from_secs(10));
    assert_eq!(webhook.give_up, Duration::from_secs(86_400));
    assert_eq!(page.kind, SinkKind::Exec { program: vec!["/usr/local/bin/page".into(), "--now".into()] });
    let critical =
        Routing { least: Severity::Critical, verdicts: false, losses: false, ..Routing::default() };
    assert_eq!(page.routing, critical);
    assert_eq!((page.timeout, page.give_up), (Duration::from_secs(5), Duration::from_secs(7200)));
    let there = to("http://127.0.0.1:9000/api/status", Some("/etc/driftd/t"));
    assert_eq!(board.kind, SinkKind::GitopsStatus { to: there });
    let SinkKind::Slack { to } = &slack.kind else { panic!("{:?}", slack.kind) };
    assert_eq!(to.url, Address::File("/etc/driftd/slack".into()));
}

#[test]
fn no_token_goes_over_a_network_in_the_open_however_the_address_is_written() {
    for sink in ["webhook: { sink: webhook,", "gh: { sink: github, repository: a/b,"] {
        for (url, may) in [
            ("http://a.example.org/", false),
            ("HTTP://a.example.org/", false),
            ("hTTp://a.example.org/", false),
            ("HTTP://127.0.0.1/", true),
            ("HTTPS://a.example.org/", true),
        ] {
            let text = format!("alerts:\n  sinks:\n    {sink} url: '{url}', token: /etc/t }}\n");
            assert_eq!(parse("driftd.yaml", &text).is_ok(), may, "{sink} {url}");
        }
    }
}

#[test]
fn a_sink_may_be_for_some_rules_keys_applications_and_environments_alone() {
    let text = "
alerts:
  sinks:
    github: { repository: acme/infra, token: /etc/driftd/t, rules: [net*, memory], keys: [vm.swappiness, net.ipv4.conf.*.rp_filter] }
    slack: { url_file: /etc/driftd/slack, apps: web, environments: [production] }
";
    let alerts = parse("driftd.yaml", text).unwrap().alerts;
    let [github, slack] = alerts.sinks.as_slice() else { panic!("{:?}", alerts.sinks) };
    let SinkKind::Github(settings) = &github.kind else { panic!("{:?}", github.kind) };
    assert_eq!(settings.api.url, Address::Written("https://api.github.com".into()));
    assert_eq!((settings.commit_status, settings.deployment_status, settings.issues), (true, false, true));
    let names = |names: &[&str]| Some(names.iter().map(|name| NamePattern::new(name)).collect::<Vec<_>>());
    assert_eq!(github.routing.rules, names(&["net*", "memory"]));
    let [KeyChoice::One(key), KeyChoice::Several(_)] = github.routing.keys.as_deref().unwrap() else {
        panic!("{:?}", github.routing.keys)
    };
    assert_eq!(key.to_string(), "vm.swappiness");
    assert_eq!(
        (&slack.routing.apps, &slack.routing.environments),
        (&names(&["web"]), &names(&["production"]))
    );
}

#[test]
fn a_mail_server_has_the_port_of_its_encryption_and_a_sink_for_people_groups() {
    let text = "
alerts:
  sinks:
    email: { server: smtp.example.org, user: driftd, password: /etc/driftd/p, from: d@example.org, to: ops@example.org }
    tls: { sink: email, server: '[::1]:2465', encryption: tls, from: d@example.org, to: [a@example.org], group: 1m, remind: 1d }
";
    let alerts = parse("driftd.yaml", text).unwrap().alerts;
    let [email, tls] = alerts.sinks.as_slice() else { panic!("{:?}", alerts.sinks) };
    let SinkKind::Email(settings) = &email.kind else { panic!("{:?}", email.kind) };
    assert_eq!(
        (&*settings.server, settings.port, settings.encryption),
        ("smtp.example.org", 587, Encryption::Starttls)
    );
    assert_eq!(settings.login, Some(("driftd".into(), "/etc/driftd/p".into())));
    assert_eq!((email.group, email.remind), (Duration::from_secs(5), None));
    let SinkKind::Email(settings) = &tls.kind else { panic!("{:?}", tls.kind) };
    assert_eq!((&*settings.server, settings.port, settings.encryption), ("::1", 2465, Encryption::Tls));
    assert_eq!((tls.group, tls.remind), (Duration::from_secs(60), Some(Duration::from_secs(86_400))));
}

#[test]
fn the_examples_of_the_documentation_are_taken_as_they_stand() {
    let text = include_str!("../../../../docs/alerts.md");
    let examples: Vec<_> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let sinks = examples.iter().flat_map(|example| good(example).alerts.sinks);
    let names: Vec<_> = sinks.map(|sink| sink.name).collect();
    assert_eq!(names, ["pager", "slack", "page", "board", "alertmanager", "github", "mail"].map(Into::into));
}

#[test]
fn a_mistake_shows_nothing_of_an_address_that_may_be_a_secret() {
    for fields in [
        "url: hooks.slack.com/services/SECRET",
        "url: 'https:/hooks.slack.com/SECRET'",
        r#"url: "https://hooks.slack.com/a,SECRET", tiemout: 3s"#,
        r#"url: "https://me:SECRET/SECRET@hooks.slack.com/x""#,
        "url: 'https://it''s:SECRET@hooks.slack.com/x'",
    ] {
        let told = parse("f", &format!("alerts:\n  sinks:\n    a: {{ sink: slack, {fields} }}\n"));
        let told = told.unwrap_err().render(false);
        assert!(!told.contains("SECRET") && told.contains("f:3:"), "{told}");
    }
}

#[test]
fn all_mistakes_of_the_sinks_are_told_at_once_with_their_place_and_their_cure() {
    let said = mistakes(
        "    pager: { url: https://a.example.org/ }
    webhook: { secret: hook.secret, form: xml }
    a: { sink: webhok, url: https://a.example.org/ }
    b: { sink: webhook, url: ftp://a.example.org/ }
    c: { sink: webhook, url: https://user:pass@a.example.org/ }
    d: { sink: webhook, url: http://a.example.org/, token: /etc/t }
    e: { sink: webhook, url: https://a.example.org/, url_file: /etc/u }
    f: { sink: exec, url: https://a.example.org/ }
    g: { sink: exec, program: [] }
    h: { sink: slack, url_file: /etc/u, severity: loud, timeout: 1ms, secrt: x }
    'i j': { sink: slack, url_file: /etc/u }
    k: https://a.example.org/
    gitops_status: { url: https://a.example.org/, severity: info }
    github: { repository: infra, keys: swappiness }
    email: { server: smtp.example.org, encryption: none, user: me, from: d@example.org, to: [] }
    l: { sink: email, server: 'a b', from: nobody, group: 1h }",
    );
    insta::assert_snapshot!(said, @r#"
    error: found `pager`, wanted a kind of sink as name, or `sink` in it
     --> driftd.yaml:3:5
      |
    3 |     pager: { url: https://a.example.org/ }
      |     ^^^^^
      |
      = hint: say which it is, as in `sink: webhook`; the sinks are `webhook`, `gitops_status`, `alertmanager`, `exec`, `slack`, `email`, `github`

    error: found `webhook` without `url` or `url_file`, wanted `url` or `url_file` in it
     --> driftd.yaml:4:5
      |
    4 |     webhook: { secret: ************************
      |     ^^^^^^^
      |
      = hint: where it is told, as in `url: https://pager.example.org/hook`

    error: found a text that is no path, wanted an absolute path
     --> driftd.yaml:4:24
      |
    4 |     webhook: { secret: ************************
      |                        ^^^^^^^^^^^
      |
      = hint: the file that holds it: the secret itself does not stand here

    error: found `xml`, wanted one of `json`, `cloudevents`
     --> driftd.yaml:4:43
      |
    4 |     webhook: { secret: ************************
      |                                           ^^^

    error: found `webhok`, wanted one of `webhook`, `gitops_status`, `alertmanager`, `exec`, `slack`, `email`, `github`
     --> driftd.yaml:5:16
      |
    5 |     a: { sink: webhok, url: https://a.example.org/ }
      |                ^^^^^^
      |
      = hint: did you mean `webhook`?

    error: found `ftp://a.example.org/`, wanted an address, as in `https://pager.example.org/hook`
     --> driftd.yaml:6:30
      |
    6 |     b: { sink: webhook, url: ftp://a.example.org/ }
      |                              ^^^^^^^^^^^^^^^^^^^^
      |
      = hint: it begins with `https://`, or with `http://`

    error: found `https://**********a.example.org/`, wanted an address, as in `https://pager.example.org/hook`
     --> driftd.yaml:7:30
      |
    7 |     c: { sink: webhook, url: https://**********a.example.org/ }
      |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: no password in an address: a token has a file of its own, `token`

    error: found `token` for a plain address, wanted an `https://` address beside it
     --> driftd.yaml:8:53
      |
    8 |     d: { sink: webhook, url: http://a.example.org/, token: /etc/t }
      |                                                     ^^^^^
      |
      = hint: plain HTTP would show the token to everyone on the way

    error: found `url` next to `url_file`, wanted one of the two
     --> driftd.yaml:9:54
      |
    9 |     e: { sink: webhook, url: https://a.example.org/, url_file: /etc/u }
      |                                                      ^^^^^^^^
      |
      = hint: a file, where whoever knows it may post there

    error: found `f` without `program`, wanted `program` in it
      --> driftd.yaml:10:5
       |
    10 |     f: { sink: exec, url: ********************** }
       |     ^
       |
       = hint: the program with its arguments, as in `program: [/usr/local/bin/page]`

    error: found `url`, wanted a field of the sink `exec`
      --> driftd.yaml:10:22
       |
    10 |     f: { sink: exec, url: ********************** }
       |                      ^^^
       |
       = hint: known here: `sink`, `program`, `timeout`, `severity`, `rules`, `keys`, `apps`, `environments`, `verdicts`, `losses`, `flapping`, `remind`, `give_up`

    error: found an empty list, wanted a program and its arguments
      --> driftd.yaml:11:31
       |
    11 |     g: { sink: exec, program: [] }
       |                               ^^

    error: found `loud`, wanted one of `info`, `warning`, `critical`
      --> driftd.yaml:12:51
       |
    12 |     h: { sink: slack, url_file: /etc/u, severity: loud, timeout: 1ms, secrt: * }
       |                                                   ^^^^

    error: found `1ms`, wanted a duration of at least `1s`
      --> driftd.yaml:12:66
       |
    12 |     h: { sink: slack, url_file: /etc/u, severity: loud, timeout: 1ms, secrt: * }
       |                                                                  ^^^

    error: found `secrt`, wanted a field of the sink `slack`
      --> driftd.yaml:12:71
       |
    12 |     h: { sink: slack, url_file: /etc/u, severity: loud, timeout: 1ms, secrt: * }
       |                                                                       ^^^^^
       |
       = hint: known here: `sink`, `url`, `url_file`, `ca`, `timeout`, `severity`, `rules`, `keys`, `apps`, `environments`, `verdicts`, `losses`, `flapping`, `remind`, `group`, `give_up`

    error: found `i j`, wanted a sink's name: 1 to 64 letters, digits, `_` and `-`
      --> driftd.yaml:13:5
       |
    13 |     'i j': { sink: slack, url_file: /etc/u }
       |     ^^^^^

    error: found a text, wanted a map with the sink's fields
      --> driftd.yaml:14:8
       |
    14 |     k: **********************
       |        ^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: as in `pager: { sink: webhook, url: https://pager.example.org/hook }`

    error: found `severity`, wanted a field of the sink `gitops_status`
      --> driftd.yaml:15:51
       |
    15 |     gitops_status: { url: https://a.example.org/, severity: **** }
       |                                                   ^^^^^^^^
       |
       = hint: known here: `sink`, `url`, `url_file`, `token`, `ca`, `timeout`

    error: found `github` without `token`, wanted `token` in it
      --> driftd.yaml:16:5
       |
    16 |     github: { repository: infra, keys: swappiness }
       |     ^^^^^^
       |
       = hint: the file with a token that may write statuses, deployments and issues there

    error: found `infra`, wanted a repository of GitHub, as `owner/name`
      --> driftd.yaml:16:27
       |
    16 |     github: { repository: infra, keys: swappiness }
       |                           ^^^^^

    error: found `swappiness`, wanted a sysctl has at least two components, as in `vm.swappiness`
      --> driftd.yaml:16:40
       |
    16 |     github: { repository: infra, keys: swappiness }
       |                                        ^^^^^^^^^^

    error: found `none`, wanted `starttls` or `tls`
      --> driftd.yaml:17:52
       |
    17 |     email: { server: smtp.example.org, encryption: none, user: me, from: d@example.org, to: [] }
       |                                                    ^^^^
       |
       = hint: in the open only to a server on loopback, and without a password

    error: found `user` without `password`, wanted `password` beside it
      --> driftd.yaml:17:58
       |
    17 |     email: { server: smtp.example.org, encryption: none, user: me, from: d@example.org, to: [] }
       |                                                          ^^^^

    error: found an empty list, wanted at least one address
      --> driftd.yaml:17:93
       |
    17 |     email: { server: smtp.example.org, encryption: none, user: me, from: d@example.org, to: [] }
       |                                                                                             ^^

    error: found `l` without `to`, wanted `to` in it
      --> driftd.yaml:18:5
       |
    18 |     l: { sink: email, server: 'a b', from: nobody, group: 1h }
       |     ^
       |
       = hint: to whom, as in `to: ops@example.org`

    error: found `a b`, wanted a mail server, as in `smtp.example.org` or `smtp.example.org:2525`
      --> driftd.yaml:18:31
       |
    18 |     l: { sink: email, server: 'a b', from: nobody, group: 1h }
       |                               ^^^^^

    error: found `nobody`, wanted an address, as in `ops@example.org` or `Operations <ops@example.org>`
      --> driftd.yaml:18:44
       |
    18 |     l: { sink: email, server: 'a b', from: nobody, group: 1h }
       |                                            ^^^^^^

    error: found `1h`, wanted a duration of at most `10m`
      --> driftd.yaml:18:59
       |
    18 |     l: { sink: email, server: 'a b', from: nobody, group: 1h }
       |                                                           ^^

    28 mistakes in driftd.yaml
    "#);
}
