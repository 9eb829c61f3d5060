//! Accounts that go, and namespaces that go with all that is in them.
//!
//! With an account go its tokens, its robots, the certificates that stood for
//! it, its memberships, its teams and their grants. Its
//! repositories and images stay: whoever gets the name next owns them, and only
//! a call for just that removes them. Policies that it saved stay too, and say
//! that their owner is gone.

use std::ops::ControlFlow;

use futures_util::future::join_all;

use crate::access::Level;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::limits;
use crate::oci::RepoName;
use crate::store::account::SYSTEM_ORGANIZATION;
use crate::store::record::Account;
use crate::store::usage::{self, Scope};
use crate::store::{Change, Lane, Operation, Read, StoreError, Table, account, audit, certified, organization, repo};

use super::error::settled;
use super::{Caller, Registry, RegistryError};

/// What came of removing an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// Whether its namespace has repositories, which stay.
    pub has_repositories: bool,
}

/// What came of removing a namespace's repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// How many there were.
    pub repositories: usize,
    /// Policies of other repositories that lead into one of them: where they
    /// stand, and which.
    pub left: Vec<(RepoName, Id)>,
}

struct DeleteAccount {
    caller: Caller,
    name_or_id: String,
}

impl DeleteAccount {
    fn allowed(&self, read: &impl Read) -> Result<Option<(String, Account)>, RegistryError> {
        if !self.caller.is_admin(read)? {
            return Err(RegistryError::AdminOnly { action: "delete accounts" });
        }
        match account::find(read, &self.name_or_id)? {
            Some((name, _)) if name == SYSTEM_ORGANIZATION => Err(RegistryError::SystemAccount { name }),
            found => Ok(found),
        }
    }
}

impl Operation for DeleteAccount {
    type Plan = Option<(String, Account)>;
    type Done = Option<Removed>;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete account";
    const AUDIT: Audit = Audit::Acts(&[Action::AccountDelete, Action::OrganizationDelete, Action::CertificateUnmap]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let Some((name, record)) = found else { return Ok(None) };
        account::remove(tables, &name, &record)?;
        let unmapped = certified::remove_of(tables, &record.id)?;
        // It was this account's: the next of this name begins without, and what
        // stays of the namespace can be looked after.
        usage::set_quota(tables, Scope::Namespace(&name), 0)?;
        // Nothing leads to the rest any more; what one slice cannot take is
        // removed behind the answer.
        if !purge_all(tables, |tables| organization::purge(tables, &record.id))? {
            tables.put_mark(Table::Purges, &organization::purge_key(&record.id))?;
        }
        let has_repositories = !names_in(tables, &name, 1)?.is_empty();
        let (action, kind) = match record.is_org {
            true => (Action::OrganizationDelete, ObjectKind::Organization),
            false => (Action::AccountDelete, ObjectKind::Account),
        };
        let act = Act::new(action, kind, &name).id(record.id).within(&name);
        audit::append(tables, &self.caller.actor(), act)?;
        for certificate in unmapped {
            let act = Act::new(Action::CertificateUnmap, ObjectKind::Certificate, certificate);
            let act = act.detail("account", Some(name.clone()), None).because("the account was deleted");
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(Some(Removed { name, has_repositories }))
    }
}

/// Runs slices of a purge until nothing is left, or they have had their
/// rows; whether nothing is left.
pub(super) fn purge_all(
    tables: &mut Change<'_>,
    mut purge: impl FnMut(&mut Change<'_>) -> Result<usize, StoreError>,
) -> Result<bool, StoreError> {
    let mut rows = 0;
    while rows < limits::BACKGROUND_ROWS {
        match purge(tables)? {
            0 => return Ok(true),
            found => rows += found,
        }
    }
    Ok(false)
}

fn names_in(read: &impl Read, namespace: &str, most: usize) -> Result<Vec<RepoName>, StoreError> {
    let mut names = Vec::new();
    repo::walk(read, Some(namespace), None, |name, _| {
        names.push(name);
        Ok(if names.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(names)
}

impl Registry {
    /// Removes an account; `None` when there is none. Its repositories stay.
    pub async fn delete_account(&self, caller: &Caller, name_or_id: &str) -> Result<Option<Removed>, RegistryError> {
        let operation = DeleteAccount { caller: caller.clone(), name_or_id: name_or_id.to_owned() };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Removes an account and all repositories of its namespace, those of one
    /// that is gone too. The account goes first, so that nobody makes another
    /// repository there; called again it goes on where it was cut off.
    pub async fn delete_namespace(&self, caller: &Caller, name_or_id: &str) -> Result<Emptied, RegistryError> {
        let removed = self.delete_account(caller, name_or_id).await?;
        let namespace = removed.map_or_else(|| name_or_id.to_owned(), |removed| removed.name);
        self.empty(caller, &namespace).await
    }

    /// Removes all repositories of a namespace.
    pub async fn empty_namespace(&self, caller: &Caller, name_or_id: &str) -> Result<Emptied, RegistryError> {
        let read = self.store().snapshot()?;
        let namespace = account::find(&read, name_or_id)?.map_or_else(|| name_or_id.to_owned(), |(name, _)| name);
        if caller.level(&read, &namespace, None)? < Some(Level::Admin) {
            return Err(RegistryError::NotFor { who: "an admin of the namespace" });
        }
        drop(read);
        self.empty(caller, &namespace).await
    }

    async fn empty(&self, caller: &Caller, namespace: &str) -> Result<Emptied, RegistryError> {
        let mut emptied = Emptied::default();
        loop {
            let names = names_in(&self.store().snapshot()?, namespace, limits::REPOSITORIES_REMOVED)?;
            if names.is_empty() {
                emptied.left.retain(|(source, _)| source.namespace() != namespace);
                return Ok(emptied);
            }
            // Together, so that they share commits.
            for deleted in join_all(names.iter().map(|name| self.delete_repository(caller, name))).await {
                match deleted {
                    Ok(left) => {
                        emptied.repositories += 1;
                        emptied.left.extend(left);
                    }
                    // Somebody else was first.
                    Err(RegistryError::RepositoryUnknown { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
