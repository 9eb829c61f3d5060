//! Users and organizations: made, looked at, changed.

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::limits;
use crate::oci::name::is_component;
use crate::store::record::{Account, OrganizationSize};
use crate::store::{Change, Lane, Operation, Read, StoreError, account, audit, organization};

use super::caller::{RESERVED, Role};
use super::error::settled;
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

/// What of an account changes.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// A name for people.
    pub full_name: Option<String>,
    /// A system admin.
    pub is_admin: Option<bool>,
    /// May sign in.
    pub is_active: Option<bool>,
}

/// Makes accounts, all or none.
pub(super) struct CreateAccounts {
    pub(super) caller: Caller,
    pub(super) new: Vec<(Id, NewAccount)>,
    /// Why, where it is not just that somebody asked.
    pub(super) because: &'static str,
}

impl Operation for CreateAccounts {
    type Plan = ();
    type Done = Vec<Account>;
    type Refusal = RegistryError;
    const NAME: &'static str = "create accounts";
    const AUDIT: Audit = Audit::Acts(&[Action::AccountCreate, Action::OrganizationCreate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<(), RegistryError>, StoreError> {
        if !self.caller.is_admin(tables)? {
            return Ok(Err(RegistryError::AdminOnly { action: "create accounts" }));
        }
        // What the caller showed may end; a password or a system admin that it
        // made would not.
        let is_credential = |new: &NewAccount| new.password_hash.is_some() || new.is_admin && !new.is_org;
        if self.caller.is_restricted() && self.new.iter().any(|(_, new)| is_credential(new)) {
            return Ok(Err(RegistryError::Restricted));
        }
        let mut names: Vec<&str> = self.new.iter().map(|(_, new)| new.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Ok(Err(RegistryError::AccountExists { name: twice[0].to_owned() }));
        }
        for (_, new) in &self.new {
            let name = &new.name;
            // Where a name stands, an id may stand too.
            let is_reserved = RESERVED.contains(&name.as_str()) || name.parse::<Id>().is_ok();
            if is_reserved || !is_component(name) || name.len() > limits::ACCOUNT_NAME_BYTES {
                return Ok(Err(RegistryError::AccountName { name: name.clone() }));
            }
            if new.full_name.len() > limits::FULL_NAME_BYTES {
                return Ok(Err(RegistryError::TextTooLong));
            }
            if account::get(tables, name)?.is_some() {
                return Ok(Err(RegistryError::AccountExists { name: name.clone() }));
            }
        }
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Vec<Account>, StoreError> {
        let mut made = Vec::with_capacity(self.new.len());
        for (id, new) in &self.new {
            let record = Account {
                id: *id,
                full_name: new.full_name.clone(),
                is_org: new.is_org,
                is_admin: new.is_admin && !new.is_org,
                is_active: new.is_active || new.is_org,
                password_hash: new.password_hash.clone(),
                created_at: tables.now(),
            };
            account::put(tables, &new.name, &record)?;
            let (action, kind) = match record.is_org {
                true => (Action::OrganizationCreate, ObjectKind::Organization),
                false => (Action::AccountCreate, ObjectKind::Account),
            };
            let mut act = Act::new(action, kind, &new.name).id(*id).within(&new.name).because(self.because);
            if !record.is_org {
                act = act.with("isAdmin", record.is_admin).with("isActive", record.is_active);
            }
            audit::append(tables, &self.caller.actor(), act)?;
            made.push(record);
        }
        Ok(made)
    }
}

struct UpdateAccount {
    caller: Caller,
    name_or_id: String,
    change: AccountChange,
}

impl UpdateAccount {
    fn allowed(&self, read: &impl Read) -> Result<(String, Account), RegistryError> {
        let (name, before) = known(read, &self.name_or_id)?;
        if self.change.full_name.as_ref().is_some_and(|name| name.len() > limits::FULL_NAME_BYTES) {
            return Err(RegistryError::TextTooLong);
        }
        if self.caller.is_admin(read)? {
            let gives = |wanted: Option<bool>, is: bool| wanted == Some(true) && !is && !before.is_org;
            let is_more =
                gives(self.change.is_admin, before.is_admin) || gives(self.change.is_active, before.is_active);
            return if is_more && self.caller.is_restricted() {
                Err(RegistryError::Restricted)
            } else {
                Ok((name, before))
            };
        }
        let may_name = if before.is_org {
            self.caller.role(read, &before.id)? == Some(Role::Owner)
        } else {
            self.caller.is(read, &before.id)?
        };
        if !may_name {
            return Err(RegistryError::NotFor { who: CHANGES_ACCOUNTS });
        }
        // Tools send what they read back.
        let is_same = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        let keeps_flags = before.is_org
            || is_same(self.change.is_admin, before.is_admin) && is_same(self.change.is_active, before.is_active);
        if keeps_flags {
            Ok((name, before))
        } else {
            Err(RegistryError::AdminOnly { action: "decide who is a system admin and who may sign in" })
        }
    }
}

/// Who may change an account.
pub const CHANGES_ACCOUNTS: &str = "a system admin, the user or an owner of the organization";

impl Operation for UpdateAccount {
    type Plan = (String, Account);
    type Done = (String, Account);
    type Refusal = RegistryError;
    const NAME: &'static str = "update account";
    const AUDIT: Audit = Audit::Acts(&[
        Action::AccountUpdate,
        Action::AccountAdmin,
        Action::AccountActivate,
        Action::AccountDeactivate,
        Action::OrganizationUpdate,
    ]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, (name, mut record): Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let before = record.clone();
        if let Some(full_name) = &self.change.full_name {
            record.full_name.clone_from(full_name);
        }
        if !record.is_org {
            record.is_admin = self.change.is_admin.unwrap_or(record.is_admin);
            record.is_active = self.change.is_active.unwrap_or(record.is_active);
        }
        account::put(tables, &name, &record)?;
        if let Some(act) = updated(&name, &before, &record) {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok((name, record))
    }
}

/// What became of an account, called by what weighs most; nothing where nothing
/// changed.
fn updated(name: &str, before: &Account, after: &Account) -> Option<Act> {
    let action = match (after.is_org, before.is_active == after.is_active, before.is_admin == after.is_admin) {
        (true, ..) => Action::OrganizationUpdate,
        (false, false, _) if after.is_active => Action::AccountActivate,
        (false, false, _) => Action::AccountDeactivate,
        (false, true, false) => Action::AccountAdmin,
        (false, true, true) => Action::AccountUpdate,
    };
    let kind = if after.is_org { ObjectKind::Organization } else { ObjectKind::Account };
    let act = Act::new(action, kind, name)
        .id(after.id)
        .within(name)
        .changed("isActive", before.is_active, after.is_active)
        .changed("isAdmin", before.is_admin, after.is_admin)
        .changed("fullName", &before.full_name, &after.full_name);
    act.tells().then_some(act)
}

struct SetPassword {
    caller: Caller,
    user: Id,
    /// The hash that the old password was held against, where that was needed.
    over: Option<Option<String>>,
    hash: String,
}

impl SetPassword {
    fn allowed(&self, read: &impl Read) -> Result<(String, Account), RegistryError> {
        if self.caller.is_restricted() {
            return Err(RegistryError::Restricted);
        }
        let unknown = || RegistryError::UserUnknown { name: self.user.to_string() };
        let (name, record) = account::by_id(read, &self.user)?.ok_or_else(unknown)?;
        let is_self = self.caller.is(read, &self.user)?;
        if !is_self && !self.caller.is_admin(read)? {
            return Err(RegistryError::NotFor { who: SETS_PASSWORDS });
        }
        match &self.over {
            None if is_self => Err(RegistryError::Overtaken { name }),
            Some(over) if *over != record.password_hash => Err(RegistryError::Overtaken { name }),
            None | Some(_) => Ok((name, record)),
        }
    }
}

/// Who may set a password.
pub const SETS_PASSWORDS: &str = "a system admin or the user";

impl Operation for SetPassword {
    type Plan = (String, Account);
    type Done = (String, Account);
    type Refusal = RegistryError;
    const NAME: &'static str = "set password";
    const AUDIT: Audit = Audit::Acts(&[Action::AccountPassword]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        settled(self.allowed(tables))
    }

    fn apply(&self, (name, mut record): Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        record.password_hash = Some(self.hash.clone());
        account::put(tables, &name, &record)?;
        let act = Act::new(Action::AccountPassword, ObjectKind::Account, &name).id(record.id).within(&name);
        audit::append(tables, &self.caller.actor(), act)?;
        Ok((name, record))
    }
}

/// The account with this name or id.
pub(super) fn known(read: &impl Read, name_or_id: &str) -> Result<(String, Account), RegistryError> {
    account::find(read, name_or_id)?.ok_or_else(|| RegistryError::AccountUnknown { name: name_or_id.to_owned() })
}

/// The organization with this name or id.
pub(super) fn known_organization(read: &impl Read, name_or_id: &str) -> Result<(String, Account), RegistryError> {
    let found = account::find(read, name_or_id)?.filter(|(_, account)| account.is_org);
    found.ok_or_else(|| RegistryError::OrganizationUnknown { name: name_or_id.to_owned() })
}

/// The user with this name or id.
pub(super) fn known_user(read: &impl Read, name_or_id: &str) -> Result<(String, Account), RegistryError> {
    let found = account::find(read, name_or_id)?.filter(|(_, account)| !account.is_org);
    found.ok_or_else(|| RegistryError::UserUnknown { name: name_or_id.to_owned() })
}

impl Registry {
    /// Makes a user or an organization.
    pub async fn create_account(&self, caller: &Caller, new: NewAccount) -> Result<Account, RegistryError> {
        let made = self.create_accounts(caller, vec![new]).await?.pop();
        Ok(made.expect("one account was made"))
    }

    /// Makes users and organizations, all or none.
    pub async fn create_accounts(&self, caller: &Caller, new: Vec<NewAccount>) -> Result<Vec<Account>, RegistryError> {
        let new = new.into_iter().map(|new| (self.store().chance().id(), new)).collect();
        self.store().submit(Lane::Foreground, CreateAccounts { caller: caller.clone(), new, because: "" }).await?
    }

    /// Changes an account.
    pub async fn update_account(
        &self,
        caller: &Caller,
        name_or_id: &str,
        change: AccountChange,
    ) -> Result<(String, Account), RegistryError> {
        let operation = UpdateAccount { caller: caller.clone(), name_or_id: name_or_id.to_owned(), change };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Sets a user's password. `over` is the stored hash that its old one was
    /// held against; without it only another than the user itself may.
    pub async fn set_password(
        &self,
        caller: &Caller,
        user: Id,
        over: Option<Option<String>>,
        hash: String,
    ) -> Result<(String, Account), RegistryError> {
        let operation = SetPassword { caller: caller.clone(), user, over, hash };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Whether the caller is a system admin.
    pub fn require_admin(&self, caller: &Caller, action: &'static str) -> Result<(), RegistryError> {
        if caller.is_admin(&self.store().snapshot()?)? { Ok(()) } else { Err(RegistryError::AdminOnly { action }) }
    }

    /// Refuses a caller that may not change an account at all.
    pub fn require_account(&self, caller: &Caller, name_or_id: &str) -> Result<(), RegistryError> {
        let read = self.store().snapshot()?;
        let (_, account) = known(&read, name_or_id)?;
        let may = caller.is_admin(&read)?
            || caller.is(&read, &account.id)?
            || account.is_org && caller.role(&read, &account.id)? == Some(Role::Owner);
        if may { Ok(()) } else { Err(RegistryError::NotFor { who: CHANGES_ACCOUNTS }) }
    }

    /// Refuses a caller that is neither this user nor a system admin.
    pub fn require_user(&self, caller: &Caller, name_or_id: &str) -> Result<(), RegistryError> {
        let read = self.store().snapshot()?;
        let (_, account) = known_user(&read, name_or_id)?;
        let may = caller.is(&read, &account.id)? || caller.is_admin(&read)?;
        if may { Ok(()) } else { Err(RegistryError::NotFor { who: SETS_PASSWORDS }) }
    }

    /// Refuses a caller that is less than `role` in an organization.
    pub fn require_organization(&self, caller: &Caller, name_or_id: &str, role: Role) -> Result<(), RegistryError> {
        let read = self.store().snapshot()?;
        caller.require_role(&read, &known_organization(&read, name_or_id)?.1.id, role)
    }

    /// Accounts by name, from the one at or after `start`.
    pub fn accounts(&self, start: &str, limit: usize) -> Result<Vec<(String, Account)>, RegistryError> {
        Ok(account::list(&self.store().snapshot()?, start, limit)?)
    }

    /// Whether anybody can sign in who is not on this host.
    pub fn has_users(&self) -> Result<bool, RegistryError> {
        let read = self.store().snapshot()?;
        let mut start = String::new();
        loop {
            let slice = account::list(&read, &start, limits::ACCOUNT_SLICE)?;
            if slice.iter().any(|(_, account)| !account.is_org) {
                return Ok(true);
            }
            match slice.last() {
                Some((name, _)) if slice.len() == limits::ACCOUNT_SLICE => start = format!("{name}\0"),
                Some(_) | None => return Ok(false),
            }
        }
    }

    /// An account by name, or by id.
    pub fn account(&self, name_or_id: &str) -> Result<(String, Account), RegistryError> {
        known(&self.store().snapshot()?, name_or_id)
    }

    /// A user by name, or by id.
    pub fn user(&self, name_or_id: &str) -> Result<(String, Account), RegistryError> {
        known_user(&self.store().snapshot()?, name_or_id)
    }

    /// How large an organization is.
    pub fn organization_size(&self, organization: &Id) -> Result<OrganizationSize, RegistryError> {
        Ok(organization::size(&self.store().snapshot()?, organization)?)
    }
}
