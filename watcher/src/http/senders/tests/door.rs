//! The door itself: who is let in by what, and that nobody else ever is.

use proptest::prelude::*;

use super::*;

const BODY: &[u8] = br#"{"commit":"a1b2c3","app":"web-backend"}"#;
const STATUS: &[u8] = include_bytes!("../../../../../tests/fixtures/payloads/github-deployment_status.json");
const DEPLOYED: &[u8] =
    include_bytes!("../../../../../tests/fixtures/payloads/gitlab-deployment-docs-success.json");

/// A request, and the start of what becomes of it.
#[track_caller]
fn check(door: &Door, path: &str, lines: &[Lines], body: &[u8], wanted: &str) {
    let lines = lines.concat();
    let found = told(door, path, &lines, body);
    assert!(found.starts_with(wanted), "{lines:?}: {found}");
}

fn github() -> Lines {
    vec![("X-GitHub-Event", "deployment_status".into())]
}

fn gitlab() -> Lines {
    vec![("X-Gitlab-Event", "Deployment Hook".into())]
}

#[test]
fn each_sender_has_a_path_of_its_own_and_there_is_no_other() {
    let (_dir, door) = built(
        "\n  senders:\n    ci: { sender: gitlab, tokens: DIR/token }\n    github: { secrets: DIR/secret }\n",
    );
    let token = || proof(GITLAB, DEPLOYED);
    check(&door, "/webhook/gitops/ci", &[token()], DEPLOYED, "finished 279484c0");
    check(&door, "/webhook/gitops", &[gitlab(), token()], DEPLOYED, "finished 279484c0");
    check(&door, "/webhook/gitops/github", &[github(), proof(HUB, STATUS)], STATUS, "finished f95f852b");
    // The path says who is meant, whatever the headers say.
    check(
        &door,
        "/webhook/gitops/github",
        &[gitlab(), token()],
        DEPLOYED,
        "401 no `X-Hub-Signature-256` header",
    );
    for path in [
        "/",
        "/webhook/gitops/",
        "/webhook/gitops/gitlab",
        "/webhook/gitops/CI",
        "/webhook/gitopsci",
        "/webhook/gitops/ci/",
    ] {
        check(&door, path, &[token()], DEPLOYED, "404 ");
    }
}

#[test]
fn a_deployment_status_that_a_driftd_set_is_no_deploy_that_failed() {
    let (_dir, door) = built("\n  senders:\n    github: { secrets: DIR/secret }\n");
    let mut event: serde_json::Value = serde_json::from_slice(STATUS).unwrap();
    event["deployment_status"]["state"] = "failure".into();
    let theirs = serde_json::to_vec(&event).unwrap();
    event["deployment_status"]["description"] = "driftd on db-01: 1 of 3 keys depart".into();
    let ours = serde_json::to_vec(&event).unwrap();
    let path = "/webhook/gitops";
    check(&door, path, &[github(), proof(HUB, &theirs)], &theirs, "failed f95f852b");
    check(
        &door,
        path,
        &[github(), proof(HUB, &ours)],
        &ours,
        "ignored: a driftd set the deployment's status",
    );
}

