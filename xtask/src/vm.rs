//! `cargo xtask vm`: boots kernels under qemu with our own PID 1, and runs the scenarios there. Which kernels there
//! are and how they are booted stands in tests/kernels.toml; here it is decided what a failure of one means.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::{
    claims::Claim,
    guest::{self, Built, Packing, Program},
    kernels::{Archive, Kernel},
    matrix::{Boot, Matrix, Need, Userland, Wanted},
    packages,
    qemu::{self, Accel, Ended},
    table::{self, Column},
    tally::Tally,
    userland,
};

/// What can be asked for.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Make every boot of tests/kernels.toml, not only that of the first kernel that is required
    #[arg(long, conflicts_with_all = ["boot", "kernel"])]
    all: bool,
    /// Make this boot of tests/kernels.toml: a kernel's series, or the name of a further boot
    #[arg(long, visible_alias = "series", value_name = "NAME", conflicts_with = "kernel")]
    boot: Vec<String>,
    /// Write what came of it to docs/kernels.md, and which newest kernel passed to tests/kernels.toml
    #[arg(long, requires = "all", conflicts_with = "filter")]
    write: bool,
    /// Boot this kernel image instead of Debian's
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Where that kernel's modules are: lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// What runs the guest
    #[arg(long, value_enum, default_value_t)]
    accel: Accel,
    /// How many guests may run side by side [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// What of tests/ runs in the guest
    #[arg(long, value_enum, default_value_t)]
    program: Program,
    /// Run only the scenarios whose names contain one of these; arguments for another program
    filter: Vec<String>,
}

impl Options {
    /// Every boot, and nothing else asked for but that what comes of it is written down.
    pub fn all(write: bool) -> Options {
        Options { all: true, write, ..Options::default() }
    }
}

/// What came of all boots.
#[derive(Debug, Default)]
pub struct Report {
    /// The tests of all boots together, without those whose failure is no failure of ours.
    pub tally: Tally,
    /// What to say in closing, a line each.
    pub closing: Vec<String>,
}

impl Report {
    /// Says something that fails nothing, so that nobody can overlook it.
    fn tell(&mut self, what: &str, hint: &str) {
        self.closing.push(format!("\n*** {what}\n*** hint: {hint}\n"));
    }
}

/// How often a boot that dies before PID 1 speaks is tried. Some kernels die so under emulation now and then, before
/// anything of ours has run.
const TRIES: u32 = 5;

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let report = boot_all(options)?;
    println!();
    for line in &report.closing {
        println!("{line}");
    }
    println!("{}", report.tally);
    Ok(if report.tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A boot with all that it needs.
struct Ready {
    boot: Boot,
    kernel: Kernel,
    /// The root that its userland needs.
    root: Option<PathBuf>,
    initrd: PathBuf,
    /// Only the scenarios whose names contain one of these.
    filter: Vec<String>,
    /// What its failure means.
    counts: Counts,
}

/// What a boot's failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// It is a failure.
    Fully,
    /// It is told: nothing has passed on this kernel yet.
    Told,
}

/// Makes the boots that were asked for.
pub fn boot_all(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    fs::create_dir_all(crate::target().join("vm"))?;
    let matrix = Matrix::read()?;
    let Some(mut ready) = kernels(options, &matrix, &mut report)? else { return Ok(report) };
    if ready.is_empty() {
        return Ok(report);
    }
    packages::install(&[(qemu::PROGRAM, "qemu-system-x86")])?;
    pack(&mut ready, options.program)?;
    let mut columns = Vec::new();
    for (ready, booted) in ready.iter().zip(boot_each(&ready, options)?) {
        judge(ready, &booted, &mut report);
        if let Some(claims) = booted.claims {
            columns.push(Column { boot: ready.boot.clone(), kernel: ready.kernel.clone(), claims });
        }
    }
    if options.write {
        table::write(&matrix, &columns)?;
    }
    Ok(report)
}

