//! What init makes, keeps, prints, and refuses to touch.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::http::Door;

struct Asked {
    dir: tempfile::TempDir,
    options: Options,
}

impl Asked {
    fn of(sender: Sender) -> Asked {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            sender,
            listen: "0.0.0.0:8443".parse().unwrap(),
            host: Some("db1.example".to_owned()),
            state: dir.path().join("state"),
        };
        Asked { dir, options }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("etc/driftd.yaml")
    }

    /// The exit code, and what was printed, with `DIR` for where it was.
    fn run(&self) -> (u8, String) {
        let mut out = Vec::new();
        let code = run(&self.config(), &self.options, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap().replace(self.dir.path().to_str().unwrap(), "DIR"))
    }
}

#[test]
fn whoever_is_to_deliver_has_a_configuration_a_credential_and_a_certificate() {
    for sender in Sender::value_variants() {
        let asked = Asked::of(*sender);
        let (code, said) = asked.run();
        assert_eq!(code, exit::IN_SYNC, "{said}");
        let config = config::load(&asked.config()).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        let webhook = config.webhook.unwrap();
        let [credential] = &webhook.credentials[..] else { panic!("{webhook:?}") };
        assert_eq!((credential.sender, credential.proof), sender.configured());
        Door::load(&webhook.credentials).unwrap();
        let secret = &credential.files[0];
        assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(secret).unwrap();
        assert!(text.len() >= 50 && !said.contains(&text), "{said}");
        assert!(config.state.join("tls/certificate.pem").exists());
        // The address is where the daemon would take it.
        let address = said.lines().find_map(|line| line.strip_prefix("webhook ")).unwrap().trim();
        let path = address.strip_prefix("https://db1.example:8443").unwrap();
        assert!(Door::load(&webhook.credentials).unwrap().at(path).is_ok(), "{address}");
    }
}

#[test]
fn a_second_run_keeps_all_and_says_the_same() {
    for sender in [Sender::Plain, Sender::Standard] {
        let asked = Asked::of(sender);
        let (_, first) = asked.run();
        let files = || {
            let paths = ["etc/driftd.yaml", "state/tls/certificate.pem", "state/tls/key.pem"];
            let secret = format!("etc/{}.secret", sender.configured().0.as_str());
            let mut texts = paths.map(|name| fs::read(asked.dir.path().join(name)).unwrap()).to_vec();
            texts.push(fs::read(asked.dir.path().join(secret)).unwrap());
            texts
        };
        let before = files();
        let (code, second) = asked.run();
        assert_eq!((code, files()), (exit::IN_SYNC, before));
        assert_eq!(second, first.replace(" made  ", " kept  "));
        assert_ne!(second, first);
    }
}

#[test]
fn what_is_missing_is_made_and_what_is_there_is_what_counts() {
    let asked = Asked::of(Sender::Github);
    fs::create_dir(asked.dir.path().join("etc")).unwrap();
    let text = format!(
        "state: {0}/state\nwebhook:\n  listen: 127.0.0.1:9\n  plain_http: true\n  senders:\n    mine: {{ sender: github, secrets: {0}/etc/other }}\n",
        asked.dir.path().display()
    );
    fs::write(asked.config(), &text).unwrap();
    let (code, said) = asked.run();
    assert_eq!(code, exit::IN_SYNC);
    assert!(said.contains("secret         made  DIR/etc/other\n"), "{said}");
    assert!(said.contains("http://db1.example:9/webhook/gitops/mine\n"), "{said}");
    assert!(!said.contains("certificate"), "{said}");
    assert_eq!(fs::read_to_string(asked.config()).unwrap(), text);
}

#[test]
fn a_configuration_without_this_sender_or_with_a_mistake_is_not_touched() {
    for text in ["", "webhook: { listen: 127.0.0.1:9, secrets: /s }\n", "webhooks: {}\n"] {
        let asked = Asked::of(Sender::Github);
        fs::create_dir(asked.dir.path().join("etc")).unwrap();
        fs::write(asked.config(), text).unwrap();
        assert_eq!(asked.run(), (exit::USAGE, String::new()), "{text}");
        assert_eq!(fs::read_to_string(asked.config()).unwrap(), text);
        assert_eq!(fs::read_dir(asked.dir.path().join("etc")).unwrap().count(), 1, "{text}");
    }
    insta::assert_snapshot!(
        not_there("/etc/driftd/driftd.yaml".as_ref(), config::Sender::Gitlab, Proof::Tokens, "/etc/driftd/gitlab.token".as_ref()),
        @r#"
    error: `/etc/driftd/driftd.yaml` is there and lets no `gitlab` in, and init changes nothing that is there
    hint: add this under `webhook:`, in `senders:`, and run it again

        gitlab: { tokens: "/etc/driftd/gitlab.token" }
    "#
    );
}

