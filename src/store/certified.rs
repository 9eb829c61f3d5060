//! Names in client certificates, and the accounts they stand for.

use std::ops::ControlFlow;

use super::record::Certified;
use super::{Change, Key, Order, Read, Span, StoreError, Stored as _, Table};
use crate::chance::Id;

/// What the name `name` stands for; it is written `kind:value`.
pub fn get(read: &impl Read, name: &str) -> Result<Option<Certified>, StoreError> {
    read.record(Table::Certified, &Key::new().text(name))
}

/// The names, in order, from the one at or after `start`.
pub fn list(read: &impl Read, start: &str, limit: usize) -> Result<Vec<(String, Certified)>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::Certified, &Span::all().starting(&Key::new().text(start)), Order::Forward, |name, value| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let record = Certified::decode(value).map_err(|why| StoreError::damaged(Table::Certified, name, why))?;
        found.push((String::from_utf8_lossy(name).into_owned(), record));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Writes what a name stands for.
pub fn put(change: &mut Change<'_>, name: &str, record: &Certified) -> Result<(), StoreError> {
    change.put(Table::Certified, &Key::new().text(name), record)
}

/// Forgets all names that stand for an account; which they were.
pub fn remove_of(change: &mut Change<'_>, account: &Id) -> Result<Vec<String>, StoreError> {
    let names = list(change, "", usize::MAX)?.into_iter();
    let names: Vec<String> = names.filter(|(_, record)| record.account == *account).map(|(name, _)| name).collect();
    for name in &names {
        remove(change, name)?;
    }
    Ok(names)
}

/// Forgets a name; whether it was there.
pub fn remove(change: &mut Change<'_>, name: &str) -> Result<bool, StoreError> {
    change.remove(Table::Certified, &Key::new().text(name))
}
