//! What is known of a deployment, for the credential that delivered it: `GET /api/v1/deployments/ID`.
//!
//! There is no body to sign, so it is the path that is. Whoever saw the signature could ask for this one verdict again,
//! and for nothing else.

use hyper::{Method, http::request::Parts};
use tokio::{sync::oneshot, time::timeout};

use super::{
    super::{
        answer::{Answer, Refused},
        connection::Seat,
        outcomes::Outcome,
        verdict::{self, Form, Question},
    },
    Desk,
};
use crate::model::DeploymentId;

impl Desk {
    pub(super) async fn recall(
        &self,
        deployment: DeploymentId,
        head: &Parts,
        seat: &Seat,
    ) -> Result<Answer, Refused> {
        if head.method != Method::GET {
            return Err(Refused::method(&head.method, "GET"));
        }
        let path = head.uri.path();
        let credentials = self.door.who_asks(path, &head.headers)?;
        seat.keep();
        let (reply, known) = oneshot::channel();
        self.questions
            .try_send(Question { deployment: deployment.clone(), credentials, reply })
            .map_err(|full| Refused::later(format!("no question is taken: {full}")))?;
        let known = timeout(self.limits.request, known)
            .await
            .map_err(|_| Refused::later("the store did not answer in time"))?
            .map_err(|_| Refused::later("the store could not be read"))?;
        // Of what others delivered it is not even told that it is there.
        let known = known.ok_or_else(|| Refused::not_here(path))?;
        self.outcomes.count(Outcome::Recalled);
        Ok(verdict::answer(&deployment, &known, Form::wanted(&head.headers)))
    }
}
