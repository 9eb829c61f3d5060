//! Jobs: the waiting ones by time, all of them for the list, and their logs.

use std::ops::ControlFlow;

use super::record::{Job, JobStatus};
use super::{Change, Key, Order, Parts, Read, Span, StoreError, Table};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;

fn key(id: &Id) -> Key {
    Key::new().id(id)
}

fn timed(at: Timestamp, id: &Id) -> Key {
    Key::new().time(at).id(id)
}

/// One job.
pub fn get(read: &impl Read, id: &Id) -> Result<Option<Job>, StoreError> {
    read.record(Table::Jobs, &key(id))
}

/// Writes a job and keeps the lists in step.
pub fn put(change: &mut Change<'_>, id: &Id, job: &Job) -> Result<(), StoreError> {
    if let Some(before) = get(change, id)? {
        change.remove(Table::JobsDue, &timed(before.scheduled_at, id))?;
        change.remove(Table::JobsListed, &timed(before.scheduled_at, id))?;
    }
    if is_due(job) {
        change.put_mark(Table::JobsDue, &timed(job.scheduled_at, id))?;
    }
    change.put_mark(Table::JobsListed, &timed(job.scheduled_at, id))?;
    change.put(Table::Jobs, &key(id), job)
}

/// Whether the job waits in the queue.
pub fn is_due(job: &Job) -> bool {
    job.status == JobStatus::Waiting && job.action.is_queued()
}

/// Adds lines to a job's log; beyond the limit the last one says so.
pub fn log(change: &mut Change<'_>, id: &Id, job: &mut Job, lines: &[String]) -> Result<(), StoreError> {
    for line in lines {
        if job.lines >= limits::JOB_LOG_LINES {
            return Ok(());
        }
        let cut = job.lines + 1 == limits::JOB_LOG_LINES;
        let text = if cut { "the log is full; later lines are not kept" } else { line.as_str() };
        change.put_bytes(Table::JobLogs, &key(id).number(job.lines.into()), text.as_bytes())?;
        job.lines += 1;
    }
    Ok(())
}

/// A job's log from line `offset`, at most `limit` lines.
pub fn lines(read: &impl Read, id: &Id, offset: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
    let mut lines = Vec::new();
    let span = key(id).prefix().starting(&key(id).number(offset));
    read.walk(Table::JobLogs, &span, Order::Forward, |key, value| {
        if lines.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let mut parts = Parts::of(key);
        parts.id();
        lines.extend(parts.number().map(|number| (number, String::from_utf8_lossy(value).into_owned())));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(lines)
}

/// Hands the waiting jobs to `each`, the earliest first.
pub fn due(read: &impl Read, each: impl FnMut(Timestamp, Id) -> ControlFlow<()>) -> Result<(), StoreError> {
    timed_walk(read, Table::JobsDue, Order::Forward, each)
}

/// Hands all jobs to `each`, the newest first.
pub fn newest(read: &impl Read, each: impl FnMut(Timestamp, Id) -> ControlFlow<()>) -> Result<(), StoreError> {
    timed_walk(read, Table::JobsListed, Order::Backward, each)
}

/// Hands all jobs to `each`, the oldest first.
pub fn oldest(read: &impl Read, each: impl FnMut(Timestamp, Id) -> ControlFlow<()>) -> Result<(), StoreError> {
    timed_walk(read, Table::JobsListed, Order::Forward, each)
}

fn timed_walk(
    read: &impl Read,
    table: Table,
    order: Order,
    mut each: impl FnMut(Timestamp, Id) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    read.walk(table, &Span::all(), order, |key, _| {
        let mut parts = Parts::of(key);
        Ok(match (parts.time(), parts.id()) {
            (Some(at), Some(id)) => each(at, id),
            _ => ControlFlow::Continue(()),
        })
    })
}

/// Removes a job and its log.
pub fn remove(change: &mut Change<'_>, id: &Id) -> Result<(), StoreError> {
    if let Some(job) = get(change, id)? {
        change.remove(Table::JobsDue, &timed(job.scheduled_at, id))?;
        change.remove(Table::JobsListed, &timed(job.scheduled_at, id))?;
        change.remove(Table::Jobs, &key(id))?;
    }
    for line in change.keys(Table::JobLogs, &key(id).prefix(), limits::JOB_LOG_LINES as usize)? {
        change.remove_raw(Table::JobLogs, &line)?;
    }
    Ok(())
}
