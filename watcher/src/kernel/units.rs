//! The systemd unit of a process, by its cgroup: the id that a probe saw, and the path that systemd gave it.
//!
//! A cgroup's id is the inode number of its directory, and is never given to another (kernel `fs/kernfs/dir.c`,
//! `__kernfs_new_node`): what was found once holds for good. It is looked for at once, while the process may still be
//! there; one that was gone too soon is found by its cgroup, if that is still there.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
};

/// How many cgroups are remembered; with more all are forgotten.
const REMEMBERED: usize = 512;

/// How many directories of the tree are looked into for one cgroup, the upper ones first: some milliseconds' worth.
const LOOKED_INTO: usize = 1000;

/// What finds units.
pub struct Units {
    proc: PathBuf,
    /// Where cgroup version 2 is mounted.
    tree: PathBuf,
    known: HashMap<u64, Option<Box<str>>>,
}

impl Units {
    /// Below this root.
    pub fn new(root: &Path) -> Units {
        let whole = root.join("sys/fs/cgroup");
        // Beside version 1 systemd mounts it below (systemd `src/basic/cgroup-util.c`, `cg_unified_cached`).
        let hybrid = whole.join("unified");
        let tree = if hybrid.join("cgroup.procs").exists() { hybrid } else { whole };
        Units { proc: root.join("proc"), tree, known: HashMap::new() }
    }

    /// The unit of a process, by its id and that of its cgroup. Nothing where it belongs to none, or where both are gone.
    pub fn of(&mut self, pid: u32, cgroup: u64) -> Option<Box<str>> {
        // The probe could not tell, or it is the root, which is no unit's.
        if cgroup <= 1 {
            return None;
        }
        if let Some(known) = self.known.get(&cgroup) {
            return known.clone();
        }
        let path = self.of_process(pid, cgroup).or_else(|| self.in_tree(cgroup));
        let unit = path.as_deref().and_then(unit).map(Box::from);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(cgroup, unit.clone());
        unit
    }

    /// The path of the cgroup by `/proc/PID/cgroup`, where the process is still there and still in it.
    fn of_process(&self, pid: u32, cgroup: u64) -> Option<String> {
        let text = fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).ok()?;
        // cgroups(7): the one line of version 2 has no hierarchy and no controllers.
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let found = fs::metadata(self.tree.join(path)).ok()?;
        (found.ino() == cgroup).then(|| path.to_owned())
    }

    /// The path of the cgroup by a look through the tree.
    fn in_tree(&self, cgroup: u64) -> Option<String> {
        let mut ahead = VecDeque::from([self.tree.clone()]);
        for _ in 0..LOOKED_INTO {
            let dir = ahead.pop_front()?;
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = entry.path();
                if entry.ino() == cgroup {
                    return path.strip_prefix(&self.tree).ok()?.to_str().map(str::to_owned);
                }
                ahead.push_back(path);
            }
        }
        None
    }
}

