//! Looks for changes at another registry, as jobs in the queue: asked for by a
//! schedule or by a person, one at a time for a policy, settled when they ran.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::backoff;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::Tag;
use crate::store::record::{Cron, Job, JobAction, JobStatus, PolicyStatus};
use crate::store::{Change, Operation, Read, StoreError, policy, queue, transfer};

use super::settle::{Outcome, SUCCESS};

/// Puts a job that looks for changes into the queue, unless one waits or runs.
pub struct QueuePoll {
    /// The pull mirror.
    pub policy: Id,
    /// The id of the new job.
    pub job: Id,
    /// The run that the schedule knows of, when it is the schedule that asks:
    /// nothing is done when another run came between.
    pub after: Option<Timestamp>,
}

impl Operation for QueuePoll {
    type Plan = Option<Option<Id>>;
    /// The job that will look, new or waiting already; none when there is no
    /// such policy or the schedule was overtaken.
    type Done = Option<Id>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "queue poll";

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let cron = policy::cron(tables, &self.policy)?;
        let overtaken = self.after.is_some() && self.after != cron.map(|cron| cron.last);
        if policy::get(tables, &self.policy)?.is_none() || overtaken {
            return Ok(Ok(None));
        }
        let last = cron.and_then(|cron| cron.job);
        let waiting = match last {
            Some(job) => queue::get(tables, &job)?.filter(|job| !job.status.is_over()).and(last),
            None => None,
        };
        Ok(Ok(Some(waiting)))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<Option<Id>, StoreError> {
        let Some(waiting) = plan else { return Ok(None) };
        let now = tables.now();
        let id = waiting.unwrap_or(self.job);
        match waiting {
            // A job that waits for its next try is asked for now.
            Some(id) => {
                if let Some(mut job) = queue::get(tables, &id)?.filter(|job| job.status == JobStatus::Waiting)
                    && self.after.is_none()
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
                };
                queue::put(tables, &id, &job)?;
            }
        }
        policy::set_cron(tables, &self.policy, &Cron { last: now, job: Some(id) })?;
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
                // A look that went well does not hide a tag that cannot be
                // brought in.
                status = Some(match failing(tables, job.policy)? {
                    Some((tag, why)) => ("FAILED".to_owned(), format!("{tag}: {why}")),
                    None => (SUCCESS.to_owned(), self.summary.clone()),
                });
            }
            Outcome::Gone { why } => {
                job.status = JobStatus::Canceled;
                lines.push(format!("{now} called off: {why}"));
            }
            Outcome::Failed { why, retry, .. } => {
                job.attempts += 1;
                job.status = JobStatus::Waiting;
                let next = now.after(backoff::wait(*retry, job.attempts, self.random));
                lines.push(format!("{now} failed: {why}; next try at {next}"));
                status = Some(("FAILED".to_owned(), why.clone()));
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

/// Rows of due transfers that are looked at for one that fails.
const LOOK: usize = 10_000;

/// A transfer of a policy that has failed and is still owed, with the reason.
fn failing(read: &impl Read, policy: Option<Id>) -> Result<Option<(Tag, String)>, StoreError> {
    let Some(id) = policy else { return Ok(None) };
    let mut owed = Vec::new();
    let mut seen = 0;
    transfer::due(read, |due| {
        seen += 1;
        if due.policy == id {
            owed.push(due.tag);
        }
        if seen < LOOK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for tag in owed {
        if let Some(row) = transfer::get(read, &id, &tag)?.filter(|row| !row.last_error.is_empty()) {
            return Ok(Some((tag, row.last_error)));
        }
    }
    Ok(None)
}