#[test]
fn a_sender_that_is_not_configured_is_told_so_and_not_let_in() {
    let (_dir, door) = built("\n  secrets: DIR/secret\n");
    check(&door, "/webhook/gitops", &[proof(HUB, BODY)], BODY, "finished a1b2c3");
    check(&door, "/webhook/gitops/plain", &[proof(HUB, BODY)], BODY, "finished a1b2c3");
    insta::assert_snapshot!(told(&door, "/webhook/gitops", &[github(), proof(HUB, STATUS)].concat(), STATUS), @"
    401 by its headers it is the sender `github`, which is not configured
    hint: name it under `senders:` of `webhook`, or post to `/webhook/gitops/NAME` of one that is
    ");
}

#[test]
fn gitea_is_asked_before_github_and_gitlab_before_standard_webhooks() {
    let (_dir, door) = built(SENDERS);
    // Gitea and Forgejo sign for GitHub's header too; Gitea's own is the one that is wanted.
    for own in ["X-Gitea-Event", "X-Forgejo-Event"] {
        let event = vec![(own, "push".to_owned())];
        check(
            &door,
            "/webhook/gitops",
            &[github(), event.clone(), proof(HUB, STATUS)],
            STATUS,
            "401 no `X-Gitea-Signature`",
        );
        check(
            &door,
            "/webhook/gitops",
            &[github(), event, proof(GITEA, STATUS)],
            STATUS,
            "ignored: Gitea tells",
        );
    }
    let signed = proof(Scheme::Standard, DEPLOYED);
    check(&door, "/webhook/gitops", &[gitlab(), signed], DEPLOYED, "finished 279484c0");
}

#[test]
fn forgejo_proves_itself_under_its_own_name_too_and_gitea_s_counts_where_both_are_there() {
    let (_dir, door) = built(SENDERS);
    let event = || vec![("X-Forgejo-Event", "push".to_owned())];
    let own = |body| vec![("X-Forgejo-Signature", proof(GITEA, body)[0].1.clone())];
    check(&door, "/webhook/gitops", &[event(), own(STATUS)], STATUS, "ignored: Gitea tells");
    check(&door, "/webhook/gitops", &[event(), own(BODY)], STATUS, "401 the signature fits none");
    let both = [event(), own(STATUS), proof(GITEA, BODY)];
    check(&door, "/webhook/gitops", &both, STATUS, "401 the signature fits none");
}

#[test]
fn what_was_signed_too_long_ago_never_counts_and_only_a_hook_is_told_so_with_200() {
    let (_dir, door) = built(SENDERS);
    for (off, counts) in [(0, true), (-300, true), (300, true), (-301, false), (301, false), (-86_400, false)]
    {
        let at = now().as_second() + off;
        let (step, hook) = match counts {
            true => ("finished a1b2c3", "finished 279484c0"),
            false => (
                "400 dated 2026-",
                "ignored: the message is dated more than five minutes from the time here (dated 2026-",
            ),
        };
        check(&door, "/webhook/gitops/standard", &[stamped("msg_1", at, BODY)], BODY, step);
        check(&door, "/webhook/gitops", &[gitlab(), stamped("msg_1", at, DEPLOYED)], DEPLOYED, hook);
        // What nobody signed is not worth a word about clocks.
        let forged = [gitlab(), stamped("msg_1", at, BODY)];
        check(&door, "/webhook/gitops", &forged, DEPLOYED, "401 the signature fits none");
    }
}

#[test]
fn only_an_id_that_was_signed_tells_two_messages_of_one_body_apart() {
    let (_dir, door) = built(SENDERS);
    let digest = |lines: &[Lines], body: &[u8]| {
        let headers = headers(&lines.concat());
        let asked = door.at("/webhook/gitops").and_then(|place| place.claim(&headers)).unwrap();
        match asked.open(&headers, Bytes::copy_from_slice(body), now()).unwrap().what {
            Opening::Announced(it) => it.digest,
            Opening::Ignored(why) => panic!("{why:?}"),
        }
    };
    let at = now().as_second();
    let of_github = |id: &str| {
        let delivery = vec![("X-GitHub-Delivery", id.to_owned())];
        digest(&[github(), delivery, proof(HUB, STATUS)], STATUS)
    };
    assert_eq!(of_github("72d3162e"), of_github("another"));
    let of_gitlab = |id: &str, at| digest(&[gitlab(), stamped(id, at, DEPLOYED)], DEPLOYED);
    assert_ne!(of_gitlab("msg_1", at), of_gitlab("msg_2", at));
    assert_eq!(of_gitlab("msg_1", at), of_gitlab("msg_1", at + 60), "a retry has a new time");
}

#[test]
fn a_cloud_event_is_told_by_its_media_type_in_any_case() {
    let (_dir, door) = built(SENDERS);
    let event = include_bytes!("../../../../../tests/fixtures/payloads/cloudevents-structured-deploy.json");
    for kind in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"] {
        let lines = [vec![("Content-Type", kind.to_owned())], proof(Scheme::Bearer, event)];
        check(&door, "/webhook/gitops", &lines, event, "started f913b6cb");
    }
}

#[test]
fn a_name_that_is_read_as_another_than_it_is_is_refused() {
    let (_dir, door) = built(SENDERS);
    for turned in ["web\u{202e}dneb", "web\u{2066}x\u{2069}", "\u{200f}web", "web\u{7}"] {
        let body = serde_json::json!({ "commit": "a1b2c3", "app": turned }).to_string().into_bytes();
        check(
            &door,
            "/webhook/gitops",
            &[proof(HUB, &body)],
            &body,
            "400 `app` has a control character in it",
        );
    }
    let body = r#"{"commit":"a1b2c3","app":"ويب"}"#.as_bytes();
    check(&door, "/webhook/gitops", &[proof(HUB, body)], body, "finished a1b2c3, app ويب");
}

