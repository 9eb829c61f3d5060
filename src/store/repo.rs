//! Repositories: names, numbers, settings, and how often they are used.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::record::{Counts, Repository};
use super::{Change, Key, Order, Read, RepoId, Span, StoreError, Stored as _, Table, usage};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::RepoName;

fn key(name: &RepoName) -> Key {
    Key::new().text(name.as_str())
}

/// Pulls that were answered and are not written down yet: a read path that
/// wrote would be as slow as a push. Clones of the store share it.
#[derive(Debug, Default)]
pub struct Pulls(Mutex<HashMap<RepoId, u64>>);

impl Pulls {
    /// Counts one.
    pub fn add(&self, repo: RepoId) {
        let mut pending = self.lock();
        if pending.len() < limits::PULLS_PENDING || pending.contains_key(&repo) {
            *pending.entry(repo).or_default() += 1;
        }
    }

    /// Those of one repository.
    pub fn of(&self, repo: RepoId) -> u64 {
        self.lock().get(&repo).copied().unwrap_or(0)
    }

    /// Takes those of up to `limit` repositories out, to be written down.
    pub fn take(&self, limit: usize) -> Vec<(RepoId, u64)> {
        let mut pending = self.lock();
        let repos: Vec<RepoId> = pending.keys().take(limit).copied().collect();
        repos.into_iter().filter_map(|repo| pending.remove_entry(&repo)).collect()
    }

    /// Puts those back that could not be written down.
    pub fn put_back(&self, taken: &[(RepoId, u64)]) {
        let mut pending = self.lock();
        for (repo, pulls) in taken {
            *pending.entry(*repo).or_default() += pulls;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RepoId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a repository was used, as far as it is written down.
pub fn counts(read: &impl Read, number: RepoId) -> Result<Counts, StoreError> {
    Ok(read.record(Table::RepositoryCounts, &Key::new().repo(number))?.unwrap_or_default())
}

/// Adds to how often a repository was used.
pub fn count(change: &mut Change<'_>, number: RepoId, pulls: u64, pushes: u64) -> Result<(), StoreError> {
    let before = counts(change, number)?;
    let pulls = before.pulls.saturating_add(pulls);
    let pushes = before.pushes.saturating_add(pushes);
    change.put(Table::RepositoryCounts, &Key::new().repo(number), &Counts { pulls, pushes, ..before })
}

/// Notes that a tag came, whose row is written already. Where nobody has counted
/// the tags before, that is done now, once in the life of a repository.
pub(super) fn tag_came(change: &mut Change<'_>, number: RepoId) -> Result<(), StoreError> {
    let before = counts(change, number)?;
    let tags = match before.tags {
        Some(tags) => tags.saturating_add(1),
        None => {
            let mut tags = 0;
            change.walk(Table::Tags, &Key::new().repo(number).prefix(), Order::Forward, |_, _| {
                tags += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            tags
        }
    };
    change.put(Table::RepositoryCounts, &Key::new().repo(number), &Counts { tags: Some(tags), ..before })
}

/// Notes that a tag is gone.
pub(super) fn tag_gone(change: &mut Change<'_>, number: RepoId) -> Result<(), StoreError> {
    let before = counts(change, number)?;
    let Some(tags) = before.tags else { return Ok(()) };
    let tags = Some(tags.saturating_sub(1));
    change.put(Table::RepositoryCounts, &Key::new().repo(number), &Counts { tags, ..before })
}

/// The repository called `name`.
pub fn get(read: &impl Read, name: &RepoName) -> Result<Option<Repository>, StoreError> {
    read.record(Table::Repositories, &key(name))
}

/// What stands for a repository that is not there, where rights are decided: a
/// private one on which nobody has a grant. It is read as one that is there is
/// read, so that the time tells nobody which of them it was.
pub fn stand_in() -> Repository {
    static STORED: LazyLock<Vec<u8>> = LazyLock::new(|| nowhere().encode());
    Repository::decode(&STORED).unwrap_or_else(|_| nowhere())
}

fn nowhere() -> Repository {
    Repository {
        // Numbers are counted up from the least.
        number: RepoId(u64::MAX),
        id: Id::from_bytes([0; 16]),
        is_public: false,
        short_description: String::new(),
        long_description: String::new(),
        immutable_tags: false,
        scan_on_push: false,
        tag_limit: 0,
        enable_manifest_lists: false,
        created_at: Timestamp::from_micros(0),
    }
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
    read.walk(Table::Repositories, &span(namespace, last), Order::Forward, |name, value| {
        let record = Repository::decode(value).map_err(|why| StoreError::damaged(Table::Repositories, name, why))?;
        match std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            Some(name) => each(name, record),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// Hands the names of public repositories after `last` to `each`, in order,
/// within one namespace if one is given.
pub fn walk_public(
    read: &impl Read,
    namespace: Option<&str>,
    last: Option<&str>,
    mut each: impl FnMut(RepoName) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    read.walk(Table::PublicRepositories, &span(namespace, last), Order::Forward, |name, _| {
        match std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            Some(name) => each(name),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// The stretch of names after `last`, within one namespace if one is given.
fn span(namespace: Option<&str>, last: Option<&str>) -> Span {
    let span = match namespace {
        Some(namespace) => Key::new().text(&format!("{namespace}/")).prefix(),
        None => Span::all(),
    };
    match last.map(|last| Key::new().text(last)) {
        Some(last) if namespace.is_none_or(|namespace| last.bytes() >= format!("{namespace}/").as_bytes()) => {
            span.after(&last)
        }
        Some(_) | None => span,
    }
}

/// The row in `meta` that says that public repositories are listed: databases
/// from before have no such list until they are opened.
pub(super) const PUBLIC_LISTED: &str = "public_listed";

/// Whether public repositories are listed.
pub fn lists_public(read: &impl Read) -> Result<bool, StoreError> {
    read.has(Table::Meta, &Key::new().text(PUBLIC_LISTED))
}

/// Makes a number for a new repository.
pub fn next_number(change: &mut Change<'_>) -> Result<RepoId, StoreError> {
    Ok(RepoId(super::event::count_up(change, "repository")?))
}

/// Writes a repository under its name and number.
pub fn put(change: &mut Change<'_>, name: &RepoName, record: &Repository) -> Result<(), StoreError> {
    change.put(Table::Repositories, &key(name), record)?;
    if record.is_public {
        change.put_mark(Table::PublicRepositories, &key(name))?;
    } else {
        change.remove(Table::PublicRepositories, &key(name))?;
    }
    change.put_bytes(Table::RepositoryIds, &Key::new().repo(record.number), name.as_str().as_bytes())
}

/// Removes the name and the number; what is linked under the number is not
/// reachable any more and is removed by whoever calls.
pub fn remove(change: &mut Change<'_>, name: &RepoName, record: &Repository) -> Result<(), StoreError> {
    change.remove(Table::Repositories, &key(name))?;
    change.remove(Table::PublicRepositories, &key(name))?;
    change.remove(Table::RepositoryIds, &Key::new().repo(record.number))?;
    usage::forget_repository(change, name, record.number)
}