#[test]
fn the_plain_step_is_ready_to_be_pasted() {
    insta::assert_snapshot!(Asked::of(Sender::Plain).run().1, @r#"
    secret         made  DIR/etc/plain.secret
    certificate    made  DIR/state/tls/certificate.pem
    configuration  made  DIR/etc/driftd.yaml
    webhook              https://db1.example:8443/webhook/gitops

    Start it, as root: driftd run --config DIR/etc/driftd.yaml

    In the pipeline, with docs/integrations/deliver.sh in the repository, the text of `DIR/etc/plain.secret`
    as its secret DRIFTD_SECRET, and the text of `DIR/state/tls/certificate.pem` as DRIFTD_CA:

      export DRIFTD_URL=https://db1.example:8443/webhook/gitops DRIFTD_APP=web
      sh deliver.sh started
      ./deploy
      sh deliver.sh finished

    To try it from here:

      for phase in started finished; do
        body='{"commit":"a1b2c3","app":"web","phase":"'$phase'","timestamp":'$(date +%s)'}'
        curl -f --cacert DIR/state/tls/certificate.pem 'https://db1.example:8443/webhook/gitops?wait=30' -d "$body" \
          -H "$(printf %s "$body" | driftd sign --secret DIR/etc/plain.secret)"
      done
    "#);
}

#[test]
fn the_hook_of_github_is_ready_to_be_pasted() {
    insta::assert_snapshot!(Asked::of(Sender::Github).run().1, @r#"
    secret         made  DIR/etc/github.secret
    certificate    made  DIR/state/tls/certificate.pem
    configuration  made  DIR/etc/driftd.yaml
    webhook              https://db1.example:8443/webhook/gitops/github

    Start it, as root: driftd run --config DIR/etc/driftd.yaml

    At GitHub, with its own `gh`, for a repository whose deployments come here:

      tr -d '\n' < DIR/etc/github.secret |
        gh api repos/OWNER/REPO/hooks -f name=web -f 'events[]=deployment_status' \
        -f 'config[url]=https://db1.example:8443/webhook/gitops/github' -f 'config[content_type]=json' -F 'config[secret]=@-'

    `DIR/state/tls/certificate.pem` is driftd's own, and GitHub does not trust it:
    let the pipeline deliver itself (docs/integrations/github-action, `ca:`);
    or name one of a known authority in `certificate:` and `key:`.
    "#);
}

/// What a shell puts into the arguments of a program, everybody on the machine can read; `printf` is the shell's own.
#[test]
fn no_printed_step_makes_a_secret_an_argument() {
    for sender in Sender::value_variants() {
        let (_, said) = Asked::of(*sender).run();
        for line in said.lines().filter(|line| line.contains("$(cat ") || line.contains("$GITLAB_TOKEN")) {
            let shown = line.split_once('|').map_or("", |(_, rest)| rest);
            assert!(line.trim_start().starts_with("printf ") && !shown.contains("$("), "{line}");
        }
    }
}

/// Who sends takes what it is given as it is; driftd leaves the end of the line away.
#[test]
fn no_printed_step_sends_the_end_of_the_line_of_a_secret() {
    for sender in Sender::value_variants() {
        let (_, said) = Asked::of(*sender).run();
        // `DIR/etc/NAME.secret` goes through what takes it away, to driftd itself, or to a person.
        let bare = said.lines().filter(|line| line.starts_with("  ") && line.contains(".secret"));
        let ways = ["$(cat ", "tr -d '\\n' < ", "driftd sign --secret ", "secret  "];
        for line in bare {
            assert!(ways.iter().any(|way| line.contains(way)), "{line}");
        }
    }
}

#[test]
fn whoever_only_tells_of_pushes_delivers_by_a_step() {
    for name in ["gitea", "forgejo", "jenkins"] {
        assert_eq!(Sender::from_str(name, false), Ok(Sender::Plain), "{name}");
    }
}

#[test]
fn the_secret_of_flux_is_ready_to_be_pasted() {
    insta::assert_snapshot!(Asked::of(Sender::Flux).run().1, @r#"
    secret         made  DIR/etc/flux.secret
    certificate    made  DIR/state/tls/certificate.pem
    configuration  made  DIR/etc/driftd.yaml
    webhook              https://db1.example:8443/webhook/gitops/flux

    Start it, as root: driftd run --config DIR/etc/driftd.yaml

    At Flux: docs/integrations/flux/driftd.yaml without its Secret, with this address, and

      tr -d '\n' < DIR/etc/flux.secret |
        kubectl -n flux-system create secret generic driftd --from-file=token=/dev/stdin \
          --from-file=ca.crt=DIR/state/tls/certificate.pem
    "#);
}

#[test]
fn what_is_no_hosts_name_is_refused() {
    for good in ["db1", "db1.example", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(host(good).as_deref(), Ok(good));
    }
    for bad in ["", "a b", "db1/", "db1:8443", "http://db1", "x'y", &"x".repeat(254)] {
        assert!(host(bad).is_err(), "{bad}");
    }
    assert_eq!(own_name([127, 0, 0, 1].into()), "127.0.0.1");
}