#[test]
fn a_weaker_proof_beside_a_stronger_one_opens_nothing() {
    let (_dir, door) = built(SENDERS);
    let mut signed = proof(Scheme::Standard, DEPLOYED);
    let token = proof(GITLAB, DEPLOYED);
    check(&door, "/webhook/gitops", &[gitlab(), token.clone()], DEPLOYED, "finished");
    check(&door, "/webhook/gitops", &[gitlab(), token.clone(), signed.clone()], DEPLOYED, "finished");
    signed[2].1 = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=".into();
    check(
        &door,
        "/webhook/gitops",
        &[gitlab(), token.clone(), signed.clone()],
        DEPLOYED,
        "401 the signature fits none",
    );
    signed[2].1 = "v1,".into();
    check(
        &door,
        "/webhook/gitops",
        &[gitlab(), token, signed],
        DEPLOYED,
        "401 `webhook-signature` holds nothing",
    );
    // Where the stronger one is all there is, the weaker one is none.
    let (_dir, door) = built("\n  senders:\n    flux: { secrets: DIR/secret }\n");
    let event = vec![("Gotk-Component", "kustomize-controller".to_owned())];
    check(
        &door,
        "/webhook/gitops",
        &[event, proof(Scheme::Bearer, b"{}")],
        b"{}",
        "401 no `X-Signature` header",
    );
}

