//! `team create|list|show|update|delete`, `team member add|remove|list`,
//! `team grant|revoke|grants`, and `access`.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::account::account_path;
use super::client::{ACCOUNTS_PAGING, API_PAGING, repository_path, segment};
use super::error::CliError;
use super::organization::{membership, show_members};
use super::run::Session;
use super::terminal::{cell, rows};
use crate::access::Level;
use crate::oci::RepoName;

/// What to do with teams.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Make a team
    Create(CreateArgs),
    /// List the teams of an organization
    List(OrganizationArgs),
    /// Show one team
    Show(TeamArgs),
    /// Change a team's name or description
    Update(UpdateArgs),
    /// Remove a team with what it was granted
    Delete(TeamArgs),
    /// Who belongs to it
    #[command(subcommand)]
    Member(MemberCommand),
    /// Let a team read, push to or administer a repository, or all of them
    Grant(GrantArgs),
    /// Take that back
    Revoke(RevokeArgs),
    /// List what a team was granted
    Grants(TeamArgs),
}

/// What to do with members of a team.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Let a user in (and into the organization), or change its place
    Add(AddArgs),
    /// Take a user out; it stays in the organization
    Remove(MemberArgs),
    /// List members
    List(TeamArgs),
}

/// An organization.
#[derive(Args, Debug)]
pub struct OrganizationArgs {
    /// The organization
    pub organization: String,
}

/// A team.
#[derive(Args, Debug)]
pub struct TeamArgs {
    /// The organization
    pub organization: String,
    /// The team, by name or id
    pub team: String,
}

/// `team create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// A line about it
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// `team update`'s flags.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["name", "description"])))]
pub struct UpdateArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// Another name
    #[arg(long)]
    pub name: Option<String>,
    /// A line about it
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// A member to be let in.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// The user
    pub user: String,
    /// May change the team and its members (`--admin=false` takes it back)
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub admin: Option<bool>,
}

/// A member.
#[derive(Args, Debug)]
pub struct MemberArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// The user
    pub user: String,
}

/// Where a grant holds.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// This repository, NAMESPACE/NAME
    #[arg(long, value_name = "REPOSITORY")]
    pub on: Option<RepoName>,
    /// Every repository of the organization, those to come too
    #[arg(long)]
    pub on_all: bool,
}

/// `team grant`'s flags.
#[derive(Args, Debug)]
pub struct GrantArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// read-only, read-write or admin
    pub level: Level,
    /// Where.
    #[command(flatten)]
    pub place: Place,
}

/// `team revoke`'s flags.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// Which team.
    #[command(flatten)]
    pub at: TeamArgs,
    /// Where.
    #[command(flatten)]
    pub place: Place,
}

/// `access`'s words.
#[derive(Args, Debug)]
pub struct AccessArgs {
    /// A user, by name or id
    pub user: String,
    /// NAMESPACE/NAME
    pub repository: RepoName,
}

impl TeamArgs {
    fn path(&self) -> String {
        format!("{}/{}", teams_path(&self.organization), segment(&self.team))
    }

    fn shown(&self) -> String {
        format!("team {} of {}", self.team, self.organization)
    }
}

impl Place {
    fn path(&self, at: &TeamArgs) -> String {
        let team = segment(&at.team);
        match &self.on {
            Some(name) => format!("{}/teamAccess/{team}", repository_path(name)),
            None => format!("/api/v0/repositoryNamespaces/{}/teamAccess/{team}", segment(&at.organization)),
        }
    }

    fn shown(&self, at: &TeamArgs) -> String {
        self.on.as_ref().map_or_else(|| format!("all of {}", at.organization), ToString::to_string)
    }
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &TeamCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        TeamCommand::Create(wanted) => {
            let body = json!({"name": wanted.at.team, "description": wanted.description.clone().unwrap_or_default()});
            let made = session.client.post(&teams_path(&wanted.at.organization), &body).await?;
            session.say(&made, &format!("created {}", wanted.at.shown()))
        }
        TeamCommand::List(wanted) => list(&wanted.organization, session).await,
        TeamCommand::Show(wanted) => {
            let team = session.client.get(&wanted.path()).await?;
            session.show(&team, &HEADER, vec![row(&team)])
        }
        TeamCommand::Update(wanted) => update(wanted, session).await,
        TeamCommand::Delete(wanted) => {
            // To the API one that is not there is gone already; here it is a slip.
            session.client.get(&wanted.path()).await?;
            let answer = session.client.delete(&wanted.path()).await?;
            session.say(&answer, &format!("deleted {}", wanted.shown()))
        }
        TeamCommand::Member(command) => members(command, session).await,
        TeamCommand::Grant(wanted) => {
            let body = json!({"accessLevel": wanted.level.as_str()});
            let answer = session.client.put(&wanted.place.path(&wanted.at), &body).await?;
            let (team, place) = (wanted.at.shown(), wanted.place.shown(&wanted.at));
            session.say(&answer, &format!("{team} has {} access to {place}", wanted.level.as_str()))
        }
        TeamCommand::Revoke(wanted) => {
            session.client.get(&wanted.at.path()).await?;
            let answer = session.client.delete(&wanted.place.path(&wanted.at)).await?;
            let (team, place) = (wanted.at.shown(), wanted.place.shown(&wanted.at));
            session.say(&answer, &format!("{team} has no grant on {place} any more"))
        }
        TeamCommand::Grants(wanted) => grants(wanted, session).await,
    }
}

