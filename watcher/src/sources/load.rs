//! Everything that is asked for, read and made one baseline.

use std::{borrow::Cow, path::Path, sync::Arc};

use super::{
    GitError, SourceError, SourceErrors,
    file::{self, MOST_BYTES, Root},
    matching::Matching,
    profiles,
};
use crate::{
    config,
    declared::{
        Baseline, Committed, CommittedFile, Directory, Git, Kind, Line, NotUnderstood, Parsed, Request,
        SYSCTL_DIRECTORIES, Says, Target, resolve,
        sysctl::{self, Applier},
        sysctl_order,
    },
    kernel::{Interfaces, Spelled},
    model::{Key, Revision},
};

/// The most lines of one repository: as many as a message may have values.
const MOST_LINES: usize = 10_000;

/// What sources say, with the patterns as they were written: which keys those mean is looked up by [`Read::resolve`].
#[derive(Debug, Default)]
pub struct Read {
    /// The lines of sources that are applied together, and by what.
    parts: Vec<(Kind, Vec<Line>)>,
    /// The lines that declare nothing because they were not understood.
    pub not_understood: Vec<NotUnderstood>,
}

/// What the sources declare.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All of it.
    pub baseline: Baseline,
    /// The lines that declare nothing because they were not understood.
    pub not_understood: Vec<NotUnderstood>,
}

/// Reads sources, the later one winning, for the keys there are below `root`.
///
/// # Errors
/// As [`read`] and [`Read::resolve`].
pub fn load(requests: &[Request], root: &Path) -> Result<Loaded, SourceErrors> {
    let mut read = read(requests, &[], root)?;
    let not_understood = std::mem::take(&mut read.not_understood);
    Ok(Loaded { baseline: read.resolve(&mut Interfaces::new(root))?, not_understood })
}

/// Reads sources. The host's own are those below `root`; what repositories declare was read before, in the order in which
/// they are asked for.
///
/// Files of sysctls that follow each other are applied together, as if they were named to the program in one command: a
/// key that one of them names is matched by no pattern of another.
///
/// # Errors
/// A source cannot be read, is no file or too large; a profile is not found; YAML has mistakes: all of that at once.
pub fn read(requests: &[Request], committed: &[Committed], root: &Path) -> Result<Read, SourceErrors> {
    let root = Root::open(root)?;
    let (mut read, mut committed, mut amiss) = (Read::default(), committed.iter(), SourceErrors::default());
    let together =
        |a: &Request, b: &Request| kind(a) == kind(b) && kind(a).is_some_and(|kind| kind.applier().is_some());
    for requests in requests.chunk_by(together) {
        if let [Request::Git(git)] = requests {
            if let Some(committed) = committed.next() {
                read.take_committed(git, committed, &mut amiss);
            }
            continue;
        }
        let mut parsed = Parsed::default();
        for request in requests {
            match parse(request, &root) {
                Ok(said) => parsed.extend(said),
                Err(errors) => amiss.extend(errors),
            }
        }
        read.take(requests.first().and_then(kind).unwrap_or(Kind::SysctlD), parsed);
    }
    amiss.or(Ok(read))
}

impl Read {
    fn take(&mut self, kind: Kind, parsed: Parsed) {
        self.parts.push((kind, parsed.lines));
        self.not_understood.extend(parsed.not_understood);
    }

    /// Takes up what a repository declares. It says values, and those alone that it may say.
    fn take_committed(&mut self, git: &Git, committed: &Committed, amiss: &mut SourceErrors) {
        let from: Arc<str> = format!("git:{}", git.repository).into();
        let together = |a: &CommittedFile, b: &CommittedFile| a.kind == b.kind && a.kind.applier().is_some();
        let mut taken = 0;
        for files in committed.files.chunk_by(together) {
            let mut parsed = Parsed::default();
            for CommittedFile { path, kind, text } in files {
                let said = match kind {
                    Kind::SysctlD => sysctl::parse(Applier::Systemd, &from, path, text),
                    Kind::Procps => sysctl::parse(Applier::Procps, &from, path, text),
                    Kind::Tuned => profiles::alone(&from, path, text),
                    Kind::Declared => match config::declared(&from, path, text) {
                        Ok(lines) => Parsed { lines, not_understood: Vec::new() },
                        Err(problems) => {
                            amiss.push(problems.into());
                            continue;
                        }
                    },
                };
                parsed.extend(said);
                // Each costs memory, and each key a reading.
                if parsed.lines.len() + parsed.not_understood.len() + taken > MOST_LINES {
                    let (path, most) = (path.to_string(), MOST_LINES as u64);
                    return amiss.push(SourceError::TooLarge { path, most, of: "lines with those before" });
                }
            }
            taken += parsed.lines.len() + parsed.not_understood.len();
            for line in &mut parsed.lines {
                line.commit = committed.commit.clone();
                if let Target::Key(key) = &line.target
                    && let Some(barred) = key.barred()
                {
                    let commit = line.commit.as_ref().map_or("", Revision::short).to_owned();
                    let what = format!("{key}, which {},", barred.as_str());
                    amiss.push(GitError::Forbidden { what, place: line.source.to_string(), commit }.into());
                }
            }
            self.take(files.first().map_or(Kind::Declared, |file| file.kind), parsed);
        }
    }

