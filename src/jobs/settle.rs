//! What a transfer becomes after a try: done, gone, or to be tried again.
//!
//! Each of these is one commit, and none of them relies on memory: a transfer
//! that was begun and never settled is still owed at the next start.

use crate::audit::Audit;
use crate::backoff::{self, Retry};
use crate::chance::Id;
use crate::event::{Actor, Kind};
use crate::oci::{Digest, Tag};
use crate::store::crash::crash_point;
use crate::store::record::{Direction, Job, JobStatus, PolicyStatus, Transfer};
use crate::store::{Change, Operation, StoreError, event, policy, queue, repo, transfer};

use super::owe::{end_job, show};

/// The code of a success, as DTR's tools compare it.
pub const SUCCESS: &str = "SUCCESS";
/// The code of a failure.
pub const FAILED: &str = "FAILED";

/// Shows a job as running.
pub struct Begin {
    /// The job.
    pub job: Id,
}

impl Operation for Begin {
    type Plan = Option<Job>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "begin job";
    const AUDIT: Audit = Audit::Nothing("what a job does is told where it does it");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?.filter(|job| !job.status.is_over())))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = job else { return Ok(()) };
        job.status = JobStatus::Running;
        job.updated_at = tables.now();
        queue::put(tables, &self.job, &job)
    }
}

/// Shows a transfer as under way, by its own job or by a new one where that was
/// called off or removed.
pub struct BeginTransfer {
    /// The policy.
    pub policy: Id,
    /// The local tag.
    pub tag: Tag,
    /// The id of a job that may be needed.
    pub new_job: Id,
}

impl Operation for BeginTransfer {
    type Plan = Option<Transfer>;
    /// The transfer as it stands, if it is still owed.
    type Done = Option<Transfer>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "begin transfer";
    const AUDIT: Audit = Audit::Nothing("what a job does is told where it does it");

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(transfer::get(tables, &self.policy, &self.tag)?.filter(Transfer::is_owed)))
    }

    fn apply(&self, row: Option<Transfer>, tables: &mut Change<'_>) -> Result<Option<Transfer>, StoreError> {
        let Some(mut row) = row else { return Ok(None) };
        let mut job = match queue::get(tables, &row.job)?.filter(|job| !job.status.is_over()) {
            Some(job) => job,
            None => {
                row.job = self.new_job;
                transfer::put(tables, &self.policy, &self.tag, &row)?;
                show(tables, &self.policy, &self.tag, &row)?
            }
        };
        job.status = JobStatus::Running;
        job.updated_at = tables.now();
        queue::put(tables, &row.job, &job)?;
        Ok(Some(row))
    }
}

/// How a try went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The far side (or this one) holds what it should.
    Done {
        /// Bytes that were moved for it.
        bytes: u64,
        /// Whether anything had to be moved at all.
        moved: bool,
    },
    /// It is not wanted any more, or cannot be had any more.
    Gone {
        /// Why.
        why: String,
    },
    /// It failed and is tried again.
    Failed {
        /// What went wrong, for people.
        why: String,
        /// When to try again.
        retry: Retry,
        /// Bytes that were moved all the same.
        bytes: u64,
    },
    /// The daemon stops; it goes on at the next start.
    Interrupted,
}

/// Writes down how a try of a transfer went.
pub struct SettleTransfer {
    /// The policy.
    pub policy: Id,
    /// The local tag.
    pub tag: Tag,
    /// The generation that was tried.
    pub generation: u64,
    /// What was tried to be brought there.
    pub want: Digest,
    /// How it went.
    pub outcome: Outcome,
    /// Lines for the job's log.
    pub lines: Vec<String>,
    /// Random bits for the wait.
    pub random: u64,
}

