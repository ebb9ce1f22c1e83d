//! `docs/integrations/deliver.sh`, which every pipeline runs.

use std::fs;

use crate::host::{Host, IN_SYNC, OUT_OF_SYNC, SECRET, ends};

#[test]
fn a_pipeline_delivers_over_http1_and_http2_and_is_shown_the_verdict() {
    let host = Host::start(IN_SYNC);
    for (curlrc, answered) in [("http1.1\n", "HTTP/1.1 "), ("http2\n", "HTTP/2 ")] {
        let headers = host.path("headers");
        let curlrc = format!("{curlrc}dump-header = {}\n", headers.display());
        let deliver = |arguments: &[&str], commit: &str| {
            let mut command = host.deliver(arguments);
            fs::write(host.path("home/.curlrc"), &curlrc).unwrap();
            command.env("DRIFTD_COMMIT", commit).env("DRIFTD_SUMMARY", host.path("summary.md"));
            ends(&mut command, 0).0
        };
        let commit = if answered == "HTTP/2 " { "bbbbbbb2" } else { "aaaaaaa1" };
        assert!(deliver(&["started"], commit).contains(r#""status":"accepted""#));
        assert_eq!(host.told("deployment")["status"], "started");
        let said = deliver(&["finished"], commit);
        assert_eq!(host.told("deployment")["status"], "finished");
        assert!(said.starts_with(&format!("### driftd: `{commit}` SYNCED")), "{said}");
        assert!(fs::read_to_string(&headers).unwrap().starts_with(&format!("{answered}200")));
        assert!(host.written("summary.md").contains(&said));
        // What it was told by is what it can ask with.
        let deployment = said.rsplit('`').nth(1).unwrap();
        assert_eq!(deliver(&["verdict", deployment], commit), said);
        assert!(fs::read_to_string(&headers).unwrap().starts_with(answered));
    }
}

#[test]
fn a_host_that_is_out_of_sync_fails_the_step_or_warns_by_choice() {
    let host = Host::start(OUT_OF_SYNC);
    let (said, error) = ends(&mut host.deliver(&["finished"]), 1);
    assert!(
        said.contains("OUT_OF_SYNC") && said.contains("| `kernel.ostype` | `Plan9` | `Linux` |"),
        "{said}"
    );
    assert_eq!(error, "driftd: the host is not as it was declared\n");
    let (said, error) = ends(host.deliver(&["finished"]).env("DRIFTD_ON_DRIFT", "warn"), 0);
    assert!(said.contains("OUT_OF_SYNC") && error.contains("this is a warning only"), "{said}{error}");
    ends(host.deliver(&["finished"]).env("DRIFTD_WAIT", "08").env("DRIFTD_COMMIT", "cccccc"), 1);
    let (said, _) =
        ends(host.deliver(&["finished"]).env("DRIFTD_WAIT", "0").env("DRIFTD_COMMIT", "bbbbbb"), 0);
    assert!(said.contains(r#""status":"accepted""#), "{said}");
}

#[test]
fn a_driftd_that_does_not_answer_fails_the_step_or_warns_by_choice_and_one_that_refuses_fails_it() {
    let host = Host::start(IN_SYNC);
    // Nobody waits here between one try and the next.
    fs::create_dir(host.path("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/true", host.path("bin/sleep")).unwrap();
    let path = format!("{}:{}", host.path("bin").display(), std::env::var("PATH").unwrap());
    for arguments in [&["started"][..], &["finished"], &["verdict", "0198"]] {
        let silent = || {
            let mut command = host.deliver(arguments);
            command.env("PATH", &path).env("DRIFTD_URL", "https://127.0.0.1:1/webhook/gitops");
            command
        };
        ends(&mut silent(), 3);
        let (_, error) = ends(silent().env("DRIFTD_ON_DRIFT", "warn"), 0);
        assert!(error.contains(" 000 ") && error.contains("this is a warning only"), "{error}");
        let mut refused = host.deliver(arguments);
        ends(refused.env("DRIFTD_ON_DRIFT", "warn").env("DRIFTD_SECRET", "another"), 3);
        let mut untrusted = host.deliver(arguments);
        ends(untrusted.env("DRIFTD_ON_DRIFT", "warn").env_remove("DRIFTD_CA"), 3);
    }
}

#[test]
fn how_a_pipeline_says_that_a_job_went_is_understood() {
    let host = Host::start(IN_SYNC);
    for (word, status) in [
        ("success", "finished"),
        ("failed", "failed"),
        ("failure", "failed"),
        ("cancelled", "failed"),
        ("canceled", "failed"),
    ] {
        ends(host.deliver(&["started"]).env("DRIFTD_APP", word), 0);
        assert_eq!(host.told("deployment")["status"], "started");
        ends(host.deliver(&[word]).env("DRIFTD_APP", word), 0);
        assert_eq!(host.told("deployment")["status"], status, "{word}");
    }
}

#[test]
fn whatever_the_secret_is_made_of_it_signs() {
    let long = "0123456789abcdef".repeat(5);
    let secrets = [
        ("s0", "%s\\n$HOME `id` \"'"),
        ("s1", "-n"),
        ("s2", "schlüssel mit ümlauten"),
        ("s3", &long[..64]),
        ("s4", &long[..65]),
        ("s5", &long),
    ];
    let host =
        Host::start_with(IN_SYNC, &secrets, "secrets: [DIR/s0, DIR/s1, DIR/s2, DIR/s3, DIR/s4, DIR/s5]");
    for (name, secret) in secrets {
        let commit = format!("aaaaaa{}", &name[1..]);
        ends(host.deliver(&["finished"]).env("DRIFTD_SECRET", secret).env("DRIFTD_COMMIT", &commit), 0);
        let commit = format!("bbbbbb{}", &name[1..]);
        let mut from_file = host.deliver(&["finished"]);
        from_file.env_remove("DRIFTD_SECRET").env("DRIFTD_SECRET_FILE", host.path(name));
        ends(from_file.env("DRIFTD_COMMIT", &commit), 0);
    }
}

#[test]
fn what_a_pipeline_says_arrives_as_it_was_said() {
    let host = Host::start(IN_SYNC);
    let app = r#"a "quoted" \ back`slash` $HOME & é"#;
    ends(host.deliver(&["finished"]).env("DRIFTD_APP", app).env("DRIFTD_ENVIRONMENT", "prod/eu"), 0);
    let told = host.told("deployment");
    assert_eq!((told["app"].as_str(), told["environment"].as_str()), (Some(app), Some("prod/eu")));
}

#[test]
fn each_pipeline_knows_what_it_delivers() {
    let host = Host::start(IN_SYNC);
    for (name, variables) in [
        ("github", [("GITHUB_SHA", "aaaaaa01"), ("GITHUB_RUN_ID", "7")]),
        ("gitlab", [("CI_COMMIT_SHA", "aaaaaa02"), ("CI_JOB_ID", "7")]),
        ("woodpecker", [("CI_COMMIT_SHA", "aaaaaa03"), ("CI_PIPELINE_NUMBER", "7")]),
        ("jenkins", [("GIT_COMMIT", "aaaaaa04"), ("BUILD_TAG", "jenkins-web-7")]),
        ("circleci", [("CIRCLE_SHA1", "aaaaaa05"), ("CIRCLE_WORKFLOW_ID", "7")]),
        ("azure", [("BUILD_SOURCEVERSION", "aaaaaa06"), ("BUILD_BUILDID", "7")]),
        ("bitbucket", [("BITBUCKET_COMMIT", "aaaaaa07"), ("BITBUCKET_BUILD_NUMBER", "7")]),
    ] {
        let mut command = host.deliver(&["finished"]);
        ends(command.env_remove("DRIFTD_COMMIT").env("DRIFTD_APP", name).envs(variables), 0);
        let told = host.told("deployment");
        assert_eq!((&told["commit"], &told["app"]), (&variables[0].1.into(), &name.into()));
        assert_eq!(told["undated"], false, "{told}");
    }
}

#[test]
fn who_may_not_deliver_is_told_so_and_who_cannot_be_trusted_is_told_nothing() {
    let host = Host::start(IN_SYNC);
    let (_, error) = ends(host.deliver(&["finished"]).env("DRIFTD_SECRET", "another"), 3);
    assert!(error.starts_with("driftd: refused: 401 "), "{error}");
    assert!(host.log().contains("fits none of the configured secrets"), "{}", host.log());
    let (_, error) = ends(host.deliver(&["finished"]).env_remove("DRIFTD_CA"), 3);
    assert!(error.contains("is not trusted: is it, or who signed it, in DRIFTD_CA?"), "{error}");
    let other = host.path("other.pem");
    ends(
        host.machine("openssl", "")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=other",
            ])
            .args(["-keyout", "other.key", "-out", "other.pem"]),
        0,
    );
    let (_, error) = ends(host.deliver(&["finished"]).env("DRIFTD_CA", &other), 3);
    assert!(error.contains("is not trusted"), "{error}");
    // The text of the certificate does as well as the name of its file.
    let text = fs::read_to_string(host.ca()).unwrap();
    ends(host.deliver(&["finished"]).env("DRIFTD_CA", text), 0);
    let (_, error) = ends(&mut host.deliver(&["verdict", "0198"]), 3);
    assert!(error.starts_with("driftd: no verdict: 404 "), "{error}");
}

#[test]
fn a_step_that_is_used_wrongly_says_what_it_wants() {
    let host = Host::start(IN_SYNC);
    #[track_caller]
    fn check(host: &Host, arguments: &[&str], variable: (&str, &str), wanted: &str) {
        let (name, value) = variable;
        let mut command = host.deliver(arguments);
        let command = if value.is_empty() { command.env_remove(name) } else { command.env(name, value) };
        let (_, error) = ends(command, 2);
        assert!(error.starts_with("driftd: ") && error.contains(wanted), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    check(&host, &[], ("X", ""), "started|finished|failed");
    check(&host, &["done"], ("X", ""), "started|finished|failed");
    check(&host, &["verdict"], ("X", ""), "verdict DEPLOYMENT");
    check(&host, &["started"], ("DRIFTD_URL", ""), "DRIFTD_URL is not set");
    check(&host, &["started"], ("DRIFTD_SECRET", ""), "DRIFTD_SECRET is not set or empty");
    check(&host, &["started"], ("DRIFTD_SECRET_FILE", "/nonexistent"), "DRIFTD_SECRET_FILE cannot be read");
    check(&host, &["started"], ("DRIFTD_COMMIT", ""), "DRIFTD_COMMIT is not set");
    check(&host, &["started"], ("DRIFTD_CA", "/nonexistent"), "which cannot be read");
    check(&host, &["started"], ("DRIFTD_WAIT", "1m"), "a number of seconds is wanted");
    check(&host, &["started"], ("DRIFTD_ON_DRIFT", "page"), "`fail` or `warn` is wanted");
    check(&host, &["started"], ("DRIFTD_APP", "a\nb"), "control character");
}
