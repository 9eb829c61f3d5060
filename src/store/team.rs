//! Teams of organizations: their names, who belongs to them, and what hangs on
//! one that is gone.

use std::ops::ControlFlow;

use super::organization::{resize, second, span};
use super::record::{Member, Team};
use super::{Change, Key, Order, Parts, Read, StoreError, Stored as _, Table, grant};
use crate::chance::Id;
use crate::limits;

fn key(organization: &Id, team: &Id) -> Key {
    Key::new().id(organization).id(team)
}

fn name_key(organization: &Id, name: &str) -> Key {
    Key::new().id(organization).text(name)
}

/// A team by its id.
pub fn get(read: &impl Read, organization: &Id, team: &Id) -> Result<Option<Team>, StoreError> {
    read.record(Table::Teams, &key(organization, team))
}

/// Whether a team is there.
pub fn exists(read: &impl Read, organization: &Id, team: &Id) -> Result<bool, StoreError> {
    read.has(Table::Teams, &key(organization, team))
}

/// The id of the team called `name`.
pub fn by_name(read: &impl Read, organization: &Id, name: &str) -> Result<Option<Id>, StoreError> {
    Ok(read.with(Table::TeamNames, &name_key(organization, name), |bytes| Parts::of(bytes).id())?.flatten())
}

/// A team by its id, or else by its name. The id goes first: a name that looks
/// like the id of another team must not take what is meant for that one.
pub fn find(read: &impl Read, organization: &Id, name_or_id: &str) -> Result<Option<Team>, StoreError> {
    if let Ok(id) = name_or_id.parse()
        && let Some(found) = get(read, organization, &id)?
    {
        return Ok(Some(found));
    }
    match by_name(read, organization, name_or_id)? {
        Some(id) => get(read, organization, &id),
        None => Ok(None),
    }
}

/// Hands the teams of an organization to `each`, by name, from the one at or
/// after `start`.
pub fn walk(
    read: &impl Read,
    organization: &Id,
    start: Option<&str>,
    mut each: impl FnMut(Team) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let all = Key::new().id(organization).prefix();
    let span = start.map_or_else(|| all.clone(), |start| all.clone().starting(&name_key(organization, start)));
    read.walk(Table::TeamNames, &span, Order::Forward, |_, value| {
        let found = match Parts::of(value).id() {
            Some(id) => get(read, organization, &id)?,
            None => None,
        };
        found.map_or(Ok(ControlFlow::Continue(())), &mut each)
    })
}

/// Writes a team; `before` is what it replaces.
pub fn put(change: &mut Change<'_>, organization: &Id, team: &Team, before: Option<&Team>) -> Result<(), StoreError> {
    match before {
        Some(before) if before.name != team.name => {
            change.remove(Table::TeamNames, &name_key(organization, &before.name))?;
        }
        Some(_) => {}
        None => resize(change, organization, |size| size.teams += 1)?,
    }
    change.put(Table::Teams, &key(organization, &team.id), team)?;
    change.put_bytes(Table::TeamNames, &name_key(organization, &team.name), team.id.bytes())
}

/// Removes a team: from here on it gives nobody any right. Its members and its
/// grants on repositories are [`purge`]'s.
pub fn remove(change: &mut Change<'_>, organization: &Id, team: &Id) -> Result<(), StoreError> {
    let Some(found) = get(change, organization, team)? else { return Ok(()) };
    change.remove(Table::Teams, &key(organization, team))?;
    change.remove(Table::TeamNames, &name_key(organization, &found.name))?;
    grant::put_on_namespace(change, organization, team, None)?;
    resize(change, organization, |size| size.teams = size.teams.saturating_sub(1))
}

/// A user's place in a team.
pub fn member(read: &impl Read, team: &Id, user: &Id) -> Result<Option<Member>, StoreError> {
    read.record(Table::TeamMembers, &key(team, user))
}

/// Lets a user into a team, or changes its place there.
pub fn put_member(
    change: &mut Change<'_>,
    (organization, team): (&Id, &Id),
    user: &Id,
    member: Member,
) -> Result<(), StoreError> {
    if !change.has(Table::TeamMembers, &key(team, user))? {
        count(change, organization, team, |members| members + 1)?;
        change.put_mark(Table::UserTeams, &key(user, organization).id(team))?;
    }
    change.put(Table::TeamMembers, &key(team, user), &member)
}

/// Takes a user out of a team; whether it was there.
pub fn remove_member(change: &mut Change<'_>, organization: &Id, team: &Id, user: &Id) -> Result<bool, StoreError> {
    change.remove(Table::UserTeams, &key(user, organization).id(team))?;
    let was_there = change.remove(Table::TeamMembers, &key(team, user))?;
    if was_there {
        count(change, organization, team, |members| members.saturating_sub(1))?;
    }
    Ok(was_there)
}

/// Hands the members of a team from `start` on to `each`, by user id.
pub fn walk_members(
    read: &impl Read,
    team: &Id,
    start: Option<&Id>,
    mut each: impl FnMut(Id, Member) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    read.walk(Table::TeamMembers, &span(team, start), Order::Forward, |key, value| {
        let member = Member::decode(value).map_err(|why| StoreError::damaged(Table::TeamMembers, key, why))?;
        second(key).map_or(Ok(ControlFlow::Continue(())), |user| each(user, member))
    })
}

/// The teams of an organization that a user belongs to, by id; among them
/// those that are gone and whose rows are still being removed.
pub fn of_user(read: &impl Read, user: &Id, organization: &Id) -> Result<Vec<Id>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::UserTeams, &key(user, organization).prefix(), Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.id();
        parts.id();
        found.extend(parts.id());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Removes a slice of the members and the grants of a team; how many there
/// were, none when all are gone.
pub fn purge(change: &mut Change<'_>, organization: &Id, team: &Id) -> Result<usize, StoreError> {
    let members = change.keys(Table::TeamMembers, &Key::new().id(team).prefix(), limits::BACKGROUND_ROWS)?;
    for user in members.iter().filter_map(|key| second(key)) {
        remove_member(change, organization, team, &user)?;
    }
    if !members.is_empty() {
        return Ok(members.len());
    }
    grant::remove_of_team(change, team, limits::BACKGROUND_ROWS)
}

/// The key under which what a team has left waits to be removed.
pub fn purge_key(organization: &Id, team: &Id) -> Key {
    Key::new().text_then("team").id(organization).id(team)
}

fn count(
    change: &mut Change<'_>,
    organization: &Id,
    team: &Id,
    counted: impl FnOnce(u64) -> u64,
) -> Result<(), StoreError> {
    let Some(mut found) = get(change, organization, team)? else { return Ok(()) };
    found.members = counted(found.members);
    change.put(Table::Teams, &key(organization, team), &found)
}
