//! `git:` of `declared_from:`: a repository that declares. Nothing here reaches for it; what is not certain to be harmless as an
//! argument of `git` is refused.

use std::{path::PathBuf, time::Duration};

use super::{
    duration,
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong},
    scalar,
};
use crate::declared::{Git, Kind, Repository};

pub(super) const FIELDS: [&str; 8] =
    ["repository", "path", "ref", "kind", "app", "credentials", "timeout", "size"];

const KINDS: [(&str, Kind); 4] = [
    ("declared", Kind::Declared),
    ("sysctl.d", Kind::SysctlD),
    ("procps", Kind::Procps),
    ("tuned", Kind::Tuned),
];

/// How long fetching may take at the longest.
const LONGEST: Duration = Duration::from_secs(60);

/// How many paths of one repository.
const MOST_PATHS: usize = 16;

const REPOSITORY: &str = "a repository: an absolute path, `https://HOST/PATH` or `ssh://git@HOST/PATH`";
const PROVED: &str = "who asks is proved by the file in `credentials`, which nobody else reads";
const PATH: &str = "a path in the repository, as in `hosts/db/kernel.yaml`";
const REF: &str = "a branch, or a ref such as `refs/tags/live`";

/// Checks the map. Nothing where there was a mistake.
pub(super) fn git(section: &Entry, problems: &mut Problems) -> Option<Git> {
    let Tree::Map(entries) = &section.value.tree else {
        let wrong = Wrong::new("a map with `repository` and `path`")
            .hint("`git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`");
        problems.push(section.value.span, section.value.described(), wrong);
        return None;
    };
    let before = problems.count();
    let (mut repository_of, mut paths_of) = (None, None);
    let mut git = Git::of(Repository::Local(PathBuf::new()));
    for entry in entries {
        let node = &entry.value;
        match &*entry.name.text {
            "repository" => {
                repository_of = scalar::discreet(node, REPOSITORY, problems, has_password, repository);
            }
            "path" => paths_of = paths(node, problems),
            "ref" => {
                git.reference = scalar::value(node, REF, problems, reference).unwrap_or_default();
            }
            "kind" => git.kind = scalar::choice(node, &KINDS, problems),
            "app" => {
                let text = scalar::text(node, "the name of an application", problems);
                git.app = text.map(Into::into);
            }
            "credentials" => git.credentials = scalar::value(node, CREDENTIALS, problems, credentials),
            "timeout" => git.timeout = scalar::value(node, WAIT, problems, timeout).unwrap_or_default(),
            "size" => git.most_bytes = scalar::value(node, SIZE, problems, size).unwrap_or_default(),
            _ => scalar::unknown(&entry.name, "a field of `git`", &FIELDS, problems),
        }
    }
    for name in ["repository", "path"] {
        if !entries.iter().any(|entry| &*entry.name.text == name) {
            let wrong = Wrong::new(format!("`{name}` in it"))
                .hint("`git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`");
            problems.push(section.name.span, format!("`git` without `{name}`"), wrong);
        }
    }
    if git.credentials.is_some() && matches!(repository_of, Some(Repository::Local(_))) {
        let wrong = Wrong::new("them for `https://` or `ssh://` alone").hint("leave the field out");
        problems.push(section.name.span, "`credentials` for a directory", wrong);
    }
    (git.repository, git.paths) = (repository_of?, paths_of?);
    (problems.count() == before).then_some(git)
}

/// Whether a text without a scheme has a password in front of a host.
fn has_password(text: &str) -> bool {
    let user = text.rsplit_once('@').map(|(user, _)| user);
    !text.contains("://") && user.is_some_and(|user| user.contains(':'))
}

