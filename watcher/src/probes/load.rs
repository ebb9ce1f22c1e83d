//! The plan, carried out: programs into the kernel, and what they say out of it.
//!
//! Nothing is pinned: when the process ends, however it ends, the kernel takes every program away.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
    path::Path,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{CgroupAttachMode, CgroupSysctl, FEntry, FExit, KProbe, ProgramError},
};
use aya_log::EbpfLogger;
use watcher_common::{Counter, Identity, Knobs};
use zerocopy::IntoBytes;

use super::{
    facts::{Facts, Part},
    plan::{Hook, LinkPlan, Plan, SysctlPlan},
};

/// The programs, built by `cargo xtask bpf`.
#[cfg(target_arch = "x86_64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../watcher-ebpf/objects/x86_64.o");
#[cfg(target_arch = "aarch64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../watcher-ebpf/objects/aarch64.o");

/// What may be asked of the programs besides the plan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the ring: a power of two, and whole pages.
    pub ring: u32,
    /// Whether writes owned by other namespaces are sent too.
    pub foreign: bool,
    /// Whether the programs log what they see.
    pub log: bool,
}

/// Programs in the kernel. Dropped, they are gone.
pub struct Loaded {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    _programs: Ebpf,
}

/// What is done with a program, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The kernel checks it.
    Load,
    /// It is put in its place.
    Attach,
}

