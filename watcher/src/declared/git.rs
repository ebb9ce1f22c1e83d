//! A Git repository that declares: what of it counts, and at which commit.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::Kind;
use crate::model::{Deployment, Revision};

/// A repository, and what of it declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// Where it is.
    pub repository: Repository,
    /// The ref that a commit must be on, as the repository has it: `HEAD` or `refs/…`.
    pub reference: Box<str>,
    /// Files in it, or directories whose files count; the later one wins. Relative, without `.` and `..`.
    pub paths: Vec<Box<str>>,
    /// What the files are; by their names where it is none.
    pub kind: Option<Kind>,
    /// The file that proves who asks: `USER:PASSWORD` for https, a private key for ssh.
    pub credentials: Option<PathBuf>,
    /// The application whose deployments deliver this repository; every deployment does where it is none.
    pub app: Option<Box<str>>,
    /// How long fetching may take.
    pub timeout: Duration,
    /// How many bytes the repository may have.
    pub most_bytes: u64,
}

/// How long fetching may take where nothing is said: a sender waits for no longer than fifteen seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How large a repository may be where nothing is said: many times what declares hosts, and no more than a state
/// directory can bear.
const MOST_BYTES: u64 = 256 << 20;

impl Git {
    /// A repository of which nothing else is said; nothing in it declares yet.
    pub fn of(repository: Repository) -> Git {
        Git {
            repository,
            reference: "HEAD".into(),
            paths: Vec::new(),
            kind: None,
            credentials: None,
            app: None,
            timeout: TIMEOUT,
            most_bytes: MOST_BYTES,
        }
    }
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// A directory of this host.
    Local(PathBuf),
    /// A server, by `https://HOST/PATH`.
    Https(Box<str>),
    /// A server, by `ssh://[USER@]HOST/PATH`.
    Ssh(Box<str>),
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repository::Local(path) => path.display().fmt(f),
            Repository::Https(url) | Repository::Ssh(url) => f.write_str(url),
        }
    }
}

impl Git {
    /// The commit that the deployments in force say; none before the first. The last delivered is the last.
    pub fn commit<'d>(&self, in_force: impl IntoIterator<Item = &'d Deployment>) -> Option<&'d Revision> {
        let ours = |deployment: &&Deployment| self.is_delivered_by(deployment.app.as_deref());
        in_force.into_iter().filter(ours).last().map(|deployment| &deployment.commit)
    }

    /// Whether deployments of an application deliver it.
    pub fn is_delivered_by(&self, app: Option<&str>) -> bool {
        self.app.as_deref().is_none_or(|own| Some(own) == app)
    }

    /// The ref as people call it.
    pub fn branch(&self) -> &str {
        match &*self.reference {
            "HEAD" => "the default branch",
            full => full.strip_prefix("refs/heads/").unwrap_or(full),
        }
    }
}

/// What a repository declares at one commit: texts that nobody has understood yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The commit, by its whole name; none where nothing could be read.
    pub commit: Option<Revision>,
    /// The files, in the order in which they are applied.
    pub files: Vec<CommittedFile>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedFile {
    /// Its path in the repository.
    pub path: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeploymentId, Values};

    fn deployment(app: &str, commit: &str) -> Deployment {
        Deployment {
            id: DeploymentId("d".into()),
            commit: commit.parse().unwrap(),
            app: Some(app.into()),
            environment: None,
            repo: None,
            undated: false,
            announced: false,
            declared: Values::default(),
        }
    }

    #[track_caller]
    fn check(app: Option<&str>, in_force: &[Deployment], wanted: Option<&str>) {
        let mut git = Git::of(Repository::Local("/srv/infra.git".into()));
        git.app = app.map(Into::into);
        assert_eq!(git.commit(in_force).map(Revision::as_str), wanted);
    }

    #[test]
    fn the_last_deployment_of_the_application_says_the_commit() {
        let in_force = [deployment("infra", "aaaaaa"), deployment("web", "bbbbbb")];
        check(None, &in_force, Some("bbbbbb"));
        check(Some("infra"), &in_force, Some("aaaaaa"));
        check(Some("db"), &in_force, None);
        check(None, &[], None);
    }
}
