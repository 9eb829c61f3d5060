//! What is owed to, or from, another registry: written down in the commit that
//! decided it, with the job that shows how it fares.
//!
//! The same wish twice is one transfer; another wish supersedes it, and its job
//! is called off.

use std::collections::BTreeMap;

use crate::chance::Id;
use crate::oci::{Digest, Tag};
use crate::store::record::{Direction, Job, JobAction, JobStatus, Transfer};
use crate::store::{Change, StoreError, queue, transfer};

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
/// something else is wanted. What was called off is owed again.
pub fn owe(change: &mut Change<'_>, owed: &Owed, new_job: Id) -> Result<bool, StoreError> {
    let before = transfer::get(change, &owed.policy, &owed.tag)?;
    let is_same = |row: &Transfer| row.want == owed.want && row.remote_tag == owed.remote_tag && is_there(row, owed);
    if let Some(mut row) = before.clone().filter(|row| is_same(row)) {
        if row.is_owed() {
            row.next_at = change.now();
            row.seq = owed.seq;
            transfer::put(change, &owed.policy, &owed.tag, &row)?;
            return Ok(false);
        }
        if row.have == Some(row.want) {
            return Ok(false);
        }
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
        // What another place holds, or another tag over there, says nothing
        // about this one.
        have: before.as_ref().filter(|row| is_there(row, owed)).and_then(|row| row.have),
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
    show(change, &owed.policy, &owed.tag, &row)?;
    transfer::put(change, &owed.policy, &owed.tag, &row)
}

/// Whether the far end of a row is the far end of what is owed: a pull brings
/// things here, and another version of a push mirror may go elsewhere.
fn is_there(row: &Transfer, owed: &Owed) -> bool {
    owed.direction == Direction::Pull || (row.version == owed.version && row.remote_tag == owed.remote_tag)
}

/// Writes the job that shows a transfer; it waits.
pub(super) fn show(change: &mut Change<'_>, policy: &Id, tag: &Tag, row: &Transfer) -> Result<Job, StoreError> {
    let now = change.now();
    let action = match row.direction {
        Direction::Push => JobAction::PushMirrorTag,
        Direction::Pull => JobAction::PullMirrorTag,
    };
    let parameters = BTreeMap::from([
        ("policyID".to_owned(), policy.to_string()),
        ("tag".to_owned(), tag.to_string()),
        ("remoteTag".to_owned(), row.remote_tag.clone()),
        ("digest".to_owned(), row.want.to_string()),
    ]);
    let job = Job {
        action,
        policy: Some(*policy),
        parameters,
        status: JobStatus::Waiting,
        scheduled_at: now,
        updated_at: now,
        attempts: 0,
        lines: 0,
        last_error: String::new(),
    };
    queue::put(change, &row.job, &job)?;
    Ok(job)
}

/// Ends a job that is not over, with a last line in its log.
pub(super) fn end_job(change: &mut Change<'_>, id: &Id, status: JobStatus, line: &str) -> Result<(), StoreError> {
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
