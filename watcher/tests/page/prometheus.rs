//! What Prometheus reads, as its own `promtool` (Debian's package `prometheus`) judges it, where there is one.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::daemon::Daemon;

/// Runs `promtool` with an input; what it complained of, if it did.
fn promtool(arguments: &[&str], input: &str) -> Option<Result<(), String>> {
    let tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        eprintln!("no promtool here: what Prometheus reads is not tried");
        return None;
    };
    tool.stdin.take().expect("it has an input").write_all(input.as_bytes()).expect("it reads");
    let said = tool.wait_with_output().expect("it ends");
    let text = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Some(if said.status.success() { Ok(()) } else { Err(text) })
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let Some(daemon) = Daemon::start(10) else { return };
    daemon.deliver(r#"{"commit":"a1b2c3d4e5f6","app":"web-backend","id":"1"}"#);
    let metrics = daemon.get("metrics");
    assert!(metrics.contains("\ndriftd_deployments_total{status=\"finished\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\ndriftd_deployment_timestamp_seconds "), "{metrics}");
    if let Some(said) = promtool(&["check", "metrics"], &metrics) {
        assert_eq!(said, Ok(()));
    }
    // One that it should complain of, so that its silence means something.
    let bad = "# TYPE driftd_losses counter\ndriftd_losses 1\n";
    if let Some(said) = promtool(&["check", "metrics"], bad) {
        assert!(said.is_err(), "promtool takes a counter that is not `_total`");
    }
}

#[test]
fn promtool_takes_the_alert_rules_and_they_fire_when_they_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrations/prometheus");
    for (check, file) in [("check", "driftd.rules.yaml"), ("test", "driftd.rules.test.yaml")] {
        let file = rules.join(file);
        if let Some(said) = promtool(&[check, "rules", &file.to_string_lossy()], "") {
            assert_eq!(said, Ok(()), "{}", file.display());
        }
    }
}