    /// Refuses a pattern of a repository that means keys, and none that the repository may declare. One that means others too
    /// means those alone.
    ///
    /// # Errors
    /// There are such patterns: all of them.
    pub fn refuse_barred_patterns(&self, root: &Path) -> Result<(), SourceErrors> {
        let (mut matching, mut amiss) = (Matching::new(root), SourceErrors::default());
        for line in self.parts.iter().flat_map(|(_, lines)| lines) {
            let (Target::Pattern(pattern, only), Says::Expect(_), Some(commit)) =
                (&line.target, &line.says, &line.commit)
            else {
                continue;
            };
            let keys = matching.keys(pattern, *only);
            let barred: Option<Vec<_>> = keys.iter().map(Key::barred).collect();
            if let Some(barred) = barred.as_deref().and_then(<[_]>::first) {
                let what = format!("{pattern}, each of whose keys {},", barred.as_str());
                let (place, commit) = (line.source.to_string(), commit.short().to_owned());
                amiss.push(GitError::Forbidden { what, place, commit }.into());
            }
        }
        amiss.or(Ok(()))
    }

    /// Lets these lines, which stand in no file of their own, come after all the others.
    pub fn then(&mut self, lines: &[Line]) {
        if !lines.is_empty() {
            self.parts.push((Kind::Declared, lines.to_vec()));
        }
    }

    /// Whether the keys that are declared depend on what there is.
    pub fn depends_on(&self, interfaces: &mut Interfaces) -> bool {
        let mut lines = self.parts.iter().flat_map(|(_, lines)| lines);
        lines.any(|line| match &line.target {
            Target::Key(key) => interfaces.spelled(key) != Spelled::Own,
            Target::Pattern(..) => true,
        })
    }

    /// What is declared for the keys there are on the host of these interfaces.
    ///
    /// # Errors
    /// The patterns mean too much.
    pub fn resolve(&self, interfaces: &mut Interfaces) -> Result<Baseline, SourceError> {
        let root = interfaces.root().to_owned();
        let mut matching = Matching::new(&root);
        let mut declarations = Vec::new();
        for (kind, lines) in &self.parts {
            let delivered = lines.iter().any(|line| line.commit.is_some());
            declarations.extend(resolve(*kind, &by_own_names(lines, interfaces), |pattern, only| {
                let mut keys = matching.keys(pattern, only);
                keys.retain(|key| !delivered || key.barred().is_none());
                keys
            }));
        }
        matching.finish()?;
        Ok(Baseline::new(declarations))
    }
}

/// Lines with the keys of interfaces by the names these have in /proc and /sys.
fn by_own_names<'l>(lines: &'l [Line], interfaces: &mut Interfaces) -> Cow<'l, [Line]> {
    let mut named = Cow::Borrowed(lines);
    for (at, line) in lines.iter().enumerate() {
        if let Target::Key(key) = &line.target
            && let Spelled::Other(own) = interfaces.spelled(key)
            && let Some(line) = named.to_mut().get_mut(at)
        {
            line.target = Target::Key(own);
        }
    }
    named
}

/// What the files of a source are; none of a repository, where each has its own kind.
fn kind(request: &Request) -> Option<Kind> {
    match request {
        Request::Host(applier) => Some(applier.kind()),
        Request::File { kind, .. } => Some(*kind),
        Request::Git(_) => None,
    }
}

pub(super) fn parse(request: &Request, root: &Root) -> Result<Parsed, SourceErrors> {
    match request {
        // Read by a program, and not here.
        Request::Git(_) => Ok(Parsed::default()),
        Request::Host(applier) => host(*applier, root),
        Request::File { kind, path } => {
            if let Some(applier) = kind.applier()
                && path.is_dir()
                && SYSCTL_DIRECTORIES.iter().any(|of| path.join(of.trim_start_matches('/')).is_dir())
            {
                return host(applier, &Root::named(path)?);
            }
            let file: Arc<str> = path.display().to_string().into();
            match kind {
                Kind::SysctlD => {
                    Ok(sysctl::parse(Applier::Systemd, &file, &file, &file::read(path, MOST_BYTES)?))
                }
                Kind::Procps => {
                    Ok(sysctl::parse(Applier::Procps, &file, &file, &file::read(path, MOST_BYTES)?))
                }
                Kind::Tuned => Ok(profiles::load(path, &file, root)?),
                Kind::Declared => {
                    let text = file::read(path, MOST_BYTES)?;
                    let lines = config::declared(&file, &file, &text).map_err(SourceError::from)?;
                    Ok(Parsed { lines, not_understood: Vec::new() })
                }
            }
        }
    }
}

/// The sysctl.d directories of a tree.
pub(super) fn host(applier: Applier, root: &Root) -> Result<Parsed, SourceErrors> {
    let mut directories = Vec::new();
    for path in SYSCTL_DIRECTORIES {
        if let Some(names) = root.names(path)? {
            directories.push(Directory { path, names });
        }
    }
    let from: Arc<str> = match applier {
        // Two trees are two sources.
        _ if !root.shown("").is_empty() => root.shown("").into(),
        Applier::Systemd => "sysctl.d".into(),
        Applier::Procps => "sysctl --system".into(),
    };
    let (mut parsed, mut amiss) = (Parsed::default(), SourceErrors::default());
    for path in sysctl_order(applier, &directories) {
        let file: Arc<str> = root.shown(&path).into();
        match root.read(&path, MOST_BYTES) {
            Ok(Some(text)) => parsed.extend(sysctl::parse(applier, &from, &file, &text)),
            // A link that leads nowhere, or to /dev/null: its name is masked.
            Ok(None) => {}
            // Both programs say so and go on.
            Err(SourceError::NoFile { found: "a directory", .. }) => {
                let source = crate::model::Source { file, line: 1 };
                parsed.not_understood.push(NotUnderstood::new(source, "", "it is a directory"));
            }
            Err(error) => amiss.push(error),
        }
    }
    amiss.or(Ok(parsed))
}
