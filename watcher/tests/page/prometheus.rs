//! What Prometheus reads, as its own `promtool` (Debian's package `prometheus`) judges it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::daemon::Daemon;

/// Runs `promtool` with an input; what it complained of, if it did.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a promtool; hint: `cargo xtask test` installs it");
    tool.stdin.take().expect("it has an input").write_all(input.as_bytes()).expect("it reads");
    let said = tool.wait_with_output().expect("it ends");
    let text = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    if said.status.success() { Ok(()) } else { Err(text) }
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let daemon = Daemon::start(10);
    daemon.deliver(r#"{"commit":"a1b2c3d4e5f6","app":"web-backend","id":"1"}"#);
    let metrics = daemon.get("metrics");
    assert!(metrics.contains("\ndriftd_deployments_total{status=\"finished\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\ndriftd_deployment_timestamp_seconds "), "{metrics}");
    assert_eq!(promtool(&["check", "metrics"], &metrics), Ok(()));
    // One that it should complain of, so that its silence means something.
    let bad = "# TYPE driftd_losses counter\ndriftd_losses 1\n";
    assert!(promtool(&["check", "metrics"], bad).is_err(), "promtool takes a counter that is not `_total`");
}

#[test]
fn promtool_takes_the_alert_rules_and_they_fire_when_they_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrations/prometheus");
    for (check, file) in [("check", "driftd.rules.yaml"), ("test", "driftd.rules.test.yaml")] {
        let file = rules.join(file);
        let said = promtool(&[check, "rules", &file.to_string_lossy()], "");
        assert_eq!(said, Ok(()), "{}", file.display());
    }
}
