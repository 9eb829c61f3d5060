//! Users and organizations, as the accounts API shows them.

use serde::{Deserialize, Serialize};

use crate::identity::password;
use crate::registry::account::NewAccount;
use crate::registry::{Registry, RegistryError};
use crate::secret::Secret;
use crate::store::record::Account;
use crate::{lifecycle, limits};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccountForm {
    name: Option<String>,
    full_name: Option<String>,
    is_org: Option<bool>,
    is_admin: Option<bool>,
    is_active: Option<bool>,
    password: Option<Secret>,
}

/// An account. The fields of the other kind are absent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountShape {
    name: String,
    id: String,
    full_name: String,
    is_org: bool,
    #[serde(flatten)]
    kind: KindShape,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum KindShape {
    #[serde(rename_all = "camelCase")]
    User {
        is_admin: bool,
        is_active: bool,
        /// From an outside directory; there is none.
        is_imported: bool,
        on_demand: bool,
        otp_enabled: bool,
        locked: bool,
    },
    #[serde(rename_all = "camelCase")]
    Organization { members_count: u64, teams_count: u64 },
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountsShape {
    accounts: Vec<AccountShape>,
    users_count: usize,
    orgs_count: usize,
    resource_count: usize,
    next_page_start: String,
}

/// Which accounts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    All,
    Users,
    Orgs,
    Admins,
    NonAdmins,
    Active,
    Inactive,
}

/// `POST /enzi/v0/accounts`
pub(super) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: AccountForm = call.form()?;
    let name = form.name.filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let is_org = form.is_org.unwrap_or(false);
    let password_hash = match form.password.filter(|password| !password.is_empty()) {
        // Tools send one for organizations too; nobody signs in as one.
        _ if is_org => None,
        None => return Err(ApiError::NoPassword),
        Some(password) => {
            password::check(&password)?;
            Some(call.state.passwords().hash(&password).await?)
        }
    };
    let new = NewAccount {
        name: name.clone(),
        full_name: form.full_name.unwrap_or_default(),
        is_org,
        is_admin: form.is_admin.unwrap_or(false),
        is_active: form.is_active.unwrap_or(true),
        password_hash,
    };
    let made = call.registry().create_account(call.caller, new).await?;
    Ok(Answer::created(&shape(name, made)))
}

/// `GET /enzi/v0/accounts/{nameOrID}`
pub(super) fn get(call: Call<'_>, name_or_id: &str) -> Result<Answer, ApiError> {
    let (name, account) = call.registry().account(name_or_id)?;
    Ok(Answer::ok(&shape(name, account)))
}

/// `GET /enzi/v0/id`, `GET /id`: the caller's own.
pub(super) fn own(call: Call<'_>) -> Result<Answer, ApiError> {
    let unknown = || RegistryError::AccountUnknown { name: call.caller.label().to_owned() };
    let id = call.caller.id().ok_or_else(unknown)?;
    get(call, &id.to_string()).map_err(|_| unknown().into())
}

/// `GET /enzi/v0/accounts`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let filter = Filter::parse(call.query.filled("filter"));
    let contains = call.query.filled("contains").map(str::to_lowercase);
    let registry = call.registry().clone();
    let listed = lifecycle::blocking(move || {
        let mut shown = AccountsShape::default();
        each(&registry, |name, account| {
            if account.is_org {
                shown.orgs_count += 1;
            } else {
                shown.users_count += 1;
            }
            let in_text = contains
                .as_deref()
                .is_none_or(|text| name.contains(text) || account.full_name.to_lowercase().contains(text));
            if !filter.takes(&account) || !in_text {
                return;
            }
            shown.resource_count += 1;
            if page.start.as_deref().is_some_and(|start| name.as_str() < start) {
                return;
            }
            if shown.accounts.len() < page.size {
                shown.accounts.push(shape(name, account));
            } else if shown.next_page_start.is_empty() {
                shown.next_page_start = name;
            }
        })?;
        Ok::<_, RegistryError>(shown)
    })
    .await?;
    let next = Some(listed.next_page_start.clone()).filter(|next| !next.is_empty());
    Ok(Answer::ok(&listed).next(next))
}

/// Hands every account to `take`, by name, a slice a snapshot.
fn each(registry: &Registry, mut take: impl FnMut(String, Account)) -> Result<(), RegistryError> {
    let mut start = String::new();
    loop {
        let slice = registry.accounts(&start, limits::ACCOUNT_SLICE)?;
        let is_last = slice.len() < limits::ACCOUNT_SLICE;
        if let Some((name, _)) = slice.last() {
            // The least name that sorts after it.
            start = format!("{name}\0");
        }
        slice.into_iter().for_each(|(name, account)| take(name, account));
        if is_last {
            return Ok(());
        }
    }
}

fn shape(name: String, account: Account) -> AccountShape {
    let kind = if account.is_org {
        KindShape::Organization { members_count: 0, teams_count: 0 }
    } else {
        KindShape::User {
            is_admin: account.is_admin,
            is_active: account.is_active,
            is_imported: false,
            on_demand: false,
            otp_enabled: false,
            locked: false,
        }
    };
    AccountShape { name, id: account.id.to_string(), full_name: account.full_name, is_org: account.is_org, kind }
}

impl Filter {
    /// Words that mean nothing here are sent by tools and mean all.
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("users") => Self::Users,
            Some("orgs") => Self::Orgs,
            Some("admins") => Self::Admins,
            Some("non-admins") => Self::NonAdmins,
            Some("active-users") => Self::Active,
            Some("inactive-users") => Self::Inactive,
            _ => Self::All,
        }
    }

    fn takes(self, account: &Account) -> bool {
        match self {
            Self::All => true,
            Self::Users => !account.is_org,
            Self::Orgs => account.is_org,
            Self::Admins => account.is_admin,
            Self::NonAdmins => !account.is_org && !account.is_admin,
            Self::Active => !account.is_org && account.is_active,
            Self::Inactive => !account.is_org && !account.is_active,
        }
    }
}
