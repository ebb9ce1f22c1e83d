//! Real trees and files read whole: what the programs themselves made of them is recorded beside them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Declared, Loaded, Wanted,
    file::Root,
    load,
    load::{host as host_sysctls, read},
};
use crate::{
    declared::{
        Committed, CommittedFile, Declaration, Git, Kind, Repository, Request, Target, held, sysctl::Applier,
    },
    kernel::Interfaces,
    model::{Expectation, Key},
    test_host::host,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/baselines")
}

/// The value of each key after what the recorded program wrote, in the spelling of this product. Writes of what is no
/// key are left out: `sysctl` lists them as not understood.
fn recorded(file: &str) -> BTreeMap<Key, String> {
    let text = fs::read_to_string(fixtures().join("sysctl.d").join(file)).unwrap();
    let mut held = BTreeMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(" = ").unwrap();
        // procps shows a name that began with a separator so.
        if let Ok(Target::Key(key)) = Target::sysctl(name.trim_start_matches('.')) {
            held.insert(key, value.to_owned());
        }
    }
    held
}

#[track_caller]
fn check_recorded(kind: Kind, applier: Applier, file: &str, not_understood: &[&str]) {
    let root = Root::open(&fixtures().join("sysctl.d/root")).unwrap();
    let parsed = host_sysctls(applier, &root).unwrap();
    let keys = fs::read_to_string(fixtures().join("sysctl.d/keys")).unwrap();
    let keys: Vec<Key> = keys.lines().map(|name| Key::sysctl(name).unwrap()).collect();
    let mut held = held(kind, &parsed.lines, &keys);
    let mut recorded = recorded(file);
    // What is not there is declared all the same; procps says nothing of it.
    if kind == Kind::Procps {
        held.retain(|key, _| !key.to_string().contains("absent"));
        recorded.retain(|key, _| !key.to_string().contains("absent"));
    }
    assert_eq!(held, recorded);
    let told: Vec<String> = parsed.not_understood.iter().map(|line| line.source.to_string()).collect();
    assert_eq!(told, not_understood);
}

#[test]
fn the_sysctl_d_of_a_host_holds_as_systemd_sysctl_applied_it() {
    let not_understood = [
        "/etc/sysctl.d/28-directory.conf:1",
        "/etc/sysctl.d/30-spelling.conf:12",
        "/etc/sysctl.d/30-spelling.conf:15",
        "/etc/sysctl.d/30-spelling.conf:19",
        "/etc/sysctl.d/30-spelling.conf:20",
    ];
    check_recorded(Kind::SysctlD, Applier::Systemd, "systemd-252", &not_understood);
}

#[test]
fn the_sysctl_d_of_a_host_holds_as_procps_applied_it() {
    let not_understood = [
        "/etc/sysctl.d/28-directory.conf:1",
        "/etc/sysctl.d/30-spelling.conf:12",
        "/etc/sysctl.d/30-spelling.conf:15",
        // `- kernel.spaced_ignored` is read by systemd alone.
        "/etc/sysctl.d/30-spelling.conf:18",
        "/etc/sysctl.d/30-spelling.conf:19",
        "/etc/sysctl.d/30-spelling.conf:20",
        // Exclusions with patterns.
        "/etc/sysctl.d/50-later.conf:17",
        "/etc/sysctl.d/50-later.conf:23",
    ];
    check_recorded(Kind::Procps, Applier::Procps, "procps-4.0.2", &not_understood);
}

fn declared(loaded: &Loaded) -> Vec<String> {
    let shown = |declaration: &Declaration| {
        let value = match &declaration.expectation {
            Expectation::Equal(value) => format!("= {value}"),
            Expectation::Range { min: Some(min), max: None } => format!(">= {min}"),
            Expectation::Range { min: None, max: Some(max) } => format!("<= {max}"),
            other => format!("{other:?}"),
        };
        format!("{} {value}", declaration.key)
    };
    loaded.baseline.in_force().map(shown).collect()
}

