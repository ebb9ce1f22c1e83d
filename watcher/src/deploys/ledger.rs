//! The ledger: what is in force and what is under way, for each application, and how an announcement moves it.

use std::time::Duration;

use jiff::Timestamp;

use super::messages::Messages;
use crate::model::{
    Announcement, Boottime, Delivered, Deployment, DeploymentId, Now, Phase, Refusal, Revision, Values,
};

/// How many deployments are in force at the most: more applications than that are on no host.
const IN_FORCE: usize = 1024;

/// What an announcement leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A window opened.
    Started(Deployment),
    /// A deployment is in force: a new one, or the same again after a window.
    Finished(Deployment),
    /// A deployment broke off; the one before stays in force.
    Failed(Deployment),
    /// A retry, or the revision in force again: nothing moves.
    Known(DeploymentId),
    /// Not taken.
    Refused(Refusal),
}

/// What a change is pinned to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pin {
    /// The commit last delivered; in a window the one that is being delivered.
    pub commit: Option<Revision>,
    /// Its deployment.
    pub deployment: Option<DeploymentId>,
    /// Whether a window is open.
    pub in_window: bool,
}

/// A deployment under way.
#[derive(Clone, Debug)]
struct Window {
    deployment: Deployment,
    until: Boottime,
}

/// What was delivered, and what is being delivered.
#[derive(Debug)]
pub struct Ledger {
    timeout: Duration,
    /// One for each application, the last delivered last.
    in_force: Vec<Deployment>,
    /// One for each application, the last opened last.
    windows: Vec<Window>,
    messages: Messages,
}

impl Ledger {
    /// A ledger with what an earlier run left: deployments in force and messages taken, oldest first. A window stays
    /// open for `timeout` without a word.
    pub fn new(timeout: Duration, in_force: Vec<Deployment>, delivered: Vec<Delivered>) -> Ledger {
        Ledger { timeout, in_force, windows: Vec::new(), messages: Messages::new(delivered) }
    }

    /// Opens the window of an earlier run again, for what is left of its time. The one that began last comes last.
    pub fn reopen(&mut self, deployment: Deployment, started: Timestamp, now: Now) {
        let passed = Duration::try_from(now.wall.duration_since(started)).unwrap_or_default();
        let until = now.boot.after(self.timeout.saturating_sub(passed));
        // One that was replaced had no word that ended it.
        self.windows.retain(|w| w.deployment.whose() != deployment.whose());
        self.windows.push(Window { deployment, until });
    }

