//! A root of Debian's with systemd in it, made by mmdebstrap from the machine's own mirrors, and what is laid over it:
//! driftd as it is packaged, and the runner of the scenarios as a unit of its own.
//!
//! It is made once and kept under target/vm/roots, by what it is made of. Nothing here knows what the scenarios test.

use std::{
    fs,
    io::BufReader,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::{
    guest::Built,
    initramfs::Archive,
    packages::{self, Needed},
    process,
    sources::Sources,
};

/// The program that makes a root.
const NEEDED: [Needed; 1] = [("mmdebstrap", "mmdebstrap")];

/// What is in it besides what every Debian has.
const PACKAGES: [&str; 10] = [
    "curl",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "openssl",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
    "util-linux",
];

/// What of them nobody looks for in the guest, by how the paths begin: it would only be unpacked on every boot.
const LEFT_OUT: [&str; 12] = [
    "usr/bin/perl",
    "usr/lib/locale/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/libperl",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/man/",
    "usr/share/perl",
    "usr/share/zoneinfo/",
    "var/cache/",
];

/// What is laid over it from the repository: where it is in the guest, and where it is here.
const FILES: [(&str, &str); 6] = [
    ("usr/lib/systemd/system/driftd.service", "packaging/driftd.service"),
    ("usr/lib/systemd/system/driftd-revert.service", "packaging/driftd-revert.service"),
    ("usr/lib/systemd/system/driftd-hub.service", "packaging/driftd-hub.service"),
    ("usr/lib/systemd/catalog/driftd.catalog", "packaging/driftd.catalog"),
    ("etc/systemd/system/driftd-scenarios.service", "tests/systemd/driftd-scenarios.service"),
    ("etc/driftd/driftd.yaml", "tests/systemd/driftd.yaml"),
];

/// What is laid over it and is a link: units that start at the boot, and the one that waits for a terminal which
/// nobody announces, because there is no udev.
const LINKS: [(&str, &str); 3] = [
    ("etc/systemd/system/multi-user.target.wants/driftd.service", "/usr/lib/systemd/system/driftd.service"),
    (
        "etc/systemd/system/multi-user.target.wants/driftd-scenarios.service",
        "/etc/systemd/system/driftd-scenarios.service",
    ),
    ("etc/systemd/system/serial-getty@.service", "/dev/null"),
];

/// Without it systemd takes the boot for the first one and asks at the console who the host shall be.
const MACHINE_ID: &str = "0d1f7d00c0ffee000d1f7d00c0ffee00\n";

/// The secret that its configuration names.
const SECRET: (&str, &str) =
    ("etc/driftd/plain.secret", "5a0f6cf1d5c4be2e9e7d1a3f00c0ffee5a0f6cf1d5c4be2e9e7d1a3f00c0ffee");

/// The archive with the root for these suites, of which the first is the release.
///
/// # Errors
/// It cannot be made: this is not Debian, its mirrors do not have them, or not all of it can be fetched.
pub fn root(suites: &[String], sources: &Sources) -> Result<PathBuf> {
    let release = suites.first().context("no suite is named")?;
    let list = sources.list_for(suites);
    ensure!(!list.is_empty(), "/etc/apt names no mirror that may have {}", suites.join(", "));
    let roots = crate::target().join("vm/roots");
    fs::create_dir_all(&roots).with_context(|| format!("cannot make {}", roots.display()))?;
    let root = roots.join(format!("{release}-{}.cpio", digest(&list)));
    if root.exists() {
        return Ok(root);
    }
    packages::install(&NEEDED)?;
    println!("making a root of {release} with systemd");
    let archive = made(release, &list, &roots).with_context(|| format!("cannot make a root of {release}"))?;
    // Written beside and renamed, so that a file of that name is always whole.
    let partial = roots.join("partial");
    fs::write(&partial, archive).with_context(|| format!("cannot write {}", partial.display()))?;
    for old in fs::read_dir(&roots)?.flatten() {
        if old.file_name().to_string_lossy().starts_with(&format!("{release}-")) {
            fs::remove_file(old.path())?;
        }
    }
    fs::rename(&partial, &root)?;
    Ok(root)
}

/// What a root is made of, in a few letters.
fn digest(list: &str) -> String {
    let made_of = [list, &PACKAGES.join(" "), &LEFT_OUT.join(" ")].join("\n");
    Sha256::digest(made_of).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes it: mmdebstrap writes a tar archive, and that becomes a cpio archive.
fn made(release: &str, list: &str, roots: &Path) -> Result<Vec<u8>> {
    let (sources, tar) = (roots.join("sources.list"), roots.join("root.tar"));
    fs::write(&sources, list).with_context(|| format!("cannot write {}", sources.display()))?;
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=essential", "--format=tar"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(release)
        .args([&tar, &sources])
        // Where it fails it hangs up on all of its process group, and that must not be ours.
        .process_group(0);
    process::check(&mut command)?;
    let file = fs::File::open(&tar).with_context(|| format!("cannot read {}", tar.display()))?;
    let mut archive = Archive::new();
    archive
        .tar(BufReader::new(file), |path| LEFT_OUT.iter().any(|left| path.starts_with(left)))
        .with_context(|| format!("cannot use {}", tar.display()))?;
    fs::remove_file(&tar)?;
    Ok(archive.finish())
}

/// Lays over it what is ours.
pub fn lay_over(archive: &mut Archive, built: &Built) -> Result<()> {
    for directory in [
        "etc/driftd",
        "etc/systemd/system/multi-user.target.wants",
        "usr/lib/driftd-tests",
        "usr/lib/systemd/catalog",
    ] {
        archive.directory(directory);
    }
    for (inside, program) in
        [("usr/bin/driftd", "driftd"), ("usr/lib/driftd-tests/scenarios", "scenarios-systemd")]
    {
        archive.program(inside, &built.read(program)?);
    }
    for (inside, here) in FILES {
        let here = crate::root().join(here);
        let content = fs::read(&here).with_context(|| format!("cannot read {}", here.display()))?;
        archive.file(inside, &content);
    }
    for (inside, to) in LINKS {
        archive.link(inside, to);
    }
    archive.secret(SECRET.0, SECRET.1.as_bytes());
    archive.file("etc/machine-id", MACHINE_ID.as_bytes());
    Ok(())
}