/// The unit that a cgroup's path belongs to: the first component that is no slice (systemd `src/basic/cgroup-util.c`,
/// `cg_path_get_unit`). What is beneath it is the unit's own affair: who was given the subtree may call it anything.
fn unit(path: &str) -> Option<&str> {
    let name = path.split('/').find(|component| !component.is_empty() && !component.ends_with(".slice"))?;
    // A name that the kernel has a use for is escaped (`cg_escape`).
    let name = name.strip_prefix('_').unwrap_or(name);
    let (rest, kind) = name.rsplit_once('.')?;
    let known = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    (["service", "scope", "socket", "mount", "swap"].contains(&kind)
        && !rest.is_empty()
        && name.len() <= 255
        && name.bytes().all(known))
    .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, wanted: Option<&str>) {
        assert_eq!(unit(path), wanted, "{path}");
    }

    #[test]
    fn a_unit_is_the_first_component_that_is_no_slice() {
        check("system.slice/ssh.service", Some("ssh.service"));
        check("system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service"));
        check("user.slice/user-1000.slice/session-3.scope", Some("session-3.scope"));
        check(
            "user.slice/user-1000.slice/user@1000.service/app.slice/evil.service",
            Some("user@1000.service"),
        );
        check("init.scope", Some("init.scope"));
        check("system.slice/docker-0123abcd.scope/init.scope", Some("docker-0123abcd.scope"));
        check("system.slice/_cgroup.service", Some("cgroup.service"));
        check("system.slice/dev-disk-by\\x2duuid.swap", Some("dev-disk-by\\x2duuid.swap"));
    }

    #[test]
    fn what_systemd_did_not_name_is_no_unit() {
        for path in
            ["", "/", "system.slice", "docker/0123abcd", "kubepods/pod1/x.service", ".service", "a b.service"]
        {
            check(path, None);
        }
        check(&format!("{}.service", "a".repeat(300)), None);
    }

    /// A tree of directories, whose inode numbers are the ids of cgroups.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Host {
            let host = Host(tempfile::tempdir().unwrap());
            host.cgroup("system.slice/ssh.service");
            host.cgroup("user.slice/user-1000.slice/session-3.scope");
            host
        }

        fn cgroup(&self, path: &str) -> u64 {
            let dir = self.0.path().join("sys/fs/cgroup").join(path);
            fs::create_dir_all(&dir).unwrap();
            fs::metadata(dir).unwrap().ino()
        }

        fn process(&self, pid: u32, text: &str) {
            let dir = self.0.path().join("proc").join(pid.to_string());
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup"), text).unwrap();
        }

        fn units(&self) -> Units {
            Units::new(self.0.path())
        }
    }

    #[test]
    fn a_process_that_is_there_says_its_cgroup_and_one_that_is_gone_is_found_by_it() {
        let host = Host::new();
        let ssh = host.cgroup("system.slice/ssh.service");
        host.process(42, "1:name=systemd:/other.service\n0::/system.slice/ssh.service\n");
        assert_eq!(host.units().of(42, ssh).as_deref(), Some("ssh.service"));
        assert_eq!(host.units().of(7, ssh).as_deref(), Some("ssh.service"), "no such process");
    }

    #[test]
    fn a_process_that_has_another_cgroup_by_now_is_not_believed() {
        let host = Host::new();
        let session = host.cgroup("user.slice/user-1000.slice/session-3.scope");
        host.process(42, "0::/system.slice/ssh.service\n");
        assert_eq!(host.units().of(42, session).as_deref(), Some("session-3.scope"));
        host.process(43, "0::/../../../../etc\n");
        assert_eq!(host.units().of(43, 2).as_deref(), None);
    }

    #[test]
    fn what_was_found_once_is_known_when_the_cgroup_is_gone() {
        let host = Host::new();
        let (mut units, ssh) = (host.units(), host.cgroup("system.slice/ssh.service"));
        assert_eq!(units.of(7, ssh).as_deref(), Some("ssh.service"));
        fs::remove_dir(host.0.path().join("sys/fs/cgroup/system.slice/ssh.service")).unwrap();
        assert_eq!(units.of(7, ssh).as_deref(), Some("ssh.service"));
        assert_eq!(host.units().of(7, ssh), None, "who never saw it does not know it");
    }

    #[test]
    fn the_root_and_what_no_probe_could_tell_are_no_unit() {
        let host = Host::new();
        assert_eq!([0, 1].map(|id| host.units().of(42, id)), [None, None]);
    }

    #[test]
    fn beside_version_1_the_tree_is_where_systemd_mounts_it() {
        let host = Host::new();
        let ssh = host.cgroup("unified/system.slice/ssh.service");
        fs::write(host.0.path().join("sys/fs/cgroup/unified/cgroup.procs"), "").unwrap();
        host.process(42, "0::/system.slice/ssh.service\n");
        assert_eq!(host.units().of(42, ssh).as_deref(), Some("ssh.service"));
    }
}
