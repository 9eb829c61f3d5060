//! Who is asking, and how much they may do: looked up in the very state that
//! is read or changed, on every call.
//!
//! What somebody shows may leave less than the account has: scopes, and an end.
//! That narrows here, where rights are decided, and nowhere else.

use std::sync::Arc;

use crate::access::{self, Action, Actions, Level, Object, Scopes, Subject};
use crate::chance::Id;
use crate::event::Actor;
use crate::oci::RepoName;
use crate::store::record::{Account, Owner, Repository};
use crate::store::{Read, StoreError, account, repo, robot};

use super::RegistryError;

/// What a credential leaves of its holder's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// All of them on what these name; `None`: all of them.
    pub scopes: Option<Scopes>,
}

/// Who is asking. Holds identity, never rights; what it holds beside narrows
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever holds the local socket.
    System,
    /// An account that signed in.
    Account {
        /// Its id.
        id: Id,
        /// Its name when it signed in.
        name: String,
        /// What it showed leaves less than it has.
        within: Option<Arc<Restriction>>,
    },
    /// A robot, whose rights are part of those of its namespace's owner.
    Robot {
        /// Its id.
        id: Id,
        /// What it signs in with, `namespace+robot`.
        name: String,
        /// The account of its namespace.
        namespace: Id,
        /// Which part.
        scopes: Arc<Scopes>,
    },
}

/// What stands between a namespace and the name of a robot. No account's name
/// has it in it, no shell reads anything else in it, `docker login -u` and URLs
/// take it as it is, and Quay's users know it.
pub const ROBOT_MARK: char = '+';

impl Caller {
    /// An account with all its rights.
    pub const fn account_of(id: Id, name: String) -> Self {
        Self::Account { id, name, within: None }
    }

    /// A robot as a caller; `None` when it is gone.
    pub fn of_robot(read: &impl Read, id: &Id) -> Result<Option<Self>, StoreError> {
        let Some((namespace, name, robot)) = robot::by_id(read, id)? else { return Ok(None) };
        let Some(of) = account::name_of(read, &namespace)? else { return Ok(None) };
        // What cannot be read allows nothing.
        let scopes = Arc::new(Scopes::read(&robot.scopes).unwrap_or_default());
        Ok(Some(Self::Robot { id: *id, name: format!("{of}{ROBOT_MARK}{name}"), namespace, scopes }))
    }

    /// Whether what it showed leaves less than its account has. Such a caller
    /// makes no credentials: they could leave more.
    pub const fn is_restricted(&self) -> bool {
        match self {
            Self::System => false,
            Self::Account { within, .. } => within.is_some(),
            Self::Robot { .. } => true,
        }
    }

    /// What its credential names, if that is not all.
    fn scopes(&self) -> Option<&Scopes> {
        match self {
            Self::System => None,
            Self::Account { within, .. } => within.as_ref().and_then(|within| within.scopes.as_ref()),
            Self::Robot { scopes, .. } => Some(scopes),
        }
    }

