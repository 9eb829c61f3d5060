//! Which call needs which right: one table for the whole API.
//!
//! What the table names is looked up before a call's body is read, so that a
//! stranger learns nothing from how a body is refused and has nobody else's
//! address dialled. The operation that changes something decides again, in the
//! transaction that it changes.

use crate::access::{Action, Level};
use crate::http::State;
use crate::oci::RepoName;
use crate::policy::Kind;
use crate::registry::{Caller, RegistryError, Role};
use crate::store::account;

use super::error::ApiError;
use super::route::ApiRoute;

/// What a caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right<'a> {
    /// A name.
    SignedIn,
    /// That it is about the caller's own, or a system admin; and that the caller
    /// is not restricted.
    Own,
    /// The whole system, to do this.
    SystemAdmin(&'static str),
    /// The same, by a caller that is not restricted: what is made or leaves here
    /// holds longer than what it showed.
    UnrestrictedAdmin(&'static str),
    /// To be this account, or an owner of this organization.
    Account(&'a str),
    /// To be this user.
    User(&'a str),
    /// This place in an organization.
    Organization(&'a str, Role),
    /// To lead this team of an organization.
    Team(&'a str, &'a str),
    /// A namespace, by its name or its account's id.
    Namespace(&'a str),
    /// This level on a repository.
    Repository(&'a RepoName, Level),
    /// To remove what a repository holds.
    Delete(&'a RepoName),
    /// The call looks at more than one place and decides itself, by this rule.
    Decided(&'static str),
}

impl ApiRoute {
    /// The right that the call needs.
    pub(super) fn right(&self) -> Right<'_> {
        match self {
            Self::Enzi(route) => route.right(),
            Self::Features | Self::Version | Self::Language => Right::SignedIn,
            Self::UserSettings(user) | Self::UpdateUserSettings(user) => Right::User(user),
            Self::Settings | Self::UpdateSettings => Right::SystemAdmin("see and change the settings"),
            Self::DeleteNamespace(_) => Right::SystemAdmin("delete accounts"),
            Self::ListNamespaceAccess(_) | Self::GetNamespaceAccess(..) => {
                Right::Decided("admin of the namespace, or member of its organization")
            }
            Self::EmptyNamespace(namespace)
            | Self::GrantNamespace(namespace, _)
            | Self::RevokeNamespace(namespace, _) => Right::Namespace(namespace),
            Self::TeamRepositories(organization, _) => Right::Organization(organization, Role::Member),
            Self::UserAccess(_, repository) => Right::Repository(repository, Level::ReadOnly),
            Self::CheckRemote => Right::SignedIn,
            Self::ListTokens
            | Self::CreateToken
            | Self::CleanUpTokens
            | Self::GetToken(_)
            | Self::UpdateToken(_)
            | Self::DeleteToken(_) => Right::Own,
            Self::ListRobots(namespace)
            | Self::CreateRobot(namespace)
            | Self::GetRobot(namespace, _)
            | Self::UpdateRobot(namespace, _)
            | Self::DeleteRobot(namespace, _)
            | Self::ListRobotTokens(namespace, _)
            | Self::CreateRobotToken(namespace, _) => Right::Namespace(namespace),
            Self::ListCertificates | Self::MapCertificate | Self::UnmapCertificate => {
                Right::SystemAdmin("map client certificates to accounts")
            }
            // Lists hold what the caller may see.
            Self::ListRepositories(_) => Right::SignedIn,
            Self::Verify => Right::SystemAdmin("verify the store"),
            Self::ScrubStatus | Self::ListQuarantine => Right::SystemAdmin("see what is damaged"),
            Self::ListSealingKeys | Self::AddSealingKey | Self::RetireSealingKey(_) => {
                Right::UnrestrictedAdmin("see and change sealing keys")
            }
            Self::BeginBackup | Self::EndBackup(_) | Self::BackupFile(..) | Self::BackupKeys(_) => {
                Right::UnrestrictedAdmin("back up the registry")
            }
            Self::ListJobs
            | Self::CreateJob
            | Self::GetJob(_)
            | Self::DeleteJob(_)
            | Self::CancelJob(_)
            | Self::JobLogs(_) => Right::SystemAdmin("see and steer jobs"),
            Self::ListQuotas => Right::SystemAdmin("see how much all namespaces hold"),
            Self::SetQuota(_) => Right::SystemAdmin("set the quotas of namespaces and of all"),
            Self::CreateRepository(namespace) | Self::GetQuotas(namespace) => Right::Namespace(namespace),
            Self::GetRepository(repository)
            | Self::ListTags(repository)
            | Self::GetTag(repository, _)
            | Self::TagsOf(repository, _)
            | Self::TagHistory(repository, _)
            | Self::Decisions(repository, _)
            | Self::ListManifests(repository)
            | Self::ListPolicies(_, repository)
            | Self::GetPolicy(Kind::PushMirror | Kind::PullMirror, repository, _)
            | Self::ListMirrors(repository) => Right::Repository(repository, Level::ReadOnly),
            Self::RestoreTag(repository, _) => Right::Repository(repository, Level::ReadWrite),
            Self::DeleteTag(repository, _) | Self::DeleteManifest(repository, _) => Right::Delete(repository),
            Self::UpdateRepository(repository)
            | Self::CreatePolicy(_, repository)
            | Self::UpdatePolicy(_, repository, _)
            | Self::DeletePolicy(Kind::PushMirror | Kind::PullMirror, repository, _)
            | Self::ListTeamAccess(repository)
            | Self::GrantTeam(repository, _)
            | Self::RevokeTeam(repository, _)
            | Self::TestPromotion(repository)
            | Self::RunPull(repository, _)
            | Self::DeleteMirrors(repository) => Right::Repository(repository, Level::Admin),
            Self::PromoteTag(repository, _) | Self::PushTag(repository, _) => {
                Right::Repository(repository, Level::ReadOnly)
            }
            Self::Audit => Right::Decided("system admin, or admin of the namespace that is asked for"),
            Self::DeleteRepository(_) => Right::Decided("admin on the repository, or where it would be"),
            Self::GetPolicy(Kind::Promotion, ..) => Right::Decided("read on the source or the target"),
            Self::DeletePolicy(Kind::Promotion, ..) => Right::Decided("admin on the source or the target"),
        }
    }
}

impl ApiRoute {
    /// Whether who says no name may ask, as far as things are public: to find
    /// and see repositories and their images, and nothing beyond.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self,
            Self::ListRepositories(_)
                | Self::GetRepository(_)
                | Self::ListTags(_)
                | Self::GetTag(..)
                | Self::TagsOf(..)
                | Self::ListManifests(_)
        )
    }
}

impl Right<'_> {
    /// Refuses a caller that does not have it.
    pub(super) fn require(self, state: &State, caller: &Caller) -> Result<(), ApiError> {
        let registry = state.registry();
        match self {
            Self::SignedIn | Self::Decided(_) => Ok(()),
            Self::Own if caller.is_restricted() => Err(RegistryError::Restricted.into()),
            // Whose it is, is seen in the transaction.
            Self::Own => Ok(()),
            Self::SystemAdmin(action) => Ok(registry.require_admin(caller, action)?),
            Self::UnrestrictedAdmin(action) => {
                registry.require_admin(caller, action)?;
                if caller.is_restricted() { Err(RegistryError::Restricted.into()) } else { Ok(()) }
            }
            Self::Account(name_or_id) => Ok(registry.require_account(caller, name_or_id)?),
            Self::User(name_or_id) => Ok(registry.require_user(caller, name_or_id)?),
            Self::Organization(name_or_id, role) => Ok(registry.require_organization(caller, name_or_id, role)?),
            Self::Team(organization, team) => Ok(registry.require_team(caller, organization, team)?),
            Self::Namespace(namespace) => {
                let read = registry.store().snapshot().map_err(RegistryError::from)?;
                let named = account::find(&read, namespace).map_err(RegistryError::from)?;
                let namespace = named.as_ref().map_or(namespace, |(name, _)| name);
                let level = caller.level(&read, namespace, None).map_err(RegistryError::from)?;
                if level >= Some(Level::Admin) {
                    Ok(())
                } else {
                    Err(ApiError::Namespace { namespace: namespace.to_owned() })
                }
            }
            Self::Repository(name, level) => require_on(state, caller, name, level),
            Self::Delete(name) => require_on(state, caller, name, Action::Delete),
        }
    }
}

fn require_on(state: &State, caller: &Caller, name: &RepoName, needed: impl Into<Action>) -> Result<(), ApiError> {
    let read = state.registry().store().snapshot().map_err(RegistryError::from)?;
    caller.require(&read, name, needed).map_err(RegistryError::from)??;
    Ok(())
}
