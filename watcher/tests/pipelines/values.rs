//! Values that come with a message, from the step of docs/webhooks.md to the finding, and over a restart.

use crate::host::{Host, IN_SYNC, SECRET, ends};

/// Signs a message with a value and sends it; `$1` is the application, `$2` the commit, `$3` the value.
const STEP: &str = r#"
body=$(printf '{"commit":"%s","app":"%s","id":"%s","timestamp":%s,"declared":{"kernel.osrelease":"%s"}}' \
    "$2" "$1" "$2-$3" "$(date +%s)" "$3")
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$DRIFTD_SECRET" | sed 's/.* //')
curl -sS --cacert "$DRIFTD_CA" -o /dev/null -w '%{http_code}' \
    -H "X-Hub-Signature-256: sha256=$signature" -d "$body" "$DRIFTD_URL?wait=60"
"#;

/// What is answered to a message with the value of a key that nobody can write.
#[track_caller]
fn sent(host: &Host, app: &str, commit: &str, value: &str) -> String {
    let mut step = host.machine("sh", "");
    step.args(["-c", STEP, "step", app, commit, value]);
    step.env("DRIFTD_URL", &host.url).env("DRIFTD_CA", host.ca()).env("DRIFTD_SECRET", SECRET);
    ends(&mut step, 0).0
}

#[test]
fn values_are_judged_with_their_deployment_and_still_after_a_crash() {
    let senders = "senders: { plain: { secrets: DIR/secret, declared: true } }";
    let mut host = Host::start_with(IN_SYNC, &[("secret", SECRET)], senders);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(sent(&host, "web", "a1b2c3", release.trim_end()), "200");
    assert_eq!(host.told("verdict")["keys"], 2, "the rule's and the one that came");
    assert_eq!(sent(&host, "web", "b1b2c3", "Plan9"), "409");
    let finding = host.told("finding");
    assert_eq!(finding["declared_by"]["file"], "webhook:web");
    assert_eq!((&finding["expected"], &finding["declared_commit"]), (&"Plan9".into(), &"b1b2c3".into()));
    host.start_again();
    let key = host.told("sweep")["keys"].clone();
    assert_eq!(key, 2, "what came is still declared");
    // The next one of the application has its own.
    assert_eq!(sent(&host, "web", "c1b2c3", release.trim_end()), "200");
    assert_eq!(host.told("finding")["state"], "healed");
}

#[test]
fn values_of_a_sender_that_may_not_declare_are_refused_and_nothing_is_delivered() {
    let host = Host::start(IN_SYNC);
    assert_eq!(sent(&host, "web", "a1b2c3", "Plan9"), "403");
    assert!(host.log().contains("`declared` came with the message, and `plain` may not send it"));
}
