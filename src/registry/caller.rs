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
use crate::store::record::{Account, Member, Owner, Repository};
use crate::store::{Read, StoreError, account, grant, organization, repo, robot, team};

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
            Self::Robot { .. } | Self::Anonymous => true,
        }
    }

    /// What its credential names, if that is not all.
    fn scopes(&self) -> Option<&Scopes> {
        match self {
            Self::System | Self::Anonymous => None,
            Self::Account { within, .. } => within.as_ref().and_then(|within| within.scopes.as_ref()),
            Self::Robot { scopes, .. } => Some(scopes),
        }
    }

    /// The account or robot that it is; `None` for who has none.
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::System | Self::Anonymous => None,
            Self::Account { id, .. } | Self::Robot { id, .. } => Some(id),
        }
    }

    /// The account that answers for it: for a robot, that of its namespace.
    pub const fn account_id(&self) -> Option<Id> {
        match self {
            Self::System | Self::Anonymous => None,
            Self::Account { id, .. } | Self::Robot { namespace: id, .. } => Some(*id),
        }
    }

    /// As the actor of an event.
    pub fn actor(&self) -> Actor {
        match self {
            Self::System => Actor::System,
            Self::Account { id, name, .. } | Self::Robot { id, name, .. } => {
                Actor::Account { id: *id, name: name.clone() }
            }
            // Every change asks for more than the nameless have.
            Self::Anonymous => Actor::Account { id: NOBODY, name: ANONYMOUS.to_owned() },
        }
    }

    /// As the owner of a policy.
    pub fn owner(&self) -> Owner {
        match self {
            Self::System => Owner::System,
            Self::Account { id, .. } | Self::Robot { id, .. } => Owner::Account(*id),
            Self::Anonymous => Owner::Account(NOBODY),
        }
    }

    /// The name in logs and limits.
    pub fn label(&self) -> &str {
        match self {
            Self::System => SYSTEM,
            Self::Account { name, .. } | Self::Robot { name, .. } => name,
            Self::Anonymous => ANONYMOUS,
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
            Self::System | Self::Robot { .. } | Self::Anonymous => Ok(None),
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
            Self::Robot { .. } | Self::Anonymous => Ok(false),
        }
    }

    /// Whether it is this account, with all its rights, and that one may still
    /// act.
    pub fn is(&self, read: &impl Read, account: &Id) -> Result<bool, StoreError> {
        match self {
            Self::Account { id, .. } if id == account && self.scopes().is_none() => {
                Ok(self.account(read)?.is_some_and(|(_, account)| account.is_active))
            }
            Self::System | Self::Account { .. } | Self::Robot { .. } | Self::Anonymous => Ok(false),
        }
    }

    /// What it is in an organization now. Scopes name repositories, so with
    /// them it is nothing in any.
    pub fn role(&self, read: &impl Read, organization: &Id) -> Result<Option<Role>, StoreError> {
        if self.is_admin(read)? {
            return Ok(Some(Role::Owner));
        }
        if self.scopes().is_some() {
            return Ok(None);
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

    /// What it may do in a namespace, or with a repository in it. What nobody
    /// is asked a name for, no scope takes away.
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
            Some(actions) => {
                let of_all = repository.is_some_and(|repository| repository.is_public).then_some(Level::ReadOnly);
                whole.and_then(|whole| Some(whole.min(actions.level().max(of_all)?)))
            }
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
            Self::System | Self::Account { .. } | Self::Anonymous => None,
        };
        let subject = match (self, &account) {
            (Self::System, _) => Subject::System,
            (Self::Anonymous, _) => Subject::Anonymous,
            // Without its namespace, a robot is as one whose account is gone.
            (Self::Robot { .. }, _) => match &of_robot {
                Some((name, _)) => Subject::Robot { namespace: name },
                None => GONE,
            },
            (Self::Account { .. }, None) => GONE,
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
    /// that may not be read and one that is not there answer alike, and are as
    /// much work.
    pub fn require(
        &self,
        read: &impl Read,
        name: &RepoName,
        needed: impl Into<Action>,
    ) -> Result<Result<Repository, RegistryError>, StoreError> {
        let action: Action = needed.into();
        let needed = action.level();
        let found = repo::get(read, name)?;
        let stand_in = found.is_none().then(repo::stand_in);
        let level = self.level(read, name.namespace(), found.as_ref().or(stand_in.as_ref()))?;
        let is_open = action == Action::Pull && found.as_ref().is_some_and(|repository| repository.is_public);
        let is_named = is_open || self.scopes().is_none_or(|scopes| scopes.on(name.as_str()).allow(action));
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

/// An account that is not there any more: that is less than being nobody.
const GONE: Subject<'static> = Subject::User { name: "", is_admin: false, is_active: false };

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
