//! `account create|list|show|update|password|delete`.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{ACCOUNTS_PAGING, segment};
use super::error::{CliError, UsageError};
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a user
    Create(CreateArgs),
    /// List users and organizations
    List,
    /// Show one user or organization
    Show(NameArgs),
    /// Change a user's name for people, rights, and whether it may sign in
    Update(UpdateArgs),
    /// Set a user's password
    Password(PasswordArgs),
    /// Remove a user or an organization; its repositories and images stay
    Delete(DeleteArgs),
}

/// An account's name.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// Name or id
    pub name: String,
}

/// `account create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The name to sign in with; also the user's own namespace
    pub name: String,
    /// Every right everywhere
    #[arg(long)]
    pub admin: bool,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    pub full_name: Option<String>,
    /// Read the password from standard input (the only way to give it)
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

/// `account update`'s flags.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["full_name", "admin", "active"])))]
pub struct UpdateArgs {
    /// Name or id
    pub name: String,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    pub full_name: Option<String>,
    /// Whether it has every right everywhere
    #[arg(long, value_name = "true|false")]
    pub admin: Option<bool>,
    /// Whether it may sign in
    #[arg(long, value_name = "true|false")]
    pub active: Option<bool>,
}

/// `account password`'s flags.
#[derive(Args, Debug)]
pub struct PasswordArgs {
    /// Name or id
    pub name: String,
    /// Read the password from standard input (the only way to give it)
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

/// `account delete`'s flags.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// Name or id
    pub name: String,
    /// Its repositories too, with all their tags and policies
    #[arg(long)]
    pub repositories: bool,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &AccountCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        AccountCommand::Create(wanted) => create(wanted, session).await,
        AccountCommand::List => list(session).await,
        AccountCommand::Show(wanted) => show(&wanted.name, session).await,
        AccountCommand::Update(wanted) => update(wanted, session).await,
        AccountCommand::Password(wanted) => password(wanted, session).await,
        AccountCommand::Delete(wanted) => delete(wanted, session).await,
    }
}

/// Makes the organization `name`.
///
/// # Errors
/// [`CliError`].
pub async fn create_organization(name: &str, session: &Session<'_, '_>) -> Result<Value, CliError> {
    let body = json!({"name": name, "isOrg": true, "password": ""});
    session.client.post("/enzi/v0/accounts", &body).await
}

/// The path of an account.
pub fn account_path(name: &str) -> String {
    format!("/enzi/v0/accounts/{}", segment(name))
}

/// Shows one account.
///
/// # Errors
/// [`CliError`].
pub async fn show(name: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let account = session.client.get(&account_path(name)).await?;
    let shown = [
        ("name", "/name"),
        ("id", "/id"),
        ("full name", "/fullName"),
        ("organization", "/isOrg"),
        ("admin", "/isAdmin"),
        ("active", "/isActive"),
        ("members", "/membersCount"),
        ("teams", "/teamsCount"),
    ];
    let rows = shown.into_iter().filter(|(_, at)| account.pointer(at).is_some());
    let rows = rows.map(|(word, at)| vec![word.to_owned(), cell(&account, at)]).collect();
    session.show(&account, &["FIELD", "VALUE"], rows)
}

/// Removes an account, and its repositories where that is wanted.
///
/// # Errors
/// [`CliError`].
pub async fn delete(wanted: &DeleteArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    if !wanted.yes {
        let consent = if wanted.repositories { UsageError::NoConsentNamespace } else { UsageError::NoConsentAccount };
        return Err(CliError::Usage(consent));
    }
    // To the API one that is not there is gone already; here it is a slip.
    let name = match session.client.get(&account_path(&wanted.name)).await {
        Ok(account) => cell(&account, "/name"),
        Err(missing) if missing.is_api("NO_SUCH_ACCOUNT") && wanted.repositories => wanted.name.clone(),
        Err(error) => return Err(error),
    };
    if wanted.repositories {
        let answer = session.client.delete(&format!("/api/v0/accounts/{}", segment(&name))).await?;
        return session.say(&answer, &format!("deleted {name} and all its repositories"));
    }
    let path = format!("/api/v0/repositories/{}?pageSize=1", segment(&name));
    let has = !rows(&session.client.get(&path).await?, "/repositories").is_empty();
    let answer = session.client.delete(&account_path(&name)).await?;
    session.say(&answer, &format!("deleted account {name}"))?;
    if has {
        let left = "its repositories and images stay, and belong to whoever gets the name next; to remove them too: \
                    tidegate account delete";
        session.note(&format!("{left} {name} --repositories --yes"))?;
    }
    Ok(())
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let password = session.terminal.secret()?;
    let mut body = json!({
        "name": wanted.name, "password": password.expose(), "isAdmin": wanted.admin, "isOrg": false, "isActive": true,
    });
    if let Some(full_name) = &wanted.full_name {
        body["fullName"] = json!(full_name);
    }
    let account = session.client.post("/enzi/v0/accounts", &body).await?;
    let kind = if wanted.admin { "system admin" } else { "user" };
    session.say(&account, &format!("created {kind} {}", cell(&account, "/name")))
}

