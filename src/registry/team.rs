//! Teams of organizations: made, changed, removed, and who is in them.

use std::ops::ControlFlow;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::limits;
use crate::store::record::{Account, Member, Team};
use crate::store::{Change, Lane, Operation, Read, StoreError, Table, account, audit, organization, team};

use super::account::{known_organization, known_user};
use super::account_removal::purge_all;
use super::caller::Role;
use super::error::settled;
use super::organization::{MemberFilter, MemberShown, Part, part_of_members};
use super::{Caller, Registry, RegistryError};

/// A team and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamShown {
    /// The organization's id.
    pub organization: Id,
    /// The team.
    pub team: Team,
    /// For the teams of a user: whether it is an admin member.
    pub is_admin: bool,
}

/// What a team is made with, or changed to.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    /// Its name.
    pub name: Option<String>,
    /// A line about it.
    pub description: Option<String>,
}

/// Who may change a team.
pub const CHANGES_TEAM: &str = "a system admin, an owner of the organization or an admin member of the team";

/// The team of an organization with this name or id.
pub(super) fn known_team(
    read: &impl Read,
    (organization, account): (&str, &Account),
    name_or_id: &str,
) -> Result<Team, RegistryError> {
    team::find(read, &account.id, name_or_id)?.ok_or_else(|| RegistryError::TeamUnknown {
        team: name_or_id.to_owned(),
        organization: organization.to_owned(),
    })
}

/// A name that a team can have: it stands in paths and in tables, and where it
/// stands an id may stand too.
fn check_name(name: &str) -> Result<(), RegistryError> {
    let fits = !name.is_empty()
        && name.parse::<Id>().is_err()
        && name.len() <= limits::TEAM_NAME_BYTES
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || c == '/');
    if fits { Ok(()) } else { Err(RegistryError::TeamName { name: name.to_owned() }) }
}

fn check_change(
    read: &impl Read,
    (organization, id): (&str, &Id),
    change: &TeamChange,
    of: Option<&Id>,
) -> Result<(), RegistryError> {
    if change.description.as_ref().is_some_and(|text| text.len() > limits::FULL_NAME_BYTES) {
        return Err(RegistryError::TextTooLong);
    }
    let Some(name) = &change.name else { return Ok(()) };
    match team::by_name(read, id, name)? {
        Some(other) if Some(&other) != of => {
            Err(RegistryError::TeamExists { team: name.clone(), organization: organization.to_owned() })
        }
        // Tools send what they read back, and an old name may be one that no
        // team gets any more.
        Some(_) => Ok(()),
        None => check_name(name),
    }
}

struct CreateTeam {
    caller: Caller,
    organization: String,
    name: String,
    description: String,
    id: Id,
}

impl CreateTeam {
    fn allowed(&self, read: &impl Read) -> Result<(String, Id), RegistryError> {
        let (name, account) = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &account.id, Role::Owner)?;
        let change = TeamChange { name: Some(self.name.clone()), description: Some(self.description.clone()) };
        check_change(read, (&name, &account.id), &change, None)?;
        if organization::size(read, &account.id)?.teams >= limits::TEAMS_PER_ORGANIZATION {
            return Err(RegistryError::TooManyTeams { organization: name });
        }
        Ok((name, account.id))
    }
}

