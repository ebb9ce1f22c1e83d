//! What `driftd init` makes and prints, tried: the daemon runs with it, and the step that is printed delivers.

use std::{fs, process::Command};

use crate::host::{Host, ends};

#[test]
fn what_init_makes_runs_and_the_steps_it_prints_deliver() {
    for (sender, suffix) in [("plain", ""), ("cloudevents", "/cloudevents")] {
        let dir = tempfile::Builder::new().prefix("init-").tempdir().unwrap();
        let config = dir.path().join("driftd.yaml");
        let mut init = Command::new(env!("CARGO_BIN_EXE_driftd"));
        init.args(["init", "--sender", sender, "--listen", "127.0.0.1:0", "--config"]).arg(&config);
        let (said, _) = ends(init.arg("--state").arg(dir.path().join("state")), 0);
        let made = fs::read_to_string(&config).unwrap();
        let socket = dir.path().join("driftd.sock");
        fs::write(&config, format!("{made}probes: none\nsocket: {}\n", socket.display())).unwrap();
        let host = Host::run(dir, &config);
        let step = said.split_once("try it from here:\n\n").unwrap().1.split("\n\n").next().unwrap();
        let driftd = format!("{} sign", env!("CARGO_BIN_EXE_driftd"));
        let step = step.replace("driftd sign", &driftd);
        assert!(step.contains("https://127.0.0.1:0/webhook/gitops"), "{step}");
        let step = step.replace(
            &format!("https://127.0.0.1:0/webhook/gitops{suffix}"),
            &format!("{}{suffix}", host.url),
        );
        ends(host.machine("sh", "").args(["-e", "-c", &step]), 0);
        // A deployment without `started` would keep the host from reverting by rule.
        for status in ["started", "finished"] {
            let told = host.told("deployment");
            assert_eq!((&told["app"], &told["status"]), (&"web".into(), &status.into()));
        }
    }
}