/// The kernels to boot, fetched, and how to boot each; what cannot be had is told. `None` where there is none to be
/// had at all.
fn kernels(options: &Options, matrix: &Matrix, report: &mut Report) -> Result<Option<Vec<Ready>>> {
    let ready = |boot: Boot, kernel: Kernel, root, counts| {
        let filter = if options.filter.is_empty() { boot.filter.clone() } else { options.filter.clone() };
        Ready { boot, kernel, root, initrd: PathBuf::new(), filter, counts }
    };
    if let Some(image) = &options.kernel {
        let kernel = own_kernel(image, options.modules.as_ref())?;
        return Ok(Some(vec![ready(Boot::plain("own"), kernel, None, Counts::Fully)]));
    }
    let mut boots = match (options.all, options.boot.as_slice()) {
        (true, _) => matrix.boots.clone(),
        (false, []) => vec![matrix.first()?],
        (false, names) => matrix.named(names)?,
    };
    // A boot for certain scenarios has no others, and neither has one with a userland.
    let has_all = |boot: &Boot| boot.filter.is_empty() && boot.userland == Userland::Bare;
    boots.retain(|boot| !options.all || options.filter.is_empty() || has_all(boot));
    let bare = boots.iter().all(|boot| boot.userland == Userland::Bare);
    ensure!(bare || options.program == Program::Scenarios, "only the scenarios run in a boot with systemd");
    let archive = match Archive::of_this_machine() {
        Ok(archive) => archive,
        Err(why) => {
            report.tell(
                &format!(
                    "NO KERNEL WAS BOOTED: {why}, so Debian's kernels cannot be fetched.\n\
                     *** The scenarios that need kprobes have NOT been run."
                ),
                "`cargo xtask vm --kernel FILE --modules DIR` boots a kernel you have.",
            );
            return Ok(None);
        }
    };
    let mut all = Vec::new();
    for wanted in &matrix.kernels {
        let of_it: Vec<Boot> = boots.iter().filter(|boot| boot.series == wanted.series).cloned().collect();
        if of_it.is_empty() {
            continue;
        }
        let fetched = archive.fetch(wanted);
        for boot in of_it {
            let had = match &fetched {
                Ok(kernel) => root(&archive, wanted, boot.userland).map(|root| (kernel.clone(), root)),
                Err(why) => Err(anyhow!("{why:#}")),
            };
            match had {
                Ok((kernel, root)) => {
                    let counts = if wanted.must_pass(&kernel.version) { Counts::Fully } else { Counts::Told };
                    all.push(ready(boot, kernel, root, counts));
                }
                Err(why) if wanted.need == Need::Required => {
                    report.closing.push(format!("scenarios in a VM, {}: not booted: {why:#}", boot.name));
                    report.tally += Tally::FAILURE;
                }
                Err(why) => report.tell(
                    &format!("LINUX {} WAS NOT BOOTED: {why:#}", boot.name.to_uppercase()),
                    "see whether the mirrors still have its suites, and put tests/kernels.toml right.",
                ),
            }
        }
    }
    // In the order of the file, which is that of the table.
    all.sort_by_key(|ready| boots.iter().position(|boot| *boot == ready.boot));
    Ok(Some(all))
}

/// The kernel that was given.
fn own_kernel(image: &Path, modules: Option<&PathBuf>) -> Result<Kernel> {
    let whole =
        |path: &Path| fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()));
    let image = whole(image)?;
    let name = image.display().to_string();
    Ok(Kernel { version: name.clone(), name, modules: modules.map(|dir| whole(dir)).transpose()?, image })
}

/// The root that a userland needs, of the release that the kernel is of.
fn root(archive: &Archive, wanted: &Wanted, userland: Userland) -> Result<Option<PathBuf>> {
    match userland {
        Userland::Bare => Ok(None),
        Userland::Systemd => userland::root(&wanted.suites, archive.sources()).map(Some),
    }
}

/// Builds and packs what runs in the guests, once for each kernel and userland.
fn pack(all: &mut [Ready], program: Program) -> Result<()> {
    let mut programs: Vec<&str> = all.iter().map(|ready| program.name(ready.boot.userland)).collect();
    programs.sort_unstable();
    programs.dedup();
    let built = Built::new(&programs)?;
    let mut packed: Vec<(String, PathBuf)> = Vec::new();
    for ready in all {
        let userland = ready.boot.userland;
        let name = match userland {
            Userland::Bare => ready.boot.series.clone(),
            Userland::Systemd => format!("{}-systemd", ready.boot.series),
        };
        ready.initrd = match packed.iter().find(|(other, _)| *other == name) {
            Some((_, initrd)) => initrd.clone(),
            None => {
                let (root, modules) = (ready.root.as_deref(), ready.kernel.modules.as_deref());
                guest::pack(&built, Packing { program, userland, root, modules }, &name)?
            }
        };
        packed.push((name, ready.initrd.clone()));
    }
    Ok(())
}