impl Operation for CreateTeam {
    type Plan = (String, Id);
    type Done = TeamShown;
    type Refusal = RegistryError;
    const NAME: &'static str = "create team";
    const AUDIT: Audit = Audit::Acts(&[Action::TeamCreate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, (of, organization): Self::Plan, tables: &mut Change<'_>) -> Result<TeamShown, StoreError> {
        let (name, description) = (self.name.clone(), self.description.clone());
        let made = Team { id: self.id, name, description, members: 0, created_at: tables.now() };
        team::put(tables, &organization, &made, None)?;
        let act = of_team(Action::TeamCreate, &of, &made);
        audit::append(tables, &self.caller.actor(), act)?;
        Ok(TeamShown { organization, team: made, is_admin: false })
    }
}

struct UpdateTeam {
    caller: Caller,
    organization: String,
    team: String,
    change: TeamChange,
}

impl UpdateTeam {
    fn allowed(&self, read: &impl Read) -> Result<(String, Id, Team), RegistryError> {
        let (name, account, team) = changeable(read, &self.caller, &self.organization, &self.team)?;
        check_change(read, (&name, &account.id), &self.change, Some(&team.id))?;
        Ok((name, account.id, team))
    }
}

impl Operation for UpdateTeam {
    type Plan = (String, Id, Team);
    type Done = TeamShown;
    type Refusal = RegistryError;
    const NAME: &'static str = "update team";
    const AUDIT: Audit = Audit::Acts(&[Action::TeamUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, (of, organization, before): Self::Plan, tables: &mut Change<'_>) -> Result<TeamShown, StoreError> {
        let mut after = before.clone();
        after.name = self.change.name.clone().unwrap_or(after.name);
        after.description = self.change.description.clone().unwrap_or(after.description);
        team::put(tables, &organization, &after, Some(&before))?;
        let act = of_team(Action::TeamUpdate, &of, &after).changed("name", &before.name, &after.name).changed(
            "description",
            &before.description,
            &after.description,
        );
        if act.tells() {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(TeamShown { organization, team: after, is_admin: false })
    }
}

/// The team, if the caller may change it; a stranger is not told whether it
/// is there.
fn changeable(
    read: &impl Read,
    caller: &Caller,
    organization: &str,
    team: &str,
) -> Result<(String, Account, Team), RegistryError> {
    let (name, account) = known_organization(read, organization)?;
    let found = known_team(read, (&name, &account), team);
    let may = match &found {
        Ok(team) => caller.leads(read, &account.id, &team.id)?,
        Err(_) => caller.role(read, &account.id)?.is_some(),
    };
    if may { Ok((name, account, found?)) } else { Err(RegistryError::NotFor { who: CHANGES_TEAM }) }
}

struct DeleteTeam {
    caller: Caller,
    organization: String,
    team: String,
}

impl DeleteTeam {
    fn allowed(&self, read: &impl Read) -> Result<Option<(String, Id, Team)>, RegistryError> {
        let (name, account) = known_organization(read, &self.organization)?;
        self.caller.require_role(read, &account.id, Role::Owner)?;
        Ok(team::find(read, &account.id, &self.team)?.map(|team| (name, account.id, team)))
    }
}

impl Operation for DeleteTeam {
    type Plan = Option<(String, Id, Team)>;
    /// Whether there was one.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete team";
    const AUDIT: Audit = Audit::Acts(&[Action::TeamDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some((of, organization, gone)) = found else { return Ok(false) };
        team::remove(tables, &organization, &gone.id)?;
        if !purge_all(tables, |tables| team::purge(tables, &organization, &gone.id))? {
            tables.put_mark(Table::Purges, &team::purge_key(&organization, &gone.id))?;
        }
        audit::append(tables, &self.caller.actor(), of_team(Action::TeamDelete, &of, &gone))?;
        Ok(true)
    }
}

/// A user, and the team that it is let into, or taken out of.
struct Placed {
    organization: (String, Id),
    team: Team,
    user: (String, Account),
}

impl Placed {
    fn act(&self, action: Action) -> Act {
        of_team(action, &self.organization.0, &self.team).with("user", &self.user.0)
    }
}

/// Something done to a team.
fn of_team(action: Action, organization: &str, team: &Team) -> Act {
    let name = format_args!("{organization}/{}", team.name);
    Act::new(action, ObjectKind::Team, name).id(team.id).within(organization)
}

struct PutTeamMember {
    caller: Caller,
    organization: String,
    team: String,
    user: String,
    is_admin: Option<bool>,
}

impl PutTeamMember {
    fn allowed(&self, read: &impl Read) -> Result<Placed, RegistryError> {
        let (name, account, team) = changeable(read, &self.caller, &self.organization, &self.team)?;
        Ok(Placed { organization: (name, account.id), team, user: known_user(read, &self.user)? })
    }
}

impl Operation for PutTeamMember {
    type Plan = Placed;
    type Done = MemberShown;
    type Refusal = RegistryError;
    const NAME: &'static str = "put team member";
    const AUDIT: Audit = Audit::Acts(&[Action::TeamMemberAdd, Action::TeamMemberUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, placed: Placed, tables: &mut Change<'_>) -> Result<MemberShown, StoreError> {
        let (organization, team, user) = (&placed.organization.1, &placed.team.id, &placed.user.1);
        let is_stranger = organization::member(tables, organization, &user.id)?.is_none();
        if is_stranger {
            organization::put_member(tables, organization, &user.id, Member::default())?;
        }
        let before = team::member(tables, team, &user.id)?;
        let is_admin = self.is_admin.unwrap_or(before.unwrap_or_default().is_admin);
        team::put_member(tables, (organization, team), &user.id, Member { is_admin })?;
        let act = match before {
            None => Some(placed.act(Action::TeamMemberAdd).with("isAdmin", is_admin)),
            Some(before) if before.is_admin == is_admin => None,
            Some(before) => Some(placed.act(Action::TeamMemberUpdate).changed("isAdmin", before.is_admin, is_admin)),
        };
        if let Some(act) = act {
            // With the team it came into the organization, if it was not there.
            let act = if is_stranger { act.with("member", &placed.organization.0) } else { act };
            audit::append(tables, &self.caller.actor(), act)?;
        }
        let (name, user) = placed.user;
        Ok(MemberShown { name, account: user, is_admin })
    }
}

struct RemoveTeamMember {
    caller: Caller,
    organization: String,
    team: String,
    user: String,
}

impl RemoveTeamMember {
    fn allowed(&self, read: &impl Read) -> Result<Option<Placed>, RegistryError> {
        let (name, account, team) = changeable(read, &self.caller, &self.organization, &self.team)?;
        let found = account::find(read, &self.user)?;
        Ok(found.map(|user| Placed { organization: (name, account.id), team, user }))
    }
}

impl Operation for RemoveTeamMember {
    type Plan = Option<Placed>;
    /// Whether it was one.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "remove team member";
    const AUDIT: Audit = Audit::Acts(&[Action::TeamMemberRemove]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some(placed) = found else { return Ok(false) };
        let was = team::remove_member(tables, &placed.organization.1, &placed.team.id, &placed.user.1.id)?;
        if was {
            audit::append(tables, &self.caller.actor(), placed.act(Action::TeamMemberRemove))?;
        }
        Ok(was)
    }
}

impl Registry {
    /// Makes a team.
    pub async fn create_team(
        &self,
        caller: &Caller,
        organization: &str,
        (name, description): (String, String),
    ) -> Result<TeamShown, RegistryError> {
        let (caller, organization, id) = (caller.clone(), organization.to_owned(), self.store().chance().id());
        self.store().submit(Lane::Foreground, CreateTeam { caller, organization, name, description, id }).await?
    }

    /// Changes a team's name or description.
    pub async fn update_team(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        change: TeamChange,
    ) -> Result<TeamShown, RegistryError> {
        let (caller, organization, team) = (caller.clone(), organization.to_owned(), team.to_owned());
        self.store().submit(Lane::Foreground, UpdateTeam { caller, organization, team, change }).await?
    }

    /// Removes a team; whether there was one.
    pub async fn delete_team(&self, caller: &Caller, organization: &str, team: &str) -> Result<bool, RegistryError> {
        let (caller, organization, team) = (caller.clone(), organization.to_owned(), team.to_owned());
        self.store().submit(Lane::Foreground, DeleteTeam { caller, organization, team }).await?
    }

    /// Lets a user into a team, and into its organization where it is not a
    /// member yet; or changes its place there.
    pub async fn put_team_member(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        user: &str,
        is_admin: Option<bool>,
    ) -> Result<MemberShown, RegistryError> {
        let (organization, team, user) = (organization.to_owned(), team.to_owned(), user.to_owned());
        let operation = PutTeamMember { caller: caller.clone(), organization, team, user, is_admin };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Takes a user out of a team; it stays in the organization. Whether it
    /// was in it.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        user: &str,
    ) -> Result<bool, RegistryError> {
        let (organization, team, user) = (organization.to_owned(), team.to_owned(), user.to_owned());
        let operation = RemoveTeamMember { caller: caller.clone(), organization, team, user };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Teams of an organization, by name from `start` on: up to `size`, the
    /// name of the next, and how many there are.
    pub fn teams(
        &self,
        caller: &Caller,
        organization: &str,
        (start, size): (Option<&str>, usize),
    ) -> Result<(Vec<TeamShown>, Option<String>, u64), RegistryError> {
        let read = self.store().snapshot()?;
        let (_, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let (mut found, mut next) = (Vec::new(), None);
        team::walk(&read, &account.id, start, |team| {
            if found.len() == size {
                next = Some(team.name);
                return Ok(ControlFlow::Break(()));
            }
            found.push(TeamShown { organization: account.id, team, is_admin: false });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, next, organization::size(&read, &account.id)?.teams))
    }

    /// One team.
    pub fn team(&self, caller: &Caller, organization: &str, team: &str) -> Result<TeamShown, RegistryError> {
        let read = self.store().snapshot()?;
        let (name, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let team = known_team(&read, (&name, &account), team)?;
        Ok(TeamShown { organization: account.id, team, is_admin: false })
    }

    /// Refuses a caller that may not change a team.
    pub fn require_team(&self, caller: &Caller, organization: &str, team: &str) -> Result<(), RegistryError> {
        changeable(&self.store().snapshot()?, caller, organization, team).map(drop)
    }

    /// Members of a team, by user id.
    pub fn team_members(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        (filter, start, size): (MemberFilter, Option<&Id>, usize),
    ) -> Result<Part<MemberShown>, RegistryError> {
        let read = self.store().snapshot()?;
        let (name, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let team = known_team(&read, (&name, &account), team)?;
        part_of_members(&read, (filter, start, size), |read, take| {
            team::walk_members(read, &team.id, None, |user, member| {
                take(user, member);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// A user's place in a team.
    pub fn team_member(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        user: &str,
    ) -> Result<MemberShown, RegistryError> {
        let read = self.store().snapshot()?;
        let (name, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let team = known_team(&read, (&name, &account), team)?;
        let (user, found) = known_user(&read, user)?;
        match team::member(&read, &team.id, &found.id)? {
            Some(member) => Ok(MemberShown { name: user, account: found, is_admin: member.is_admin }),
            None => Err(RegistryError::MemberUnknown { user, of: format!("{name}/{}", team.name) }),
        }
    }

    /// The teams of an organization that a user belongs to, by id.
    pub fn teams_of(
        &self,
        caller: &Caller,
        (organization, user): (&str, &str),
        (start, size): (Option<&Id>, usize),
    ) -> Result<Part<TeamShown>, RegistryError> {
        let read = self.store().snapshot()?;
        let (_, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let (_, user) = known_user(&read, user)?;
        let mut found = Vec::new();
        for id in team::of_user(&read, &user.id, &account.id)? {
            if let Some(team) = team::get(&read, &account.id, &id)? {
                let is_admin = team::member(&read, &id, &user.id)?.is_some_and(|member| member.is_admin);
                found.push(TeamShown { organization: account.id, team, is_admin });
            }
        }
        let count = found.len();
        found.retain(|shown| start.is_none_or(|start| shown.team.id >= *start));
        let next = found.get(size).map(|shown| shown.team.id);
        found.truncate(size);
        Ok(Part { entries: found, next, count })
    }
}
