//! Repositories: names, numbers, settings.

use std::ops::ControlFlow;

use super::record::Repository;
use super::{Change, Key, Order, Read, RepoId, Span, StoreError, Stored as _, Table};
use crate::oci::RepoName;

fn key(name: &RepoName) -> Key {
    Key::new().text(name.as_str())
}

/// The repository called `name`.
pub fn get(read: &impl Read, name: &RepoName) -> Result<Option<Repository>, StoreError> {
    read.record(Table::Repositories, &key(name))
}

/// The name of the repository with this number.
pub fn name_of(read: &impl Read, number: RepoId) -> Result<Option<RepoName>, StoreError> {
    let parsed = read.with(Table::RepositoryIds, &Key::new().repo(number), |bytes| {
        std::str::from_utf8(bytes).ok().and_then(|name| name.parse().ok())
    })?;
    Ok(parsed.flatten())
}

/// Hands the repositories after `last` to `each`, in the order of their names,
/// within one namespace if one is given.
pub fn walk(
    read: &impl Read,
    namespace: Option<&str>,
    last: Option<&str>,
    mut each: impl FnMut(RepoName, Repository) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = match namespace {
        Some(namespace) => Key::new().text(&format!("{namespace}/")).prefix(),
        None => Span::all(),
    };
    if let Some(last) = last {
        let last = Key::new().text(last);
        let inside = namespace.is_none_or(|namespace| last.bytes() >= format!("{namespace}/").as_bytes());
        if inside {
            span = span.after(&last);
        }
    }
    read.walk(Table::Repositories, &span, Order::Forward, |name, value| {
        let record = Repository::decode(value).map_err(|why| StoreError::damaged(Table::Repositories, name, why))?;
        match std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            Some(name) => each(name, record),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// Makes a number for a new repository.
pub fn next_number(change: &mut Change<'_>) -> Result<RepoId, StoreError> {
    Ok(RepoId(super::event::count_up(change, "repository")?))
}

/// Writes a repository under its name and number.
pub fn put(change: &mut Change<'_>, name: &RepoName, record: &Repository) -> Result<(), StoreError> {
    change.put(Table::Repositories, &key(name), record)?;
    change.put_bytes(Table::RepositoryIds, &Key::new().repo(record.number), name.as_str().as_bytes())
}

/// Removes the name and the number; what is linked under the number is not
/// reachable any more and is removed by whoever calls.
pub fn remove(change: &mut Change<'_>, name: &RepoName, record: &Repository) -> Result<(), StoreError> {
    change.remove(Table::Repositories, &key(name))?;
    change.remove(Table::RepositoryIds, &Key::new().repo(record.number))?;
    Ok(())
}
