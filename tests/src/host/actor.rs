//! Another process that writes: this very program, started again and told what to do in its environment.

use std::{
    env, fs,
    io::{Read, Write},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use rustix::thread::UnshareFlags;

/// Tells the program that it is the actor: the path to write.
const PATH: &str = "DRIFTD_ACTOR_PATH";
/// The value to write.
const VALUE: &str = "DRIFTD_ACTOR_VALUE";
/// That it first leaves for a user namespace and a network namespace of its own.
const APART: &str = "DRIFTD_ACTOR_APART";

/// The user and the group `nobody`, as Debian numbers them.
pub const NOBODY: u32 = 65534;

/// The actor's part: waits for the word on standard input, and writes. `None` where this process is no actor.
pub fn act() -> Option<process::ExitCode> {
    let path = PathBuf::from(env::var_os(PATH)?);
    let value = env::var(VALUE).unwrap_or_default();
    let mut word = Vec::new();
    let done = std::io::stdin()
        .read_to_end(&mut word)
        .and_then(|_| if env::var_os(APART).is_some() { go_apart() } else { Ok(()) })
        .and_then(|()| super::write(&path, &value));
    Some(match done {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path:?}: {error}");
            process::ExitCode::FAILURE
        }
    })
}

/// Leaves for namespaces in which this process is root, as `unshare -rn` does.
fn go_apart() -> std::io::Result<()> {
    super::namespace::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    fs::write("/proc/self/uid_map", format!("0 {NOBODY} 1"))
}

/// The actor that is to write this, as a command.
#[track_caller]
pub(super) fn actor(path: &Path, value: &str) -> Command {
    let mut actor = Command::new(env::current_exe().expect("this program has a path"));
    actor.env(PATH, path).env(VALUE, value);
    actor
}

/// Writes a sysctl as nobody, from a user namespace and a network namespace of nobody's own; the process id.
#[track_caller]
pub fn write_as_nobody_apart(path: &Path, value: &str) -> u32 {
    let mut actor = actor(path, value)
        .env(APART, "1")
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()
        .expect("this program can be started again");
    let pid = actor.id();
    let status = actor.wait().expect("the actor can be waited for");
    assert!(status.success(), "the actor failed: {status}");
    pid
}

/// A cgroup (version 2) below the root one.
#[derive(Debug)]
pub struct ChildCgroup {
    directory: PathBuf,
}

impl ChildCgroup {
    /// Makes it.
    #[track_caller]
    pub fn new() -> ChildCgroup {
        let directory = cgroup2().join(format!("driftd-test-{}", process::id()));
        fs::create_dir_all(&directory).unwrap_or_else(|e| panic!("cannot make {directory:?}: {e}"));
        ChildCgroup { directory }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Its id, as the kernel's programs see it: the number of the directory (kernfs_node.id on 64 bits).
    pub fn id(&self) -> u64 {
        fs::metadata(&self.directory).expect("the cgroup is there").ino()
    }

    /// Sees to it that the cgroups below the root have the files of a controller.
    #[track_caller]
    pub fn offer(&self, controller: &str) {
        let control = cgroup2().join("cgroup.subtree_control");
        fs::write(&control, format!("+{controller}"))
            .unwrap_or_else(|e| panic!("cannot write `+{controller}` to {control:?}: {e}"));
    }

    /// Writes a sysctl from a process in the cgroup; its process id.
    #[track_caller]
    pub fn write(&self, path: &Path, value: &str) -> u32 {
        let mut actor =
            actor(path, value).stdin(Stdio::piped()).spawn().expect("this program can be started again");
        let pid = actor.id();
        // It waits for the end of its standard input: by then it has been moved.
        fs::write(self.directory.join("cgroup.procs"), pid.to_string()).expect("root may move a process");
        let word = actor.stdin.take().map(|mut stdin| stdin.write_all(b"now"));
        word.expect("it has a standard input").expect("the actor listens");
        let status = actor.wait().expect("the actor can be waited for");
        assert!(status.success(), "the actor failed: {status}");
        pid
    }
}

impl Default for ChildCgroup {
    fn default() -> ChildCgroup {
        ChildCgroup::new()
    }
}

impl Drop for ChildCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Where version 2 of cgroups is mounted; beside version 1 that is `/sys/fs/cgroup/unified`.
#[track_caller]
pub(super) fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = mounts.find_map(|words| match *words.as_slice() {
        [_, place, "cgroup2", ..] => Some(PathBuf::from(place)),
        _ => None,
    });
    found.expect("cgroup2 is mounted")
}
