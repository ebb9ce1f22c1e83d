//! What can happen becomes an [`Input`]: one `select!` over all sources, and the loop around [`Watch::handle`].

use std::{
    collections::VecDeque,
    future::pending,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot, watch},
};

use super::{Counts, InForce, Input, Reread, Watch, links::AFTER_NETLINK};
use crate::{
    http::{Asked, Posted, Query},
    kernel::{Answer, Units, login_uid, now},
    model::{Boottime, Write},
    probes::{self, Canary, Counter, Devices, Join, Links, Loaded, Triggers},
    remedy::Applied,
    store::{Batch, Work},
};

/// A source with a descriptor that tells when it has something.
pub struct Source<T> {
    inner: T,
    ready: AsyncFd<OwnedFd>,
    seen: Counts,
    /// Whether not all was taken that is there.
    more: bool,
}

impl<T: AsRawFd> Source<T> {
    /// Waits for a source.
    pub fn new(inner: T) -> std::io::Result<Source<T>> {
        Ok(Source { ready: probes::readable(&inner)?, inner, seen: Counts::default(), more: false })
    }
}

/// What comes to the loop from outside, in the order in which it came.
pub enum Arrival {
    /// A message of the webhook; with what is declared now, where that is read anew for it.
    Posted(Box<Posted>, Option<Reread>),
    /// The configuration was read again.
    Reread(Reread),
    /// Who reads wants to know which deployments are in force, all that came before taken.
    InForce(oneshot::Sender<InForce>),
}

/// All that the loop listens to.
pub struct Sources {
    /// The programs in the kernel.
    pub ring: Option<Source<Loaded>>,
    /// What joins their records.
    pub join: Join,
    /// What tells whether they see.
    pub canary: Option<Canary>,
    /// What finds the units of who wrote.
    pub units: Units,
    /// rtnetlink.
    pub links: Option<Source<Links>>,
    /// What tells of modules and devices.
    pub devices: Option<Source<Devices>>,
    /// PSI triggers.
    pub triggers: Triggers,
    /// The webhook, and what is read anew.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Those who want to know how things stand.
    pub queries: mpsc::Receiver<Query>,
    /// Those who ask for a remedy.
    pub asked: mpsc::Receiver<Asked>,
    /// What became of the write in hand.
    pub applied: mpsc::Receiver<Applied>,
    /// Keys whose reading may block.
    pub answers: mpsc::Receiver<Answer>,
    /// Why the store cannot be written, as long as that is so.
    pub trouble: watch::Receiver<Option<String>>,
}

/// Runs until `end` is there, and gives back what it ran: see [`drain`].
pub async fn run(
    mut watch: Watch,
    sources: &mut Sources,
    store: &mpsc::Sender<Work>,
    end: impl Future<Output = &'static str>,
) -> Watch {
    tokio::pin!(end);
    let mut inputs = VecDeque::from([Input::Tick]);
    loop {
        while let Some(mut input) = inputs.pop_front() {
            sources.attribute(&mut input);
            let batch = watch.handle(input, now());
            if let Some(interest) = watch.moved_interest() {
                sources.join.set_interest(interest);
            }
            if let Some(stalls) = watch.moved_stalls() {
                watch.guarded(&sources.triggers.guard(&stalls));
            }
            // A store that does not take any more, on a full disk for one, must not make the daemon deaf to its end.
            tokio::select! {
                biased;
                () = record(store, batch) => {}
                signal = &mut end => {
                    tracing::warn!("{signal}: stopping, while the store cannot be written");
                    return watch;
                }
            }
            watch.hear(&mut inputs, || sources.said(&watch.overdue_writes()));
        }
        inputs = tokio::select! {
            signal = &mut end => {
                tracing::info!("{signal}: stopping");
                return watch;
            }
            inputs = sources.next(&watch) => inputs.into(),
        };
    }
}

/// How long the end waits for a write that is under way.
const HELD_UP: Duration = Duration::from_secs(1);

