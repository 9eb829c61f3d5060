//! Who is asking, and how much they may do: looked up in the very state that
//! is read or changed, on every call.

use crate::access::{self, Level, Object, Subject};
use crate::chance::Id;
use crate::event::Actor;
use crate::oci::RepoName;
use crate::store::record::{Account, Owner, Repository};
use crate::store::{Read, StoreError, account, repo};

use super::RegistryError;

/// Who is asking. Holds identity, never rights.
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
    },
}

impl Caller {
    /// As the actor of an event.
    pub fn actor(&self) -> Actor {
        match self {
            Self::System => Actor::System,
            Self::Account { id, name } => Actor::Account { id: *id, name: name.clone() },
        }
    }

    /// As the owner of a policy.
    pub fn owner(&self) -> Owner {
        match self {
            Self::System => Owner::System,
            Self::Account { id, .. } => Owner::Account(*id),
        }
    }

    /// The name in logs and limits.
    pub fn label(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Account { name, .. } => name,
        }
    }

    /// The owner of a policy as a caller; `None` when the account is gone.
    pub fn of_owner(read: &impl Read, owner: Owner) -> Result<Option<Self>, StoreError> {
        match owner {
            Owner::System => Ok(Some(Self::System)),
            Owner::Account(id) => Ok(account::name_of(read, &id)?.map(|name| Self::Account { id, name })),
        }
    }

    /// The account behind the caller, as it stands now.
    fn account(&self, read: &impl Read) -> Result<Option<(String, Account)>, StoreError> {
        match self {
            Self::System => Ok(None),
            Self::Account { id, .. } => account::by_id(read, id),
        }
    }

    /// Whether it is a system admin now.
    pub fn is_admin(&self, read: &impl Read) -> Result<bool, StoreError> {
        match self {
            Self::System => Ok(true),
            Self::Account { .. } => {
                Ok(self.account(read)?.is_some_and(|(_, account)| account.is_admin && account.is_active))
            }
        }
    }

    /// What it may do in a namespace, or with a repository in it.
    pub fn level(
        &self,
        read: &impl Read,
        namespace: &str,
        repository: Option<&Repository>,
    ) -> Result<Option<Level>, StoreError> {
        let account = self.account(read)?;
        let subject = match (self, &account) {
            (Self::System, _) => Subject::System,
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
        needed: Level,
    ) -> Result<Result<Repository, RegistryError>, StoreError> {
        let found = repo::get(read, name)?;
        let level = self.level(read, name.namespace(), found.as_ref())?;
        Ok(match (found, level) {
            (Some(repository), Some(level)) if level >= needed => Ok(repository),
            (Some(_), Some(_)) => Err(RegistryError::Denied { repository: name.clone(), needed }),
            (_, level) => {
                let own = level == Some(Level::Admin);
                Err(RegistryError::RepositoryUnknown { repository: name.clone(), own })
            }
        })
    }
}
