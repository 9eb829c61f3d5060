//! `repository create|list|update|delete`.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::account::create_organization;
use super::client::{API_PAGING, repository_path, segment};
use super::error::{CliError, UsageError};
use super::quota::QuotaSize;
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::RepoName;

/// What to do with repositories.
#[derive(Debug, Subcommand)]
pub enum RepositoryCommand {
    /// Make a repository, and the organization it is in where that is missing
    Create(CreateArgs),
    /// List repositories
    List,
    /// Change who sees a repository and how it keeps its tags
    Update(UpdateArgs),
    /// Remove a repository with its tags and policies
    Delete(DeleteArgs),
}

/// `repository create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// NAMESPACE/NAME, such as dev/website
    pub name: RepoName,
    /// Everyone may pull, without signing in too where the registry lets that be
    #[arg(long)]
    pub public: bool,
    /// It may hold at most this much, such as 10GiB
    #[arg(long, value_name = "SIZE")]
    pub quota: Option<QuotaSize>,
}

/// `repository update`'s flags.
#[derive(Args, Debug)]
#[command(group(
    ArgGroup::new("change").required(true).multiple(true).args(["visibility", "immutable_tags", "tag_limit", "quota"])
))]
pub struct UpdateArgs {
    /// NAMESPACE/NAME
    pub name: RepoName,
    /// `public` (everyone may pull) or `private`
    #[arg(long, value_parser = ["public", "private"])]
    pub visibility: Option<String>,
    /// Whether a tag that exists is never moved or removed
    #[arg(long, value_name = "true|false")]
    pub immutable_tags: Option<bool>,
    /// Keep at most so many tags: a new one pushes out the one that was set
    /// longest ago (0: no limit). Rests while tags are immutable
    #[arg(long, value_name = "NUMBER")]
    pub tag_limit: Option<u64>,
    /// It may hold at most this much, such as 10GiB (`none`: as much as there is
    /// room for)
    #[arg(long, value_name = "SIZE")]
    pub quota: Option<QuotaSize>,
}

/// `repository delete`'s flags.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// NAMESPACE/NAME
    pub name: RepoName,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &RepositoryCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        RepositoryCommand::Create(wanted) => create(wanted, session).await,
        RepositoryCommand::List => list(session).await,
        RepositoryCommand::Update(wanted) => update(wanted, session).await,
        RepositoryCommand::Delete(wanted) => delete(wanted, session).await,
    }
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let namespace = wanted.name.namespace();
    let path = format!("/api/v0/repositories/{}", segment(namespace));
    let visibility = if wanted.public { "public" } else { "private" };
    let mut body = json!({"name": wanted.name.rest(), "visibility": visibility});
    if let Some(quota) = wanted.quota {
        body["quotaBytes"] = json!(quota.bytes());
    }
    let repository = match session.client.post(&path, &body).await {
        Err(missing) if missing.is_api("NO_SUCH_ACCOUNT") => {
            // Who may not make it is told what is missing, not what they lack.
            match create_organization(namespace, session).await {
                Err(refused) if refused.is_api("NOT_AUTHORIZED") => return Err(missing),
                // Someone else made it in between.
                Err(refused) if refused.is_api("ACCOUNT_EXISTS") => {}
                made => {
                    made?;
                    session.note(&format!("created organization {namespace}"))?;
                }
            }
            session.client.post(&path, &body).await
        }
        answered => answered,
    }?;
    session.say(&repository, &format!("created {visibility} repository {}", wanted.name))
}

async fn list(session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let repositories = session.client.list("/api/v0/repositories", "repositories", API_PAGING).await?;
    let row = |repository: &Value| {
        let name = format!("{}/{}", cell(repository, "/namespace"), cell(repository, "/name"));
        vec![name, cell(repository, "/visibility"), cell(repository, "/pulls"), cell(repository, "/pushes")]
    };
    let shown = rows(&repositories, "/repositories").iter().map(row).collect();
    session.show(&repositories, &["REPOSITORY", "VISIBILITY", "PULLS", "PUSHES"], shown)
}

async fn update(wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = serde_json::Map::new();
    let mut set = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
    set("visibility", wanted.visibility.clone().map(Value::from));
    set("immutableTags", wanted.immutable_tags.map(Value::from));
    set("tagLimit", wanted.tag_limit.map(Value::from));
    set("quotaBytes", wanted.quota.map(|quota| Value::from(quota.bytes())));
    let path = repository_path(&wanted.name);
    let answer = session.client.change(Method::PATCH, &path, Some(&Value::Object(body)), None).await?;
    session.say(&answer, &format!("changed repository {}", wanted.name))
}

