//! The templates of docs/integrations: the commands in them are run as they stand there, and what they send is taken.

use std::process::Command;

use crate::host::{Host, IN_SYNC, OUT_OF_SYNC, SECRET, ends, repository, text};

/// Commits in full, as Argo CD knows them.
const COMMIT: &str = "f913b6cbf58aa5ae5ca1f8a2b149477aebcbd9d8";
const NEXT: &str = "0a4d55a8d778e5022fab701977c5d840bbc486d0";

/// The lines below the first that ends with `key`, as far as they are indented more than it, without their indent.
#[track_caller]
fn block(text: &str, key: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| !line.trim_end().ends_with(key));
    let head = lines.next().unwrap_or_else(|| panic!("no `{key}` in:\n{text}"));
    let below: Vec<&str> =
        lines.take_while(|line| line.trim().is_empty() || depth(line) > depth(head)).collect();
    let indent = below.iter().filter(|line| !line.trim().is_empty()).map(|line| depth(line)).min();
    let indent = indent.unwrap_or_else(|| panic!("nothing below `{key}`"));
    below.iter().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

/// The `name: value` pairs of a block.
fn pairs(block: &str) -> Vec<(&str, &str)> {
    block.lines().filter_map(|line| line.split_once(": ")).collect()
}

/// The items of a list of commands.
fn items(block: &str) -> Vec<&str> {
    block.lines().filter_map(|line| line.trim_start().strip_prefix("- ")).collect()
}

/// The composite action, run as GitHub runs it: each input is what is given, or its default.
fn action(host: &Host, given: &[(&str, &str)]) -> Command {
    let action = text("docs/integrations/github-action/action.yml");
    let inputs = block(&action, "inputs:");
    let value = |expression: &str| {
        let name = expression.strip_prefix("${{ inputs.")?.strip_suffix(" }}")?;
        let input = block(&inputs, &format!("{name}:"));
        let default = pairs(&input).into_iter().find(|(key, _)| *key == "default");
        let given = given.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        given.or_else(|| Some(default?.1.trim_matches('"').to_owned()))
    };
    let mut command = host
        .machine(block(&action, "steps:").split_once("shell: ").unwrap().1.split('\n').next().unwrap(), "");
    command.args(["-e", "-c", &block(&action, "run: |")]);
    for (name, expression) in pairs(&block(&action, "env:")) {
        command.env(name, value(expression).unwrap_or_else(|| panic!("{name}: {expression} is no input")));
    }
    command.env("GITHUB_ACTION_PATH", repository("docs/integrations/github-action"));
    command.env("GITHUB_STEP_SUMMARY", host.path("summary.md"));
    command.envs([("GITHUB_SHA", "f913b6cb"), ("GITHUB_RUN_ID", "1658821493"), ("GITHUB_RUN_ATTEMPT", "2")]);
    command
}

#[test]
fn the_github_action_opens_the_window_and_puts_the_findings_into_the_summary() {
    let host = Host::start(OUT_OF_SYNC);
    let ca = host.ca();
    let usual = [("url", &*host.url), ("secret", SECRET), ("ca", ca.to_str().unwrap()), ("app", "web")];
    let with = |further: &[(&'static str, &'static str)]| action(&host, &[&usual[..], further].concat());
    ends(&mut with(&[("phase", "started")]), 0);
    let told = host.told("deployment");
    assert_eq!(
        (&told["status"], &told["commit"], &told["app"]),
        (&"started".into(), &"f913b6cb".into(), &"web".into())
    );
    let (_, error) = ends(&mut with(&[("phase", "success")]), 1);
    assert!(error.contains("not as it was declared"), "{error}");
    assert_eq!(host.told("deployment")["status"], "finished");
    let summary = host.written("summary.md");
    assert!(summary.contains("\n### driftd: `f913b6cb` OUT_OF_SYNC\n\n"), "{summary}");
    assert!(summary.contains("\n| `kernel.ostype` | `Plan9` | `Linux` | "), "{summary}");
    ends(&mut with(&[("phase", "success"), ("on-drift", "warn")]), 0);
    ends(&mut with(&[("phase", "failure"), ("commit", "bbbbbb")]), 0);
    assert_eq!(host.told("deployment")["status"], "failed");
}

