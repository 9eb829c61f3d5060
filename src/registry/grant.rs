//! What teams may do with the repositories of their organization, and what any
//! account may do in the end.

use std::ops::ControlFlow;

use crate::access::Level;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::oci::RepoName;
use crate::store::record::{Account, Repository, Team};
use crate::store::{Change, Lane, Operation, Read, StoreError, account, audit, grant, repo, team};

use super::account::{known, known_organization};
use super::caller::Role;
use super::error::settled;
use super::organization::Part;
use super::team::known_team;
use super::{Caller, Registry, RegistryError};

/// A team with what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamAccess {
    /// The team.
    pub team: Team,
    /// How much.
    pub level: Level,
    /// Whether the caller is in the team.
    pub is_mine: bool,
}

/// A repository with what a team, or an account, may do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryAccess {
    /// Its name.
    pub name: RepoName,
    /// The repository.
    pub repository: Repository,
    /// How much.
    pub level: Level,
}

/// Where a grant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One repository.
    Repository(RepoName),
    /// A whole namespace.
    Namespace(String),
}

/// A place that was looked up: the organization that owns it, and the
/// repository if it is one.
struct Owned {
    organization: (String, Account),
    repository: Option<(RepoName, Repository)>,
}

impl Owned {
    /// A team's level here that changed.
    fn act(&self, team: &Team, before: Option<Level>, after: Option<Level>) -> Act {
        let action = if after.is_some() { Action::GrantSet } else { Action::GrantRemove };
        let (namespace, account) = &self.organization;
        let act = match &self.repository {
            Some((name, repository)) => Act::new(action, ObjectKind::Repository, name).id(repository.id),
            None => Act::new(action, ObjectKind::Namespace, namespace).id(account.id),
        };
        let word = |level: Option<Level>| level.map(|level| level.as_str().to_owned());
        act.within(namespace).with("team", &team.name).detail("accessLevel", word(before), word(after))
    }
}

impl Place {
    /// Looks it up for somebody who needs `needed` there.
    fn find(&self, read: &impl Read, caller: &Caller, needed: Level) -> Result<Owned, RegistryError> {
        match self {
            Self::Repository(name) => {
                let repository = caller.require(read, name, needed)??;
                let namespace = name.namespace();
                let owner = account::get(read, namespace)?.filter(|account| account.is_org);
                let Some(owner) = owner else {
                    return Err(RegistryError::NoOrganization { namespace: namespace.to_owned() });
                };
                Ok(Owned { organization: (namespace.to_owned(), owner), repository: Some((name.clone(), repository)) })
            }
            Self::Namespace(name_or_id) => {
                let (name, account) = known(read, name_or_id)?;
                let is_member = caller.role(read, &account.id)?.is_some();
                let level = caller.level(read, &name, None)?;
                if !(level >= Some(needed) || needed == Level::ReadOnly && is_member) {
                    return Err(RegistryError::NotFor { who: "an admin of the namespace" });
                }
                if !account.is_org {
                    return Err(RegistryError::NoOrganization { namespace: name });
                }
                Ok(Owned { organization: (name, account), repository: None })
            }
        }
    }
}

/// Gives a team a level at a place, or takes it away.
struct PutGrant {
    caller: Caller,
    place: Place,
    team: String,
    level: Option<Level>,
}