    /// Takes an announcement. `id` is the name of the deployment, if it is a new one.
    pub fn announce(&mut self, announcement: &Announcement, id: DeploymentId, now: Now) -> Outcome {
        match self.messages.earlier(announcement, now.wall) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Outcome::Known(earlier),
            Err(refusal) => return Outcome::Refused(refusal),
        }
        let same = |d: &Deployment| d.whose() == announcement.whose();
        let in_force =
            self.in_force.iter().find(|d| same(d) && d.commit.may_be(&announcement.commit)).cloned();
        let has_window = self.windows.iter().any(|w| same(&w.deployment));
        // The end of one commit says nothing of another that is being delivered meanwhile.
        let under_way = self.window_of(announcement).cloned();
        let failed_before = match under_way {
            None => self.messages.failed_before(announcement),
            Some(_) => None,
        };
        // The revision in force with other values is no news to the commit's history, and moves the baseline.
        let declared = announcement.declared.clone().unwrap_or_default();
        let in_force_as_it_is = in_force.as_ref().is_some_and(|d| d.declared == declared);
        let known = under_way.clone().or(in_force.clone());
        let mut deployment = known.unwrap_or_else(|| Deployment {
            id,
            commit: announcement.commit.clone(),
            app: announcement.app.clone(),
            environment: announcement.environment.clone(),
            repo: None,
            undated: announcement.id.is_none() && announcement.timestamp.is_none(),
            declared: Values::default(),
            announced: false,
        });
        // The longer name of a commit says more.
        if deployment.commit.as_str().len() < announcement.commit.as_str().len() {
            deployment.commit = announcement.commit.clone();
        }
        deployment.announced |= announcement.phase == Phase::Started;
        // Of the messages about one deployment not each may say it.
        deployment.repo = announcement.repo.clone().or(deployment.repo);
        if let Some(earlier) = failed_before {
            self.messages.remember(announcement, earlier.clone(), now.wall);
            return Outcome::Known(earlier);
        }
        self.messages.remember(announcement, deployment.id.clone(), now.wall);
        match announcement.phase {
            Phase::Started => {
                self.windows.retain(|w| !same(&w.deployment));
                let until = now.boot.after(self.timeout);
                self.windows.push(Window { deployment: deployment.clone(), until });
                Outcome::Started(deployment)
            }
            Phase::Finished if under_way.is_none() && !has_window && in_force_as_it_is => {
                Outcome::Known(deployment.id)
            }
            Phase::Finished => {
                self.close(under_way.as_ref());
                deployment.declared = declared;
                self.in_force.retain(|d| !same(d));
                self.in_force.push(deployment.clone());
                self.forget_old();
                Outcome::Finished(deployment)
            }
            Phase::Failed => {
                self.close(under_way.as_ref());
                Outcome::Failed(deployment)
            }
        }
    }

    /// Forgets the deployment that was delivered first, where there are more than may be; one with values of its own last.
    fn forget_old(&mut self) {
        if self.in_force.len() > IN_FORCE {
            let at =
                self.in_force.iter().take(IN_FORCE).position(|d| d.declared.is_empty()).unwrap_or_default();
            let forgotten = self.in_force.remove(at);
            tracing::warn!(
                "more than {IN_FORCE} applications and environments are delivered to this host: that {} was delivered for {} is forgotten",
                forgotten.commit,
                forgotten.app.as_deref().unwrap_or("none")
            );
        }
    }

    fn close(&mut self, under_way: Option<&Deployment>) {
        self.windows.retain(|w| under_way.is_none_or(|ended| w.deployment.id != ended.id));
    }

    /// The deployments in force that came with values, the last delivered last.
    pub fn declaring(&self) -> impl Iterator<Item = &Deployment> {
        self.in_force.iter().filter(|deployment| !deployment.declared.is_empty())
    }

    /// The message taken last: what is to be written down.
    pub fn last_delivered(&self) -> Option<&Delivered> {
        self.messages.last()
    }

    /// Closes one window whose time is over.
    pub fn time_out(&mut self, now: Boottime) -> Option<Deployment> {
        let at = self.windows.iter().position(|w| w.until <= now)?;
        Some(self.windows.remove(at).deployment)
    }

    /// When [`Ledger::time_out`] is due next.
    pub fn deadline(&self) -> Option<Boottime> {
        self.windows.iter().map(|w| w.until).min()
    }

    /// What a change of now is pinned to.
    pub fn pin(&self) -> Pin {
        let window = self.windows.last().map(|w| &w.deployment);
        let deployment = window.or(self.in_force.last());
        Pin {
            commit: deployment.map(|d| d.commit.clone()),
            deployment: deployment.map(|d| d.id.clone()),
            in_window: window.is_some(),
        }
    }

    /// The deployment delivered last.
    pub fn in_force(&self) -> Option<&Deployment> {
        self.in_force.last()
    }

    /// The deployments in force, one for each application, the last delivered last.
    pub fn all_in_force(&self) -> &[Deployment] {
        &self.in_force
    }

    /// A deployment in force of which no message said that it began: what its deploy wrote cannot be told from drift. What a
    /// deployment in force declared (by its commit) is of that one's application; all else may be of any.
    pub fn unannounced(&self, declared: Option<&Revision>) -> Option<&Deployment> {
        let declared_it = |d: &&Deployment| declared.is_some_and(|commit| d.commit.may_be(commit));
        let is_known = self.in_force.iter().any(|d| declared_it(&d));
        self.in_force.iter().find(|d| !d.announced && (!is_known || declared_it(d)))
    }

    /// The deployment of a name, in force or under way.
    pub fn get(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.in_force.iter().chain(self.windows.iter().map(|w| &w.deployment)).find(|d| d.id == *id)
    }

    /// The deployment whose window an announcement is about: that of its application, environment and commit.
    pub fn window_of(&self, announcement: &Announcement) -> Option<&Deployment> {
        let windows = self.windows.iter().map(|w| &w.deployment);
        windows
            .into_iter()
            .find(|d| d.whose() == announcement.whose() && d.commit.may_be(&announcement.commit))
    }

    /// Whether a deployment's window is open.
    pub fn is_open(&self, id: &DeploymentId) -> bool {
        self.windows.iter().any(|w| w.deployment.id == *id)
    }

    /// The deployment whose window was opened last and is open.
    pub fn window(&self) -> Option<&Deployment> {
        self.windows.last().map(|w| &w.deployment)
    }
}

#[cfg(test)]
mod tests;
