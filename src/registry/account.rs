//! Users and organizations: made and listed by system admins.

use crate::limits;
use crate::oci::name::is_component;
use crate::store::record::Account;
use crate::store::{Change, Lane, Operation, Snapshot, StoreError, account};

use super::{Caller, Registry, RegistryError};

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name, which is a namespace too.
    pub name: String,
    /// A name for people.
    pub full_name: String,
    /// An organization rather than a user.
    pub is_org: bool,
    /// A system admin.
    pub is_admin: bool,
    /// May sign in.
    pub is_active: bool,
    /// The hash of the password; users only.
    pub password_hash: Option<String>,
}

struct CreateAccount {
    caller: Caller,
    new: NewAccount,
    id: crate::chance::Id,
}

impl Operation for CreateAccount {
    type Plan = ();
    type Done = Account;
    type Refusal = RegistryError;
    const NAME: &'static str = "create account";

    fn check(&self, tables: &Change<'_>) -> Result<Result<(), RegistryError>, StoreError> {
        if !self.caller.is_admin(tables)? {
            return Ok(Err(RegistryError::AdminOnly { action: "create accounts" }));
        }
        let is_reserved = self.new.name == Caller::System.label();
        if is_reserved || !is_component(&self.new.name) || self.new.name.len() > limits::ACCOUNT_NAME_BYTES {
            return Ok(Err(RegistryError::AccountName { name: self.new.name.clone() }));
        }
        if account::get(tables, &self.new.name)?.is_some() {
            return Ok(Err(RegistryError::AccountExists { name: self.new.name.clone() }));
        }
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Account, StoreError> {
        let new = self.new.clone();
        let record = Account {
            id: self.id,
            full_name: new.full_name,
            is_org: new.is_org,
            is_admin: new.is_admin && !new.is_org,
            is_active: new.is_active,
            password_hash: new.password_hash,
            created_at: tables.now(),
        };
        account::put(tables, &new.name, &record)?;
        Ok(record)
    }
}

impl Registry {
    /// Makes a user or an organization.
    pub async fn create_account(&self, caller: &Caller, new: NewAccount) -> Result<Account, RegistryError> {
        let operation = CreateAccount { caller: caller.clone(), new, id: self.store().chance().id() };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Whether the caller is a system admin.
    pub fn require_admin(&self, caller: &Caller, action: &'static str) -> Result<(), RegistryError> {
        if caller.is_admin(&self.store().snapshot()?)? { Ok(()) } else { Err(RegistryError::AdminOnly { action }) }
    }

    /// Accounts by name, from the one at or after `start`.
    pub fn accounts(&self, start: &str, limit: usize) -> Result<Vec<(String, Account)>, RegistryError> {
        Ok(account::list(&self.store().snapshot()?, start, limit)?)
    }

    /// An account by name, or by id.
    pub fn account(&self, name_or_id: &str) -> Result<(String, Account), RegistryError> {
        let read: Snapshot = self.store().snapshot()?;
        if let Some(found) = account::get(&read, name_or_id)? {
            return Ok((name_or_id.to_owned(), found));
        }
        let by_id = match name_or_id.parse() {
            Ok(id) => account::by_id(&read, &id)?,
            Err(_) => None,
        };
        by_id.ok_or_else(|| RegistryError::AccountUnknown { name: name_or_id.to_owned() })
    }
}