fn repository(text: &str) -> Result<Repository, Wrong> {
    let wrong = |hint: &str| Err(Wrong::new(REPOSITORY).hint(hint));
    if text.chars().any(char::is_control) {
        return wrong("without control characters");
    }
    if text.starts_with('/') {
        return Ok(Repository::Local(text.into()));
    }
    if has_password(text) {
        return wrong(PROVED);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text.split_once(':') {
            Some((host, path))
                if !host.is_empty() && !host.contains([':', '/']) && !path.starts_with(':') =>
            {
                wrong(&format!("`ssh://{host}/{path}`"))
            }
            _ => wrong("a relative path would be another one for the daemon"),
        };
    };
    match scheme {
        "https" | "ssh" => {}
        "http" | "git" => return wrong("anybody on the way could change what comes over it: `https://`"),
        "file" => return wrong("the path alone"),
        _ => return wrong("no other way is taken"),
    }
    let Some((authority, path)) = rest.split_once('/') else { return wrong("a path follows the host") };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    // What begins with `-` would be an option of ssh(1).
    let name = |text: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(known)
    };
    let is_host = match host.rsplit_once(':') {
        Some((host, port)) => name(host) && port.parse::<u16>().is_ok(),
        None => name(host),
    };
    let known = |b: u8| b.is_ascii_graphic() && !b"?#%\\\"'`".contains(&b);
    if !is_host || path.is_empty() || path.starts_with('-') || !path.bytes().all(known) {
        return wrong("a host's name, perhaps `:PORT`, and a path of plain characters");
    }
    match (scheme, user) {
        ("https", None) => Ok(Repository::Https(text.into())),
        ("https", Some(_)) => wrong(PROVED),
        (_, None) => Ok(Repository::Ssh(text.into())),
        (_, Some(user)) if name(user) => Ok(Repository::Ssh(text.into())),
        (_, Some(_)) => wrong("a user's name alone before the `@`"),
    }
}

/// One path or a list of them.
fn paths(node: &Node, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    match &node.tree {
        Tree::List(list) if (1..=MOST_PATHS).contains(&list.len()) => {
            // Each is looked at before one of them stops the rest.
            let read: Vec<_> = list.iter().map(|node| scalar::value(node, PATH, problems, path)).collect();
            read.into_iter().collect()
        }
        Tree::List(list) => {
            let wrong =
                Wrong::new(format!("1 to {MOST_PATHS} paths")).hint("a directory stands for its files");
            problems.push(node.span, format!("a list of {}", list.len()), wrong);
            None
        }
        _ => Some(vec![scalar::value(node, PATH, problems, path)?]),
    }
}

fn path(text: &str) -> Result<Box<str>, Wrong> {
    let known = |part: &str| !["", ".", ".."].contains(&part) && !part.chars().any(char::is_control);
    match text.len() <= 1024 && text.split('/').all(known) {
        true => Ok(text.into()),
        false => Err(Wrong::new(PATH).hint("relative to its top, without `.` and `..`")),
    }
}

/// A ref by its whole name, of a part of what git-check-ref-format(1) allows.
fn reference(text: &str) -> Result<Box<str>, Wrong> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-+#=@".contains(&b);
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with(['.', '@'])
            && !part.ends_with(".lock")
            && !part.contains("..")
            && part.bytes().all(known)
    };
    match text.len() <= 255 && text.split('/').all(component) {
        true if text == "HEAD" || text.starts_with("refs/") => Ok(text.into()),
        true => Ok(format!("refs/heads/{text}").into()),
        false => Err(Wrong::new(REF).hint("it is followed, and no single commit")),
    }
}

const CREDENTIALS: &str = "the absolute path of a file";

/// The path is a word of a command that a shell reads (`GIT_SSH_COMMAND` of git(1)): nothing that a shell heeds is in it.
fn credentials(text: &str) -> Result<PathBuf, Wrong> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    match text.starts_with('/') && text.bytes().all(known) {
        true => Ok(text.into()),
        false => Err(Wrong::new(CREDENTIALS).hint("of letters, digits and `/._-+@`")),
    }
}

const WAIT: &str = "a duration from `1s` to `60s`";

fn timeout(text: &str) -> Result<Duration, Wrong> {
    let duration = duration::at_least(Duration::from_secs(1), text)?;
    match duration <= LONGEST {
        true => Ok(duration),
        false => Err(Wrong::new(WAIT).hint("the sender of a deployment waits for it")),
    }
}

const SIZE: &str = "a size from `1MiB` to `4GiB`";

fn size(text: &str) -> Result<u64, Wrong> {
    let bytes = scalar::quantity(text).map_err(|wrong| Wrong { wanted: SIZE.into(), ..wrong })?.whole();
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| (1 << 20..=4 << 30).contains(bytes))
        .ok_or_else(|| Wrong::new(SIZE))
}

#[cfg(test)]
mod tests {
    use super::{super::file::parse, *};
    use crate::declared::Request;

