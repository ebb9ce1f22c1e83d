//! `cargo xtask run`: builds driftd and starts it with a development configuration, made on first use.
//!
//! All it makes is below target/dev/. What is there already is left as it is: a developer may edit it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Build as for a release
    #[arg(long)]
    release: bool,
    /// What to give to `driftd run` besides
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Where the webhook listens in development.
const LISTEN: &str = "127.0.0.1:8787";

/// The command. It returns only where driftd cannot be started: else this process becomes driftd.
pub fn run(options: &Options) -> Result<ExitCode> {
    let profile = if options.release { "release" } else { "dev" };
    let mut cargo = process::cargo();
    process::check(cargo.args(["build", "--locked", "--package", "watcher", "--profile", profile]))?;
    let driftd = crate::target().join(if options.release { "release" } else { "debug" }).join("driftd");

    let dev = crate::target().join("dev");
    let config = prepare(&dev)?;
    println!("configuration: {}", config.display());
    if !process::is_root() {
        println!(
            "not root: driftd can load no BPF program and listens and sweeps only\n\
             hint: `sudo -E $(command -v cargo) xtask run` watches every write"
        );
    }
    println!(
        "to deliver a signed deployment, paste this into another terminal \
         (with ?wait=5 after the address it is answered with the verdict):\n\n{}\n",
        curl(&driftd, &dev)?
    );

    let mut command = Command::new(&driftd);
    command.arg("run").arg("--config").arg(&config).args(&options.arguments);
    Err(command.exec()).with_context(|| format!("cannot start {}", driftd.display()))
}

/// Makes what is missing of the development configuration; says where it is.
fn prepare(dev: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dev.join("state")).with_context(|| format!("cannot make {}", dev.display()))?;
    let secret = dev.join("secret");
    if !secret.exists() {
        make_secret(&secret).with_context(|| format!("cannot write {}", secret.display()))?;
    }
    let config = dev.join("driftd.yaml");
    if !config.exists() {
        let path = "/proc/sys/vm/swappiness";
        let swappiness = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let text = configuration(dev, swappiness.trim(), &interface());
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    }
    Ok(config)
}

/// Writes a secret that nobody else may read: 32 bytes of the kernel's, in hex.
fn make_secret(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(hex.as_bytes())
}

/// The first interface there is, `lo` last.
fn interface() -> String {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.retain(|name| name != "lo" && Path::new("/sys/class/net").join(name).join("mtu").exists());
    names.sort();
    names.into_iter().next().unwrap_or_else(|| "lo".to_owned())
}

/// The configuration: one rule in the full form, and the announcement's three in the short one.
fn configuration(dev: &Path, swappiness: &str, interface: &str) -> String {
    let dev = dev.display();
    format!(
        "# Made by `cargo xtask run` for development, and yours to edit: delete it to have it made anew.\n\
         state: {dev}/state\n\
         socket: {dev}/driftd.sock\n\
         webhook:\n\
         \x20 listen: \"{LISTEN}\"\n\
         \x20 plain_http: true          # on loopback only\n\
         \x20 secrets: {dev}/secret\n\
         drift_rules:\n\
         \x20 # What it was when this file was made.\n\
         \x20 swappiness:\n\
         \x20   keys: vm.swappiness\n\
         \x20   expect: {swappiness}\n\
         \x20   severity: critical\n\
         \x20 # What the host has when a deployment is confirmed.\n\
         \x20 memory_limits: \"/proc/meminfo:MemAvailable /proc/sys/vm/swappiness\"\n\
         \x20 network_mtu: \"/proc/net/dev /sys/class/net/{interface}/mtu\"\n\
         \x20 file_limits: \"/proc/sys/fs/file-max /proc/sys/fs/file-nr\"\n"
    )
}

/// A command that delivers a deployment of the commit that is checked out, signed with the development secret.
fn curl(driftd: &Path, dev: &Path) -> Result<String> {
    let commit = process::output(git().args(["rev-parse", "HEAD"]));
    let commit = commit.map_or_else(|_| "a1b2c3".to_owned(), |text| text.trim().to_owned());
    let body = format!(r#"{{"commit":"{commit}","app":"web-backend"}}"#);
    let header = sign(driftd, &dev.join("secret"), &body)?;
    Ok(format!("curl -i http://{LISTEN}/webhook/gitops -H '{header}' -d '{body}'"))
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(crate::root());
    git
}

/// The header for a body, by `driftd sign`.
fn sign(driftd: &Path, secret: &Path, body: &str) -> Result<String> {
    let mut command = Command::new(driftd);
    command.arg("sign").arg("--secret").arg(secret).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(body.as_bytes()).with_context(|| format!("cannot write to {command:?}"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {command:?}"))?;
    let header = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !header.starts_with("X-Hub-Signature-256: sha256=") {
        bail!("{command:?} printed no header but `{header}`: {}", output.status);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_configuration_is_made_once_and_then_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = prepare(dir.path()).unwrap();
        let secret = fs::read_to_string(dir.path().join("secret")).unwrap();
        assert_eq!(secret.len(), 64);
        assert_eq!(fs::metadata(dir.path().join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&config, "edited").unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "edited");
        assert_eq!(fs::read_to_string(dir.path().join("secret")).unwrap(), secret);
    }

    #[test]
    fn the_configuration_has_the_announcements_rules_for_an_interface_that_exists() {
        let text = configuration(Path::new("/dev-dir"), "60", "eth0");
        for line in [
            "socket: /dev-dir/driftd.sock\n",
            "  listen: \"127.0.0.1:8787\"\n",
            "    expect: 60\n",
            "  network_mtu: \"/proc/net/dev /sys/class/net/eth0/mtu\"\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
