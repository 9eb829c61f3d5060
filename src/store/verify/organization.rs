//! Members, teams and grants: both directions of every index, and the counts.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::Check;
use crate::chance::Id;
use crate::store::record::{Grant, Member, OrganizationSize, Settings, Team};
use crate::store::{Key, Order, Parts, Read as _, RepoId, Snapshot, Span, StoreError, Table, account, organization};
use crate::store::{grant, repo, team};

/// Two ids of a key; an id that nothing has where there is none.
fn ids(key: &[u8]) -> (Id, Id) {
    let mut parts = Parts::of(key);
    let nothing = Id::from_bytes([u8::MAX; 16]);
    (parts.id().unwrap_or(nothing), parts.id().unwrap_or(nothing))
}

/// Whether an account is there, or has left rows that are being removed.
fn is_known(read: &Snapshot, id: &Id) -> Result<bool, StoreError> {
    Ok(account::name_of(read, id)?.is_some() || read.has(Table::Purges, &organization::purge_key(id))?)
}

/// Whether a team is there, or has left rows that are being removed.
fn is_known_team(read: &Snapshot, of: &Id, id: &Id) -> Result<bool, StoreError> {
    Ok(team::exists(read, of, id)?
        || read.has(Table::Purges, &team::purge_key(of, id))?
        || read.has(Table::Purges, &organization::purge_key(of))?)
}

impl Check<'_> {
    /// Everything about organizations.
    pub(super) fn organizations(&mut self) -> Result<(), StoreError> {
        self.members()?;
        self.teams()?;
        self.team_members()?;
        self.grants()?;
        self.each::<Settings>(Table::Settings, |_, _, _| Ok(()))
    }

    fn members(&mut self) -> Result<(), StoreError> {
        let mut counted: HashMap<Id, u64> = HashMap::new();
        self.each::<Member>(Table::Members, |check, key, _| {
            let (of, user) = ids(key);
            *counted.entry(of).or_default() += 1;
            if !check.read.has(Table::Memberships, &Key::new().id(&user).id(&of))? {
                check.report.find("missing index row", format!("user {user} as a member of {of}"));
            }
            if !is_known(check.read, &of)? || !is_known(check.read, &user)? {
                check.report.find("stray member", format!("user {user} in organization {of}"));
            }
            Ok(())
        })?;
        self.keys(Table::Memberships, |read, key| {
            let (user, of) = ids(key);
            read.has(Table::Members, &Key::new().id(&of).id(&user))
        })?;
        let read = self.read;
        self.each::<OrganizationSize>(Table::Organizations, |check, key, size| {
            let (id, _) = ids(key);
            if !is_known(read, &id)? {
                check.report.find("stray organization", format!("the size of {id}"));
            }
            let mut teams = 0;
            team::walk(read, &id, None, |_| {
                teams += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            let found = OrganizationSize { members: counted.remove(&id).unwrap_or(0), teams };
            if size != found {
                check.report.find("organization not in step", format!("{id} says {size:?} and has {found:?}"));
            }
            Ok(())
        })?;
        for (id, _) in counted {
            self.report.find("organization not in step", format!("{id} has members and no size"));
        }
        Ok(())
    }

    fn teams(&mut self) -> Result<(), StoreError> {
        let read = self.read;
        self.each::<Team>(Table::Teams, |check, key, record| {
            let (of, id) = ids(key);
            let named = team::by_name(read, &of, &record.name)?;
            if record.id != id || named != Some(id) {
                check.report.find("team name", format!("{} of {of} leads elsewhere", record.name));
            }
            if !is_known(read, &of)? {
                check.report.find("stray team", format!("{} of {of}", record.name));
            }
            let mut members = 0;
            team::walk_members(read, &id, None, |_, _| {
                members += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            if record.members != members {
                let (name, says) = (&record.name, record.members);
                check.report.find("team not in step", format!("{name} of {of} says {says} members and has {members}"));
            }
            Ok(())
        })?;
        read.walk(Table::TeamNames, &Span::all(), Order::Forward, |key, value| {
            self.report.count(Table::TeamNames.name());
            let mut parts = Parts::of(key);
            let (of, name) = (parts.id(), parts.text());
            let fits = match (of, Parts::of(value).id()) {
                (Some(of), Some(id)) => team::get(read, &of, &id)?.is_some_and(|team| Some(&*team.name) == name),
                _ => false,
            };
            if !fits {
                self.report.find("stray index row", format!("team_names {}", hex::encode(key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// A team's id says nothing of its organization, so the two directions are
    /// held against each other by their rows and by their number.
    fn team_members(&mut self) -> Result<(), StoreError> {
        let (mut of_teams, mut of_users) = (0_u64, 0_u64);
        self.each::<Member>(Table::TeamMembers, |_, _, _| {
            of_teams += 1;
            Ok(())
        })?;
        self.keys(Table::UserTeams, |read, key| {
            of_users += 1;
            let (user, of) = ids(key);
            let id = Parts::of(key.get(32..).unwrap_or_default()).id();
            let Some(id) = id else { return Ok(false) };
            let is_member = read.has(Table::Members, &Key::new().id(&of).id(&user))?
                || read.has(Table::Purges, &organization::purge_key(&user))?
                || read.has(Table::Purges, &organization::purge_key(&of))?;
            Ok(is_member
                && read.has(Table::TeamMembers, &Key::new().id(&id).id(&user))?
                && is_known_team(read, &of, &id)?)
        })?;
        if of_teams != of_users {
            self.report.find("missing index row", format!("teams have {of_teams} members, users {of_users} teams"));
        }
        Ok(())
    }

    fn grants(&mut self) -> Result<(), StoreError> {
        let read = self.read;
        self.each::<Grant>(Table::NamespaceGrants, |check, key, _| {
            let (of, id) = ids(key);
            if !team::exists(read, &of, &id)? {
                check.report.find("stray grant", format!("team {id} on the namespace of {of}"));
            }
            Ok(())
        })?;
        self.each::<Grant>(Table::RepositoryGrants, |check, key, _| {
            let mut parts = Parts::of(key);
            let (Some(number), Some(id)) = (parts.repo(), parts.id()) else {
                check.report.find("damaged key", format!("repository_grants {}", hex::encode(key)));
                return Ok(());
            };
            let back = match repo::name_of(read, number)? {
                Some(name) => read.with(Table::TeamGrants, &Key::new().id(&id).text(name.as_str()), |value| {
                    Parts::of(value).repo() == Some(number)
                })?,
                None => None,
            };
            if back != Some(true) {
                check.report.find("missing index row", format!("repository {} as granted to team {id}", number.0));
            }
            Ok(())
        })?;
        read.walk(Table::TeamGrants, &Span::all(), Order::Forward, |key, value| {
            self.report.count(Table::TeamGrants.name());
            let fits = match (Parts::of(key).id(), Parts::of(value).repo()) {
                (Some(id), Some(number)) => is_granted(read, &id, number)?,
                _ => false,
            };
            if !fits {
                self.report.find("stray index row", format!("team_grants {}", hex::encode(key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

fn is_granted(read: &Snapshot, id: &Id, number: RepoId) -> Result<bool, StoreError> {
    Ok(grant::of_repository(read, number, id)?.is_some())
}
