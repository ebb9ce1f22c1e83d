//! Reads one key, on a descriptor that is kept open.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::processes;
use crate::model::{Key, Pattern, Value};

/// Why a key that is there cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("`{path}` cannot be read: {error}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The text in it is not what the kernel's documentation says.
    #[error("`{path}` has no `{wanted}` where it should be: found `{found}`")]
    Text {
        /// The file.
        path: String,
        /// What was looked for.
        wanted: String,
        /// What stands there, or its beginning.
        found: String,
    },
    /// The kernel does not answer.
    #[error("reading `{path}` has blocked for {} s", .waited.as_secs())]
    Blocked {
        /// The file.
        path: String,
        /// For how long so far.
        waited: Duration,
    },
    /// It holds more than a value.
    #[error("`{path}` holds more than {LARGEST} bytes")]
    Large {
        /// The file.
        path: String,
    },
}

/// The most that is taken for a value.
const LARGEST: usize = 1 << 20;

/// Reads keys below a root.
pub struct Reader {
    root: PathBuf,
    /// How many descriptors are kept open.
    most: usize,
    open: HashMap<Key, File>,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads below `root` (`/`), and keeps at most so many descriptors open: see
    /// [`descriptors`](super::descriptors).
    pub fn new(root: &Path, most: usize) -> Reader {
        Reader { root: root.to_owned(), most, open: HashMap::new(), buffer: Vec::new() }
    }

    /// Whether a key that has a file for itself is seen to have a value still. Most of a sweep is this, so that nothing
    /// is made of the text: where it says no, [`Reader::read`] may yet find the same value in another form.
    pub fn still_has(&mut self, key: &Key, value: &Value) -> bool {
        let Some(file) = self.open.get(key) else { return false };
        let Ok(length) = read_all(file, key, &mut self.buffer) else { return false };
        value.is_shown_as(self.buffer.get(..length).unwrap_or_default())
    }

    /// The value in force; `None` where the key does not exist.
    pub fn read(&mut self, key: &Key) -> Result<Option<Value>, ReadError> {
        if let Key::Processes { state } = key {
            let processes = processes::in_state(&self.root, *state)
                .map_err(|error| ReadError::File { path: key.path(), error })?;
            return Ok(Some(Value::canonical(key, &processes.len().to_string())));
        }
        match self.fill(key) {
            Ok(length) => {
                let text = String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default());
                value(key, &text)
            }
            Err(error) if is_absent(key, &error) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(ReadError::Large { path: key.path() })
            }
            Err(error) => Err(ReadError::File { path: key.path(), error }),
        }
    }

    /// The keys that a pattern means now, and whether there were too many: see [`expand`](super::expand).
    pub fn expand(&self, pattern: &Pattern) -> (Vec<Key>, bool) {
        super::expand(&self.root, pattern)
    }

    /// What a value does not say: the processes that a count is of, as they are now, the first ten of them.
    pub fn detail(&self, key: &Key) -> Option<String> {
        let Key::Processes { state } = key else { return None };
        let processes = processes::in_state(&self.root, *state).ok().filter(|found| !found.is_empty())?;
        let more = processes.len().saturating_sub(10);
        let mut names: Vec<_> =
            processes.iter().take(10).map(|(pid, name)| format!("{name} ({pid})")).collect();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        Some(names.join(", "))
    }

    /// Fills the buffer with the text of the key's file. A descriptor whose file went away is opened anew, once: an
    /// interface or a module may have come back under its name.
    fn fill(&mut self, key: &Key) -> io::Result<usize> {
        if let Some(file) = self.open.get(key) {
            match read_all(file, key, &mut self.buffer) {
                Err(error) if is_absent(key, &error) => {
                    self.open.remove(key);
                }
                read => return read,
            }
        }
        let path = key.path();
        let file = File::open(self.root.join(path.trim_start_matches('/')))?;
        let length = read_all(&file, key, &mut self.buffer)?;
        // The files of an interface go along when it is renamed, and so may others of /sys: the name would then lie.
        if !matches!(key, Key::Link { .. } | Key::Sysfs { .. }) && self.open.len() < self.most {
            self.open.insert(key.clone(), file);
        }
        Ok(length)
    }
}

