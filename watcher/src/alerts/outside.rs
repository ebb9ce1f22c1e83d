//! The sinks of the configuration, on a thread of their own: a task for each, so that none waits for another and the loop
//! waits for none.

use std::{path::Path, rc::Rc, sync::Arc};

use anyhow::Context;
use tokio::{
    sync::{mpsc::Sender, watch},
    task::JoinSet,
};

use super::{
    deliver::Delivery,
    github::Github,
    message::Letterhead,
    post::{Post, PostError},
    push::{AskStatus, Board, Push},
    remote::Remote,
};
use crate::{
    config::{Alerts, SinkKind, SinkSettings},
    model::{Outlet, Routing},
    store::{Reader, StoreError, Work},
};

/// Why the sinks cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// What one is reached by.
    #[error("the sink `{sink}` cannot be used: {source}")]
    Sink {
        /// Its name.
        sink: Box<str>,
        /// Why.
        source: PostError,
    },
    /// The outbox.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sinks, before they are started.
pub struct Outside {
    remotes: Vec<(Remote, SinkSettings)>,
    boards: Vec<(Arc<str>, Board)>,
    head: Arc<Letterhead>,
}

/// What a running daemon gives the sinks.
pub struct Given {
    /// Who writes what became of a message.
    pub work: Sender<Work>,
    /// Who knows how things stand.
    pub status: AskStatus,
    /// Moves whenever something was recorded, or is to be sent again.
    pub news: watch::Receiver<u64>,
    /// True when it is time to stop.
    pub stop: watch::Receiver<bool>,
}

/// What the store has to keep for the sinks.
pub fn outlets(alerts: &Alerts) -> Vec<Outlet> {
    let outlet = |sink: &SinkSettings| {
        let routing = match &sink.kind {
            SinkKind::GitopsStatus { .. } | SinkKind::Alertmanager { .. } => return None,
            // What is open its issues show.
            SinkKind::Github(_) => Routing { findings: false, losses: false, ..sink.routing.clone() },
            SinkKind::Webhook { .. }
            | SinkKind::Exec { .. }
            | SinkKind::Slack { .. }
            | SinkKind::Email(_) => sink.routing.clone(),
        };
        Some(Outlet { sink: (&*sink.name).into(), routing, remind: sink.remind, flapping: sink.flapping })
    };
    alerts.sinks.iter().filter_map(outlet).collect()
}

impl Outside {
    /// The sinks of a configuration; `config` is its name as sources have it.
    ///
    /// # Errors
    /// A file that one needs cannot be read or used.
    pub fn new(alerts: &Alerts, config: &str) -> Result<Outside, OutsideError> {
        let server = rustix::system::uname().nodename().to_string_lossy().into();
        let head = Arc::new(Letterhead { server, commit_link: alerts.commit_link.clone() });
        let mut outside = Outside { remotes: Vec::new(), boards: Vec::new(), head };
        for settings in &alerts.sinks {
            let failed = |source| OutsideError::Sink { sink: settings.name.clone(), source };
            let name: Arc<str> = Arc::from(&*settings.name);
            if let Some(remote) = Remote::new(settings).map_err(failed)? {
                outside.remotes.push((remote, settings.clone()));
            }
            let board = match &settings.kind {
                SinkKind::GitopsStatus { to } => {
                    Some(Board::Page(Post::new(to, settings.timeout).map_err(failed)?, config.into()))
                }
                SinkKind::Alertmanager { to } => {
                    let post = Post::new(to, settings.timeout).map_err(failed)?;
                    Some(Board::Alertmanager(post, settings.routing.clone()))
                }
                SinkKind::Github(github) if github.issues => {
                    let github = Github::new(github, settings.timeout).map_err(failed)?;
                    Some(Board::Issues(github, settings.routing.clone()))
                }
                SinkKind::Github(_)
                | SinkKind::Webhook { .. }
                | SinkKind::Exec { .. }
                | SinkKind::Slack { .. }
                | SinkKind::Email(_) => None,
            };
            outside.boards.extend(board.map(|board| (name, board)));
        }
        Ok(outside)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty() && self.boards.is_empty()
    }

    /// Sends what is to be sent, until it is time to stop. What is left then the next run sends.
    ///
    /// # Errors
    /// The outbox cannot be opened, or this thread cannot wait.
    pub fn run(self, state: &Path, given: &Given) -> anyhow::Result<()> {
        let reader = Reader::open(state)?.context("the store went away")?;
        let reader = Rc::new(reader);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut tasks = JoinSet::new();
            for (remote, SinkSettings { name, give_up, group, remind, .. }) in self.remotes {
                let sink = Arc::from(&*name);
                let (head, reader) = (self.head.clone(), reader.clone());
                let (work, news) = (given.work.clone(), given.news.clone());
                tasks.spawn_local(
                    Delivery { sink, remote, give_up, group, remind, head, reader, work, news }.run(),
                );
            }
            for (sink, board) in self.boards {
                let Given { status, news, .. } = given;
                let (head, heartbeat) = (self.head.clone(), board.heartbeat());
                let (status, news) = (status.clone(), news.clone());
                tasks.spawn_local(Push { sink, board, head, status, news, heartbeat }.run());
            }
            let mut stop = given.stop.clone();
            // A sender that is gone means the same.
            let _ = stop.wait_for(|stop| *stop).await;
            tasks.shutdown().await;
        });
        // A name that is being looked up is not waited for: the resolver takes as long as it likes.
        runtime.shutdown_background();
        Ok(())
    }
}