/// Records what the probes saw until now, so that it is told with its writer and not found by the next start, and what
/// was still gathering.
pub async fn drain(mut watch: Watch, sources: &mut Sources, store: &mpsc::Sender<Work>) {
    let writes = watch.end_writing();
    let mut inputs = sources.last();
    // A write that the kernel holds up is told by the next start.
    if writes && let Ok(Some(applied)) = tokio::time::timeout(HELD_UP, sources.applied.recv()).await {
        inputs.extend(sources.last());
        inputs.push(Input::Applied(applied));
    }
    let mut inputs = VecDeque::from(inputs);
    // What was left in doubt, where the store did not let the turn come to its end.
    watch.hear(&mut inputs, || sources.said(&watch.overdue_writes()));
    while let Some(mut input) = inputs.pop_front() {
        sources.attribute(&mut input);
        record(store, watch.handle(input, now())).await;
        watch.hear(&mut inputs, || sources.said(&watch.overdue_writes()));
    }
    record(store, watch.stop(now())).await;
}

async fn record(store: &mpsc::Sender<Work>, batch: Batch) {
    if !batch.is_empty() && store.send(Work::Record(batch)).await.is_err() {
        tracing::error!("the store is gone, and what happens is not recorded");
    }
}

impl Sources {
    /// What the programs in the kernel have said and was not taken yet.
    fn last(&mut self) -> Vec<Input> {
        taken(&mut self.ring, &mut self.join)
    }

    /// What the programs say where a reading is in doubt: whoever wrote may be about to return from it.
    fn said(&mut self, overdue: &[Write]) -> Vec<Input> {
        std::thread::yield_now();
        let mut said = taken(&mut self.ring, &mut self.join);
        let mut hints = Vec::new();
        self.join.hurry(Duration::ZERO, now().boot, &mut hints, |write| overdue.contains(write));
        if !hints.is_empty() {
            said.push(Input::Hints(hints));
        }
        said
    }

    /// Says of each writer to which unit it belongs: at once, because it may be gone soon.
    fn attribute(&mut self, input: &mut Input) {
        let hints = match input {
            Input::Hints(hints) => hints,
            Input::Asked(Asked { person, .. }) => {
                person.login_uid = login_uid(Path::new("/"), person.pid);
                return;
            }
            _ => return,
        };
        for writer in hints.iter_mut().filter_map(|hint| hint.writer.as_mut()) {
            writer.unit = self.units.of(writer.pid, writer.cgroup_id);
        }
    }

    /// What the programs have said; and, where that is to be known, whether they see.
    fn heard(&mut self, sing: bool) -> Vec<Input> {
        let mut inputs = taken(&mut self.ring, &mut self.join);
        let Some(canary) = &self.canary else { return inputs };
        if !self.join.suspicious() && !sing {
            return inputs;
        }
        let mut sight = None;
        for _ in 0..TRIES {
            if let Err(error) = canary.sing() {
                tracing::warn!("whether the programs still see cannot be tried: {error}");
                return inputs;
            }
            let news = taken(&mut self.ring, &mut self.join);
            // Where the ring was full, or holds more than was taken, it may have been heard.
            let all = self.ring.as_ref().is_some_and(|source| !source.more)
                && !news.iter().any(|input| matches!(input, Input::Tally(counts) if counts.lost > 0));
            let unheard = canary.unheard(self.join.heard());
            inputs.extend(news);
            if unheard.is_some() && !all {
                return inputs;
            }
            sight = unheard;
            if sight.is_none() {
                break;
            }
            std::thread::yield_now();
        }
        inputs.push(Input::Sight(sight));
        inputs
    }

