//! Users and organizations.

use std::ops::ControlFlow;

use super::record::Account;
use super::{Change, Key, Order, Read, Span, StoreError, Stored as _, Table};
use crate::chance::Id;

/// The organization that is there from the start and that nobody removes:
/// DTR's tools make teams in it.
pub const SYSTEM_ORGANIZATION: &str = "docker-datacenter";

fn key(name: &str) -> Key {
    Key::new().text(name)
}

/// The account called `name`.
pub fn get(read: &impl Read, name: &str) -> Result<Option<Account>, StoreError> {
    read.record(Table::Accounts, &key(name))
}

/// The name of the account with this id.
pub fn name_of(read: &impl Read, id: &Id) -> Result<Option<String>, StoreError> {
    read.with(Table::AccountIds, &Key::new().id(id), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The account with this id, with its name.
pub fn by_id(read: &impl Read, id: &Id) -> Result<Option<(String, Account)>, StoreError> {
    let Some(name) = name_of(read, id)? else { return Ok(None) };
    Ok(get(read, &name)?.map(|account| (name, account)))
}

/// The account with this id, or else with this name. The id goes first: a name
/// that looks like the id of another must not take what is meant for that one.
pub fn find(read: &impl Read, name_or_id: &str) -> Result<Option<(String, Account)>, StoreError> {
    if let Ok(id) = name_or_id.parse()
        && let Some(found) = by_id(read, &id)?
    {
        return Ok(Some(found));
    }
    Ok(get(read, name_or_id)?.map(|found| (name_or_id.to_owned(), found)))
}

/// Accounts by name, from the one at or after `start`.
pub fn list(read: &impl Read, start: &str, limit: usize) -> Result<Vec<(String, Account)>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::Accounts, &Span::all().starting(&key(start)), Order::Forward, |name, value| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let account = Account::decode(value).map_err(|why| StoreError::damaged(Table::Accounts, name, why))?;
        found.push((String::from_utf8_lossy(name).into_owned(), account));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Writes an account under its name and id.
pub fn put(change: &mut Change<'_>, name: &str, account: &Account) -> Result<(), StoreError> {
    change.put(Table::Accounts, &key(name), account)?;
    change.put_bytes(Table::AccountIds, &Key::new().id(&account.id), name.as_bytes())
}

/// Removes an account. Its repositories stay.
pub fn remove(change: &mut Change<'_>, name: &str, account: &Account) -> Result<(), StoreError> {
    change.remove(Table::Accounts, &key(name))?;
    change.remove(Table::AccountIds, &Key::new().id(&account.id))?;
    Ok(())
}
