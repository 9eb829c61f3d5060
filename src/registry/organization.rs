//! Members of organizations: let in, shown, taken out.

use std::ops::ControlFlow;

use crate::chance::Id;
use crate::store::record::{Account, Member};
use crate::store::{Change, Lane, Operation, Read, StoreError, account, organization};

use super::account::{known_organization, known_user};
use super::caller::Role;
use super::error::settled;
use super::{Caller, Registry, RegistryError};

/// A member of an organization or a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberShown {
    /// The user's name.
    pub name: String,
    /// The user.
    pub account: Account,
    /// An owner of the organization; in a team, who may change the team.
    pub is_admin: bool,
}

/// Which members are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberFilter {
    /// All of them.
    #[default]
    All,
    /// Those who are admins there.
    Admins,
    /// Those who are not.
    NonAdmins,
}

/// A part of a list that is sorted by ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// What is in it.
    pub entries: Vec<T>,
    /// The key of the first entry behind it.
    pub next: Option<Id>,
    /// How many there are in all.
    pub count: usize,
}

/// Who may see an organization's members and teams.
pub const SEES_ORGANIZATION: &str = "a system admin or a member of the organization";
/// Who may change an organization.
pub const CHANGES_ORGANIZATION: &str = "a system admin or an owner of the organization";

impl MemberFilter {
    /// Whether a member is listed.
    pub const fn takes(self, member: Member) -> bool {
        match self {
            Self::All => true,
            Self::Admins => member.is_admin,
            Self::NonAdmins => !member.is_admin,
        }
    }
}

impl Caller {
    /// Refuses one that is not at least `needed` in an organization.
    pub fn require_role(&self, read: &impl Read, organization: &Id, needed: Role) -> Result<(), RegistryError> {
        if self.role(read, organization)? >= Some(needed) {
            return Ok(());
        }
        let who = match needed {
            Role::Member => SEES_ORGANIZATION,
            Role::Owner => CHANGES_ORGANIZATION,
        };
        Err(RegistryError::NotFor { who })
    }
}

struct PutMember {
    caller: Caller,
    organization: String,
    user: String,
    is_admin: Option<bool>,
}

struct RemoveMember {
    caller: Caller,
    organization: String,
    user: String,
}

impl PutMember {
    fn allowed(&self, read: &impl Read) -> Result<(Id, String, Account), RegistryError> {
        let (_, organization) = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &organization.id, Role::Owner)?;
        let (name, user) = known_user(read, &self.user)?;
        Ok((organization.id, name, user))
    }
}

impl Operation for PutMember {
    type Plan = (Id, String, Account);
    type Done = MemberShown;
    type Refusal = RegistryError;
    const NAME: &'static str = "put member";

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, (id, name, user): Self::Plan, tables: &mut Change<'_>) -> Result<MemberShown, StoreError> {
        let before = organization::member(tables, &id, &user.id)?.unwrap_or_default();
        let is_admin = self.is_admin.unwrap_or(before.is_admin);
        organization::put_member(tables, &id, &user.id, Member { is_admin })?;
        Ok(MemberShown { name, account: user, is_admin })
    }
}

impl RemoveMember {
    fn allowed(&self, read: &impl Read) -> Result<Option<(Id, Id)>, RegistryError> {
        let (_, organization) = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &organization.id, Role::Owner)?;
        Ok(account::find(read, &self.user)?.map(|(_, user)| (organization.id, user.id)))
    }
}

impl Operation for RemoveMember {
    type Plan = Option<(Id, Id)>;
    /// Whether it was one.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "remove member";
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        match found {
            Some((organization, user)) => organization::remove_member(tables, &organization, &user),
            None => Ok(false),
        }
    }
}