impl PutGrant {
    fn allowed(&self, read: &impl Read) -> Result<Option<(Owned, Team)>, RegistryError> {
        let owned = self.place.find(read, &self.caller, Level::Admin)?;
        let (name, account) = &owned.organization;
        match known_team(read, (name, account), &self.team) {
            Ok(team) => Ok(Some((owned, team))),
            // What is not there has no grant: taken away already.
            Err(RegistryError::TeamUnknown { .. }) if self.level.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Operation for PutGrant {
    type Plan = Option<(Owned, Team)>;
    /// The grant's team; none when there is no such team.
    type Done = Option<Team>;
    type Refusal = RegistryError;
    const NAME: &'static str = "put grant";
    const AUDIT: Audit = Audit::Acts(&[Action::GrantSet, Action::GrantRemove]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let Some((owned, team)) = found else { return Ok(None) };
        let before = match &owned.repository {
            Some((name, repository)) => {
                let before = grant::of_repository(tables, repository.number, &team.id)?;
                grant::put_on_repository(tables, (name, repository.number), &team.id, self.level)?;
                before
            }
            None => {
                let before = grant::of_namespace(tables, &owned.organization.1.id, &team.id)?;
                grant::put_on_namespace(tables, &owned.organization.1.id, &team.id, self.level)?;
                before
            }
        };
        if before != self.level {
            audit::append(tables, &self.caller.actor(), owned.act(&team, before, self.level))?;
        }
        Ok(Some(team))
    }
}

impl Registry {
    /// Gives a team a level at a place.
    pub async fn grant(
        &self,
        caller: &Caller,
        place: Place,
        team: &str,
        level: Level,
    ) -> Result<TeamAccess, RegistryError> {
        let operation = PutGrant { caller: caller.clone(), place, team: team.to_owned(), level: Some(level) };
        let unknown = || RegistryError::TeamUnknown { team: team.to_owned(), organization: String::new() };
        let granted = self.store().submit(Lane::Foreground, operation).await??.ok_or_else(unknown)?;
        let is_mine = self.is_mine(&self.store().snapshot()?, caller, &granted.id)?;
        Ok(TeamAccess { team: granted, level, is_mine })
    }

    /// Takes a team's level at a place away, if it has one.
    pub async fn revoke(&self, caller: &Caller, place: Place, team: &str) -> Result<(), RegistryError> {
        let operation = PutGrant { caller: caller.clone(), place, team: team.to_owned(), level: None };
        self.store().submit(Lane::Foreground, operation).await?.map(drop)
    }

    /// The teams that have a level at a place, by id.
    pub fn teams_with_access(
        &self,
        caller: &Caller,
        place: &Place,
        (start, size): (Option<&Id>, usize),
    ) -> Result<Part<TeamAccess>, RegistryError> {
        let read = self.store().snapshot()?;
        let needed = match place {
            Place::Repository(_) => Level::Admin,
            Place::Namespace(_) => Level::ReadOnly,
        };
        let owned = match place.find(&read, caller, needed) {
            // A user's repository has no teams.
            Err(RegistryError::NoOrganization { .. }) if matches!(place, Place::Repository(_)) => {
                return Ok(Part { entries: Vec::new(), next: None, count: 0 });
            }
            owned => owned?,
        };
        let organization = &owned.organization.1.id;
        let mut all = Vec::new();
        let take = |team: Id, level: Level| {
            all.push((team, level));
            Ok(ControlFlow::Continue(()))
        };
        match &owned.repository {
            Some((_, repository)) => grant::walk_of_repository(&read, repository.number, None, take)?,
            None => grant::walk_of_namespace(&read, organization, None, take)?,
        }
        let mut found = Vec::new();
        for (id, level) in all {
            if let Some(team) = team::get(&read, organization, &id)? {
                found.push(TeamAccess { is_mine: self.is_mine(&read, caller, &id)?, team, level });
            }
        }
        let count = found.len();
        found.retain(|shown| start.is_none_or(|start| shown.team.id >= *start));
        let next = found.get(size).map(|shown| shown.team.id);
        found.truncate(size);
        Ok(Part { entries: found, next, count })
    }

    /// What a team may do in its whole namespace.
    pub fn namespace_access(&self, caller: &Caller, namespace: &str, team: &str) -> Result<TeamAccess, RegistryError> {
        let read = self.store().snapshot()?;
        let owned = Place::Namespace(namespace.to_owned()).find(&read, caller, Level::ReadOnly)?;
        let (name, account) = &owned.organization;
        let team = known_team(&read, (name, account), team)?;
        match grant::of_namespace(&read, &account.id, &team.id)? {
            Some(level) => Ok(TeamAccess { is_mine: self.is_mine(&read, caller, &team.id)?, team, level }),
            None => Err(RegistryError::GrantUnknown { team: team.name, namespace: name.clone() }),
        }
    }

    /// The repositories that a team has a grant of its own on, by name: up to
    /// `size` from `start` on, and the name of the next. Owners and the team's
    /// members see all, other members those that they may see anyway.
    pub fn repositories_of_team(
        &self,
        caller: &Caller,
        (organization, team): (&str, &str),
        (start, size): (Option<&str>, usize),
    ) -> Result<(TeamAccess, Vec<RepositoryAccess>, Option<RepoName>), RegistryError> {
        let read = self.store().snapshot()?;
        let (name, account) = known_organization(&read, organization)?;
        caller.require_role(&read, &account.id, Role::Member)?;
        let team = known_team(&read, (&name, &account), team)?;
        let is_mine = self.is_mine(&read, caller, &team.id)?;
        let sees_all = is_mine || caller.role(&read, &account.id)? == Some(Role::Owner);
        let (mut found, mut next) = (Vec::new(), None);
        grant::walk_of_team(&read, &team.id, None, |name, number| {
            if start.is_some_and(|start| name.as_str() < start) {
                return Ok(ControlFlow::Continue(()));
            }
            let repository = repo::get(&read, &name)?.filter(|repository| repository.number == number);
            if !sees_all && caller.level(&read, name.namespace(), repository.as_ref())?.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            if found.len() == size {
                next = Some(name);
                return Ok(ControlFlow::Break(()));
            }
            if let Some((repository, level)) = repository.zip(grant::of_repository(&read, number, &team.id)?) {
                found.push(RepositoryAccess { name, repository, level });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let level = grant::of_namespace(&read, &account.id, &team.id)?.unwrap_or(Level::ReadOnly);
        Ok((TeamAccess { team, level, is_mine }, found, next))
    }

    /// What an account may do with a repository in the end: for system admins,
    /// admins of the repository, and the account itself.
    pub fn access_of(
        &self,
        caller: &Caller,
        account: &str,
        repository: &RepoName,
    ) -> Result<(String, Account, RepositoryAccess), RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mine = caller.level(&read, repository.namespace(), Some(&record))?;
        let found = known(&read, account);
        let is_self = match &found {
            Ok((_, account)) => caller.is(&read, &account.id)?,
            Err(_) => false,
        };
        if !is_self && mine < Some(Level::Admin) {
            return Err(RegistryError::NotFor { who: "a system admin, an admin of the repository or the user" });
        }
        let (name, account) = found?;
        let asked = Caller::account_of(account.id, name.clone());
        match asked.level(&read, repository.namespace(), Some(&record))? {
            Some(level) => {
                Ok((name, account, RepositoryAccess { name: repository.clone(), repository: record, level }))
            }
            None => Err(RegistryError::NoAccess { account: name, repository: repository.clone() }),
        }
    }

    fn is_mine(&self, read: &impl Read, caller: &Caller, team: &Id) -> Result<bool, RegistryError> {
        match caller {
            Caller::Account { id, .. } => Ok(team::member(read, team, id)?.is_some()),
            Caller::System | Caller::Robot { .. } | Caller::Anonymous => Ok(false),
        }
    }
}
