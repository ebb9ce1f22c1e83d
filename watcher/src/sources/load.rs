//! Everything that is asked for, read and made one baseline.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    SourceError,
    file::{self, MOST_BYTES, Root},
    matching::Matching,
    profiles,
};
use crate::{
    config,
    declared::{
        Baseline, Directory, Kind, NotUnderstood, Parsed, SYSCTL_DIRECTORIES, resolve,
        sysctl::{self, Applier},
        sysctl_order,
    },
};

/// One source, as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// What a program would apply at boot: the sysctl.d directories below the root.
    Host(Applier),
    /// One file, or the name of a TuneD profile.
    File {
        /// What it holds.
        kind: Kind,
        /// Where it is; not below the root, but as this process sees it.
        path: PathBuf,
    },
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
/// Files of sysctls that follow each other are applied together, as if they were named to the program in one command: a
/// key that one of them names is matched by no pattern of another.
///
/// # Errors
/// A source cannot be read, is no file or too large; a profile is not found; YAML has mistakes.
pub fn load(requests: &[Request], root: &Path) -> Result<Loaded, SourceError> {
    let root = Root::open(root)?;
    let mut matching = Matching::new(&root.path);
    let mut declarations = Vec::new();
    let mut not_understood = Vec::new();
    for requests in requests.chunk_by(|a, b| kind(a) == kind(b) && kind(a).applier().is_some()) {
        let mut parsed = Parsed::default();
        for request in requests {
            parsed.extend(parse(request, &root)?);
        }
        let kind = requests.first().map_or(Kind::SysctlD, kind);
        declarations.extend(resolve(kind, &parsed.lines, |pattern, only| matching.keys(pattern, only)));
        not_understood.extend(parsed.not_understood);
    }
    matching.finish()?;
    Ok(Loaded { baseline: Baseline::new(declarations), not_understood })
}

fn kind(request: &Request) -> Kind {
    match request {
        Request::Host(Applier::Systemd) => Kind::SysctlD,
        Request::Host(Applier::Procps) => Kind::Procps,
        Request::File { kind, .. } => *kind,
    }
}

pub(super) fn parse(request: &Request, root: &Root) -> Result<Parsed, SourceError> {
    match request {
        Request::Host(applier) => host(*applier, root),
        Request::File { kind, path } => {
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

/// The sysctl.d directories of a host.
pub(super) fn host(applier: Applier, root: &Root) -> Result<Parsed, SourceError> {
    let mut directories = Vec::new();
    for path in SYSCTL_DIRECTORIES {
        if let Some(names) = root.names(path)? {
            directories.push(Directory { path, names });
        }
    }
    let from: Arc<str> = match applier {
        Applier::Systemd => "sysctl.d".into(),
        Applier::Procps => "sysctl --system".into(),
    };
    let mut parsed = Parsed::default();
    for path in sysctl_order(applier, &directories) {
        match root.read(&path, MOST_BYTES) {
            Ok(Some(text)) => parsed.extend(sysctl::parse(applier, &from, &path.into(), &text)),
            // A link that leads nowhere, or to /dev/null: its name is masked.
            Ok(None) => {}
            // Both programs say so and go on.
            Err(SourceError::NoFile { path, found: "a directory" }) => {
                let source = crate::model::Source { file: path.into(), line: 1 };
                parsed.not_understood.push(NotUnderstood::new(source, "", "it is a directory"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(parsed)
}
