//! The wiring: builds the rooms, makes every channel, spawns, and drains at the end.

mod baseline;
mod remedy;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use self::baseline::Baseline;
use crate::{
    alerts::{AskStatus, Given, Journal, OUTPUT, Output, Outside, Sink, outlets, tell},
    config::Config,
    declared::inline,
    deploys::Ledger,
    heap,
    http::{Asked, Asking, Pages, Posted, Query, Question, Reading, StatusSocket, Webhook},
    kernel::{self, Answer, SlowReader},
    model::{Entry, Loss, Now, Started, Values, What},
    probes::{self, Devices, Join, LinkPlan, Links, Plan, PressurePlan, Triggers},
    remedy::{Applied, Hand},
    sources::{Declared, Repositories, Wanted},
    store::{self, Batch, Begun, Past, Reader, Work},
    watch::{Arrival, Parts, Source, Sources, Watch},
};

/// What `driftd run` may be asked besides its configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file of the configuration, to be read again when asked; none where there is none.
    pub config: Option<PathBuf>,
    /// How entries are told on the standard output.
    pub output: Output,
    /// Whether the programs in the kernel log what they see.
    pub verbose: bool,
    /// Whether writes owned by other namespaces are logged.
    pub foreign: bool,
    /// Whether it may write: what rules say to revert, and who asks for it.
    pub revert: bool,
}

/// How many batches may wait for the store. When it is slower than that the loop waits, the ring fills, and what does
/// not fit is counted and swept.
const BATCHES: usize = 256;

/// How many deliveries may wait for the loop; a sender beyond that is asked to come again.
const DELIVERIES: usize = 64;

/// How many who want to know how things stand may wait for the loop.
const QUERIES: usize = 16;

/// How many who ask for a remedy may wait for the loop.
const ASKED: usize = 4;

/// How many who ask for a verdict may wait for the store.
const QUESTIONS: usize = 16;

/// How many keys whose reading may block may wait for the loop.
const ANSWERS: usize = 256;

/// How long after its start the daemon gives back the memory that only the start needed.
const STARTED: Duration = Duration::from_secs(5);

