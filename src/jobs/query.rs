//! Jobs as people see and steer them: listed, called off, removed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::chance::Id;
use crate::oci::Tag;
use crate::store::record::{Job, JobAction, JobStatus, Transfer};
use crate::store::{Change, Operation, Read, StoreError, queue, transfer};

/// Which jobs are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this kind.
    pub action: Option<JobAction>,
    /// Only those that run (or do not).
    pub running: Option<bool>,
    /// Only those that somebody took up.
    pub taken: Option<bool>,
}

impl Filter {
    fn takes(&self, job: &Job) -> bool {
        self.action.is_none_or(|action| job.action == action)
            && self.running.is_none_or(|running| (job.status == JobStatus::Running) == running)
            && self.taken.is_none_or(|taken| (job.status != JobStatus::Waiting) == taken)
    }
}

/// The jobs that pass a filter, the newest first, without the first `start`,
/// at most `limit`.
pub fn list(read: &impl Read, filter: &Filter, start: usize, limit: usize) -> Result<Vec<(Id, Job)>, StoreError> {
    let mut ids = Vec::new();
    // All of them are bounded by what upkeep keeps.
    queue::newest(read, |_, id| {
        ids.push(id);
        ControlFlow::Continue(())
    })?;
    let mut passed = 0;
    let mut found = Vec::new();
    for id in ids {
        if found.len() >= limit {
            break;
        }
        let Some(job) = queue::get(read, &id)?.filter(|job| filter.takes(job)) else { continue };
        passed += 1;
        if passed > start {
            found.push((id, job));
        }
    }
    Ok(found)
}

/// Calls a job off. What it had to bring somewhere is not owed any more, until
/// something asks for it again; a job that runs does no harm by ending.
pub struct Cancel {
    /// The job.
    pub job: Id,
    /// Who calls it off.
    pub by: String,
    /// Whether it is removed as well, with its log.
    pub remove: bool,
}

impl Operation for Cancel {
    type Plan = Option<(Job, Option<(Tag, Transfer)>)>;
    /// Whether there is such a job.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "cancel job";
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let Some(job) = queue::get(tables, &self.job)? else { return Ok(Ok(None)) };
        let shown = match (job.policy, job.parameters.get("tag").and_then(|tag| tag.parse::<Tag>().ok())) {
            (Some(policy), Some(tag)) => transfer::get(tables, &policy, &tag)?
                .filter(|row| row.job == self.job && row.is_owed())
                .map(|row| (tag, row)),
            _ => None,
        };
        Ok(Ok(Some((job, shown))))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some((mut job, shown)) = plan else { return Ok(false) };
        let now = tables.now();
        if let (Some((tag, mut row)), Some(policy)) = (shown, job.policy) {
            row.done = row.generation;
            row.last_error = format!("called off by {}", self.by);
            row.updated_at = now;
            transfer::put(tables, &policy, &tag, &row)?;
        }
        if self.remove {
            queue::remove(tables, &self.job)?;
        } else if !job.status.is_over() {
            job.status = JobStatus::Canceled;
            job.updated_at = now;
            queue::log(tables, &self.job, &mut job, &[format!("{now} called off by {}", self.by)])?;
            queue::put(tables, &self.job, &job)?;
        }
        Ok(true)
    }
}

/// A look for changes that found no pull mirror to look for: done at once, so
/// that whoever asked has a job to watch.
pub struct NothingToPoll {
    /// The id of the new job.
    pub job: Id,
}

impl Operation for NothingToPoll {
    type Plan = ();
    type Done = Job;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "nothing to poll";

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Job, StoreError> {
        let now = tables.now();
        let mut job = Job {
            action: JobAction::PollMirror,
            policy: None,
            parameters: BTreeMap::new(),
            status: JobStatus::Done,
            scheduled_at: now,
            updated_at: now,
            attempts: 0,
            lines: 0,
        };
        queue::log(tables, &self.job, &mut job, &[format!("{now} there is no enabled pull mirror")])?;
        queue::put(tables, &self.job, &job)?;
        Ok(job)
    }
}
