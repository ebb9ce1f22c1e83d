//! What is known of a deployment afterwards: what its sender may ask.

use super::{DeploymentStatus, Revision, Verdict};

/// What is known of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What it delivered.
    pub commit: Revision,
    /// How far it came.
    pub status: DeploymentStatus,
    /// The verdict that was made at its end; `None` as long as there is none.
    pub verdict: Option<Verdict>,
}