/// How long what is under way may take when the daemon stops.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until a signal says to stop.
///
/// # Errors
/// A part cannot be had: the store, the listener, the socket, or the probes that the configuration forces.
pub async fn run(mut config: Config, options: Options) -> anyhow::Result<()> {
    heap::keep_small();
    config.warn_of_ended_mutes(kernel::now().wall);
    config.warnings.drain(..).for_each(|warning| tracing::warn!("{warning}"));
    let wanted = Arc::new(Wanted::take(&mut config));
    let outside = Outside::new(&config.alerts, &config.file)?;
    let Begun { store, reader, mut past, damage } = store::begin(&config.state, &[OUTPUT])?;
    if !config.may_declare() {
        // What a sender said while it might is not said any more.
        past.in_force.iter_mut().for_each(|deployment| deployment.declared = Values::default());
    }
    let mut declared = baseline::start(&wanted, &Repositories::new(&config.state), &past.in_force)
        .await
        .map_err(|why| anyhow!("{why}"))?;
    let now = kernel::now();
    declared.then(inline(past.in_force.iter().filter(|deployment| !deployment.declared.is_empty())));
    declared.warn();
    let store = store.retaining(config.retention).telling(outlets(&config.alerts))?;

    // Every channel there is.
    let (work, work_inbox) = mpsc::channel(BATCHES);
    let (bell, rung) = sync_channel(1);
    let (deliveries, delivery_inbox) = mpsc::channel::<Posted>(DELIVERIES);
    // A message is read for one at a time; the others wait in front of the reader.
    let (arrivals, arrival_inbox) = mpsc::channel::<Arrival>(1);
    let (questions, question_inbox) = mpsc::channel::<Question>(QUESTIONS);
    let (queries, query_inbox) = mpsc::channel::<Query>(QUERIES);
    let (answers, answer_inbox) = mpsc::channel::<Answer>(ANSWERS);
    let (remedies, asked_inbox) = mpsc::channel::<Asked>(ASKED);
    // There is one write in hand at a time.
    let (applied, applied_inbox) = mpsc::channel::<Applied>(1);
    let (stop, stopped) = watch::channel(false);
    let (trouble, news) = (store.trouble(), store.news());

    let webhook = match &config.webhook {
        Some(settings) => Some(Webhook::bind(settings, &config.state).await?),
        None => None,
    };
    let socket = StatusSocket::bind(&config.socket)?;
    let pages = match &config.http {
        Some(settings) => Some(Pages::bind(settings).await?),
        None => None,
    };
    let asked = probes::Options { ring: config.ring, foreign: options.foreign, log: options.verbose };
    let mut probing = probes::start(Path::new("/"), config.probes, asked)?;
    let links = listen(&mut probing.plan, config.probes)?;
    let slow = SlowReader::start(Path::new("/"), move |answer| answers.blocking_send(answer).is_ok())
        .context("cannot start the thread for slow reads")?;

    if let Some(what) = damage {
        tracing::error!("{what}");
        let lost = Entry { time: now.wall, what: What::Loss(Loss { what, count: None }) };
        let _ = work.send(Work::Record(Batch { entries: vec![lost], ..Batch::default() })).await;
    }
    // When both of these are answered, what was recorded is told and marked.
    let recorded = spawn("store", move || store.run(work_inbox, bell))?;
    let told = {
        let work = work.clone();
        spawn("teller", move || {
            // Who asks for JSON lines has them wherever they go.
            let journal = (options.output == Output::Text).then(Journal::of_stdout).flatten();
            let sink =
                journal.map_or_else(|| Sink::Lines(options.output, io::stdout().lock()), Sink::journal);
            if let Err(error) = tell(&reader, &rung, &work, sink) {
                tracing::error!("what happens is recorded and not told any more: {error}");
            }
        })?
    };
    let sent = match outside.is_empty() {
        true => None,
        false => {
            let (status, stop) = (statuses(queries.clone()), stopped.clone());
            let given = Given { work: work.clone(), status, news, stop };
            let state = config.state.clone();
            Some(spawn("sinks", move || {
                if let Err(error) = outside.run(&state, &given) {
                    tracing::error!("nothing is sent to the sinks: {error}");
                }
            })?)
        }
    };
    let page = pages.as_ref().map(Pages::url);
    let watching = Started { page, ..started(&probing.plan, webhook.as_ref().map(Webhook::url)) };
    let interest = crate::watch::interest(&declared.rules);
    let (in_force, amiss) = (past.in_force.clone(), declared.broken.clone());
    remedy::warn(&declared.rules, options.revert);
    let hand =
        options.revert.then(|| Hand::new(Path::new("/"), move |done| applied.blocking_send(done).is_ok()));
    let watch = build_watch(&config, *declared, past, (slow, hand), watching, now);
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let mut servers = tokio::task::JoinSet::new();
    let outcomes = webhook.as_ref().map(Webhook::outcomes);
    if let Some(webhook) = webhook {
        servers.spawn(recall(config.state.clone(), question_inbox));
        servers.spawn(webhook.serve(deliveries, questions, stopped.clone()));
    }
    let reading = Reading::new(queries, &config.state, outcomes, &config.file, stopped.clone());
    let reading = Arc::new(reading.with_work(work.downgrade()));
    if let Some(pages) = pages {
        servers.spawn(pages.serve(reading.clone(), stopped.clone()));
    }
    servers.spawn(socket.serve(reading, Asking::new(remedies), stopped));

    let baseline = Baseline::new(wanted, config, options.config, in_force, amiss);
    tokio::spawn(baseline.keep(delivery_inbox, hangup, arrivals));
    let mut sources = Sources {
        join: Join::new(interest, probing.hook(), probing.facts.host),
        ring: probing.loaded.map(Source::new).transpose().context("cannot wait for the ring")?,
        canary: probing.canary,
        units: kernel::Units::new(Path::new("/")),
        triggers: Triggers::new(Path::new("/"), probing.plan.pressure == PressurePlan::Psi),
        devices: listen_to_devices(&probing.plan),
        links: links.map(Source::new).transpose().context("cannot wait for rtnetlink")?,
        arrivals: arrival_inbox,
        queries: query_inbox,
        asked: asked_inbox,
        applied: applied_inbox,
        answers: answer_inbox,
        trouble,
    };
    // What the start took is free when its sweep is recorded and told.
    tokio::spawn(async {
        tokio::time::sleep(STARTED).await;
        heap::give_back();
    });
    let end = end()?;
    notify(NotifyState::Ready);
    let watch = crate::watch::run(watch, &mut sources, &work, end).await;
    notify(NotifyState::Stopping);

    // What is still to be written, then away with the programs, then finish what is under way and tell the rest. The
    // threads are not joined: one that hangs in a write ends with the process.
    let drained = tokio::time::timeout(GRACE, async {
        crate::watch::drain(watch, &mut sources, &work).await;
        sources.ring = None;
        let _ = stop.send(true);
        while servers.join_next().await.is_some() {}
        let _ = work.send(Work::Close).await;
        drop(work);
        if let Some(sent) = sent {
            let _ = sent.await;
        }
        let _ = tokio::join!(told, recorded);
    });
    match drained.await {
        Ok(()) => tracing::info!("stopped"),
        Err(_) => tracing::warn!("stopped before all was told; the next start tells what was recorded"),
    }
    Ok(())
}

