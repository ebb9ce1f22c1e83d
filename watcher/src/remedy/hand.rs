//! The thread that writes: a write may block in the kernel, for huge pages to be gathered, or for the lock of all
//! interfaces. One order at a time; what became of it comes back as an input.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use super::{
    Order,
    apply::{Applied, apply},
};

/// An order, or why there is none after all.
enum Job {
    Order(Box<Order>),
    Unrecorded,
}

/// Where orders are given.
pub struct Hand {
    root: PathBuf,
    answer: Arc<dyn Fn(Applied) -> bool + Send + Sync>,
    /// The thread, once there was an order.
    jobs: Option<Sender<Job>>,
    held: Arc<AtomicBool>,
}

/// The right to give one order, when all that comes before it is done.
pub struct Grip {
    jobs: Sender<Job>,
}

impl Hand {
    /// A hand below `root`. Answers go to `answer`, which gives false when nobody wants them any more. The thread is
    /// started with the first order: most daemons never have one.
    pub fn new(root: &Path, answer: impl Fn(Applied) -> bool + Send + Sync + 'static) -> Hand {
        Hand {
            root: root.to_owned(),
            answer: Arc::new(answer),
            jobs: None,
            held: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Lets nothing be written from now on, or again.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// Makes ready for an order.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn grip(&mut self) -> io::Result<Grip> {
        let jobs = match &self.jobs {
            Some(jobs) => jobs.clone(),
            None => {
                let (jobs, inbox) = channel();
                let (root, answer, held) = (self.root.clone(), self.answer.clone(), self.held.clone());
                // What probes call the writer: the kernel keeps 15 bytes of it.
                let thread = thread::Builder::new().name("driftd-revert".into());
                thread.spawn(move || work(&root, &inbox, &*answer, &held))?;
                self.jobs.insert(jobs).clone()
            }
        };
        Ok(Grip { jobs })
    }
}

impl Grip {
    /// Gives the order, where it was recorded that it is given.
    pub fn order(self, order: Order, recorded: bool) {
        let job = if recorded { Job::Order(Box::new(order)) } else { Job::Unrecorded };
        // Nobody is there any more only at the end of the process.
        let _ = self.jobs.send(job);
    }
}

fn work(root: &Path, inbox: &Receiver<Job>, answer: &dyn Fn(Applied) -> bool, held: &AtomicBool) {
    while let Ok(job) = inbox.recv() {
        let applied = match job {
            Job::Order(order) => apply(root, &order, || held.load(Ordering::SeqCst)),
            Job::Unrecorded => Applied::Unrecorded,
        };
        if !answer(applied) {
            return;
        }
    }
}
