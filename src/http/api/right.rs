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
use crate::registry::{Caller, RegistryError};

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
    /// A namespace.
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
            Self::ListAccounts | Self::GetAccount(_) | Self::Features | Self::Version => Right::SignedIn,
            Self::OwnAccount | Self::CheckRemote => Right::SignedIn,
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
            Self::CreateAccount => Right::SystemAdmin("create accounts"),
            Self::Verify => Right::SystemAdmin("verify the store"),
            Self::ScrubStatus | Self::ListQuarantine => Right::SystemAdmin("see what is damaged"),
            Self::BeginBackup | Self::EndBackup(_) | Self::BackupFile(..) | Self::BackupKeys(_) => {
                Right::SystemAdmin("back up the registry")
            }
            Self::ListJobs
            | Self::CreateJob
            | Self::GetJob(_)
            | Self::DeleteJob(_)
            | Self::CancelJob(_)
            | Self::JobLogs(_) => Right::SystemAdmin("see and steer jobs"),
            Self::CreateRepository(namespace) => Right::Namespace(namespace),
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
            | Self::TestPromotion(repository)
            | Self::RunPull(repository, _)
            | Self::DeleteMirrors(repository) => Right::Repository(repository, Level::Admin),
            Self::PromoteTag(repository, _) | Self::PushTag(repository, _) => {
                Right::Repository(repository, Level::ReadOnly)
            }
            Self::DeleteRepository(_) => Right::Decided("admin on the repository, or where it would be"),
            Self::GetPolicy(Kind::Promotion, ..) => Right::Decided("read on the source or the target"),
            Self::DeletePolicy(Kind::Promotion, ..) => Right::Decided("admin on the source or the target"),
        }
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
            Self::Namespace(namespace) => {
                let read = registry.store().snapshot().map_err(RegistryError::from)?;
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
