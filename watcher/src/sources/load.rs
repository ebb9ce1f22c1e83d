//! Everything that is asked for, read and made one baseline.

use std::{path::Path, sync::Arc};

use super::{
    SourceError,
    file::{self, MOST_BYTES, Root},
    matching::Matching,
    profiles,
};
use crate::{
    config,
    declared::{
        Baseline, Directory, Kind, Line, NotUnderstood, Parsed, Request, SYSCTL_DIRECTORIES, Target, resolve,
        sysctl::{self, Applier},
        sysctl_order,
    },
};

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
pub fn load(requests: &[Request], root: &Path) -> Result<Loaded, SourceError> {
    let mut read = read(requests, root)?;
    let not_understood = std::mem::take(&mut read.not_understood);
    Ok(Loaded { baseline: read.resolve(root)?, not_understood })
}

/// Reads sources. The host's own are those below `root`.
///
/// Files of sysctls that follow each other are applied together, as if they were named to the program in one command: a
/// key that one of them names is matched by no pattern of another.
///
/// # Errors
/// A source cannot be read, is no file or too large; a profile is not found; YAML has mistakes.
pub fn read(requests: &[Request], root: &Path) -> Result<Read, SourceError> {
    let root = Root::open(root)?;
    let mut read = Read::default();
    for requests in requests.chunk_by(|a, b| kind(a) == kind(b) && kind(a).applier().is_some()) {
        let mut parsed = Parsed::default();
        for request in requests {
            parsed.extend(parse(request, &root)?);
        }
        read.parts.push((requests.first().map_or(Kind::SysctlD, kind), parsed.lines));
        read.not_understood.extend(parsed.not_understood);
    }
    Ok(read)
}

impl Read {
    /// Lets these lines, which stand in no file of their own, come after all the others.
    pub fn then(&mut self, lines: &[Line]) {
        if !lines.is_empty() {
            self.parts.push((Kind::Declared, lines.to_vec()));
        }
    }

    /// Whether the keys that are declared depend on what there is.
    pub fn has_patterns(&self) -> bool {
        let mut lines = self.parts.iter().flat_map(|(_, lines)| lines);
        lines.any(|line| matches!(line.target, Target::Pattern(..)))
    }

    /// What is declared for the keys there are below `root`.
    ///
    /// # Errors
    /// The patterns mean too much.
    pub fn resolve(&self, root: &Path) -> Result<Baseline, SourceError> {
        let mut matching = Matching::new(root);
        let mut declarations = Vec::new();
        for (kind, lines) in &self.parts {
            declarations.extend(resolve(*kind, lines, |pattern, only| matching.keys(pattern, only)));
        }
        matching.finish()?;
        Ok(Baseline::new(declarations))
    }
}

fn kind(request: &Request) -> Kind {
    match request {
        Request::Host(applier) => applier.kind(),
        Request::File { kind, .. } => *kind,
    }
}

pub(super) fn parse(request: &Request, root: &Root) -> Result<Parsed, SourceError> {
    match request {
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
                Kind::Tuned => profiles::load(path, &file, root),
                Kind::Declared => {
                    let lines = config::declared(&file, &file, &file::read(path, MOST_BYTES)?)?;
                    Ok(Parsed { lines, not_understood: Vec::new() })
                }
            }
        }
    }
}

/// The sysctl.d directories of a tree.
pub(super) fn host(applier: Applier, root: &Root) -> Result<Parsed, SourceError> {
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
    let mut parsed = Parsed::default();
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
            Err(error) => return Err(error),
        }
    }
    Ok(parsed)
}
