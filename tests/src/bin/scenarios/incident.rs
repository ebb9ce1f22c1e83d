//! One incident from its first cause to its end, as docs/incident.md tells it and with the rules that stand there: a
//! service has a limit of 2 GiB, until it has none, on a host that comes to promise everybody everything.

use std::fs;

use driftd_tests::{
    daemon::{Home, Settings, is_opened},
    host::{Service, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    claim: "a_service_without_its_limit_on_a_host_that_overcommits_is_six_findings_of_one_deployment",
    modes: &[Mode::Kprobe, Mode::None],
    needs: Needs::Vm,
    run: incident,
}];

/// The rules of docs/incident.md.
const RULES: &str = include_str!("../../../fixtures/incident.yaml");

/// What departs, in the order of the rules: key, what is expected, and what it is where that is one value.
const ROWS: [(&str, &str, Option<&str>); 6] = [
    ("/sys/fs/cgroup/system.slice/mysql.service/memory.max", "2147483648", Some("max")),
    ("/sys/fs/cgroup/system.slice/mysql.service/memory.high", "max", Some("67108864")),
    (OVERCOMMIT, "0", Some("1")),
    ("/proc/meminfo:Committed_AS", "at most 95% of /proc/meminfo:CommitLimit", None),
    ("/proc/[pid]/stat:state=D", "at most 0", None),
    ("/proc/pressure/memory:some.avg10", "at most 20", None),
];

const OVERCOMMIT: &str = "vm.overcommit_memory";

/// Why what somebody wrote departs.
const AFTER: &str = "changed after the deploy";

fn incident(mode: Mode) {
    let rules = RULES.strip_prefix("drift_rules:\n  ").expect("it is the section of the rules");
    let policy = Sysctl::of(OVERCOMMIT);
    assert_eq!(policy.original, "0", "as the kernel starts");
    let mysql = Service::with("memory", "mysql.service", "mysqld");
    fs::write(mysql.file("memory.max"), "2G").expect("root may limit a cgroup");
    let home =
        Home::new(mode, &Settings { sweep: Some("1s"), ..Settings::rules(&[rules.trim_end().to_owned()]) });
    let mut driftd = home.start();
    let body = r#"{"commit":"4f2a9c1","app":"db","id":"812","phase":"finished"}"#;
    let delivered = driftd.post("?wait=30", body);
    assert_eq!((delivered.status, delivered.body["status"].as_str()), (200, Some("SYNCED")), "{delivered:?}");
    let deployment = &delivered.body["deployment"];
    driftd.mark();

    // Kubernetes comes to the host, and wants no request for memory to be refused (pkg/kubelet/cm, `setupKernelTunables`).
    let kubelet = Service::new("kubelet.service", "kubelet");
    let by = kubelet.write(&[(policy.path(), "1")]);
    // Somebody has the service braked rather than killed: `systemctl set-property --runtime mysql.service
    // MemoryMax=infinity MemoryHigh=64M`.
    fs::write(mysql.file("memory.max"), "max").expect("root may limit a cgroup");
    fs::write(mysql.file("memory.high"), "64M").expect("root may limit a cgroup");
    // The service asks for more than there is, gets it, and uses it.
    let mysqld = mysql.fill(4 << 30);

    let findings = ROWS.map(|(key, expected, actual)| {
        let opened = driftd.wait_for(&format!("a finding of {key}"), |line| is_opened(line, key));
        assert_eq!(opened["expected"], expected, "{opened}");
        if let Some(actual) = actual {
            assert_eq!((&opened["actual"], &opened["cause"]), (&actual.into(), &AFTER.into()), "{opened}");
        }
        assert_eq!((&opened["commit"], &opened["deployment"]), (&"4f2a9c1".into(), deployment), "{opened}");
        opened
    });
    let [_, _, overcommit, _, stuck, _] = &findings;
    if mode == Mode::Kprobe {
        let writer = &overcommit["writer"];
        assert_eq!(
            (&writer["pid"], &writer["unit"]),
            (&by.into(), &"kubelet.service".into()),
            "{overcommit}"
        );
    }
    assert_eq!(stuck["detail"], format!("mysqld ({})", mysqld.pid()), "{stuck}");

    // All of it is one story, asked for by the deployment.
    let id = deployment.as_str().expect("it has an id");
    let story = home.command(&["deployments", id, "--format", "json"]).stdout;
    let story: Value = serde_json::from_slice(&story).expect("it is JSON");
    let told = story["events"].as_array().expect("it has events");
    for finding in &findings {
        // Not how it ended: between two pages the process runs, and a sweep at that moment heals its finding early.
        let opened = |line: &&Value| line["state"] == "opened" && line["finding"] == finding["finding"];
        assert_eq!(told.iter().filter(opened).count(), 1, "{finding}\n{story:#}");
    }
    drop(mysqld);
    policy.restore();
    fs::write(mysql.file("memory.max"), "2G").expect("root may limit a cgroup");
    fs::write(mysql.file("memory.high"), "max").expect("root may limit a cgroup");
    for finding in &findings {
        let healed = driftd
            .wait_for("its end", |line| line["state"] == "healed" && line["finding"] == finding["finding"]);
        assert_eq!(healed["deployment"], *deployment, "{healed}");
    }
}
