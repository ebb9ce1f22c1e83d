//! A repository that declares, from the commit to the finding that names it, over refusals and a restart.

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::host::{Host, IN_SYNC, SECRET, ends};

/// The step of docs/rules.md, after a merge: `$1` is the application, `$2` the commit.
const STEP: &str = r#"
body=$(printf '{"commit":"%s","app":"%s","id":"%s","timestamp":%s}' "$2" "$1" "$1-$2" "$(date +%s)")
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$DRIFTD_SECRET" | sed 's/.* //')
curl -sS --cacert "$DRIFTD_CA" -w '\n%{http_code}' \
    -H "X-Hub-Signature-256: sha256=$signature" -d "$body" "$DRIFTD_URL?wait=60"
"#;

/// What is answered to the deployment of a commit: the code, and the verdict.
#[track_caller]
fn deployed(host: &Host, app: &str, commit: &str) -> (String, Value) {
    let mut step = host.machine("sh", "");
    step.args(["-c", STEP, "step", app, commit]);
    step.env("DRIFTD_URL", &host.url).env("DRIFTD_CA", host.ca()).env("DRIFTD_SECRET", SECRET);
    let said = ends(&mut step, 0).0;
    let (body, code) = said.rsplit_once('\n').expect("the code is on a line of its own");
    (code.to_owned(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

/// How things stand on a host that is out of sync.
#[track_caller]
fn status(host: &Host) -> Value {
    let mut status = host.machine(env!("CARGO_BIN_EXE_driftd"), "");
    status.args(["status", "--format", "json", "--config"]).arg(host.path("driftd.yaml"));
    serde_json::from_str(&ends(&mut status, 1).0).unwrap()
}

/// A repository that is served, and a directory of who commits to it.
struct Infra(TempDir);

impl Infra {
    fn new() -> Infra {
        let infra = Infra(tempfile::tempdir().unwrap());
        infra.git(".", &["init", "-q", "--bare", "-b", "main", "infra.git"]);
        infra.git(".", &["clone", "-q", "infra.git", "work"]);
        infra.git("work", &["checkout", "-q", "-B", "main"]);
        fs::create_dir_all(infra.0.path().join("work/hosts/db")).unwrap();
        infra
    }

    #[track_caller]
    fn git(&self, directory: &str, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.0.path().join(directory)).args(arguments);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        ends(&mut git, 0).0.trim_end().to_owned()
    }

    /// Commits what is declared, and pushes it to a branch. The commit.
    #[track_caller]
    fn commit(&self, branch: &str, text: &str) -> String {
        fs::write(self.0.path().join("work/hosts/db/kernel.yaml"), text).unwrap();
        self.git("work", &["add", "-A"]);
        self.git("work", &["commit", "-q", "-m", "m"]);
        self.git("work", &["push", "-q", "origin", &format!("HEAD:{branch}")]);
        self.git("work", &["rev-parse", "HEAD"])
    }

    /// A host that is judged by it.
    #[track_caller]
    fn host(&self) -> Host {
        let source = format!(
            "secrets: DIR/secret\ndeclared_from:\n- git: {{ repository: {}/infra.git, path: hosts/db/kernel.yaml, \
             ref: main, app: infra }}",
            self.0.path().display()
        );
        Host::start_with(IN_SYNC, &[("secret", SECRET)], &source)
    }
}

#[test]
fn a_deployment_brings_the_baseline_of_its_own_commit_and_the_finding_names_it() {
    let infra = Infra::new();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let first = infra.commit("main", &format!("kernel.osrelease: {release}"));
    let second = infra.commit("main", "# the next system\nkernel.osrelease: Plan9\n");
    let mut host = infra.host();
    // Before any deployment the head declares.
    let finding = host.told("finding");
    assert_eq!(
        (&finding["expected"], &finding["declared_commit"]),
        (&"Plan9".into(), &second.clone().into())
    );
    // The commit that is delivered counts, and not the head.
    assert_eq!(deployed(&host, "infra", &first[..10]).0, "200");
    assert_eq!(host.told("finding")["state"], "healed");
    let (code, verdict) = deployed(&host, "infra", &second);
    assert_eq!((&*code, &verdict["status"]), ("409", &"OUT_OF_SYNC".into()));
    let finding = host.told("finding");
    assert_eq!(finding["declared_by"], serde_json::json!({"file": "hosts/db/kernel.yaml", "line": 2}));
    assert_eq!(
        (&finding["expected"], &finding["declared_commit"]),
        (&"Plan9".into(), &second.clone().into())
    );
    // The first message again is a retry: it moves nothing, now or later.
    assert_eq!(deployed(&host, "infra", &first[..10]).0, "409");
    // Another application's commit is of another repository.
    let (_, verdict) = deployed(&host, "web", "0123456789");
    assert_eq!(verdict["broken"], Value::Null, "{verdict}");
    assert_eq!(verdict["findings"][0]["declared_commit"], second);

    let mut explain = host.machine(env!("CARGO_BIN_EXE_driftd"), "");
    explain.args(["explain", "kernel.osrelease", "--config"]).arg(host.path("driftd.yaml"));
    let said = ends(&mut explain, 1).0;
    let place = format!("rule declared: Plan9 (hosts/db/kernel.yaml:2 of commit {}), departs", &second[..12]);
    assert!(said.contains(&place), "{said}");

    // What nobody merged changes nothing, and the verdict says so; also after a restart.
    let evil = infra.commit("topic", &format!("kernel.osrelease: {release}"));
    let (code, verdict) = deployed(&host, "infra", &evil);
    assert_eq!(code, "409");
    let broken = verdict["broken"].as_str().expect("it says why");
    assert!(broken.contains(&format!("the commit {evil} is neither the head of main")), "{broken}");
    assert_eq!(verdict["findings"][0]["declared_commit"], second);
    host.start_again();
    assert_eq!(host.told("sweep")["keys"], 2, "what was taken before is still declared");
    let status = status(&host);
    assert!(status["broken"].as_str().is_some_and(|why| why.contains("neither the head")), "{status}");
    assert_eq!(status["findings"][0]["declared_commit"], second);

    // Merged, it counts.
    infra.git("work", &["push", "-q", "origin", "HEAD:main"]);
    let third = infra.commit("main", &format!("\nkernel.osrelease: {release}"));
    let (code, verdict) = deployed(&host, "infra", &third);
    assert_eq!((&*code, &verdict["broken"]), ("200", &Value::Null), "{verdict}");
}

#[test]
fn a_commit_with_a_mistake_leaves_the_baseline_there_was_with_every_mistake_told() {
    let infra = Infra::new();
    let good = infra.commit("main", "kernel.osrelease: Plan9\n");
    let bad = infra.commit("main", "kernel.osrelease: [1]\nkernel.core_pattern: x\nswappiness: 1\n");
    let host = infra.host();
    let keys = host.told("sweep")["keys"].clone();
    assert_eq!(keys, 1, "a head with a mistake declares nothing, and the rest is watched");
    assert_eq!(deployed(&host, "infra", &good).1["broken"], Value::Null);
    let (code, verdict) = deployed(&host, "infra", &bad);
    let broken = verdict["broken"].as_str().expect("it says why").to_owned();
    assert_eq!(code, "409");
    assert!(
        broken.contains("hosts/db/kernel.yaml:1:19") && broken.contains("hosts/db/kernel.yaml:3:1"),
        "{broken}"
    );
    assert!(!broken.contains("osrelease: [1]"), "no line of the file: {broken}");
    assert_eq!(verdict["findings"][0]["declared_commit"], good);
}

#[test]
fn a_repository_that_cannot_be_had_keeps_nobody_from_starting_and_counts_when_it_can() {
    let infra = Infra::new();
    let head = infra.commit("main", "kernel.osrelease: Plan9\n");
    fs::rename(infra.0.path().join("infra.git"), infra.0.path().join("away.git")).unwrap();
    let host = infra.host();
    assert_eq!(host.told("sweep")["keys"], 1, "the rest is watched");
    assert!(status(&host)["broken"].as_str().is_some_and(|why| why.contains("infra.git")));
    fs::rename(infra.0.path().join("away.git"), infra.0.path().join("infra.git")).unwrap();
    host.hang_up();
    assert_eq!(host.told("finding")["declared_commit"], head);
    assert_eq!(status(&host)["broken"], Value::Null);
}