/// What came of one boot.
struct Booted {
    /// The tests that were counted; at least one failure where it failed as a whole.
    tally: Tally,
    /// What it was, for people.
    summary: String,
    /// What came of each scenario, if it got as far as its verdict.
    claims: Option<Vec<Claim>>,
}

/// Makes all boots, as many side by side as may be; what came of them, in their order. An emulated guest keeps one
/// processor busy, however many it has itself.
fn boot_each(all: &[Ready], options: &Options) -> Result<Vec<Booted>> {
    let workers = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers.min(all.len()) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(ready) = all.get(index) else { break };
                    // Nobody listens only where another boot could not be started.
                    let _ = send.send((index, boot_one(ready, options.accel)));
                }
            });
        }
    });
    drop(send);
    let mut booted: Vec<_> = receive.iter().collect();
    booted.sort_by_key(|(index, _)| *index);
    booted.into_iter().map(|(_, booted)| booted).collect()
}

/// Makes one boot, again where it dies before PID 1 speaks.
fn boot_one(ready: &Ready, accel: Accel) -> Result<Booted> {
    let Ready { boot, kernel, initrd, filter, .. } = ready;
    let log = crate::target().join("vm").join(format!("{}.log", boot.name));
    let mut died = String::new();
    for attempt in 1..=TRIES {
        println!("{} | booting Linux {} (the console is kept in {})", boot.name, kernel.name, log.display());
        let start = Instant::now();
        let ended = qemu::boot(&qemu::Run { boot, kernel, initrd, accel, filter, log: &log })?;
        let took = start.elapsed().as_secs();
        let (tally, what, claims) = match ended {
            Ended::BeforePid1 { why } => {
                println!("{} | boot {attempt} of at most {TRIES} died before PID 1 spoke: {why}", boot.name);
                died = format!(" ({attempt} boots died before PID 1 spoke)");
                continue;
            }
            Ended::Verdict { ok: true, tally: Tally { passed: 0, failed: 0 }, .. } => {
                (Tally::FAILURE, "no scenario was run".to_owned(), None)
            }
            Ended::Verdict { ok: true, tally, claims } => (tally, tally.to_string(), Some(claims)),
            Ended::Verdict { ok: false, tally, claims } => {
                (tally.failed(), format!("failed, {tally}"), Some(claims))
            }
            Ended::WithoutVerdict { why, tally } => {
                (tally.failed(), format!("no verdict: {why} (until then {tally})"), None)
            }
        };
        return Ok(Booted { tally, summary: format!("{what}, in {took} s{died}"), claims });
    }
    let summary = format!("{TRIES} boots died before PID 1 spoke");
    Ok(Booted { tally: Tally::FAILURE, summary, claims: None })
}

/// Counts and tells what came of a boot.
fn judge(ready: &Ready, booted: &Booted, report: &mut Report) {
    let Ready { boot, kernel, counts, .. } = ready;
    // What was really run, where other scenarios were asked for than the boot is for.
    let how = Boot { filter: ready.filter.clone(), ..boot.clone() }.how();
    let how = if how.is_empty() { how } else { format!(", with {how}") };
    report.closing.push(format!("scenarios in a VM, Linux {}{how}: {}", kernel.name, booted.summary));
    match counts {
        Counts::Fully => report.tally += booted.tally,
        Counts::Told if booted.tally.failed == 0 => {
            report.tally += booted.tally;
            report.tell(
                &format!("LINUX {} PASSES, and need not yet.", kernel.version),
                "`cargo xtask vm --all --write` notes that all of it passed; from then on it must.",
            );
        }
        Counts::Told => report.tell(
            &format!(
                "LINUX {} FAILED; that is told and not counted, because it has never passed.",
                kernel.version
            ),
            "find out what is new in it; what passes is noted by `cargo xtask vm --all --write`.",
        ),
    }
}
