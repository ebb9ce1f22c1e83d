//! A network namespace that stays, for interfaces to be moved to.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, RawFd},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Link, in_new_network};

/// Where the namespace of the thread that asks is.
const MINE: &str = "/proc/thread-self/ns/net";

/// A network namespace; it is gone with the value, and so are the interfaces in it.
#[derive(Debug)]
pub struct Network {
    file: File,
}

impl Network {
    /// Makes it.
    #[track_caller]
    pub fn new() -> Network {
        Network { file: in_new_network(|| File::open(MINE)).expect("a namespace can be held open") }
    }

    /// Does something in it.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter a network namespace");
                work()
            });
            thread.join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The descriptor that netlink knows it by.
    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Moves an interface here from the namespace of this thread.
    #[track_caller]
    pub fn take(&self, link: &Link) {
        link.move_to(self.descriptor());
    }

    /// Moves an interface back to the namespace of this thread.
    #[track_caller]
    pub fn give_back(&self, link: &Link) {
        let home = File::open(MINE).expect("a namespace can be held open");
        self.enter(|| link.move_to(home.as_raw_fd()));
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}
