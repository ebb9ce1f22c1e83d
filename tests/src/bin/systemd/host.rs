//! What a person types on the host, and the unit with a configuration.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The configuration of the unit.
const CONFIG: &str = "/etc/driftd/driftd.yaml";

/// What each configuration begins with.
const HEAD: &str =
    "state: /var/lib/driftd\nwebhook: { listen: \"127.0.0.1:8443\", secrets: /etc/driftd/plain.secret }\n";

/// Types a line into a shell; what it said, and how it ended.
pub fn typed(line: &str) -> Output {
    let mut shell = Command::new("bash");
    shell.args(["-euc", &format!("set -o pipefail; {line}")]).env("LC_ALL", "C").stdin(Stdio::null());
    shell.output().expect("there is a shell")
}

/// The same where it must end well: what it said on its standard output.
#[track_caller]
pub fn sh(line: &str) -> String {
    let output = typed(line);
    assert!(output.status.success(), "`{line}` failed, {}:\n{}", output.status, both(&output));
    String::from_utf8(output.stdout).expect("text is said")
}

/// The same where it says JSON.
#[track_caller]
pub fn json(line: &str) -> Value {
    let said = sh(line);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("`{line}` said no JSON: {error}: {said}"))
}

/// All that was said.
pub fn both(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Writes a configuration with this in it.
pub fn configure(rest: &str) {
    fs::write(CONFIG, format!("{HEAD}{rest}")).expect("the configuration can be written");
}

/// Starts the unit with a configuration with this in it, and an empty store. The certificate stays, because to make one
/// takes long.
#[track_caller]
pub fn start_with(rest: &str) {
    sh("systemctl stop driftd && systemctl reset-failed
        find /var/lib/driftd -mindepth 1 -maxdepth 1 ! -name tls -exec rm -r {} +");
    configure(rest);
    let started = typed("systemctl start driftd");
    assert!(
        started.status.success(),
        "the unit does not start:\n{}",
        sh("journalctl -u driftd -o cat -n 20")
    );
}

/// A property of a unit, as systemd shows it.
#[track_caller]
pub fn property(unit: &str, name: &str) -> String {
    sh(&format!("systemctl show --property={name} --value {unit}")).trim().to_owned()
}

/// Delivers a deployment of this commit as docs/webhooks.md says, signed by openssl and sent by curl, and waits for its
/// verdict: the answer.
#[track_caller]
pub fn deliver(commit: &str) -> Value {
    json(&format!(
        r#"SECRET=$(cat /etc/driftd/plain.secret)
           printf '{{"commit":"{commit}","app":"web-backend","timestamp":%s}}' "$(date +%s)" > /tmp/body
           HEADER=$(printf 'X-Hub-Signature-256: sha256=%s\n' "$(openssl dgst -sha256 -hmac "$SECRET" /tmp/body | sed 's/.* //')")
           curl --silent --show-error --fail-with-body --cacert /var/lib/driftd/tls/certificate.pem \
               'https://localhost:8443/webhook/gitops?wait=60' -H "$HEADER" --data-binary @/tmp/body"#
    ))
}
