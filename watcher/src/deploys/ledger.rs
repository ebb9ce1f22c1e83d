//! The ledger: which announcement is news, which is a retry, which is refused.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    Announcement, Boottime, Delivered, Deployment, DeploymentId, Now, Phase, Refusal, Revision,
};

/// How far a dated message may be from now, either way (Standard Webhooks, "reference tolerance").
pub const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How long an identical message without id and date is a retry; later it is a new deployment.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// How many messages are remembered. More than that many within five minutes come from no pipeline.
const REMEMBERED: usize = 1024;

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
    delivered: VecDeque<Delivered>,
}

impl Ledger {
    /// A ledger with what an earlier run left: deployments in force and messages taken, oldest first. A window stays
    /// open for `timeout` without a word.
    pub fn new(timeout: Duration, in_force: Vec<Deployment>, delivered: Vec<Delivered>) -> Ledger {
        let skip = delivered.len().saturating_sub(REMEMBERED);
        Ledger {
            timeout,
            in_force,
            windows: Vec::new(),
            delivered: delivered.into_iter().skip(skip).collect(),
        }
    }

    /// Opens the window of an earlier run again, for what is left of its time.
    pub fn reopen(&mut self, deployment: Deployment, started: Timestamp, now: Now) {
        let passed = Duration::try_from(now.wall.duration_since(started)).unwrap_or_default();
        let until = now.boot.after(self.timeout.saturating_sub(passed));
        self.windows.push(Window { deployment, until });
    }

