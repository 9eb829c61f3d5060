//! Jobs as people see and steer them: listed, called off, removed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::oci::Tag;
use crate::store::record::{Job, JobAction, JobStatus, Transfer};
use crate::store::{Change, Operation, Read, StoreError, audit, policy, queue, repo, transfer};

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

/// When a job that waits is tried next; none while it runs and when it is over.
pub fn next_try(read: &impl Read, id: &Id, job: &Job) -> Result<Option<Timestamp>, StoreError> {
    if job.status != JobStatus::Waiting {
        return Ok(None);
    }
    if job.action.is_queued() {
        return Ok(Some(job.scheduled_at));
    }
    let row = match (job.policy, tag_of(job)) {
        (Some(policy), Some(tag)) => transfer::get(read, &policy, &tag)?,
        _ => None,
    };
    Ok(row.filter(|row| row.job == *id && row.is_owed()).map(|row| row.next_at))
}

/// What a job works on, for people: the repository here, and the tag.
pub fn subject(read: &impl Read, job: &Job) -> Result<String, StoreError> {
    let policy = match job.policy {
        Some(id) => policy::get(read, &id)?,
        None => None,
    };
    let name = match policy {
        Some(policy) => repo::name_of(read, policy.repository)?,
        None => None,
    };
    let name = name.map(|name| name.to_string()).unwrap_or_default();
    Ok(match tag_of(job) {
        Some(tag) => format!("{name}:{tag}"),
        None => name,
    })
}

fn tag_of(job: &Job) -> Option<Tag> {
    job.parameters.get("tag").and_then(|tag| tag.parse().ok())
}

/// Calls a job off. What it had to bring somewhere is not owed any more, until
/// something asks for it again: the next look of a pull mirror, the policy when
/// it is saved again, the tag when it is set again. Until then the policy's
/// status says what is missing. A job that runs does no harm by ending.
pub struct Cancel {
    /// The job.
    pub job: Id,
    /// Who calls it off.
    pub by: Actor,
    /// Whether it is removed as well, with its log.
    pub remove: bool,
}

impl Operation for Cancel {
    type Plan = Option<(Job, Option<(Tag, Transfer)>)>;
    /// Whether there is such a job.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "cancel job";
    const AUDIT: Audit = Audit::Acts(&[Action::JobCancel, Action::JobDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let Some(job) = queue::get(tables, &self.job)? else { return Ok(Ok(None)) };
        let shown = match (job.policy, tag_of(&job)) {
            (Some(policy), Some(tag)) => transfer::get(tables, &policy, &tag)?
                .filter(|row| row.job == self.job && row.is_owed())
                .map(|row| (tag, row)),
            _ => None,
        };
        Ok(Ok(Some((job, shown))))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some((mut job, shown)) = plan else { return Ok(false) };
        let (now, by) = (tables.now(), self.by.label());
        let told = subject(tables, &job)?;
        if let (Some((tag, mut row)), Some(policy)) = (shown, job.policy) {
            row.done = row.generation;
            row.last_error = format!("called off by {by}");
            row.updated_at = now;
            transfer::put(tables, &policy, &tag, &row)?;
        }
        let action = match (self.remove, job.status.is_over()) {
            (true, _) => Some(Action::JobDelete),
            (false, false) => Some(Action::JobCancel),
            (false, true) => None,
        };
        if self.remove {
            queue::remove(tables, &self.job)?;
        } else if !job.status.is_over() {
            job.status = JobStatus::Canceled;
            job.updated_at = now;
            job.last_error = format!("called off by {by}");
            queue::log(tables, &self.job, &mut job, &[format!("{now} called off by {by}")])?;
            queue::put(tables, &self.job, &job)?;
        }
        if let Some(action) = action {
            let name = format!("{} {told}", job.action.as_str());
            let act = Act::new(action, ObjectKind::Job, name.trim_end()).id(self.job).by_policy(job.policy);
            audit::append(tables, &self.by, act)?;
        }
        Ok(true)
    }
}

/// A look for changes that found no pull mirror to look for: done at once, so
/// that whoever asked has a job to watch.
pub struct NothingToPoll {
    /// The id of the new job.
    pub job: Id,
    /// Why, for its log.
    pub why: String,
}

impl Operation for NothingToPoll {
    type Plan = ();
    type Done = Job;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "nothing to poll";
    const AUDIT: Audit = Audit::Nothing("nothing was done");

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
            last_error: String::new(),
        };
        queue::log(tables, &self.job, &mut job, &[format!("{now} {}", self.why)])?;
        queue::put(tables, &self.job, &job)?;
        Ok(job)
    }
}