    /// The account or robot that it is; `None` for who has none.
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::System => None,
            Self::Account { id, .. } | Self::Robot { id, .. } => Some(id),
        }
    }

    /// As the actor of an event.
    pub fn actor(&self) -> Actor {
        match self {
            Self::System => Actor::System,
            Self::Account { id, name, .. } | Self::Robot { id, name, .. } => {
                Actor::Account { id: *id, name: name.clone() }
            }
        }
    }

    /// As the owner of a policy.
    pub fn owner(&self) -> Owner {
        match self {
            Self::System => Owner::System,
            Self::Account { id, .. } | Self::Robot { id, .. } => Owner::Account(*id),
        }
    }

    /// The name in logs and limits.
    pub fn label(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Account { name, .. } | Self::Robot { name, .. } => name,
        }
    }

    /// The owner of a policy as a caller; `None` when the account, or the
    /// robot, is gone.
    pub fn of_owner(read: &impl Read, owner: Owner) -> Result<Option<Self>, StoreError> {
        match owner {
            Owner::System => Ok(Some(Self::System)),
            Owner::Account(id) => match account::name_of(read, &id)? {
                Some(name) => Ok(Some(Self::account_of(id, name))),
                None => Self::of_robot(read, &id),
            },
        }
    }

    /// The account behind the caller, as it stands now.
    fn account(&self, read: &impl Read) -> Result<Option<(String, Account)>, StoreError> {
        match self {
            Self::System | Self::Robot { .. } => Ok(None),
            Self::Account { id, .. } => account::by_id(read, id),
        }
    }

    /// Whether it is a system admin now. With scopes nobody is: what is not of
    /// one repository is of none that they name.
    pub fn is_admin(&self, read: &impl Read) -> Result<bool, StoreError> {
        Ok(self.scopes().is_none() && self.is_admin_somewhere(read)?)
    }

    /// Whether its account is a system admin's, whatever its scopes are.
    pub(super) fn is_admin_somewhere(&self, read: &impl Read) -> Result<bool, StoreError> {
        match self {
            Self::System => Ok(true),
            Self::Account { .. } => {
                Ok(self.account(read)?.is_some_and(|(_, account)| account.is_admin && account.is_active))
            }
            Self::Robot { .. } => Ok(false),
        }
    }

    /// What its scopes name of a namespace, or of a repository in it; `None`
    /// when it has none.
    fn named(
        &self,
        read: &impl Read,
        namespace: &str,
        repository: Option<&Repository>,
    ) -> Result<Option<Actions>, StoreError> {
        let Some(scopes) = self.scopes() else { return Ok(None) };
        let name = match repository {
            Some(repository) => repo::name_of(read, repository.number)?,
            None => None,
        };
        Ok(Some(name.map_or_else(|| scopes.across(namespace), |name| scopes.on(name.as_str()))))
    }

    /// What it may do in a namespace, or with a repository in it.
    pub fn level(
        &self,
        read: &impl Read,
        namespace: &str,
        repository: Option<&Repository>,
    ) -> Result<Option<Level>, StoreError> {
        let whole = self.level_of_account(read, namespace, repository)?;
        let named = self.named(read, namespace, repository)?;
        Ok(match named {
            None => whole,
            Some(actions) => whole.and_then(|whole| Some(whole.min(actions.level()?))),
        })
    }

    /// The same, whatever its credential names.
    fn level_of_account(
        &self,
        read: &impl Read,
        namespace: &str,
        repository: Option<&Repository>,
    ) -> Result<Option<Level>, StoreError> {
        let account = self.account(read)?;
        let of_robot = match self {
            Self::Robot { namespace, .. } => account::by_id(read, namespace)?.filter(|(_, account)| account.is_active),
            Self::System | Self::Account { .. } => None,
        };
        let subject = match (self, &account) {
            (Self::System, _) => Subject::System,
            // Without its namespace it is nobody.
            (Self::Robot { .. }, _) => {
                Subject::Robot { namespace: of_robot.as_ref().map_or("", |(name, _)| name.as_str()) }
            }
            (Self::Account { .. }, None) => Subject::Anonymous,
            (Self::Account { .. }, Some((name, account))) => {
                Subject::User { name, is_admin: account.is_admin, is_active: account.is_active && !account.is_org }
            }
        };
        let object = Object { namespace, is_public: repository.is_some_and(|repository| repository.is_public) };
        Ok(access::level(subject, object, []))
    }

    /// The repository, if the caller has at least `needed` on it. A repository
    /// that may not be read and one that is not there answer alike.
    pub fn require(
        &self,
        read: &impl Read,
        name: &RepoName,
        needed: impl Into<Action>,
    ) -> Result<Result<Repository, RegistryError>, StoreError> {
        let action: Action = needed.into();
        let needed = action.level();
        let found = repo::get(read, name)?;
        let level = self.level(read, name.namespace(), found.as_ref())?;
        let is_named = self.scopes().is_none_or(|scopes| scopes.on(name.as_str()).allow(action));
        Ok(match (found, level) {
            (Some(repository), Some(level)) if level >= needed && is_named => Ok(repository),
            (Some(_), Some(_)) if !is_named => Err(RegistryError::OutOfScope { repository: name.clone(), action }),
            (Some(_), Some(_)) => Err(RegistryError::Denied { repository: name.clone(), needed }),
            (_, level) => {
                let own = level == Some(Level::Admin);
                Err(RegistryError::RepositoryUnknown { repository: name.clone(), own })
            }
        })
    }
}