#[test]
fn the_gitlab_jobs_open_the_window_and_let_the_verdict_decide() {
    let host = Host::start(IN_SYNC);
    let template = text("docs/integrations/gitlab/driftd.gitlab-ci.yml");
    let run = |job: &str, section: &str, status: &str| {
        let job = block(&template, &format!("\n{job}:")[1..]);
        let mut command = host.deliver(&[]);
        // What GitLab makes of a section: one script.
        let script = items(&block(&job, section)).join("\n");
        command = {
            let mut shell = host.machine("sh", "");
            shell.args(["-e", "-c", &script]);
            shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shell
        };
        command.env_remove("DRIFTD_COMMIT").env("DRIFTD_SCRIPT", repository("docs/integrations/deliver.sh"));
        command.envs([("CI_COMMIT_SHA", "bcbb5ec3"), ("CI_JOB_ID", "42"), ("CI_JOB_STATUS", status)]);
        command.env("CI_PROJECT_PATH", "acme/web").env("DRIFTD_SUMMARY", "driftd.md");
        ends(&mut command, 0)
    };
    run(".driftd-deploy", "before_script:", "running");
    assert_eq!(host.told("deployment")["status"], "started");
    // Of what went well the job says nothing: the verdict's job does.
    assert_eq!(run(".driftd-deploy", "after_script:", "success").0, "");
    run(".driftd-verdict", "script:", "running");
    let told = host.told("deployment");
    assert_eq!((&told["status"], &told["commit"]), (&"finished".into(), &"bcbb5ec3".into()));
    assert!(host.written("driftd.md").contains("SYNCED"));
    assert!(template.contains("paths: [driftd.md]"));
    run(".driftd-deploy", "after_script:", "canceled");
    assert_eq!(host.told("deployment")["status"], "failed");
}

