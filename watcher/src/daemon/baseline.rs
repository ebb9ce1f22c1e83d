//! Reads anew what is declared: all of it when SIGHUP asks, the sources when a deployment is through.
//!
//! Files may be on a disk that does not answer, so they are read by a thread that nobody waits for longer than a moment.
//! What was read goes to the loop on the same way as the messages of the webhook, and before the one it was read for.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{signal::unix::Signal, sync::mpsc, task::spawn_blocking, time::timeout};

use crate::{
    config::{self, Config},
    http::Posted,
    model::Phase,
    sources::{Declared, Wanted},
    watch::{Arrival, Reread},
};

/// How long reading may take: less than a sender waits.
const LIMIT: Duration = Duration::from_secs(5);

/// What is read anew.
pub struct Baseline {
    /// What the configuration names as declared.
    wanted: Arc<Wanted>,
    /// The rest of the configuration, which a restart alone takes up.
    config: Config,
    /// The file of the configuration; none where there is none.
    path: Option<PathBuf>,
}

impl Baseline {
    /// What was read of a configuration at the start, and where it stands.
    pub fn new(wanted: Arc<Wanted>, config: Config, path: Option<PathBuf>) -> Baseline {
        let mut baseline = Baseline { wanted: Arc::default(), config, path };
        baseline.remember(wanted);
        baseline
    }

    /// Rules alone are read again with their file, and not kept for it.
    fn remember(&mut self, wanted: Arc<Wanted>) {
        self.wanted = if wanted.has_files() { wanted } else { Arc::default() };
    }

    /// Hands messages on until the loop is gone.
    pub async fn keep(
        mut self,
        mut posted: mpsc::Receiver<Posted>,
        mut hangup: Signal,
        arrivals: mpsc::Sender<Arrival>,
    ) {
        loop {
            let arrival = tokio::select! {
                Some(posted) = posted.recv() => {
                    let reread = match &posted {
                        Posted::Delivery(delivery)
                            if delivery.announcement.phase == Phase::Finished && self.wanted.has_files() =>
                        {
                            Some(self.sources().await)
                        }
                        Posted::Delivery(_) | Posted::Ignored(_) => None,
                    };
                    Arrival::Posted(Box::new(posted), reread)
                }
                Some(()) = hangup.recv() => Arrival::Reread(self.all().await),
            };
            if arrivals.send(arrival).await.is_err() {
                return;
            }
        }
    }

    /// What the sources say now.
    async fn sources(&self) -> Reread {
        let wanted = self.wanted.clone();
        told(within(move || read(&wanted)).await)
    }

    /// What the configuration and the sources say now.
    async fn all(&mut self) -> Reread {
        let path = self.path.clone();
        let read = within(move || {
            let mut config = match path {
                Some(path) => config::load(&path).map_err(|error| words(&error))?,
                None => config::without_file(),
            };
            let wanted = Arc::new(Wanted::take(&mut config));
            Ok((read(&wanted)?, wanted, config))
        });
        match read.await {
            Ok((declared, wanted, mut config)) => {
                config.warnings.drain(..).for_each(|warning| tracing::warn!("{warning}"));
                if config != self.config {
                    tracing::warn!(
                        "of the configuration `drift_rules`, `declared_from` and `declared` were read again, and something else is new in it\n\
                         hint: restart driftd for that"
                    );
                }
                self.remember(wanted);
                tracing::info!("read again what is declared: {} rules", declared.rules.len());
                told(Ok(declared))
            }
            Err(why) => told(Err(why)),
        }
    }
}

/// Reads everything that is wanted of this host.
///
/// # Errors
/// What is wrong, in words a person reads.
pub fn read(wanted: &Arc<Wanted>) -> Result<Box<Declared>, String> {
    Declared::read(wanted, Path::new("/")).map(Box::new).map_err(|error| words(&error))
}

fn told(reread: Reread) -> Reread {
    match &reread {
        Ok(declared) => declared.warn(),
        Err(why) => tracing::error!("what is declared stays as it was: {why}"),
    }
    reread
}

fn words(error: &dyn std::error::Error) -> String {
    error.to_string().trim_end().to_owned()
}

/// Runs what reads files, for no longer than a moment.
async fn within<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match timeout(LIMIT, spawn_blocking(read)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => Err(format!("reading what is declared ended: {error}")),
        Err(_) => Err(format!(
            "what is declared could not be read within {} s\nhint: is it on a disk that does not answer?",
            LIMIT.as_secs()
        )),
    }
}
