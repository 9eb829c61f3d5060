//! `robot create|list|update|token|tokens|delete`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{API_PAGING, segment};
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};
use super::token::{End, expires_at, list as list_tokens, show_made};

/// What to do with robots.
#[derive(Debug, Subcommand)]
pub enum RobotCommand {
    /// Make a robot and its first token, which is shown once
    Create(CreateArgs),
    /// List the robots of a namespace
    List {
        /// The user or organization
        namespace: String,
    },
    /// Give a robot another description or other scopes
    Update(UpdateArgs),
    /// Make another token for a robot; the others stay until they are revoked
    Token(TokenArgs),
    /// List a robot's tokens
    Tokens {
        /// `NAMESPACE+ROBOT`
        robot: RobotName,
    },
    /// Remove a robot and all its tokens
    Delete {
        /// `NAMESPACE+ROBOT`
        robot: RobotName,
    },
}

/// `robot create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// `NAMESPACE+ROBOT`, which is what it signs in with
    pub robot: RobotName,
    /// What it may in its namespace, as `PATTERN:ACTIONS`
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub scopes: Vec<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    pub description: String,
    /// When its first token ends
    #[command(flatten)]
    pub end: End,
}

/// `robot update`'s flags.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// `NAMESPACE+ROBOT`
    pub robot: RobotName,
    /// All its scopes from now on
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
}

/// `robot token`'s flags.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// `NAMESPACE+ROBOT`
    pub robot: RobotName,
    /// What the token is for
    #[arg(long, default_value = "")]
    pub label: String,
    /// When it ends
    #[command(flatten)]
    pub end: End,
}

/// A robot as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RobotName {
    namespace: String,
    name: String,
}

impl std::str::FromStr for RobotName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once('+').ok_or("a robot is written NAMESPACE+ROBOT")?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl RobotName {
    fn path(&self) -> String {
        format!("/api/v0/robots/{}/{}", segment(&self.namespace), segment(&self.name))
    }
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &RobotCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        RobotCommand::Create(wanted) => create(wanted, session).await,
        RobotCommand::List { namespace } => list(namespace, session).await,
        RobotCommand::Update(wanted) => update(wanted, session).await,
        RobotCommand::Token(wanted) => {
            let body = json!({"tokenLabel": wanted.label, "expiresAt": expires_at(&wanted.end)});
            let made = session.client.post(&format!("{}/tokens", wanted.robot.path()), &body).await?;
            show_made(&made, session)
        }
        RobotCommand::Tokens { robot } => list_tokens(&format!("{}/tokens", robot.path()), session).await,
        RobotCommand::Delete { robot } => {
            let gone = session.client.delete(&robot.path()).await?;
            session.say(&gone, &format!("deleted robot {}+{}", robot.namespace, robot.name))
        }
    }
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let robot = &wanted.robot;
    let body = json!({
        "name": robot.name, "description": wanted.description, "scopes": wanted.scopes,
        "expiresAt": expires_at(&wanted.end),
    });
    let made = session.client.post(&format!("/api/v0/robots/{}", segment(&robot.namespace)), &body).await?;
    writeln!(session.terminal.stderr, "created robot {}", cell(&made, "/username"))?;
    show_made(&made, session)
}

async fn list(namespace: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let robots = session.client.list(&format!("/api/v0/robots/{}", segment(namespace)), "robots", API_PAGING).await?;
    let row = |robot: &Value| {
        let scopes: Vec<String> = rows(robot, "/scopes").iter().map(|scope| cell(scope, "")).collect();
        vec![cell(robot, "/username"), scopes.join(" "), cell(robot, "/description"), cell(robot, "/createdAt")]
    };
    let shown = rows(&robots, "/robots").iter().map(row).collect();
    session.show(&robots, &["ROBOT", "SCOPES", "DESCRIPTION", "CREATED"], shown)
}

async fn update(wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    if !wanted.scopes.is_empty() {
        body.insert("scopes".to_owned(), json!(wanted.scopes));
    }
    if let Some(description) = &wanted.description {
        body.insert("description".to_owned(), json!(description));
    }
    let path = wanted.robot.path();
    let changed = session.client.change(http::Method::PATCH, &path, Some(&Value::Object(body)), None).await?;
    session.say(&changed, &format!("changed robot {}", cell(&changed, "/username")))
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::json;

    #[tokio::test]
    async fn a_robot_is_called_as_it_signs_in() {
        let made = json!({"username": "dev+ci", "token": "tgp_x"});
        let fake = Fake::new(vec![
            reply("POST /api/v0/robots/dev", 201, made.clone()),
            reply("PATCH /api/v0/robots/dev/ci", 200, made.clone()),
            reply("POST /api/v0/robots/dev/ci/tokens", 201, made),
            reply("DELETE /api/v0/robots/dev/ci", 204, serde_json::Value::Null),
        ]);
        let ran = fake.run(&["robot", "create", "dev+ci", "--scope", "dev/**:push"], "").await;
        assert_eq!(ran.out, "tgp_x\n");
        assert!(ran.err.starts_with("created robot dev+ci\n"), "{}", ran.err);
        let sent = json!({"name": "ci", "description": "", "scopes": ["dev/**:push"], "expiresAt": null});
        assert_eq!(fake.seen()[0].body, sent);
        let out = fake.run(&["robot", "update", "dev+ci", "--description", "the build"], "").await.done();
        assert_eq!(
            (out.as_str(), &fake.seen()[1].body),
            ("changed robot dev+ci\n", &json!({"description": "the build"}))
        );
        assert_eq!(fake.run(&["robot", "token", "dev+ci"], "").await.out, "tgp_x\n");
        assert_eq!(fake.run(&["robot", "delete", "dev+ci"], "").await.done(), "deleted robot dev+ci\n");
        assert_eq!(fake.run(&["robot", "delete", "dev"], "").await.exit, Exit::Usage);
        assert_eq!(fake.run(&["robot", "create", "dev+ci"], "").await.exit, Exit::Usage, "without a scope");
    }
}
