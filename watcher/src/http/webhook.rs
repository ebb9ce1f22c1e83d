//! The webhook listener: what it is bound with, and which of its two services a request is for.
//!
//! `deliver` takes what is posted to `/webhook/gitops` and beneath it, `recall` tells the verdict to who delivered.
//! Nothing else is served. Who is heard at all is decided before either, at the gate.

mod deliver;
mod recall;

use std::{path::Path, sync::Arc};

use tokio::sync::{mpsc, watch};

pub use deliver::{Delivery, Posted};

use super::{
    HttpError,
    answer::{Answer, Refused},
    body::Bodies,
    callers::Idle,
    connection::Limits,
    door::{Door, PATH},
    gate::{Call, Gate},
    outcomes::Outcomes,
    verdict::{self, Question},
};
use crate::config;

/// The bound listener, not yet serving.
pub struct Webhook {
    gate: Gate,
    door: Door,
}

/// What the requests share.
struct Desk {
    door: Door,
    bodies: Bodies,
    limits: Limits,
    outcomes: Arc<Outcomes>,
    deliveries: mpsc::Sender<Posted>,
    idle: Idle,
    questions: mpsc::Sender<Question>,
    stop: watch::Receiver<bool>,
}

impl Webhook {
    /// Reads the secrets and the certificate, and binds the address. `state_dir` keeps a self-signed certificate.
    ///
    /// # Errors
    /// There is no usable secret or certificate, the address cannot be had, or it is another than loopback and the
    /// settings say plain.
    pub async fn bind(settings: &config::Webhook, state_dir: &Path) -> Result<Webhook, HttpError> {
        let door = Door::load(&settings.credentials)?;
        let gate = Gate::bind(settings.listen, &settings.tls, &settings.callers, state_dir).await?;
        Ok(Webhook { gate, door })
    }

    /// Where to post, with the port that was really bound: `https://127.0.0.1:8787/webhook/gitops`.
    pub fn url(&self) -> String {
        self.gate.url(PATH)
    }

    /// What becomes of its requests.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        self.gate.outcomes.clone()
    }

    /// Serves until asked to stop; requests in hand then have a grace of 2 s.
    ///
    /// Nothing waits for room in the channels: where one is full, the sender is told to try again.
    pub async fn serve(
        self,
        deliveries: mpsc::Sender<Posted>,
        questions: mpsc::Sender<Question>,
        stop: watch::Receiver<bool>,
    ) {
        let Webhook { gate, door } = self;
        let (bodies, limits, outcomes) = (Bodies::new(), gate.limits, gate.outcomes.clone());
        let stopping = stop.clone();
        let idle = Idle::new(limits.forgotten);
        let desk =
            Arc::new(Desk { door, bodies, limits, outcomes, idle, deliveries, questions, stop: stopping });
        let serve = move |call| {
            let desk = desk.clone();
            async move { desk.serve(call).await }
        };
        gate.open(serve, stop).await;
    }
}

impl Desk {
    async fn serve(&self, call: Call) -> Result<Answer, Refused> {
        match verdict::asked(call.head.uri.path()) {
            Some(deployment) => self.recall(deployment, &call.head, &call.seat).await,
            None => self.deliver(call).await,
        }
    }
}

#[cfg(test)]
mod tests;
