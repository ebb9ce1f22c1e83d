//! `cargo xtask vm`: boots each kernel once, under qemu, with our own PID 1, and runs the scenarios there.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    initramfs,
    kernels::{self, Kernel},
    process,
    qemu::{self, Accel, Ended},
    tally::Tally,
};

/// What can be asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Boot this kernel image instead of Debian's
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Where that kernel's modules are: lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// What runs the guest
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// Run only the scenarios whose names contain one of these
    filter: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { kernel: None, modules: None, accel: Accel::Tcg, filter: Vec::new() }
    }
}

/// What came of all boots.
#[derive(Debug, Default)]
pub struct Report {
    /// The tests of all boots together.
    pub tally: Tally,
    /// What to say in closing, a line each.
    pub closing: Vec<String>,
}

/// How often a boot that dies before PID 1 speaks is tried. Some kernels die so under emulation now and then, before
/// anything of ours has run.
const TRIES: u32 = 5;

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let report = boot_all(options)?;
    for line in &report.closing {
        println!("{line}");
    }
    println!("{}", report.tally);
    Ok(if report.tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Boots every kernel there is to boot, one after the other.
pub fn boot_all(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let kernels = match &options.kernel {
        Some(image) => vec![own_kernel(image, options.modules.as_ref())?],
        None => match kernels::fetch()? {
            Ok(kernels) => kernels,
            Err(why) => {
                report.closing.push(format!(
                    "\n*** NO KERNEL WAS BOOTED: {why}, so Debian's kernels cannot be fetched.\n\
                     *** The scenarios that need kprobes have NOT been run.\n\
                     *** hint: `cargo xtask vm --kernel FILE --modules DIR` boots a kernel you have.\n"
                ));
                return Ok(report);
            }
        },
    };
    need_qemu()?;
    let programs = build_programs()?;
    for kernel in &kernels {
        let (tally, line) = boot_one(kernel, &programs, options)?;
        report.tally += tally;
        report.closing.push(line);
    }
    Ok(report)
}

/// The kernel that was given.
fn own_kernel(image: &PathBuf, modules: Option<&PathBuf>) -> Result<Kernel> {
    let whole =
        |path: &PathBuf| fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()));
    let image = whole(image)?;
    Ok(Kernel { name: image.display().to_string(), modules: modules.map(whole).transpose()?, image })
}

/// Makes sure that there is a qemu: on Debian root gets it from apt, else it is said what to install.
fn need_qemu() -> Result<()> {
    const PACKAGE: &str = "qemu-system-x86";
    if process::find(qemu::PROGRAM).is_some() {
        return Ok(());
    }
    if process::find("apt-get").is_none() || !process::is_root() {
        bail!(
            "there is no `{}` here\nhint: on Debian, `apt-get install --no-install-recommends {PACKAGE}` as root",
            qemu::PROGRAM
        );
    }
    println!("installing {PACKAGE}, because there is no `{}` here", qemu::PROGRAM);
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--quiet=2", "--no-install-recommends", PACKAGE]);
        process::check(command.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The lists of packages may be missing or old: then they are fetched, and it is tried once more.
    install().or_else(|_| {
        process::check(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        install()
    })
}

/// Builds what runs in the guest, static: there is nothing else in it to load.
fn build_programs() -> Result<Vec<(&'static str, PathBuf)>> {
    let target = match env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        other => bail!("no VM can be started on `{other}` yet: x86_64 is wanted"),
    };
    let dir = crate::target().join("guest");
    println!("building driftd and the scenarios for the VM");
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--quiet", "--locked", "--profile", "guest", "--target", target])
        .arg("--target-dir")
        .arg(&dir)
        .args(["--package", "watcher", "--package", "driftd-tests"])
        .args(["--bin", "driftd", "--bin", "init", "--bin", "scenarios"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::check(&mut cargo)?;
    let built = dir.join(target).join("guest");
    Ok(vec![
        ("init", built.join("init")),
        ("bin/driftd", built.join("driftd")),
        ("bin/scenarios", built.join("scenarios")),
    ])
}

/// Boots one kernel, again where it dies before PID 1 speaks; the tests counted, and a closing line.
fn boot_one(kernel: &Kernel, programs: &[(&str, PathBuf)], options: &Options) -> Result<(Tally, String)> {
    let dir = crate::target().join("vm");
    fs::create_dir_all(&dir)?;
    let initrd = dir.join("initramfs.cpio");
    let archive = initramfs::build(programs, kernel.modules.as_deref())?;
    fs::write(&initrd, archive).with_context(|| format!("cannot write {}", initrd.display()))?;
    let log = dir.join("console.log");
    let name = &kernel.name;
    let mut died = String::new();
    for attempt in 1..=TRIES {
        println!("\nbooting Linux {name} (the console is kept in {})", log.display());
        let ended = qemu::boot(kernel, &initrd, options.accel, &options.filter, &log)?;
        let (tally, line) = match ended {
            Ended::BeforePid1 { why } => {
                println!("boot {attempt} of at most {TRIES} died before PID 1 spoke: {why}");
                died = format!(" ({attempt} boots died before PID 1 spoke)");
                continue;
            }
            Ended::Verdict { ok: true, tally: Tally { passed: 0, failed: 0 } } => {
                (Tally::FAILURE, "no scenario was run".to_owned())
            }
            Ended::Verdict { ok: true, tally } => (tally, tally.to_string()),
            Ended::Verdict { ok: false, tally } => (tally.failed(), format!("failed, {tally}")),
            Ended::WithoutVerdict { why, tally } => {
                (tally.failed(), format!("no verdict: {why} (until then {tally})"))
            }
        };
        return Ok((tally, format!("scenarios in a VM, Linux {name}: {line}{died}")));
    }
    Ok((Tally::FAILURE, format!("scenarios in a VM, Linux {name}: {TRIES} boots died before PID 1 spoke")))
}
