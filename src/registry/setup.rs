//! The first system admin, made by whoever shows the set-up secret.

use crate::audit::{Action, Audit};
use crate::limits;
use crate::store::record::Account;
use crate::store::{Change, Lane, Operation, Read, StoreError, account};

use super::account::{CreateAccounts, NewAccount};
use super::{Caller, Registry, RegistryError};

/// Makes an account, as long as nobody can sign in as system admin.
struct FirstAdmin(CreateAccounts);

impl Operation for FirstAdmin {
    /// Whether there is none.
    type Plan = bool;
    type Done = Option<Account>;
    type Refusal = RegistryError;
    const NAME: &'static str = "make first admin";
    const AUDIT: Audit = Audit::Acts(&[Action::AccountCreate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, RegistryError>, StoreError> {
        if has_admin(tables)? {
            return Ok(Ok(false));
        }
        Ok(self.0.check(tables)?.map(|()| true))
    }

    fn apply(&self, is_first: bool, tables: &mut Change<'_>) -> Result<Option<Account>, StoreError> {
        if is_first { Ok(self.0.apply((), tables)?.pop()) } else { Ok(None) }
    }
}

/// Whether somebody can sign in as system admin.
fn has_admin(read: &impl Read) -> Result<bool, StoreError> {
    let is_admin =
        |account: &Account| account.is_admin && account.is_active && !account.is_org && account.password_hash.is_some();
    let mut start = String::new();
    loop {
        let slice = account::list(read, &start, limits::ACCOUNT_SLICE)?;
        if slice.iter().any(|(_, account)| is_admin(account)) {
            return Ok(true);
        }
        match slice.last() {
            Some((name, _)) if slice.len() == limits::ACCOUNT_SLICE => start = format!("{name}\0"),
            Some(_) | None => return Ok(false),
        }
    }
}

impl Registry {
    /// Whether somebody can sign in as system admin.
    pub fn has_admin(&self) -> Result<bool, RegistryError> {
        Ok(has_admin(&self.store().snapshot()?)?)
    }

    /// Makes the first system admin; `None` when there is one already. Whoever
    /// asks has shown the set-up secret.
    pub async fn make_first_admin(
        &self,
        name: String,
        full_name: String,
        password_hash: String,
    ) -> Result<Option<Account>, RegistryError> {
        let password_hash = Some(password_hash);
        let new = NewAccount { name, full_name, is_org: false, is_admin: true, is_active: true, password_hash };
        let new = vec![(self.store().chance().id(), new)];
        let create = CreateAccounts { caller: Caller::System, new, because: "the set-up secret was shown" };
        self.store().submit(Lane::Foreground, FirstAdmin(create)).await?
    }
}