#[test]
fn patterns_match_the_keys_there_are() {
    let disk = |name: &str, removable: &str| {
        vec![
            (format!("sys/block/{name}/queue/scheduler"), "[none]\n".to_owned()),
            (format!("sys/block/{name}/queue/read_ahead_kb"), "128\n".to_owned()),
            (format!("sys/block/{name}/removable"), format!("{removable}\n")),
        ]
    };
    let mut files = [disk("sda", "0"), disk("sr0", "1"), disk("loop0", "0")].concat();
    for name in ["sda", "sr0"] {
        files.push((format!("sys/block/{name}/device/vendor"), "x\n".into()));
    }
    for cpu in ["cpu0", "cpu11", "cpufreq"] {
        files.push((format!("sys/devices/system/cpu/{cpu}/cpufreq/scaling_governor"), "powersave\n".into()));
    }
    files.push(("proc/sys/net/ipv4/conf/eth0.100/rp_filter".into(), "0\n".into()));
    files.push(("proc/sys/net/ipv4/conf/.hidden/rp_filter".into(), "0\n".into()));
    files.push(("proc/sys/net/ipv4/conf/all/other".into(), "0\n".into()));
    files.push(("sys/class/net/eth0/mtu".into(), "1500\n".into()));
    files.push((
        "a/tuned.conf".into(),
        "[cpu]\ngovernor=performance\n[disk]\nelevator=mq-deadline\nreadahead=>4096\n".into(),
    ));
    files.push(("a.conf".into(), "net.ipv4.conf.*.rp_filter = 1\n".into()));
    files.push(("a.yaml".into(), "/sys/class/net/eth*/mtu: 9000\n".into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let root = host(&files);
    let requests = [("a/tuned.conf", Kind::Tuned), ("a.conf", Kind::SysctlD), ("a.yaml", Kind::Declared)]
        .map(|(path, kind)| Request::File { kind, path: root.path().join(path) });
    let loaded = load(&requests, root.path()).unwrap();
    assert_eq!(
        declared(&loaded),
        [
            "net.ipv4.conf.eth0/100.rp_filter = 1",
            "link.eth0.mtu = 9000",
            "/sys/block/sda/queue/read_ahead_kb >= 4096",
            "/sys/block/sda/queue/scheduler = mq-deadline",
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor = performance",
            "/sys/devices/system/cpu/cpu11/cpufreq/scaling_governor = performance",
        ]
    );
}

#[test]
fn a_profile_is_found_by_its_name_with_those_it_includes() {
    let root = fixtures().join("tuned/root");
    let request = Request::File { kind: Kind::Tuned, path: "database".into() };
    let loaded = load(&[request], &root).unwrap();
    insta::assert_snapshot!(declared(&loaded).join("\n"), @r"
    fs.file-max >= 1048576
    kernel.pid_max <= 4194304
    net.ipv4.tcp_rmem = 4096 131072 16777216
    vm.dirty_bytes = 536870912
    vm.max_map_count = 262144
    vm.swappiness = 1
    /sys/kernel/mm/transparent_hugepage/enabled = never
    /sys/module/nvme_core/parameters/io_timeout = 4294967295
    ");
    let told: Vec<String> = loaded.not_understood.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    /usr/lib/tuned/base/tuned.conf:6: `files=${f:exec:nproc}` is not understood: the function `f:exec` asks the host: not evaluated
    /usr/lib/tuned/base/tuned.conf:20: `kernel.numa_balancing=0` is not understood: the section applies only where `uname_regex=aarch64` matches: not evaluated
    /usr/lib/tuned/base/tuned.conf:23: `cmdline=+quiet` is not understood: the plugin `bootloader` is none of sysctl, sysfs, vm, cpu, disk
    /etc/tuned/database/tuned.conf:3: `include=nowhere` is not understood: no such profile is found; TuneD would refuse this one
    /etc/tuned/database/tuned.conf:7: `fs.aio-max-nr=${files}` is not understood: `${files}` has no value: the function `f:exec` asks the host: not evaluated
    ");
    let missing = Request::File { kind: Kind::Tuned, path: "no-such-profile".into() };
    insta::assert_snapshot!(load(&[missing], &root).unwrap_err(), @r"
    found no profile `no-such-profile` in `/etc/tuned/profiles`, `/etc/tuned`, `/usr/lib/tuned/profiles`, `/usr/lib/tuned`
    hint: name a profile of this host, or its file
    ");
}

#[track_caller]
fn check_refused(kind: Kind, path: &Path, wanted: &str) {
    let started = std::time::Instant::now();
    let error = load(&[Request::File { kind, path: path.to_owned() }], Path::new("/")).unwrap_err();
    assert!(error.to_string().contains(wanted), "{error}");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn what_is_no_source_gets_a_clear_error_quickly() {
    let root = host(&[("a.conf", "x"), ("deep.yaml", &"[".repeat(100_000))]);
    let path = |name: &str| root.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), 0o600.into()).unwrap();
    fs::File::create(path("large")).unwrap().set_len(100 << 20).unwrap();
    for kind in [Kind::SysctlD, Kind::Procps, Kind::Tuned, Kind::Declared] {
        check_refused(kind, &path("fifo"), "a FIFO, a socket or a device at");
        check_refused(kind, &path("large"), "bytes in");
        check_refused(kind, root.path(), "found a directory at");
        check_refused(kind, &path("nothing.conf"), "cannot read");
    }
    check_refused(Kind::Declared, &path("deep.yaml"), "well-formed YAML");
    let many: String = (0..1_001).map(|n| format!("net.a{n}*.b = 1\n")).collect();
    fs::write(path("many.conf"), many).unwrap();
    check_refused(Kind::SysctlD, &path("many.conf"), "found more than 1000 patterns");
}

#[test]
fn every_source_that_is_wrong_is_told_at_once() {
    let root = host(&[
        ("etc/sysctl.d/10-a.conf", "vm.swappiness = 1\n"),
        ("a.yaml", "vm.swappiness: {a: 1}\nvm.swap: [1]\n"),
    ]);
    for name in ["etc/sysctl.d/20-b.conf", "etc/sysctl.d/30-c.conf"] {
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join(name), 0o600.into()).unwrap();
    }
    let file = |kind, path: &str| Request::File { kind, path: path.into() };
    let (mut requests, mut committed) =
        committed("f.conf", Kind::SysctlD, "kernel.core_pattern = |/a\nkernel.modprobe = /b\n");
    let broken = CommittedFile { path: "g.yaml".into(), kind: Kind::Declared, text: "vm.swap: [1]\n".into() };
    committed[0].files.push(broken);
    requests.extend([
        file(Kind::Tuned, "no-such-profile"),
        file(Kind::Declared, "/no/such.yaml"),
        Request::Host(Applier::Systemd),
        file(Kind::Declared, &root.path().join("a.yaml").display().to_string()),
    ]);
    let told = read(&requests, &committed, root.path()).unwrap_err().to_string();
    let told = told.replace(&root.path().display().to_string(), "ROOT");
    let titles: Vec<&str> = told
        .lines()
        .filter(|line| ["found", "cannot", "error"].iter().any(|begins| line.starts_with(begins)))
        .collect();
    insta::assert_snapshot!(titles.join("\n"), @r#"
    found kernel.core_pattern, which names a program, at f.conf:1 of commit a1b2c3d4a1b2: a repository may not declare that
    found kernel.modprobe, which names a program, at f.conf:2 of commit a1b2c3d4a1b2: a repository may not declare that
    error: found a list, wanted one value, as in `"4096 131072 6291456"`
    found no profile `no-such-profile` in `/etc/tuned/profiles`, `/etc/tuned`, `/usr/lib/tuned/profiles`, `/usr/lib/tuned`
    cannot read `/no/such.yaml`: No such file or directory (os error 2)
    found a FIFO, a socket or a device at `/etc/sysctl.d/20-b.conf`, wanted a file
    found a FIFO, a socket or a device at `/etc/sysctl.d/30-c.conf`, wanted a file
    error: found a map, wanted one value, as in `"4096 131072 6291456"`
    error: found a list, wanted one value, as in `"4096 131072 6291456"`
    "#);
    assert_eq!(told.matches("hint: name a file, or remove it").count(), 2, "{told}");
}

#[test]
fn a_fifo_among_the_files_of_a_host_is_an_error_that_names_it() {
    let root = host(&[("etc/sysctl.d/10-a.conf", "vm.swappiness = 1\n")]);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("etc/sysctl.d/20-b.conf"), 0o600.into()).unwrap();
    let error = load(&[Request::Host(Applier::Systemd)], root.path()).unwrap_err();
    insta::assert_snapshot!(error, @r"
    found a FIFO, a socket or a device at `/etc/sysctl.d/20-b.conf`, wanted a file
    hint: name a file, or remove it
    ");
}

#[test]
fn a_link_of_another_host_s_tree_is_followed_inside_it() {
    let root = host(&[("etc/real.conf", "vm.swappiness = 1\n"), ("etc/sysctl.d/10-a.conf", "")]);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, root.path().join("etc/sysctl.d").join(name)).unwrap();
    };
    link("/etc/real.conf", "20-b.conf");
    link("../../../../../../../etc/passwd", "30-c.conf");
    link("/dev/null", "40-d.conf");
    let loaded = load(&[Request::Host(Applier::Systemd)], root.path()).unwrap();
    assert_eq!(declared(&loaded), ["vm.swappiness = 1"]);
    assert_eq!(loaded.not_understood, []);
}

/// A repository, and what it has at a commit.
fn committed(path: &str, kind: Kind, text: &str) -> (Vec<Request>, Vec<Committed>) {
    let git = Git::of(Repository::Local("/srv/infra.git".into()));
    let commit = "a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4".parse().unwrap();
    let files = vec![CommittedFile { path: path.into(), kind, text: text.to_owned() }];
    (vec![Request::Git(git.into())], vec![Committed { commit: Some(commit), files }])
}

#[test]
fn what_a_repository_declares_bears_its_file_its_line_and_its_commit() {
    let root = host(&[("etc/sysctl.d/a.conf", "vm.swappiness = 60\n")]);
    let (mut requests, committed) =
        committed("hosts/db/20-vm.conf", Kind::SysctlD, "# why\nvm.swappiness = 10\nx\n");
    requests.insert(0, Request::Host(Applier::Systemd));
    let wanted = Arc::new(Wanted::new(Vec::new(), requests, Vec::new()));
    let declared = Declared::read(&wanted, &committed, root.path()).unwrap();
    let rule = declared.rules.first().unwrap();
    assert_eq!(rule.source.to_string(), "hosts/db/20-vm.conf:2");
    assert_eq!(rule.commit.as_ref().unwrap().short(), "a1b2c3d4a1b2");
    assert_eq!(declared.baseline.explain(&rule.keys[0]).len(), 2);
    insta::assert_snapshot!(declared.warnings(9).join("\n"), @r#"
    vm.swappiness is declared 10 (hosts/db/20-vm.conf:2) and before that 60 (/etc/sysctl.d/a.conf:1): the last holds
    hosts/db/20-vm.conf:3: `x` is not understood: wanted `key = value`
    "#);
}

#[track_caller]
fn check_forbidden(kind: Kind, text: &str, wanted: &str) {
    let (requests, committed) = committed("f", kind, text);
    let told = read(&requests, &committed, Path::new("/")).unwrap_err().to_string();
    assert!(told.contains(wanted), "{text}: {told}");
}

#[test]
fn a_repository_says_values_and_no_program_no_secret_no_rule_and_no_remedy() {
    check_forbidden(
        Kind::SysctlD,
        "vm.swappiness = 1\nkernel.core_pattern = |/tmp/x\n",
        "kernel.core_pattern, which names a program, at f:2 of commit a1b2c3d4a1b2",
    );
    check_forbidden(Kind::Procps, "kernel.modprobe = /tmp/x\n", "names a program");
    check_forbidden(Kind::Tuned, "[sysctl]\nkernel.poweroff_cmd=/tmp/x\n", "names a program");
    check_forbidden(Kind::Declared, "/sys/kernel/uevent_helper: /tmp/x\n", "names a program");
    check_forbidden(Kind::Declared, "net.ipv6.conf.all.stable_secret: ::1\n", "which is a secret");
    check_forbidden(
        Kind::Declared,
        "drift_rules:\n  a:\n    keys: vm.swappiness\n    remedy: revert\n",
        "rules, sources and all else stand in the configuration of the host",
    );
    check_forbidden(Kind::Declared, "/sys/kernel/debug/x: 1\n", "which is outside of /sys/block");
    check_forbidden(Kind::Declared, "exec:x: 1\n", "wanted a key");
    check_forbidden(Kind::Declared, "/etc/shadow: x\n", "wanted a key");
    check_forbidden(Kind::Declared, "vm.swappiness: {remedy: revert}\n", "wanted one value");
}

#[test]
fn a_repository_declares_no_more_lines_than_a_message_values() {
    let lines = |count| (0..count).map(|n| format!("net.a.b{n} = 1\n")).collect::<String>();
    let read_two = |first, second| {
        let (requests, mut committed) = committed("a.conf", Kind::SysctlD, &lines(first));
        for kind in [Kind::SysctlD, Kind::Procps] {
            let files = &mut committed[0].files;
            files.truncate(1);
            files.push(CommittedFile { path: "b.conf".into(), kind, text: lines(second) });
            let told = read(&requests, &committed, Path::new("/")).err().map(|error| error.to_string());
            let wanted = "found more than 10000 lines with those before in `b.conf`";
            let too_many = first + second > 10_000;
            assert_eq!(
                told.is_some_and(|told| told.starts_with(wanted)),
                too_many,
                "{first} {second} {kind:?}"
            );
        }
    };
    read_two(6_000, 4_000);
    read_two(6_000, 4_001);
}

#[test]
fn a_pattern_of_a_repository_means_no_program() {
    let root = host(&[("proc/sys/kernel/core_pattern", "core\n"), ("proc/sys/kernel/core_uses_pid", "1\n")]);
    let (requests, committed) = committed("f", Kind::SysctlD, "kernel.core_* = 1\n");
    let baseline =
        read(&requests, &committed, root.path()).unwrap().resolve(&mut Interfaces::new(root.path())).unwrap();
    let keys: Vec<String> = baseline.in_force().map(|declaration| declaration.key.to_string()).collect();
    assert_eq!(keys, ["kernel.core_uses_pid"]);
}

#[test]
fn a_pattern_of_a_repository_that_means_nothing_it_may_declare_is_refused_and_told() {
    let root = host(&[
        ("proc/sys/kernel/core_pattern", "core\n"),
        ("proc/sys/kernel/core_uses_pid", "1\n"),
        ("proc/sys/vm/swappiness", "60\n"),
    ]);
    let told = |text: &str| {
        let (requests, committed) = committed("f", Kind::SysctlD, text);
        let read = read(&requests, &committed, root.path()).unwrap();
        read.refuse_barred_patterns(root.path()).map_err(|error| error.to_string())
    };
    // Of those that mean others too, or nothing on this host, nothing is wrong.
    for fine in ["kernel.core_* = 1\n", "kernel.nosuch* = 1\n", "vm.swap* = 1\n", "-kernel.core_p*\n"] {
        assert_eq!(told(fine), Ok(()), "{fine}");
    }
    insta::assert_snapshot!(told("vm.swap* = 1\nkernel.core_p* = |/bin/sh\nkernel.*_pattern = x\n").unwrap_err(), @r"
    found /proc/sys/kernel/core_p*, each of whose keys names a program, at f:2 of commit a1b2c3d4a1b2: a repository may not declare that
    hint: declare it in a file of this host

    found /proc/sys/kernel/*_pattern, each of whose keys names a program, at f:3 of commit a1b2c3d4a1b2: a repository may not declare that
    hint: declare it in a file of this host
    ");
}

#[test]
fn what_a_profile_of_a_repository_includes_is_not_looked_for_on_the_host() {
    let root = host(&[("usr/lib/tuned/base/tuned.conf", "[sysctl]\nvm.swappiness=1\n")]);
    let (requests, committed) =
        committed("f", Kind::Tuned, "[main]\ninclude=base\n[sysctl]\nvm.max_map_count=1\n");
    let read = read(&requests, &committed, root.path()).unwrap();
    assert_eq!(read.not_understood.len(), 1);
    assert_eq!(read.resolve(&mut Interfaces::new(root.path())).unwrap().in_force().count(), 1);
}
