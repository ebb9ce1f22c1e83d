//! What is kept of a repository between two readings: a bare repository of our own, below the state directory, and the commit
//! that was taken from it last. No configuration, hook or attribute in it is anybody else's.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::{
    super::file::{self, SourceError},
    GitError,
};
use crate::{
    declared::{Git, Repository},
    model::Revision,
};

/// The most bytes of a file with credentials.
const MOST_CREDENTIALS: u64 = 4096;

/// A repository of ours, for as long as nobody else changes it.
#[derive(Debug)]
pub(super) struct Kept {
    /// The directory of it.
    pub directory: PathBuf,
    /// What proves to the other repository who asks.
    pub proof: Vec<(OsString, OsString)>,
    /// Let go of with the value.
    _lock: File,
}

/// The directory of what is kept of a source, below `directory`.
pub(super) fn place(directory: &Path, git: &Git) -> PathBuf {
    let app = git.app.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{}\0{}\0{app}", git.repository, git.reference));
    directory.join(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Makes everything ready for `git`, and says why the other repository cannot be asked, where that is so. It waits while another
/// process reads the same.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn open(directory: &Path, git: &Git) -> Result<(Kept, Option<SourceError>), SourceError> {
    let directory = place(directory, git);
    let failed = |error| GitError::Directory { path: directory.display().to_string(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
    let lock = private(&directory.join("lock")).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
    tidy(&directory.join("repository"), git.most_bytes).map_err(failed)?;
    let mut file = private(&directory.join(".gitconfig")).map_err(failed)?;
    file.set_len(0).and_then(|()| file.write_all(settings(&git.repository).as_bytes())).map_err(failed)?;
    let (proof, barred) = match proof(git) {
        Ok(proof) => (proof, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    Ok((Kept { directory, proof, _lock: lock }, barred))
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The commit that was taken last; none where none was, or that cannot be read.
pub(super) fn taken(directory: &Path, git: &Git) -> Option<Revision> {
    let text = fs::read_to_string(place(directory, git).join("taken")).ok()?;
    Revision::git(text.trim_end()).ok()
}

/// Keeps in mind which commit was taken.
///
/// # Errors
/// The file cannot be written.
pub(super) fn take(directory: &Path, git: &Git, commit: &Revision) -> io::Result<()> {
    let directory = place(directory, git);
    let new = directory.join("taken.new");
    let mut file = private(&new)?;
    file.set_len(0)?;
    file.write_all(format!("{commit}\n").as_bytes())?;
    fs::rename(new, directory.join("taken"))
}

/// A repository of this host is read by a `git` that runs in it, as this user: whoever may write it must be one who could do
/// what this user does anyway.
fn owned(path: &Path) -> Result<(), GitError> {
    let us = rustix::process::geteuid().as_raw();
    let inner = path.join(".git");
    // A file `config` beside `.git` is anything.
    let config = if inner.exists() { inner.join("config") } else { path.join("config") };
    for (path, is_directory, must_be) in
        [(path.to_owned(), true, true), (inner, true, false), (config, false, false)]
    {
        let shown = || path.display().to_string();
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be => {}
            Err(error) => return Err(GitError::Directory { path: shown(), error }),
            Ok(found) if is_directory && !found.is_dir() => {
                return Err(GitError::NoRepository { path: shown() });
            }
            Ok(found) if !is_trusted(found.uid(), us) => {
                return Err(GitError::Foreign { path: shown(), uid: found.uid() });
            }
            Ok(found) if found.mode() & 0o022 != 0 => {
                return Err(GitError::Writable { path: shown(), mode: found.mode() & 0o7777 });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Whether an owner could do what we do anyway.
fn is_trusted(owner: u32, us: u32) -> bool {
    owner == 0 || owner == us
}

/// Takes away what a `git` that was killed left, and everything where it has become larger than it may be: it is fetched anew.
fn tidy(repository: &Path, most_bytes: u64) -> io::Result<()> {
    let (mut bytes, mut left) = (0, Vec::new());
    let mut directories = vec![repository.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (name, metadata) = (entry.file_name(), entry.metadata()?);
            let name = name.to_string_lossy();
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if name.ends_with(".lock") || name.starts_with("tmp_") {
                left.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    if bytes > most_bytes {
        return fs::remove_dir_all(repository);
    }
    left.iter().try_for_each(fs::remove_file)
}

/// Whether a fetch ended because a pack became as large as it may be (`RLIMIT_FSIZE` of setrlimit(2)): `git` has no word for it.
pub(super) fn is_full(directory: &Path, most_bytes: u64) -> bool {
    let is_cut = |entry: &fs::DirEntry| {
        let is_left = entry.file_name().to_string_lossy().starts_with("tmp_pack_");
        is_left && entry.metadata().is_ok_and(|metadata| metadata.len() >= most_bytes / 512 * 512)
    };
    let entries = fs::read_dir(directory.join("repository/objects/pack")).into_iter().flatten();
    entries.filter_map(Result::ok).any(|entry| is_cut(&entry))
}

/// How many packs there are: each fetch that brings something leaves one.
pub(super) fn packs(directory: &Path) -> usize {
    let is_pack =
        |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "pack");
    let entries = fs::read_dir(directory.join("repository/objects/pack")).into_iter().flatten();
    entries.filter_map(Result::ok).filter(is_pack).count()
}

/// The configuration of `git`, which has no other. That of the user is the one file that also reaches the `git` at the other end
/// of a local repository.
fn settings(repository: &Repository) -> String {
    let mut settings = String::from(
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\
         [fetch]\n\tunpackLimit = 1\n\trecurseSubmodules = false\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
         [http]\n\tfollowRedirects = false\n[transfer]\n\tbundleURI = false\n",
    );
    // Whose it is was looked at: `git` itself trusts nobody but this user, and not root.
    if let Repository::Local(path) = repository {
        settings.push_str("[safe]\n");
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        for path in [path.clone(), path.join(".git")] {
            let path = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
            settings.push_str(&format!("\tdirectory = \"{path}\"\n"));
        }
    }
    settings
}

/// What proves who asks, as variables: no argument, which everybody sees, and no file.
fn proof(git: &Git) -> Result<Vec<(OsString, OsString)>, SourceError> {
    match (&git.repository, &git.credentials) {
        (Repository::Local(path), _) => Ok(owned(path).map(|()| Vec::new())?),
        (Repository::Https(_), None) => Ok(Vec::new()),
        (Repository::Https(url), Some(path)) => {
            let text = file::read(path, MOST_CREDENTIALS)?;
            let text = text.trim();
            let both =
                text.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
            if !both || text.chars().any(char::is_control) {
                return Err(GitError::NotCredentials { path: path.display().to_string() }.into());
            }
            // To this server alone, and redirections are not followed.
            let server: String = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            Ok([
                ("GIT_CONFIG_COUNT", "1".to_owned()),
                ("GIT_CONFIG_KEY_0", format!("http.{server}/.extraHeader")),
                ("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(text))),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into())
        }
        (Repository::Ssh(_), key) => {
            let mut command = String::from("ssh -o BatchMode=yes -o StrictHostKeyChecking=yes");
            if let Some(key) = key {
                command.push_str(&format!(" -o IdentitiesOnly=yes -i {}", key.display()));
            }
            Ok(vec![("GIT_SSH_COMMAND".into(), command.into())])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_repository_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("infra");
        fs::create_dir_all(path.join(".git")).unwrap();
        fs::write(path.join(".git/config"), "").unwrap();
        let set =
            |name: &str, mode| fs::set_permissions(path.join(name), Permissions::from_mode(mode)).unwrap();
        [("", 0o755), (".git", 0o700), (".git/config", 0o644)]
            .iter()
            .for_each(|(name, mode)| set(name, *mode));
        owned(&path).unwrap();
        for (name, mode, as_it_was) in
            [("", 0o775, 0o755), (".git", 0o702, 0o700), (".git/config", 0o664, 0o644)]
        {
            set(name, mode);
            let told = owned(&path).unwrap_err().to_string();
            assert!(told.contains("which others than its owner may write"), "{name}: {told}");
            set(name, as_it_was);
        }
        owned(&path).unwrap();
    }

    #[test]
    fn root_and_this_user_are_trusted_and_nobody_else() {
        assert!([(0, 0), (0, 7), (7, 7)].iter().all(|(owner, us)| is_trusted(*owner, *us)));
        assert!([(7, 0), (8, 7)].iter().all(|(owner, us)| !is_trusted(*owner, *us)));
    }
}