/// No such file, interface or device, now. An interface that is being taken away still has its files for a moment, and
/// they answer EINVAL (net/core/net-sysfs.c, `netdev_show`): rtnetlink has told by then that it is gone.
fn is_absent(key: &Key, error: &io::Error) -> bool {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => true,
        Some(Errno::INVAL) => matches!(key, Key::Link { .. }),
        // A kernel that could measure pressure and does not (`psi=0`; kernel/sched/psi.c, `psi_show`).
        Some(Errno::OPNOTSUPP) => matches!(key, Key::Pressure { .. }),
        _ => false,
    }
}

/// How much is asked for at first. For each read of a sysctl the kernel makes and clears as much room as it is asked
/// for (`proc_sys_call_handler`, fs/proc/proc_sysctl.c): with 16 KiB a sweep takes twice as long as with 4.
const FIRST: usize = 1 << 12;

/// Reads a file from its beginning to its end. A sysctl and a sysfs file give all they have in one read, if there is
/// room for it, and nothing from a position beyond; what lists things gives it in pieces.
fn read_all(file: &File, key: &Key, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let in_pieces = matches!(key, Key::Meminfo { .. } | Key::NetDev { .. });
    let (mut length, mut most) = (0, FIRST);
    loop {
        if buffer.len() < most {
            buffer.resize(most, 0);
        }
        let room = buffer.get_mut(length..most).unwrap_or_default();
        let read = file.read_at(room, length as u64)?;
        length += read;
        if read == 0 || (!in_pieces && length < most) {
            return Ok(length);
        }
        if length == most {
            if most >= LARGEST {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            most *= 2;
            if !in_pieces {
                length = 0;
            }
        }
    }
}

/// The value of a key in the text of its file.
fn value(key: &Key, text: &str) -> Result<Option<Value>, ReadError> {
    let wrong = |wanted: &str| ReadError::Text {
        path: key.path(),
        wanted: wanted.to_owned(),
        found: match key.is_secret() {
            true => Value::secret().to_string(),
            false => text.trim_end().chars().take(80).collect(),
        },
    };
    let part = match key {
        Key::Sysctl { column: Some(column), .. } => {
            let index = key.column_index().ok_or_else(|| wrong(column))?;
            text.split_whitespace().nth(index).ok_or_else(|| wrong(column))?
        }
        Key::Meminfo { field } => match meminfo(text, field) {
            Some(part) => part,
            None => return Ok(None),
        },
        Key::NetDev { counter: Some((interface, counter)) } => match net_dev(text, interface) {
            Some(mut numbers) => {
                let index = Key::NET_DEV_COUNTERS.iter().position(|name| *name == &**counter);
                index.and_then(|index| numbers.nth(index)).ok_or_else(|| wrong(counter))?
            }
            None => return Ok(None),
        },
        Key::Pressure { field: (line, field), .. } => {
            pressure(text, line, field).ok_or_else(|| wrong(&format!("{line} {field}")))?
        }
        Key::Cmdline { parameter: Some(parameter) } => match parameter_of(text, parameter) {
            Some(part) => part,
            None => return Ok(None),
        },
        Key::Sysfs { field: Some(field), .. } => {
            let line = text.lines().find_map(|line| line.strip_prefix(&**field)?.strip_prefix(' '));
            line.ok_or_else(|| wrong(field))?
        }
        Key::Sysctl { column: None, .. }
        | Key::NetDev { counter: None }
        | Key::Link { .. }
        | Key::Cmdline { parameter: None }
        | Key::Processes { .. }
        | Key::Sysfs { field: None, .. } => text,
    };
    Ok(Some(Value::canonical(key, part)))
}

/// A field of /proc/meminfo (proc_meminfo(5)).
fn meminfo<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
}