impl Operation for SettleTransfer {
    type Plan = Option<Transfer>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "settle transfer";
    const AUDIT: Audit =
        Audit::Nothing("what was brought in was told with its tag; what was sent stands in the events");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(transfer::get(tables, &self.policy, &self.tag)?))
    }

    fn apply(&self, row: Option<Transfer>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut row) = row else { return Ok(()) };
        let now = tables.now();
        // What was tried may be superseded: then it is only history, and the
        // newer wish stays owed.
        let is_current = row.generation == self.generation && row.want == self.want;
        let mut status = None;
        match &self.outcome {
            Outcome::Done { bytes, moved } => {
                // A try that died after it had moved everything wrote nothing
                // down: the next one moves nothing, and is the one to tell.
                let is_news = *moved || row.have != Some(self.want);
                row.bytes += bytes;
                row.have = Some(self.want);
                row.done = row.done.max(self.generation);
                (row.attempts, row.last_error) = (0, String::new());
                status = Some((SUCCESS.to_owned(), format!("{} is {}", row.remote_tag, self.want), true));
                if is_news {
                    self.tell(&row, tables)?;
                }
            }
            Outcome::Gone { why } => {
                row.done = row.done.max(self.generation);
                row.last_error.clone_from(why);
            }
            Outcome::Failed { why, retry, bytes } => {
                row.bytes += bytes;
                row.attempts += 1;
                row.last_error.clone_from(why);
                row.next_at = now.after(backoff::wait(*retry, row.attempts, self.random));
                status = Some((FAILED.to_owned(), format!("{}: {why}", self.tag), false));
            }
            Outcome::Interrupted => row.next_at = now,
        }
        row.updated_at = now;
        self.settle_job(&row, is_current, tables)?;
        transfer::put(tables, &self.policy, &self.tag, &row)?;
        crash_point!("transfer-settled");
        if let Some((code, detail, is_moved)) = status
            && policy::get(tables, &self.policy)?.is_some()
        {
            let before = policy::status(tables, &self.policy)?;
            let last_moved_at = if is_moved { Some(now) } else { before.last_moved_at };
            policy::set_status(tables, &self.policy, &PolicyStatus { last_moved_at, code, detail, at: Some(now) })?;
        }
        Ok(())
    }
}

impl SettleTransfer {
    /// The event that says what reached the far side, or this one.
    fn tell(&self, row: &Transfer, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(policy) = policy::get(tables, &self.policy)? else { return Ok(()) };
        let Some(name) = repo::name_of(tables, policy.repository)? else { return Ok(()) };
        let kind = match (row.direction, row.remote_tag.parse()) {
            (Direction::Push, Ok(remote_tag)) => {
                Kind::PushMirrored { policy: self.policy, tag: self.tag.clone(), digest: self.want, remote_tag }
            }
            (Direction::Pull, _) => {
                Kind::PullMirrored { policy: self.policy, tag: self.tag.clone(), digest: self.want }
            }
            (Direction::Push, Err(_)) => return Ok(()),
        };
        event::append(tables, Actor::Policy(self.policy), (policy.repository, &name), kind)?;
        Ok(())
    }

    fn settle_job(&self, row: &Transfer, is_current: bool, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = queue::get(tables, &row.job)? else { return Ok(()) };
        let mut lines = self.lines.clone();
        match &self.outcome {
            Outcome::Done { .. } => {}
            Outcome::Gone { why } => lines.push(format!("{} called off: {why}", tables.now())),
            Outcome::Failed { why, .. } if is_current => {
                lines.push(format!("{} failed: {why}; next try at {}", tables.now(), row.next_at));
            }
            Outcome::Failed { why, .. } => lines.push(format!("{} failed: {why}", tables.now())),
            Outcome::Interrupted => lines.push(format!("{} interrupted; goes on at the next start", tables.now())),
        }
        queue::log(tables, &row.job, &mut job, &lines)?;
        if !job.status.is_over() {
            job.status = match (&self.outcome, is_current && !row.is_owed()) {
                (Outcome::Done { .. }, true) => JobStatus::Done,
                (Outcome::Gone { .. }, true) => JobStatus::Canceled,
                _ => JobStatus::Waiting,
            };
        }
        if let Outcome::Failed { .. } = &self.outcome {
            job.attempts += 1;
        }
        job.last_error.clone_from(&row.last_error);
        job.updated_at = tables.now();
        queue::put(tables, &row.job, &job)
    }
}

/// Calls a transfer off whose policy is gone.
pub struct Forget {
    /// The policy.
    pub policy: Id,
    /// The local tag.
    pub tag: Tag,
}

impl Operation for Forget {
    type Plan = Option<Transfer>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "forget transfer";
    const AUDIT: Audit = Audit::Nothing("nothing was done");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let stands = policy::get(tables, &self.policy)?.is_some();
        Ok(Ok(transfer::get(tables, &self.policy, &self.tag)?.filter(|_| !stands)))
    }

    fn apply(&self, row: Option<Transfer>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(row) = row else { return Ok(()) };
        end_job(tables, &row.job, JobStatus::Canceled, "the policy was deleted")?;
        transfer::remove(tables, &self.policy, &self.tag)?;
        Ok(())
    }
}
