//! Reads anew what is declared: all of it when SIGHUP asks, the sources when a deployment is through.
//!
//! What repositories declare is fetched first, at the commit that a deployment delivers. Files may be on a disk that does not answer, so they are read by a thread that nobody waits for longer than a moment.
//! What was read goes to the loop on the same way as the messages of the webhook, and before the one it was read for.

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    config::{self, Config},
    declared::{Committed, Git},
    http::Posted,
    kernel,
    model::{Announcement, Deployment, Phase, Revision},
    sources::{At, Declared, Repositories, SourceErrors, Wanted},
    watch::{Arrival, InForce, Reread},
};

/// How long reading may take, fetching aside: less than a sender waits.
const LIMIT: Duration = Duration::from_secs(5);

/// How long after repositories could not be read they are tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What is read anew.
pub struct Baseline {
    /// What the configuration names as declared.
    wanted: Arc<Wanted>,
    /// The rest of the configuration, which a restart alone takes up.
    config: Config,
    /// Whether deployments may come with values, which are put together with the rest.
    inline: bool,
    /// The file of the configuration; none where there is none.
    path: Option<PathBuf>,
    repositories: Repositories,
    /// The deployments in force, where repositories declare.
    in_force: Vec<Deployment>,
    /// What repositories declared when all was read last, each with the commit that was asked for.
    read: Vec<(Git, Option<Revision>, Committed)>,
    /// Why repositories could not be read when they were tried last.
    amiss: Option<String>,
    /// When they are tried again, however many messages come meanwhile.
    again: Instant,
    /// Why the file of the configuration was not taken when it was read last: what it should declare is missing until it is.
    mistaken: Option<String>,
}

impl Baseline {
    /// What was read of a configuration at the start, and where it stands; and what [`start`] left to be done.
    pub fn new(
        wanted: Arc<Wanted>,
        config: Config,
        path: Option<PathBuf>,
        in_force: Vec<Deployment>,
        amiss: Option<String>,
    ) -> Baseline {
        let (inline, repositories) = (config.may_declare(), Repositories::new(&config.state));
        let mut baseline = Baseline {
            wanted: Arc::default(),
            config,
            inline,
            path,
            repositories,
            in_force,
            read: Vec::new(),
            amiss,
            again: Instant::now() + AGAIN,
            mistaken: None,
        };
        baseline.remember(wanted);
        baseline
    }

    /// Rules alone are read again with their file, and not kept for it.
    fn remember(&mut self, wanted: Arc<Wanted>) {
        self.wanted = if self.inline || wanted.has_files() { wanted } else { Arc::default() };
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
                            if delivery.announcement.phase == Phase::Finished
                                && (self.inline || self.wanted.has_files()) =>
                        {
                            let wanted = self.wanted.clone();
                            Some(self.sources(&wanted, Some(&delivery.announcement)).await)
                        }
                        Posted::Delivery(_) | Posted::Ignored(_) => None,
                    };
                    Arrival::Posted(Box::new(posted), reread)
                }
                Some(()) = hangup.recv() => Arrival::Reread(self.all().await),
                () = sleep_until(self.again), if self.amiss.is_some() => {
                    let wanted = self.wanted.clone();
                    Arrival::Reread(self.sources(&wanted, None).await)
                }
            };
            if arrivals.send(arrival).await.is_err() || !self.follow(&arrivals).await {
                return;
            }
        }
    }

    /// Learns which deployments are in force, where repositories are read for them, and keeps in mind what was taken. Whether
    /// the loop is still there.
    async fn follow(&mut self, arrivals: &mpsc::Sender<Arrival>) -> bool {
        if self.wanted.repositories().next().is_none() {
            return true;
        }
        let (reply, in_force) = oneshot::channel();
        if arrivals.send(Arrival::InForce(reply)).await.is_err() {
            return false;
        }
        let Ok(InForce { deployments, taken }) = in_force.await else { return false };
        self.in_force = deployments;
        // What was read for a message that was refused, or came before, was not taken.
        for (git, asked, committed) in self.read.drain(..).filter(|_| taken) {
            if let Some(commit) = committed.commit.filter(|_| git.commit(&self.in_force) == asked.as_ref()) {
                self.repositories.take(&git, &commit).await;
            }
        }
        true
    }

    /// What the sources say now, with the deployment that is announced.
    async fn sources(&mut self, wanted: &Arc<Wanted>, announced: Option<&Announcement>) -> Reread {
        let before = self.amiss.take();
        let (committed, amiss) = committed(wanted, &self.repositories, &self.in_force, announced).await;
        let mut read = put_together(wanted, &committed, amiss).await;
        if let Ok(declared) = &mut read {
            declared.broken.clone_from(&self.mistaken);
            self.keep_in_mind(wanted, announced, committed);
        }
        if read.is_ok() && announced.is_some() {
            // The message may be refused, or a retry, and what was read for it is not taken then: the next reading that
            // nobody asked for is.
            self.amiss.clone_from(&before);
        }
        if let Err(why) = &read {
            if announced.is_none() || before.is_none() {
                self.again = Instant::now() + AGAIN;
            }
            // It is tried again and again, and told once.
            if before.as_ref() != Some(why) {
                tracing::error!("what is declared stays as it was: {why}");
            }
            self.amiss = wanted.repositories().next().is_some().then(|| why.clone());
        }
        read
    }

    fn keep_in_mind(&mut self, wanted: &Wanted, announced: Option<&Announcement>, committed: Vec<Committed>) {
        let asked = |git: &Git| match asked(git, &self.in_force, announced) {
            At::Head => None,
            At::Delivered(commit) | At::InForce(commit) | At::Taken(commit) => Some(commit.clone()),
        };
        let read = wanted.repositories().zip(committed);
        self.read = read.map(|(git, committed)| (git.clone(), asked(git), committed)).collect();
    }

    /// What the configuration and the sources say now.
    async fn all(&mut self) -> Reread {
        let path = self.path.clone();
        let loaded = within(move || {
            let mut config = match path {
                Some(path) => config::load(&path).map_err(|error| words(&error))?,
                None => config::without_file(),
            };
            config.warn_of_ended_mutes(kernel::now().wall);
            Ok((Arc::new(Wanted::take(&mut config)), config))
        });
        let (wanted, mut config) = match loaded.await {
            Ok(loaded) => loaded,
            Err(why) => {
                tracing::error!("what is declared stays as it was: {why}");
                self.mistaken = Some(why.clone());
                return Err(why);
            }
        };
        self.mistaken = None;
        self.remember(wanted.clone());
        let declared = self.sources(&wanted, None).await?;
        config.warnings.drain(..).for_each(|warning| tracing::warn!("{warning}"));
        if config != self.config {
            tracing::warn!(
                "of the configuration `drift_rules`, `declared_from` and `declared` were read again, and something else is new in it\n\
                 hint: restart driftd for that"
            );
        }
        tracing::info!("read again what is declared: {} rules", declared.rules.len());
        Ok(declared)
    }
}