async fn delete(wanted: &DeleteArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    if !wanted.yes {
        return Err(CliError::Usage(UsageError::NoConsent));
    }
    // To the API one that is not there is gone already; here it is a slip.
    session.client.get(&repository_path(&wanted.name)).await?;
    let answer = session.client.delete(&repository_path(&wanted.name)).await?;
    session.say(&answer, &format!("deleted repository {}", wanted.name))
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    fn refusal(code: &str) -> Value {
        json!({"errors": [{"code": code, "message": format!("told {code}")}]})
    }

    #[tokio::test]
    async fn a_change_says_only_what_changes() {
        let path = "PATCH /api/v0/repositories/dev/site";
        let fake = Fake::new(vec![reply(path, 200, json!({})), reply(path, 200, json!({}))]);
        let words = ["repository", "update", "dev/site", "--tag-limit", "20"];
        assert_eq!(fake.run(&words, "").await.done(), "changed repository dev/site\n");
        let words = ["repository", "update", "dev/site", "--visibility", "public", "--immutable-tags", "true"];
        fake.run(&words, "").await.done();
        assert_eq!(fake.seen()[0].body, json!({"tagLimit": 20}));
        assert_eq!(fake.seen()[1].body, json!({"visibility": "public", "immutableTags": true}));
        assert_eq!(fake.run(&["repository", "update", "dev/site"], "").await.exit, Exit::Usage);
        let full = json!({"warnings": ["nothing more goes in"]});
        let fake = Fake::new(vec![reply(path, 200, full), reply(path, 200, json!({}))]);
        let ran = fake.run(&["repository", "update", "dev/site", "--quota", "10GiB"], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, "warning: nothing more goes in\n"));
        fake.run(&["repository", "update", "dev/site", "--quota", "none"], "").await.done();
        assert_eq!(fake.seen()[0].body, json!({"quotaBytes": 10_u64 << 30}));
        assert_eq!(fake.seen()[1].body, json!({"quotaBytes": 0}));
        assert_eq!(fake.run(&["repository", "update", "dev/site", "--quota", "much"], "").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_missing_organization_is_made_first_and_said() {
        let fake = Fake::new(vec![
            reply("POST /api/v0/repositories/dev", 404, refusal("NO_SUCH_ACCOUNT")),
            reply("POST /enzi/v0/accounts", 201, json!({"name": "dev"})),
            reply("POST /api/v0/repositories/dev", 201, json!({"namespace": "dev", "name": "web/site"})),
        ]);
        let out = fake.run(&["repository", "create", "dev/web/site", "--public"], "").await.done();
        assert_eq!(out, "created organization dev\ncreated public repository dev/web/site\n");
        assert_eq!(fake.seen()[1].body, json!({"name": "dev", "isOrg": true, "password": ""}));
        assert_eq!(fake.seen()[2].body, json!({"name": "web/site", "visibility": "public"}));
    }

    #[tokio::test]
    async fn for_programs_the_answer_alone_is_on_standard_output() {
        let fake = Fake::new(vec![
            reply("POST /api/v0/repositories/dev", 404, refusal("NO_SUCH_ACCOUNT")),
            reply("POST /enzi/v0/accounts", 400, refusal("ACCOUNT_EXISTS")),
            reply("POST /api/v0/repositories/dev", 201, json!({"name": "x"})),
        ]);
        let ran = fake.run(&["--json", "repository", "create", "dev/x"], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""));
        assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!({"name": "x"}));
    }

    #[tokio::test]
    async fn who_may_not_make_the_organization_is_told_that_it_is_missing() {
        let fake = Fake::new(vec![
            reply("POST /api/v0/repositories/dev", 404, refusal("NO_SUCH_ACCOUNT")),
            reply("POST /enzi/v0/accounts", 403, refusal("NOT_AUTHORIZED")),
        ]);
        let ran = fake.run(&["repository", "create", "dev/x"], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failure, "error: told NO_SUCH_ACCOUNT (NO_SUCH_ACCOUNT)\n"));
    }

    #[tokio::test]
    async fn a_removal_needs_consent() {
        let fake = Fake::new(vec![
            reply("GET /api/v0/repositories/dev/a%2Fb", 200, json!({"name": "a/b"})),
            reply("DELETE /api/v0/repositories/dev/a%2Fb", 204, Value::Null),
            reply("GET /api/v0/repositories/dev/no", 404, refusal("NO_SUCH_REPOSITORY")),
        ]);
        let ran = fake.run(&["repository", "delete", "dev/a/b"], "").await;
        assert_eq!(ran.exit, Exit::Usage);
        assert!(ran.err.contains("--yes") && fake.seen().is_empty());
        let out = fake.run(&["repository", "delete", "dev/a/b", "--yes"], "").await.done();
        assert_eq!(out, "deleted repository dev/a/b\n");
        let ran = fake.run(&["repository", "delete", "dev/no", "--yes"], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failure, ""), "nothing was deleted: {}", ran.err);
    }
}
