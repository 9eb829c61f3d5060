//! Transfers: rows that are driven until the far side holds what it should.

use std::ops::ControlFlow;

use super::record::Transfer;
use super::{Change, Key, Order, Parts, Read, Span, StoreError, Stored as _, Table};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Tag;

fn key(policy: &Id, tag: &Tag) -> Key {
    Key::new().id(policy).tag(tag)
}

fn due_key(at: Timestamp, policy: &Id, tag: &Tag) -> Key {
    Key::new().time(at).id(policy).tag(tag)
}

/// One transfer.
pub fn get(read: &impl Read, policy: &Id, tag: &Tag) -> Result<Option<Transfer>, StoreError> {
    read.record(Table::Transfers, &key(policy, tag))
}

/// Writes a transfer and keeps the row of due ones in step.
pub fn put(change: &mut Change<'_>, policy: &Id, tag: &Tag, transfer: &Transfer) -> Result<(), StoreError> {
    remove_due(change, policy, tag)?;
    if transfer.is_owed() {
        change.put_mark(Table::TransfersDue, &due_key(transfer.next_at, policy, tag))?;
    }
    change.put(Table::Transfers, &key(policy, tag), transfer)
}

/// Removes a transfer.
pub fn remove(change: &mut Change<'_>, policy: &Id, tag: &Tag) -> Result<bool, StoreError> {
    remove_due(change, policy, tag)?;
    change.remove(Table::Transfers, &key(policy, tag))
}

fn remove_due(change: &mut Change<'_>, policy: &Id, tag: &Tag) -> Result<(), StoreError> {
    if let Some(before) = get(change, policy, tag)?.filter(Transfer::is_owed) {
        change.remove(Table::TransfersDue, &due_key(before.next_at, policy, tag))?;
    }
    Ok(())
}

/// A transfer that is owed, and when it is to be tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Of which policy.
    pub policy: Id,
    /// The local tag.
    pub tag: Tag,
}

/// Hands what is owed to `each`, the earliest first.
pub fn due(read: &impl Read, mut each: impl FnMut(Due) -> ControlFlow<()>) -> Result<(), StoreError> {
    walk_due(read, Span::all(), &mut each)
}

fn walk_due(read: &impl Read, span: Span, each: &mut impl FnMut(Due) -> ControlFlow<()>) -> Result<(), StoreError> {
    read.walk(Table::TransfersDue, &span, Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        let (at, policy) = (parts.time(), parts.id());
        Ok(match (at, policy, parts.tag()) {
            (Some(at), Some(policy), Some(tag)) => each(Due { at, policy, tag }),
            _ => ControlFlow::Continue(()),
        })
    })
}

/// Hands what is to be tried at `at` or later to `each`, the earliest first;
/// only what comes behind `after` where that is given.
pub fn due_from(
    read: &impl Read,
    at: Timestamp,
    after: Option<&Due>,
    mut each: impl FnMut(Due) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let span = match after {
        Some(Due { at, policy, tag }) => Span::all().after(&due_key(*at, policy, tag)),
        None => Span::all().starting(&Key::new().time(at)),
    };
    walk_due(read, span, &mut each)
}

/// Makes what a policy owes due now, as far as `takes` says so, up to
/// [`limits::HURRY_ROWS`]: what kept them waiting may just have been mended.
pub fn hurry(change: &mut Change<'_>, policy: &Id, takes: impl Fn(&Transfer) -> bool) -> Result<(), StoreError> {
    let now = change.now();
    let mut waiting = Vec::new();
    let mut seen = 0_usize;
    due(change, |row| {
        seen += 1;
        if row.policy == *policy && row.at > now {
            waiting.push(row.tag);
        }
        let enough = waiting.len() == limits::HURRY_ROWS || seen == LOOK;
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    for tag in waiting {
        if let Some(mut row) = get(change, policy, &tag)?.filter(&takes) {
            row.next_at = now;
            put(change, policy, &tag, &row)?;
        }
    }
    Ok(())
}

/// Owes again what was called off under this version of a policy.
pub fn revive(change: &mut Change<'_>, policy: &Id, version: u32) -> Result<(), StoreError> {
    let now = change.now();
    let (mut short, mut seen) = (Vec::new(), 0);
    of(change, policy, None, |tag, row| {
        seen += 1;
        if row.is_short() && row.version == version {
            short.push((tag, row));
        }
        let enough = short.len() == limits::HURRY_ROWS || seen == LOOK;
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    for (tag, mut row) in short {
        row.generation += 1;
        (row.attempts, row.next_at, row.updated_at) = (0, now, now);
        put(change, policy, &tag, &row)?;
    }
    Ok(())
}

/// Rows of due transfers that one look goes through.
const LOOK: usize = 10_000;

/// Hands the transfers of a policy after `last` to `each`, by tag.
pub fn of(
    read: &impl Read,
    policy: &Id,
    last: Option<&Tag>,
    mut each: impl FnMut(Tag, Transfer) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = Key::new().id(policy).prefix();
    if let Some(last) = last {
        span = span.after(&key(policy, last));
    }
    read.walk(Table::Transfers, &span, Order::Forward, |key, value| {
        let transfer = Transfer::decode(value).map_err(|why| StoreError::damaged(Table::Transfers, key, why))?;
        let mut parts = Parts::of(key);
        parts.id();
        match parts.tag() {
            Some(tag) => each(tag, transfer),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}
