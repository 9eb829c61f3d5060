//! What teams may do: on single repositories, and in the whole namespace of
//! their organization.

use std::ops::ControlFlow;

use super::record::Grant;
use super::{Change, Key, Order, Parts, Read, RepoId, StoreError, Stored as _, Table, team};
use crate::access::Level;
use crate::chance::Id;
use crate::oci::RepoName;

fn on_repository(repository: RepoId, team: &Id) -> Key {
    Key::new().repo(repository).id(team)
}

fn on_namespace(organization: &Id, team: &Id) -> Key {
    Key::new().id(organization).id(team)
}

fn back(team: &Id, name: &RepoName) -> Key {
    Key::new().id(team).text(name.as_str())
}

/// What a team may do with a repository by its own grant.
pub fn of_repository(read: &impl Read, repository: RepoId, team: &Id) -> Result<Option<Level>, StoreError> {
    let found: Option<Grant> = read.record(Table::RepositoryGrants, &on_repository(repository, team))?;
    Ok(found.map(|grant| grant.level))
}

/// What a team may do in the namespace of its organization.
pub fn of_namespace(read: &impl Read, organization: &Id, team: &Id) -> Result<Option<Level>, StoreError> {
    let found: Option<Grant> = read.record(Table::NamespaceGrants, &on_namespace(organization, team))?;
    Ok(found.map(|grant| grant.level))
}

/// What the teams of a user give it in the namespace of their organization, or
/// with a repository there: one level a grant.
pub fn levels(
    read: &impl Read,
    user: &Id,
    organization: &Id,
    repository: Option<RepoId>,
) -> Result<Vec<Level>, StoreError> {
    let mut found = Vec::new();
    for of in team::of_user(read, user, organization)? {
        let before = found.len();
        found.extend(of_namespace(read, organization, &of)?);
        if let Some(repository) = repository {
            found.extend(of_repository(read, repository, &of)?);
        }
        // A team that is gone has rows until they are removed, and no rights.
        if found.len() > before && !team::exists(read, organization, &of)? {
            found.truncate(before);
        }
    }
    Ok(found)
}

/// Hands the teams with a grant on a repository from `start` on to `each`, by
/// id.
pub fn walk_of_repository(
    read: &impl Read,
    repository: RepoId,
    start: Option<&Id>,
    each: impl FnMut(Id, Level) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    walk(read, Table::RepositoryGrants, &Key::new().repo(repository), start, each)
}

/// Hands the teams with a grant on an organization's namespace from `start` on
/// to `each`, by id.
pub fn walk_of_namespace(
    read: &impl Read,
    organization: &Id,
    start: Option<&Id>,
    each: impl FnMut(Id, Level) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    walk(read, Table::NamespaceGrants, &Key::new().id(organization), start, each)
}

/// Hands the repositories that a team has a grant on to `each`, by name, from
/// the one at `start` or after `last`.
pub fn walk_of_team(
    read: &impl Read,
    team: &Id,
    after: Option<&str>,
    mut each: impl FnMut(RepoName, RepoId) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let of_team = Key::new().id(team);
    let span = match after {
        Some(after) => of_team.prefix().after(&of_team.clone().text(after)),
        None => of_team.prefix(),
    };
    read.walk(Table::TeamGrants, &span, Order::Forward, |key, value| {
        let mut parts = Parts::of(key);
        parts.id();
        let name = parts.text().and_then(|text| text.parse().ok());
        match name.zip(Parts::of(value).repo()) {
            Some((name, number)) => each(name, number),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// Gives a team a level on a repository, or takes it away; whether there was
/// one.
pub fn put_on_repository(
    change: &mut Change<'_>,
    (name, number): (&RepoName, RepoId),
    team: &Id,
    level: Option<Level>,
) -> Result<bool, StoreError> {
    let key = on_repository(number, team);
    let had = change.has(Table::RepositoryGrants, &key)?;
    match level {
        Some(level) => {
            change.put(Table::RepositoryGrants, &key, &Grant { level })?;
            change.put_bytes(Table::TeamGrants, &back(team, name), &number.0.to_be_bytes())?;
        }
        None => {
            change.remove(Table::RepositoryGrants, &key)?;
            change.remove(Table::TeamGrants, &back(team, name))?;
        }
    }
    Ok(had)
}

/// Gives a team a level in the namespace of its organization, or takes it
/// away; whether there was one.
pub fn put_on_namespace(
    change: &mut Change<'_>,
    organization: &Id,
    team: &Id,
    level: Option<Level>,
) -> Result<bool, StoreError> {
    let key = on_namespace(organization, team);
    let had = change.has(Table::NamespaceGrants, &key)?;
    match level {
        Some(level) => change.put(Table::NamespaceGrants, &key, &Grant { level })?,
        None => drop(change.remove(Table::NamespaceGrants, &key)?),
    }
    Ok(had)
}

/// Takes every grant on a repository away: as many as its organization may
/// have teams, or those of one that is gone.
pub fn remove_of_repository(change: &mut Change<'_>, name: &RepoName, number: RepoId) -> Result<(), StoreError> {
    for key in change.keys(Table::RepositoryGrants, &Key::new().repo(number).prefix(), usize::MAX)? {
        let mut parts = Parts::of(&key);
        parts.repo();
        if let Some(of) = parts.id() {
            put_on_repository(change, (name, number), &of, None)?;
        }
    }
    Ok(())
}

/// Takes up to `limit` grants on repositories away from a team; how many.
pub(super) fn remove_of_team(change: &mut Change<'_>, team: &Id, limit: usize) -> Result<usize, StoreError> {
    let mut found = Vec::new();
    walk_of_team(change, team, None, |name, number| {
        found.push((name, number));
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for (name, number) in &found {
        put_on_repository(change, (name, *number), team, None)?;
    }
    Ok(found.len())
}

fn walk(
    read: &impl Read,
    table: Table,
    of: &Key,
    start: Option<&Id>,
    mut each: impl FnMut(Id, Level) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let span = match start {
        Some(start) => of.prefix().starting(&of.clone().id(start)),
        None => of.prefix(),
    };
    read.walk(table, &span, Order::Forward, |key, value| {
        let grant = Grant::decode(value).map_err(|why| StoreError::damaged(table, key, why))?;
        match Parts::of(&key[of.bytes().len().min(key.len())..]).id() {
            Some(of) => each(of, grant.level),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}
