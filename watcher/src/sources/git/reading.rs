//! One repository while it is read: fetched, asked for a commit, and for the files of it. Each step is one run of `git`.

use std::str;

use super::{
    super::file::{MOST_BYTES, SourceError},
    GitError, LOCAL, keep,
    program::{Program, Ran, words},
};
use crate::{
    declared::{CommittedFile, Git, Kind},
    model::Revision,
};

/// The most bytes of a list of names, and of all that is no file.
const MOST_LISTED: u64 = 1 << 20;

/// The most files of one source.
const MOST_FILES: usize = 256;

/// The most bytes of all files of one source: a push of a few bytes may hold one of them many times.
const MOST_TEXT: u64 = 4 << 20;

/// The ref of ours that is what the configured one was when it was fetched last.
const OURS: &str = "refs/driftd/head";

/// One repository while it is read.
pub(super) struct Reading<'r> {
    /// Which.
    pub git: &'r Git,
    /// What reads it.
    pub program: Program<'r>,
}

/// A line of `git ls-tree`.
struct Listed<'l> {
    mode: &'l str,
    object: &'l str,
    size: u64,
    name: &'l [u8],
}

impl Reading<'_> {
    /// Brings what the ref has now. Only the history of this one ref arrives.
    pub async fn fetch(&self) -> Result<(), GitError> {
        let (repository, refspec) =
            (self.git.repository.to_string(), format!("+{}:{OURS}", self.git.reference));
        let arguments = [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
            "--",
            &repository,
            &refspec,
        ];
        match self.program.run(&arguments, self.git.timeout, MOST_LISTED).await? {
            Ran::Well(_) => Ok(()),
            Ran::Badly { .. } if keep::is_full(self.program.directory, self.git.most_bytes) => {
                Err(GitError::TooLarge { repository, most: self.git.most_bytes })
            }
            Ran::Badly { told, .. } => Err(self.failed(&told)),
        }
    }

    /// The whole name of a commit that is on the ref, or of the head; none where there is none such.
    pub async fn resolve(&self, wanted: Option<&Revision>) -> Result<Option<Revision>, GitError> {
        let Some(wanted) = wanted else { return self.commit(OURS).await };
        let begins = wanted.as_str();
        // A name that is not whole could be that of a ref too, so that git is not let guess.
        let names = match begins.len() {
            40 | 64 => begins.to_owned(),
            _ => self.said(&["rev-parse", &format!("--disambiguate={begins}")]).await?.unwrap_or_default(),
        };
        let mut found = None;
        for name in names.lines().take(MOST_FILES) {
            let is_commit = self.commit(name).await?.is_some_and(|commit| commit.as_str() == name);
            if is_commit && self.said(&["merge-base", "--is-ancestor", name, OURS]).await?.is_some() {
                if found.is_some() {
                    let repository = self.git.repository.to_string();
                    return Err(GitError::Ambiguous { commit: wanted.clone(), repository });
                }
                found = Revision::git(name).ok();
            }
        }
        Ok(found)
    }

    /// What to say of a commit that is not on the ref; or of a ref without a commit.
    pub fn not_merged(&self, wanted: Option<&Revision>) -> GitError {
        let branch = self.git.branch().to_owned();
        match wanted.cloned() {
            None => self.failed(&format!("no commit on {branch}")),
            Some(commit) => {
                GitError::NotMerged { commit, branch, repository: self.git.repository.to_string() }
            }
        }
    }

    /// The commit that a name of ours, or the name of an object, stands for.
    async fn commit(&self, name: &str) -> Result<Option<Revision>, GitError> {
        let name = format!("{name}^{{commit}}");
        let said = self.said(&["rev-parse", "--verify", "--quiet", &name]).await?;
        Ok(said.and_then(|said| Revision::git(said.trim_end()).ok()))
    }

    /// The files of a commit that declare, in the order of the paths.
    pub async fn files(&self, commit: &Revision) -> Result<Vec<CommittedFile>, SourceError> {
        let (mut files, mut left) = (Vec::new(), MOST_TEXT);
        let fits = |left: &mut u64, entry: &Listed<'_>, path: &str| match left.checked_sub(entry.size) {
            Some(less) => {
                *left = less;
                Ok(())
            }
            None => Err(SourceError::TooLarge {
                path: path.to_owned(),
                most: MOST_TEXT,
                of: "bytes with the files before",
            }),
        };
        for path in &self.git.paths {
            let none = |found, path: &str| GitError::NoFile {
                found,
                path: path.to_owned(),
                commit: commit.short().to_owned(),
                repository: self.git.repository.to_string(),
            };
            let listed = self.listed(&["ls-tree", "-z", "-l", commit.as_str(), "--", path]).await?;
            let named = entries(&listed).find(|entry| entry.name == path.as_bytes());
            let Some(named) = named else { return Err(none("nothing", path).into()) };
            if named.mode != "040000" {
                fits(&mut left, &named, path)?;
                files.push(self.file(&named, path, &none).await?);
                continue;
            }
            let listed = self.listed(&["ls-tree", "-z", "-l", named.object]).await?;
            let before = files.len();
            for entry in entries(&listed).filter(|entry| entry.mode != "040000" && self.counts(entry.name)) {
                let Ok(name) = str::from_utf8(entry.name) else {
                    let shown = format!("{path}/{}", entry.name.escape_ascii());
                    return Err(none("a name that is not UTF-8", &shown).into());
                };
                let path = format!("{path}/{name}");
                fits(&mut left, &entry, &path)?;
                files.push(self.file(&entry, &path, &none).await?);
                if files.len() > MOST_FILES {
                    let most = MOST_FILES as u64;
                    return Err(SourceError::TooLarge { path: path.to_string(), most, of: "files" });
                }
            }
            if files.len() == before {
                return Err(none("a directory without one", path).into());
            }
        }
        Ok(files)
    }

    /// Whether a file of a directory is one that declares, by its name.
    fn counts(&self, name: &[u8]) -> bool {
        let ends = |of: &[&str]| of.iter().any(|end| name.ends_with(end.as_bytes()));
        match self.git.kind {
            Some(Kind::Declared) => ends(&[".yaml", ".yml"]),
            Some(Kind::SysctlD | Kind::Procps | Kind::Tuned) => ends(&[".conf"]),
            None => ends(&[".yaml", ".yml", ".conf"]),
        }
    }

    async fn file(
        &self,
        entry: &Listed<'_>,
        path: &str,
        none: &impl Fn(&'static str, &str) -> GitError,
    ) -> Result<CommittedFile, SourceError> {
        // gitformat-index(5), "mode".
        match entry.mode {
            "100644" | "100755" | "100664" => {}
            "120000" => return Err(none("a link", path).into()),
            "160000" => return Err(none("a submodule", path).into()),
            _ => return Err(none("no file", path).into()),
        }
        if entry.size > MOST_BYTES {
            return Err(SourceError::TooLarge { path: path.to_owned(), most: MOST_BYTES, of: "bytes" });
        }
        let text = match self.program.run(&["cat-file", "blob", entry.object], LOCAL, MOST_BYTES).await? {
            Ran::Well(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Ran::Badly { told, .. } => return Err(self.failed(&told).into()),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        Ok(CommittedFile {
            path: path.into(),
            kind: self.git.kind.unwrap_or_else(|| Kind::of_name(name)),
            text,
        })
    }

    async fn listed(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        match self.program.run(arguments, LOCAL, MOST_LISTED).await? {
            Ran::Well(output) => Ok(output),
            Ran::Badly { told, .. } => Err(self.failed(&told)),
        }
    }

    /// What git answers to a question; none where its answer is no.
    async fn said(&self, arguments: &[&str]) -> Result<Option<String>, GitError> {
        match self.program.run(arguments, LOCAL, MOST_LISTED).await? {
            Ran::Well(output) => Ok(Some(String::from_utf8_lossy(&output).into_owned())),
            Ran::Badly { code: Some(_), .. } => Ok(None),
            Ran::Badly { code: None, told } => Err(self.failed(&told)),
        }
    }

    pub async fn quietly(&self, arguments: &[&str]) -> Result<(), GitError> {
        self.listed(arguments).await.map(drop)
    }

    fn failed(&self, told: &str) -> GitError {
        GitError::Failed { repository: self.git.repository.to_string(), told: words(told) }
    }
}

/// The lines of `git ls-tree -z -l`: mode, type, object, size and, after a tab, the name.
fn entries(listed: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    listed.split(|byte| *byte == 0).filter_map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let (about, name) = line.split_at_checked(tab)?;
        let mut about = str::from_utf8(about).ok()?.split_ascii_whitespace();
        let (mode, _, object, size) = (about.next()?, about.next()?, about.next()?, about.next()?);
        // Of what is no file it is `-`.
        Some(Listed { mode, object, size: size.parse().unwrap_or_default(), name: name.get(1..)? })
    })
}
