//! `token create|list|update|revoke`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{API_PAGING, segment};
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};
use crate::clock::{Clock, Timestamp};

/// What to do with access tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token that stands for a user's password; it is shown once
    Create(CreateArgs),
    /// List a user's tokens
    List(OfUser),
    /// Rename a token, or switch it off and on
    Update(UpdateArgs),
    /// Take a token back for good
    Revoke(RevokeArgs),
}

/// Whose tokens.
#[derive(Args, Debug)]
pub struct OfUser {
    /// The user; who signs in at --url where it is left out
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// `token create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Whose.
    #[command(flatten)]
    pub of: OfUser,
    /// What it is for
    #[arg(long, default_value = "")]
    pub label: String,
    /// What it may, as `PATTERN:ACTIONS`: `*` ends at a slash, `**` does not; pull, push, delete, admin. All that the user may where it is left out
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// When it ends
    #[command(flatten)]
    pub end: End,
}

/// When something ends.
#[derive(Args, Debug)]
pub struct End {
    /// How long it holds, such as 90d or 12h, or until when (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = end)]
    pub expires: Option<Timestamp>,
}

/// `token update`'s flags.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// The token's hash, as `token list` shows it
    pub hash: String,
    /// Another label
    #[arg(long)]
    pub label: Option<String>,
    /// It may not be used
    #[arg(long, conflicts_with = "activate")]
    pub deactivate: bool,
    /// It may be used again
    #[arg(long)]
    pub activate: bool,
}

/// `token revoke`'s flags.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// The token's hash, as `token list` shows it
    pub hash: String,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &TokenCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        TokenCommand::Create(wanted) => create(wanted, session).await,
        TokenCommand::List(of) => list(&path(of), session).await,
        TokenCommand::Update(wanted) => update(wanted, session).await,
        TokenCommand::Revoke(wanted) => {
            let gone = session.client.delete(&one(&wanted.hash)).await?;
            session.say(&gone, &format!("revoked token {}", wanted.hash))
        }
    }
}

/// Shows a token that was just made: alone on standard output, for whoever
/// puts it in a file.
///
/// # Errors
/// [`CliError::Output`].
pub fn show_made(made: &Value, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    writeln!(session.terminal.stderr, "this is shown once; keep it where programs keep passwords")?;
    session.say(made, &cell(made, "/token"))
}

/// Lists the tokens at `path`.
///
/// # Errors
/// [`CliError`].
pub async fn list(path: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let tokens = session.client.list(path, "", API_PAGING).await?;
    let row = |token: &Value| {
        let scopes: Vec<String> = rows(token, "/scopes").iter().map(|scope| cell(scope, "")).collect();
        vec![
            cell(token, "/hashedToken"),
            cell(token, "/tokenLabel"),
            cell(token, "/isActive"),
            cell(token, "/generatedBy"),
            used(&cell(token, "/lastUsed")),
            cell(token, "/expiresAt"),
            scopes.join(" "),
        ]
    };
    let shown = rows(&tokens, "").iter().map(row).collect();
    session.show(&tokens, &["HASH", "LABEL", "ACTIVE", "MADE BY", "LAST USED", "EXPIRES", "SCOPES"], shown)
}

/// When something ends, as requests say it.
pub fn expires_at(end: &End) -> Value {
    end.expires.map_or(Value::Null, |at| json!(at.rfc3339()))
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    body.insert("tokenLabel".to_owned(), json!(wanted.label));
    if !wanted.scopes.is_empty() {
        body.insert("scopes".to_owned(), json!(wanted.scopes));
    }
    body.insert("expiresAt".to_owned(), expires_at(&wanted.end));
    let made = session.client.post(&path(&wanted.of), &Value::Object(body)).await?;
    show_made(&made, session)
}

