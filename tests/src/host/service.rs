//! A service as systemd runs it: a cgroup of its name below `system.slice`, and in it a process that goes by the name of
//! the service's program. It is this very program, started again: what it does it is told on its standard input.

use std::{
    env, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use serde_json::{Value, json};

use super::{actor::cgroup2, memory};

/// Tells the program that it is the process of a service: what it is called.
const PROGRAM: &str = "DRIFTD_SERVICE_PROGRAM";

/// The service's part: takes its name, waits for its task, and does it. `None` where this process is no service's.
pub fn serve() -> Option<ExitCode> {
    let program = env::var(PROGRAM).ok()?;
    let mut task = String::new();
    let done = fs::write("/proc/self/comm", &program)
        .and_then(|()| io::stdin().read_to_string(&mut task).map(drop))
        .and_then(|()| serde_json::from_str::<Value>(&task).map_err(io::Error::other))
        .and_then(|task| perform(&task));
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn perform(task: &Value) -> io::Result<()> {
    for file in task["write"].as_array().into_iter().flatten() {
        let [path, text] = [&file[0], &file[1]].map(|text| text.as_str().unwrap_or_default());
        write_whole(Path::new(path), text)
            .map_err(|error| io::Error::other(format!("cannot write {text:?} to {path}: {error}")))?;
    }
    match task["fill"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) => memory::fill(bytes),
        None => Ok(()),
    }
}

/// Writes a file as a shell, docker, TuneD, sysctl(8) and most others do: emptied when it is opened, made where it is not
/// there, and written by one call.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    fs::File::create(path)?.write_all(text.as_bytes())
}

/// A service; its cgroup goes with the value.
#[derive(Debug)]
pub struct Service {
    directory: PathBuf,
    program: &'static str,
}

impl Service {
    /// Makes the cgroup of a unit whose process is called so.
    #[track_caller]
    pub fn new(unit: &str, program: &'static str) -> Service {
        let directory = cgroup2().join("system.slice").join(unit);
        fs::create_dir_all(&directory).unwrap_or_else(|e| panic!("cannot make {directory:?}: {e}"));
        Service { directory, program }
    }

    /// The same, with the files of a controller.
    #[track_caller]
    pub fn with(controller: &str, unit: &str, program: &'static str) -> Service {
        let service = Service::new(unit, program);
        for directory in service.directory.ancestors().skip(1).take(2).collect::<Vec<_>>().into_iter().rev() {
            let control = directory.join("cgroup.subtree_control");
            fs::write(&control, format!("+{controller}"))
                .unwrap_or_else(|e| panic!("cannot write `+{controller}` to {control:?}: {e}"));
        }
        service
    }

    /// A file of its cgroup.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes files, one after the other, each by one call and as it is; its process id. It has ended then.
    #[track_caller]
    pub fn write(&self, files: &[(&Path, &str)]) -> u32 {
        let mut process = self.start(&json!({ "write": files }));
        let pid = process.id();
        let status = process.wait().expect("the service can be waited for");
        assert!(status.success(), "the service failed: {status}");
        pid
    }

    /// Takes so much memory and keeps it, as far as it gets.
    #[track_caller]
    pub fn fill(&self, bytes: u64) -> Filling {
        Filling(self.start(&json!({ "fill": bytes })))
    }

    #[track_caller]
    fn start(&self, task: &Value) -> Child {
        let program = env::current_exe().expect("this program has a path");
        let mut process = Command::new(program)
            .env(PROGRAM, self.program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        // It waits for the end of its standard input: by then it has been moved.
        fs::write(self.file("cgroup.procs"), process.id().to_string()).expect("root may move a process");
        let told = process.stdin.take().map(|mut stdin| stdin.write_all(task.to_string().as_bytes()));
        told.expect("it has a standard input").expect("the service listens");
        process
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

/// A process that fills memory. It ends with the value.
#[derive(Debug)]
pub struct Filling(Child);

impl Filling {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
