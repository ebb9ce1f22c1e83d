//! That something was recorded, as news to all who stream: the store's writer touches a file after each commit, and
//! one watch of that file (inotify(7)) serves all of them. It is there while somebody streams, and not before.

#![expect(unsafe_code, reason = "tokio cannot know that a descriptor stays the same while it is waited for")]

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
    task::AbortHandle,
};

use crate::store;

/// The watch of the store, where there is one.
pub struct News {
    path: PathBuf,
    watched: Mutex<Weak<Watched>>,
}

/// Why nobody would hear of news.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}`: {source}\nhint: the limits are in /proc/sys/fs/inotify", .path.display())]
pub struct NewsError {
    path: PathBuf,
    source: io::Error,
}

/// A watch that is there as long as somebody has it.
struct Watched {
    /// A number that moves whenever something was recorded.
    recorded: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One who hears of news.
pub struct Heard {
    recorded: watch::Receiver<u64>,
    _watched: Arc<Watched>,
}

impl News {
    /// That of the store in a state directory. Nothing is watched yet.
    pub fn of(state: &Path) -> News {
        News { path: store::signal(state), watched: Mutex::new(Weak::new()) }
    }

    /// Hears of what is recorded from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The file cannot be watched.
    pub fn hear(&self) -> Result<Heard, NewsError> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose watch broke off tells nobody any more.
        let live = watched.upgrade().filter(|watched| watched.recorded.has_changed().is_ok());
        let shared = match live {
            Some(shared) => shared,
            None => {
                let changes =
                    changes(&self.path).map_err(|source| NewsError { path: self.path.clone(), source })?;
                let (news, recorded) = watch::channel(0);
                let task = tokio::spawn(spread(changes, news)).abort_handle();
                let shared = Arc::new(Watched { recorded, task });
                *watched = Arc::downgrade(&shared);
                shared
            }
        };
        Ok(Heard { recorded: shared.recorded.clone(), _watched: shared })
    }
}

impl Heard {
    /// What was recorded until now is no news any more.
    pub fn mark_unchanged(&mut self) {
        self.recorded.mark_unchanged();
    }

    /// Returns when there is news; nothing where there will be none.
    pub async fn changed(&mut self) -> Option<()> {
        self.recorded.changed().await.ok()
    }
}

fn changes(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&changes, path, WatchFlags::ATTRIB)?;
    // SAFETY: an `OwnedFd` always gives the same descriptor and closes it only when dropped, and only the `AsyncFd` has
    // it.
    Ok(unsafe { AsyncFd::register_with_interest(changes, Interest::READABLE) }?)
}

/// Moves the number on whenever something was recorded.
async fn spread(changes: AsyncFd<OwnedFd>, news: watch::Sender<u64>) {
    let mut events = [0; 4096];
    loop {
        let mut ready = match changes.readable().await {
            Ok(ready) => ready,
            Err(error) => return tracing::error!("the store is not watched any more: {error}"),
        };
        match rustix::io::read(changes.get_ref(), &mut events) {
            Ok(_) => news.send_modify(|number| *number = number.wrapping_add(1)),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return tracing::error!("the store is not watched any more: {error}"),
        }
    }
}
