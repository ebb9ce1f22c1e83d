//! `declared_from:`: the sources that declare keys, in the order in which they are applied. Nothing here opens them.

use std::path::PathBuf;

use super::{
    git,
    node::{Entry, Node, Tree},
    problem::{Problems, Wrong, quoted},
    scalar,
};
use crate::declared::{Kind, Request, sysctl::Applier};

const KINDS: [(&str, Kind); 4] = [
    ("sysctl.d", Kind::SysctlD),
    ("procps", Kind::Procps),
    ("tuned", Kind::Tuned),
    ("declared", Kind::Declared),
];

const WANTED: &str = "a source: `sysctl.d`, `procps`, `sysctl.d: PATH`, `procps: PATH`, `tuned: NAME`, `declared: FILE`, `git: {…}`";

/// The sources of the section. Those with a mistake are in `problems`.
pub(super) fn declared_from(node: &Node, problems: &mut Problems) -> Vec<Request> {
    match &node.tree {
        Tree::Nothing => Vec::new(),
        Tree::List(items) => items.iter().filter_map(|item| source(item, problems)).collect(),
        Tree::Scalar(_) | Tree::Map(_) => {
            let wrong = Wrong::new("a list of sources").hint("one `- source` a line, the later one winning");
            problems.push(node.span, node.described(), wrong);
            Vec::new()
        }
    }
}

fn source(node: &Node, problems: &mut Problems) -> Option<Request> {
    match &node.tree {
        Tree::Scalar(text) => match &**text {
            "sysctl.d" => Some(Request::Host(Applier::Systemd)),
            "procps" => Some(Request::Host(Applier::Procps)),
            _ => {
                let hint = match &**text {
                    "tuned" => "name the profile: `tuned: throughput-performance`",
                    "declared" => "name the file: `declared: /etc/driftd/kernel.yaml`",
                    "git" => "name it: `git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`",
                    _ => "the kind comes first: `declared: /etc/driftd/kernel.yaml`",
                };
                problems.push(node.span, quoted(text), Wrong::new(WANTED).hint(hint));
                None
            }
        },
        Tree::Map(entries) => match entries.as_slice() {
            [entry] => named(entry, problems),
            _ => {
                problems.push(node.span, "a map of several", Wrong::new(WANTED));
                None
            }
        },
        Tree::Nothing | Tree::List(_) => {
            problems.push(node.span, node.described(), Wrong::new(WANTED));
            None
        }
    }
}

fn named(entry: &Entry, problems: &mut Problems) -> Option<Request> {
    if &*entry.name.text == "git" {
        return git::git(entry, problems).map(|git| Request::Git(git.into()));
    }
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == &*entry.name.text) else {
        let known = ["sysctl.d", "procps", "tuned", "declared", "git"];
        scalar::unknown(&entry.name, "a kind of source", &known, problems);
        return None;
    };
    let path = match kind {
        Kind::Tuned => {
            let text = scalar::text(&entry.value, "the name of a profile, or its file", problems)?;
            // A relative path would be somewhere else for the daemon.
            if text.contains('/') && !text.starts_with('/') {
                let wrong = Wrong::new("the name of a profile, or an absolute path");
                problems.push(entry.value.span, quoted(text), wrong);
                return None;
            }
            PathBuf::from(text)
        }
        Kind::SysctlD | Kind::Procps | Kind::Declared => scalar::path(&entry.value, problems)?,
    };
    Some(Request::File { kind: *kind, path })
}

#[cfg(test)]
mod tests {
    use super::{super::file::parse, *};

    #[test]
    fn sources_are_taken_in_their_order() {
        let text = "\
declared_from:
- sysctl.d
- procps
- sysctl.d: /srv/db
- tuned: throughput-performance
- declared: /etc/kernel.yaml
declared:
  vm.swappiness: 10
";
        let config = parse("f", text).unwrap();
        let file = |kind, path: &str| Request::File { kind, path: path.into() };
        assert_eq!(
            config.declared_from,
            [
                Request::Host(Applier::Systemd),
                Request::Host(Applier::Procps),
                file(Kind::SysctlD, "/srv/db"),
                file(Kind::Tuned, "throughput-performance"),
                file(Kind::Declared, "/etc/kernel.yaml"),
            ]
        );
        let lines: Vec<String> =
            config.declared.iter().map(|l| format!("{} {} {}", l.from, l.source, l.target)).collect();
        assert_eq!(lines, ["f f:8 vm.swappiness"]);
    }

    #[test]
    fn a_configuration_that_declares_nothing_has_the_hosts_own_sysctl_d() {
        let of = |text: &str| parse("f", text).unwrap().declared_from;
        assert_eq!(of(""), [Request::Host(Applier::Systemd)]);
        assert_eq!(of("sweep: 5s\n"), [Request::Host(Applier::Systemd)]);
        assert_eq!(of("declared_from: []\n"), []);
        assert_eq!(of("declared:\n  vm.swappiness: 1\n"), []);
        assert_eq!(of("drift_rules:\n  a: vm.swappiness\n"), []);
    }

    #[test]
    fn every_mistake_in_the_sources_is_told() {
        let text =
            "declared_from:\n- tuned\n- tuned: a/b\n- sysctl: /x\n- declared: kernel.yaml\n- [a]\n- git\n";
        let problems = parse("f", text).unwrap_err();
        insta::assert_snapshot!(problems.render(false), @r#"
        error: found `tuned`, wanted a source: `sysctl.d`, `procps`, `sysctl.d: PATH`, `procps: PATH`, `tuned: NAME`, `declared: FILE`, `git: {…}`
         --> f:2:3
          |
        2 | - tuned
          |   ^^^^^
          |
          = hint: name the profile: `tuned: throughput-performance`

        error: found `a/b`, wanted the name of a profile, or an absolute path
         --> f:3:10
          |
        3 | - tuned: a/b
          |          ^^^

        error: found `sysctl`, wanted a kind of source
         --> f:4:3
          |
        4 | - sysctl: /x
          |   ^^^^^^
          |
          = hint: did you mean `sysctl.d`?

        error: found `kernel.yaml`, wanted an absolute path
         --> f:5:13
          |
        5 | - declared: kernel.yaml
          |             ^^^^^^^^^^^

        error: found a list, wanted a source: `sysctl.d`, `procps`, `sysctl.d: PATH`, `procps: PATH`, `tuned: NAME`, `declared: FILE`, `git: {…}`
         --> f:6:3
          |
        6 | - [a]
          |   ^^

        error: found `git`, wanted a source: `sysctl.d`, `procps`, `sysctl.d: PATH`, `procps: PATH`, `tuned: NAME`, `declared: FILE`, `git: {…}`
         --> f:7:3
          |
        7 | - git
          |   ^^^
          |
          = hint: name it: `git: { repository: /srv/infra.git, path: hosts/db/kernel.yaml }`

        6 mistakes in f
        "#);
    }
}
