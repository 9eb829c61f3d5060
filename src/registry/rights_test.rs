//! Rights held against a model: thousands of changes of accounts, members,
//! teams, grants and repositories, and after each group of them what everybody
//! may do, and what everybody is shown, both as the registry says and as a few
//! nested maps say.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::account::{AccountChange, NewAccount};
use super::grant::Place;
use super::repository::Settings;
use super::team::TeamChange;
use super::{Caller, Registry};
use crate::access::Level;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::oci::RepoName;
use crate::oci::page::Page;
use crate::store::verify::{Depth, verify};
use crate::store::{Store, account, repo};

const USERS: [&str; 6] = ["ann", "bob", "cleo", "dora", "eve", "finn"];
const ORGANIZATIONS: [&str; 3] = ["dev", "dev-tools", "qa"];
const TEAMS: [&str; 4] = ["one", "two", "three", "Four 4"];
/// Changes in all, and how many go into the inbox together.
const CHANGES: usize = 6_000;
const TOGETHER: usize = 24;

/// One change.
#[derive(Clone, Debug)]
enum Step {
    CreateUser(&'static str),
    CreateOrganization(&'static str),
    Delete(&'static str),
    Flags(&'static str, bool, bool),
    PutMember(&'static str, &'static str, Option<bool>),
    RemoveMember(&'static str, &'static str),
    CreateTeam(&'static str, &'static str),
    RenameTeam(&'static str, &'static str, &'static str),
    DeleteTeam(&'static str, &'static str),
    PutTeamMember(&'static str, &'static str, &'static str),
    RemoveTeamMember(&'static str, &'static str, &'static str),
    GrantNamespace(&'static str, &'static str, Option<Level>),
    GrantRepository(RepoName, &'static str, Option<Level>),
    CreateRepository(RepoName),
    DeleteRepository(RepoName),
    Publish(RepoName, bool),
}

#[derive(Clone, Debug, Default)]
struct Team {
    members: BTreeSet<&'static str>,
    namespace: Option<Level>,
    repositories: BTreeMap<RepoName, Level>,
}

#[derive(Clone, Debug, Default)]
struct Organization {
    members: BTreeMap<&'static str, bool>,
    teams: BTreeMap<&'static str, Team>,
}

/// What should be.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Admin and active.
    users: BTreeMap<&'static str, (bool, bool)>,
    organizations: BTreeMap<&'static str, Organization>,
    /// Public.
    repositories: BTreeMap<RepoName, bool>,
}

impl Model {
    fn team(&mut self, organization: &str, team: &str) -> Option<&mut Team> {
        self.organizations.get_mut(organization)?.teams.get_mut(team)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::CreateUser(name) => {
                self.users.entry(name).or_insert((false, true));
            }
            Step::CreateOrganization(name) => {
                self.organizations.entry(name).or_default();
            }
            Step::Delete(name) => {
                self.users.remove(name);
                self.organizations.remove(name);
                for organization in self.organizations.values_mut() {
                    organization.members.remove(name);
                    for team in organization.teams.values_mut() {
                        team.members.remove(name);
                    }
                }
            }
            Step::Flags(name, admin, active) => {
                if let Some(user) = self.users.get_mut(name) {
                    *user = (*admin, *active);
                }
            }
            Step::PutMember(organization, user, admin) => {
                let is_there = self.users.contains_key(user);
                if let Some(organization) = self.organizations.get_mut(organization).filter(|_| is_there) {
                    let member = organization.members.entry(user).or_default();
                    *member = admin.unwrap_or(*member);
                }
            }
            Step::RemoveMember(organization, user) => {
                if let Some(organization) = self.organizations.get_mut(organization) {
                    organization.members.remove(user);
                    for team in organization.teams.values_mut() {
                        team.members.remove(user);
                    }
                }
            }
            Step::CreateTeam(organization, team) => {
                if let Some(organization) = self.organizations.get_mut(organization) {
                    organization.teams.entry(team).or_default();
                }
            }
            Step::RenameTeam(organization, team, name) => {
                if let Some(organization) = self.organizations.get_mut(organization)
                    && !organization.teams.contains_key(name)
                    && let Some(team) = organization.teams.remove(team)
                {
                    organization.teams.insert(name, team);
                }
            }
            Step::DeleteTeam(organization, team) => {
                if let Some(organization) = self.organizations.get_mut(organization) {
                    organization.teams.remove(team);
                }
            }
            Step::PutTeamMember(organization, team, user) => {
                let is_there = self.users.contains_key(user);
                if let Some(organization) = self.organizations.get_mut(organization).filter(|_| is_there)
                    && let Some(team) = organization.teams.get_mut(team)
                {
                    team.members.insert(user);
                    organization.members.entry(user).or_default();
                }
            }
            Step::RemoveTeamMember(organization, team, user) => {
                if let Some(team) = self.team(organization, team) {
                    team.members.remove(user);
                }
            }
            Step::GrantNamespace(organization, team, level) => {
                if let Some(team) = self.team(organization, team) {
                    team.namespace = *level;
                }
            }
            Step::GrantRepository(name, team, level) => {
                let is_there = self.repositories.contains_key(name);
                if is_there && let Some(team) = self.team(name.namespace(), team) {
                    match level {
                        Some(level) => team.repositories.insert(name.clone(), *level),
                        None => team.repositories.remove(name),
                    };
                }
            }
            Step::CreateRepository(name) => {
                let namespace = name.namespace();
                if self.users.contains_key(namespace) || self.organizations.contains_key(namespace) {
                    self.repositories.entry(name.clone()).or_default();
                }
            }
            Step::DeleteRepository(name) => {
                self.repositories.remove(name);
                for team in self.organizations.values_mut().flat_map(|of| of.teams.values_mut()) {
                    team.repositories.remove(name);
                }
            }
            Step::Publish(name, public) => {
                if let Some(repository) = self.repositories.get_mut(name) {
                    *repository = *public;
                }
            }
        }
    }

    /// What a user may do with a repository that is there.
    fn level(&self, user: &str, name: &RepoName) -> Option<Level> {
        let (admin, active) = *self.users.get(user)?;
        if !active {
            return None;
        }
        if admin || user == name.namespace() {
            return Some(Level::Admin);
        }
        let mut levels: Vec<Level> = Vec::new();
        levels.extend(self.repositories[name].then_some(Level::ReadOnly));
        if let Some(organization) = self.organizations.get(name.namespace()) {
            levels.extend((organization.members.get(user) == Some(&true)).then_some(Level::Admin));
            for team in organization.teams.values().filter(|team| team.members.contains(user)) {
                levels.extend(team.namespace);
                levels.extend(team.repositories.get(name));
            }
        }
        levels.into_iter().max()
    }
}

/// Chooses changes.
struct Dice(Chance);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.next() % bound as u64).expect("below the bound")
    }

    fn of<T: Clone>(&self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn level(&self) -> Option<Level> {
        self.of(&[None, Some(Level::ReadOnly), Some(Level::ReadWrite), Some(Level::Admin)])
    }

    fn repository(&self) -> RepoName {
        let namespace = self.of(&["ann", "bob", "dev", "dev", "dev-tools", "dev-tools", "qa"]);
        format!("{namespace}/{}", self.of(&["app", "site", "tool/box"])).parse().expect("a name")
    }

    fn step(&self) -> Step {
        let (user, organization, team) = (self.of(&USERS), self.of(&ORGANIZATIONS), self.of(&TEAMS));
        match self.below(40) {
            0..4 => Step::CreateUser(user),
            4..6 => Step::CreateOrganization(organization),
            6 if self.below(3) == 0 => Step::Delete(user),
            7 => {
                // Seldom: with an organization goes much of what is of interest.
                if self.below(6) == 0 { Step::Delete(organization) } else { Step::CreateOrganization(organization) }
            }
            8 => Step::Flags(user, self.below(6) == 0, self.below(5) > 0),
            9..12 => Step::PutMember(organization, user, self.of(&[None, Some(false), Some(false), Some(true)])),
            12 if self.below(2) == 0 => Step::RemoveMember(organization, user),
            12 => Step::PutTeamMember(organization, team, user),
            13..16 => Step::CreateTeam(organization, team),
            16 => Step::RenameTeam(organization, team, self.of(&TEAMS)),
            17 if self.below(3) == 0 => Step::DeleteTeam(organization, team),
            6 | 17 => Step::CreateTeam(organization, team),
            18..23 => Step::PutTeamMember(organization, team, user),
            23..25 => Step::RemoveTeamMember(organization, team, user),
            25..27 => Step::GrantNamespace(organization, team, self.level()),
            27..32 => Step::GrantRepository(self.repository(), team, self.level()),
            32..36 => Step::CreateRepository(self.repository()),
            36 => Step::DeleteRepository(self.repository()),
            _ => Step::Publish(self.repository(), self.below(3) == 0),
        }
    }
}

/// Does one change; that it is refused where it makes no sense is the model's
/// to know.
async fn run(registry: &Registry, step: Step) {
    let caller = &Caller::System;
    let make = |name: &str, is_org| NewAccount {
        name: name.to_owned(),
        full_name: String::new(),
        is_org,
        is_admin: false,
        is_active: true,
        password_hash: None,
    };
    match step {
        Step::CreateUser(name) => drop(registry.create_account(caller, make(name, false)).await),
        Step::CreateOrganization(name) => drop(registry.create_account(caller, make(name, true)).await),
        Step::Delete(name) => drop(registry.delete_account(caller, name).await.expect("is done")),
        Step::Flags(name, is_admin, is_active) => {
            let change = AccountChange { full_name: None, is_admin: Some(is_admin), is_active: Some(is_active) };
            drop(registry.update_account(caller, name, change).await);
        }
        Step::PutMember(of, user, admin) => drop(registry.put_member(caller, of, user, admin).await),
        Step::RemoveMember(of, user) => drop(registry.remove_member(caller, of, user).await),
        Step::CreateTeam(of, team) => drop(registry.create_team(caller, of, (team.into(), String::new())).await),
        Step::RenameTeam(of, team, name) => {
            let change = TeamChange { name: Some(name.to_owned()), description: None };
            drop(registry.update_team(caller, (of, team), change).await);
        }
        Step::DeleteTeam(of, team) => drop(registry.delete_team(caller, of, team).await),
        Step::PutTeamMember(of, team, user) => drop(registry.put_team_member(caller, (of, team), user, None).await),
        Step::RemoveTeamMember(of, team, user) => drop(registry.remove_team_member(caller, (of, team), user).await),
        Step::GrantNamespace(of, team, level) => grant(registry, Place::Namespace(of.to_owned()), team, level).await,
        Step::GrantRepository(name, team, level) => grant(registry, Place::Repository(name), team, level).await,
        Step::CreateRepository(name) => {
            drop(registry.create_repository(caller, &name, Settings::default()).await);
        }
        Step::DeleteRepository(name) => drop(registry.delete_repository(caller, &name).await),
        Step::Publish(name, public) => {
            let settings = Settings { is_public: Some(public), ..Settings::default() };
            drop(registry.update_repository(caller, &name, settings).await);
        }
    }
}

async fn grant(registry: &Registry, place: Place, team: &str, level: Option<Level>) {
    match level {
        Some(level) => drop(registry.grant(&Caller::System, place, team, level).await),
        None => drop(registry.revoke(&Caller::System, place, team).await),
    }
}

/// All that a caller is shown, in pages of three.
fn listed(registry: &Registry, caller: &Caller, namespace: Option<&str>) -> Vec<RepoName> {
    let (mut all, mut last) = (Vec::new(), None);
    loop {
        let page = Page { entries: 3, last };
        let (found, more) = registry.repositories(caller, namespace, &page).expect("lists");
        all.extend(found.into_iter().map(|(name, _)| name));
        last = all.last().map(|name| name.as_str().to_owned());
        if !more {
            return all;
        }
    }
}

fn compare(registry: &Registry, model: &Model) {
    let read = registry.store().snapshot().expect("reads");
    for user in USERS {
        let found = account::get(&read, user).expect("reads");
        assert_eq!(found.is_some(), model.users.contains_key(user), "{user}");
        let Some(found) = found else { continue };
        let caller = Caller::account_of(found.id, user.to_owned());
        let mut sees = Vec::new();
        for name in model.repositories.keys() {
            let record = repo::get(&read, name).expect("reads").expect("it is there");
            let level = caller.level(&read, name.namespace(), Some(&record)).expect("is decided");
            assert_eq!(level, model.level(user, name), "{user} on {name}: {model:#?}");
            sees.extend(level.map(|_| name.clone()));
        }
        assert_eq!(listed(registry, &caller, None), sees, "{user}: {model:#?}");
        for namespace in ["ann", "dev", "dev-tools"] {
            let mut of = sees.clone();
            of.retain(|name| name.namespace() == namespace);
            assert_eq!(listed(registry, &caller, Some(namespace)), of, "{user} in {namespace}");
        }
    }
    let public: Vec<RepoName> =
        model.repositories.iter().filter(|(_, public)| **public).map(|(name, _)| name.clone()).collect();
    assert_eq!(listed(registry, &Caller::Anonymous, None), public);
}

#[tokio::test]
async fn rights_are_what_a_few_maps_say_after_thousands_of_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), Clock::system(), Chance::seeded(5)).expect("opens");
    let registry = Registry::new(store).expect("sessions");
    let (dice, mut model) = (Dice(Chance::seeded(2_026)), Model::default());
    let mut levels = BTreeMap::<Option<Level>, usize>::new();
    for group in 0..CHANGES / TOGETHER {
        let steps: Vec<Step> = (0..TOGETHER).map(|_| dice.step()).collect();
        steps.iter().for_each(|step| model.step(step));
        join_all(steps.into_iter().map(|step| run(&registry, step))).await;
        compare(&registry, &model);
        for user in USERS.iter().filter(|user| model.users.contains_key(**user)) {
            for name in model.repositories.keys() {
                *levels.entry(model.level(user, name)).or_default() += 1;
            }
        }
        if group % 25 == 0 {
            let read = registry.store().snapshot().expect("reads");
            let report = verify(&read, registry.store().files(), Depth::Names, &Default::default()).expect("looks");
            assert!(report.is_clean(), "{:?}", report.findings);
        }
    }
    // A model in which nobody may do anything would prove nothing.
    assert!(levels.len() == 4 && levels.values().all(|count| *count > 300), "{levels:?}");
}