/// Says what a user may do with a repository in the end.
///
/// # Errors
/// [`CliError`].
pub async fn access(wanted: &AccessArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let (namespace, rest) = (segment(wanted.repository.namespace()), segment(wanted.repository.rest()));
    let path = format!("/api/v0/accounts/{}/repositoryAccess/{namespace}/{rest}", segment(&wanted.user));
    let answer = match session.client.get(&path).await {
        Err(none) if none.is_api("NO_SUCH_REPOSITORY_ACCESS") => json!({"accessLevel": "none"}),
        answered => answered?,
    };
    let level = cell(&answer, "/accessLevel");
    let level = if level == "none" { "no".to_owned() } else { level };
    session.say(&answer, &format!("{} has {level} access to {}", wanted.user, wanted.repository))
}

const HEADER: [&str; 4] = ["NAME", "MEMBERS", "DESCRIPTION", "ID"];

fn row(team: &Value) -> Vec<String> {
    vec![cell(team, "/name"), cell(team, "/membersCount"), cell(team, "/description"), cell(team, "/id")]
}

fn teams_path(organization: &str) -> String {
    format!("{}/teams", account_path(organization))
}

async fn list(organization: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let teams = session.client.list(&teams_path(organization), "teams", ACCOUNTS_PAGING).await?;
    let shown = rows(&teams, "/teams").iter().map(row).collect();
    session.show(&teams, &HEADER, shown)
}

async fn update(wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    body.extend(wanted.name.clone().map(|name| ("name".to_owned(), Value::from(name))));
    body.extend(wanted.description.clone().map(|text| ("description".to_owned(), Value::from(text))));
    let path = wanted.at.path();
    let answer = session.client.change(Method::PATCH, &path, Some(&Value::Object(body)), None).await?;
    session.say(&answer, &format!("changed team {} of {}", cell(&answer, "/name"), wanted.at.organization))
}

async fn members(command: &MemberCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        MemberCommand::Add(wanted) => {
            let path = format!("{}/members/{}", wanted.at.path(), segment(&wanted.user));
            let answer = session.client.put(&path, &membership(wanted.admin)).await?;
            let place = if cell(&answer, "/isAdmin") == "yes" { "an admin" } else { "a member" };
            session.say(&answer, &format!("{} is {place} of {}", wanted.user, wanted.at.shown()))
        }
        MemberCommand::Remove(wanted) => {
            let path = format!("{}/members/{}", wanted.at.path(), segment(&wanted.user));
            session.client.get(&path).await?;
            let answer = session.client.delete(&path).await?;
            session.say(&answer, &format!("{} is no longer a member of {}", wanted.user, wanted.at.shown()))
        }
        MemberCommand::List(wanted) => show_members(&format!("{}/members", wanted.path()), "ADMIN", session).await,
    }
}