impl Step {
    fn done(self) -> &'static str {
        match self {
            Step::Load => "loaded",
            Step::Attach => "attached",
        }
    }
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The object, its maps or its globals.
    #[error("the programs cannot be loaded: {0}")]
    Object(#[from] Box<aya::EbpfError>),
    /// One program.
    #[error("the program `{name}` cannot be {}: {}", .step.done(), chain(.error))]
    Program {
        /// Its name.
        name: &'static str,
        /// What failed.
        step: Step,
        /// Why.
        error: Box<ProgramError>,
    },
    /// The types of the running kernel, which fentry and fexit are checked against.
    #[error("the kernel's BTF cannot be read: {0}")]
    Btf(#[from] aya::BtfError),
    /// The directory of the hierarchy.
    #[error("`{path}` cannot be opened: {error}")]
    Cgroup {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The object lacks a part.
    #[error("the embedded object has no `{0}`\nhint: build it anew with `cargo xtask bpf`")]
    Missing(&'static str),
}

impl LoadError {
    /// The part of the plan that it is about.
    pub fn part(&self, plan: &Plan) -> Part {
        let alone = matches!(plan.sysctl, SysctlPlan::Cgroup { .. });
        match self {
            LoadError::Program { name: "sysctl_enter" | "sysctl_return", .. } => Part::Kprobe,
            LoadError::Program { name: "sysctl_fentry" | "sysctl_fexit", .. } | LoadError::Btf(_) => {
                Part::Fexit
            }
            // With less in it it may be taken. Beside a hook it is of use only as it is.
            LoadError::Program { name: "sysctl_values", step: Step::Load, .. } if alone => Part::Values,
            LoadError::Program { name: "sysctl_values", .. } | LoadError::Cgroup { .. } => Part::Cgroup,
            LoadError::Program { .. } => Part::Mtu,
            LoadError::Object(_) | LoadError::Missing(_) => Part::All,
        }
    }
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// Carries a plan out. `None` where it needs no program.
pub fn load(facts: &Facts, plan: &Plan, options: Options) -> Result<Option<Loaded>, LoadError> {
    let (identity, cgroup2) = match &plan.sysctl {
        SysctlPlan::Hook { cgroup2, .. } => (Identity::Memory, cgroup2.as_deref()),
        SysctlPlan::Cgroup { cgroup2, identity } => (*identity, Some(cgroup2.as_path())),
        SysctlPlan::Swept => return Ok(None),
    };
    let knobs = knobs(facts, identity, options);
    let level = if options.log { aya_log::Level::Debug as u8 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        // The programs relocate nothing: the offsets are in the knobs, and the kernel's BTF was read and freed.
        .btf(None)
        .override_global("KNOBS", knobs.as_bytes(), true)
        .override_global(aya_log::LEVEL, &level, true)
        .map_max_entries("RING", options.ring);
    if !options.log {
        loader.map_max_entries("AYA_LOGS", 4096);
    }
    let mut programs = loader.load(OBJECT).map_err(Box::new)?;
    let mut hooks = Hooks { programs: &mut programs, btf: None };
    if let SysctlPlan::Hook { hook, .. } = plan.sysctl {
        hooks.attach(hook, "proc_sys_write", &SYSCTL)?;
    }
    if let LinkPlan::Hook { hook, function } = plan.link {
        hooks.attach(hook, function, &MTU)?;
    }
    if let Some(path) = cgroup2 {
        cgroup(&mut programs, path)?;
    }
    let ring = programs.take_map("RING").ok_or(LoadError::Missing("RING"))?;
    let counters = programs.take_map("COUNTERS").ok_or(LoadError::Missing("COUNTERS"))?;
    let logger = match options.log {
        true => EbpfLogger::init(&mut programs)
            .inspect_err(|error| tracing::warn!("the programs' log cannot be read: {error}"))
            .ok(),
        false => None,
    };
    Ok(Some(Loaded {
        ring: RingBuf::try_from(ring).map_err(|_| LoadError::Missing("RING"))?,
        counters: PerCpuArray::try_from(counters).map_err(|_| LoadError::Missing("COUNTERS"))?,
        logger,
        _programs: programs,
    }))
}

fn knobs(facts: &Facts, identity: Identity, options: Options) -> Knobs {
    Knobs {
        net_root: facts.roots.net,
        global_root: facts.roots.global,
        host_net: facts.host.net,
        host_ipc: facts.host.ipc,
        host_uts: facts.host.uts,
        host_user: facts.host.user,
        send_foreign: options.foreign.into(),
        identity: identity as u32,
        offsets: facts.offsets.clone().unwrap_or(watcher_common::Offsets::NONE),
    }
}

/// The programs of a surface, by form. Returns first: a call that is entered before its return is watched would be
/// waited for in vain.
struct Pair {
    kprobe: [&'static str; 2],
    fexit: &'static str,
    fentry: &'static str,
}

const SYSCTL: Pair =
    Pair { kprobe: ["sysctl_return", "sysctl_enter"], fexit: "sysctl_fexit", fentry: "sysctl_fentry" };
const MTU: Pair = Pair { kprobe: ["mtu_return", "mtu_enter"], fexit: "mtu_fexit", fentry: "mtu_fentry" };

/// Attaches programs to functions.
struct Hooks<'a> {
    programs: &'a mut Ebpf,
    /// The types of the running kernel: big, read for the first that asks, and gone with this.
    btf: Option<Btf>,
}

impl Hooks<'_> {
    fn attach(&mut self, hook: Hook, function: &str, pair: &Pair) -> Result<(), LoadError> {
        match hook {
            Hook::Kprobe => {
                for name in pair.kprobe {
                    let program: &mut KProbe = program(self.programs, name)?;
                    program.load().map_err(failed(name, Step::Load))?;
                    program.attach(function, 0).map_err(failed(name, Step::Attach))?;
                }
            }
            Hook::Fexit => {
                let btf = match &mut self.btf {
                    Some(btf) => btf,
                    none => none.insert(Btf::from_sys_fs()?),
                };
                let exit: &mut FExit = program(self.programs, pair.fexit)?;
                exit.load(function, btf).map_err(failed(pair.fexit, Step::Load))?;
                exit.attach().map_err(failed(pair.fexit, Step::Attach))?;
                let entry: &mut FEntry = program(self.programs, pair.fentry)?;
                entry.load(function, btf).map_err(failed(pair.fentry, Step::Load))?;
                entry.attach().map_err(failed(pair.fentry, Step::Attach))?;
            }
        }
        Ok(())
    }
}

fn cgroup(programs: &mut Ebpf, path: &Path) -> Result<(), LoadError> {
    let directory =
        File::open(path).map_err(|error| LoadError::Cgroup { path: path.display().to_string(), error })?;
    let program: &mut CgroupSysctl = program(programs, "sysctl_values")?;
    program.load().map_err(failed("sysctl_values", Step::Load))?;
    // `Single` sets no flag: the kernel refuses any with a link, and makes it "allow multi" itself.
    let attached = program.attach(directory, CgroupAttachMode::Single);
    attached.map(drop).map_err(failed("sysctl_values", Step::Attach))
}

fn program<'a, P>(programs: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    let program = programs.program_mut(name).ok_or(LoadError::Missing(name))?;
    program.try_into().map_err(|_| LoadError::Missing(name))
}

fn failed(name: &'static str, step: Step) -> impl Fn(ProgramError) -> LoadError {
    move |error| LoadError::Program { name, step, error: Box::new(error) }
}

impl Loaded {
    /// Takes so many records at most, and says whether there may be more.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> bool {
        for _ in 0..most {
            match self.ring.next() {
                Some(record) => take(&record),
                None => return false,
            }
        }
        true
    }

    /// What a counter stands at, over all CPUs.
    pub fn count(&self, counter: Counter) -> u64 {
        match self.counters.get(&(counter as u32), 0) {
            Ok(values) => values.iter().sum(),
            Err(error) => {
                tracing::warn!("a counter cannot be read: {error}");
                0
            }
        }
    }

    /// Passes the programs' own log lines on.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

impl AsRawFd for Loaded {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}
