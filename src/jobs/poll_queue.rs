//! Looks for changes at another registry, as jobs in the queue: asked for by a
//! schedule or by a person, one at a time for a policy, settled when they ran.

use std::collections::BTreeMap;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::backoff;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::limits;
use crate::store::record::{Cron, Job, JobAction, JobStatus, Policy, PolicyStatus};
use crate::store::{Change, Operation, StoreError, audit, policy, queue, repo, transfer};

use super::settle::{FAILED, Outcome, SUCCESS};
use super::standing::standing;

/// Puts a job that looks for changes into the queue, unless one waits or runs.
pub struct QueuePoll {
    /// The pull mirror.
    pub policy: Id,
    /// The id of the new job.
    pub job: Id,
    /// The run that the schedule knows of, when it is the schedule that asks:
    /// nothing is done when another run came between.
    pub after: Option<Timestamp>,
    /// Who asks, where it is somebody's act of its own: no schedule, and not
    /// what follows from saving the policy.
    pub by: Option<Actor>,
}

impl Operation for QueuePoll {
    type Plan = Option<(Policy, Option<Id>)>;
    /// The job that will look, new or waiting already; none when there is no
    /// such policy or the schedule was overtaken.
    type Done = Option<Id>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "queue poll";
    const AUDIT: Audit = Audit::Acts(&[Action::MirrorRun]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let cron = policy::cron(tables, &self.policy)?;
        let overtaken = self.after.is_some() && self.after != cron.map(|cron| cron.last);
        let Some(policy) = policy::get(tables, &self.policy)?.filter(|_| !overtaken) else { return Ok(Ok(None)) };
        let last = cron.and_then(|cron| cron.job);
        let waiting = match last {
            Some(job) => queue::get(tables, &job)?.filter(|job| !job.status.is_over()).and(last),
            None => None,
        };
        Ok(Ok(Some((policy, waiting))))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<Option<Id>, StoreError> {
        let Some((pull, waiting)) = plan else { return Ok(None) };
        let now = tables.now();
        let id = waiting.unwrap_or(self.job);
        let by_hand = self.after.is_none();
        match waiting {
            // A job that waits for its next try is asked for now; a schedule
            // leaves it the wait that the other side named.
            Some(id) => {
                if let Some(mut job) = queue::get(tables, &id)?.filter(|job| job.status == JobStatus::Waiting)
                    && (by_hand || !backoff::is_named(job.scheduled_at.since(job.updated_at)))
                {
                    job.scheduled_at = job.scheduled_at.min(now);
                    queue::put(tables, &id, &job)?;
                }
            }
            None => {
                let job = Job {
                    action: JobAction::PollMirror,
                    policy: Some(self.policy),
                    parameters: BTreeMap::from([("policyID".to_owned(), self.policy.to_string())]),
                    status: JobStatus::Waiting,
                    scheduled_at: now,
                    updated_at: now,
                    attempts: 0,
                    lines: 0,
                    last_error: String::new(),
                };
                queue::put(tables, &id, &job)?;
            }
        }
        // What failed is tried again with it.
        transfer::hurry(tables, &self.policy, |row| {
            let is_ripe = now.since(row.updated_at) >= limits::HURRY_AFTER;
            by_hand || (is_ripe && !backoff::is_named(row.next_at.since(row.updated_at)))
        })?;
        policy::set_cron(tables, &self.policy, &Cron { last: now, job: Some(id) })?;
        if let Some(by) = &self.by
            && let Some(name) = repo::name_of(tables, pull.repository)?
        {
            let act = Act::new(Action::MirrorRun, ObjectKind::Policy, &name).id(pull.id).within(name.namespace());
            audit::append(tables, by, act.by_job(id))?;
        }
        Ok(Some(id))
    }
}

/// Writes down how a look for changes went.
pub struct SettlePoll {
    /// The job.
    pub job: Id,
    /// How it went.
    pub outcome: Outcome,
    /// Words for the policy's status after a success.
    pub summary: String,
    /// Lines for the job's log.
    pub lines: Vec<String>,
    /// Random bits for the wait.
    pub random: u64,
}

impl Operation for SettlePoll {
    type Plan = Option<Job>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "settle poll";
    const AUDIT: Audit = Audit::Nothing("how a job went stands in its log");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = job else { return Ok(()) };
        let now = tables.now();
        let mut lines = self.lines.clone();
        let mut status = None;
        let canceled = job.status == JobStatus::Canceled;
        match &self.outcome {
            Outcome::Done { .. } => {
                job.status = JobStatus::Done;
                job.last_error.clear();
                // A look that went well does not hide a tag that cannot be
                // brought in.
                let lacks = match job.policy.map(|id| policy::get(tables, &id)).transpose()?.flatten() {
                    Some(policy) => Some(standing(tables, &policy, now)?).filter(|standing| !standing.is_good()),
                    None => None,
                };
                status = Some(match lacks {
                    Some(lacks) => {
                        lines.push(format!("{now} {lacks}"));
                        (FAILED.to_owned(), format!("{}; {lacks}", self.summary))
                    }
                    None => (SUCCESS.to_owned(), self.summary.clone()),
                });
            }
            Outcome::Gone { why } => {
                job.status = JobStatus::Canceled;
                lines.push(format!("{now} called off: {why}"));
                job.last_error.clone_from(why);
            }
            Outcome::Failed { why, retry, .. } => {
                job.attempts += 1;
                job.status = JobStatus::Waiting;
                let next = now.after(backoff::wait(*retry, job.attempts, self.random));
                lines.push(format!("{now} failed: {why}; next try at {next}"));
                status = Some((FAILED.to_owned(), why.clone()));
                job.last_error.clone_from(why);
                job.scheduled_at = next;
            }
            Outcome::Interrupted => job.status = JobStatus::Waiting,
        }
        if canceled {
            job.status = JobStatus::Canceled;
        }
        job.updated_at = now;
        queue::log(tables, &self.job, &mut job, &lines)?;
        queue::put(tables, &self.job, &job)?;
        if let (Some(id), Some((code, detail))) = (job.policy, status)
            && policy::get(tables, &id)?.is_some()
        {
            let last_moved_at = policy::status(tables, &id)?.last_moved_at;
            policy::set_status(tables, &id, &PolicyStatus { last_moved_at, code, detail, at: Some(now) })?;
        }
        Ok(())
    }
}
