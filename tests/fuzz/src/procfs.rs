//! Whatever the kernel shows in a file: it is a value in canonical form, nothing, or a mistake that says where.
//!
//! The first line is the key, of a file in [`FILES`]; what follows is the file.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use watcher::{
    kernel::{ReadError, Reader},
    model::{Key, Value},
};

/// The files that are made up, one for each way of reading.
const FILES: [&str; 9] = [
    "/proc/cmdline",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/pressure/memory",
    "/proc/sys/fs/file-nr",
    "/proc/sys/kernel/core_pattern",
    "/sys/class/net/eth0/mtu",
    "/sys/fs/cgroup/a.slice/cpu.stat",
    "/sys/kernel/mm/transparent_hugepage/enabled",
];

/// What keys of processes are read from.
const PROCESS: &str = "/proc/1/stat";

/// A host that has these files and no other.
struct Host {
    root: TempDir,
    reader: Reader,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

impl Host {
    fn new() -> Host {
        let root = tempfile::tempdir().expect("a directory can be made");
        for file in FILES.iter().chain([&PROCESS]) {
            let directory = below(root.path(), file).parent().map(Path::to_owned).unwrap_or_default();
            fs::create_dir_all(directory).expect("a directory can be made");
        }
        let reader = Reader::new(root.path(), 8);
        Host { root, reader }
    }
}

fn below(root: &Path, file: &str) -> PathBuf {
    root.join(file.trim_start_matches('/'))
}

pub fn feed(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, content) = bytes.split_at(end);
    let Some(key) = str::from_utf8(name).ok().and_then(|name| name.parse::<Key>().ok()) else { return };
    let path = key.path();
    let is_count = matches!(key, Key::Processes { .. });
    let file = if is_count { PROCESS } else { &*path };
    if !is_count && !FILES.contains(&file) {
        return;
    }
    HOST.with_borrow_mut(|Host { root, reader }| {
        fs::write(below(root.path(), file), content.get(1..).unwrap_or_default())
            .expect("a file can be written");
        check(reader, &key, is_count);
    });
}

fn check(reader: &mut Reader, key: &Key, is_count: bool) {
    match reader.read(key) {
        Ok(Some(value)) => {
            assert_eq!(Value::canonical(key, value.as_str()), value, "{key}");
            // The second time from the descriptor that was kept open.
            assert_eq!(reader.read(key).ok().flatten(), Some(value.clone()), "{key}");
            // What is seen to be the same needs no reading; it is asked of keys with a file for themselves alone.
            if is_count {
                assert!(["0", "1"].contains(&value.as_str()), "{key} is {value}");
                assert_eq!(reader.detail(key).is_some(), value.as_str() == "1");
            }
        }
        Ok(None) => {}
        Err(ReadError::Text { path, wanted, found }) => {
            assert_eq!(path, key.path());
            assert!(!wanted.is_empty() && found.chars().count() <= 80, "{wanted}: {found}");
        }
        Err(other) => panic!("{key}: {other}"),
    }
}
