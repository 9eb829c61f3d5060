//! Users and organizations.

use serde::{Deserialize, Serialize};

use crate::http::sign_in;
use crate::identity::password;
use crate::registry::account::{AccountChange, NewAccount};
use crate::registry::account_removal::Removed;
use crate::registry::{Caller, Registry, RegistryError};
use crate::secret::Secret;
use crate::store::account::SYSTEM_ORGANIZATION;
use crate::store::record::Account;
use crate::{lifecycle, limits};

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::form::Form;
use super::shape::AccountShape;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccountForm {
    name: Option<String>,
    full_name: Option<String>,
    is_org: Option<bool>,
    is_admin: Option<bool>,
    is_active: Option<bool>,
    password: Option<Secret>,
    password_hash: Option<Secret>,
    #[serde(rename = "searchLDAP")]
    search_ldap: Option<bool>,
}

/// What of an account changes.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PasswordForm {
    old_password: Option<Secret>,
    new_password: Option<Secret>,
}

/// Many changes at once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OperationsForm {
    operations: Option<Vec<Form<OperationForm>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OperationForm {
    op: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

#[derive(Debug, Serialize)]
struct ResultShape {
    op: String,
    #[serde(rename = "ref")]
    reference: String,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImportForm {
    accounts: Option<Vec<Form<AccountForm>>>,
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

/// `POST /accounts`
pub(super) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let new = checked(call, call.form()?, Needs::Password).await?;
    let name = new.name.clone();
    let made = call.registry().create_account(call.caller, new).await?;
    Ok(Answer::created(&AccountShape::of(call.registry(), name, made)?))
}

/// `POST /admin/importAccounts`: all or none. What other systems have made of
/// passwords cannot be checked here, so a hash is refused rather than dropped.
pub(super) async fn import(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: ImportForm = call.form()?;
    let forms = form.accounts.ok_or(ApiError::Missing("accounts"))?;
    if forms.len() > limits::ACCOUNTS_AT_ONCE {
        let why = format!("at most {} accounts are imported at once", limits::ACCOUNTS_AT_ONCE);
        return Err(ApiError::Parameter { name: "accounts", why });
    }
    let mut all = Vec::with_capacity(forms.len());
    for Form(form) in forms {
        all.push(checked(call, form, Needs::Nothing).await?);
    }
    let names: Vec<String> = all.iter().map(|new| new.name.clone()).collect();
    let made = call.registry().create_accounts(call.caller, all).await?;
    let of = |(name, account)| AccountShape::of(call.registry(), name, account);
    let accounts = names.into_iter().zip(made).map(of).collect::<Result<Vec<_>, _>>()?;
    Ok(Answer::created(&serde_json::json!({ "accounts": accounts })))
}

/// Whether a user needs a password from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Password,
    Nothing,
}

async fn checked(call: Call<'_>, form: AccountForm, needs: Needs) -> Result<NewAccount, ApiError> {
    let name = form.name.filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let is_org = form.is_org.unwrap_or(false);
    if form.search_ldap == Some(true) {
        return Err(ApiError::NoDirectory);
    }
    if form.password_hash.is_some_and(|hash| !hash.is_empty()) {
        return Err(ApiError::ForeignHash);
    }
    let password_hash = match form.password.filter(|password| !password.is_empty()) {
        // Tools send one for organizations too; nobody signs in as one.
        _ if is_org => None,
        None if needs == Needs::Nothing => None,
        None => return Err(ApiError::NoPassword),
        Some(password) => {
            password::check(&password)?;
            Some(call.state.passwords().hash(&password).await?)
        }
    };
    Ok(NewAccount {
        // Scripts name organizations after departments; a namespace has no
        // capitals.
        name: if is_org { name.to_lowercase() } else { name },
        full_name: form.full_name.unwrap_or_default(),
        is_org,
        is_admin: form.is_admin.unwrap_or(false),
        is_active: form.is_active.unwrap_or(true),
        password_hash,
    })
}

/// `GET /accounts/{a}`
pub(super) fn get(call: Call<'_>, name_or_id: &str) -> Result<Answer, ApiError> {
    let (name, account) = call.registry().account(name_or_id)?;
    Ok(Answer::ok(&AccountShape::of(call.registry(), name, account)?))
}

/// `GET /id`: the caller's own account.
pub(super) fn who_am_i(call: Call<'_>) -> Result<Answer, ApiError> {
    match call.caller {
        Caller::Account { id, .. } => get(call, &id.to_string()),
        Caller::Robot { name, .. } => Err(RegistryError::AccountUnknown { name: name.clone() }.into()),
        // Whoever holds the local socket has no account and every right.
        Caller::System | Caller::Anonymous => {
            let account = Account {
                id: crate::chance::Id::from_bytes([0; 16]),
                full_name: String::new(),
                is_org: false,
                is_admin: *call.caller == Caller::System,
                is_active: true,
                password_hash: None,
                created_at: call.registry().store().now(),
            };
            Ok(Answer::ok(&AccountShape::of(call.registry(), call.caller.label().to_owned(), account)?))
        }
    }
}

/// `PATCH /accounts/{a}`: what is left out stays.
pub(super) async fn update(call: Call<'_>, name_or_id: &str) -> Result<Answer, ApiError> {
    let form: AccountForm = call.form()?;
    let change = AccountChange { full_name: form.full_name, is_admin: form.is_admin, is_active: form.is_active };
    let (name, account) = call.registry().update_account(call.caller, name_or_id, change).await?;
    Ok(Answer::ok(&AccountShape::of(call.registry(), name, account)?))
}

/// `DELETE /accounts/{a}`: one that is gone is gone. Its repositories stay, and
/// the answer says so.
pub(super) async fn delete(call: Call<'_>, name_or_id: &str) -> Result<Answer, ApiError> {
    let warnings: Vec<String> = match call.registry().delete_account(call.caller, name_or_id).await? {
        Some(Removed { name, has_repositories: true }) => {
            vec![format!("the repositories and images of {name} stay; DELETE /api/v0/accounts/{name} removes them too")]
        }
        Some(_) | None => Vec::new(),
    };
    Ok(Answer::nothing().warn(&warnings))
}

/// `PATCH /accounts`: a list of operations, each done or not by itself.
pub(super) async fn change_many(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: OperationsForm = call.form()?;
    let operations = form.operations.ok_or(ApiError::Missing("operations"))?;
    if operations.len() > limits::ACCOUNTS_AT_ONCE {
        let why = format!("at most {} operations are done at once", limits::ACCOUNTS_AT_ONCE);
        return Err(ApiError::Parameter { name: "operations", why });
    }
    let mut results = Vec::with_capacity(operations.len());
    for Form(OperationForm { op, reference }) in operations {
        let (op, reference) = (op.unwrap_or_default(), reference.unwrap_or_default());
        let done = match op.as_str() {
            "delete" => call.registry().delete_account(call.caller, &reference).await.map(drop).map_err(ApiError::from),
            other => {
                let why = format!("{other:?} is not done here; \"delete\" is");
                Err(ApiError::Parameter { name: "op", why })
            }
        };
        let error = match done {
            Ok(()) => None,
            // What is ours to mend ends the whole of it.
            Err(error) if error.verdict().0.is_server_error() => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        results.push(ResultShape { op, reference, success: error.is_none(), error });
    }
    Ok(Answer::ok(&serde_json::json!({ "results": results })))
}

/// `POST /accounts/{u}/changePassword`: the user says its old one; a system
/// admin sets another's.
pub(super) async fn change_password(call: Call<'_>, user: &str) -> Result<Answer, ApiError> {
    // What it showed ends some day; a password of its own choice would not.
    if call.caller.is_restricted() {
        return Err(RegistryError::Restricted.into());
    }
    let form: PasswordForm = call.form()?;
    let (name, account) = call.registry().user(user)?;
    let new = form.new_password.filter(|new| !new.is_empty()).ok_or(ApiError::Missing("newPassword"))?;
    password::check(&new)?;
    let is_self = matches!(call.caller, Caller::Account { id, .. } if *id == account.id);
    let over = if is_self {
        let old = form.old_password.unwrap_or_else(|| Secret::new(""));
        // A password that is guessed here is one that is guessed: it counts, and
        // is told, like a sign-in.
        if !sign_in::is_right(call.state, &name, account.password_hash.as_deref(), &old, call.from).await? {
            sign_in::wrong(call.state, &name, call.from);
            return Err(ApiError::WrongPassword);
        }
        Some(account.password_hash)
    } else {
        None
    };
    let hash = call.state.passwords().hash(&new).await?;
    let (name, account) = call.registry().set_password(call.caller, account.id, over, hash).await?;
    Ok(Answer::ok(&AccountShape::of(call.registry(), name, account)?))
}

/// `GET /config/accounts`: who stays, and how many there are.
pub(super) async fn config(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = call.registry().clone();
    let counted = lifecycle::blocking(move || {
        let (mut users, mut organizations) = (0_usize, 0_usize);
        each(&registry, |_, account| *(if account.is_org { &mut organizations } else { &mut users }) += 1)?;
        Ok::<_, RegistryError>((users, organizations))
    });
    let (users, organizations) = counted.await?;
    Ok(Answer::ok(&serde_json::json!({
        "systemAccounts": [SYSTEM_ORGANIZATION], "usersCount": users, "orgsCount": organizations,
    })))
}

/// `GET /accounts`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let filter = Filter::parse(call.query.filled("filter"));
    let order = Order::parse(call.query.filled("order"));
    let contains = call.query.filled("contains").map(str::to_lowercase);
    let registry = call.registry().clone();
    let listed = lifecycle::blocking(move || {
        let mut shown = AccountsShape::default();
        let mut found: Vec<(String, String)> = Vec::new();
        each(&registry, |name, account| {
            if account.is_org {
                shown.orgs_count += 1;
            } else {
                shown.users_count += 1;
            }
            let full_name = account.full_name.to_lowercase();
            let in_text = contains.as_deref().is_none_or(|text| name.contains(text) || full_name.contains(text));
            if filter.takes(&account) && in_text {
                found.push((full_name, name));
            }
        })?;
        shown.resource_count = found.len();
        order.sort(&mut found);
        let first = page.start.as_deref().map_or(0, |start| order.place(&found, start));
        let mut names = found.into_iter().skip(first).map(|(_, name)| name);
        for name in names.by_ref().take(page.size) {
            // One that has just gone is not shown.
            if let Ok((name, account)) = registry.account(&name) {
                shown.accounts.push(AccountShape::of(&registry, name, account)?);
            }
        }
        shown.next_page_start = names.next().unwrap_or_default();
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

/// In which order accounts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    by_full_name: bool,
    backward: bool,
}

impl Order {
    /// A plus arrives as a blank where it was not escaped.
    fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        let word = text.trim_start_matches(['+', '-', ' ']);
        Self { by_full_name: word.eq_ignore_ascii_case("fullName"), backward: text.starts_with('-') }
    }

    /// Sorts pairs of full name and name.
    fn sort(self, found: &mut [(String, String)]) {
        if self.by_full_name {
            found.sort_unstable();
        }
        if self.backward {
            found.reverse();
        }
    }

    /// Where the account called `start` is, or would be.
    fn place(self, found: &[(String, String)], start: &str) -> usize {
        if let Some(place) = found.iter().position(|(_, name)| name == start) {
            return place;
        }
        match (self.by_full_name, self.backward) {
            (false, false) => found.partition_point(|(_, name)| name.as_str() < start),
            (false, true) => found.partition_point(|(_, name)| name.as_str() > start),
            // It is gone, and with it what it was sorted by.
            (true, _) => found.len(),
        }
    }
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