fn build_watch(
    config: &Config,
    mut declared: Declared,
    mut past: Past,
    (slow, hand): (SlowReader, Option<Hand>),
    watching: Started,
    now: Now,
) -> Watch {
    let in_force = std::mem::take(&mut past.in_force);
    let delivered = std::mem::take(&mut past.delivered);
    let mut ledger = Ledger::new(config.deploy_timeout, in_force, delivered);
    for (deployment, started) in past.under_way.drain(..) {
        ledger.reopen(deployment, started, now);
    }
    let parts = Parts {
        rules: std::mem::take(&mut declared.rules),
        declared: Some(declared),
        ledger,
        past,
        reader: kernel::Reader::new(Path::new("/"), kernel::descriptors()),
        slow,
        hand,
        sweep_every: config.sweep,
        watching,
    };
    Watch::new(parts, now)
}

/// Takes questions of how things stand to the loop, from those who may not know what else can be asked there.
fn statuses(queries: mpsc::Sender<Query>) -> AskStatus {
    let (asks, mut inbox) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(reply) = inbox.recv().await {
            if queries.send(Query::Status(reply)).await.is_err() {
                return;
            }
        }
    });
    asks
}

/// Starts a thread; the receiver is answered, or closed, when it ends.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let work = move || {
        work();
        let _ = ended.send(());
    };
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .with_context(|| format!("cannot start the thread `{name}`"))?;
    Ok(end)
}

/// Answers who asks for a verdict, from the store, until nobody can ask any more. It is opened for each, on a thread that
/// is there for it alone: few ask, and a store that is damaged may be another one by the next time.
async fn recall(state: PathBuf, mut questions: mpsc::Receiver<Question>) {
    while let Some(Question { deployment, credentials, reply }) = questions.recv().await {
        let state = state.clone();
        let read = move || {
            let known = Reader::open(&state)
                .and_then(|reader| reader.map_or(Ok(None), |reader| reader.known(&deployment, &credentials)));
            match known {
                // Who asked may have gone.
                Ok(known) => drop(reply.send(known)),
                Err(error) => {
                    tracing::error!("what is known of the deployment {deployment} cannot be told: {error}")
                }
            }
        };
        if let Err(broken) = tokio::task::spawn_blocking(read).await {
            tracing::error!("a verdict cannot be told: {broken}");
        }
    }
}

/// Tells the service manager, where there is one (sd_notify(3)).
pub(crate) fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager was not told: {error}");
    }
}

/// One future for "time to stop": the signal of systemd and kill(1), or Ctrl-C.
pub(crate) fn end() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// rtnetlink, where the plan wants it. What cannot be had changes the plan, or is an error where it was forced.
fn listen(plan: &mut Plan, wanted: crate::model::Probes) -> anyhow::Result<Option<Links>> {
    match plan.netlink.then(Links::listen).transpose() {
        Ok(links) => Ok(links),
        Err(error) if plan.link == LinkPlan::Netlink && wanted != crate::model::Probes::Auto => {
            Err(error).context("rtnetlink cannot be listened to")
        }
        Err(error) => {
            plan.reasons.push(format!("rtnetlink cannot be listened to: {error}"));
            if plan.link == LinkPlan::Netlink {
                plan.link = LinkPlan::Swept;
            }
            Ok(None)
        }
    }
}

/// The kernel's word of modules and devices, where it is not all left to the sweep.
fn listen_to_devices(plan: &Plan) -> Option<Source<Devices>> {
    let devices = plan.netlink.then(|| Devices::listen().and_then(Source::new)).transpose();
    devices.unwrap_or_else(|error| {
        tracing::warn!("modules and devices that come are found by the sweep only: {error}");
        None
    })
}

fn started(plan: &Plan, webhook: Option<String>) -> Started {
    Started {
        version: env!("CARGO_PKG_VERSION").into(),
        sysctl: plan.sysctl.as_str().into(),
        link: plan.link.as_str().into(),
        pressure: Some(plan.pressure.as_str().into()),
        reasons: plan.reasons.clone(),
        // Patterns mean what is there: counted when all is looked at.
        keys: 0,
        webhook,
        page: None,
    }
}
