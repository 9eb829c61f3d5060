//! Jobs of the daemon's own: collection and the like. One of a kind waits or
//! runs at a time; a schedule or a person asks for it.

use std::collections::BTreeMap;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::backoff;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::store::record::{Cron, Job, JobAction, JobStatus};
use crate::store::{Change, Operation, StoreError, audit, policy, queue};

use super::settle::Outcome;

/// Puts a job of the daemon's own into the queue, unless one waits or runs.
pub struct QueueSystem {
    /// What it does.
    pub action: JobAction,
    /// How.
    pub parameters: BTreeMap<String, String>,
    /// The id of the new job.
    pub job: Id,
    /// The run that the schedule knows of, when it is the schedule that asks:
    /// nothing is done when another run came between.
    pub after: Option<Option<Timestamp>>,
    /// Who asks.
    pub by: Actor,
}

/// What became of a wish for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is in the queue.
    New(Job),
    /// Another of its kind waits or runs.
    Busy(Id, Job),
    /// The schedule was overtaken.
    Overtaken,
}

impl Operation for QueueSystem {
    type Plan = Option<Queued>;
    type Done = Queued;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "queue job";
    const AUDIT: Audit = Audit::Acts(&[Action::CollectionStart, Action::ScrubStart, Action::RekeyStart]);
    // Collection is what gives room back.
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let cron = policy::cron(tables, &self.action.schedule_id())?;
        if self.after.is_some_and(|after| after != cron.map(|cron| cron.last)) {
            return Ok(Ok(Some(Queued::Overtaken)));
        }
        if let Some(id) = cron.and_then(|cron| cron.job)
            && let Some(job) = queue::get(tables, &id)?.filter(|job| !job.status.is_over())
        {
            return Ok(Ok(Some(Queued::Busy(id, job))));
        }
        Ok(Ok(None))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<Queued, StoreError> {
        if let Some(already) = plan {
            // A slot that comes while one waits or runs is over with it.
            if let (Queued::Busy(id, _), Some(_)) = (&already, self.after) {
                policy::set_cron(tables, &self.action.schedule_id(), &Cron { last: tables.now(), job: Some(*id) })?;
            }
            return Ok(already);
        }
        let job = begin(tables, self.action, &self.parameters, self.job)?;
        let action = match self.action {
            JobAction::OnlineGc => Some(Action::CollectionStart),
            JobAction::Scrub => Some(Action::ScrubStart),
            JobAction::Rekey => Some(Action::RekeyStart),
            JobAction::PollMirror
            | JobAction::PullMirrorTag
            | JobAction::PushMirrorTag
            | JobAction::Heal
            | JobAction::LdapSync
            | JobAction::CleanupDb => None,
        };
        if let Some(action) = action {
            let mut act = Act::new(action, ObjectKind::Registry, "all").by_job(self.job);
            if self.after.is_some() {
                act = act.because("its schedule");
            }
            for (name, value) in &self.parameters {
                act = act.with_given(name, value);
            }
            audit::append(tables, &self.by, act)?;
        }
        Ok(Queued::New(job))
    }
}

/// Puts a new job of the daemon's own into the queue.
pub(super) fn begin(
    change: &mut Change<'_>,
    action: JobAction,
    parameters: &BTreeMap<String, String>,
    id: Id,
) -> Result<Job, StoreError> {
    let now = change.now();
    let job = Job {
        action,
        policy: None,
        parameters: parameters.clone(),
        status: JobStatus::Waiting,
        scheduled_at: now,
        updated_at: now,
        attempts: 0,
        lines: 0,
        last_error: String::new(),
    };
    queue::put(change, &id, &job)?;
    policy::set_cron(change, &action.schedule_id(), &Cron { last: now, job: Some(id) })?;
    Ok(job)
}

/// Writes down how a job of the daemon's own went.
pub struct SettleSystem {
    /// The job.
    pub job: Id,
    /// How it went.
    pub outcome: Outcome,
    /// What it found, for programs: added to the job's parameters.
    pub found: BTreeMap<String, String>,
    /// Lines for the job's log.
    pub lines: Vec<String>,
    /// Random bits for the wait.
    pub random: u64,
}

impl Operation for SettleSystem {
    type Plan = Option<Job>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "settle job";
    const AUDIT: Audit = Audit::Nothing("how a job went stands in its log");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = job else { return Ok(()) };
        let now = tables.now();
        let mut lines = self.lines.clone();
        let canceled = job.status == JobStatus::Canceled;
        match &self.outcome {
            Outcome::Done { .. } => {
                job.status = JobStatus::Done;
                job.last_error.clear();
            }
            Outcome::Gone { why } => {
                job.status = JobStatus::Errored;
                lines.push(format!("{now} {why}"));
                job.last_error.clone_from(why);
            }
            Outcome::Failed { why, retry, .. } => {
                job.attempts += 1;
                job.status = JobStatus::Waiting;
                job.scheduled_at = now.after(backoff::wait(*retry, job.attempts, self.random));
                lines.push(format!("{now} failed: {why}; next try at {}", job.scheduled_at));
                job.last_error.clone_from(why);
            }
            Outcome::Interrupted => job.status = JobStatus::Waiting,
        }
        if canceled {
            job.status = JobStatus::Canceled;
        }
        job.parameters.extend(self.found.clone());
        job.updated_at = now;
        queue::log(tables, &self.job, &mut job, &lines)?;
        queue::put(tables, &self.job, &job)
    }
}

/// Writes down a job that was done as soon as it was asked for.
pub struct NoteDone {
    /// What it would do.
    pub action: JobAction,
    /// Its id.
    pub job: Id,
    /// What it says of itself.
    pub line: &'static str,
}

impl Operation for NoteDone {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note job";
    const AUDIT: Audit = Audit::Nothing("nothing was done");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        let now = tables.now();
        let mut job = Job {
            action: self.action,
            policy: None,
            parameters: BTreeMap::new(),
            status: JobStatus::Done,
            scheduled_at: now,
            updated_at: now,
            attempts: 0,
            lines: 0,
            last_error: String::new(),
        };
        queue::log(tables, &self.job, &mut job, &[format!("{now} {}", self.line)])?;
        queue::put(tables, &self.job, &job)
    }
}