/// The grant on the namespace and those on repositories, in one table.
async fn grants(wanted: &TeamArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let (organization, team) = (segment(&wanted.organization), segment(&wanted.team));
    let path = format!("/api/v0/accounts/{organization}/teams/{team}/repositoryAccess");
    let mut answer = session.client.list(&path, "repositoryAccessList", API_PAGING).await?;
    let path = format!("/api/v0/repositoryNamespaces/{organization}/teamAccess/{team}");
    let everywhere = match session.client.get(&path).await {
        Err(none) if none.is_api("NO_SUCH_NAMESPACE_TEAM_ACCESS") => Value::Null,
        answered => answered?.pointer("/accessLevel").cloned().unwrap_or(Value::Null),
    };
    let mut shown = Vec::new();
    if !everywhere.is_null() {
        shown.push(vec![format!("all of {}", wanted.organization), cell(&everywhere, "")]);
    }
    for access in rows(&answer, "/repositoryAccessList") {
        let name = format!("{}/{}", cell(access, "/repository/namespace"), cell(access, "/repository/name"));
        shown.push(vec![name, cell(access, "/accessLevel")]);
    }
    answer["namespaceAccessLevel"] = everywhere;
    session.show(&answer, &["ON", "ACCESS"], shown)
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    const TEAM: &str = "/enzi/v0/accounts/dev/teams/web%201";

    #[tokio::test]
    async fn teams_their_members_and_what_they_may() {
        let repository = "/api/v0/repositories/dev/a%2Fb/teamAccess/web%201";
        let namespace = "/api/v0/repositoryNamespaces/dev/teamAccess/web%201";
        let fake = Fake::new(vec![
            reply("POST /enzi/v0/accounts/dev/teams", 201, json!({"name": "web 1"})),
            reply(&format!("PUT {TEAM}/members/ann"), 200, json!({"isAdmin": true})),
            reply(&format!("PUT {repository}"), 200, json!({})),
            reply(&format!("PUT {namespace}"), 200, json!({})),
            reply(
                "GET /api/v0/accounts/dev/teams/web%201/repositoryAccess?pageSize=1000",
                200,
                json!({"repositoryAccessList": [
                    {"accessLevel": "read-write", "repository": {"namespace": "dev", "name": "a/b"}},
                ]}),
            ),
            reply(&format!("GET {namespace}"), 200, json!({"accessLevel": "read-only"})),
            reply(&format!("GET {TEAM}"), 200, json!({})),
            reply(&format!("DELETE {namespace}"), 204, Value::Null),
            reply(&format!("GET {TEAM}"), 404, json!({"errors": [{"code": "NO_SUCH_TEAM", "message": "no team"}]})),
        ]);
        let done = async |words: &[&str]| fake.run(words, "").await.done();
        assert_eq!(done(&["team", "create", "dev", "web 1"]).await, "created team web 1 of dev\n");
        let add = ["team", "member", "add", "dev", "web 1", "ann", "--admin"];
        assert_eq!(done(&add).await, "ann is an admin of team web 1 of dev\n");
        let grant = ["team", "grant", "dev", "web 1", "read-write", "--on", "dev/a/b"];
        assert_eq!(done(&grant).await, "team web 1 of dev has read-write access to dev/a/b\n");
        let grant = ["team", "grant", "dev", "web 1", "read-only", "--on-all"];
        assert_eq!(done(&grant).await, "team web 1 of dev has read-only access to all of dev\n");
        let listed = done(&["team", "grants", "dev", "web 1"]).await;
        assert_eq!(listed, "ON          ACCESS\nall of dev  read-only\ndev/a/b     read-write\n");
        let revoke = ["team", "revoke", "dev", "web 1", "--on-all"];
        assert_eq!(done(&revoke).await, "team web 1 of dev has no grant on all of dev any more\n");
        let ran = fake.run(&["team", "delete", "dev", "web 1"], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failure, "error: no team (NO_SUCH_TEAM)\n"));
        assert_eq!(fake.seen()[2].body, json!({"accessLevel": "read-write"}));
        for words in [
            &["team", "grant", "dev", "web", "read-write"][..],
            &["team", "grant", "dev", "web", "owner", "--on-all"],
            &["team", "grant", "dev", "web", "admin", "--on-all", "--on", "dev/x"],
        ] {
            assert_eq!(fake.run(words, "").await.exit, Exit::Usage, "{words:?}");
        }
    }

    #[tokio::test]
    async fn what_a_user_may_is_a_word_or_json() {
        let path = "GET /api/v0/accounts/ann/repositoryAccess/dev/site";
        let none = json!({"errors": [{"code": "NO_SUCH_REPOSITORY_ACCESS", "message": "none"}]});
        let fake = Fake::new(vec![
            reply(path, 200, json!({"accessLevel": "read-write"})),
            reply(path, 404, none.clone()),
            reply(path, 404, none),
        ]);
        let words = ["access", "ann", "dev/site"];
        assert_eq!(fake.run(&words, "").await.done(), "ann has read-write access to dev/site\n");
        assert_eq!(fake.run(&words, "").await.done(), "ann has no access to dev/site\n");
        let printed = fake.run(&["access", "ann", "dev/site", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), json!({"accessLevel": "none"}));
    }
}