    /// Takes an announcement. `id` is the name of the deployment, if it is a new one.
    pub fn announce(&mut self, announcement: &Announcement, id: DeploymentId, now: Now) -> Outcome {
        match self.earlier(announcement, now.wall) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Outcome::Known(earlier),
            Err(refusal) => return Outcome::Refused(refusal),
        }
        if let Some(timestamp) = announcement.timestamp
            && now.wall.duration_since(timestamp).abs() > FRESH
        {
            return Outcome::Refused(Refusal::Stale { timestamp });
        }
        let same = |d: &Deployment| d.app == announcement.app && d.environment == announcement.environment;
        let in_force = self.in_force.iter().find(|d| same(d) && d.commit == announcement.commit).cloned();
        let window = self.windows.iter().position(|w| same(&w.deployment));
        let under_way = window
            .and_then(|at| self.windows.get(at))
            .filter(|w| w.deployment.commit == announcement.commit)
            .map(|w| w.deployment.clone());
        let failed_before = match window {
            None => self.failed_before(announcement),
            Some(_) => None,
        };
        let known = under_way.clone().or(in_force.clone());
        let mut deployment = known.unwrap_or_else(|| Deployment {
            id,
            commit: announcement.commit.clone(),
            app: announcement.app.clone(),
            environment: announcement.environment.clone(),
            repo: None,
            undated: announcement.id.is_none() && announcement.timestamp.is_none(),
        });
        // Of the messages about one deployment not each may say it.
        deployment.repo = announcement.repo.clone().or(deployment.repo);
        if let Some(earlier) = failed_before {
            self.remember(announcement, earlier.clone(), now.wall);
            return Outcome::Known(earlier);
        }
        self.remember(announcement, deployment.id.clone(), now.wall);
        match announcement.phase {
            Phase::Started => {
                if let Some(at) = window {
                    self.windows.remove(at);
                }
                let until = now.boot.after(self.timeout);
                self.windows.push(Window { deployment: deployment.clone(), until });
                Outcome::Started(deployment)
            }
            Phase::Finished if under_way.is_none() && window.is_none() && in_force.is_some() => {
                Outcome::Known(deployment.id)
            }
            Phase::Finished => {
                if let Some(at) = window {
                    self.windows.remove(at);
                }
                self.in_force.retain(|d| d.app != deployment.app || d.environment != deployment.environment);
                self.in_force.push(deployment.clone());
                Outcome::Finished(deployment)
            }
            Phase::Failed => {
                if let Some(at) = window {
                    self.windows.remove(at);
                }
                Outcome::Failed(deployment)
            }
        }
    }

    /// The deployment of the same message, if it came before.
    fn earlier(&self, new: &Announcement, now: Timestamp) -> Result<Option<DeploymentId>, Refusal> {
        // One run of a pipeline may deliver several applications under one id.
        let same = |old: &&Delivered| {
            old.phase == new.phase && old.app == new.app && old.environment == new.environment
        };
        for old in self.delivered.iter().rev().filter(same) {
            match (&new.id, &old.id) {
                (Some(id), Some(earlier)) if id == earlier => {
                    return match old.commit == new.commit {
                        true => Ok(Some(old.deployment.clone())),
                        false => Err(Refusal::IdReused(id.clone())),
                    };
                }
                (None, None)
                    if old.digest == new.digest
                        && (new.timestamp.is_some() || now.duration_since(old.at).abs() <= RETRY) =>
                {
                    return Ok(Some(old.deployment.clone()));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The deployment that failed with the message before, where this one says that it failed again. A controller that
    /// tries for ever says so for ever, and only the first time is news.
    fn failed_before(&self, new: &Announcement) -> Option<DeploymentId> {
        let same = |old: &&Delivered| old.app == new.app && old.environment == new.environment;
        let last = self.delivered.iter().rev().find(same)?;
        let again = new.phase == Phase::Failed && last.phase == Phase::Failed && last.commit == new.commit;
        again.then(|| last.deployment.clone())
    }

    fn remember(&mut self, announcement: &Announcement, deployment: DeploymentId, at: Timestamp) {
        if self.delivered.len() >= REMEMBERED {
            self.delivered.pop_front();
        }
        self.delivered.push_back(Delivered {
            id: announcement.id.clone(),
            phase: announcement.phase,
            commit: announcement.commit.clone(),
            app: announcement.app.clone(),
            environment: announcement.environment.clone(),
            digest: announcement.digest,
            at,
            deployment,
        });
    }

    /// The message taken last: what is to be written down.
    pub fn last_delivered(&self) -> Option<&Delivered> {
        self.delivered.back()
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

    /// The deployment of a name, in force or under way.
    pub fn get(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.in_force.iter().chain(self.windows.iter().map(|w| &w.deployment)).find(|d| d.id == *id)
    }

    /// The deployment whose window an announcement is about: that of its application and environment.
    pub fn window_of(&self, announcement: &Announcement) -> Option<&Deployment> {
        let windows = self.windows.iter().map(|w| &w.deployment);
        windows.into_iter().find(|d| d.app == announcement.app && d.environment == announcement.environment)
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
mod tests {
    use super::*;

    fn now(secs: i64) -> Now {
        Now {
            boot: Boottime { nanos: secs as u64 * 1_000_000_000 },
            wall: Timestamp::from_second(1_000_000 + secs).unwrap(),
        }
    }

    fn message(commit: &str, phase: Phase) -> Announcement {
        let mut digest = [phase as u8; 32];
        digest[..6].copy_from_slice(commit.as_bytes());
        Announcement {
            commit: commit.parse().unwrap(),
            app: Some("web".into()),
            phase,
            id: None,
            timestamp: None,
            environment: None,
            reference: None,
            repo: None,
            digest,
        }
    }

    fn finished(commit: &str) -> Announcement {
        message(commit, Phase::Finished)
    }

    fn with_id(id: &str, message: Announcement) -> Announcement {
        Announcement { id: Some(id.into()), ..message }
    }

    /// Announces each message at its second; the id of the n-th is `n`. Gives each outcome in short.
    fn course(messages: &[(i64, Announcement)]) -> (Ledger, Vec<String>) {
        let mut ledger = Ledger::new(Duration::from_secs(900), Vec::new(), Vec::new());
        let mut outcomes = Vec::new();
        for (n, (secs, message)) in messages.iter().enumerate() {
            let outcome = ledger.announce(message, DeploymentId(n.to_string().into()), now(*secs));
            outcomes.push(match outcome {
                Outcome::Started(d) => format!("started {}", d.id),
                Outcome::Finished(d) => format!("finished {}", d.id),
                Outcome::Failed(d) => format!("failed {}", d.id),
                Outcome::Known(id) => format!("known {id}"),
                Outcome::Refused(Refusal::Stale { .. }) => "stale".into(),
                Outcome::Refused(Refusal::IdReused(_)) => "reused".into(),
            });
        }
        (ledger, outcomes)
    }

    #[track_caller]
    fn check(messages: &[(i64, Announcement)], wanted: &[&str]) {
        assert_eq!(course(messages).1, wanted);
    }

    #[test]
    fn the_same_id_again_is_a_retry_whatever_its_date() {
        let message = with_id("run-1", finished("aaaaaa"));
        let later = Announcement { timestamp: Some(now(4000).wall), digest: [9; 32], ..message.clone() };
        check(&[(0, message.clone()), (5, message), (4000, later)], &["finished 0", "known 0", "known 0"]);
        let other = with_id("run-1", finished("bbbbbb"));
        check(&[(0, with_id("run-1", finished("aaaaaa"))), (5, other)], &["finished 0", "reused"]);
    }

    #[test]
    fn one_id_may_name_a_run_that_delivers_several_applications() {
        let other = Announcement { app: Some("db".into()), ..finished("aaaaaa") };
        check(
            &[(0, with_id("run-1", finished("aaaaaa"))), (5, with_id("run-1", other))],
            &["finished 0", "finished 1"],
        );
    }

    #[test]
    fn one_id_may_name_a_run_through_its_phases() {
        check(
            &[
                (0, with_id("run-1", message("aaaaaa", Phase::Started))),
                (9, with_id("run-1", finished("aaaaaa"))),
            ],
            &["started 0", "finished 0"],
        );
    }

    #[test]
    fn an_undated_message_is_a_retry_for_ten_minutes_and_rolls_back_later() {
        let (a, b) = (finished("aaaaaa"), finished("bbbbbb"));
        check(
            &[(0, a.clone()), (60, b), (300, a.clone()), (601, a)],
            &["finished 0", "finished 1", "known 0", "finished 3"],
        );
    }

    #[test]
    fn the_revision_in_force_is_no_new_deployment() {
        let again = with_id("run-2", finished("aaaaaa"));
        check(&[(0, with_id("run-1", finished("aaaaaa"))), (5, again)], &["finished 0", "known 0"]);
    }

    #[test]
    fn a_dated_message_counts_within_five_minutes() {
        let dated = |secs, digest| Announcement {
            timestamp: Some(now(secs).wall),
            digest: [digest; 32],
            ..finished("aaaaaa")
        };
        check(
            &[(301, dated(0, 1)), (0, dated(301, 2)), (300, dated(0, 3)), (299, dated(0, 3))],
            &["stale", "stale", "finished 2", "known 2"],
        );
    }

    #[test]
    fn a_window_pins_to_its_own_commit_until_it_ends_or_times_out() {
        let (mut ledger, _) = course(&[(0, finished("aaaaaa")), (10, message("bbbbbb", Phase::Started))]);
        let pin = ledger.pin();
        assert_eq!((pin.commit.unwrap().as_str(), pin.in_window), ("bbbbbb", true));
        assert_eq!(ledger.time_out(now(909).boot), None);
        assert_eq!(ledger.deadline(), Some(now(910).boot));
        assert_eq!(ledger.time_out(now(910).boot).unwrap().commit.as_str(), "bbbbbb");
        let pin = ledger.pin();
        assert_eq!((pin.commit.unwrap().as_str(), pin.in_window), ("aaaaaa", false));
    }

    #[test]
    fn a_deploy_that_failed_leaves_the_one_before_in_force() {
        let (ledger, outcomes) = course(&[
            (0, finished("aaaaaa")),
            (10, message("bbbbbb", Phase::Started)),
            (20, message("bbbbbb", Phase::Failed)),
        ]);
        assert_eq!(outcomes, ["finished 0", "started 1", "failed 1"]);
        assert_eq!(ledger.pin().commit.unwrap().as_str(), "aaaaaa");
        assert!(!ledger.pin().in_window);
    }

    #[test]
    fn the_repository_is_that_of_the_last_message_that_named_one() {
        let of = |repo: Option<&str>, message| Announcement { repo: repo.map(Into::into), ..message };
        let (ledger, _) = course(&[
            (0, of(Some("acme/old"), message("aaaaaa", Phase::Started))),
            (10, of(Some("acme/web"), message("aaaaaa", Phase::Finished))),
        ]);
        assert_eq!(ledger.in_force().unwrap().repo.as_deref(), Some("acme/web"));
        let (ledger, _) = course(&[
            (0, of(Some("acme/web"), message("aaaaaa", Phase::Started))),
            (10, of(None, message("aaaaaa", Phase::Finished))),
        ]);
        assert_eq!(ledger.in_force().unwrap().repo.as_deref(), Some("acme/web"));
    }

    #[test]
    fn what_fails_again_without_having_begun_is_no_news_until_something_else_came() {
        let failed = |id: &str, commit| with_id(id, message(commit, Phase::Failed));
        check(
            &[
                (0, failed("1", "aaaaaa")),
                (60, failed("2", "aaaaaa")),
                (70, failed("3", "bbbbbb")),
                (80, failed("4", "aaaaaa")),
                (90, with_id("5", message("aaaaaa", Phase::Started))),
                (95, failed("6", "aaaaaa")),
                (99, failed("7", "aaaaaa")),
            ],
            &["failed 0", "known 0", "failed 2", "failed 3", "started 4", "failed 4", "known 4"],
        );
    }

    #[test]
    fn a_rollback_pins_back_and_the_revision_rolled_back_to_is_then_in_force() {
        let (ledger, outcomes) = course(&[
            (0, with_id("1", finished("aaaaaa"))),
            (10, with_id("2", finished("bbbbbb"))),
            (20, with_id("3", finished("aaaaaa"))),
            (30, with_id("4", finished("aaaaaa"))),
            (40, with_id("2", finished("bbbbbb"))),
        ]);
        assert_eq!(outcomes, ["finished 0", "finished 1", "finished 2", "known 2", "known 1"]);
        assert_eq!(ledger.pin().commit.unwrap().as_str(), "aaaaaa");
    }

    #[test]
    fn each_application_has_its_own_deployment_in_force() {
        let other = Announcement { app: Some("db".into()), ..finished("bbbbbb") };
        let again = with_id("x", finished("aaaaaa"));
        let (ledger, outcomes) = course(&[(0, finished("aaaaaa")), (10, other), (20, again)]);
        assert_eq!(outcomes, ["finished 0", "finished 1", "known 0"]);
        assert_eq!(ledger.pin().commit.unwrap().as_str(), "bbbbbb", "the last delivered");
    }
}
