//! What transfers and jobs become: owed, begun, done, to be tried again.
//!
//! Each of these is one commit, and none of them relies on memory: a transfer
//! that was begun and never settled is still owed at the next start.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::backoff::{self, Retry};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::{Actor, Kind};
use crate::oci::{Digest, Tag};
use crate::store::crash::crash_point;
use crate::store::record::{Cron, Direction, Job, JobAction, JobStatus, PolicyStatus, Transfer};
use crate::store::{Change, Operation, Read, StoreError, event, policy, queue, repo, transfer};

/// The code of a success, as DTR's tools compare it.
pub const SUCCESS: &str = "SUCCESS";

/// What has to be where.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The policy that wants it.
    pub policy: Id,
    /// The local tag.
    pub tag: Tag,
    /// The tag on the far side.
    pub remote_tag: String,
    /// What it has to be.
    pub want: Digest,
    /// Which way.
    pub direction: Direction,
    /// The policy's version: another one may mean another place.
    pub version: u32,
    /// The event that asked for it; 0 for none.
    pub seq: u64,
}

/// Writes down that something is owed. When the same thing was brought there
/// before, nothing is: the far side holds it, and is asked again only when
/// something else is wanted.
pub fn owe(change: &mut Change<'_>, owed: &Owed, new_job: Id) -> Result<bool, StoreError> {
    let before = transfer::get(change, &owed.policy, &owed.tag)?;
    let is_same = |row: &Transfer| {
        let goes_there = owed.direction == Direction::Pull || row.version == owed.version;
        row.want == owed.want && row.remote_tag == owed.remote_tag && goes_there
    };
    if let Some(mut row) = before.clone().filter(|row| is_same(row)) {
        if row.is_owed() {
            row.next_at = change.now();
            row.seq = owed.seq;
            transfer::put(change, &owed.policy, &owed.tag, &row)?;
        }
        return Ok(false);
    }
    if let Some(row) = before.as_ref().filter(|row| row.is_owed()) {
        end_job(change, &row.job, JobStatus::Canceled, &format!("superseded by {}", owed.want))?;
    }
    begin_row(change, owed, before, new_job)?;
    Ok(true)
}

/// Asks for a transfer again although its manifest did not change: something
/// was attached to it.
pub fn owe_again(change: &mut Change<'_>, policy: &Id, tag: &Tag, new_job: Id) -> Result<(), StoreError> {
    let Some(row) = transfer::get(change, policy, tag)? else { return Ok(()) };
    if row.is_owed() {
        let mut row = row;
        row.generation += 1;
        return transfer::put(change, policy, tag, &row);
    }
    let owed = Owed {
        policy: *policy,
        tag: tag.clone(),
        remote_tag: row.remote_tag.clone(),
        want: row.want,
        direction: row.direction,
        version: row.version,
        seq: row.seq,
    };
    begin_row(change, &owed, Some(row), new_job)
}

fn begin_row(change: &mut Change<'_>, owed: &Owed, before: Option<Transfer>, new_job: Id) -> Result<(), StoreError> {
    let now = change.now();
    let row = Transfer {
        direction: owed.direction,
        want: owed.want,
        generation: before.as_ref().map_or(0, |row| row.generation) + 1,
        done: before.as_ref().map_or(0, |row| row.done),
        have: before.as_ref().and_then(|row| row.have),
        remote_tag: owed.remote_tag.clone(),
        seq: owed.seq,
        version: owed.version,
        attempts: 0,
        next_at: now,
        last_error: String::new(),
        bytes: before.as_ref().map_or(0, |row| row.bytes),
        job: new_job,
        updated_at: now,
    };
    let action = match owed.direction {
        Direction::Push => JobAction::PushMirrorTag,
        Direction::Pull => JobAction::PullMirrorTag,
    };
    let parameters = BTreeMap::from([
        ("policyID".to_owned(), owed.policy.to_string()),
        ("tag".to_owned(), owed.tag.to_string()),
        ("remoteTag".to_owned(), owed.remote_tag.clone()),
        ("digest".to_owned(), owed.want.to_string()),
    ]);
    let job = Job {
        action,
        policy: Some(owed.policy),
        parameters,
        status: JobStatus::Waiting,
        scheduled_at: now,
        updated_at: now,
        attempts: 0,
        lines: 0,
    };
    queue::put(change, &new_job, &job)?;
    transfer::put(change, &owed.policy, &owed.tag, &row)
}

fn end_job(change: &mut Change<'_>, id: &Id, status: JobStatus, line: &str) -> Result<(), StoreError> {
    let Some(mut job) = queue::get(change, id)? else { return Ok(()) };
    if job.status.is_over() {
        return Ok(());
    }
    let line = format!("{} {line}", change.now());
    queue::log(change, id, &mut job, &[line])?;
    job.status = status;
    job.updated_at = change.now();
    queue::put(change, id, &job)
}

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
                row.bytes += bytes;
                row.have = Some(self.want);
                row.done = row.done.max(self.generation);
                (row.attempts, row.last_error) = (0, String::new());
                status = Some((SUCCESS.to_owned(), format!("{} is {}", row.remote_tag, self.want), true));
                if *moved {
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
                status = Some(("FAILED".to_owned(), format!("{}: {why}", self.tag), false));
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
        job.attempts = row.attempts;
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