#[test]
fn either_credential_of_a_rotation_opens_and_each_says_what_it_may_deliver() {
    let (_dir, door) = built(
        "\n  senders:\n    old: { sender: plain, secrets: DIR/secret, apps: [web-*], environments: production }\n    \
         new: { sender: plain, secrets: [DIR/new, DIR/token], apps: db }\n",
    );
    let line = |secret: &str, body: &[u8]| {
        let line = header(&Secret::new(secret.as_bytes()).unwrap(), body);
        vec![("X-Hub-Signature-256", line.split_once(": ").unwrap().1.to_owned())]
    };
    let web = br#"{"commit":"a1b2c3","app":"web-backend","environment":"production"}"#;
    let db = br#"{"commit":"a1b2c3","app":"db"}"#;
    let path = "/webhook/gitops";
    check(&door, path, &[line(SECRET, web)], web, "finished");
    for secret in ["next", TOKEN] {
        check(&door, path, &[line(secret, db)], db, "finished");
    }
    check(
        &door,
        path,
        &[line("neither", db)],
        db,
        "401 the signature fits none of the configured secrets (3)",
    );
    for (secret, body, why) in [
        (SECRET, &db[..], "`old` may not deliver this: the environment is none of `environments`"),
        (SECRET, BODY, "`old` may not deliver this: the environment is none of `environments`"),
        ("next", &web[..], "`new` may not deliver this: the application is none of `apps` (`web-backend`)"),
        ("next", br#"{"commit":"a1b2c3"}"#, "`new` may not deliver this: the application is none of `apps`"),
    ] {
        assert_eq!(told(&door, path, &line(secret, body), body), format!("403 {why}"));
    }
}

#[test]
fn a_hooks_deployment_counts_only_where_every_list_says_so() {
    let path = "/webhook/gitops";
    for (lists, wanted) in [
        ("", "finished"),
        ("repositories: [Codertocat/*]", "finished"),
        (
            "repositories: [acme/*]",
            "ignored: the repository is none of `repositories` (Codertocat/Hello-World)",
        ),
        ("environments: [staging, prod*]", "finished"),
        ("environments: staging", "ignored: the environment is none of `environments` (production)"),
        ("branches: master", "finished"),
        ("branches: main", "ignored: the branch is none of `branches` (master)"),
        ("apps: other", "ignored: the application is none of `apps` (Codertocat/Hello-World)"),
        ("repositories: [Codertocat/*], environments: staging", "ignored: the environment"),
        // No workflow is behind this one.
        ("workflows: other", "finished"),
    ] {
        let (_dir, door) = built(&format!("\n  senders:\n    github: {{ secrets: DIR/secret, {lists} }}\n"));
        check(&door, path, &[github(), proof(HUB, STATUS)], STATUS, wanted);
    }
    let run = include_bytes!("../../../../../tests/fixtures/payloads/github-workflow_run-completed.json");
    let event = || vec![("X-GitHub-Event", "workflow_run".to_owned())];
    for (lists, wanted) in [
        ("", "ignored: a workflow's run counts only where"),
        ("workflows: .github/workflows/test.yml", "ignored: a workflow's run counts only where"),
        ("branches: master", "ignored: a workflow's run counts only where"),
        ("workflows: .github/workflows/test.yml, branches: master", "finished"),
        ("workflows: test, branches: master", "finished"),
        ("workflows: test, branches: main", "ignored: the branch"),
        (
            "workflows: test, branches: master, environments: '*'",
            "ignored: the environment is none of `environments`",
        ),
    ] {
        let (_dir, door) = built(&format!("\n  senders:\n    github: {{ secrets: DIR/secret, {lists} }}\n"));
        check(&door, path, &[event(), proof(HUB, run)], run, wanted);
    }
}

#[test]
fn a_sender_that_must_date_its_messages_is_refused_without_a_date() {
    let (_dir, door) = built("\n  senders:\n    plain: { secrets: DIR/secret, require_dated: true }\n");
    check(&door, "/webhook/gitops", &[proof(HUB, BODY)], BODY, "400 the message has no time, and `plain`");
    let id = br#"{"commit":"a1b2c3","id":"run-1"}"#;
    check(&door, "/webhook/gitops", &[proof(HUB, id)], id, "400 the message has no time");
    let dated = br#"{"commit":"a1b2c3","timestamp":1785579300}"#;
    check(&door, "/webhook/gitops", &[proof(HUB, dated)], dated, "finished");
}

#[test]
fn a_form_from_github_is_read_and_one_from_gitea_is_not() {
    let (_dir, door) = built(SENDERS);
    let form = || vec![("Content-Type", "application/x-www-form-urlencoded".to_owned())];
    let mut body = b"payload=".to_vec();
    body.extend(STATUS.iter().flat_map(|byte| match byte {
        b' ' => b"+".to_vec(),
        byte if byte.is_ascii_alphanumeric() => vec![*byte],
        byte => format!("%{byte:02X}").into_bytes(),
    }));
    check(&door, "/webhook/gitops", &[github(), form(), proof(HUB, &body)], &body, "finished f95f852b");
    let other = b"other=1";
    check(
        &door,
        "/webhook/gitops",
        &[github(), form(), proof(HUB, other)],
        other,
        "ignored: the message is not understood (there is no `payload`)",
    );
    let gitea = vec![("X-Gitea-Event", "push".to_owned())];
    // As it really comes: the JSON is signed, and not the form.
    let lines = [gitea.clone(), form(), proof(GITEA, STATUS)].concat();
    insta::assert_snapshot!(told(&door, "/webhook/gitops", &lines, &body), @"
    401 the body is a form, and Gitea signs the JSON that is in it
    hint: let the hook send the content type `application/json`
    ");
    check(
        &door,
        "/webhook/gitops",
        &[gitea, form(), proof(GITEA, &body)],
        &body,
        "ignored: the message is not understood (the body is a form",
    );
}

#[test]
fn argo_cd_proves_itself_by_a_bearer_or_by_basic_at_a_path_of_its_own() {
    let (_dir, door) = built(SENDERS);
    let body =
        include_bytes!("../../../../../tests/fixtures/payloads/argocd-on-deployed-recommended-single.json");
    for (path, scheme) in [("argocd", Scheme::Bearer), ("argo", Scheme::Basic)] {
        check(&door, &format!("/webhook/gitops/{path}"), &[proof(scheme, body)], body, "finished f913b6cb");
    }
    check(
        &door,
        "/webhook/gitops/argo",
        &[proof(Scheme::Bearer, body)],
        body,
        "401 the `Authorization` header does not begin with `Basic `",
    );
    check(
        &door,
        "/webhook/gitops",
        &[proof(Scheme::Bearer, body)],
        body,
        "401 no `X-Hub-Signature-256` header",
    );
}

#[test]
fn the_bodys_own_time_counts_only_where_the_body_is_signed() {
    let (_dir, door) = built(SENDERS);
    let body = include_bytes!(
        "../../../../../tests/fixtures/payloads/flux-kustomization-reconciliationsucceeded.json"
    );
    let event = || vec![("Gotk-Component", "kustomize-controller".to_owned())];
    let hmac = told(&door, "/webhook/gitops", &[event(), proof(FLUX, body)].concat(), body);
    let bearer = told(&door, "/webhook/gitops", &[event(), proof(Scheme::Bearer, body)].concat(), body);
    assert!(hmac.contains(", at 2026-08-01T10:15:02Z, id flux-hmac/"), "{hmac}");
    assert!(!bearer.contains(", at ") && bearer.contains(", id flux/"), "{bearer}");
    // GitLab's signing token dates the message by the header that is signed.
    let signed =
        told(&door, "/webhook/gitops", &[gitlab(), proof(Scheme::Standard, DEPLOYED)].concat(), DEPLOYED);
    assert!(signed.ends_with(", at 2026-08-01T10:15:00Z, id signing/msg_1"), "{signed}");
}

/// The names of headers that any sender looks at, and their values, true and not.
fn any_lines() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = prop::sample::select(vec![
        "X-Hub-Signature-256",
        "X-Hub-Signature",
        "X-Signature",
        "X-Gitea-Signature",
        "X-Forgejo-Signature",
        "X-Forgejo-Event",
        "X-Gitea-Event",
        "X-GitHub-Event",
        "X-GitHub-Delivery",
        "X-Gitlab-Event",
        "X-Gitlab-Token",
        "Idempotency-Key",
        "Gotk-Component",
        "Authorization",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "Content-Type",
    ]);
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        prop::sample::select(vec![
            "",
            "sha256=",
            "sha512=",
            "v1,",
            "Bearer ",
            "Basic ",
            "Basic Og==",
            "Bearer a token nobody may se",
            "0",
            "1785579300",
            "push",
            "deployment_status",
            "workflow_run",
            "application/cloudevents+json",
            "application/x-www-form-urlencoded",
            "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "sha256=0000000000000000000000000000000000000000000000000000000000000000",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec((name, value), 0..8)
}

fn any_path() -> impl Strategy<Value = String> {
    let names = "plain|github|gitlab|signing|gitea|flux|flux-hmac|argocd|argo|standard|cloudevents";
    prop_oneof![Just("/webhook/gitops".to_owned()), names.prop_map(|name| format!("/webhook/gitops/{name}"))]
}

proptest! {
    #[test]
    fn nobody_is_let_in_without_credentials_whatever_he_sends(
        path in any_path(), lines in any_lines(), body in proptest::collection::vec(any::<u8>(), 0..80)
    ) {
        thread_local! {
            static DOOR: (TempDir, Door) = built(SENDERS);
        }
        let line = |(name, value): (&'static str, Vec<u8>)| {
            Some((name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(&value).ok()?))
        };
        let headers: HeaderMap = lines.into_iter().filter_map(line).collect();
        DOOR.with(|(_, door)| {
            let asked = door.at(&path).and_then(|place| place.claim(&headers));
            match asked.and_then(|asked| asked.open(&headers, body.into(), now())) {
                Err(refused) => prop_assert_eq!(refused.status.as_u16(), 401),
                Ok(opened) => prop_assert!(false, "{:?} was let in as {}", headers, opened.sender),
            }
            let who = door.who_asks("/api/v1/deployments/0198", &headers);
            prop_assert!(who.is_err(), "{:?} may ask as {:?}", headers, who);
            Ok(())
        })?;
    }

    #[test]
    fn an_authentic_body_of_any_bytes_is_read_or_refused_and_never_a_panic(
        name in prop::sample::select(bodies(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/payloads")).into_iter().collect::<Vec<_>>()),
        cut in any::<prop::sample::Index>(), put in proptest::collection::vec(any::<u8>(), 0..20), lost in 0..20usize,
    ) {
        thread_local! {
            static DOOR: (TempDir, Door) = built(SENDERS);
        }
        let (name, mut body) = name;
        let at = cut.index(body.len());
        let end = (at + lost).min(body.len());
        body.splice(at..end, put);
        let (path, scheme, mut lines) = request(&name);
        lines.extend(proof(scheme, &body));
        let found = DOOR.with(|(_, door)| told(door, path, &lines, &body));
        prop_assert!(!found.starts_with("401"), "{}", found);
        prop_assert!(!found.starts_with("404"), "{}", found);
    }
}
