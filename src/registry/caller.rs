//! Who is asking, and how much they may do: looked up in the very state that
//! is read or changed, on every call.

use crate::access::{self, Level, Object, Subject};
use crate::chance::Id;
use crate::event::Actor;
use crate::oci::RepoName;
use crate::store::record::{Account, Member, Owner, Repository};
use crate::store::{Read, StoreError, account, grant, organization, repo, team};

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
    /// Somebody who said no name. Reads what is public, and changes nothing.
    Anonymous,
}

/// What a caller is in an organization. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A member.
    Member,
    /// An admin member: an owner, as is every system admin.
    Owner,
}

/// The names that are nobody's: those of callers without an account.
pub(super) const RESERVED: [&str; 2] = [SYSTEM, ANONYMOUS];
const SYSTEM: &str = "system";
const ANONYMOUS: &str = "anonymous";
/// What stands for the account of those who have none.
const NOBODY: Id = Id::from_bytes([0; 16]);

impl Caller {
    /// As the actor of an event.
    pub fn actor(&self) -> Actor {
        match self {
            Self::System => Actor::System,
            Self::Account { id, name } => Actor::Account { id: *id, name: name.clone() },
            // Every change asks for more than the nameless have.
            Self::Anonymous => Actor::Account { id: NOBODY, name: ANONYMOUS.to_owned() },
        }
    }

    /// As the owner of a policy.
    pub fn owner(&self) -> Owner {
        match self {
            Self::System => Owner::System,
            Self::Account { id, .. } => Owner::Account(*id),
            Self::Anonymous => Owner::Account(NOBODY),
        }
    }

    /// The name in logs and limits.
    pub fn label(&self) -> &str {
        match self {
            Self::System => SYSTEM,
            Self::Account { name, .. } => name,
            Self::Anonymous => ANONYMOUS,
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
            Self::System | Self::Anonymous => Ok(None),
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
            Self::Anonymous => Ok(false),
        }
    }

    /// Whether it is this account, and that one may still act.
    pub fn is(&self, read: &impl Read, account: &Id) -> Result<bool, StoreError> {
        match self {
            Self::Account { id, .. } if id == account => {
                Ok(self.account(read)?.is_some_and(|(_, account)| account.is_active))
            }
            Self::System | Self::Account { .. } | Self::Anonymous => Ok(false),
        }
    }

    /// What it is in an organization now.
    pub fn role(&self, read: &impl Read, organization: &Id) -> Result<Option<Role>, StoreError> {
        if self.is_admin(read)? {
            return Ok(Some(Role::Owner));
        }
        let Some((_, account)) = self.account(read)?.filter(|(_, account)| account.is_active) else {
            return Ok(None);
        };
        let member = organization::member(read, organization, &account.id)?;
        Ok(member.map(|member| if member.is_admin { Role::Owner } else { Role::Member }))
    }

    /// Whether it may change a team: an owner of the organization, or an admin
    /// member of the team.
    pub fn leads(&self, read: &impl Read, organization: &Id, team: &Id) -> Result<bool, StoreError> {
        match (self.role(read, organization)?, self) {
            (Some(Role::Owner), _) => Ok(true),
            (Some(Role::Member), Self::Account { id, .. }) => {
                Ok(team::member(read, team, id)?.is_some_and(|member| member.is_admin))
            }
            (Some(Role::Member) | None, _) => Ok(false),
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
            (Self::Anonymous, _) => Subject::Anonymous,
            // It is gone: that is less than being nobody.
            (Self::Account { .. }, None) => Subject::User { name: "", is_admin: false, is_active: false },
            (Self::Account { .. }, Some((name, account))) => {
                Subject::User { name, is_admin: account.is_admin, is_active: account.is_active && !account.is_org }
            }
        };
        let object = Object { namespace, is_public: repository.is_some_and(|repository| repository.is_public) };
        let grants = match (&subject, &account) {
            (Subject::User { name, is_admin: false, is_active: true }, Some((_, account))) if *name != namespace => {
                grants(read, &account.id, namespace, repository)?
            }
            _ => Vec::new(),
        };
        Ok(access::level(subject, object, grants))
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

/// What a user's place in the organization of a namespace gives it: all to an
/// owner, what its teams may to a member.
fn grants(
    read: &impl Read,
    user: &Id,
    namespace: &str,
    repository: Option<&Repository>,
) -> Result<Vec<Level>, StoreError> {
    let Some(owner) = account::get(read, namespace)?.filter(|account| account.is_org) else { return Ok(Vec::new()) };
    match organization::member(read, &owner.id, user)? {
        Some(Member { is_admin: true }) => Ok(vec![Level::Admin]),
        Some(Member { is_admin: false }) => {
            grant::levels(read, user, &owner.id, repository.map(|repository| repository.number))
        }
        None => Ok(Vec::new()),
    }
}
