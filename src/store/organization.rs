//! Who belongs to an organization: members with their back index, and how
//! many there are.

use std::ops::ControlFlow;

use super::record::{Member, OrganizationSize};
use super::{Change, Key, Order, Parts, Read, Span, StoreError, Stored as _, Table, robot, team, token};
use crate::chance::Id;
use crate::limits;

fn pair(first: &Id, second: &Id) -> Key {
    Key::new().id(first).id(second)
}

/// How large an organization is.
pub fn size(read: &impl Read, organization: &Id) -> Result<OrganizationSize, StoreError> {
    Ok(read.record(Table::Organizations, &Key::new().id(organization))?.unwrap_or_default())
}

pub(super) fn resize(
    change: &mut Change<'_>,
    organization: &Id,
    by: impl FnOnce(&mut OrganizationSize),
) -> Result<(), StoreError> {
    let mut size = size(change, organization)?;
    by(&mut size);
    change.put(Table::Organizations, &Key::new().id(organization), &size)
}

/// A user's place in an organization.
pub fn member(read: &impl Read, organization: &Id, user: &Id) -> Result<Option<Member>, StoreError> {
    read.record(Table::Members, &pair(organization, user))
}

/// Lets a user into an organization, or changes its place there.
pub fn put_member(change: &mut Change<'_>, organization: &Id, user: &Id, member: Member) -> Result<(), StoreError> {
    if !change.has(Table::Members, &pair(organization, user))? {
        resize(change, organization, |size| size.members += 1)?;
        change.put_mark(Table::Memberships, &pair(user, organization))?;
    }
    change.put(Table::Members, &pair(organization, user), &member)
}

/// Takes a user out of an organization and of all its teams; whether it was
/// there. As many rows as the organization may have teams.
pub fn remove_member(change: &mut Change<'_>, organization: &Id, user: &Id) -> Result<bool, StoreError> {
    for of in team::of_user(change, user, organization)? {
        team::remove_member(change, organization, &of, user)?;
    }
    drop_member(change, organization, user)
}

/// Hands the members of an organization from `start` on to `each`, by user id.
pub fn walk_members(
    read: &impl Read,
    organization: &Id,
    start: Option<&Id>,
    mut each: impl FnMut(Id, Member) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    read.walk(Table::Members, &span(organization, start), Order::Forward, |key, value| {
        let user = second(key);
        let member = Member::decode(value).map_err(|why| StoreError::damaged(Table::Members, key, why))?;
        user.map_or(Ok(ControlFlow::Continue(())), |user| each(user, member))
    })
}

/// Hands the organizations of a user from `start` on to `each`, by id.
pub fn walk_of_user(
    read: &impl Read,
    user: &Id,
    start: Option<&Id>,
    mut each: impl FnMut(Id) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    read.walk(Table::Memberships, &span(user, start), Order::Forward, |key, _| {
        second(key).map_or(Ok(ControlFlow::Continue(())), &mut each)
    })
}

/// Removes a slice of what an account that is gone has left: its credentials and
/// robots, its memberships, and where it was an organization its members and
/// teams. How many rows were found; none when all is gone.
pub fn purge(change: &mut Change<'_>, account: &Id) -> Result<usize, StoreError> {
    let credentials = token::purge(change, account)?;
    let credentials = if credentials == 0 { robot::purge(change, account)? } else { credentials };
    if credentials > 0 {
        return Ok(credentials);
    }
    let of_account = Key::new().id(account).prefix();
    let most = limits::BACKGROUND_ROWS;
    let as_user = change.keys(Table::Memberships, &of_account, most)?;
    for organization in as_user.iter().filter_map(|key| second(key)) {
        drop_member(change, &organization, account)?;
    }
    let in_teams = change.keys(Table::UserTeams, &of_account, most - as_user.len())?;
    for key in &in_teams {
        let mut parts = Parts::of(key);
        parts.id();
        if let (Some(organization), Some(of)) = (parts.id(), parts.id()) {
            team::remove_member(change, &organization, &of, account)?;
        }
    }
    let found = as_user.len() + in_teams.len();
    if found > 0 {
        return Ok(found);
    }
    let members = change.keys(Table::Members, &of_account, most)?;
    for user in members.iter().filter_map(|key| second(key)) {
        drop_member(change, account, &user)?;
    }
    if !members.is_empty() {
        return Ok(members.len());
    }
    // One team a slice: it may have as many members as it likes.
    if let Some(of) = change.keys(Table::Teams, &of_account, 1)?.first().and_then(|key| second(key)) {
        let found = team::purge(change, account, &of)?;
        if found == 0 {
            team::remove(change, account, &of)?;
        }
        return Ok(found + 1);
    }
    change.remove(Table::Organizations, &Key::new().id(account))?;
    Ok(0)
}

/// The key under which what an account has left waits to be removed.
pub fn purge_key(account: &Id) -> Key {
    Key::new().text_then("account").id(account)
}

fn drop_member(change: &mut Change<'_>, organization: &Id, user: &Id) -> Result<bool, StoreError> {
    change.remove(Table::Memberships, &pair(user, organization))?;
    let was_there = change.remove(Table::Members, &pair(organization, user))?;
    if was_there {
        resize(change, organization, |size| size.members = size.members.saturating_sub(1))?;
    }
    Ok(was_there)
}

pub(super) fn span(first: &Id, start: Option<&Id>) -> Span {
    let all = Key::new().id(first).prefix();
    start.map_or_else(|| all.clone(), |start| all.clone().starting(&pair(first, start)))
}

/// The second of two ids in a key.
pub(super) fn second(key: &[u8]) -> Option<Id> {
    let mut parts = Parts::of(key);
    parts.id();
    parts.id()
}