/// An average, or the total, in a file of /proc/pressure.
fn pressure<'a>(text: &'a str, line: &str, field: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '))?;
    line.split(' ').find_map(|part| part.strip_prefix(field)?.strip_prefix('='))
}

/// A parameter of the command line: the last of its name counts, `-` and `_` are the same in it, quotes keep spaces
/// together, what follows ` -- ` is for the first process (kernel `Documentation/admin-guide/kernel-parameters.rst`,
/// lib/cmdline.c `next_arg`). One without a value has the empty one.
fn parameter_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let same = |found: &str| found.len() == name.len() && found.replace('-', "_") == name.replace('-', "_");
    let mut quoted = false;
    let words = line.trim_end().split(|c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    });
    words
        .take_while(|word| *word != "--")
        .filter_map(|word| {
            let word = word.trim_matches('"');
            let (found, value) = word.split_once('=').unwrap_or((word, ""));
            same(found).then(|| value.trim_matches('"'))
        })
        .last()
}

/// The numbers of an interface in /proc/net/dev. The name is padded on the left, and may be followed by a number at
/// once.
fn net_dev<'a>(text: &'a str, interface: &str) -> Option<std::str::SplitWhitespace<'a>> {
    text.lines().find_map(|line| {
        Some(line.trim_start().strip_prefix(interface)?.strip_prefix(':')?.split_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    const NET_DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
eth0.1:1000 2 3 44 5 6 7 8 9 10 11 12 13 14 15 1600
";

    #[track_caller]
    fn check(files: &[(&str, &str)], key: &str, wanted: Option<&str>) {
        let root = host(files);
        let read = Reader::new(root.path(), 8).read(&key.parse().unwrap()).unwrap();
        assert_eq!(read.as_ref().map(Value::as_str), wanted, "{key}");
    }

    #[test]
    fn each_kind_of_key_is_read_where_the_kernel_has_it() {
        check(&[("proc/sys/vm/swappiness", "60\n")], "vm.swappiness", Some("60"));
        check(&[], "vm.swappiness", None);
        check(
            &[("proc/sys/fs/file-nr", "1952\t0\t9223372036854775807\n")],
            "fs.file-nr:allocated",
            Some("1952"),
        );
        check(&[("sys/class/net/eth0/mtu", "1500\n")], "link.eth0.mtu", Some("1500"));
        let meminfo = [("proc/meminfo", "MemTotal:       24689300 kB\nMemAvailable:   24000000 kB\n")];
        check(&meminfo, "/proc/meminfo:MemAvailable", Some("24000000 kB"));
        check(&meminfo, "/proc/meminfo:MemAvail", None);
        let dev = [("proc/net/dev", NET_DEV)];
        check(&dev, "/proc/net/dev:lo.rx_dropped", Some("4"));
        check(&dev, "/proc/net/dev:eth0.1.tx_compressed", Some("1600"));
        check(&dev, "/proc/net/dev:eth0.rx_dropped", None);
        let pressure = [(
            "proc/pressure/memory",
            "some avg10=0.12 avg60=1.00 avg300=0.00 total=1234\nfull avg10=0.01 avg60=0.00 avg300=0.00 total=99\n",
        )];
        check(&pressure, "/proc/pressure/memory:some.avg10", Some("0.12"));
        check(&pressure, "/proc/pressure/memory:full.total", Some("99"));
        check(&pressure, "/proc/pressure/io:full.total", None);
        let of_cgroup =
            [("sys/fs/cgroup/a.slice/cpu.pressure", "some avg10=7.50 avg60=0.00 avg300=0.00 total=1\n")];
        check(&of_cgroup, "/sys/fs/cgroup/a.slice/cpu.pressure:some.avg10", Some("7.50"));
        let stat = [("sys/fs/cgroup/a.slice/cpu.stat", "usage_usec 5\nnr_throttled 7\nnr_throttled_x 8\n")];
        check(&stat, "/sys/fs/cgroup/a.slice/cpu.stat:nr_throttled", Some("7"));
        let line =
            "BOOT_IMAGE=/vmlinuz quiet mitigations=auto dyndbg=\"file a.c +p\" mitigations=off -- init=no\n";
        let cmdline = [("proc/cmdline", line)];
        check(&cmdline, "/proc/cmdline:mitigations", Some("off"));
        check(&cmdline, "/proc/cmdline:quiet", Some(""));
        check(&cmdline, "/proc/cmdline:dyndbg", Some("file a.c +p"));
        check(&cmdline, "/proc/cmdline:BOOT-IMAGE", Some("/vmlinuz"));
        check(&cmdline, "/proc/cmdline:init", None);
        check(&cmdline, "/proc/cmdline", Some(line.trim_end()));
        let processes = [
            ("proc/1/stat", "1 (init) S 0 1 1\n"),
            ("proc/20/stat", "20 (a) D) (x) D 1 1 1\n"),
            ("proc/self/stat", "20 (b) D 1 1 1\n"),
        ];
        check(&processes, "/proc/[pid]/stat:state=D", Some("1"));
        let root = host(&processes);
        let detail = Reader::new(root.path(), 8).detail(&"/proc/[pid]/stat:state=D".parse().unwrap());
        assert_eq!(detail.as_deref(), Some("a) D) (x (20)"));
        let thp = "sys/kernel/mm/transparent_hugepage/enabled";
        check(&[(thp, "always [madvise] never\n")], &format!("/{thp}"), Some("madvise"));
    }

    #[test]
    fn a_column_that_is_not_there_is_an_error_that_shows_the_line() {
        let root = host(&[("proc/sys/kernel/printk", "4 4\n")]);
        let error = Reader::new(root.path(), 8).read(&"kernel.printk:[3]".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/proc/sys/kernel/printk` has no `[3]` where it should be: found `4 4`"
        );
    }

    #[test]
    fn a_long_file_is_read_whole() {
        let long = format!("{NET_DEV}{}", "x: 1\n".repeat(10_000));
        let root = host(&[("proc/net/dev", &long)]);
        let value = Reader::new(root.path(), 8).read(&"/proc/net/dev".parse().unwrap()).unwrap().unwrap();
        assert!(value.as_str().ends_with("x: 1 x: 1"));
    }

    #[test]
    fn a_long_sysctl_is_read_whole_and_leaves_the_next_one_as_it_is() {
        let long = "40000 ".repeat(5000);
        let root = host(&[("proc/sys/a/long", &long), ("proc/sys/a/short", "1\n")]);
        let mut reader = Reader::new(root.path(), 8);
        for (key, value) in [("a.short", "1"), ("a.long", long.trim_end()), ("a.short", "1")] {
            assert_eq!(reader.read(&key.parse().unwrap()).unwrap().unwrap().as_str(), value);
        }
    }

    #[test]
    fn what_is_read_may_be_more_than_may_be_open() {
        let root = host(&[("proc/sys/a/b", "1\n"), ("proc/sys/a/c", "2\n"), ("sys/d", "3\n")]);
        let mut reader = Reader::new(root.path(), 1);
        for (key, value) in [("a.b", "1"), ("a.c", "2"), ("/sys/d", "3"), ("a.b", "1"), ("a.c", "2")] {
            assert_eq!(reader.read(&key.parse().unwrap()).unwrap().unwrap().as_str(), value);
        }
        assert_eq!(reader.open.len(), 1);
    }

    #[test]
    fn the_running_kernel_is_read_again_and_again_on_one_descriptor() {
        let mut reader = Reader::new(Path::new("/"), 8);
        let key = "kernel.pid_max".parse().unwrap();
        let first = reader.read(&key).unwrap();
        assert!(first.is_some());
        assert_eq!(reader.read(&key).unwrap(), first);
        assert_eq!(reader.open.len(), 1);
    }
}