    /// The next inputs: of the source that has some, or none but the tick at the deadline. Cancelled, it loses
    /// nothing: what has a descriptor is read only after it was awaited.
    async fn next(&mut self, watch: &Watch) -> Vec<Input> {
        let Sources {
            ring,
            join,
            links,
            devices,
            triggers,
            arrivals,
            queries,
            asked,
            applied,
            answers,
            trouble,
            ..
        } = self;
        let deadline = watch.deadline();
        let deadline = join.deadline().map_or(deadline, |due| due.min(deadline));
        tokio::select! {
            biased;
            () = readable(ring.as_ref()) => self.heard(false),
            () = readable(links.as_ref()) => {
                let mut news = Vec::new();
                if let Some(Source { inner, .. }) = links
                    && let Err(error) = inner.drain(&mut news)
                {
                    tracing::error!("rtnetlink fails and is listened to no more: {error}");
                    *links = None;
                    news.push(probes::News::Lost);
                }
                vec![Input::Links(news)]
            }
            () = readable(devices.as_ref()) => match devices.as_mut().map(|source| source.inner.drain()) {
                Some(Err(error)) => {
                    tracing::error!("the kernel's word of modules and devices is listened to no more: {error}");
                    *devices = None;
                    Vec::new()
                }
                Some(Ok(true)) => vec![Input::Appeared],
                Some(Ok(false)) | None => Vec::new(),
            },
            rise = triggers.next() => vec![Input::Pressure(rise)],
            Some(answer) = answers.recv() => vec![Input::Answer(answer)],
            // What leads to a sweep comes after what the probes have said: a sweep knows no writer.
            Some(arrival) = arrivals.recv() => match arrival {
                Arrival::Posted(posted, reread) => match *posted {
                    Posted::Delivery(delivery) => {
                        followed_by(taken(ring, join), Input::Delivery(delivery, reread))
                    }
                    Posted::Ignored(message) => vec![Input::Ignored(message)],
                },
                Arrival::InForce(reply) => vec![Input::InForce(reply)],
                Arrival::Reread(reread) => followed_by(taken(ring, join), Input::Reread(reread)),
            },
            Ok(()) = trouble.changed() => vec![Input::Recording(trouble.borrow_and_update().clone())],
            // The programs have said of a write of ours all there is to say before it came back.
            Some(applied) = applied.recv() => followed_by(taken(ring, join), Input::Applied(applied)),
            Some(asked) = asked.recv() => followed_by(taken(ring, join), Input::Asked(asked)),
            Some(query) = queries.recv() => vec![Input::Query(query)],
            () = at(deadline) => {
                let mut inputs = self.heard(watch.is_sweep_due(now().boot));
                let mut hints = Vec::new();
                let is_mtu = |write: &Write| matches!(write, Write::Mtu(_));
                self.join.hurry(AFTER_NETLINK / 2, now().boot, &mut hints, is_mtu);
                if !hints.is_empty() {
                    inputs.push(Input::Hints(hints));
                }
                followed_by(inputs, Input::Tick)
            }
        }
    }
}

/// How often the canary sings before it is unheard. A program by fentry runs once at a time on a processor
/// (`__bpf_prog_enter_recur`, kernel/bpf/trampoline.c): where the kernel may take a writer away from it, it misses whoever
/// writes meanwhile, and so ourselves, until that writer had its turn again.
const TRIES: usize = 8;

/// How many records are taken at once: a writer that never rests must not keep the loop from its other work.
const PIECE: usize = 4096;

/// Takes what is in the ring, and reads the counters behind it: a record is refused only while the ring is full, so
/// that whoever drains it afterwards sees the count.
fn taken(ring: &mut Option<Source<Loaded>>, join: &mut Join) -> Vec<Input> {
    let (entered, mut hints, mut counts) = (now().boot, Vec::new(), Counts::default());
    if let Some(ring) = ring {
        ring.more = ring.inner.drain(PIECE, |record| join.take(record, entered, &mut hints));
        ring.inner.flush_log();
        let (lost, foreign) = (ring.inner.count(Counter::Lost), ring.inner.count(Counter::Foreign));
        counts.lost = lost.saturating_sub(ring.seen.lost);
        counts.foreign = foreign.saturating_sub(ring.seen.foreign);
        ring.seen = Counts { lost, foreign, ..Counts::default() };
    }
    join.expire(entered, &mut hints);
    counts.join = join.tally();
    hints.iter().for_each(|hint| tracing::debug!("{hint:?}"));
    let mut inputs = Vec::with_capacity(3);
    if !hints.is_empty() {
        inputs.push(Input::Hints(hints));
    }
    if counts != Counts::default() {
        inputs.push(Input::Tally(counts));
    }
    inputs
}

fn followed_by(mut inputs: Vec<Input>, last: Input) -> Vec<Input> {
    inputs.push(last);
    inputs
}

/// Until a source has something; for ever where there is none.
async fn readable<T>(source: Option<&Source<T>>) {
    match source {
        Some(Source { more: true, .. }) => {}
        Some(source) => match source.ready.readable().await {
            // Told again at the next edge; what is there is taken now, or `more` says that it was not all.
            Ok(mut guard) => guard.clear_ready(),
            Err(error) => {
                tracing::error!("a descriptor cannot be waited for: {error}");
                pending().await
            }
        },
        None => pending().await,
    }
}

/// Until a moment on the clock since boot.
async fn at(deadline: Boottime) {
    let wait = deadline.since(now().boot);
    // Rounded up, so that the moment has come when the loop looks; and once an hour at least, because the timer
    // does not count the time of a suspended machine.
    let wait = (wait + Duration::from_micros(500)).min(Duration::from_secs(3600));
    tokio::time::sleep(wait).await;
}
