//! The senders of the webhook: what they may say of themselves, and what not.

use super::{
    super::{Credential, Proof, Sender, parse},
    good,
};

fn senders(text: &str) -> Vec<Credential> {
    good(&format!("webhook:\n  listen: 127.0.0.1:1\n{text}")).webhook.unwrap().credentials
}

#[test]
fn every_field_of_a_sender_arrives() {
    let senders = senders(
        "  secrets: /a
  senders:
    github:
      secrets: [/b, /c]
      repositories: [acme/*]
      workflows: .github/workflows/deploy.yml
      branches: [main, release/*]
      environments: production
      apps: acme/web
    ci: { sender: gitlab, tokens: /d }
    argo: { sender: argocd, basic: /e }
    app: { sender: plain, secrets: /f, require_dated: true, declared: true }
",
    );
    let told: Vec<_> =
        senders.iter().map(|c| (&*c.name, c.sender, c.proof, c.files.len(), c.require_dated)).collect();
    assert_eq!(
        told,
        [
            ("plain", Sender::Plain, Proof::Secrets, 1, false),
            ("github", Sender::Github, Proof::Secrets, 2, false),
            ("ci", Sender::Gitlab, Proof::Tokens, 1, false),
            ("argo", Sender::Argocd, Proof::Basic, 1, false),
            ("app", Sender::Plain, Proof::Secrets, 1, true),
        ]
    );
    let declaring = senders.iter().filter(|c| c.declared).map(|c| &*c.name);
    assert_eq!(declaring.collect::<Vec<_>>(), ["app"], "nobody may unless it says so");
    let only = &senders[1].only;
    let lists = [&only.repositories, &only.workflows, &only.branches, &only.environments, &only.apps];
    let lists = lists.map(|list| list.iter().flatten().map(|p| p.as_str()).collect::<Vec<_>>().join(" "));
    assert_eq!(lists, ["acme/*", ".github/workflows/deploy.yml", "main release/*", "production", "acme/web"]);
    assert_eq!(senders[0].only, Default::default());
}

#[test]
fn senders_alone_are_enough() {
    assert_eq!(senders("  senders: { github: { secrets: /a } }").len(), 1);
}

#[test]
fn every_mistake_of_the_senders_is_told_at_once_with_its_cure() {
    let text = r#"webhook:
  listen: 127.0.0.1:1
  secrets: /a
  senders:
    plain: { secrets: /b }
    githbu: { secrets: /c }
    ci: { tokens: /d }
    gitlab: { secrets: /e, tokens: /f }
    github: { sender: gitlab, tokens: /g }
    flux: { branches: [] }
    gitea: { secrets: h, apps: web, declared: true }
    argocd: { secrets: /i }
    "a b": { sender: flux, tokens: "" }
    standard: /j
    cloudevents: { tokens: /k, app: x, declared: true }
    again: { sender: cloudevents, tokens: [/l, /k] }
    which: { sender: bitbucket }
"#;
    insta::assert_snapshot!(parse("f", text).unwrap_err(), @r#"
    error: found `secrets` next to the sender `plain`, wanted one of the two
     --> f:3:3
      |
    3 |   secrets: /a
      |   ^^^^^^^
      |
      = hint: move the files into the `secrets` of `plain`

    error: found `githbu`, wanted a sender's name, or `sender` in it
     --> f:6:5
      |
    6 |     githbu: { secrets: /c }
      |     ^^^^^^
      |
      = hint: did you mean `github`?

    error: found `ci`, wanted a sender's name, or `sender` in it
     --> f:7:5
      |
    7 |     ci: { tokens: /d }
      |     ^^
      |
      = hint: say which it is, as in `sender: github`; the senders are `plain`, `github`, `gitlab`, `gitea`, `flux`, `argocd`, `standard`, `cloudevents`

    error: found `tokens` beside another kind, wanted one kind of credentials for each sender
     --> f:8:28
      |
    8 |     gitlab: { secrets: /e, tokens: /f }
      |                            ^^^^^^
      |
      = hint: write the other one as a sender of its own, with `sender: gitlab`

    error: found `github` for the sender `gitlab`, wanted a name that says what it is
     --> f:9:5
      |
    9 |     github: { sender: gitlab, tokens: /g }
      |     ^^^^^^
      |
      = hint: another name, or the sender it names

    error: found `flux` without credentials, wanted `secrets` or `tokens` in it
      --> f:10:5
       |
    10 |     flux: { branches: [] }
       |     ^^^^
       |
       = hint: the file with what the sender proves itself by; without it nothing is accepted

    error: found an empty list, wanted at least one name
      --> f:10:23
       |
    10 |     flux: { branches: [] }
       |                       ^^
       |
       = hint: leave the field out, and everything counts

    error: found a text that is no path, wanted an absolute path
      --> f:11:23
       |
    11 |     gitea: { secrets: ******************************
       |                       ^
       |
       = hint: the file that holds it: the secret itself does not stand here

    error: found `apps`, wanted a field of the sender `gitea`
      --> f:11:26
       |
    11 |     gitea: { secrets: ******************************
       |                          ^^^^
       |
       = hint: known here: `sender`, `secrets`

    error: found `declared`, wanted a field of the sender `gitea`
      --> f:11:37
       |
    11 |     gitea: { secrets: ******************************
       |                                     ^^^^^^^^
       |
       = hint: known here: `sender`, `secrets`

    error: found `argocd` without credentials, wanted `tokens` or `basic` in it
      --> f:12:5
       |
    12 |     argocd: { secrets: /i }
       |     ^^^^^^
       |
       = hint: the file with what the sender proves itself by; without it nothing is accepted

    error: found `secrets`, wanted a field of the sender `argocd`
      --> f:12:15
       |
    12 |     argocd: { secrets: /i }
       |               ^^^^^^^
       |
       = hint: known here: `sender`, `tokens`, `basic`, `apps`, `environments`, `repositories`, `branches`

    error: found `a b`, wanted a sender's name: 1 to 64 letters, digits, `_` and `-`
      --> f:13:5
       |
    13 |     "a b": { sender: flux, tokens: ****
       |     ^^^^^

    error: found a text that is no path, wanted an absolute path
      --> f:13:36
       |
    13 |     "a b": { sender: flux, tokens: ****
       |                                    ^^
       |
       = hint: the file that holds it: the secret itself does not stand here

    error: found a text, wanted a map with the sender's credentials
      --> f:14:15
       |
    14 |     standard: /j
       |               ^^
       |
       = hint: as in `github: { secrets: FILE }`

    error: found `app`, wanted a field of the sender `cloudevents`
      --> f:15:32
       |
    15 |     cloudevents: { tokens: /k, app: *, declared: true }
       |                                ^^^
       |
       = hint: did you mean `apps`?

    error: found `again` with a file of another, wanted credentials of its own
      --> f:16:5
       |
    16 |     again: { sender: cloudevents, tokens: **********
       |     ^^^^^
       |
       = hint: with the same file it cannot be told from `cloudevents`, which comes first

    error: found `bitbucket`, wanted one of `plain`, `github`, `gitlab`, `gitea`, `flux`, `argocd`, `standard`, `cloudevents`
      --> f:17:22
       |
    17 |     which: { sender: bitbucket }
       |                      ^^^^^^^^^

    18 mistakes in f
    "#);
}

#[test]
fn senders_that_are_none_are_told() {
    for (text, wanted) in
        [("[]", "found a list"), ("{}", "found an empty map"), ("", "found nothing"), ("x", "found a text")]
    {
        let error = parse("f", &format!("webhook:\n  listen: 127.0.0.1:1\n  senders: {text}\n")).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(wanted) && told.contains("the senders are `plain`, `github`"), "{told}");
    }
}

/// Whoever mistakes the field for the place of the secret has a log and a terminal to clean up, if it is shown there.
#[test]
fn a_secret_where_its_file_should_be_named_is_not_shown() {
    let alerts = |sink: &str| format!("alerts:\n  sinks:\n    {sink}\n");
    for text in [
        "webhook: { listen: 127.0.0.1:0, secrets: ghp_X }".to_owned(),
        "webhook: { listen: nowhere, secrets: ghp_X }".into(),
        "webhook:\n  listen: 127.0.0.1:0\n  secrets:\n    - /a\n    - ghp_X\n".into(),
        "webhook: { listen: 127.0.0.1:0, secrets: { ghp_X: } }".into(),
        "webhook: { listen: 127.0.0.1:0, secret: ghp_X }".into(),
        "webhook: { listen: 127.0.0.1:0, senders: { gitlab: { tokens: ghp_X } } }".into(),
        "webhook: { listen: 127.0.0.1:0, senders: { argocd: { basic: 'me:ghp_X' } } }".into(),
        "hub: { listen: 127.0.0.1:0, tokens: [ghp_X] }".into(),
        alerts("a: { sink: webhook, url: https://a.example.org/x, token: ghp_X }"),
        alerts("a: { sink: webhook, url: https://a.example.org/x, secret: ghp_X }"),
        alerts("a: { sink: slack, url_file: ghp_X }"),
        alerts(
            "a: { sink: email, server: mail.example.org, from: a@b.example, to: a@b.example, password: ghp_X }",
        ),
        // Where a sender or a sink is described, and where the field is mistyped.
        "webhook: { listen: 127.0.0.1:0, senders: { github: ghp_X } }".into(),
        "webhook: { listen: 127.0.0.1:0, senders: { github: [ghp_X] } }".into(),
        "webhook: { listen: 127.0.0.1:0, senders: ghp_X }".into(),
        "webhook: { listen: 127.0.0.1:0, senders: { github: { secert: ghp_X } } }".into(),
        "webhook: { listen: 127.0.0.1:0, secert: ghp_X }".into(),
        "hub: { listen: 127.0.0.1:0, secert: [ghp_X] }".into(),
        "secert: ghp_X".into(),
        alerts("a: { sink: slack, urlfile: ghp_X }"),
        alerts("slack: ghp_X"),
        alerts("token: { sink: slack, urlfile: ghp_X }"),
        alerts("- { sink: slack, url_file: ghp_X }"),
        alerts("- ghp_X"),
        // What does not get into the tree.
        "webhook:\n  secrets: !ghp_X\n".into(),
        "webhook:\n  secrets: #ghp_X\n".into(),
        "webhook:\n  secrets: /a\n  secrets: ghp_X\n".into(),
        "webhook:\n  secrets: /a\n  secrets:\n    - !x ghp_X\n".into(),
        "webhook:\n  secrets: { a: /b, a: ghp_X }\n".into(),
    ] {
        check_hidden(&text);
    }
}

#[track_caller]
fn check_hidden(text: &str) {
    let problems = super::super::parse("driftd.yaml", text).unwrap_err().to_string();
    assert!(!problems.contains("ghp_X") && problems.contains("***"), "{text}: {problems}");
}

/// Then there is no tree to say what stands where.
#[test]
fn a_secret_is_not_shown_where_it_makes_the_file_no_yaml() {
    for value in [
        "@ghp_X",
        "*ghp_X",
        "\"ghp_X",
        "\"ghp_X\" x",
        "a: ghp_X",
        "[ghp_X",
        "{ a: ghp_X",
        "|x ghp_X",
        "%ghp_X",
    ] {
        for field in
            ["secrets", "secret", "tokens", "token", "basic", "password", "url_file", "\"token\"", "Token "]
        {
            check_hidden(&format!("webhook:\n  {field}: {value}\n"));
        }
        check_hidden(&format!("webhook:\n  secrets:\n    - {value}\n"));
        check_hidden(&format!("webhook:\n  secrets:\n  # here\n\n  - /a\n  - {value}\n"));
        check_hidden(&format!("webhook: {{ listen: x, secrets: /a, tokens: {value}"));
        check_hidden(&format!("alerts:\n  sinks:\n  - sink: slack\n    url_file: {value}\n"));
        check_hidden(&format!("webhook:\n  secert: {value}\n"));
        check_hidden(&format!("webhook:\n  senders:\n    github: {value}\n"));
        check_hidden(&format!("webhook: {{ senders: {{ github: {value} }} }}\n"));
        check_hidden(&format!("alerts:\n  sinks:\n    slack: {value}\n"));
        let long = "x".repeat(6000);
        check_hidden(&format!("webhook:\n  secrets: \"{long}\" {value}\n"));
    }
}

#[test]
fn a_secret_of_several_lines_is_not_shown_either() {
    check_hidden("webhook:\n  secrets: \"a\n  ghp_X\n");
    check_hidden("webhook:\n  secrets: |\n    a\n   ghp_X: x: y\n");
    check_hidden("webhook:\n  secrets:\n    \"ghp_X\n");
}

#[test]
fn what_is_a_path_or_stands_in_a_rule_of_such_a_name_is_shown() {
    for (text, shown) in [
        ("webhook: { listen: 127.0.0.1:0, secrets: /etc/s, listne: 3 }", "secrets: /etc/s, listne"),
        ("webhook:\n  secrets:\n    - /etc/s: x: y\n", "- /etc/s: "),
        ("drift_rules:\n  basic:\n    keys: vm.swappiness\n    expct: 5\n", "expct: 5"),
        ("drift_rules:\n  token: { keys: vm.swappiness, expct: 5 }\n", "expct: 5"),
        ("webhook:\n  tokens_: x\n", "found `tokens_`"),
        ("webhook:\n  secrets: x\nsweep: nope\n", "sweep: nope"),
        ("webhook:\n  secrets: /x\nsweep: 1: 2\n", "sweep: 1: 2"),
        ("webhook:\n  listen: 127.0.0.1:0\n  secrets: /etc/s: x\n", "secrets: /etc/s: x"),
        ("drift_rules:\n  a: { keys: vm.swappiness, expect: @ }\n", "expect: @"),
    ] {
        let problems = super::super::parse("driftd.yaml", text).unwrap_err().to_string();
        assert!(problems.contains(shown), "{text}: {problems}");
    }
}
