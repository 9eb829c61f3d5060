//! `org create|list|show|delete`, `org member add|remove|list`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::account::{DeleteArgs, NameArgs, account_path, create_organization, delete, show};
use super::client::{ACCOUNTS_PAGING, segment};
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do with organizations.
#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// Make an organization
    Create(NameArgs),
    /// List organizations
    List,
    /// Show one organization
    Show(NameArgs),
    /// Remove an organization with its teams; its repositories and images stay
    Delete(DeleteArgs),
    /// Who belongs to it
    #[command(subcommand)]
    Member(MemberCommand),
}

/// What to do with members of an organization.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Let a user in, or change its place
    Add(AddArgs),
    /// Take a user out, of all its teams too
    Remove(MemberArgs),
    /// List members
    List(NameArgs),
}

/// A member to be let in.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The organization
    pub organization: String,
    /// The user
    pub user: String,
    /// An owner: every right in the organization (`--owner=false` takes it back)
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub owner: Option<bool>,
}

/// A member.
#[derive(Args, Debug)]
pub struct MemberArgs {
    /// The organization
    pub organization: String,
    /// The user
    pub user: String,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &OrganizationCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        OrganizationCommand::Create(wanted) => {
            let made = create_organization(&wanted.name, session).await?;
            session.say(&made, &format!("created organization {}", cell(&made, "/name")))
        }
        OrganizationCommand::List => list(session).await,
        OrganizationCommand::Show(wanted) => show(&wanted.name, session).await,
        OrganizationCommand::Delete(wanted) => delete(wanted, session).await,
        OrganizationCommand::Member(command) => members(command, session).await,
    }
}

/// The body of a membership: nothing that was not said.
pub fn membership(is_admin: Option<bool>) -> Value {
    is_admin.map_or_else(|| json!({}), |is_admin| json!({ "isAdmin": is_admin }))
}

/// Shows a list of members.
///
/// # Errors
/// [`CliError`].
pub async fn show_members(path: &str, word: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let members = session.client.list(path, "members", ACCOUNTS_PAGING).await?;
    let row = |member: &Value| vec![cell(member, "/member/name"), cell(member, "/isAdmin"), cell(member, "/member/id")];
    let shown = rows(&members, "/members").iter().map(row).collect();
    session.show(&members, &["NAME", word, "ID"], shown)
}

async fn list(session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let accounts = session.client.list("/enzi/v0/accounts?filter=orgs", "accounts", ACCOUNTS_PAGING).await?;
    let row = |account: &Value| {
        vec![cell(account, "/name"), cell(account, "/membersCount"), cell(account, "/teamsCount"), cell(account, "/id")]
    };
    let shown = rows(&accounts, "/accounts").iter().map(row).collect();
    session.show(&accounts, &["NAME", "MEMBERS", "TEAMS", "ID"], shown)
}

async fn members(command: &MemberCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let path = |of: &str| format!("{}/members", account_path(of));
    match command {
        MemberCommand::Add(wanted) => {
            let path = format!("{}/{}", path(&wanted.organization), segment(&wanted.user));
            let answer = session.client.put(&path, &membership(wanted.owner)).await?;
            let place = if cell(&answer, "/isAdmin") == "yes" { "an owner" } else { "a member" };
            session.say(&answer, &format!("{} is {place} of {}", wanted.user, wanted.organization))
        }
        MemberCommand::Remove(wanted) => {
            let path = format!("{}/{}", path(&wanted.organization), segment(&wanted.user));
            // To the API one that is not there is gone already; here it is a slip.
            session.client.get(&path).await?;
            let answer = session.client.delete(&path).await?;
            session.say(&answer, &format!("{} is no longer a member of {}", wanted.user, wanted.organization))
        }
        MemberCommand::List(wanted) => show_members(&path(&wanted.name), "OWNER", session).await,
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn organizations_and_their_members() {
        let member = "/enzi/v0/accounts/dev/members/ann";
        let fake = Fake::new(vec![
            reply("POST /enzi/v0/accounts", 201, json!({"name": "dev"})),
            reply(
                "GET /enzi/v0/accounts?filter=orgs&limit=1000",
                200,
                json!({"accounts": [{"name": "dev", "membersCount": 2, "teamsCount": 0, "id": "1"}]}),
            ),
            reply(&format!("PUT {member}"), 200, json!({"isAdmin": false})),
            reply(&format!("PUT {member}"), 200, json!({"isAdmin": true})),
            reply(
                "GET /enzi/v0/accounts/dev/members?limit=1000",
                200,
                json!({"members": [{"member": {"name": "ann", "id": "2"}, "isAdmin": true}]}),
            ),
            reply(&format!("GET {member}"), 200, json!({})),
            reply(&format!("DELETE {member}"), 204, Value::Null),
        ]);
        assert_eq!(fake.run(&["org", "create", "dev"], "").await.done(), "created organization dev\n");
        let listed = fake.run(&["org", "list"], "").await.done();
        assert_eq!(listed, "NAME  MEMBERS  TEAMS  ID\ndev   2        0      1\n");
        assert_eq!(fake.run(&["org", "member", "add", "dev", "ann"], "").await.done(), "ann is a member of dev\n");
        let words = ["org", "member", "add", "dev", "ann", "--owner"];
        assert_eq!(fake.run(&words, "").await.done(), "ann is an owner of dev\n");
        assert_eq!(fake.run(&["org", "member", "list", "dev"], "").await.done(), "NAME  OWNER  ID\nann   yes    2\n");
        let words = ["org", "member", "remove", "dev", "ann"];
        assert_eq!(fake.run(&words, "").await.done(), "ann is no longer a member of dev\n");
        assert_eq!((&fake.seen()[2].body, &fake.seen()[3].body), (&json!({}), &json!({"isAdmin": true})));
        assert_eq!(fake.run(&["org", "member", "add", "dev"], "").await.exit, Exit::Usage);
    }
}
