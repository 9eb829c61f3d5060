//! Members of organizations: let in, shown, taken out.

use std::ops::ControlFlow;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::store::record::{Account, Member};
use crate::store::{Change, Lane, Operation, Read, StoreError, account, audit, organization};

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
    fn allowed(&self, read: &impl Read) -> Result<Placed, RegistryError> {
        let organization = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &organization.1.id, Role::Owner)?;
        Ok(Placed { organization, user: known_user(read, &self.user)? })
    }
}

impl Operation for PutMember {
    type Plan = Placed;
    type Done = MemberShown;
    type Refusal = RegistryError;
    const NAME: &'static str = "put member";
    const AUDIT: Audit = Audit::Acts(&[Action::MemberAdd, Action::MemberUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, placed: Placed, tables: &mut Change<'_>) -> Result<MemberShown, StoreError> {
        let (id, user) = (placed.organization.1.id, &placed.user.1);
        let before = organization::member(tables, &id, &user.id)?;
        let is_admin = self.is_admin.unwrap_or(before.unwrap_or_default().is_admin);
        organization::put_member(tables, &id, &user.id, Member { is_admin })?;
        let act = match before {
            None => Some(placed.act(Action::MemberAdd).with("isAdmin", is_admin)),
            Some(before) if before.is_admin == is_admin => None,
            Some(before) => Some(placed.act(Action::MemberUpdate).changed("isAdmin", before.is_admin, is_admin)),
        };
        if let Some(act) = act {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        let (name, user) = placed.user;
        Ok(MemberShown { name, account: user, is_admin })
    }
}

/// A user, and the organization that it is let into, or taken out of.
struct Placed {
    organization: (String, Account),
    user: (String, Account),
}

impl Placed {
    fn act(&self, action: Action) -> Act {
        let (name, organization) = &self.organization;
        let act = Act::new(action, ObjectKind::Organization, name).id(organization.id).within(name);
        act.with("user", &self.user.0)
    }
}

impl RemoveMember {
    fn allowed(&self, read: &impl Read) -> Result<Option<Placed>, RegistryError> {
        let organization = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &organization.1.id, Role::Owner)?;
        Ok(account::find(read, &self.user)?.map(|user| Placed { organization, user }))
    }
}

impl Operation for RemoveMember {
    type Plan = Option<Placed>;
    /// Whether it was one.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "remove member";
    const AUDIT: Audit = Audit::Acts(&[Action::MemberRemove]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some(placed) = found else { return Ok(false) };
        let was = organization::remove_member(tables, &placed.organization.1.id, &placed.user.1.id)?;
        if was {
            audit::append(tables, &self.caller.actor(), placed.act(Action::MemberRemove))?;
        }
        Ok(was)
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
