//! A bare repository, somebody who commits to it, and what is kept of it.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::super::*;

/// All of it; gone with the value.
pub struct Bench {
    dir: TempDir,
    /// The source; `main` of the repository, and the file `kernel.yaml` or what was first.
    pub git: Git,
    /// What reads it.
    pub repositories: Repositories,
}

impl Bench {
    /// A repository with these files in its first commit. The first of them declares.
    pub fn new(files: &[(&str, &str)]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let git = Git {
            reference: "refs/heads/main".into(),
            paths: files.first().map(|(path, _)| (*path).into()).into_iter().collect(),
            timeout: Duration::from_secs(30),
            ..Git::of(Repository::Local(dir.path().join("infra.git")))
        };
        let repositories = Repositories::new(&dir.path().join("state"));
        let bench = Bench { dir, git, repositories };
        bench.run("", &["init", "-q", "--bare", "-b", "main", "infra.git"]);
        bench.run("", &["clone", "-q", "infra.git", "work"]);
        bench.work(&["checkout", "-q", "-B", "main"]);
        bench.commit(files);
        bench
    }

    /// A file beside the repository.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `git` answers in the directory of who commits.
    #[track_caller]
    pub fn work(&self, arguments: &[&str]) -> String {
        self.run("work", arguments)
    }

    /// What `git` answers in a directory.
    #[track_caller]
    pub fn run(&self, directory: &str, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.path(directory)).args(arguments);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Commits these files and what lies about, and pushes it to `main`. The commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path("work").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.work(&["add", "-A"]);
        self.work(&["commit", "-q", "--allow-empty", "-m", "m"]);
        self.work(&["push", "-q", "--force", "origin", "HEAD:main"]);
        self.head()
    }

    /// The same on another branch, and back. The commit.
    #[track_caller]
    pub fn on_a_branch(&self, branch: &str, files: &[(&str, &str)]) -> String {
        self.work(&["checkout", "-q", "-b", branch]);
        for (path, text) in files {
            fs::write(self.path("work").join(path), text).unwrap();
        }
        self.work(&["commit", "-q", "-a", "-m", "m"]);
        self.work(&["push", "-q", "origin", branch]);
        let commit = self.head();
        self.work(&["checkout", "-q", "main"]);
        commit
    }

    /// The commit of who commits.
    #[track_caller]
    pub fn head(&self) -> String {
        self.work(&["rev-parse", "HEAD"])
    }

    /// Reads the source.
    pub async fn read(&self, at: At<'_>) -> Result<Committed, SourceError> {
        self.repositories.read(&self.git, at).await
    }

    /// Nobody serves the repository any more.
    pub fn take_away(&self) {
        fs::rename(self.path("infra.git"), self.path("away.git")).unwrap();
    }

    /// Puts a program before the others.
    pub fn install(&mut self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let (directory, path) = (self.path("bin"), std::env::var("PATH").unwrap());
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join(name);
        fs::write(&file, format!("#!/bin/sh\nPATH=${{PATH#*:}}\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{path}", directory.display());
        self.repositories.environment.retain(|(name, _)| name != "PATH");
        self.repositories.environment.push(("PATH".into(), path.into()));
    }

    /// A text without what each run has its own of.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "DIR").replace(&self.head()[..12], "COMMIT")
    }
}

/// What was read, one file after the other.
pub fn shown(committed: &Committed) -> String {
    let files = committed.files.iter();
    files.map(|file| format!("{} {:?} {}", file.path, file.kind, file.text)).collect()
}