    fn source(fields: &str) -> Result<Git, String> {
        let config = parse("f", &format!("declared_from:\n- git: {{{fields}}}\n"));
        match config.map_err(|problems| problems.render(false))?.declared_from.pop() {
            Some(Request::Git(git)) => Ok((*git).clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_repository_and_a_path_are_enough() {
        let wanted = Git {
            repository: Repository::Local("/srv/infra.git".into()),
            reference: "HEAD".into(),
            paths: vec!["hosts/db/kernel.yaml".into()],
            kind: None,
            credentials: None,
            app: None,
            timeout: Duration::from_secs(5),
            most_bytes: 256 << 20,
        };
        assert_eq!(source("repository: /srv/infra.git, path: hosts/db/kernel.yaml"), Ok(wanted));
    }

    #[test]
    fn every_field_is_taken() {
        let git = source(
            "repository: \"ssh://git@git.example.org:22/infra.git\", path: [base, hosts/db], ref: live, kind: sysctl.d, \
             app: infra, credentials: /etc/driftd/key, timeout: 10s, size: 64MiB",
        );
        let git = git.unwrap();
        assert_eq!(git.repository, Repository::Ssh("ssh://git@git.example.org:22/infra.git".into()));
        assert_eq!((&*git.reference, git.branch(), git.paths.len()), ("refs/heads/live", "live", 2));
        assert_eq!((git.kind, git.app.as_deref()), (Some(Kind::SysctlD), Some("infra")));
        assert_eq!((git.timeout, git.most_bytes), (Duration::from_secs(10), 64 << 20));
    }

    #[track_caller]
    fn check_refused(field: &str, value: &str, hint: &str) {
        let fields = match field {
            "repository" => format!("repository: \"{value}\", path: a.yaml"),
            _ => format!("repository: /srv/infra.git, path: a.yaml, {field}: \"{value}\""),
        };
        let fields =
            if field == "path" { format!("repository: /srv/infra.git, path: \"{value}\"") } else { fields };
        let told = source(&fields).expect_err(value);
        assert!(told.contains(hint) && !told.contains("token@"), "{value}\n{told}");
    }

    #[test]
    fn what_could_be_more_than_a_name_is_refused() {
        for (repository, hint) in [
            ("ext::sh -c touch% /tmp/x", "would be another one"),
            ("infra.git", "would be another one"),
            ("--upload-pack=touch", "would be another one"),
            ("git@git.example.org:infra.git", "hint: `ssh://git@git.example.org/infra.git`"),
            ("file:///srv/infra.git", "hint: the path alone"),
            ("http://git.example.org/infra.git", "could change what comes"),
            ("git://git.example.org/infra.git", "could change what comes"),
            ("https://user:token@git.example.org/infra.git", "by the file in `credentials`"),
            ("user:token@git.example.org/infra.git", "by the file in `credentials`"),
            ("https://git.example.org", "a path follows the host"),
            ("ssh://-oProxyCommand=x/infra.git", "a host's name"),
            ("ssh://git.example.org/-x", "a host's name"),
            ("ssh://-x@git.example.org/a", "a user's name"),
            ("ext://x/a", "no other way is taken"),
        ] {
            check_refused("repository", repository, hint);
        }
        for path in ["/etc/shadow", "../a", "a/../b", "a//b", "./a", ""] {
            check_refused("path", path, "a path in the repository");
        }
        for name in ["-x", "a..b", "a b", "a:b", "+a^", "a/.b", "a.lock", "@{u}", "*", "a@"] {
            check_refused("ref", name, "a branch, or a ref");
        }
        check_refused("credentials", "/etc/a b", "hint: of letters");
        check_refused("credentials", "/etc/key", "`credentials` for a directory");
        check_refused("timeout", "5m", "hint: the sender of a deployment waits for it");
        check_refused("size", "1kB", "a size from");
        check_refused("kind", "sysctl", "did you mean");
        check_refused("paths", "a", "did you mean `path`?");
    }

    #[test]
    fn what_is_missing_is_told() {
        let told = source("ref: main").unwrap_err();
        insta::assert_snapshot!(told, @r#"
        error: found `git` without `repository`, wanted `repository` in it
         --> f:2:3
          |
        2 | - git: {ref: main}
          |   ^^^
          |
          = hint: `git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`

        error: found `git` without `path`, wanted `path` in it
         --> f:2:3
          |
        2 | - git: {ref: main}
          |   ^^^
          |
          = hint: `git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`

        2 mistakes in f
        "#);
        source("repository: /srv/infra.git, path: []").unwrap_err();
    }
}
