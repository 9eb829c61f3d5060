//! The event log: one row of numbers, and the reactor's place in it.

use std::ops::ControlFlow;

use super::{Change, Key, Order, Read, Span, StoreError, Stored as _, Table};
use crate::event::{Actor, Event, Kind};
use crate::oci::RepoName;
use crate::store::RepoId;

fn meta(name: &str) -> Key {
    Key::new().text(name)
}

fn number(read: &impl Read, name: &str) -> Result<u64, StoreError> {
    let bytes = read.with(Table::Meta, &meta(name), |bytes| bytes.try_into().map(u64::from_be_bytes).unwrap_or(0))?;
    Ok(bytes.unwrap_or(0))
}

/// Counts `name` up and returns the new value; the first is 1.
pub(super) fn count_up(change: &mut Change<'_>, name: &str) -> Result<u64, StoreError> {
    let next = number(change, name)? + 1;
    change.put_bytes(Table::Meta, &meta(name), &next.to_be_bytes())?;
    Ok(next)
}

/// The number of the last event; 0 when there was none.
pub fn last(read: &impl Read) -> Result<u64, StoreError> {
    number(read, "event")
}

/// The number of the last event that the reactor has handled.
pub fn cursor(read: &impl Read) -> Result<u64, StoreError> {
    number(read, "cursor")
}

/// Moves the reactor's place.
pub fn set_cursor(change: &mut Change<'_>, seq: u64) -> Result<(), StoreError> {
    change.put_bytes(Table::Meta, &meta("cursor"), &seq.to_be_bytes())
}

/// Appends an event and returns its number.
pub fn append(
    change: &mut Change<'_>,
    actor: Actor,
    repository: (RepoId, &RepoName),
    kind: Kind,
) -> Result<u64, StoreError> {
    let seq = count_up(change, "event")?;
    let event = Event {
        seq,
        at: change.now(),
        actor,
        repository_number: repository.0.0,
        repository: repository.1.clone(),
        kind,
    };
    change.put(Table::Events, &Key::new().number(seq), &event)?;
    Ok(seq)
}

/// The number that the next event will get.
pub fn next(read: &impl Read) -> Result<u64, StoreError> {
    Ok(last(read)? + 1)
}

/// One event.
pub fn get(read: &impl Read, seq: u64) -> Result<Option<Event>, StoreError> {
    read.record(Table::Events, &Key::new().number(seq))
}

/// Up to `limit` events after number `seq`, in order.
pub fn after(read: &impl Read, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    read.walk(Table::Events, &Span::all().after(&Key::new().number(seq)), Order::Forward, |key, value| {
        if events.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        events.push(Event::decode(value).map_err(|why| StoreError::damaged(Table::Events, key, why))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(events)
}

/// Removes up to `limit` events with numbers up to `seq`; how many went.
pub fn prune(change: &mut Change<'_>, seq: u64, limit: usize) -> Result<usize, StoreError> {
    let keys = change.keys(Table::Events, &Span::all().through(&Key::new().number(seq)), limit)?;
    for key in &keys {
        change.remove_raw(Table::Events, key)?;
    }
    Ok(keys.len())
}
