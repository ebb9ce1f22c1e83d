//! The BPF programs that the kernel holds, and two of our own that get in the way of driftd's.
#![expect(unsafe_code, reason = "bpf(2) has no wrapper that is not a loader")]

use std::{
    collections::BTreeSet,
    fs::File,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::ChildCgroup;

/// Of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_NEXT_ID: libc::c_int = 11;
const LINK_CREATE: libc::c_int = 28;

/// `BPF_PROG_TYPE_CGROUP_SYSCTL` and `BPF_CGROUP_SYSCTL`, of the same file.
const TYPE_CGROUP_SYSCTL: u32 = 23;
const CGROUP_SYSCTL: u32 = 18;

/// The part of `union bpf_attr` that the command reads and writes.
#[repr(C)]
#[derive(Default)]
struct NextId {
    start_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The ids of all programs that are loaded now.
#[track_caller]
pub fn programs() -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut attr = NextId::default();
    loop {
        if let Err(error) = bpf(PROG_GET_NEXT_ID, &mut attr) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "cannot list the BPF programs: {error}");
            return ids;
        }
        ids.insert(attr.next_id);
        attr.start_id = attr.next_id;
    }
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The part of it that attaches one.
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of it that attaches one the old way, to a place and not by a link.
#[repr(C)]
struct Attach {
    target: i32,
    program: i32,
    attach_type: u32,
    flags: u32,
    replaced: i32,
}

/// A program of somebody else's on a cgroup, that puts the value `73` in place of whatever is written to a sysctl from
/// there. It goes with the value.
pub struct Replacement {
    /// Closing it detaches the program.
    _link: OwnedFd,
}

impl Replacement {
    /// What takes the place of each value.
    pub const VALUE: &str = "73";

    /// Loads and attaches it.
    #[track_caller]
    pub fn attach(cgroup: &ChildCgroup) -> Replacement {
        let [tens, ones] = [b'7', b'3'].map(i32::from);
        let program = [
            instruction(0x61, 0x12, 0, 0),     // r2 = ctx->write
            instruction(0x15, 0x02, 6, 0),     // if r2 == 0 go to the end
            instruction(0x72, 0x0a, -2, tens), // the value goes on the stack
            instruction(0x72, 0x0a, -1, ones),
            instruction(0xbf, 0xa2, 0, 0),   // r2 = r10
            instruction(0x07, 0x02, 0, -2),  // r2 += -2
            instruction(0xb7, 0x03, 0, 2),   // r3 = 2
            instruction(0x85, 0x00, 0, 104), // bpf_sysctl_set_new_value(r1 = ctx, r2, r3)
            instruction(0xb7, 0x00, 0, 1),   // r0 = 1: let it pass
            instruction(0x95, 0x00, 0, 0),   // return r0
        ];
        let loaded = load(&program).expect("root may load a program");
        let directory = File::open(cgroup.path()).expect("the cgroup is there");
        let number = |fd: &dyn AsRawFd| fd.as_raw_fd().cast_unsigned();
        let mut create = Create {
            program: number(&loaded),
            target: number(&directory),
            attach_type: CGROUP_SYSCTL,
            flags: 0,
        };
        Replacement { _link: new_fd(LINK_CREATE, &mut create).expect("root may attach a program") }
    }
}

/// A `cgroup/sysctl` program that does nothing, attached to the whole hierarchy the old way and without any flag: as
/// long as it is there, nobody can attach another.
#[derive(Debug)]
pub struct Exclusive {
    program: OwnedFd,
    hierarchy: File,
}

impl Exclusive {
    /// Loads and attaches it. It outlives the process if that is killed.
    #[track_caller]
    pub fn attach() -> Exclusive {
        let hierarchy = File::open(super::actor::cgroup2()).expect("the hierarchy can be opened");
        // r0 = 1: let it pass; return r0
        let program = [instruction(0xb7, 0x00, 0, 1), instruction(0x95, 0x00, 0, 0)];
        let program = load(&program).expect("root may load a program");
        let exclusive = Exclusive { program, hierarchy };
        exclusive.command(PROG_ATTACH).expect("nobody else has attached a program");
        exclusive
    }

    fn command(&self, command: libc::c_int) -> io::Result<libc::c_int> {
        let mut attach = Attach {
            target: self.hierarchy.as_raw_fd(),
            program: self.program.as_raw_fd(),
            attach_type: CGROUP_SYSCTL,
            flags: 0,
            replaced: 0,
        };
        bpf(command, &mut attach)
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        let _ = self.command(PROG_DETACH);
    }
}

/// An instruction: an operation, its registers (destination in the lower half), an offset and a number.
fn instruction(operation: u8, registers: u8, offset: i16, number: i32) -> u64 {
    u64::from(operation)
        | u64::from(registers) << 8
        | u64::from(offset.cast_unsigned()) << 16
        | u64::from(number.cast_unsigned()) << 32
}

/// Loads a `cgroup/sysctl` program.
fn load(program: &[u64]) -> io::Result<OwnedFd> {
    let mut load = Load {
        kind: TYPE_CGROUP_SYSCTL,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
        interface: 0,
        attach_type: CGROUP_SYSCTL,
    };
    // Before 5.11 programs count as locked memory, of which there is little by default. Where it may not be lifted, and
    // has to be, the load itself fails.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    new_fd(PROG_LOAD, &mut load)
}

/// One call of bpf(2).
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the commands here read and write `attr` and what it points to, which outlives the call, and the length
    // given is that of `attr`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, mem::size_of::<T>()) };
    libc::c_int::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

/// One that returns a new descriptor.
fn new_fd<T>(command: libc::c_int, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the descriptor is new, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