async fn update(wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    if let Some(label) = &wanted.label {
        body.insert("tokenLabel".to_owned(), json!(label));
    }
    if wanted.activate || wanted.deactivate {
        body.insert("isActive".to_owned(), json!(wanted.activate));
    }
    let changed =
        session.client.change(http::Method::PATCH, &one(&wanted.hash), Some(&Value::Object(body)), None).await?;
    let state = if cell(&changed, "/isActive") == "yes" { "active" } else { "switched off" };
    session.say(&changed, &format!("token {} is {state}", cell(&changed, "/hashedToken")))
}

fn path(of: &OfUser) -> String {
    match &of.user {
        Some(user) => format!("/api/v0/api_tokens?username={}", segment(user)),
        None => "/api/v0/api_tokens".to_owned(),
    }
}

fn one(hash: &str) -> String {
    format!("/api/v0/api_tokens/{}", segment(hash))
}

/// DTR's time of what never was is no time.
fn used(at: &str) -> String {
    if at.starts_with("0001-") { "never".to_owned() } else { at.to_owned() }
}

/// A length of time from now, or a moment.
fn end(text: &str) -> Result<Timestamp, String> {
    if let Ok(lasts) = humantime::parse_duration(text) {
        return Ok(Clock::system().now().after(lasts));
    }
    let moment = chrono::DateTime::parse_from_rfc3339(text);
    let moment = moment.map_err(|_| "give a length of time, such as 90d or 12h, or an RFC 3339 time".to_owned())?;
    Ok(Timestamp::from_utc(moment.to_utc()))
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_token_is_alone_on_standard_output() {
        let made = json!({"token": "tgp_x", "hashedToken": "ab"});
        let fake = Fake::new(vec![
            reply("POST /api/v0/api_tokens?username=ann", 200, made.clone()),
            reply("POST /api/v0/api_tokens", 200, made),
        ]);
        let words = [
            "token",
            "create",
            "--user",
            "ann",
            "--label",
            "ci",
            "--scope",
            "dev/*:push",
            "--scope",
            "qa/x:pull",
            "--expires",
            "2030-01-01T00:00:00Z",
        ];
        let ran = fake.run(&words, "").await;
        assert_eq!((ran.out.as_str(), ran.err.contains("once")), ("tgp_x\n", true));
        let sent = json!({"tokenLabel": "ci", "scopes": ["dev/*:push", "qa/x:pull"], "expiresAt": "2030-01-01T00:00:00.000000Z"});
        assert_eq!(fake.seen()[0].body, sent);
        fake.run(&["token", "create"], "").await;
        assert_eq!(fake.seen()[1].body, json!({"tokenLabel": "", "expiresAt": null}));
        assert_eq!(fake.run(&["token", "create", "--expires", "soon"], "").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn tokens_are_a_table_and_are_changed_by_hash() {
        let token = json!({
            "hashedToken": "ab", "tokenLabel": "ci", "isActive": true, "generatedBy": "user",
            "lastUsed": "0001-01-01T00:00:00Z", "scopes": ["dev/*:push", "qa/x:pull"],
        });
        let off = json!({"hashedToken": "ab", "isActive": false});
        let fake = Fake::new(vec![
            reply("GET /api/v0/api_tokens?username=ann&pageSize=1000", 200, json!([token])),
            reply("PATCH /api/v0/api_tokens/ab", 200, off),
            reply("DELETE /api/v0/api_tokens/ab", 200, json!({})),
        ]);
        let shown = fake.run(&["token", "list", "--user", "ann"], "").await.done();
        assert!(shown.contains("ab    ci     yes     user     never"), "{shown}");
        assert!(shown.contains("dev/*:push qa/x:pull"), "{shown}");
        assert_eq!(fake.run(&["token", "update", "ab", "--deactivate"], "").await.done(), "token ab is switched off\n");
        assert_eq!(fake.seen()[1].body, json!({"isActive": false}));
        assert_eq!(fake.run(&["token", "revoke", "ab"], "").await.done(), "revoked token ab\n");
        assert_eq!(fake.seen()[2].body, Value::Null);
    }
}