async fn list(session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let accounts = session.client.list("/enzi/v0/accounts", "accounts", ACCOUNTS_PAGING).await?;
    let row = |account: &Value| {
        let organization = account.pointer("/isOrg").and_then(Value::as_bool).unwrap_or(false);
        let kind = if organization { "organization" } else { "user" };
        vec![
            cell(account, "/name"),
            kind.to_owned(),
            cell(account, "/isAdmin"),
            cell(account, "/isActive"),
            cell(account, "/id"),
        ]
    };
    let shown = rows(&accounts, "/accounts").iter().map(row).collect();
    session.show(&accounts, &["NAME", "KIND", "ADMIN", "ACTIVE", "ID"], shown)
}

async fn update(wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
    set("fullName", wanted.full_name.clone().map(Value::from));
    set("isAdmin", wanted.admin.map(Value::from));
    set("isActive", wanted.active.map(Value::from));
    let path = account_path(&wanted.name);
    let answer = session.client.change(Method::PATCH, &path, Some(&Value::Object(body)), None).await?;
    session.say(&answer, &format!("changed account {}", cell(&answer, "/name")))
}

async fn password(wanted: &PasswordArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let password = session.terminal.secret()?;
    let path = format!("{}/changePassword", account_path(&wanted.name));
    let answer = session.client.post(&path, &json!({"newPassword": password.expose()})).await?;
    session.say(&answer, &format!("set the password of {}", cell(&answer, "/name")))
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn the_password_comes_from_standard_input_and_goes_nowhere_else() {
        let fake = Fake::new(vec![reply("POST /enzi/v0/accounts", 201, json!({"name": "alice", "isAdmin": true}))]);
        let ran = fake.run(&["account", "create", "alice", "--admin", "--password-stdin"], "correct horse\n").await;
        assert_eq!(ran.done(), "created system admin alice\n");
        let sent =
            json!({"name": "alice", "password": "correct horse", "isAdmin": true, "isOrg": false, "isActive": true});
        assert_eq!(fake.seen()[0].body, sent);
        assert_eq!(fake.seen()[0].host, "localhost");
        // Without the flag there is no password to be had: nothing is sent.
        assert_eq!(fake.run(&["account", "create", "bob"], "").await.exit, Exit::Usage);
        assert_eq!(fake.run(&["account", "create", "bob", "--password-stdin"], "").await.exit, Exit::Failure);
        assert_eq!(fake.seen().len(), 1);
    }

    #[tokio::test]
    async fn accounts_are_a_table_or_the_apis_json() {
        let accounts = json!({"accounts": [
            {"name": "admin", "id": "1", "isOrg": false, "isAdmin": true, "isActive": true},
            {"name": "dev", "id": "2", "isOrg": true},
        ]});
        let fake = Fake::new(vec![reply("GET /enzi/v0/accounts?limit=1000", 200, accounts.clone()); 2]);
        assert_eq!(
            fake.run(&["account", "list"], "").await.done(),
            "NAME   KIND          ADMIN  ACTIVE  ID\nadmin  user          yes    yes     1\ndev    organization                 2\n"
        );
        let printed = fake.run(&["account", "list", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), accounts);
    }

    #[tokio::test]
    async fn a_change_says_only_what_changes() {
        let fake = Fake::new(vec![
            reply("PATCH /enzi/v0/accounts/ann", 200, json!({"name": "ann"})),
            reply("POST /enzi/v0/accounts/ann/changePassword", 200, json!({"name": "ann"})),
        ]);
        let words = ["account", "update", "ann", "--active", "false"];
        assert_eq!(fake.run(&words, "").await.done(), "changed account ann\n");
        let words = ["account", "password", "ann", "--password-stdin"];
        assert_eq!(fake.run(&words, "correct horse\n").await.done(), "set the password of ann\n");
        assert_eq!(fake.seen()[0].body, json!({"isActive": false}));
        assert_eq!(fake.seen()[1].body, json!({"newPassword": "correct horse"}));
        assert_eq!(fake.run(&["account", "update", "ann"], "").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_removal_needs_consent_and_says_what_stays() {
        let ann = || reply("GET /enzi/v0/accounts/ann", 200, json!({"name": "ann"}));
        let has = |list: Value| reply("GET /api/v0/repositories/ann?pageSize=1", 200, json!({"repositories": list}));
        let fake = Fake::new(vec![
            ann(),
            has(json!([{"name": "app"}])),
            reply("DELETE /enzi/v0/accounts/ann", 204, Value::Null),
            ann(),
            reply("DELETE /api/v0/accounts/ann", 204, Value::Null),
            reply("GET /enzi/v0/accounts/no", 404, json!({"errors": [{"code": "NO_SUCH_ACCOUNT", "message": "no"}]})),
        ]);
        let ran = fake.run(&["account", "delete", "ann"], "").await;
        assert!(ran.exit == Exit::Usage && ran.err.contains("--yes") && fake.seen().is_empty());
        let out = fake.run(&["account", "delete", "ann", "--yes"], "").await.done();
        assert!(out.starts_with("deleted account ann\nits repositories and images stay"), "{out}");
        let out = fake.run(&["account", "delete", "ann", "--repositories", "--yes"], "").await.done();
        assert_eq!(out, "deleted ann and all its repositories\n");
        assert_eq!(fake.run(&["account", "delete", "no", "--yes"], "").await.exit, Exit::Failure);
    }
}
