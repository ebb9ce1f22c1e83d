//! That something was recorded, as news to all who stream: the store's writer touches a file after each commit, and
//! one watch of that file (inotify(7)), on a thread of its own, serves all of them. Nothing is awake while nothing is
//! recorded.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::sync::watch;

use crate::store;

/// The watch of the store.
pub struct News {
    changes: OwnedFd,
}

/// Why nobody would hear of news.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}`: {source}\nhint: the limits are in /proc/sys/fs/inotify", .path.display())]
pub struct NewsError {
    path: PathBuf,
    source: std::io::Error,
}

impl News {
    /// Watches the store in a state directory; there must be one.
    ///
    /// # Errors
    /// The file cannot be watched.
    pub fn of(state: &Path) -> Result<News, NewsError> {
        let path = store::signal(state);
        let watched = || -> Result<OwnedFd, Errno> {
            let changes = inotify::init(CreateFlags::CLOEXEC)?;
            inotify::add_watch(&changes, &path, WatchFlags::ATTRIB)?;
            Ok(changes)
        };
        match watched() {
            Ok(changes) => Ok(News { changes }),
            Err(errno) => Err(NewsError { path, source: errno.into() }),
        }
    }

    /// Moves the number on whenever something was recorded, until nobody looks at it any more.
    pub fn spread(self, news: &watch::Sender<u64>) {
        let mut events = [0; 4096];
        while !news.is_closed() {
            match rustix::io::read(&self.changes, &mut events) {
                Ok(_) => news.send_modify(|number| *number = number.wrapping_add(1)),
                Err(Errno::INTR) => {}
                Err(error) => return tracing::error!("the store is not watched any more: {error}"),
            }
        }
    }
}