#[test]
fn the_jenkins_stages_deliver() {
    let host = Host::start(IN_SYNC);
    let file = text("docs/integrations/jenkins/Jenkinsfile");
    let steps: Vec<&str> = file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("sh '")?.strip_suffix('\''))
        .filter(|step| step.contains("ci/deliver.sh"))
        .collect();
    std::fs::create_dir(host.path("ci")).unwrap();
    std::fs::copy(repository("docs/integrations/deliver.sh"), host.path("ci/deliver.sh")).unwrap();
    std::fs::copy(host.ca(), host.path("ci/driftd.pem")).unwrap();
    let mut told = Vec::new();
    for step in steps {
        let mut command = host.machine("sh", "");
        command.args(["-c", step]).env("DRIFTD_URL", &host.url);
        command.envs([
            ("DRIFTD_SECRET", SECRET),
            ("DRIFTD_CA", "ci/driftd.pem"),
            ("DRIFTD_APP", "web-backend"),
        ]);
        command.envs([
            ("GIT_COMMIT", "f913b6cb"),
            ("BUILD_TAG", "jenkins-web-7"),
            ("GIT_BRANCH", "origin/main"),
        ]);
        ends(&mut command, 0);
        told.push(host.told("deployment")["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, ["started", "finished", "failed"]);
}

#[test]
fn the_job_after_a_sync_of_argo_cd_delivers() {
    let host = Host::start(IN_SYNC);
    let template = text("docs/integrations/argocd/postsync.yaml");
    let command = template.lines().find_map(|line| line.trim().strip_prefix("command: [")).unwrap();
    let command: Vec<&str> = command.trim_end_matches(']').split(", ").collect();
    let [shell, script, phase] = command[..] else { panic!("{command:?}") };
    assert_eq!((shell, script), ("sh", "/driftd/deliver.sh"));
    let mut job = host.machine(shell, "");
    job.arg(repository("docs/integrations/deliver.sh")).arg(phase);
    for item in items(&block(&template, "env:")) {
        let item = item.trim_start_matches("{ name: ").trim_end_matches(" }");
        let (name, value) = item.split_once(", value: ").unwrap();
        let value = match name {
            "DRIFTD_URL" => host.url.clone(),
            "DRIFTD_CA" => host.ca().display().to_string(),
            "DRIFTD_SECRET_FILE" => host.path("secret").display().to_string(),
            "DRIFTD_COMMIT" => COMMIT.to_owned(),
            _ => value.to_owned(),
        };
        job.env(name, value);
    }
    ends(&mut job, 0);
    let told = host.told("deployment");
    assert_eq!((&told["app"], &told["environment"]), (&"web-backend".into(), &"production".into()));
}

#[test]
fn what_argo_cds_notifications_send_is_taken_and_a_rollback_has_its_window() {
    let token = "b7a1c0ffee";
    let senders = "senders: { argo: { sender: argocd, tokens: DIR/token } }";
    let host = Host::start_with(IN_SYNC, &[("token", token)], senders);
    let template = text("docs/integrations/argocd/notifications.yaml");
    let path = template.lines().find_map(|line| line.trim().strip_prefix("url: ")).unwrap();
    assert!(path.ends_with("/webhook/gitops/argo"), "{path}");
    let header = block(&template, "headers:").replace("$driftd-token", token);
    let header: Vec<&str> = header.lines().take(2).map(|line| line.split_once(": ").unwrap().1).collect();
    // By what they are told of once: each sync has its own.
    assert_eq!(template.matches("oncePer: app.status?.operationState.startedAt\n").count(), 3);
    // To the next revision, back, and the same again. What runs has no end, and Go says so in its own words.
    let syncs = [(COMMIT, "10:14"), (NEXT, "10:15"), (COMMIT, "10:16"), (COMMIT, "10:17")];
    let phases = syncs.into_iter().flat_map(|(commit, at)| {
        let (began, ended) = (format!("2026-08-01T{at}:00Z"), format!("2026-08-01T{at}:41Z"));
        [
            ("Running", "Progressing", "started", commit, began.clone(), "<no value>".to_owned()),
            ("Succeeded", "Healthy", "finished", commit, began, ended),
        ]
    });
    for (phase, health, status, commit, began, ended) in phases {
        let mut body = block(&template, "body: |");
        for (placeholder, value) in [
            ("{{.app.metadata.name}}", "web-backend"),
            ("{{.app.spec.destination.namespace}}", "production"),
            ("{{.app.spec.source.repoURL}}", "https://git.example/acme/web.git"),
            ("{{.app.spec.source.targetRevision}}", "main"),
            ("{{with .app.status.operationState.syncResult}}{{.revision}}{{end}}", commit),
            (
                "{{with .app.status.operationState.syncResult}}{{toJson .revisions}}{{else}}null{{end}}",
                "null",
            ),
            ("{{.app.status.operationState.phase}}", phase),
            ("{{.app.status.health.status}}", health),
            ("{{.app.status.operationState.startedAt}}", &began),
            ("{{.app.status.operationState.finishedAt}}", &ended),
        ] {
            assert!(body.contains(placeholder), "{placeholder}");
            body = body.replace(placeholder, value);
        }
        assert!(!body.contains("{{"), "{body}");
        let mut curl = host.machine("curl", "");
        curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(host.ca());
        curl.args(["-H", &header.join(": "), "--data-binary", &body]).arg(format!("{}/argo", host.url));
        let (said, _) = ends(&mut curl, 0);
        assert!(said.contains(r#""status":"accepted""#), "{said}");
        let told = host.told("deployment");
        assert_eq!((&told["status"], &told["commit"]), (&status.into(), &commit.into()));
        assert_eq!((&told["app"], &told["environment"]), (&"web-backend".into(), &"production".into()));
    }
}

#[test]
fn what_the_provider_of_flux_sends_is_taken() {
    let senders = "senders: { flux: { secrets: DIR/secret } }";
    let host = Host::start_with(IN_SYNC, &[("secret", SECRET)], senders);
    let template = text("docs/integrations/flux/driftd.yaml");
    assert!(
        template.contains("type: generic-hmac\n  address: https://db1.example:8443/webhook/gitops/flux\n")
    );
    let body = repository("tests/fixtures/payloads/flux-kustomization-reconciliationsucceeded.json");
    let mut openssl = host.machine("openssl", "");
    let (digest, _) = ends(openssl.args(["dgst", "-sha256", "-hmac", SECRET]).arg(&body), 0);
    let digest = digest.trim().rsplit(' ').next().unwrap();
    let mut curl = host.machine("curl", "");
    curl.args(["--silent", "--show-error", "--cacert"]).arg(host.ca());
    curl.args(["-H", "Gotk-Component: kustomize-controller", "-H", &format!("X-Signature: sha256={digest}")]);
    curl.arg("--data-binary").arg(format!("@{}", body.display())).arg(format!("{}/flux", host.url));
    let (said, _) = ends(&mut curl, 0);
    // The fixture is of another day, and signed: it is authentic and too old to count.
    assert!(said.contains(r#""status":"ignored""#) && said.contains("five minutes"), "{said}");
}

#[test]
fn the_steps_in_the_documents_deliver_as_they_stand_there() {
    let host = Host::start(IN_SYNC);
    let mut steps = 0;
    for document in ["docs/webhooks.md", "README.md"] {
        let document = text(document);
        let scripts = document.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        for script in scripts.filter(|script| script.contains("curl -f")) {
            let script = script.replace("driftd sign", &format!("{} sign", env!("CARGO_BIN_EXE_driftd")));
            let address = host.url.strip_suffix("/webhook/gitops").unwrap();
            let script = ["https://HOST:8443", "https://host:8787"]
                .iter()
                .fold(script, |script, shown| script.replace(shown, address))
                .replace("/etc/driftd/secret", host.path("secret").to_str().unwrap());
            for name in ["certificate.pem", "driftd.pem"] {
                std::fs::copy(host.ca(), host.path(name)).unwrap();
            }
            let mut command = host.machine("sh", "");
            command.args(["-e", "-c", &script]).env("DRIFTD_SECRET", SECRET);
            command.envs([("COMMIT", format!("aaaaaa{steps}")), ("RUN", steps.to_string())]);
            ends(command.env("RUN_ID", steps.to_string()), 0);
            assert_eq!(host.told("deployment")["status"], "finished");
            steps += 1;
        }
    }
    assert_eq!(steps, 2);
}