/// The part of a list of members that begins at `start`, of the members that
/// `walk` hands out.
pub(super) fn part_of_members<R: Read>(
    read: &R,
    (filter, start, size): (MemberFilter, Option<&Id>, usize),
    walk: impl FnOnce(&R, &mut dyn FnMut(Id, Member)) -> Result<(), StoreError>,
) -> Result<Part<MemberShown>, RegistryError> {
    let (mut taken, mut next, mut count) = (Vec::new(), None, 0);
    walk(read, &mut |user, member| {
        if !filter.takes(member) {
            return;
        }
        count += 1;
        if start.is_some_and(|start| user < *start) {
            return;
        }
        if taken.len() < size {
            taken.push((user, member));
        } else if next.is_none() {
            next = Some(user);
        }
    })?;
    let mut entries = Vec::with_capacity(taken.len());
    for (user, member) in taken {
        // One that is gone has rows until they are removed.
        if let Some((name, account)) = account::by_id(read, &user)? {
            entries.push(MemberShown { name, account, is_admin: member.is_admin });
        }
    }
    Ok(Part { entries, next, count })
}

impl Registry {
    /// Lets a user into an organization, or changes its place there.
    pub async fn put_member(
        &self,
        caller: &Caller,
        organization: &str,
        user: &str,
        is_admin: Option<bool>,
    ) -> Result<MemberShown, RegistryError> {
        let (caller, organization, user) = (caller.clone(), organization.to_owned(), user.to_owned());
        self.store().submit(Lane::Foreground, PutMember { caller, organization, user, is_admin }).await?
    }

    /// Takes a user out of an organization and all its teams; whether it was
    /// in it.
    pub async fn remove_member(&self, caller: &Caller, organization: &str, user: &str) -> Result<bool, RegistryError> {
        let (caller, organization, user) = (caller.clone(), organization.to_owned(), user.to_owned());
        self.store().submit(Lane::Foreground, RemoveMember { caller, organization, user }).await?
    }

    /// A user's place in an organization: for its members and the user.
    pub fn member(&self, caller: &Caller, organization: &str, user: &str) -> Result<MemberShown, RegistryError> {
        let read = self.store().snapshot()?;
        let (of, organization) = known_organization(&read, organization)?;
        let user = known_user(&read, user);
        let is_self = match &user {
            Ok((_, account)) => caller.is(&read, &account.id)?,
            Err(_) => false,
        };
        if !is_self {
            caller.require_role(&read, &organization.id, Role::Member)?;
        }
        let (name, account) = user?;
        match organization::member(&read, &organization.id, &account.id)? {
            Some(member) => Ok(MemberShown { name, account, is_admin: member.is_admin }),
            None => Err(RegistryError::MemberUnknown { user: name, of }),
        }
    }

    /// Members of an organization, by user id.
    pub fn members(
        &self,
        caller: &Caller,
        organization: &str,
        (filter, start, size): (MemberFilter, Option<&Id>, usize),
    ) -> Result<Part<MemberShown>, RegistryError> {
        let read = self.store().snapshot()?;
        let (_, organization) = known_organization(&read, organization)?;
        caller.require_role(&read, &organization.id, Role::Member)?;
        part_of_members(&read, (filter, start, size), |read, take| {
            organization::walk_members(read, &organization.id, None, |user, member| {
                take(user, member);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// The organizations of a user, by id, and whether it owns each: for the
    /// user and system admins.
    pub fn organizations_of(
        &self,
        caller: &Caller,
        user: &str,
        (start, size): (Option<&Id>, usize),
    ) -> Result<Part<MemberShown>, RegistryError> {
        let read = self.store().snapshot()?;
        let (_, user) = known_user(&read, user)?;
        if !caller.is(&read, &user.id)? && !caller.is_admin(&read)? {
            return Err(RegistryError::NotFor { who: "a system admin or the user" });
        }
        part_of_members(&read, (MemberFilter::All, start, size), |read, take| {
            organization::walk_of_user(read, &user.id, None, |id| {
                take(id, organization::member(read, &id, &user.id)?.unwrap_or_default());
                Ok(ControlFlow::Continue(()))
            })
        })
    }
}