/// Which commit of a repository is asked for: that of the deployment that is announced, where it delivers this repository;
/// else that in force.
fn asked<'a>(git: &Git, in_force: &'a [Deployment], announced: Option<&'a Announcement>) -> At<'a> {
    match announced.filter(|announced| git.is_delivered_by(announced.app.as_deref())) {
        Some(announced) => At::Delivered(&announced.commit),
        None => git.commit(in_force).map_or(At::Head, At::InForce),
    }
}

/// What repositories declare, nothing of one that cannot be read, and why those cannot.
async fn committed(
    wanted: &Wanted,
    repositories: &Repositories,
    in_force: &[Deployment],
    announced: Option<&Announcement>,
) -> (Vec<Committed>, SourceErrors) {
    let (mut committed, mut amiss) = (Vec::new(), SourceErrors::default());
    for git in wanted.repositories() {
        committed.push(match repositories.read(git, asked(git, in_force, announced)).await {
            Ok(read) => read,
            Err(error) => {
                amiss.push(error);
                Committed::default()
            }
        });
    }
    (committed, amiss)
}

/// Reads everything that is wanted of this host, at the start. Where a repository is what cannot be read, or has mistakes, that is
/// no reason to be blind: what was taken of it last counts, or nothing of it, and [`Declared::broken`] says why.
///
/// # Errors
/// What is wrong, in words a person reads.
pub async fn start(
    wanted: &Arc<Wanted>,
    repositories: &Repositories,
    in_force: &[Deployment],
) -> Result<Box<Declared>, String> {
    let (committed, amiss) = committed(wanted, repositories, in_force, None).await;
    let why = match put_together(wanted, &committed, amiss).await {
        Ok(declared) => {
            for (git, committed) in wanted.repositories().zip(&committed) {
                if let Some(commit) = &committed.commit {
                    repositories.take(git, commit).await;
                }
            }
            return Ok(declared);
        }
        Err(why) => why,
    };
    let mut taken = Vec::new();
    for git in wanted.repositories() {
        taken.push(repositories.read_kept(git).await.unwrap_or_default());
    }
    let none = SourceErrors::default;
    let mut declared = match put_together(wanted, &taken, none()).await {
        Ok(declared) => declared,
        // Where it is not the repositories, or not they alone, this fails too: all that is wrong is what is told then.
        Err(_) => put_together(wanted, &[], none()).await.map_err(|_| why.clone())?,
    };
    tracing::error!("not all that should be declared is: {why}");
    declared.broken = Some(why);
    Ok(declared)
}

/// What is declared altogether, where nothing was amiss with the repositories; else all that is wrong with those and the
/// files.
async fn put_together(
    wanted: &Arc<Wanted>,
    committed: &[Committed],
    amiss: SourceErrors,
) -> Result<Box<Declared>, String> {
    let (wanted, committed) = (wanted.clone(), committed.to_vec());
    let read = move || amiss.or(Declared::read(&wanted, &committed, Path::new("/")));
    within(move || read().map(Box::new).map_err(|errors| words(&errors))).await
}

/// The most mistakes of which a status and each verdict bear the words.
const MOST_TOLD: usize = 50;

fn words(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let paragraphs: Vec<&str> = text.trim_end().split("\n\n").collect();
    let mut told = paragraphs.get(..MOST_TOLD).unwrap_or(&paragraphs).join("\n\n");
    if paragraphs.len() > MOST_TOLD {
        told.push_str("\n\nand more\nhint: `driftd config check` says all of it");
    }
    told
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
