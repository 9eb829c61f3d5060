//! `account create|list`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::ACCOUNTS_PAGING;
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a user
    Create(CreateArgs),
    /// List users and organizations
    List,
}

/// `account create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The name to sign in with; also the user's own namespace
    pub name: String,
    /// Every right everywhere
    #[arg(long)]
    pub admin: bool,
    /// Read the password from standard input (the only way to give it)
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &AccountCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        AccountCommand::Create(wanted) => create(wanted, session).await,
        AccountCommand::List => list(session).await,
    }
}

/// Makes the organization `name`.
///
/// # Errors
/// [`CliError`].
pub async fn create_organization(name: &str, session: &Session<'_, '_>) -> Result<(), CliError> {
    let body = json!({"name": name, "isOrg": true, "password": ""});
    session.client.post("/enzi/v0/accounts", &body).await.map(drop)
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let password = session.terminal.secret()?;
    let body = json!({
        "name": wanted.name, "password": password.expose(), "isAdmin": wanted.admin, "isOrg": false, "isActive": true,
    });
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

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::json;

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
}
